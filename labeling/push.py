"""Examples or chats become tasks: masked, without doubles, with the champion's suggestions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from data.example import Turn, parse_turns
from data.files import read_jsonl
from data.pii import mask
from data.taxonomy import Taxonomy
from labeling.client import LabelStudio, TimedOutError
from labeling.interface import chat_html, suggestions
from labeling.suggest import Suggest, Suggestion, to_prediction
from labeling.task import task_key

__all__ = ["BATCH", "Chat", "PushReport", "existing_keys", "push", "read_chats", "task_of", "tasks_with"]

BATCH = 250


@dataclass(frozen=True, slots=True)
class Chat:
    """A customer message to label, with the turns before it."""

    text: str
    context: tuple[Turn, ...] = ()
    conversation: str | None = None
    source: str | None = None
    """The id of the row it came from."""

    @property
    def key(self) -> str:
        """The same for the same message in the same context, masked or not yet."""
        return task_key(self.text, self.context)


@dataclass(frozen=True, slots=True)
class PushReport:
    """What became of the rows of a file."""

    added: int
    present: int
    """Already in the project."""
    doubled: int
    """The same message twice in the file."""


def read_chats(path: Path) -> list[Chat]:
    """Read rows to label, personal data masked.

    A row is one message, `{"text", "context"?, "conversation"?, "id"?}` (an `examples.jsonl` is of this
    form), or a whole chat, `{"id"?, "turns": [{"role", "text"}]}`, of which every customer turn is labelled.

    Raises:
        ValueError: names file, line and field of the first bad row.
    """
    chats: list[Chat] = []
    for number, row in read_jsonl(path):
        chats.extend(_chats(row, f"{path}:{number}"))
    if not chats:
        raise ValueError(f"{path}: holds no messages to label")
    return chats


def _chats(row: dict[str, Any], where: str) -> Iterator[Chat]:
    identity = None if row.get("id") is None else str(row["id"])
    if "turns" in row:
        turns = [_masked(turn) for turn in parse_turns(row["turns"], f"{where}: turns")]
        for index, turn in enumerate(turns):
            if turn.role == "customer" and turn.text.strip():
                source = None if identity is None else f"{identity}-{index}"
                yield Chat(turn.text, tuple(turns[:index]), identity, source)
        return
    text = row.get("text")
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{where}: text: expected a message, got {text!r}")
    context = parse_turns(row.get("context") or [], f"{where}: context")
    yield Chat(mask(text), tuple(map(_masked, context)), row.get("conversation"), identity)


def _masked(turn: Turn) -> Turn:
    return replace(turn, text=mask(turn.text))


def existing_keys(server: LabelStudio, project: int) -> set[str]:
    """The keys of all tasks of a project."""
    pages = server.tasks(project, page_size=1000, answers=False)
    return {str((task["data"] or {}).get("key")) for page in pages for task in page}


def push(
    server: LabelStudio,
    project: int,
    chats: Sequence[Chat],
    build: Callable[[Sequence[Chat]], list[dict[str, Any]]],
    batch: int = BATCH,
) -> PushReport:
    """Add what is not there yet. Broken off and repeated, it goes on where it was.

    Args:
        build: makes tasks of a batch of chats (`task_of` each).

    Raises:
        LabelStudioError: the server refused or is gone; what was added stays.
    """
    unique = {chat.key: chat for chat in chats}
    present = existing_keys(server, project)
    missing = [chat for key, chat in unique.items() if key not in present]
    added = 0
    with tqdm(
        total=len(missing), unit="task", desc="import", disable=None if len(missing) >= 100 else True
    ) as progress:
        for start in range(0, len(missing), batch):
            part = missing[start : start + batch]
            tasks = build(part)
            try:
                server.import_tasks(project, tasks)
            except TimedOutError:
                # The server may have taken them: look before sending what is not there once more.
                arrived = existing_keys(server, project)
                rest = [task for task in tasks if task["data"]["key"] not in arrived]
                if rest:
                    server.import_tasks(project, rest)
            added += len(part)
            progress.update(len(part))
    return PushReport(added, len(unique) - len(missing), len(chats) - len(unique))


def tasks_with(
    suggest: Suggest | None, taxonomy: Taxonomy
) -> Callable[[Sequence[Chat]], list[dict[str, Any]]]:
    """A `build` for `push`: tasks with the suggestions of a model, or without where it is None."""

    def build(chats: Sequence[Chat]) -> list[dict[str, Any]]:
        messages = [(chat.text, chat.context) for chat in chats]
        suggestions = suggest(messages) if suggest else [None] * len(chats)
        return [
            task_of(chat, suggestion, taxonomy) for chat, suggestion in zip(chats, suggestions, strict=True)
        ]

    return build


def task_of(chat: Chat, suggestion: Suggestion | None, taxonomy: Taxonomy, **more: Any) -> dict[str, Any]:
    """A task as Label Studio imports it.

    Args:
        more: further fields of the task's data.
    """
    data = {
        "key": chat.key,
        "source": chat.source,
        "conversation": chat.conversation,
        "text": chat.text,
        "context": [asdict(turn) for turn in chat.context],
        "chat": chat_html(chat.text, chat.context),
        "suggested": suggestions(taxonomy, suggestion.categories) if suggestion else [],
        "model": suggestion.model if suggestion else None,
        **more,
    }
    return {"data": data, "predictions": [to_prediction(suggestion)] if suggestion else []}
