"""What a reranker of replies reads of wording: the same numbers in training and in serving.

A text becomes the code points of its normalised form; n-grams are hashed with plain integer arithmetic on
whole arrays, so that a library of a million scripts is read in seconds and a request's candidates in a
millisecond.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.text import normalise

__all__ = ["EXTRAS", "PairView", "Side", "code_points", "gram_hashes", "side_of"]

EXTRAS = (
    "cosine", "shared_characters", "shared_pairs", "covered_characters", "covered_pairs", "query_length",
    "reply_length", "reply_is_question",
)  # fmt: skip
"""Names of the numbers beside the two vectors, in their order."""

_SLOT = re.compile(r"\{[a-z_]+\}")
_LARGEST = 0xFFFF
_QUESTION = frozenset(map(ord, "?吗呢么"))
_MIX_ONE, _MIX_TWO, _MIX_END = np.uint32(0x9E3779B1), np.uint32(0x85EBCA77), np.uint32(0xC2B2AE3D)


def code_points(text: str) -> NDArray[np.uint16]:
    """Code points of the normalised text without slots; what lies beyond the basic plane is one sign."""
    plain = normalise(_SLOT.sub(" ", text))
    points = np.frombuffer(plain.encode("utf-32-le"), np.uint32)
    return np.minimum(points, _LARGEST).astype(np.uint16)


def gram_hashes(points: NDArray[np.uint16], size: int) -> NDArray[np.uint32]:
    """A hash for each run of `size` characters (1 or 2); empty where the text is shorter.

    Raises:
        ValueError: another size.
    """
    if size not in (1, 2):
        raise ValueError(f"size: expected 1 or 2, got {size}")
    wide = points.astype(np.uint32)
    if size == 1:
        return _mixed(wide * _MIX_ONE)
    return _mixed(wide[:-1] * _MIX_ONE + wide[1:] * _MIX_TWO + np.uint32(1))


def _mixed(values: NDArray[np.uint32]) -> NDArray[np.uint32]:
    values = values ^ (values >> np.uint32(15))
    values = values * _MIX_END
    return values ^ (values >> np.uint32(13))


@dataclass(frozen=True, slots=True)
class Side:
    """One text of a pair."""

    characters: NDArray[np.uint32]
    """Distinct hashes of single characters."""
    pairs: NDArray[np.uint32]
    """Distinct hashes of neighbouring characters."""
    length: int
    question: bool


def side_of(points: NDArray[np.uint16], limit: int = 160) -> Side:
    """The view of one text; of a longer one the first `limit` characters."""
    points = points[:limit]
    question = bool(len(points)) and not _QUESTION.isdisjoint(points[-2:].tolist())
    return Side(np.unique(gram_hashes(points, 1)), np.unique(gram_hashes(points, 2)), len(points), question)


class PairView:
    """Numbers and hashed crosses of (message, reply) pairs.

    A cross is "this n-gram in the message, that one in the reply": what makes an answer fit a question
    without sharing a word with it. Buckets: 0 is padding.

    Args:
        buckets: number of buckets for crosses and replies' n-grams together.
        limit: most crosses of one kind that a pair has; the rest is cut.
    """

    def __init__(self, buckets: int, limit: int = 1500) -> None:
        if buckets < 2:
            raise ValueError(f"buckets: must be at least 2, got {buckets}")
        self.buckets, self.limit = buckets, limit

    def numbers(
        self, query: Side, replies: Sequence[Side], cosine: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """float32 [replies, len(EXTRAS)], each about 0 to 1."""
        out = np.zeros((len(replies), len(EXTRAS)), np.float32)
        for row, reply in enumerate(replies):
            characters = _shared(query.characters, reply.characters)
            pairs = _shared(query.pairs, reply.pairs)
            out[row] = (
                cosine[row],
                characters / 10,
                pairs / 5,
                characters / max(1, len(query.characters)),
                pairs / max(1, len(query.pairs)),
                np.log1p(query.length) / 5,
                np.log1p(reply.length) / 5,
                float(reply.question),
            )
        return out

    def grams(self, query: Side, replies: Sequence[Side]) -> NDArray[np.int64]:
        """Bucket numbers, int64 [replies, most of them]: the reply's n-grams and both kinds of crosses."""
        rows = [self._row(query, reply) for reply in replies]
        out = np.zeros((len(rows), max(1, *map(len, rows)) if rows else 1), np.int64)
        for index, row in enumerate(rows):
            out[index, : len(row)] = row
        return out

    def _row(self, query: Side, reply: Side) -> NDArray[np.uint32]:
        own = [reply.characters * _MIX_TWO, reply.pairs * _MIX_TWO]
        crosses = [
            (one[:, None] * _MIX_ONE + other[None, :]).ravel()[: self.limit]
            for one, other in ((query.characters, reply.characters), (query.pairs, reply.pairs))
        ]
        hashes = _mixed(np.concatenate([*own, *crosses]))
        return np.uint32(1) + hashes % np.uint32(self.buckets - 1)


def _shared(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> int:
    """How many of these sorted distinct values both have."""
    if not len(one) or not len(other):
        return 0
    place = np.minimum(np.searchsorted(other, one), len(other) - 1)
    return int((other[place] == one).sum())
