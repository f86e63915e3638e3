"""The embedded corpus, or a file of examples made from a shop's own labels.

The embedded corpus lies in `data/corpus/messages/AUTHOR.jsonl` (single messages) and
`data/corpus/conversations/AUTHOR.jsonl` (whole chats, each customer turn labelled).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.example import ROLES, Example, Turn, read_examples, write_examples
from data.files import read_jsonl

__all__ = ["CORPUS", "main", "read_corpus", "read_source"]

CORPUS = Path(__file__).resolve().parent.parent / "corpus"


def read_source(source: Path | str) -> list[Example]:
    """Read examples from a folder in the form of the embedded corpus, or from an `examples.jsonl`.

    Raises:
        ValueError: a bad row (file, line, field), or no rows at all.
    """
    path = Path(source)
    if not path.exists():
        raise ValueError(f"data.source: {path}: does not exist; the embedded corpus is data/corpus")
    examples = read_corpus(path) if path.is_dir() else read_examples(path)
    if not examples:
        raise ValueError(f"data.source: {source}: holds no examples")
    seen: dict[str, int] = {}
    for index, example in enumerate(examples):
        if example.id in seen:
            raise ValueError(f"data.source: {source}: id {example.id!r} occurs twice")
        seen[example.id] = index
    return examples


def read_corpus(folder: Path) -> list[Example]:
    """Read an embedded corpus: its messages, and every customer turn with the turns before it.

    Raises:
        ValueError: names file, line and field of a bad row.
    """
    examples: list[Example] = []
    for path in sorted((folder / "messages").glob("*.jsonl")):
        examples.extend(read_examples(path))
    for path in sorted((folder / "conversations").glob("*.jsonl")):
        for number, row in read_jsonl(path):
            examples.extend(_conversation(row, f"{path}:{number}"))
    return examples


def _conversation(row: dict[str, Any], where: str) -> list[Example]:
    for name in ("id", "author"):
        if not isinstance(row.get(name), str):
            raise ValueError(f"{where}: {name}: expected a text, got {row.get(name)!r}")
    if not isinstance(row.get("turns"), list):
        raise ValueError(f"{where}: turns: expected a list")
    examples: list[Example] = []
    past: list[Turn] = []
    for index, turn in enumerate(row["turns"]):
        role, text = turn.get("role"), turn.get("text")
        if role not in ROLES or not isinstance(text, str):
            raise ValueError(f"{where}: turns[{index}]: expected role (customer, agent) and text")
        if role == "customer":
            for name in ("category", "emotion"):
                if not isinstance(turn.get(name), str):
                    raise ValueError(f"{where}: turns[{index}].{name}: expected a label")
            examples.append(
                Example(
                    id=f"{row['id']}-{index}",
                    text=text,
                    category=turn["category"],
                    emotion=turn["emotion"],
                    author=row["author"],
                    context=tuple(past),
                    conversation=row["id"],
                )
            )
        past.append(Turn(role, text))
    return examples


def main(arguments: Sequence[str] | None = None) -> None:
    """Stage `examples`: write `examples.jsonl` from the configured source."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--source", required=True, help="a corpus folder or an examples.jsonl")
    parser.add_argument("--output", required=True, type=Path)
    options = parser.parse_args(arguments)
    count = write_examples(options.output, read_source(options.source))
    print(f"{count} examples -> {options.output}")
