"""What the service can do, independent of how it is asked: HTTP, Model Context Protocol, or a test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from data.taxonomy import Taxonomy
from serving.schema import (
    Analysis,
    AnalyzeBatchRequest,
    AnalyzeBatchResponse,
    AnalyzeRequest,
    ClassifyResponse,
    EmotionResponse,
    FeedbackReceipt,
    FeedbackRequest,
    TrackRequest,
    TrackResponse,
)

__all__ = ["Engine", "FeedbackSink", "Operations"]


class Engine(Protocol):
    """Answers messages: the models behind micro-batching, a predictor alone, or a mock."""

    @property
    def taxonomy(self) -> Taxonomy:
        """The label schema of the answers."""

    async def analyze(self, requests: Sequence[AnalyzeRequest]) -> list[Analysis]:
        """Answers in the order of the requests."""

    def info(self) -> dict[str, Any]:
        """What answers: models, snapshot, device, threads."""


class FeedbackSink(Protocol):
    """Keeps feedback durably."""

    def put(self, feedback: FeedbackRequest) -> FeedbackReceipt:
        """Store one; returns when it is on disk."""


class Operations:
    """The capabilities, each a request model in and a response model out.

    Args:
        engine: answers messages.
        feedback: where feedback goes.
        on_feedback: told of feedback that was kept.
    """

    def __init__(
        self,
        engine: Engine,
        feedback: FeedbackSink,
        on_feedback: Callable[[FeedbackRequest], None] | None = None,
    ) -> None:
        self.engine, self._feedback, self._on_feedback = engine, feedback, on_feedback

    async def analyze(self, request: AnalyzeRequest) -> Analysis:
        """Category with the best few, emotion with all scores, alert with reasons, model versions."""
        return (await self.engine.analyze([request]))[0]

    async def analyze_batch(self, request: AnalyzeBatchRequest) -> AnalyzeBatchResponse:
        """The answers of `analyze`, in the order of `messages`."""
        return AnalyzeBatchResponse(results=await self.engine.analyze(request.messages))

    async def classify(self, request: AnalyzeRequest) -> ClassifyResponse:
        """The category alone."""
        found = await self.analyze(request)
        return ClassifyResponse(category=found.category, model=found.model)

    async def emotion(self, request: AnalyzeRequest) -> EmotionResponse:
        """Emotion and alert alone."""
        found = await self.analyze(request)
        return EmotionResponse(emotion=found.emotion, alert=found.alert, model=found.model)

    async def track(self, request: TrackRequest) -> TrackResponse:
        """How a conversation went, and the alert that stands now."""
        from serving.track import follow, messages_of

        indices, messages = messages_of(request.turns)
        answers = await self.engine.analyze(messages)
        return follow(indices, answers, self.engine.taxonomy)

    async def feedback(self, request: FeedbackRequest) -> FeedbackReceipt:
        """Keep what a person says of an answer."""
        import anyio

        receipt = await anyio.to_thread.run_sync(self._feedback.put, request)
        if self._on_feedback:
            self._on_feedback(request)
        return receipt
