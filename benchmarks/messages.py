"""The messages that benchmarks ask about: real-length chats, in an order that a seed decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from data.files import read_jsonl
from data.sources import CORPUS, read_corpus
from data.split import load_snapshot

__all__ = ["choose_messages", "describe_messages"]

SNAPSHOT = Path(__file__).resolve().parent.parent / "data" / "processed"


def choose_messages(file: Path | None, seed: int) -> tuple[str, list[dict[str, Any]]]:
    """Where the messages are from, and the request bodies in shuffled order.

    Args:
        file: JSON Lines with text and context; None takes the snapshot's test split, or the embedded
            corpus where there is no snapshot.

    Raises:
        ValueError: a row of the file has no text, or there is no row.
    """
    if file:
        source = str(file)
        rows = []
        for number, row in read_jsonl(file):
            if not isinstance(row.get("text"), str):
                raise ValueError(f"{file}:{number}: text: expected a text, got {row.get('text')!r}")
            rows.append({"text": row["text"], "context": row.get("context") or []})
    else:
        if (SNAPSHOT / "snapshot.json").is_file():
            snapshot = load_snapshot(SNAPSHOT)
            source, examples = f"test split of snapshot {snapshot.id}", snapshot.splits["test"]
        else:
            source, examples = "conversations of the embedded corpus", read_corpus(CORPUS)
            examples = [example for example in examples if example.conversation]
        rows = [
            {"text": one.text, "context": [asdict(turn) for turn in one.context]}
            for one in examples
            if one.text.strip()
        ]
    if not rows:
        raise ValueError(f"{source}: no messages")
    order = np.random.default_rng(seed).permutation(len(rows))
    return source, [rows[int(index)] for index in order]


def describe_messages(source: str, bodies: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Where they are from, how many there are, and how long."""
    characters = [len(body["text"]) for body in bodies]
    return {
        "source": source,
        "count": len(bodies),
        "with_context": sum(bool(body["context"]) for body in bodies),
        "mean_characters": round(float(np.mean(characters)), 1),
    }
