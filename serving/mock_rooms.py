"""The real rooms for the mock: our scripts, rules, standards and routing, vectors by hash, one fixed day.

Opened once per process, on the first request that needs them: that takes seconds, and a mock must start at
once.
"""

from __future__ import annotations

import copy
import hashlib
import re
import shutil
import tempfile
import threading
import weakref
import zlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from assist.graph.schema import GraphRequest, GraphResponse
from assist.graph.shop import ShopGraph
from assist.knowledge.answer import Drafter
from assist.knowledge.base import KnowledgeBase
from assist.knowledge.documents import read_document
from assist.knowledge.intake import DEMO_DOCUMENTS
from assist.knowledge.schema import CitedPassage, KnowledgeSearchRequest, KnowledgeSearchResponse
from assist.knowledge.store import KnowledgeStore
from assist.reading import Reading
from assist.scripts.recommend import Recommender
from assist.scripts.schema import RecommendRequest, RecommendResponse, ReplyFeedback, ReplyFeedbackReceipt
from data.text import normalise
from serving.desk import Desk, DeskSettings, Shelves

if TYPE_CHECKING:
    from serving.predictor import Predictor

__all__ = ["TODAY", "MockGraph", "MockKnowledge", "MockRecommender", "open_desk"]

TODAY = date(2026, 11, 23)
"""The mock's day: answers about promotions and deadlines do not change with the calendar."""
_WIDTH = 256
_WISH = re.compile(r"\[mock:[^\]]*\]")
_opening = threading.Lock()


class MockRecommender(Recommender):
    """Recommends without chance: the same request has the same replies with the same ids, and feedback is
    kept in memory and changes nothing."""

    received: dict[str, ReplyFeedback]
    """Feedback by the id of its reply, oldest first."""
    shown: dict[str, str]
    """Script of each reply that was recommended, by the reply's id."""

    def for_one_mock(self, received: dict[str, ReplyFeedback]) -> MockRecommender:
        """The same library with a memory of its own."""
        own = copy.copy(self)
        own.received, own.shown = received, {}
        return own

    def recommend(self, request: RecommendRequest, reading: Reading) -> RecommendResponse:
        """See `Recommender.recommend`; near-ties keep their places, and it takes no time."""
        plain = request.model_copy(update={"explore": False, "text": _plain(request.text)})
        found = super().recommend(plain, replace(reading, text=_plain(reading.text)))
        asked = f"{request.model_dump_json()}\x1e{reading.category}\x1e{reading.alert}"
        request_id = f"mock-{hashlib.sha256(asked.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}"
        replies = [
            one.model_copy(update={"id": f"{request_id}-{one.position}", "propensity": 1.0})
            for one in found.replies
        ]
        self.shown.update((one.id, one.script) for one in replies)
        return found.model_copy(update={"request_id": request_id, "replies": replies, "took_ms": 0.0})

    def learn(self, feedback: ReplyFeedback) -> ReplyFeedbackReceipt:
        """Keep it in `received`.

        Raises:
            ValueError: the reply was never shown.
        """
        if feedback.reply_id not in self.shown:
            raise ValueError(f"reply_id: {feedback.reply_id!r} was never shown here; ask /recommend first")
        replaced = feedback.reply_id in self.received
        self.received[feedback.reply_id] = feedback
        script = self.shown[feedback.reply_id]
        return ReplyFeedbackReceipt(reply_id=feedback.reply_id, script=script, replaced=replaced)


class MockKnowledge(KnowledgeBase):
    """Searches as of `TODAY` where a request names no day."""

    def search(
        self, request: KnowledgeSearchRequest, embedding: NDArray[np.float32] | None = None
    ) -> KnowledgeSearchResponse:
        """See `KnowledgeBase.search`."""
        return super().search(_asked(request), embedding)

    def nearest(
        self, request: KnowledgeSearchRequest, embedding: NDArray[np.float32] | None = None
    ) -> list[CitedPassage]:
        """See `KnowledgeBase.nearest`."""
        return super().nearest(_asked(request), embedding)

    def standing_texts(self, at: date | None = None) -> list[str]:
        """See `KnowledgeBase.standing_texts`."""
        return super().standing_texts(at or TODAY)


class MockGraph(ShopGraph):
    """Answers as of `TODAY`."""

    def __init__(self) -> None:
        super().__init__(today=lambda: TODAY)

    def ask(self, request: GraphRequest) -> GraphResponse:
        """See `ShopGraph.ask`."""
        return super().ask(request.model_copy(update={"text": _plain(request.text)}))


def open_desk(received: dict[str, ReplyFeedback]) -> Desk:
    """The rooms for one mock; the first call of a process takes seconds.

    Args:
        received: takes up feedback on replies.
    """
    with _opening:
        shared = _desk()
    own = copy.copy(shared)
    own.recommender = cast(MockRecommender, shared.recommender).for_one_mock(received)
    return own


@cache
def _desk() -> Desk:
    folder = Path(tempfile.mkdtemp(prefix="kefu-mock-"))
    settings = DeskSettings(
        knowledge=folder / "knowledge.sqlite",
        replies=folder / "replies.sqlite",
        reranker=folder / "none",
        vectors=folder / "vectors",
    )
    _fill(settings.knowledge)
    shelves = Shelves(settings)
    shelves.graph = MockGraph()
    desk = Desk(shelves, cast("Predictor", _Hashes()))
    weakref.finalize(desk, shutil.rmtree, folder, ignore_errors=True)
    index = desk.recommender.index
    desk.recommender = MockRecommender(shelves.library, _hashed, index=index, seed=0)
    desk.knowledge = MockKnowledge(settings.knowledge, embed=_hashed, encoder=desk.champion, record=False)
    desk.drafter = Drafter(desk.knowledge, None)
    desk.knowledge.standing_texts()  # reads the index
    return desk


def _fill(path: Path) -> None:
    """The demo shop's Markdown documents; its other formats take longer to read than all of these."""
    store = KnowledgeStore(path)
    for document in sorted(DEMO_DOCUMENTS.glob("*.md")):
        store.put(read_document(document), TODAY)


def _asked(request: KnowledgeSearchRequest) -> KnowledgeSearchRequest:
    question = _plain(request.question).strip() or request.question
    return request.model_copy(update={"question": question, "at": request.at or str(TODAY)})


def _plain(text: str) -> str:
    """A text without its wishes; blanks in their place, so that what follows keeps its position."""
    return _WISH.sub(lambda found: " " * len(found[0]), text)


class _Hashes:
    """What a desk asks of a predictor: a name and vectors."""

    model = SimpleNamespace(category="mock@1")
    encoder_id = "mock"

    def opinions(self, messages: Sequence[tuple[str, Any]]) -> SimpleNamespace:
        return SimpleNamespace(embedding=_hashed([text for text, _ in messages]))


def _hashed(texts: Sequence[str]) -> NDArray[np.float32]:
    """Unit vectors (len(texts), 256): counts of characters and pairs of them, each at a hashed place."""
    found = np.zeros((len(texts), _WIDTH), np.float32)
    for row, text in enumerate(texts):
        plain = normalise(text)
        for gram in [*plain, *(plain[place : place + 2] for place in range(len(plain) - 1))]:
            number = zlib.crc32(gram.encode("utf-8", "surrogatepass"))
            found[row, number % _WIDTH] += 1.0 if number & 0x10000 else -1.0
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)
