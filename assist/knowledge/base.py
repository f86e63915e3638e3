"""The knowledge base: documents in, cited passages out.

Lexical and dense scores are added (not ranks: a question that nothing answers must get a low score), and the
share of the question that a passage speaks of decides whether it is shown, asked about, or left out.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from assist.knowledge.clarify import clarifying
from assist.knowledge.documents import Document, day
from assist.knowledge.index import Index
from assist.knowledge.question import Question, read_question
from assist.knowledge.ranking import Ranked, best_of_sections, rank, standing, valid_on, wanted_by
from assist.knowledge.schema import (
    AnswerResponse,
    CitedPassage,
    KnowledgeSearchRequest,
    KnowledgeSearchResponse,
    NotValid,
    ReadAs,
)
from assist.knowledge.store import KnowledgeStore, Stored, Unanswered, Used, today
from assist.knowledge.terms import Synonyms
from assist.reading import Embed

__all__ = ["FOUND", "UNSURE", "KnowledgeBase", "passage_text"]

FOUND = 0.56
"""From this score on a passage answers; chosen on the development questions (docs/knowledge.md)."""
UNSURE = 0.36
"""Below it nothing is shown."""
_ONE_WORD = 0.8
_AHEAD = 1.1
"""How much better than the best answer a document of other days must fit to be spoken of."""
_NEAR = 0.88
"""Share of the best score from which another product's passage makes the question ambiguous."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    generation: int
    index: Index
    vectors: NDArray[np.float32] | None
    """(passages, width), where there is an encoder."""
    days: dict[date, tuple[NDArray[np.bool_], NDArray[np.bool_]]] = field(default_factory=dict)

    def on(self, at: date) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which passages may be answered on a day, and which only on other days."""
        if at not in self.days:
            if len(self.days) > 64:
                self.days.clear()
            stands = standing(self.index.passages, at)
            valid = np.array([valid_on(passage, at) for passage in self.index.passages], dtype=bool)
            self.days[at] = (stands & valid, stands & ~valid)
        return self.days[at]


class KnowledgeBase:
    """Search over one store; safe for threads, and sees what other processes import.

    Args:
        path: the SQLite file.
        embed: sentence vectors of an encoder, for dense search beside the lexical one; optional.
        encoder: which encoder that is (for example the champion's version): vectors are stored under it.
        synonyms: groups of words; the demo shop's file by default.
        record: count what is used, and keep questions that nothing answers.

    Raises:
        ValueError: an encoder without a name.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        embed: Embed | None = None,
        encoder: str = "",
        synonyms: Synonyms | None = None,
        record: bool = True,
    ) -> None:
        if embed is not None and not encoder:
            raise ValueError("encoder: is empty; name the encoder, its vectors are stored under that name")
        self.store = KnowledgeStore(path)
        self._embed, self._encoder, self._record = embed, encoder, record
        self._synonyms = synonyms or Synonyms.read()
        self._loaded: _Loaded | None = None
        self._lock = threading.Lock()

    def search(
        self, request: KnowledgeSearchRequest, embedding: NDArray[np.float32] | None = None
    ) -> KnowledgeSearchResponse:
        """Passages that answer a question, with where they stand.

        Args:
            request: the question and what to leave out.
            embedding: unit vector of the question from the same encoder, if the caller has it already.

        Raises:
            ValueError: a field is wrong; `field: reason and mend`.
            KnowledgeStoreError: the store cannot be used.
        """
        at = day(request.at, "at") or today()
        loaded = self._load()
        passages = loaded.index.passages
        valid, other_days = loaded.on(at)
        wanted = wanted_by(passages, request)
        read = read_question(request.question, loaded.index)
        dense = self._dense(request.question, loaded, embedding)
        matches = loaded.index.matches(read.units)
        ranked = rank(read, matches, loaded.index, valid & wanted, dense)
        kept = best_of_sections(ranked, passages, request.k)
        best = kept[0][1] if kept else 0.0
        if len(read.wish) <= 2 and len(kept) > 1 and kept[1][1] >= _ONE_WORD * best:
            # "发票" alone fits many sections well and asks for none of them.
            kept = [(row, min(score, FOUND - 0.01)) for row, score in kept]
            best = kept[0][1]
        other = rank(read, matches, loaded.index, other_days & wanted, dense)
        not_valid = _not_valid(other, passages, at, max(_AHEAD * best, UNSURE))
        question = clarifying(
            read,
            [(passages[row], score) for row, score in kept],
            [loaded.index.about[row] for row, _ in kept],
            near=_NEAR,
            sure=FOUND,
        )
        status: Literal["found", "unsure", "none"]
        if best < UNSURE:
            status, kept, question = "none", [], None
        else:
            status = "found" if best >= FOUND and question is None and not not_valid else "unsure"
        if status == "unsure" and not_valid:
            question = _instead(not_valid[0], passages[kept[0][0]] if best >= FOUND else None)
        response = KnowledgeSearchResponse(
            status=status,
            passages=[_cited(passages[row], score, n) for n, (row, score) in enumerate(kept, 1)],
            clarify=question if status == "unsure" else None,
            readings=[ReadAs(written=written, read=read) for written, read in read.readings],
            not_valid=not_valid,
            at=str(at),
            score=round(best, 4),
            threshold=FOUND,
        )
        if self._record:
            self._note(request.question, read, response)
        return response

    def nearest(
        self, request: KnowledgeSearchRequest, embedding: NDArray[np.float32] | None = None
    ) -> list[CitedPassage]:
        """The k best sections that are valid on the day, however low their scores; nothing is recorded.

        Raises:
            ValueError, KnowledgeStoreError: as in `search`.
        """
        at = day(request.at, "at") or today()
        loaded = self._load()
        passages = loaded.index.passages
        read = read_question(request.question, loaded.index)
        ranked = rank(
            read,
            loaded.index.matches(read.units),
            loaded.index,
            loaded.on(at)[0] & wanted_by(passages, request),
            self._dense(request.question, loaded, embedding),
        )
        kept = best_of_sections(ranked, passages, request.k)
        return [_cited(passages[row], score, n) for n, (row, score) in enumerate(kept, 1)]

    @property
    def synonyms(self) -> Synonyms:
        """The groups of words in use."""
        return self._synonyms

    def standing_texts(self, at: date | None = None) -> list[str]:
        """Texts that may be answered on a day (the shop's today), each below its title and headings."""
        loaded = self._load()
        valid, _ = loaded.on(at or today())
        return [
            f"{one.title} {one.section}\n{one.text}"
            for one, allowed in zip(loaded.index.passages, valid, strict=True)
            if allowed
        ]

    def index(self) -> Index:
        """The index of what is stored now."""
        return self._load().index

    def count_answered(self, response: AnswerResponse) -> None:
        """Note the sections that a draft rests on."""
        if self._record and response.citations:
            self.store.count([(one.document, one.section) for one in response.citations], answered=True)

    def add(self, document: Document, on: date | None = None) -> tuple[str, str]:
        """Store one document; see `KnowledgeStore.put`."""
        return self.store.put(document, on or today())

    def usage(self) -> list[Used]:
        """Sections by use, the most used first."""
        return self.store.usage()

    def unanswered(self, limit: int = 100) -> list[Unanswered]:
        """Questions that nothing answered, masked, the most frequent first."""
        return self.store.unanswered(limit)

    def _note(self, question: str, read: Question, response: KnowledgeSearchResponse) -> None:
        if response.status == "none":
            # What asks for an ended promotion is no gap of the base.
            if read.wish and not response.not_valid:
                self.store.miss(read.wish, question, response.score)
        else:
            self.store.count(
                [(one.document, one.section) for one in response.passages if one.score >= UNSURE],
                answered=False,
            )

    def _load(self) -> _Loaded:
        generation = self.store.generation()
        loaded = self._loaded
        if loaded is not None and loaded.generation == generation:
            return loaded
        with self._lock:
            if self._loaded is not None and self._loaded.generation == generation:
                return self._loaded
            passages = self.store.passages()
            loaded = _Loaded(generation, Index(passages, self._synonyms), self._vectors(passages))
            self._loaded = loaded
            return loaded

    def _vectors(self, passages: Sequence[Stored]) -> NDArray[np.float32] | None:
        if self._embed is None or not passages:
            return None
        known = self.store.vectors(self._encoder)
        missing = [passage for passage in passages if passage.number not in known]
        if missing:
            vectors = self._embed([passage_text(passage) for passage in missing])
            self.store.put_vectors(self._encoder, [passage.number for passage in missing], vectors)
            known |= {passage.number: row for passage, row in zip(missing, vectors, strict=True)}
        return np.stack([known[passage.number] for passage in passages]).astype(np.float32)

    def _dense(
        self, question: str, loaded: _Loaded, embedding: NDArray[np.float32] | None
    ) -> NDArray[np.float32] | None:
        """How much closer each passage is than the passages are on the whole; 0 where it is not."""
        if loaded.vectors is None or self._embed is None:
            return None
        query = self._embed([question])[0] if embedding is None else embedding
        near = loaded.vectors @ np.asarray(query, dtype=np.float32)
        usual = float(np.median(near))
        return np.clip((near - usual) / max(1.0 - usual, 1e-3), 0.0, 1.0).astype(np.float32)


