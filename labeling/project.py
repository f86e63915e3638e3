"""Projects on a Label Studio server: making them, finding them, and knowing that they are ours.

A project of this platform says what it is in its description, so that every machine that asks the
server sees the same: `[kefu kind=labels schema=3f2a… of=7]`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from data.taxonomy import Taxonomy
from labeling.client import LabelStudio, LabelStudioError
from labeling.interface import adjudication_config, check_config, labeling_config

__all__ = [
    "KINDS",
    "READABLE",
    "Project",
    "find_project",
    "follow_ups",
    "init_project",
    "kefu_projects",
    "schema_id",
]

KINDS = {"labels": "标注", "adjudication": "裁决", "review": "复查"}
# The table of tasks is for people: what only the screen or this platform reads is not shown in it.
_FIELDS = ["chat", "suggested", "context", "key", "source", "model", "batch", "rank", "origin", "answers"]
_COLUMNS = [
    "inner_id",
    "completed_at",
    "cancelled_annotations",
    "total_predictions",
    "annotations_results",
    "annotations_ids",
    "predictions_results",
    "predictions_model_versions",
    "file_upload",
    "storage_filename",
    "created_at",
    "updated_at",
    "updated_by",
    "draft_exists",
]
_HIDDEN = [*(f"tasks:data.{name}" for name in _FIELDS), *(f"tasks:{name}" for name in _COLUMNS)]
READABLE = {"hiddenColumns": {"explore": _HIDDEN, "labeling": _HIDDEN}}
_MARK = re.compile(r"\[kefu kind=(\w+) schema=(\w+)(?: of=(\d+))?\]")
_EXPLANATION = {
    "labels": "客服对话标注：判断高亮的顾客消息要什么、情绪如何。",
    "adjudication": "裁决：多人意见不一致的消息，请看过各方答案后给出最终结论。",
    "review": "复查：可能标错的消息，请看过理由后确认或改正。",
}


@dataclass(frozen=True, slots=True)
class Project:
    """A project of this platform."""

    id: int
    title: str
    kind: str
    """A key of `KINDS`."""
    schema: str
    of: int | None
    """The project whose tasks are looked at again (adjudication, review)."""
    tasks: int
    config: str


def schema_id(taxonomy: Taxonomy) -> str:
    """Eight hex digits that name a label schema."""
    content = json.dumps(taxonomy.raw, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()[:8]


def kefu_projects(server: LabelStudio) -> list[Project]:
    """The server's projects that were made by this platform, by number."""
    found = []
    for raw in server.projects():
        mark = _MARK.search(raw.get("description") or "")
        if mark:
            kind, schema, of = mark.groups()
            config = raw.get("label_config") or ""
            count = int(raw.get("task_number") or 0)
            found.append(
                Project(raw["id"], raw["title"], kind, schema, int(of) if of else None, count, config)
            )
    return sorted(found, key=lambda project: project.id)


def find_project(server: LabelStudio, taxonomy: Taxonomy, number: int | None = None) -> Project:
    """The labelling project of this number, or the only one.

    Raises:
        LabelStudioError: none, several, another schema, or somebody changed its interface.
    """
    projects = [one for one in kefu_projects(server) if one.kind == "labels"]
    if number is not None:
        projects = [one for one in projects if one.id == number]
        if not projects:
            title = server.project(number)["title"]
            raise LabelStudioError(
                f"project {number} ({title}) is not a labelling project of kefu label init"
            )
    if not projects:
        raise LabelStudioError(f"{server.login.url} has no labelling project yet; make one: kefu label init")
    if len(projects) > 1:
        names = ", ".join(f"{one.id} ({one.title})" for one in projects)
        raise LabelStudioError(f"several labelling projects, say which with --project: {names}")
    project = projects[0]
    _check_schema(project, taxonomy)
    return project


def follow_ups(server: LabelStudio, project: Project) -> list[Project]:
    """The adjudication and review projects of a labelling project."""
    return [one for one in kefu_projects(server) if one.of == project.id and one.kind != "labels"]


def init_project(
    server: LabelStudio,
    taxonomy: Taxonomy,
    title: str = "客服对话标注",
    annotators: int = 1,
    kind: str = "labels",
    of: int | None = None,
    prelabel: bool = False,
) -> tuple[Project, bool]:
    """Make the project, or bring the interface of the one that is there up to date.

    Args:
        title: three characters or more; a project of this title and kind is taken as the same one.
        annotators: how many people label each task before it counts as done.
        prelabel: show the model's answer already chosen. Quicker, but people then agree with the model
            more than with each other, so by default it only stands among the shortcuts.

    Returns:
        The project, and whether it is new.

    Raises:
        LabelStudioError: the project of this title has another schema.
    """
    if len(title) < 3:
        raise LabelStudioError(f"title: {title!r} is too short; Label Studio asks for three characters")
    config: Callable[[Taxonomy], str] = labeling_config if kind == "labels" else adjudication_config
    settings = {
        "title": title,
        "description": f"{_EXPLANATION[kind]}[kefu kind={kind} schema={schema_id(taxonomy)}"
        + (f" of={of}]" if of else "]"),
        "label_config": config(taxonomy),
        "maximum_annotations": annotators,
        "show_collab_predictions": prelabel,
        "show_skip_button": False,
        "sampling": "Sequential sampling",
    }
    same = [
        one
        for one in kefu_projects(server)
        if (one.kind, one.of) == (kind, of) and (of or one.title == title)
    ]
    if same:
        if same[0].schema != schema_id(taxonomy) and same[0].tasks:
            _check_schema(same[0], taxonomy)
        settings["title"] = same[0].title
        server.update_project(same[0].id, settings)
        number = same[0].id
    else:
        number = server.create_project(settings)
        server.show_tab(number, "全部", {"type": "list", "target": "tasks", **READABLE})
    return next(one for one in kefu_projects(server) if one.id == number), not same


def _check_schema(project: Project, taxonomy: Taxonomy) -> None:
    if project.schema == schema_id(taxonomy):
        problems = check_config(project.config, taxonomy)
        if not problems:
            return
        raise LabelStudioError(
            f"project {project.id} ({project.title}): its labelling interface was changed: {problems[0]}; "
            "put it right with: kefu label init"
        )
    raise LabelStudioError(
        f"project {project.id} ({project.title}) was made with another label schema ({project.schema}, "
        f"here {schema_id(taxonomy)}) and its labels would not fit; use the schema it was made with "
        "(data.taxonomy in params.yaml), or make a new project with: kefu label init --title …"
    )
