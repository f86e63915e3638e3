"""What the service can do, independent of how it is asked: HTTP, Model Context Protocol, or a test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from assist.graph.schema import GraphRequest, GraphResponse
from assist.inspection.schema import Inspection, InspectRequest
from assist.knowledge.schema import (
    AnswerRequest,
    AnswerResponse,
    KnowledgeSearchRequest,
    KnowledgeSearchResponse,
)
from assist.routing.schema import GroupRequest, GroupResponse
from assist.scripts.schema import RecommendRequest, RecommendResponse, ReplyFeedback, ReplyFeedbackReceipt
from data.taxonomy import Taxonomy
from serving.assist_schema import AssistRequest, AssistResponse, Routing, RoutingRequest
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

__all__ = ["DeskError", "Engine", "FeedbackSink", "Helper", "NotHereError", "Operations"]


class DeskError(RuntimeError):
    """What helps the agent cannot be opened; the message says which room, why, and the mend."""


class NotHereError(DeskError):
    """This service has no such room; the message says how to get it."""


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


class Helper(Protocol):
    """Helps the agent beyond labels: `serving.assist.Assistant`, or nothing of it."""

    def info(self) -> dict[str, Any]:
        """What the rooms hold."""

    async def recommend(self, request: RecommendRequest) -> RecommendResponse:
        """Complete replies to a message, best first."""

    async def learn(self, request: ReplyFeedback) -> ReplyFeedbackReceipt:
        """What the agent did with a reply."""

    async def search(self, request: KnowledgeSearchRequest) -> KnowledgeSearchResponse:
        """Cited passages on a question."""

    async def answer(self, request: AnswerRequest) -> AnswerResponse:
        """A cited draft."""

    async def ask(self, request: GraphRequest) -> GraphResponse:
        """An answer from the shop's rules with the path that says so."""

    async def inspect(self, request: InspectRequest) -> Inspection:
        """How well a conversation was handled."""

    async def route(self, request: RoutingRequest) -> Routing:
        """Skill group, priority and agent for a message, and signals."""

    async def group(self, request: GroupRequest) -> GroupResponse:
        """Open messages that ask the same, with one suggested answer for each group."""

    async def assist(self, request: AssistRequest) -> AssistResponse:
        """Everything for one message."""


class Operations:
    """The capabilities, each a request model in and a response model out.

    Args:
        engine: answers messages.
        feedback: where feedback goes.
        on_feedback: told of feedback that was kept.
        helper: recommends, searches, inspects and routes.
    """

    def __init__(
        self,
        engine: Engine,
        feedback: FeedbackSink,
        on_feedback: Callable[[FeedbackRequest], None] | None = None,
        helper: Helper | None = None,
    ) -> None:
        self.engine, self._feedback, self._on_feedback = engine, feedback, on_feedback
        self._helper = helper

    def about(self) -> dict[str, Any]:
        """Models, device and threads, and what the rooms hold."""
        return {**self.engine.info(), "desk": self._helper.info() if self._helper else None}

    @property
    def helper(self) -> Helper:
        """What helps the agent beyond labels.

        Raises:
            NotHereError: these operations were made without one.
        """
        if self._helper is None:
            raise NotHereError("answers labels only: it was started without scripts and knowledge")
        return self._helper

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
