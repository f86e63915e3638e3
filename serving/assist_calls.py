"""From plain texts and options to the calls that help an agent; for the sync and the async client alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, TypedDict, TypeVar

from pydantic import BaseModel

from assist.graph.schema import GraphRequest, GraphResponse, QuestionKey
from assist.inspection.schema import Inspection, InspectRequest, InspectTurn
from assist.knowledge.schema import (
    AnswerRequest,
    AnswerResponse,
    Kind,
    KnowledgeSearchRequest,
    KnowledgeSearchResponse,
)
from assist.routing.schema import AgentState, GroupRequest, GroupResponse, OpenMessage, QueuedChat, Strategy
from assist.scripts.schema import RecommendRequest, RecommendResponse, ReplyFeedback, ReplyFeedbackReceipt
from serving.assist_schema import AssistRequest, AssistResponse, Part, Routing, RoutingRequest
from serving.calls import Turn, checked, post, turn_of, wrong
from serving.retries import Call

__all__ = [
    "AnswerOptions",
    "AssistOptions",
    "GraphOptions",
    "GroupOptions",
    "InspectOptions",
    "Open",
    "RecommendOptions",
    "ReplyOptions",
    "RouteOptions",
    "SearchOptions",
    "answer_call",
    "assist_call",
    "graph_call",
    "group_call",
    "inspect_call",
    "recommend_call",
    "reply_call",
    "route_call",
    "search_call",
]

Tone = Literal["warm", "formal", "lively"]
Request = TypeVar("Request", bound=BaseModel)
Open = OpenMessage | tuple[str, str] | Mapping[str, str]
"""A message that waits for an answer: the model, `(id, text)`, or `{"id", "text"}`."""


class _Replies(TypedDict, total=False):
    k: int
    tone: Tone | None
    conditions: Sequence[str] | None
    slots: Mapping[str, str]


class AssistOptions(_Replies, total=False):
    """Fields of `AssistRequest` besides text and context."""

    parts: Sequence[Part]
    deadline_ms: int


class RecommendOptions(_Replies, total=False):
    """Fields of `RecommendRequest` besides text and context."""

    exclude: Sequence[str]
    explore: bool


class ReplyOptions(TypedDict, total=False):
    """Fields of `ReplyFeedback` besides the reply's id."""

    action: Literal["accepted", "edited", "rejected"]
    sent: str | None
    by: str | None


class _Knowledge(TypedDict, total=False):
    k: int
    kinds: Sequence[Kind]
    products: Sequence[str]
    at: str | None


class SearchOptions(_Knowledge, total=False):
    """Fields of `KnowledgeSearchRequest` besides the question."""


class AnswerOptions(_Knowledge, total=False):
    """Fields of `AnswerRequest` besides the question."""

    generate: bool | None


class GraphOptions(TypedDict, total=False):
    """Fields of `GraphRequest` besides the text."""

    question: QuestionKey | None
    category: str | None
    product: str | None
    coupons: Sequence[str]
    attribute: str | None
    wanted: str
    facts: Mapping[str, bool | float]
    on: str | None


class InspectOptions(TypedDict, total=False):
    """Fields of `InspectRequest` besides the turns."""

    id: str
    agent: str
    complete_until: datetime | str | None


class RouteOptions(TypedDict, total=False):
    """Fields of `RoutingRequest` besides text and context."""

    agents: Sequence[AgentState | Mapping[str, Any]]
    waiting_seconds: float
    customer_value: int
    previous_agent: str | None
    strategy: Strategy | None
    queue: Sequence[QueuedChat | Mapping[str, Any]]


class GroupOptions(TypedDict, total=False):
    """Fields of `GroupRequest` besides the messages."""

    threshold: float | None


