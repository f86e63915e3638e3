"""Script recommendation (智能话术推荐): complete replies to a message, why each was chosen, and what to learn
from it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from assist.reading import Embed, Reading
from assist.scripts.compose import Composer
from assist.scripts.feedback import Answer, Candidate, Displayed, FeedbackStore, new_request_id
from assist.scripts.index import ScriptIndex
from assist.scripts.library import Library
from assist.scripts.off_policy import MAX_POOL, draw_ranking, position_propensities
from assist.scripts.ranking import CONDITION_NAMES, Ranked, RankingSettings, rank
from assist.scripts.rerank import Reranker
from assist.scripts.schema import (
    FilledSlot,
    Reason,
    Recommendation,
    RecommendRequest,
    RecommendResponse,
    ReplyFeedback,
    ReplyFeedbackReceipt,
    ScriptPart,
)
from assist.scripts.slots import SlotValues, find_slots
from data.example import Turn

__all__ = ["Recommender"]


class Recommender:
    """Recommends replies from a library. Thread-safe; reads the library once.

    Args:
        library: checked scripts.
        embed: the champion's encoder; called once for all scripts, and for a message without an embedding.
        reranker: trained head; without it cosine and BM25 order the candidates.
        feedback: where answers are logged and acceptance comes from; without it nothing is kept.
        index: an index of the library's solutions made before, instead of one made here.
        settings: weights of the ranking.
        seed: makes the draws among near-ties repeatable; for tests and simulations.

    Raises:
        ValueError: the reranker learnt vectors of another width than the encoder's.
    """

    def __init__(
        self,
        library: Library,
        embed: Embed,
        reranker: Reranker | None = None,
        feedback: FeedbackStore | None = None,
        *,
        index: ScriptIndex | None = None,
        settings: RankingSettings | None = None,
        seed: int | None = None,
    ) -> None:
        self.library, self.reranker, self.feedback = library, reranker, feedback
        self.index = index or ScriptIndex(library.solutions, embed)
        self.settings = settings or RankingSettings()
        self._composer = Composer(library)
        self._embed, self._seed, self._count = embed, seed, itertools.count()
        if reranker is not None and reranker.width != self.index.width:
            raise ValueError(
                f"reranker: learnt vectors of {reranker.width} numbers, the encoder gives "
                f"{self.index.width}; train it anew for this encoder (kefu scripts train)"
            )
        # Wording, slots and rules are read at their first use: now, and not while a customer waits.
        self._composer.compose(self.index.scripts[0], seed=0, values=find_slots([Turn("customer", "在吗")]))
        model = reranker.version if reranker else "none"
        self.policy = f"library-{self.index.version}+reranker-{model}"

    def recommend(self, request: RecommendRequest, reading: Reading) -> RecommendResponse:
        """Up to `request.k` complete replies, best first.

        Args:
            reading: what the champions said of the request's message.

        Raises:
            ValueError: a condition or slot is unknown, a value cannot stand in a message, or the embedding is
                of another encoder.
            FeedbackStoreError: the answer could not be logged.
        """
        began = time.perf_counter()
        values = _slot_values(request)
        lifts = self.feedback.lifts() if self.feedback else {}
        ranked, categories = rank(
            self.index,
            reading,
            self._vector(reading),
            reranker=self.reranker,
            lifts=lifts,
            conditions=request.conditions,
            tone=request.tone,
            exclude=request.exclude,
            settings=self.settings,
        )
        ranked = [one for one in ranked if self._composer.suits(one.script, reading.alert)]
        chosen, pool, temperature = self._draw(ranked, request)
        request_id = new_request_id()
        replies = [
            self._reply(request_id, place, one, propensity, values, request, reading)
            for place, (one, propensity) in enumerate(chosen, 1)
        ]
        policy = self.policy + ("+feedback" if self.feedback else "")
        if self.feedback:
            self.feedback.record(
                Answer(
                    request_id, request.text, reading.category, reading.emotion, reading.alert, policy,
                    temperature,
                    pool=tuple(Candidate(one.script.id, one.base, one.score) for one in pool),
                    shown=tuple(
                        Displayed(reply.id, reply.script, reply.position, reply.propensity)
                        for reply in replies
                    ),
                )
            )  # fmt: skip
        return RecommendResponse(
            request_id=request_id,
            replies=replies,
            considered=len(ranked),
            categories=list(categories),
            policy=policy,
            took_ms=round((time.perf_counter() - began) * 1000, 3),
        )

    def learn(self, feedback: ReplyFeedback) -> ReplyFeedbackReceipt:
        """Store what the agent did with a reply; the ranking follows within `FeedbackStore.refresh` seconds.

        Raises:
            ValueError: the reply was never shown, or nothing is kept here.
            FeedbackStoreError: nothing was stored.
        """
        if self.feedback is None:
            raise ValueError("reply_id: this service keeps no feedback; give it a feedback store")
        return self.feedback.put(feedback)

    def _vector(self, reading: Reading) -> NDArray[np.float32]:
        if reading.embedding is not None:
            return reading.embedding
        return np.asarray(self._embed([reading.text])[0], np.float32)

    def _draw(
        self, ranked: Sequence[Ranked], request: RecommendRequest
    ) -> tuple[list[tuple[Ranked, float]], list[Ranked], float]:
        """Scripts for the places with their propensities, what they were drawn from, and the temperature."""
        k = min(request.k, len(ranked))
        if not k:
            return [], [], 0.0
        least = ranked[k - 1].score - self.settings.explore_within
        pool = [one for place, one in enumerate(ranked[:MAX_POOL]) if place < k or one.score >= least]
        temperature = self.settings.temperature if request.explore else 0.0
        scores = [one.score for one in pool]
        random = np.random.default_rng(None if self._seed is None else (self._seed, next(self._count)))
        order = draw_ranking(scores, temperature, k, random)
        chance = position_propensities(scores, temperature, k)
        return [(pool[one], float(chance[one, place])) for place, one in enumerate(order)], pool, temperature

    def _reply(
        self,
        request_id: str,
        place: int,
        one: Ranked,
        propensity: float,
        values: SlotValues,
        request: RecommendRequest,
        reading: Reading,
    ) -> Recommendation:
        reply = self._composer.compose(
            one.script,
            seed=f"{request_id}-{place}" if self._seed is None else f"{self._seed}-{place}",
            alert=reading.alert,
            emotion=reading.emotion,
            tone=request.tone,
            context=[Turn(turn.role, turn.text) for turn in request.context],
            values=values,
        )
        reasons = one.reasons
        if any(part.stage == "soothing" for part in reply.parts):
            reasons.append(Reason(kind="emotion", zh="客户情绪不好，先安抚再答", value=float(reading.alert)))
        check = [*reply.notes, *(f"请确认：{CONDITION_NAMES[name]}" for name in one.unknown)]
        check += [f"{issue.words}：{issue.reason}" for issue in reply.issues]
        return Recommendation(
            id=f"{request_id}-{place}",
            position=place,
            text=reply.text,
            parts=[
                ScriptPart(stage=part.stage, id=part.id, text=part.text)  # type: ignore[arg-type]
                for part in reply.parts
            ],
            script=one.script.id,
            category=one.script.category or "",
            filled=[FilledSlot(name=name, value=value) for name, value in reply.filled.items()],
            missing=list(reply.missing),
            check=check,
            reasons=reasons,
            score=round(one.score, 4),
            propensity=propensity,
        )


def _slot_values(request: RecommendRequest) -> SlotValues:
    turns = [Turn(turn.role, turn.text) for turn in request.context]
    known: Mapping[str, str] = request.slots
    return find_slots([*turns, Turn("customer", request.text)], known)
