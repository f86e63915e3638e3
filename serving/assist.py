"""Help for the agent on top of the engine: one encoder pass, then the rooms side by side.

Each method is an operation (`serving.operations`); rooms compute in threads of their own, so that a slow one
never holds up the event loop, and `assist` leaves out what is not done within its deadline.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from assist.graph.schema import GraphRequest, GraphResponse
from assist.inspection.schema import Inspection, InspectRequest, InspectTurn
from assist.knowledge.schema import (
    AnswerRequest,
    AnswerResponse,
    KnowledgeSearchRequest,
    KnowledgeSearchResponse,
)
from assist.reading import Reading
from assist.routing.schema import GroupRequest, GroupResponse
from assist.scripts.index import CONTRADICTIONS
from assist.scripts.schema import (
    RecommendRequest,
    RecommendResponse,
    ReplyFeedback,
    ReplyFeedbackReceipt,
    SaidTurn,
)
from data.taxonomy import Taxonomy
from serving.assist_schema import (
    AssistPart,
    AssistRequest,
    AssistResponse,
    Part,
    Routing,
    RoutingRequest,
    TimedTurn,
)
from serving.operations import NotHereError
from serving.reading import reading_of
from serving.schema import MAX_TEXT, Analysis, AnalyzeRequest, ContextTurn, TrackResponse
from serving.track import follow

if TYPE_CHECKING:
    from serving.desk import Desk

__all__ = ["Assistant", "Readers"]

_THREADS = 4
_EARLIER = 10
"""The customer's latest messages that may name the product or a fact that the question leaves out."""
_TOP = 3
Found = TypeVar("Found")


class Readers(Protocol):
    """What an engine must be able to do for the rooms."""

    @property
    def taxonomy(self) -> Taxonomy:
        """The label schema of the answers."""

    async def analyze(self, requests: Sequence[AnalyzeRequest]) -> list[Analysis]:
        """Answers in the order of the requests."""


