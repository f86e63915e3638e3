"""The lexical view of a message: hashed character n-grams, the same ids in training and serving."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data.text import normalise

__all__ = ["NgramView"]


class NgramView:
    """Maps a message to bucket numbers of its character n-grams.

    Bucket 0 is padding. Hashing (CRC-32 of UTF-8) needs no vocabulary to be stored, and unseen
    n-grams fall into buckets that training left near zero.
    """

    def __init__(self, buckets: int, sizes: tuple[int, ...] = (1, 2, 3, 4), limit: int = 512) -> None:
        if buckets < 2:
            raise ValueError(f"ngrams: buckets must be at least 2, got {buckets}")
        self.buckets, self.sizes, self.limit = buckets, sizes, limit

    def ids(self, text: str) -> list[int]:
        """Bucket numbers (1 … buckets - 1) of the distinct n-grams; text edges count as a mark."""
        padded = f"\x02{normalise(text)}\x03"
        grams = dict.fromkeys(
            padded[start : start + size] for size in self.sizes for start in range(len(padded) - size + 1)
        )
        width = self.buckets - 1
        return [1 + zlib.crc32(gram.encode()) % width for gram in list(grams)[: self.limit]]

    def batch(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Padded bucket numbers, int64 [batch, most n-grams of a text]."""
        rows = [self.ids(text) for text in texts]
        out = np.zeros((len(rows), max(map(len, rows), default=1)), np.int64)
        for index, row in enumerate(rows):
            out[index, : len(row)] = row
        return out
