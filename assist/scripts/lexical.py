"""Scripts by wording: BM25 over characters and pairs of characters, scored inside chosen ranges only.

Scripts lie sorted by category. A posting list is sorted by script, so the part of it that belongs to a
category is found by bisection, and scripts of other categories cost nothing: libraries that score all
documents and mask afterwards pay for all of them (docs/recommend.md has the times).

Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, with the
inverse document frequency of Lucene, which is never negative.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data.reply_features import Side, code_points, gram_hashes, side_of

__all__ = ["LexicalIndex", "Range"]

Range = tuple[int, int]
"""Scripts from the first number up to but without the second."""
_BUCKET_BITS = 20
_CHUNK = 50_000
_COMMON = 0.5  # an n-gram that more of the scripts have than this tells none from another


class LexicalIndex:
    """BM25 scores of texts, by their numbers.

    Args:
        texts: as they are; slots are left out, the rest is normalised here.
        k1, b: saturation of repeated n-grams, and how much long texts are held back.
    """

    def __init__(self, texts: Sequence[str], k1: float = 1.2, b: float = 0.75) -> None:
        self.size = len(texts)
        points = [code_points(text) for text in texts]
        self._offsets = np.zeros(self.size + 1, np.int64)
        np.cumsum([len(one) for one in points], out=self._offsets[1:])
        self._points = np.concatenate(points) if points else np.zeros(0, np.uint16)
        del points
        buckets, self._scripts, counts = self._postings()
        order = np.argsort(buckets, kind="stable")  # a merge of sorted chunks
        self._scripts, counts = self._scripts[order], counts[order]
        frequency = np.bincount(buckets, minlength=1 << _BUCKET_BITS)
        del buckets, order
        self._starts = np.zeros(len(frequency) + 1, np.int64)
        np.cumsum(frequency, out=self._starts[1:])
        self._too_common = frequency > max(_COMMON * self.size, 2)
        self._weights = self._weigh(counts, frequency, k1, b)

    def _postings(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint8]]:
        """Bucket, script and count of every distinct n-gram of a script; sorted within chunks."""
        parts: list[tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint8]]] = []
        for first in range(0, self.size, _CHUNK):
            last = min(self.size, first + _CHUNK)
            offsets = self._offsets[first : last + 1]
            points = self._points[offsets[0] : offsets[-1]]
            owner = np.repeat(np.arange(first, last, dtype=np.int64), np.diff(offsets))
            keys = [(_bucket(gram_hashes(points, 1)) << 32) | owner]
            within = owner[1:] == owner[:-1]
            keys.append(((_bucket(gram_hashes(points, 2)) << 32) | owner[1:])[within])
            values, counts = np.unique(np.concatenate(keys), return_counts=True)
            parts.append((
                (values >> 32).astype(np.int32),
                (values & 0xFFFFFFFF).astype(np.int32),
                np.minimum(counts, 255).astype(np.uint8),
            ))  # fmt: skip
        empty = (np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.uint8))
        columns = list(zip(*(parts or [empty]), strict=True))
        return np.concatenate(columns[0]), np.concatenate(columns[1]), np.concatenate(columns[2])

    def _weigh(
        self, counts: NDArray[np.uint8], frequency: NDArray[np.int64], k1: float, b: float
    ) -> NDArray[np.float32]:
        lengths = np.maximum(2 * np.diff(self._offsets) - 1, 1).astype(np.float32)
        held = (k1 * (1 - b + b * lengths / max(float(lengths.mean()), 1.0))).astype(np.float32)
        inverse = np.log1p((self.size - frequency + 0.5) / (frequency + 0.5)).astype(np.float32)
        weights = counts.astype(np.float32)
        weights /= weights + held[self._scripts]
        weights *= np.repeat(inverse, frequency)
        return weights

    @property
    def bytes(self) -> int:
        """Memory of the arrays."""
        arrays = (self._points, self._offsets, self._scripts, self._weights, self._starts, self._too_common)
        return sum(array.nbytes for array in arrays)

    def side(self, number: int) -> Side:
        """What a reranker reads of a script's wording."""
        return side_of(self._points[self._offsets[number] : self._offsets[number + 1]])

    def scores(self, text: str, ranges: Sequence[Range]) -> NDArray[np.float32]:
        """BM25 of every script of the ranges, one range after the other; float32 [scripts in them]."""
        points = code_points(text)
        hashes = np.concatenate([gram_hashes(points, 1), gram_hashes(points, 2)])
        grams = np.unique(_bucket(hashes))
        sizes = [last - first for first, last in ranges]
        out = np.zeros(sum(sizes), np.float32)
        bounds = np.array(ranges, np.int32).reshape(-1)
        bases = np.cumsum([0, *sizes])
        for gram in grams[~self._too_common[grams]].tolist():
            start, end = self._starts[gram], self._starts[gram + 1]
            if start == end:
                continue
            scripts, weights = self._scripts[start:end], self._weights[start:end]
            cuts = np.searchsorted(scripts, bounds).tolist()
            for index, (first, _) in enumerate(ranges):
                low, high = cuts[2 * index], cuts[2 * index + 1]
                if low < high:
                    out[scripts[low:high] - (first - int(bases[index]))] += weights[low:high]
        return out


def _bucket(hashes: NDArray[np.uint32]) -> NDArray[np.int64]:
    return (hashes >> np.uint32(32 - _BUCKET_BITS)).astype(np.int64)
