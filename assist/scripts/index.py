"""The solution scripts as two searchable views, and the search that joins them.

Dense: unit vectors in one FAISS inverted file whose cells belong to categories. The cells of a category are
its own k-means clusters; a search names the cells of the wanted categories itself (`search_preassigned`), so
a filter by category costs nothing and saves the work of the others. A category of up to `_CELL` scripts is
one cell: there the search is exact. Lexical: `LexicalIndex` over the same order. The two rankings are joined
by reciprocal ranks (Cormack, Clarke and Buettcher, 2009), which needs no common scale.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import faiss
import numpy as np
from faiss.contrib.ivf_tools import add_preassigned, search_preassigned
from numpy.typing import NDArray

from assist.reading import Embed
from assist.scripts.lexical import LexicalIndex, Range
from assist.scripts.library import CONDITIONS, Script
from assist.wording import find_wording
from data.reply_features import Side

__all__ = ["CONTRADICTIONS", "Hit", "ScriptIndex", "condition_bits", "impossible"]

Vectors = NDArray[np.float32]
_CELL = 1024
"""Scripts of one cell, about: more are split by k-means."""
_EXACT_BELOW = 100_000
"""Libraries up to this size keep 32-bit vectors; larger ones 8 bits per number, a quarter of the memory."""
_RANK_CONSTANT = 60.0
_TRAIN_PER_CELL = 48
_PROBE = 16
"""Most cells of one search, where the wanted categories are no more than that."""
_EMBED_TOGETHER = 512

CONTRADICTIONS: Mapping[str, tuple[str, ...]] = {
    "unpaid": ("paid_unshipped", "shipped", "signed", "returning", "refunding", "opened", "unopened"),
    "paid_unshipped": ("unpaid", "shipped", "signed", "returning", "opened", "unopened"),
    "shipped": ("unpaid", "paid_unshipped", "signed"),
    "signed": ("unpaid", "paid_unshipped", "shipped"),
    "returning": ("unpaid", "paid_unshipped"),
    "refunding": ("unpaid",),
    "in_stock": ("out_of_stock",),
    "out_of_stock": ("in_stock",),
    "opened": ("unopened", "unpaid", "paid_unshipped"),
    "unopened": ("opened", "unpaid", "paid_unshipped"),
    "over_7_days": ("within_7_days",),
    "within_7_days": ("over_7_days",),
    "evidence_given": ("evidence_missing",),
    "evidence_missing": ("evidence_given",),
}
"""Conditions that cannot hold beside each other."""
_BIT = {name: 1 << number for number, name in enumerate(CONDITIONS)}


def condition_bits(names: Iterable[str]) -> int:
    """Conditions as bits.

    Raises:
        ValueError: one is unknown.
    """
    bits = 0
    for name in names:
        if name not in _BIT:
            raise ValueError(f"conditions: {name!r} is unknown; use some of {', '.join(CONDITIONS)}")
        bits |= _BIT[name]
    return bits


def impossible(names: Iterable[str]) -> int:
    """Bits of the conditions that cannot hold beside these."""
    return condition_bits(other for name in names for other in CONTRADICTIONS.get(name, ()))


@dataclass(frozen=True, slots=True)
class Hit:
    """A script that the search found."""

    number: int
    """Of the script in the index."""
    cosine: float
    lexical: float
    """BM25; 0 where no n-gram is shared."""
    fused: float
    """Sum of reciprocal ranks."""


class ScriptIndex:
    """Solutions, sorted by category, with their vectors and n-grams. Read-only, thread-safe.

    Scripts with words that a shop must not say (`assist.wording`: forbidden, promise, pressure) are left out
    and listed in `refused`.

    Args:
        scripts: solutions of a library.
        embed: the champion's encoder; or None with `vectors`.
        vectors: unit vectors of the scripts in their order, instead.
        check: whether to read the wording; only a benchmark with made-up texts has reason not to.

    Raises:
        ValueError: there are no scripts left, or vectors do not fit them.
    """

    def __init__(
        self,
        scripts: Sequence[Script],
        embed: Embed | None = None,
        *,
        vectors: Vectors | None = None,
        check: bool = True,
    ) -> None:
        began = time.perf_counter()
        if (embed is None) == (vectors is None):
            raise ValueError("embed: pass either an encoder or vectors")
        if vectors is not None and len(vectors) != len(scripts):
            raise ValueError(f"vectors: {len(vectors)} for {len(scripts)} scripts")
        self.refused = [script.id for script in scripts if check and _unsayable(script.text)]
        gone = set(self.refused)
        order = sorted(
            (number for number, script in enumerate(scripts) if script.id not in gone),
            key=lambda number: scripts[number].category or "",
        )
        if not order:
            raise ValueError("scripts: none is left to search")
        self.scripts = [scripts[number] for number in order]
        self.ranges = _ranges(self.scripts)
        self.required = np.array([condition_bits(one.when) for one in self.scripts], np.uint32)
        self.lexical = LexicalIndex([one.text for one in self.scripts])
        self.times = {"lexical_s": round(time.perf_counter() - began, 3)}
        if vectors is None:
            assert embed is not None
            texts = [one.text for one in self.scripts]
            parts = [
                np.asarray(embed(texts[start : start + _EMBED_TOGETHER]), np.float32)
                for start in range(0, len(texts), _EMBED_TOGETHER)
            ]
            vectors = np.concatenate(parts)
            self.times["embed_s"] = round(time.perf_counter() - began - self.times["lexical_s"], 3)
        else:
            vectors = np.asarray(vectors, np.float32)[order]
        before = time.perf_counter()
        self.width = int(vectors.shape[1])
        self._dense, self._cells = self._build(vectors)
        self.times["dense_s"] = round(time.perf_counter() - before, 3)
        texts_hash = hashlib.sha256("\x00".join(f"{one.id}\x01{one.text}" for one in self.scripts).encode())
        self.version = texts_hash.hexdigest()[:12]

    def _build(self, vectors: Vectors) -> tuple[faiss.IndexIVF, dict[str, NDArray[np.int64]]]:
        centroids: list[Vectors] = []
        assigned = np.zeros(len(vectors), np.int64)
        cells: dict[str, NDArray[np.int64]] = {}
        for category, (first, last) in self.ranges.items():
            part, start = vectors[first:last], len(centroids)
            count = -(-len(part) // _CELL)
            if count == 1:
                centre = part.mean(0)
                centroids.append(centre / max(float(np.linalg.norm(centre)), 1e-9))
                assigned[first:last] = start
            else:
                means = faiss.Kmeans(
                    self.width,
                    count,
                    niter=6,
                    spherical=True,
                    seed=7,
                    max_points_per_centroid=_TRAIN_PER_CELL,
                )
                means.train(part)
                centroids.extend(np.asarray(means.centroids, np.float32))
                assigned[first:last] = start + means.index.search(part, 1)[1][:, 0]
            cells[category] = np.arange(start, len(centroids), dtype=np.int64)
        self._centroids = np.ascontiguousarray(np.stack(centroids), np.float32)
        quantizer = faiss.IndexFlatIP(self.width)
        quantizer.add(self._centroids)
        lists = len(self._centroids)
        index: faiss.IndexIVF
        if len(vectors) <= _EXACT_BELOW:
            index = faiss.IndexIVFFlat(quantizer, self.width, lists, faiss.METRIC_INNER_PRODUCT)
        else:
            kind = faiss.ScalarQuantizer.QT_8bit
            index = faiss.IndexIVFScalarQuantizer(
                quantizer, self.width, lists, kind, faiss.METRIC_INNER_PRODUCT, False
            )
            index.train(vectors[:: max(1, len(vectors) // 100_000)])
        index.is_trained = True
        add_preassigned(index, np.ascontiguousarray(vectors), assigned)
        index.make_direct_map()
        # A fixed number, because it is state of the index and not of a search; unused places are -1.
        index.nprobe = max(_PROBE, len(cells))
        self._quantizer = quantizer  # FAISS does not keep it alive by itself
        return index, cells

    def __len__(self) -> int:
        return len(self.scripts)

    @property
    def bytes(self) -> int:
        """Memory of vectors, posting lists and texts' code points; the scripts themselves are besides."""
        return int(len(self) * (self._dense.code_size + 16)) + self._centroids.nbytes + self.lexical.bytes

    def vectors(self, numbers: Sequence[int]) -> Vectors:
        """Vectors of some scripts, float32 [numbers, width]."""
        return np.asarray(self._dense.reconstruct_batch(np.asarray(numbers, np.int64)), np.float32)

    def side(self, number: int) -> Side:
        """What a reranker reads of a script's wording."""
        return self.lexical.side(number)

    def search(
        self,
        text: str,
        vector: Vectors | None,
        categories: Sequence[str],
        count: int,
        *,
        cannot: int = 0,
    ) -> list[Hit]:
        """The best scripts by both views, best first.

        Args:
            vector: unit vector of the message; None searches by wording alone.
            categories: whose scripts to search; none of them known searches all.
            count: how many hits.
            cannot: bits of conditions known not to hold; scripts that ask for one are left out.

        Raises:
            ValueError: the vector has another width than the scripts'.
        """
        wanted = [name for name in categories if name in self.ranges] or list(self.ranges)
        ranges: list[Range] = [self.ranges[name] for name in wanted]
        numbers = np.concatenate([np.arange(first, last) for first, last in ranges])
        lexical = self.lexical.scores(text, ranges)
        fits = (self.required[numbers] & np.uint32(cannot)) == 0
        lexical[~fits] = -1.0
        kept = min(len(numbers), 2 * count)
        by_words = np.argpartition(-lexical, kept - 1)[:kept] if kept < len(numbers) else np.arange(kept)
        by_words = by_words[lexical[by_words] > 0]
        by_words = by_words[np.argsort(-lexical[by_words], kind="stable")]
        bm25 = {int(numbers[place]): float(lexical[place]) for place in by_words}
        cosine = self.nearest(vector, wanted, 2 * count, cannot) if vector is not None else {}
        fused: dict[int, float] = {}
        for ranking in (bm25, cosine):
            for rank, number in enumerate(ranking):
                fused[number] = fused.get(number, 0.0) + 1.0 / (_RANK_CONSTANT + rank)
        if len(fused) < min(count, len(numbers)):
            # Few scripts share a word and there is no vector: the rest of the categories, in their order.
            for place in np.flatnonzero(fits)[: count + len(fused)].tolist():
                fused.setdefault(int(numbers[place]), 0.0)
        best = sorted(fused, key=lambda number: -fused[number])[:count]
        if vector is not None:
            absent = [number for number in best if number not in cosine]
            if absent:
                values = self.vectors(absent) @ np.asarray(vector, np.float32)
                cosine |= dict(zip(absent, values.tolist(), strict=True))
        return [Hit(number, cosine.get(number, 0.0), bm25.get(number, 0.0), fused[number]) for number in best]

    def nearest(
        self, vector: Vectors, categories: Sequence[str], count: int, cannot: int = 0
    ) -> dict[int, float]:
        """The nearest scripts of these categories, by number their cosine, nearest first.

        Args:
            cannot: as for `search`.

        Raises:
            ValueError: the vector has another width than the scripts'.
        """
        query = np.ascontiguousarray(vector, np.float32).reshape(1, -1)
        if query.shape[1] != self.width:
            raise ValueError(
                f"embedding: has {query.shape[1]} numbers, the scripts' {self.width}; one encoder makes both"
            )
        cells = np.concatenate([self._cells[name] for name in categories])
        near = self._centroids[cells] @ query[0]
        places = np.argsort(-near, kind="stable")[: max(_PROBE, len(categories))]
        chosen = np.full((1, self._dense.nprobe), -1, np.int64)
        chosen[0, : len(places)] = cells[places]
        distances = np.zeros(chosen.shape, np.float32)
        distances[0, : len(places)] = near[places]
        # Scripts that cannot be sent take places among the nearest: ask for more where there are such.
        asked = count if not cannot else 4 * count
        values, found = search_preassigned(self._dense, query, asked, chosen, distances)
        hits: dict[int, float] = {}
        for value, number in zip(values[0].tolist(), found[0].tolist(), strict=True):
            if number >= 0 and not int(self.required[number]) & cannot and len(hits) < count:
                hits[number] = value
        return hits


def _unsayable(text: str) -> bool:
    return bool(find_wording(text, ("forbidden", "promise", "pressure")))


def _ranges(scripts: Sequence[Script]) -> dict[str, Range]:
    ranges: dict[str, Range] = {}
    for number, script in enumerate(scripts):
        key = script.category or ""
        first, _ = ranges.get(key, (number, number))
        ranges[key] = (first, number + 1)
    return ranges
