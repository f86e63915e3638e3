"""Everything that people said, fetched whole: page by page, resumable, and true to the server at its end.

A pull writes `data/raw/label_studio/project-N.jsonl`, one task with its annotations a line, without the
names of people. Broken off, it leaves a `.part` file and the next one goes on behind its last task.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from tqdm import tqdm

from data.files import read_jsonl, write_jsonl
from labeling.client import LabelStudio
from labeling.project import Project, follow_ups
from labeling.task import Annotation, Task, parse_task

__all__ = ["RAW", "PulledProject", "pull_project", "pull_tasks", "read_pulled"]

RAW = Path("data/raw/label_studio")
_ANNOTATION_FIELDS = (
    "id",
    "completed_by",
    "result",
    "was_cancelled",
    "created_at",
    "updated_at",
    "lead_time",
    "parent_prediction",
)
# The server's clock may be behind this machine's; a task fetched twice does no harm.
_CLOCK_MARGIN = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class PulledProject:
    """A labelling project's tasks, and what was decided on them in other projects."""

    tasks: list[Task]
    verdicts: dict[int, list[Annotation]]
    """By task id, the answers of its adjudication and review projects."""


def pull_project(
    server: LabelStudio, project: Project, folder: Path = RAW, page_size: int = 500
) -> PulledProject:
    """Fetch a labelling project with the adjudication and review projects that belong to it.

    Raises:
        LabelStudioError: the server is gone; run it again, what was fetched is kept.
    """
    tasks = read_pulled(pull_tasks(server, project.id, folder, page_size))
    verdicts: dict[int, list[Annotation]] = {}
    for other in follow_ups(server, project):
        for task in read_pulled(pull_tasks(server, other.id, folder, page_size)):
            if task.origin and task.origin[0] == project.id:
                verdicts.setdefault(task.origin[1], []).extend(task.annotations)
    return PulledProject(tasks, verdicts)


def read_pulled(path: Path) -> list[Task]:
    """Read the tasks that a pull wrote.

    Raises:
        ValueError: names file, task and field.
    """
    return [parse_task(row, f"{path}:{number}") for number, row in read_jsonl(path)]


def pull_tasks(server: LabelStudio, project: int, folder: Path = RAW, page_size: int = 500) -> Path:
    """Write the tasks of one project as they stand on the server; returns the file.

    Two at once on one machine take turns.

    Raises:
        LabelStudioError: the server is gone, or has no such project.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"project-{project}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"another pull of project {project} is running here; waiting for it", file=sys.stderr)
        lock.acquire()
    with lock:
        return _pull(server, project, folder, page_size)


def _pull(server: LabelStudio, project: int, folder: Path, page_size: int) -> Path:
    total = int(server.project(project).get("task_number") or 0)
    part = folder / f"project-{project}.part"
    started, last = _resume(part)
    if not started:
        started = datetime.now(UTC) - _CLOCK_MARGIN
        part.write_text(json.dumps({"started": started.isoformat()}) + "\n", encoding="utf-8")
    hidden = None if total > page_size else True
    with (
        part.open("a", encoding="utf-8") as output,
        tqdm(total=total, unit="task", desc=f"project {project}", disable=hidden) as progress,
    ):
        for page in server.tasks(project, after=last, page_size=page_size):
            output.write("".join(json.dumps(_slim(task), ensure_ascii=False) + "\n" for task in page))
            output.flush()
            progress.update(len(page))
    # What changed since the first page was fetched, perhaps in an earlier run, is fetched once more.
    changed = {
        int(task["id"]): _slim(task)
        for page in server.tasks(project, since=started, page_size=page_size)
        for task in page
    }
    there = {
        int(task["id"])
        for page in server.tasks(project, page_size=1000, answers=False)
        for task in page
    }  # fmt: skip
    target = folder / f"project-{project}.jsonl"
    write_jsonl(target, _merge(part, changed, there))
    part.unlink()
    return target


def _resume(part: Path) -> tuple[datetime | None, int]:
    """When the broken pull began and the last task it has whole; a torn last line is cut off."""
    if not part.exists():
        return None, 0
    lines = part.read_bytes().split(b"\n")
    if lines.pop():  # no newline at the end: the line was being written
        part.write_bytes(b"".join(line + b"\n" for line in lines))
    if not lines:
        return None, 0
    started = datetime.fromisoformat(json.loads(lines[0])["started"])
    return started, max((int(json.loads(line)["id"]) for line in lines[1:]), default=0)


def _merge(part: Path, changed: Mapping[int, dict[str, Any]], there: set[int]) -> Iterator[dict[str, Any]]:
    rest = dict(changed)
    with part.open(encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            task = json.loads(line)
            task = rest.pop(int(task["id"]), task)
            if int(task["id"]) in there:
                yield task
    yield from (task for number, task in sorted(rest.items()) if number in there)


def _slim(task: Mapping[str, Any]) -> dict[str, Any]:
    """Without predictions, drafts and the names of people."""
    annotations = []
    for raw in task.get("annotations") or ():
        annotation = {name: raw.get(name) for name in _ANNOTATION_FIELDS}
        person = annotation["completed_by"]
        annotation["completed_by"] = person.get("id") if isinstance(person, dict) else person
        annotations.append(annotation)
    data = {name: value for name, value in task["data"].items() if name != "chat"}
    return {"id": task["id"], "project": task.get("project"), "data": data, "annotations": annotations}
