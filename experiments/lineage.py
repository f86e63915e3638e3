"""From an answer back to the people whose labels it rests on; from a task on to the models that learnt it.

answer → registered version → run → snapshot → examples → annotations → annotators (pseudonyms).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.tree import Tree

from data.files import read_jsonl
from data.split import LINEAGE
from experiments import tracking

__all__ = ["Ancestry", "Descendant", "ancestry", "descendants", "models_named", "show_lineage"]

_MODEL = re.compile(r"([\w-]+)@(\d+)")
_TASK = re.compile(r"task:(\d+)/(\d+)\Z")


@dataclass(frozen=True, slots=True)
class Ancestry:
    """What one model or snapshot rests on."""

    model: str
    """`kefu-category@3`; empty where a snapshot was asked for."""
    run: str
    snapshot: str
    rows: dict[str, int]
    """By split."""
    authors: dict[str, int]
    """Rows by author, over all splits."""
    examples: list[dict[str, Any]]
    """Rows that rest on annotations: example, split, labels, votes."""


@dataclass(frozen=True, slots=True)
class Descendant:
    """A run that read a task, and what became of it."""

    run: str
    snapshot: str
    split: str
    """"train": it learnt from the task; "val", "test": it was chosen or measured by it."""
    learnt: dict[str, str]
    """The labels that the task had then."""
    versions: list[str]
    """Registered models; the champion has a star."""


def ancestry(what: str) -> list[Ancestry]:
    """Walk back from `kefu-category@3`, a run id, a snapshot id, or a file of answers.

    Raises:
        ValueError: nothing of this name is known.
        TrackingError: the registry lacks a model that an answer names.
    """
    path = Path(what)
    if path.is_file():
        return [one for model in models_named(path) for one in ancestry(model)]
    if found := _MODEL.fullmatch(what):
        return [_of_run(what, tracking.model_run(*found.groups()))]
    by_snapshot = tracking.runs_by_snapshot()
    if what in by_snapshot:
        return [_of_run("", by_snapshot[what][0])]
    for runs in by_snapshot.values():
        if what in runs:
            return [_of_run("", what)]
    raise ValueError(
        f"{what!r} is no file, no model (kefu-category@3), no run, and no snapshot that a run has read; "
        "for a task write task:PROJECT/TASK"
    )


def models_named(path: Path) -> list[str]:
    """The models that the answers of a file cite, each once: one answer as JSON, or JSON Lines of them.

    Raises:
        ValueError: an answer names no model.
    """
    text = path.read_text(encoding="utf-8")
    try:
        whole = json.loads(text)
        answers = whole if isinstance(whole, list) else [whole]
    except ValueError:
        answers = [row for _, row in read_jsonl(path)]
    found: dict[str, None] = {}
    for number, answer in enumerate(answers, 1):
        model = answer.get("model") if isinstance(answer, dict) else None
        cited = [str(model.get(task)) for task in ("category", "emotion")] if isinstance(model, dict) else []
        if not cited or not all(_MODEL.fullmatch(name) for name in cited):
            raise ValueError(f"{path}: answer {number}: model: expected category and emotion as name@version")
        found.update(dict.fromkeys(cited))
    return list(found)


def descendants(project: int, task: int) -> list[Descendant]:
    """The runs whose snapshot held a task of a labelling project."""
    found = []
    for snapshot, runs in tracking.runs_by_snapshot().items():
        for run in runs:
            row = next((row for row in _lineage(run) if _rests_on(row, project, task)), None)
            if row:
                labels = {kind: row[kind] for kind in ("category", "emotion")}
                versions = tracking.registered_versions(run)
                found.append(Descendant(run, snapshot, row["split"], labels, versions))
    return found


def _of_run(model: str, run: str) -> Ancestry:
    path = tracking.fetch_artifact(run, "snapshot/snapshot.json")
    if path is None:
        raise ValueError(f"run {run}: does not record its snapshot; it was made by an earlier version")
    snapshot = json.loads(path.read_text(encoding="utf-8"))
    authors: Counter[str] = Counter()
    for counts in snapshot["authors"].values():
        authors.update(counts)
    return Ancestry(model, run, snapshot["id"], snapshot["rows"], dict(authors), list(_lineage(run)))


def _lineage(run: str) -> Iterator[dict[str, Any]]:
    path = tracking.fetch_artifact(run, f"snapshot/{LINEAGE}")
    return iter(()) if path is None else (row for _, row in read_jsonl(path))


def _rests_on(row: dict[str, Any], project: int, task: int) -> bool:
    # The first votes are those of the labelling project; a verdict given elsewhere names the same example.
    return any((vote["project"], vote["task"]) == (project, task) for vote in row["votes"])


def show_lineage(what: str) -> None:
    """Print where an answer, model or snapshot comes from, or where a task went."""
    console = Console(highlight=False)
    if found := _TASK.match(what):
        project, task = map(int, found.groups())
        tree = Tree(f"task {task} of project {project}")
        for one in descendants(project, task):
            labels = f"{one.learnt['category']}, {one.learnt['emotion']}"
            branch = tree.add(f"snapshot {one.snapshot}, {one.split}: {labels}").add(f"run {one.run}")
            branch.add(", ".join(one.versions) or "not registered")
        console.print(tree if tree.children else f"no run has read task {task} of project {project}")
        return
    for origin in ancestry(what):
        tree = Tree(origin.model or f"snapshot {origin.snapshot}")
        branch = tree.add(f"run {origin.run}").add(
            f"snapshot {origin.snapshot}: " + ", ".join(f"{name} {n}" for name, n in origin.rows.items())
        )
        _show_people(branch, origin)
        console.print(tree)


def _show_people(branch: Tree, origin: Ancestry) -> None:
    labelled = len(origin.examples)
    annotated: Counter[str] = Counter(row["example"] and vote["annotator"] for row in origin.examples
                                      for vote in row["votes"])  # fmt: skip
    tasks: Counter[int] = Counter(row["votes"][0]["project"] for row in origin.examples)
    written = sum(origin.rows.values()) - labelled
    if written:
        shown = ", ".join(f"{name} {n}" for name, n in Counter(origin.authors).most_common(6))
        branch.add(f"{written} rows whose labels came with them; authors: {shown} …")
    for project, count in tasks.items():
        branch.add(f"project {project}: {count} tasks")
    for annotator, count in annotated.most_common():
        branch.add(f"{annotator}: {count} annotations")
