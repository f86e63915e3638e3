"""One labelled customer message with the turns before it: the row that every stage passes on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from data.files import read_jsonl, write_jsonl

__all__ = [
    "ROLES",
    "Example",
    "Turn",
    "Vote",
    "iter_examples",
    "parse_turns",
    "read_examples",
    "write_examples",
]

ROLES = ("customer", "agent")


@dataclass(frozen=True, slots=True)
class Turn:
    """One earlier turn of a conversation; `role` is "customer" or "agent"."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's annotation that an example's labels rest on."""

    project: int
    task: int
    annotation: int
    annotator: str
    """A pseudonym, `annotator-7`."""
    category: str | None
    emotion: str | None
    at: str
    """ISO 8601, UTC."""


@dataclass(frozen=True, slots=True)
class Example:
    """A customer message to be understood, and what a careful reader says of it."""

    id: str
    text: str
    category: str
    emotion: str
    author: str
    """Who wrote it (embedded corpus) or which annotator labelled it (pseudonym)."""
    context: tuple[Turn, ...] = field(default=())
    """Turns before the message, oldest first."""
    conversation: str | None = None
    """Rows of one conversation never fall into two splits."""
    neighbour: str | None = None
    """The category that a careless reader would take it for (hard rows)."""
    votes: tuple[Vote, ...] = ()
    """The annotations behind the labels; none where the author wrote them (embedded corpus)."""


def parse_turns(value: Any, where: str) -> tuple[Turn, ...]:
    """Check a list of `{"role", "text"}` and make it turns.

    Raises:
        ValueError: names `where`, the index and the field.
    """
    if not isinstance(value, list):
        raise ValueError(f"{where}: expected a list of turns, got {type(value).__name__}")
    turns = []
    for index, turn in enumerate(value):
        here = f"{where}[{index}]"
        if not isinstance(turn, dict):
            raise ValueError(f"{here}: expected an object with role and text")
        if turn.get("role") not in ROLES:
            raise ValueError(f"{here}.role: expected customer or agent, got {turn.get('role')!r}")
        if not isinstance(turn.get("text"), str):
            raise ValueError(f"{here}.text: expected a text, got {turn.get('text')!r}")
        turns.append(Turn(turn["role"], turn["text"]))
    return tuple(turns)


def read_examples(path: Path | str) -> list[Example]:
    """Read `examples.jsonl`.

    Raises:
        ValueError: names file, line and field of the first bad row.
    """
    return list(iter_examples(path))


def iter_examples(path: Path | str) -> Iterator[Example]:
    """The rows of `examples.jsonl` one by one, as for `read_examples`."""
    for number, row in read_jsonl(path):
        where = f"{path}:{number}"
        for name in ("id", "text", "category", "emotion", "author"):
            if not isinstance(row.get(name), str):
                raise ValueError(f"{where}: {name}: expected a text, got {row.get(name)!r}")
        yield Example(
            id=row["id"],
            text=row["text"],
            category=row["category"],
            emotion=row["emotion"],
            author=row["author"],
            context=parse_turns(row.get("context") or [], f"{where}: context"),
            conversation=row.get("conversation"),
            neighbour=row.get("neighbour"),
            votes=_votes(row.get("votes") or [], f"{where}: votes"),
        )


def _votes(value: Any, where: str) -> tuple[Vote, ...]:
    try:
        return tuple(Vote(**vote) for vote in value)
    except TypeError as error:
        names = ", ".join(Vote.__dataclass_fields__)
        raise ValueError(f"{where}: expected a list of objects with {names}") from error


def write_examples(path: Path | str, examples: Iterable[Example]) -> int:
    """Write `examples.jsonl` atomically; returns the number of rows."""
    return write_jsonl(path, (asdict(example) for example in examples))
