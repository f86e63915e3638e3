"""The operations of a service that runs elsewhere, asked through the client; for tools in another process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
from data.taxonomy import load_taxonomy
from serving.assist_schema import AssistRequest, AssistResponse, Routing, RoutingRequest
from serving.client import AsyncKefuClient
from serving.operations import Operations
from serving.schema import (
    Analysis,
    AnalyzeBatchRequest,
    AnalyzeBatchResponse,
    AnalyzeRequest,
    ClassifyResponse,
    EmotionResponse,
    FeedbackReceipt,
    FeedbackRequest,
    Labels,
    TrackRequest,
    TrackResponse,
)

__all__ = ["RemoteEngine", "RemoteHelper", "RemoteOperations"]


class RemoteEngine:
    """An `Engine` over HTTP.

    Args:
        client: asks the service.
    """

    def __init__(self, client: AsyncKefuClient) -> None:
        self._client = client
        self.taxonomy = load_taxonomy()
        """The embedded schema; a service may have another, which `RemoteOperations.labels` asks for."""

    async def analyze(self, requests: Sequence[AnalyzeRequest]) -> list[Analysis]:
        """Answers in the order of the requests."""
        return (await self._client.analyze_batch(requests)).results

    def info(self) -> dict[str, Any]:
        """Nothing is known here; `RemoteOperations.info` asks."""
        return {}


class RemoteHelper:
    """A `Helper` over HTTP: whether the service has a room is said by its answer.

    Args:
        client: asks the service.
    """

    def __init__(self, client: AsyncKefuClient) -> None:
        self._client = client

    def info(self) -> dict[str, Any]:
        """Nothing is known here; `RemoteOperations.info` asks."""
        return {}

    async def recommend(self, request: RecommendRequest) -> RecommendResponse:
        """Asks `/recommend`."""
        return await self._client.recommend(request)

    async def learn(self, request: ReplyFeedback) -> ReplyFeedbackReceipt:
        """Asks `/recommend/feedback`."""
        return await self._client.reply_feedback(request)

    async def search(self, request: KnowledgeSearchRequest) -> KnowledgeSearchResponse:
        """Asks `/knowledge/search`."""
        return await self._client.search_knowledge(request)

    async def answer(self, request: AnswerRequest) -> AnswerResponse:
        """Asks `/answer`."""
        return await self._client.answer(request)

    async def ask(self, request: GraphRequest) -> GraphResponse:
        """Asks `/graph`."""
        return await self._client.ask_shop_rules(request)

    async def inspect(self, request: InspectRequest) -> Inspection:
        """Asks `/inspect`."""
        return await self._client.inspect(request)

    async def route(self, request: RoutingRequest) -> Routing:
        """Asks `/route`."""
        return await self._client.route(request)

    async def group(self, request: GroupRequest) -> GroupResponse:
        """Asks `/group`."""
        return await self._client.group(request)

    async def assist(self, request: AssistRequest) -> AssistResponse:
        """Asks `/assist`."""
        return await self._client.assist(request)


class RemoteOperations(Operations):
    """Every operation as one call of the service. Each raises a `serving.client.KefuError`.

    Args:
        client: asks the service.
    """

    def __init__(self, client: AsyncKefuClient) -> None:
        super().__init__(RemoteEngine(client), _Nowhere(), helper=RemoteHelper(client))
        self._client = client

    async def analyze(self, request: AnalyzeRequest) -> Analysis:
        """Asks `/analyze`."""
        return await self._client.analyze(request)

    async def analyze_batch(self, request: AnalyzeBatchRequest) -> AnalyzeBatchResponse:
        """Asks `/analyze_batch`."""
        return await self._client.analyze_batch(request.messages)

    async def classify(self, request: AnalyzeRequest) -> ClassifyResponse:
        """Asks `/classify`."""
        return await self._client.classify(request)

    async def emotion(self, request: AnalyzeRequest) -> EmotionResponse:
        """Asks `/emotion`."""
        return await self._client.emotion(request)

    async def track(self, request: TrackRequest) -> TrackResponse:
        """Asks `/track`."""
        return await self._client.track(request)

    async def feedback(self, request: FeedbackRequest) -> FeedbackReceipt:
        """Asks `/feedback`."""
        return await self._client.feedback(request)

    async def labels(self) -> Labels:
        """Asks `/labels`."""
        return await self._client.labels()

    async def info(self) -> dict[str, Any]:
        """Asks `/info`."""
        return await self._client.info()


class _Nowhere:
    def put(self, feedback: FeedbackRequest) -> FeedbackReceipt:
        raise NotImplementedError("feedback of a remote service is kept there")
