"""What the clients can ask beyond labels: replies, knowledge, rules, inspection, routing, all in one call.

Every method takes the request model, or plain text with the model's other fields as options. The models are
those of `serving/assist_schema.py` and `assist/*/schema.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TypeVar, Unpack

from assist.graph.schema import GraphRequest, GraphResponse
from assist.inspection.schema import Inspection, InspectRequest, InspectTurn
from assist.knowledge.schema import (
    AnswerRequest,
    AnswerResponse,
    KnowledgeSearchRequest,
    KnowledgeSearchResponse,
)
from assist.routing.schema import GroupRequest, GroupResponse
from assist.scripts.schema import RecommendRequest, RecommendResponse, ReplyFeedback, ReplyFeedbackReceipt
from serving.assist_calls import (
    AnswerOptions,
    AssistOptions,
    GraphOptions,
    GroupOptions,
    InspectOptions,
    Open,
    RecommendOptions,
    ReplyOptions,
    RouteOptions,
    SearchOptions,
    answer_call,
    assist_call,
    graph_call,
    group_call,
    inspect_call,
    recommend_call,
    reply_call,
    route_call,
    search_call,
)
from serving.assist_schema import AssistRequest, AssistResponse, Routing, RoutingRequest
from serving.calls import Turn
from serving.retries import Call

__all__ = ["AsyncHelp", "Help"]

Answer = TypeVar("Answer")


class Help(ABC):
    """The methods of `KefuClient` that help an agent."""

    @abstractmethod
    def _run(self, call: Call[Answer], once: bool = False) -> Answer:
        """Send a call and read its answer."""

    def assist(
        self,
        message: AssistRequest | str,
        context: Sequence[Turn] = (),
        *,
        request_id: str | None = None,
        **options: Unpack[AssistOptions],
    ) -> AssistResponse:
        """Everything for one message: labels, mood, replies, knowledge, rules, inspection, routing. Parts
        that are not there are None, and `parts` says why."""
        return self._run(assist_call(message, context, options, request_id))

    def recommend(
        self,
        message: RecommendRequest | str,
        context: Sequence[Turn] = (),
        **options: Unpack[RecommendOptions],
    ) -> RecommendResponse:
        """Complete replies to a message, best first; `missing` names slots that nobody filled."""
        return self._run(recommend_call(message, context, options))

    def reply_feedback(
        self, reply: ReplyFeedback | str, **options: Unpack[ReplyOptions]
    ) -> ReplyFeedbackReceipt:
        """Say what the agent did with a reply, by its id: `action` is accepted, edited (with `sent`) or
        rejected."""
        return self._run(reply_call(reply, options))

    def search_knowledge(
        self, question: KnowledgeSearchRequest | str, **options: Unpack[SearchOptions]
    ) -> KnowledgeSearchResponse:
        """Cited passages of the shop's documents."""
        return self._run(search_call(question, options))

    def answer(self, question: AnswerRequest | str, **options: Unpack[AnswerOptions]) -> AnswerResponse:
        """A cited draft, and what a person must look at before it is sent."""
        return self._run(answer_call(question, options))

    def ask_shop_rules(self, text: GraphRequest | str = "", **options: Unpack[GraphOptions]) -> GraphResponse:
        """What the shop's rules say, with the path that says so."""
        return self._run(graph_call(text, options))

    def inspect(
        self,
        turns: InspectRequest | Iterable[Turn | InspectTurn],
        **options: Unpack[InspectOptions],
    ) -> Inspection:
        """How well a conversation was handled; oldest turn first."""
        return self._run(inspect_call(turns, options))

    def route(
        self,
        message: RoutingRequest | str,
        context: Sequence[Turn] = (),
        **options: Unpack[RouteOptions],
    ) -> Routing:
        """Who should take a message, how soon, and signs of flooding, harassment and fraud."""
        return self._run(route_call(message, context, options))

    def group(
        self, messages: GroupRequest | Iterable[Open], **options: Unpack[GroupOptions]
    ) -> GroupResponse:
        """Which open messages ask the same, the largest group first, each with a suggested reply."""
        return self._run(group_call(messages, options))


class AsyncHelp(ABC):
    """The same methods for `AsyncKefuClient`, to be awaited."""

    @abstractmethod
    async def _run(self, call: Call[Answer], once: bool = False) -> Answer:
        """Send a call and read its answer."""

    async def assist(
        self,
        message: AssistRequest | str,
        context: Sequence[Turn] = (),
        *,
        request_id: str | None = None,
        **options: Unpack[AssistOptions],
    ) -> AssistResponse:
        """See `KefuClient.assist`."""
        return await self._run(assist_call(message, context, options, request_id))

    async def recommend(
        self,
        message: RecommendRequest | str,
        context: Sequence[Turn] = (),
        **options: Unpack[RecommendOptions],
    ) -> RecommendResponse:
        """See `KefuClient.recommend`."""
        return await self._run(recommend_call(message, context, options))

    async def reply_feedback(
        self, reply: ReplyFeedback | str, **options: Unpack[ReplyOptions]
    ) -> ReplyFeedbackReceipt:
        """See `KefuClient.reply_feedback`."""
        return await self._run(reply_call(reply, options))

    async def search_knowledge(
        self, question: KnowledgeSearchRequest | str, **options: Unpack[SearchOptions]
    ) -> KnowledgeSearchResponse:
        """See `KefuClient.search_knowledge`."""
        return await self._run(search_call(question, options))

    async def answer(self, question: AnswerRequest | str, **options: Unpack[AnswerOptions]) -> AnswerResponse:
        """See `KefuClient.answer`."""
        return await self._run(answer_call(question, options))

    async def ask_shop_rules(
        self, text: GraphRequest | str = "", **options: Unpack[GraphOptions]
    ) -> GraphResponse:
        """See `KefuClient.ask_shop_rules`."""
        return await self._run(graph_call(text, options))

    async def inspect(
        self,
        turns: InspectRequest | Iterable[Turn | InspectTurn],
        **options: Unpack[InspectOptions],
    ) -> Inspection:
        """See `KefuClient.inspect`."""
        return await self._run(inspect_call(turns, options))

    async def route(
        self,
        message: RoutingRequest | str,
        context: Sequence[Turn] = (),
        **options: Unpack[RouteOptions],
    ) -> Routing:
        """See `KefuClient.route`."""
        return await self._run(route_call(message, context, options))

    async def group(
        self, messages: GroupRequest | Iterable[Open], **options: Unpack[GroupOptions]
    ) -> GroupResponse:
        """See `KefuClient.group`."""
        return await self._run(group_call(messages, options))
