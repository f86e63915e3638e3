"""Tasks that people look at again, in a project of their own: adjudication and review.

The one who decides sees the message, the reason, and the competing answers without names. The outcome
flows back with the next pull, where it decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from data.taxonomy import Taxonomy
from labeling.client import LabelStudio
from labeling.interface import suggestions
from labeling.project import Project, init_project
from labeling.push import BATCH, Chat, task_of
from labeling.resolve import Conflict
from labeling.task import Task

__all__ = ["SecondLook", "adjudicate", "ask_again", "competing_answers"]


@dataclass(frozen=True, slots=True)
class SecondLook:
    """Where tasks are looked at again, and how many came to it."""

    project: Project
    added: int
    present: int
    """Already there from an earlier time, not decided yet."""


def adjudicate(
    server: LabelStudio, project: Project, taxonomy: Taxonomy, conflicts: Sequence[Conflict]
) -> SecondLook:
    """Put tasks in conflict into the project's adjudication project, which is made if it is missing."""
    cases = [(conflict.task, conflict.reason) for conflict in conflicts]
    return ask_again(server, project, taxonomy, "adjudication", cases)


def ask_again(
    server: LabelStudio,
    project: Project,
    taxonomy: Taxonomy,
    kind: str,
    cases: Iterable[tuple[Task, str]],
) -> SecondLook:
    """Put tasks with a reason each into the project of this kind; those waiting there are skipped.

    Args:
        kind: "adjudication" or "review".
        cases: tasks of `project`, and why they are looked at again, in Chinese.
    """
    target, _ = init_project(
        server,
        taxonomy,
        f"{project.title} · {'裁决' if kind == 'adjudication' else '复查'}",
        1,
        kind,
        project.id,
    )
    waiting = {
        tuple(origin.values())
        for page in server.tasks(target.id, page_size=1000)
        for task in page
        if (origin := task["data"].get("origin")) and not _answered(task)
    }
    missing, present = [], 0
    for task, reason in cases:
        if (project.id, task.id) in waiting:
            present += 1
            continue
        chat = Chat(task.text, task.context, task.conversation, task.source)
        missing.append(
            task_of(
                chat,
                None,
                taxonomy,
                origin={"project": project.id, "task": task.id},
                reason=reason,
                answers=competing_answers(task, taxonomy),
                suggested=_shortcuts(task, taxonomy),
            )
        )
    for start in range(0, len(missing), BATCH):
        server.import_tasks(target.id, missing[start : start + BATCH])
    return SecondLook(target, len(missing), present)


def competing_answers(task: Task, taxonomy: Taxonomy) -> list[str]:
    """What was answered and how often, most frequent first: `催发货 · 焦急（2 人）`. No names."""
    latest = {answer.annotator: answer for answer in sorted(task.annotations, key=lambda one: one.at)}
    shown = Counter(
        "拿不准"
        if answer.undecided
        else f"{_zh(taxonomy.category, answer.category)} · {_zh(taxonomy.emotion, answer.emotion)}"
        for answer in latest.values()
    )
    return [f"{answer}（{count} 人）" for answer, count in shown.most_common()]


def _shortcuts(task: Task, taxonomy: Taxonomy) -> list[dict[str, str]]:
    counts = Counter(answer.category for answer in task.annotations if answer.category)
    return suggestions(taxonomy, [(key, f"{count} 人") for key, count in counts.most_common()])


def _answered(task: Mapping[str, object]) -> bool:
    answers = task.get("annotations")
    assert isinstance(answers, list)
    return any(not answer.get("was_cancelled") for answer in answers)


def _zh(entries: Mapping[str, object], key: str | None) -> str:
    return str(getattr(entries[key], "zh", key)) if key is not None and key in entries else "未答"
