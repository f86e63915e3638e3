"""Judged pairs of question and reply: read, numbered, and cut into folds that no question straddles."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.files import read_jsonl
from data.text import normalise

__all__ = ["BEIKE", "Pairs", "datasets_folder", "query_folds", "read_beike"]

BEIKE = "beike_replies_train.jsonl"


@dataclass(frozen=True)
class Pairs:
    """Pairs of a message and a reply, by their numbers in `queries` and `replies`."""

    queries: list[str]
    """Distinct messages."""
    replies: list[str]
    """Distinct replies."""
    query: NDArray[np.int64]
    reply: NDArray[np.int64]
    answers: NDArray[np.int64]
    """1 where the reply answers the message, else 0."""
    group: NDArray[np.int64]
    """The asking that a pair belongs to: candidates of one row of the file."""

    def __len__(self) -> int:
        return len(self.query)

    def take(self, rows: NDArray[np.int64]) -> Pairs:
        """Some of the pairs, over the same texts."""
        return Pairs(
            self.queries,
            self.replies,
            self.query[rows],
            self.reply[rows],
            self.answers[rows],
            self.group[rows],
        )


def datasets_folder() -> Path:
    """`KEFU_DATASETS`, or `../shared/datasets`."""
    return Path(os.environ.get("KEFU_DATASETS") or "../shared/datasets")


def read_beike(path: Path, limit: int | None = None) -> Pairs:
    """Read `{"query", "replies": [{"text", "answers"}]}` rows.

    Raises:
        ValueError: names file, line and field of the first wrong row.
        FileNotFoundError: there is no such file.
    """
    queries: dict[str, int] = {}
    replies: dict[str, int] = {}
    rows: list[tuple[int, int, int, int]] = []
    for group, (number, row) in enumerate(read_jsonl(path)):
        if limit is not None and group >= limit:
            break
        if not isinstance(row.get("query"), str) or not isinstance(row.get("replies"), list):
            raise ValueError(f"{path}:{number}: query, replies: expected a text and a list")
        query = queries.setdefault(row["query"], len(queries))
        for candidate in row["replies"]:
            if not isinstance(candidate.get("text"), str) or candidate.get("answers") not in (0, 1):
                raise ValueError(f"{path}:{number}: replies: expected text, and answers 0 or 1")
            reply = replies.setdefault(candidate["text"], len(replies))
            rows.append((query, reply, candidate["answers"], group))
    columns = np.array(rows, np.int64).reshape(-1, 4).T
    return Pairs(list(queries), list(replies), *columns)


def query_folds(pairs: Pairs, folds: int, seed: int) -> list[NDArray[np.int64]]:
    """Pairs of each fold; a question, however it is written after normalisation, is in one fold only."""
    names: dict[str, int] = {}
    key = np.array([names.setdefault(normalise(text), len(names)) for text in pairs.queries])
    fold = np.random.default_rng(seed).permutation(len(names)) % folds
    place = fold[key[pairs.query]]
    return [np.flatnonzero(place == number) for number in range(folds)]
