"""Whole chats with times: a shop's log, as reports on emotion, answer times and inspection read it.

The corpus teaches models and has no clock; a log has one, and says which agent account answered. The format
and the written log of a demo shop: data/demo_shop/README.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from data.example import ROLES, Turn
from data.files import read_jsonl

__all__ = ["CHANNELS", "DEMO_SHOP", "Chat", "TimedTurn", "answer_seconds", "read_chats", "unlabelled"]

DEMO_SHOP = Path(__file__).parent / "demo_shop" / "chats.jsonl"
CHANNELS = ("app", "web", "wangwang", "wechat", "miniprogram")
_CHAT_FIELDS = {"id", "agent", "channel", "turns"}
_TURN_FIELDS = {"role", "text", "sent_at", "emotion"}


@dataclass(frozen=True, slots=True)
class TimedTurn:
    """One turn of a chat, and when it was sent."""

    role: str
    """"customer" or "agent"."""
    text: str
    sent_at: datetime
    """With its offset from UTC; hours of the day are those of the shop's clock."""
    emotion: str | None = None
    """What a careful reader says of a customer's turn; None in a log that nobody read."""


@dataclass(frozen=True, slots=True)
class Chat:
    """One chat between a customer and an agent account, oldest turn first."""

    id: str
    agent: str
    """The account that answers: a pseudonym, never a name."""
    channel: str
    turns: tuple[TimedTurn, ...] = field(default=())

    @property
    def began(self) -> datetime:
        """When the first turn was sent."""
        return self.turns[0].sent_at

    @property
    def ended(self) -> datetime:
        """When the last turn was sent."""
        return self.turns[-1].sent_at

    @property
    def said(self) -> list[tuple[str, str]]:
        """(role, text) of every turn, as the service's client takes them."""
        return [(turn.role, turn.text) for turn in self.turns]

    @property
    def messages(self) -> list[tuple[int, TimedTurn]]:
        """The customer's turns with their positions."""
        return [(index, turn) for index, turn in enumerate(self.turns) if turn.role == "customer"]


def read_chats(path: Path | str = DEMO_SHOP) -> list[Chat]:
    """Read a log of chats, in the order of their beginnings.

    Raises:
        ValueError: names file, line and field of the first wrong entry; there are no chats; an id occurs
            twice.
    """
    chats: dict[str, Chat] = {}
    for number, row in read_jsonl(path):
        chat = _chat(row, f"{path}:{number}")
        if chat.id in chats:
            raise ValueError(f"{path}:{number}: id: {chat.id!r} occurs twice")
        chats[chat.id] = chat
    if not chats:
        raise ValueError(f"{path}: holds no chats")
    return sorted(chats.values(), key=lambda chat: (chat.began, chat.id))


def _chat(row: dict[str, Any], where: str) -> Chat:
    _known(row, _CHAT_FIELDS, where)
    for name in ("id", "agent"):
        if not isinstance(row.get(name), str) or not row[name].strip():
            raise ValueError(f"{where}: {name}: expected a text, got {row.get(name)!r}")
    if row.get("channel") not in CHANNELS:
        raise ValueError(
            f"{where}: channel: expected one of {', '.join(CHANNELS)}, got {row.get('channel')!r}"
        )
    if not isinstance(row.get("turns"), list):
        raise ValueError(f"{where}: turns: expected a list, got {type(row.get('turns')).__name__}")
    turns = tuple(_turn(turn, f"{where}: turns[{index}]") for index, turn in enumerate(row["turns"]))
    if not any(turn.role == "customer" for turn in turns):
        raise ValueError(f"{where}: turns: needs at least one turn of the customer")
    for index in range(1, len(turns)):
        if turns[index].sent_at < turns[index - 1].sent_at:
            raise ValueError(f"{where}: turns[{index}].sent_at: is before the turn above it")
    return Chat(row["id"], row["agent"], row["channel"], turns)


def _turn(value: Any, where: str) -> TimedTurn:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected an object with role, text and sent_at")
    _known(value, _TURN_FIELDS, where)
    if value.get("role") not in ROLES:
        raise ValueError(f"{where}.role: expected customer or agent, got {value.get('role')!r}")
    if not isinstance(value.get("text"), str) or not value["text"].strip():
        raise ValueError(f"{where}.text: expected a text, got {value.get('text')!r}")
    try:
        sent_at = datetime.fromisoformat(value.get("sent_at"))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ValueError(
            f"{where}.sent_at: expected a time as 2026-11-05T09:14:22+08:00, got {value.get('sent_at')!r}"
        ) from None
    if sent_at.utcoffset() is None:
        raise ValueError(
            f"{where}.sent_at: {value['sent_at']!r} has no offset; append +08:00 for Beijing time"
        )
    emotion = value.get("emotion")
    if emotion is not None and (value["role"] == "agent" or not isinstance(emotion, str)):
        raise ValueError(f"{where}.emotion: expected the key of an emotion, of a customer's turn only")
    return TimedTurn(value["role"], value["text"], sent_at, emotion)


def _known(value: dict[str, Any], names: set[str], where: str) -> None:
    if unknown := sorted(set(value) - names):
        raise ValueError(f"{where}: {unknown[0]}: is unknown; known are {', '.join(sorted(names))}")


def answer_seconds(chat: Chat) -> list[tuple[int, float]]:
    """How long the customer waited, by position of the agent's turn that ended the wait.

    A wait begins with the first of several customer turns in a row; a second agent turn in a row ends none.

    Returns:
        (position in `chat.turns`, seconds), oldest first.
    """
    found: list[tuple[int, float]] = []
    waiting: datetime | None = None
    for index, turn in enumerate(chat.turns):
        if turn.role == "customer":
            waiting = waiting or turn.sent_at
        elif waiting is not None:
            found.append((index, (turn.sent_at - waiting).total_seconds()))
            waiting = None
    return found


def unlabelled(chats: Sequence[Chat]) -> list[tuple[str, tuple[Turn, ...]]]:
    """Every customer turn with the turns before it, as models read them; in the order of the chats."""
    return [
        (turn.text, tuple(Turn(one.role, one.text) for one in chat.turns[:index]))
        for chat in chats
        for index, turn in chat.messages
    ]
