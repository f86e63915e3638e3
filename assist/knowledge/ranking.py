"""Order of passages: words, share of the question, meaning, product; and which of them count on a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from assist.knowledge.index import Index, Match
from assist.knowledge.question import Question
from assist.knowledge.schema import KnowledgeSearchRequest
from assist.knowledge.store import Stored

__all__ = ["Ranked", "best_of_sections", "rank", "standing", "valid_on", "wanted_by"]

_CANDIDATES = 40
_COVER = 0.6
_DENSE = 0.5
_OTHER_PRODUCT = 0.6


@dataclass(frozen=True, slots=True)
class Ranked:
    """Positions of passages, best first, and their scores 0 to 1."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]


def rank(
    read: Question,
    matches: Sequence[Match],
    index: Index,
    allowed: NDArray[np.bool_],
    dense: NDArray[np.float32] | None,
) -> Ranked:
    """Passages by how well they answer.

    Args:
        read: the question.
        matches: of its units (`Index.matches`).
        index: of the passages.
        allowed: (number of passages,).
        dense: closeness to the question by an encoder, 0 to 1 (number of passages,), or None.
    """
    if not allowed.any():
        return Ranked(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32))
    scores = index.score(matches, allowed)
    first = scores if dense is None else scores + _DENSE * dense
    first = np.where(allowed, first, -np.inf)
    rows = np.argsort(-first, kind="stable")[: min(_CANDIDATES, int(allowed.sum()))].astype(np.int64)
    share = index.share(matches, len(read.text), rows)
    total = (1 - _COVER) * np.minimum(scores[rows] * 1.5, 1.0) + _COVER * share
    if dense is not None:
        total = total + _DENSE * dense[rows] * (1 - 0.5 * share)
    if read.products:
        strange = [bool(index.about[row]) and not (index.about[row] & read.products) for row in rows]
        total = np.where(strange, total * _OTHER_PRODUCT, total)
    order = np.argsort(-total, kind="stable")
    return Ranked(rows[order], np.clip(total[order], 0.0, 1.0).astype(np.float32))


def standing(passages: Sequence[Stored], at: date) -> NDArray[np.bool_]:
    """Whether a passage's version is the one that stands for its document on that day.

    A version that begins later stands where there is none yet: so that a search can say that it is to come.
    """
    chosen: dict[str, tuple[bool, int, int]] = {}
    for passage in passages:
        if passage.withdrawn_on is not None and passage.withdrawn_on <= at:
            continue
        begun, begins = passage.counts_from <= at, passage.counts_from.toordinal()
        # The latest of those that have begun, else the first of those to come.
        key = (begun, begins if begun else -begins, passage.revision)
        chosen[passage.document] = max(chosen.get(passage.document, key), key)
    revisions = {key[2] for key in chosen.values()}
    return np.array([passage.revision in revisions for passage in passages], dtype=bool)


def valid_on(passage: Stored, at: date) -> bool:
    """Whether a version has begun and has not ended."""
    return passage.counts_from <= at and (passage.valid_until is None or at <= passage.valid_until)


def wanted_by(passages: Sequence[Stored], request: KnowledgeSearchRequest) -> NDArray[np.bool_]:
    """Passages of the kinds and products that a request asks for."""
    kinds, products = set(request.kinds), set(request.products)
    if not kinds and not products:
        return np.ones(len(passages), dtype=bool)
    return np.array(
        [
            (not kinds or one.kind in kinds)
            and (not products or not one.products or bool(products & set(one.products)))
            for one in passages
        ],
        dtype=bool,
    )


def best_of_sections(ranked: Ranked, passages: Sequence[Stored], k: int) -> list[tuple[int, float]]:
    """The best passage of each section, the k best sections."""
    seen: set[tuple[int, tuple[str, ...]]] = set()
    kept: list[tuple[int, float]] = []
    for row, score in zip(ranked.rows.tolist(), ranked.scores.tolist(), strict=True):
        key = (passages[row].revision, passages[row].headings)
        if score > 0 and key not in seen:
            seen.add(key)
            kept.append((row, score))
        if len(kept) == k:
            break
    return kept