def passage_text(passage: Stored) -> str:
    """What the encoder reads of a passage: title, headings, text."""
    return f"{' '.join(dict.fromkeys((passage.title, *passage.headings)))} {passage.text}"


def _not_valid(ranked: Ranked, passages: Sequence[Stored], at: date, above: float) -> list[NotValid]:
    """Documents that would have answered better than what may be answered."""
    found: dict[str, NotValid] = {}
    for row, score in zip(ranked.rows.tolist(), ranked.scores.tolist(), strict=True):
        passage = passages[row]
        if score > above and passage.document not in found:
            found[passage.document] = NotValid(
                document=passage.document,
                title=passage.title,
                valid_from=None if passage.valid_from is None else str(passage.valid_from),
                valid_until=None if passage.valid_until is None else str(passage.valid_until),
                reason="future" if at < passage.counts_from else "expired",
            )
    return list(found.values())


def _instead(gone: NotValid, other: Stored | None) -> str:
    days = gone.valid_until if gone.reason == "expired" else gone.valid_from
    said = f"「{gone.title}」" + (f"到{days}已经结束。" if gone.reason == "expired" else f"{days}才开始。")
    return said + (f"请问您想了解的是「{other.title}」吗？" if other else "请问您想了解哪一方面？")


def _cited(passage: Stored, score: float, number: int) -> CitedPassage:
    return CitedPassage(
        number=number,
        document=passage.document,
        title=passage.title,
        version=passage.version,
        section=passage.section,
        kind=passage.kind,  # type: ignore[arg-type]
        valid_from=None if passage.valid_from is None else str(passage.valid_from),
        valid_until=None if passage.valid_until is None else str(passage.valid_until),
        text=passage.text,
        score=round(score, 4),
    )
