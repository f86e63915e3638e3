"""The lexical view of a message: hashed character n-grams, the same ids in training and serving."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from data.encoding import Message
from data.example import Turn
from data.text import normalise

__all__ = ["NgramView"]

# Turns before the message that are read, and the mark before their n-grams: what the agent asked is
# another feature than the same words of the customer.
_CONTEXT = {"agent": (1, "\x04"), "customer": (2, "\x05")}
_CONTEXT_CHARACTERS = 60


class NgramView:
    """Maps a message, and the latest turns before it, to bucket numbers of their character n-grams.

    Bucket 0 is padding. Hashing (CRC-32 of UTF-8) needs no vocabulary to be stored, and unseen
    n-grams fall into buckets that training left near zero.
    """

    def __init__(
        self,
        buckets: int,
        sizes: tuple[int, ...] = (1, 2, 3, 4),
        context_sizes: tuple[int, ...] = (2, 3),
        limit: int = 512,
    ) -> None:
        if buckets < 2:
            raise ValueError(f"ngrams: buckets must be at least 2, got {buckets}")
        self.buckets, self.sizes, self.context_sizes, self.limit = buckets, sizes, context_sizes, limit

    def ids(self, text: str) -> list[int]:
        """Bucket numbers (1 … buckets - 1) of the distinct n-grams; text edges count as a mark."""
        return self._hash(_ngrams(f"\x02{normalise(text)}\x03", self.sizes))

    def context_ids(self, context: Sequence[Turn]) -> list[int]:
        """The same for the agent's latest turn and the customer's latest two, each by itself."""
        left = {role: count for role, (count, _) in _CONTEXT.items()}
        grams: list[str] = []
        for turn in reversed(context):
            if left.get(turn.role, 0) > 0:
                left[turn.role] -= 1
                mark = _CONTEXT[turn.role][1]
                text = normalise(turn.text)[:_CONTEXT_CHARACTERS]
                grams += [mark + gram for gram in _ngrams(f"\x02{text}\x03", self.context_sizes)]
        return self._hash(grams)

    def _hash(self, grams: Iterable[str]) -> list[int]:
        width = self.buckets - 1
        distinct = list(dict.fromkeys(grams))[: self.limit]
        # Two n-grams of a text may meet in one bucket: it counts once, as in training.
        return list(dict.fromkeys(1 + zlib.crc32(gram.encode()) % width for gram in distinct))

    def batch(self, messages: Sequence[Message]) -> dict[str, NDArray[np.int64]]:
        """Padded bucket numbers, int64 [batch, most n-grams of a message]: `ngram_ids` of the messages
        and `context_ngram_ids` of the turns before them."""
        return {
            "ngram_ids": _pad([self.ids(text) for text, _ in messages]),
            "context_ngram_ids": _pad([self.context_ids(context) for _, context in messages]),
        }


def _ngrams(text: str, sizes: Sequence[int]) -> Iterable[str]:
    return (text[start : start + size] for size in sizes for start in range(len(text) - size + 1))


def _pad(rows: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    out = np.zeros((len(rows), max(1, *map(len, rows)) if rows else 1), np.int64)
    for index, row in enumerate(rows):
        out[index, : len(row)] = row
    return out