def assist_call(
    message: AssistRequest | str, context: Sequence[Turn], options: AssistOptions, request_id: str | None
) -> Call[AssistResponse]:
    """The call for everything about one message.

    Raises:
        InvalidRequest: a field is wrong; as of every function here.
    """
    request = _about(AssistRequest, "message", message, context, options)
    return post("/assist", AssistResponse, request, request_id=request_id)


def recommend_call(
    message: RecommendRequest | str, context: Sequence[Turn], options: RecommendOptions
) -> Call[RecommendResponse]:
    """The call for replies. Sent twice it is logged as shown twice; the agent sees one of the two."""
    request = _about(RecommendRequest, "message", message, context, options)
    return post("/recommend", RecommendResponse, request)


def reply_call(reply: ReplyFeedback | str, options: ReplyOptions) -> Call[ReplyFeedbackReceipt]:
    """The call that says what became of a reply; it names the reply, so that sent twice it counts once."""
    request = _made(ReplyFeedback, "reply", reply, {"reply_id": reply}, options)
    return post("/recommend/feedback", ReplyFeedbackReceipt, request)


def search_call(
    question: KnowledgeSearchRequest | str, options: SearchOptions
) -> Call[KnowledgeSearchResponse]:
    """The call for cited passages."""
    request = _made(KnowledgeSearchRequest, "question", question, {"question": question}, options)
    return post("/knowledge/search", KnowledgeSearchResponse, request)


def answer_call(question: AnswerRequest | str, options: AnswerOptions) -> Call[AnswerResponse]:
    """The call for a cited draft."""
    request = _made(AnswerRequest, "question", question, {"question": question}, options)
    return post("/answer", AnswerResponse, request)


def graph_call(text: GraphRequest | str, options: GraphOptions) -> Call[GraphResponse]:
    """The call for what the shop's rules say."""
    return post("/graph", GraphResponse, _made(GraphRequest, "text", text, {"text": text}, options))


def inspect_call(
    turns: InspectRequest | Iterable[Turn | InspectTurn], options: InspectOptions
) -> Call[Inspection]:
    """The call that judges a conversation."""
    values = {} if isinstance(turns, InspectRequest) else {"turns": [turn_of(turn) for turn in turns]}
    return post("/inspect", Inspection, _made(InspectRequest, "turns", turns, values, options))


def route_call(
    message: RoutingRequest | str, context: Sequence[Turn], options: RouteOptions
) -> Call[Routing]:
    """The call for who takes a message."""
    return post("/route", Routing, _about(RoutingRequest, "message", message, context, options))


def group_call(messages: GroupRequest | Iterable[Open], options: GroupOptions) -> Call[GroupResponse]:
    """The call for open messages that ask the same."""
    values = {} if isinstance(messages, GroupRequest) else {"messages": [_open(one) for one in messages]}
    return post("/group", GroupResponse, _made(GroupRequest, "messages", messages, values, options))


def _open(message: Open) -> Any:
    if isinstance(message, tuple) and len(message) == 2:
        return {"id": message[0], "text": message[1]}
    return message


def _about(
    model: type[Request],
    name: str,
    given: Request | str,
    context: Sequence[Turn],
    options: Mapping[str, Any],
) -> Request:
    """A request about one message with the turns before it."""
    if context and not isinstance(given, str):
        raise wrong([{"field": name, "reason": "holds the context itself; give it there"}])
    values = {"text": given, "context": [turn_of(turn) for turn in context]}
    return _made(model, name, given, values, options)


def _made(
    model: type[Request], name: str, given: Any, values: dict[str, Any], options: Mapping[str, Any]
) -> Request:
    """The request that was given, or one of its values and the options."""
    if isinstance(given, model):
        if options:
            reason = f"holds {', '.join(options)} itself; give it there"
            raise wrong([{"field": name, "reason": reason}])
        return given
    chosen = {key: _plain(value) for key, value in options.items() if value is not None}
    return checked(model, {**chosen, **values})


def _plain(value: Any) -> Any:
    """What the request models take: they are strict, and want lists and dicts."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value
