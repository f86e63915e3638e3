"""The mock's help for the agent: the real rooms without a model, the same answers every time.

Scripts, rules, standards, routing and the demo shop's documents are the real ones; what a text wants and how
it sounds comes from the mock's hash or from `[mock:…]`, vectors from hashed characters, the day is fixed, and
times are 0. Parts are never late, unless a text asks for it.
"""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

import anyio

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
from serving.assist_schema import AssistPart, AssistRequest, AssistResponse, Routing, RoutingRequest
from serving.operations import Engine

if TYPE_CHECKING:
    from serving.assist import Assistant

__all__ = ["MockHelper"]

_LATE = re.compile(r"\[mock:late=([a-z]+)\]")
_LONGEST_MS = 10_000


class MockHelper:
    """A `Helper`; the rooms are opened in a thread when the first request needs them.

    Args:
        engine: answers messages.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._assistant: Assistant | None = None
        self._opening = threading.Lock()
        self.received: dict[str, ReplyFeedback] = {}
        """What was said of replies, by the reply's id, oldest first."""

    def info(self) -> dict[str, Any]:
        """Says that these are the mock's, and whether they are open yet."""
        return {"mock": True, "open": self._assistant is not None}

    async def recommend(self, request: RecommendRequest) -> RecommendResponse:
        """Complete replies to a message, best first."""
        return await (await self._open()).recommend(request)

    async def learn(self, request: ReplyFeedback) -> ReplyFeedbackReceipt:
        """Kept in `received`; changes nothing."""
        return await (await self._open()).learn(request)

    async def search(self, request: KnowledgeSearchRequest) -> KnowledgeSearchResponse:
        """Cited passages of the demo shop's documents."""
        return await (await self._open()).search(request)

    async def answer(self, request: AnswerRequest) -> AnswerResponse:
        """A cited draft, always extractive."""
        return await (await self._open()).answer(request)

    async def ask(self, request: GraphRequest) -> GraphResponse:
        """An answer from the demo shop's rules with the path that says so."""
        return await (await self._open()).ask(request)

    async def inspect(self, request: InspectRequest) -> Inspection:
        """How well a conversation was handled."""
        return await (await self._open()).inspect(request)

    async def route(self, request: RoutingRequest) -> Routing:
        """Skill group, priority and agent for a message, and signals."""
        return await (await self._open()).route(request)

    async def group(self, request: GroupRequest) -> GroupResponse:
        """Open messages that ask the same."""
        return await (await self._open()).group(request)

    async def assist(self, request: AssistRequest) -> AssistResponse:
        """Everything for one message; parts that `[mock:late=…]` names are left out."""
        late = set(_LATE.findall(request.text))
        unhurried = request.model_copy(update={"deadline_ms": _LONGEST_MS})
        found = await (await self._open()).assist(unhurried)
        parts = [_told(part, part.part in late) for part in found.parts]
        told: dict[str, Any] = {part.part: None for part in parts if part.state == "late"}
        return found.model_copy(update={**told, "parts": parts, "encoder_ms": 0.0, "took_ms": 0.0})

    async def _open(self) -> Assistant:
        if self._assistant is None:
            await anyio.to_thread.run_sync(self._open_rooms)
        assert self._assistant is not None
        return self._assistant

    def _open_rooms(self) -> None:
        from serving.assist import Assistant
        from serving.mock_rooms import open_desk

        with self._opening:  # several requests may have come for closed rooms
            if self._assistant is None:
                desk = open_desk(self.received)
                self._assistant = Assistant(self._engine, lambda model: desk)


def _told(part: AssistPart, late: bool) -> AssistPart:
    if late:
        reason = "not done in time, as the text asks"
        return AssistPart(part=part.part, state="late", took_ms=None, reason=reason)
    return part.model_copy(update={"took_ms": 0.0 if part.took_ms is not None else None})