class Assistant:
    """The operations that help an agent.

    Args:
        engine: answers messages, and their vectors.
        desk: the rooms for the champion that gave an answer, by the name that the answer cites.
    """

    def __init__(self, engine: Readers, desk: Callable[[str], Desk]) -> None:
        self._engine, self._desk = engine, desk
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="desk")

    def close(self) -> None:
        """Let running work end."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def info(self) -> dict[str, Any]:
        """What the rooms hold."""
        return self._desk("").info()

    async def recommend(self, request: RecommendRequest) -> RecommendResponse:
        """Complete replies to a message, best first."""
        reading, desk = await self._read(request.text, request.context)
        return await self._run(desk.recommender.recommend, request, reading)

    async def learn(self, request: ReplyFeedback) -> ReplyFeedbackReceipt:
        """What the agent did with a reply."""
        return await self._run(self._desk("").recommender.learn, request)

    async def search(self, request: KnowledgeSearchRequest) -> KnowledgeSearchResponse:
        """Cited passages on a question."""
        reading, desk = await self._read(request.question, ())
        desk.need_knowledge()
        return await self._run(desk.knowledge.search, request, reading.embedding)

    async def answer(self, request: AnswerRequest) -> AnswerResponse:
        """A cited draft."""
        reading, desk = await self._read(request.question, ())
        desk.need_knowledge()
        return await self._run(desk.drafter.answer, request, reading.embedding)

    async def ask(self, request: GraphRequest) -> GraphResponse:
        """An answer from the shop's rules with the path that says so."""
        if request.text.strip() and request.question is None and request.category is None:
            reading, desk = await self._read(request.text, ())
            request = request.model_copy(update={"category": reading.category})
        else:
            desk = self._desk("")
        return await self._run(desk.graph.ask, request)

    async def inspect(self, request: InspectRequest) -> Inspection:
        """How well a conversation was handled."""
        turns = [ContextTurn(role=turn.role, text=turn.text) for turn in request.turns]
        messages = _to_read(turns)
        answers = await self._engine.analyze(messages)
        desk = self._desk(answers[0].model.category)
        return await self._run(desk.inspect, _felt(request, answers), _scores(messages, answers))

    async def route(self, request: RoutingRequest) -> Routing:
        """Skill group, priority and agent for a message, and signals."""
        reading, desk = await self._read(request.text, request.context)
        return await self._run(desk.route, request, reading)

    async def group(self, request: GroupRequest) -> GroupResponse:
        """Open messages that ask the same, with one suggested answer for each group."""
        asked = [AnalyzeRequest(text=one.text, top=_TOP) for one in request.messages]
        answers = await self._engine.analyze(asked)
        readings = [reading_of(one, answer) for one, answer in zip(asked, answers, strict=True)]
        return await self._run(self._desk(answers[0].model.category).group, request, readings)

    async def assist(self, request: AssistRequest) -> AssistResponse:
        """Everything for one message: one pass of the encoder, then the rooms side by side."""
        began = time.perf_counter()
        turns = [*request.context, ContextTurn(role="customer", text=request.text)]
        messages = _to_read(turns)
        messages[-1] = messages[-1].model_copy(update={"top": _TOP})
        answers = await self._engine.analyze(messages)
        encoder_ms = (time.perf_counter() - began) * 1000
        desk = self._desk(answers[-1].model.category)
        work = _work(request, reading_of(messages[-1], answers[-1]), desk, messages, answers)
        found, parts = await self._until(work, request.parts, request.deadline_ms / 1000)
        return AssistResponse(
            analysis=answers[-1],
            track=_track(turns, answers, self._engine.taxonomy),
            parts=parts,
            encoder_ms=round(encoder_ms, 2),
            took_ms=round((time.perf_counter() - began) * 1000, 2),
            **found,
        )

    async def _read(self, text: str, context: Sequence[SaidTurn | ContextTurn]) -> tuple[Reading, Desk]:
        """What the champions say of a message, and the rooms that understand their vectors."""
        if not text.strip():
            raise ValueError("text: must not be empty")
        said = [ContextTurn(role=turn.role, text=turn.text) for turn in context]
        request = AnalyzeRequest(text=text, context=said, top=_TOP)
        answer = (await self._engine.analyze([request]))[0]
        return reading_of(request, answer), self._desk(answer.model.category)

    async def _run(self, work: Callable[..., Found], *arguments: Any) -> Found:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, work, *arguments)

    async def _until(
        self, work: dict[Part, Callable[[], Any]], wanted: Sequence[Part], seconds: float
    ) -> tuple[dict[str, Any], list[AssistPart]]:
        """Run the parts side by side; what is not done in time is left out and named."""
        tasks = {part: asyncio.create_task(self._run(_timed, work[part])) for part in dict.fromkeys(wanted)}
        await asyncio.wait(tasks.values(), timeout=seconds)
        found: dict[str, Any] = {}
        parts = []
        for part, task in tasks.items():
            if not task.done():
                task.cancel()
                reason = f"not done within {seconds * 1000:.0f} ms; ask again with a longer deadline_ms"
                parts.append(AssistPart(part=part, state="late", took_ms=None, reason=reason))
            elif error := task.exception():
                off = isinstance(error, NotHereError)
                reason = str(error) or type(error).__name__
                parts.append(
                    AssistPart(part=part, state="off" if off else "failed", took_ms=None, reason=reason)
                )
            else:
                found[part], took = task.result()
                parts.append(AssistPart(part=part, state="done", took_ms=took))
        return found, parts


def _timed(work: Callable[[], Found]) -> tuple[Found, float]:
    began = time.perf_counter()
    return work(), round((time.perf_counter() - began) * 1000, 2)


def _to_read(turns: Sequence[ContextTurn]) -> list[AnalyzeRequest]:
    """Every turn that has text, in order: a customer's with the turns before it, an agent's by itself,
    because of it only the sound of its words is asked."""
    return [
        AnalyzeRequest(
            text=turn.text[:MAX_TEXT],
            context=list(turns[:place]) if turn.role == "customer" else [],
            top=1,
        )
        for place, turn in enumerate(turns)
        if turn.text.strip()
    ]


def _track(turns: Sequence[ContextTurn], answers: Sequence[Analysis], taxonomy: Taxonomy) -> TrackResponse:
    places = [place for place, turn in enumerate(turns) if turn.text.strip()]
    told = [
        (place, answer)
        for place, answer in zip(places, answers, strict=True)
        if turns[place].role == "customer"
    ]
    return follow([place for place, _ in told], [answer for _, answer in told], taxonomy)


