"""Chats that nobody labelled: for self-training and for adapting the encoder to their words."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from data.encoding import Message
from data.example import ROLES, Turn

__all__ = ["chat_texts", "customer_messages", "read_unlabelled"]


def read_unlabelled(path: Path | str) -> list[tuple[Turn, ...]]:
    """Read chats, oldest turn first, from JSONL (also `.gz`).

    A row holds a list of `{"role": "customer" | "agent", "text"}` under `messages` or `turns`, or one
    customer message under `text`. Turns without any text are left out.

    Raises:
        ValueError: names file, line and field of the first bad row; or there are no chats.
    """
    chats: list[tuple[Turn, ...]] = []
    for number, row in _rows(Path(path)):
        where = f"{path}:{number}"
        if isinstance(row.get("text"), str):
            turns: tuple[Turn, ...] = (Turn("customer", row["text"]),)
        else:
            name = "messages" if "messages" in row else "turns"
            if not isinstance(row.get(name), list):
                raise ValueError(f"{where}: expected a list under messages or turns, or a text")
            turns = tuple(_turn(one, f"{where}: {name}[{at}]") for at, one in enumerate(row[name]))
        if kept := tuple(turn for turn in turns if turn.text.strip()):
            chats.append(kept)
    if not chats:
        raise ValueError(f"{path}: holds no chats")
    return chats


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    opened = gzip.open if path.name.endswith(".gz") else open
    try:
        with opened(path, "rb") as handle:
            for number, raw in enumerate(handle, 1):
                if not raw.strip():
                    continue
                row = json.loads(raw.decode("utf-8-sig"))
                if not isinstance(row, dict):
                    raise ValueError(f"{path}:{number}: expected an object, got {type(row).__name__}")
                yield number, row
    except (OSError, EOFError) as error:
        raise ValueError(f"{path}: cannot be read: {error}") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}:{number}: not JSON in UTF-8 ({error})") from error


def _turn(value: Any, where: str) -> Turn:
    fine = isinstance(value, dict) and value.get("role") in ROLES and isinstance(value.get("text"), str)
    if not fine:
        raise ValueError(f"{where}: expected role ({' or '.join(ROLES)}) and text")
    return Turn(value["role"], value["text"])


def customer_messages(chats: Sequence[tuple[Turn, ...]]) -> list[Message]:
    """Every customer turn with the turns before it, as models read them; a repeated one only once."""
    seen: dict[tuple[str, tuple[Turn, ...]], None] = {}
    for chat in chats:
        for at, turn in enumerate(chat):
            if turn.role == "customer":
                seen[turn.text, chat[:at]] = None
    return list(seen)


def chat_texts(chats: Sequence[tuple[Turn, ...]]) -> list[str]:
    """The texts of all turns, of both sides, each once, in order."""
    return list(dict.fromkeys(turn.text for chat in chats for turn in chat))
