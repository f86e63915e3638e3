"""Passages in memory as an inverted index, and the lexical score of a question against them.

BM25 (Robertson and Zaragoza, 2009) over bigrams, headings counted more than text. A question is a list of
units (`assist.knowledge.question`); a unit has alternatives - what was written, what sounds the same, what
means the same - of which a passage gets the best only.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from assist.knowledge.pinyin import initials, syllables
from assist.knowledge.store import Stored
from assist.knowledge.terms import Synonyms, bigrams, fold, runs, terms

__all__ = ["Index", "Match", "Unit", "concept"]

_K1, _B = 1.2, 0.6
_HEADING, _TITLE, _PRODUCTS = 2.0, 1.0, 0.5
_FULL = 0.45
"""Saturation that one mention in a passage of middle length reaches: it counts as matched."""
_LEXICON_LONGEST = 12
_LONGEST_QUESTION = 14
"""Characters."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One thing that a question asks for.

    Attributes:
        alternatives: index term -> how good a match of it is, 0 to 1.
        start, end: the characters of the folded question that it covers.
        weight: its share in the score.
    """

    alternatives: Mapping[str, float]
    start: int
    end: int
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Match:
    """Where a unit is met: `rows` of passages (m,), how well (m,), and how much the unit counts."""

    unit: Unit
    importance: float
    rows: NDArray[np.int32]
    values: NDArray[np.float32]


def concept(group: int) -> str:
    """The index term of a group of synonyms."""
    return f"§{group}"


@dataclass(slots=True)
class Index:
    """Built once per generation of the store; read by any number of threads.

    Args:
        passages: in any order; a row of every result is a position in this list.
        synonyms: whose groups become terms.
    """

    passages: Sequence[Stored]
    synonyms: Synonyms
    postings: dict[str, tuple[NDArray[np.int32], NDArray[np.float32]]] = field(init=False)
    """Term -> (rows, saturated frequency 0 to 1)."""
    idf: dict[str, float] = field(init=False)
    highest_idf: float = field(init=False)
    sounds: dict[str, list[str]] = field(init=False)
    """Two folded syllables "bao wen" -> bigrams of the passages that sound so."""
    lexicon: dict[str, None] = field(init=False)
    """Words worth knowing as words: products, headings, synonyms; folded."""
    edges: dict[str, list[str]] = field(init=False)
    """First character, and last one after a "~" -> words of the lexicon with three characters or more."""
    initials: dict[str, list[str]] = field(init=False)
    products: dict[str, frozenset[int]] = field(init=False)
    """Name of a product -> the groups of synonyms that it is in."""
    about: list[frozenset[str]] = field(init=False)
    """Products that each passage is about: those its headings name, else those of its document."""

    def __post_init__(self) -> None:
        names = sorted({name for passage in self.passages for name in passage.products})
        self.products = {name: self._groups(name) for name in names}
        folded: dict[str, str] = {}

        def kept(text: str) -> str:
            if text not in folded:
                folded[text] = fold(text)
            return folded[text]

        counts, lengths, self.about = [], [], []
        for passage in self.passages:
            count: Counter[str] = Counter()
            self._count(count, kept(passage.text), 1.0)
            if passage.headings:
                self._count(count, kept(passage.headings[-1]), _HEADING)
            for text in (passage.title, *passage.headings[:-1]):
                self._count(count, kept(text), _TITLE)
            self._count(count, kept(" ".join(passage.products)), _PRODUCTS)
            counts.append(count)
            lengths.append(sum(count.values()))
            path = kept(" ".join(passage.headings))
            named = frozenset(name for name in passage.products if fold(name) in path)
            self.about.append(named or frozenset(passage.products))
        self._post(counts, lengths)
        self._words()

    def _groups(self, product: str) -> frozenset[int]:
        name = fold(product)
        return frozenset(n for n, group in enumerate(self.synonyms.groups) if name in group)

    def named(self, text: str) -> frozenset[str]:
        """Products that a folded text names, by their names or by another word of their groups."""
        said = {group for group, _, _ in self.synonyms.spans(text)}
        return frozenset(
            name for name, groups in self.products.items() if groups & said or fold(name) in text
        )

    def _count(self, count: Counter[str], text: str, weight: float) -> None:
        for term in terms(text):
            count[term] += weight  # type: ignore[assignment]
        for group in {group for group, _, _ in self.synonyms.spans(text)}:
            count[concept(group)] += weight  # type: ignore[assignment]

    def _post(self, counts: Sequence[Mapping[str, float]], lengths: Sequence[float]) -> None:
        mean = (sum(lengths) / len(lengths)) if lengths else 1.0
        rows: dict[str, list[int]] = defaultdict(list)
        values: dict[str, list[float]] = defaultdict(list)
        for row, count in enumerate(counts):
            longer = _K1 * (1 - _B + _B * lengths[row] / mean)
            for term, frequency in count.items():
                rows[term].append(row)
                values[term].append(frequency / (frequency + longer))
        self.postings = {
            term: (np.asarray(rows[term], dtype=np.int32), np.asarray(values[term], dtype=np.float32))
            for term in rows
        }
        total = len(counts)
        self.idf = {
            term: math.log(1 + (total - len(found) + 0.5) / (len(found) + 0.5))
            for term, found in rows.items()
        }
        self.highest_idf = math.log(1 + (total + 0.5) / 0.5)

    def _words(self) -> None:
        self.sounds = defaultdict(list)
        for term in self.postings:
            if len(term) == 2 and term[0] > "\u3000":
                self.sounds[" ".join(syllables(term))].append(term)
        words: dict[str, None] = {}
        said = {text for passage in self.passages for text in (*passage.products, *passage.headings)}
        spoken: Iterable[str] = (run for one in sorted(said) for _, run in runs(fold(one)))
        for text in (*self.synonyms.words(), *spoken):
            if 2 <= len(text) <= _LEXICON_LONGEST and text[0] > "\u3000" and self.knows(text):
                words[text] = None
        self.lexicon = words
        self.edges = defaultdict(list)
        for word in words:
            if len(word) > 2:
                self.edges[word[0]].append(word)
                self.edges[f"~{word[-1]}"].append(word)
        self.initials = defaultdict(list)
        for word in words:
            self.initials[initials(word)].append(word)

    def knows(self, word: str) -> bool:
        """Whether every bigram of a folded word stands in some passage."""
        return all(pair in self.postings for pair in bigrams(word))

    def matches(self, units: Sequence[Unit]) -> list[Match]:
        """Where each unit of a question is met; found once, scored for any set of passages."""
        return [Match(unit, unit.weight * self.importance(unit), *self._postings_of(unit)) for unit in units]

    def score(self, matches: Sequence[Match], allowed: NDArray[np.bool_]) -> NDArray[np.float32]:
        """BM25 of every passage, as a share of what the question could reach; 0 where not allowed.

        Args:
            matches: of the question's units.
            allowed: (number of passages,).

        Returns:
            (number of passages,), about 0 to 1.
        """
        scores = np.zeros(len(self.passages), dtype=np.float32)
        for match in matches:
            scores[match.rows] += match.importance * match.values
        scores[~allowed] = 0.0
        heaviest = sorted((match.importance for match in matches), reverse=True)
        most = sum(heaviest[: 2 * _LONGEST_QUESTION])
        return scores / np.float32(most * 0.8) if most else scores

    def importance(self, unit: Unit) -> float:
        """How rare the unit is: what no passage holds counts as much as what only one holds."""
        known = [self.idf[term] for term in unit.alternatives if term in self.idf]
        return max(known) if known else self.highest_idf

    def share(self, matches: Sequence[Match], length: int, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """How much of a question each of some passages speaks of, weighted by rareness.

        Args:
            matches: of the question's units.
            length: of the folded question.
            rows: passages to look at, (m,).

        Returns:
            Share 0 to 1 (m,).
        """
        cover = np.zeros((length, len(rows)), dtype=np.float32)
        weights = np.zeros(length, dtype=np.float32)
        every = np.zeros(len(self.passages), dtype=np.float32)
        for match in matches:
            place = slice(match.unit.start, match.unit.end)
            every[match.rows] = np.minimum(match.values / _FULL, 1.0)
            cover[place] = np.maximum(cover[place], every[rows])
            every[match.rows] = 0.0
            weights[place] = np.maximum(weights[place], match.importance)
        # A long message tells more than it asks: what exceeds a question's length does not count against it.
        total = float(np.sort(weights)[-_LONGEST_QUESTION:].sum())
        return np.minimum((weights @ cover) / max(total, 1e-9), 1.0)

    def _postings_of(self, unit: Unit) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        known = [(term, worth) for term, worth in unit.alternatives.items() if term in self.postings]
        if not known:
            return np.empty(0, dtype=np.int32), np.empty(0, dtype=np.float32)
        rows = np.concatenate([self.postings[term][0] for term, _ in known])
        values = np.concatenate([self.postings[term][1] * np.float32(worth) for term, worth in known])
        if len(known) == 1:
            return rows, values
        order = np.argsort(rows, kind="stable")
        rows, values = rows[order], values[order]
        begins = np.flatnonzero(np.concatenate([[True], rows[1:] != rows[:-1]]))
        return rows[begins], np.maximum.reduceat(values, begins)