def _scores(messages: Sequence[AnalyzeRequest], answers: Sequence[Analysis]) -> dict[str, dict[str, float]]:
    return {message.text: answer.emotion.scores for message, answer in zip(messages, answers, strict=True)}


def _felt(request: InspectRequest, answers: Sequence[Analysis]) -> InspectRequest:
    """The customer's turns with the emotion and alert of the models, where the request says none."""
    turns = []
    for turn, answer in zip(request.turns, answers, strict=True):
        said: dict[str, Any] = {}
        if turn.role == "customer" and turn.emotion is None:
            said = {"emotion": answer.emotion.label, "emotion_score": answer.emotion.score}
        if turn.role == "customer" and turn.alert is None and said:
            said["alert"] = answer.alert.level
        turns.append(turn.model_copy(update=said))
    return request.model_copy(update={"turns": turns})


def _work(
    request: AssistRequest,
    reading: Reading,
    desk: Desk,
    messages: Sequence[AnalyzeRequest],
    answers: Sequence[Analysis],
) -> dict[Part, Callable[[], Any]]:
    """What each part does, on what the one pass said."""
    said = [SaidTurn(role=turn.role, text=turn.text) for turn in request.context]

    @cache
    def rules() -> GraphResponse:
        earlier = [turn.text[:MAX_TEXT] for turn in request.context if turn.role == "customer"]
        return desk.graph.ask(
            GraphRequest(text=request.text, category=reading.category, earlier=earlier[-_EARLIER:])
        )

    def scripts() -> RecommendResponse:
        asked = RecommendRequest(
            text=request.text,
            context=said,
            k=request.k,
            tone=request.tone,
            conditions=_conditions(rules().known, request.conditions),
            slots=_product(rules()) | request.slots,
        )
        return desk.recommender.recommend(asked, reading)

    def knowledge() -> KnowledgeSearchResponse:
        desk.need_knowledge()
        return desk.knowledge.search(
            KnowledgeSearchRequest(question=request.text[:500], k=3), reading.embedding
        )

    def graph() -> GraphResponse:
        return rules()

    def inspection() -> Inspection:
        # What the agent has not had time to answer is no fault of theirs yet.
        turns = [turn for turn in request.context if turn.text.strip()]
        while turns and turns[-1].role == "customer":
            turns.pop()
        if not turns:
            raise NotHereError("no turn of the agent yet")
        asked = InspectRequest(
            turns=[InspectTurn(role=turn.role, text=turn.text[:MAX_TEXT]) for turn in turns]
        )
        return desk.inspect(_felt(asked, answers[: len(turns)]), _scores(messages, answers))

    def routing() -> Routing:
        turns = [TimedTurn(role=turn.role, text=turn.text) for turn in request.context]
        return desk.route(RoutingRequest(text=request.text, context=turns), reading)

    return {
        "scripts": scripts,
        "knowledge": knowledge,
        "graph": graph,
        "inspection": inspection,
        "routing": routing,
    }


def _conditions(known: Mapping[str, bool | float], told: Sequence[str] | None) -> list[str] | None:
    """What is known of the order: from the desk, and from what the customer said; the desk's word counts."""
    found = list(told or ())
    days = known.get("days_since_signed")
    exception = known.get("custom_made") is True  # for which the ordinary period does not count
    said = {
        "opened": known.get("opened") is True,
        "unopened": known.get("opened") is False,
        "custom_made": exception,
        "remote_area": known.get("remote_area") is True,
        "signed": days is not None,
        "within_7_days": days is not None and days <= 7 and not exception,
        "over_7_days": days is not None and days > 7,
    }
    for name, holds in said.items():
        if holds and name not in found and not any(other in found for other in CONTRADICTIONS.get(name, ())):
            found.append(name)
    return found or None


def _product(answer: GraphResponse) -> dict[str, str]:
    """The product that the message names, where it names one."""
    names = {one.words for one in answer.mentions if one.type in ("product", "kind")}
    return {"product": names.pop()} if len(names) == 1 else {}
