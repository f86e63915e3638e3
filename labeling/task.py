"""What Label Studio stores, as this project sees it: tasks, and people's answers to them.

A task holds one message to label; its `data` is

- `text`, `context` (`[{"role", "text"}]`, oldest first), `conversation`: the message, masked,
- `key`: a hash of message and context, by which a second import finds what is already there,
- `source`: the id of the example it was made from,
- `suggested`: the model's best categories (`[{"value", "alias", "score"}]`), `model`: which model said so,
- `origin` (projects that look again at another's tasks): `{"project", "task"}`.

An annotation answers the controls `category` (which holds the model's shortcuts too), `emotion` and
`undecided`. Answers are keys of the label schema.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from data.example import Turn, parse_turns
from data.text import normalise

__all__ = ["Annotation", "Task", "parse_task", "task_key"]


@dataclass(frozen=True, slots=True)
class Annotation:
    """One person's answer to one task."""

    id: int
    task: int
    annotator: str
    """A pseudonym, `annotator-7`; who that is stands only in Label Studio."""
    category: str | None
    """None: left open."""
    emotion: str | None
    undecided: bool
    """The person flagged that the task cannot be decided."""
    at: datetime
    """When it was made or last changed; UTC."""
    seconds: float | None
    """Time that the person took, as Label Studio measured it."""
    project: int = 0


@dataclass(frozen=True, slots=True)
class Task:
    """A message with everything that people said of it. Cancelled annotations are not among them."""

    id: int
    project: int
    key: str
    text: str
    context: tuple[Turn, ...]
    conversation: str | None
    source: str | None
    origin: tuple[int, int] | None
    """(project, task) that this task looks at again."""
    annotations: tuple[Annotation, ...]


def task_key(text: str, context: Sequence[Turn]) -> str:
    """Twenty hex digits that are the same for the same message in the same context."""
    turns = [[turn.role, normalise(turn.text)] for turn in context]
    content = json.dumps([normalise(text), turns], ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()[:20]


def parse_task(raw: Any, where: str = "task") -> Task:
    """Read a task as any export of Label Studio shapes it.

    Old exports give the annotator as a number and call annotations `completions`; newer ones give an
    object, or leave the project out.

    Raises:
        ValueError: not of the expected form; names the task and the field.
    """
    if not isinstance(raw, dict) or not isinstance(raw.get("data"), dict) or "id" not in raw:
        raise ValueError(f"{where}: expected an object with id and data")
    where = f"task {raw['id']}"
    data = raw["data"]
    text = data.get("text")
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{where}: data.text: expected a text, got {text!r}")
    context = parse_turns(data.get("context") or [], f"{where}: data.context")
    origin = data.get("origin") or None
    answers = raw.get("annotations")
    if answers is None:
        answers = raw.get("completions") or []
    project = raw.get("project") or 0
    number = int(project["id"] if isinstance(project, dict) else project)
    return Task(
        id=int(raw["id"]),
        project=number,
        key=data.get("key") or task_key(text, context),
        text=text,
        context=context,
        conversation=data.get("conversation"),
        source=data.get("source"),
        origin=(int(origin["project"]), int(origin["task"])) if origin else None,
        annotations=tuple(
            _annotation(answer, int(raw["id"]), number, f"{where}: annotation")
            for answer in answers
            if not answer.get("was_cancelled") and not answer.get("skipped")
        ),
    )


def _annotation(raw: dict[str, Any], task: int, project: int, where: str) -> Annotation:
    if not isinstance(raw.get("id"), int):
        raise ValueError(f"{where}: id: expected a number, got {raw.get('id')!r}")
    where = f"{where} {raw['id']}"
    if not isinstance(raw.get("result"), list):
        raise ValueError(f"{where}: result: expected a list, got {raw.get('result')!r}")
    person = raw.get("completed_by")
    number = person.get("id") if isinstance(person, dict) else person
    return Annotation(
        id=int(raw["id"]),
        task=task,
        annotator=f"annotator-{number}",
        category=_answer(raw, "category", where),
        emotion=_answer(raw, "emotion", where),
        undecided=_answer(raw, "undecided", where) is not None,
        at=_time(raw.get("updated_at") or raw.get("created_at"), where),
        seconds=float(raw["lead_time"]) if raw.get("lead_time") is not None else None,
        project=project,
    )


def _answer(raw: dict[str, Any], control: str, where: str) -> str | None:
    for result in raw["result"]:
        if result.get("from_name") == control:
            value = result.get("value") or {}
            chosen = value.get("choices") or [path[-1] for path in value.get("taxonomy") or () if path]
            if len(chosen) > 1:
                raise ValueError(f"{where}: {control}: expected one answer, got {chosen}")
            if chosen:
                return str(chosen[0])
    return None


def _time(value: Any, where: str) -> datetime:
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        raise ValueError(f"{where}: created_at: expected an ISO time, got {value!r}") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
