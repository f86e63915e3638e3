"""What agents said of the service's answers becomes tasks: wrong answers first, their word beside the chat.

A word on the desk is no label. It stands on the annotator's screen as a note and among the shortcuts, and
people decide. Feedback is marked as taken only when its task is known to be in the project; broken off and
repeated, nothing is lost or doubled.
"""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.taxonomy import TASKS, Taxonomy
from labeling.client import LabelStudio
from labeling.interface import suggestions
from labeling.project import READABLE, Project
from labeling.push import Chat, push
from serving.feedback import Feedback, FeedbackStore, Judgement

__all__ = ["FEEDBACK_TAB", "FeedbackReport", "push_feedback", "said"]

FEEDBACK_TAB = "一线反馈 · 判错的在前"
_SHORTCUT = "一线反馈"
_NAMES = {"category": "类目", "emotion": "情绪"}
Build = Callable[[Sequence[Chat]], list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class FeedbackReport:
    """What became of the pending feedback."""

    taken: int
    """Feedback that is in the project now."""
    added: int
    """Tasks made of it."""
    noted: int
    """Tasks that were there already, and show it now."""
    url: str
    """Of the tab with all tasks that carry feedback."""


def push_feedback(
    server: LabelStudio, project: Project, store: FeedbackStore, taxonomy: Taxonomy, build: Build
) -> FeedbackReport | None:
    """Bring all pending feedback into a project; None where there is none.

    Several words on one message go to one task. A task that is there already gets the note and a place in the
    tab, wherever it stood; its answers stay.

    Args:
        build: tasks of chats, as `labeling.push.tasks_with` makes them.

    Raises:
        LabelStudioError: the server refused or is gone; what was not marked is tried again next time.
        serving.feedback.FeedbackStoreError: the store cannot be read or written.
    """
    pending = store.pending()
    if not pending:
        return None
    chats: dict[str, Chat] = {}
    words: dict[str, list[Feedback]] = defaultdict(list)
    for one in pending:
        chat = Chat(one.text, one.context, source=f"feedback-{one.id}")
        chats.setdefault(chat.key, chat)
        words[chat.key].append(one)
    noted = _note_present(server, project, words, taxonomy)
    report = push(server, project.id, list(chats.values()), _noting(build, words, taxonomy))
    store.mark_taken(pending, f"{server.login.url} project {project.id}")
    return FeedbackReport(len(pending), report.added, noted, _show(server, project))


def said(feedback: Feedback, taxonomy: Taxonomy) -> str:
    """One line for people: `类目：“物流查询”不对，应为“催配送”；情绪：“焦急”正确`."""
    parts = []
    for task in TASKS:
        judgement: Judgement | None = getattr(feedback, task)
        if judgement is None:
            continue
        predicted, label = (_zh(key, task, taxonomy) for key in (judgement.predicted, judgement.label))
        outcome = "正确" if judgement.right else f"不对，应为“{label}”"
        parts.append(f"{_NAMES[task]}：“{predicted}”{outcome}")
    return "；".join(parts)


def _zh(key: str, task: str, taxonomy: Taxonomy) -> str:
    entries: Mapping[str, Any] = taxonomy.category if task == "category" else taxonomy.emotion
    return str(entries[key].zh) if key in entries else key


def _noting(build: Build, words: Mapping[str, list[Feedback]], taxonomy: Taxonomy) -> Build:
    def noted(chats: Sequence[Chat]) -> list[dict[str, Any]]:
        tasks = build(chats)
        for task in tasks:
            task["data"] |= _note(task["data"], words[task["data"]["key"]], taxonomy)
        return tasks

    return noted


def _note(data: Mapping[str, Any], words: Sequence[Feedback], taxonomy: Taxonomy) -> dict[str, Any]:
    """The fields of a task's data that carry what people said; noting the same twice changes nothing."""
    earlier = [line for line in str(data.get("feedback") or "").split("\n") if line]
    lines = list(dict.fromkeys([*earlier, *(said(one, taxonomy) for one in words)]))
    # Not a bubble of the chat: the style sheet draws only paragraphs as such.
    chat, _, _ = str(data["chat"]).partition("<div")
    shown = "<br>".join(html.escape(line, quote=False) for line in lines)
    wrong = any(one.wrong for one in words) or str(data.get("rank") or "").startswith("feedback-0")
    return {
        "feedback": "\n".join(lines),
        "chat": f"{chat}<div>{_SHORTCUT}（仅供参考）<br>{shown}</div>",
        "suggested": _shortcuts(data, words, taxonomy),
        "batch": "feedback",
        "rank": f"feedback-{0 if wrong else 1}-{min(one.number for one in words):09}",
    }


def _shortcuts(
    data: Mapping[str, Any], words: Sequence[Feedback], taxonomy: Taxonomy
) -> list[dict[str, str]]:
    """The categories that people named first, then the model's."""
    named = [one.category.label for one in words if one.category and one.category.label in taxonomy.category]
    old = {entry["alias"]: str(entry["value"]).partition(" ")[2] for entry in data.get("suggested") or ()}
    ranked: dict[str, float | str] = dict.fromkeys(named, _SHORTCUT)
    for key, note in old.items():
        if key in taxonomy.category:
            ranked.setdefault(key, note)
    return suggestions(taxonomy, ranked.items())


def _note_present(
    server: LabelStudio, project: Project, words: Mapping[str, list[Feedback]], taxonomy: Taxonomy
) -> int:
    """Show feedback on tasks that are in the project already; returns how many there were."""
    found = 0
    for page in server.tasks(project.id, page_size=1000, answers=False):
        for task in page:
            data = dict(task["data"])
            if said_here := words.get(str(data.get("key"))):
                found += 1
                note = _note(data, said_here, taxonomy)
                if {name: data.get(name) for name in note} != note:
                    server.set_task_data(int(task["id"]), data | note)
    return found


def _show(server: LabelStudio, project: Project) -> str:
    """Keep a tab with all tasks that carry feedback, wrong answers first; returns its address."""
    shown = {
        "type": "list",
        "target": "tasks",
        "filters": {
            "conjunction": "and",
            "items": [
                {
                    "filter": "filter:tasks:data.batch",
                    "operator": "equal",
                    "type": "String",
                    "value": "feedback",
                }
            ],
        },
        "ordering": ["tasks:data.rank"],
        **READABLE,
    }
    tab = server.show_tab(project.id, FEEDBACK_TAB, shown)
    return f"{server.login.url}/projects/{project.id}/data?tab={tab}"
