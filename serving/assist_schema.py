"""What one asks of `/assist`, everything for one customer message in a single call, and what it answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from assist.graph.schema import GraphResponse
from assist.inspection.schema import Inspection
from assist.knowledge.schema import KnowledgeSearchResponse
from assist.routing.schema import AgentState, QueuedChat, RouteDecision, SignalResponse
from assist.scripts.schema import RecommendResponse
from serving.schema import MAX_CONTEXT, Analysis, ContextTurn, MessageText, TrackResponse

__all__ = [
    "PARTS",
    "AssistPart",
    "AssistRequest",
    "AssistResponse",
    "Part",
    "Routing",
    "RoutingRequest",
    "TimedTurn",
]

Part = Literal["scripts", "knowledge", "graph", "inspection", "routing"]
PARTS: tuple[Part, ...] = ("scripts", "knowledge", "graph", "inspection", "routing")


class AssistRequest(BaseModel):
    """A customer message with the turns before it, what the desk knows, and how long it can wait."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "text": "保温杯刻了字还能退吗，我才收到两天",
                    "context": [
                        {"role": "customer", "text": "在吗"},
                        {"role": "agent", "text": "您好，在的，请问有什么可以帮您？"},
                    ],
                    "conditions": ["signed"],
                    "deadline_ms": 1000,
                }
            ]
        },
    )
    text: MessageText
    context: list[ContextTurn] = Field(default_factory=list, max_length=MAX_CONTEXT)
    parts: list[Part] = Field(default_factory=lambda: list(PARTS), min_length=1, max_length=len(PARTS))
    """Which help is wanted; all when left out."""
    k: int = Field(default=3, ge=1, le=8)
    """How many replies."""
    tone: Literal["warm", "formal", "lively"] | None = None
    """The shop's tone; None takes what fits the customer's mood."""
    conditions: list[Annotated[str, Field(min_length=1, max_length=64)]] | None = Field(
        default=None, max_length=20
    )
    """What is known to hold of the order (paid_unshipped, signed, opened, …); None: nothing known."""
    slots: dict[
        Annotated[str, Field(min_length=1, max_length=64)],
        Annotated[str, Field(min_length=1, max_length=200)],
    ] = Field(default_factory=dict, max_length=40)
    """What the desk knows for the slots of scripts: name to value."""
    deadline_ms: int = Field(default=1500, ge=10, le=10000)
    """Milliseconds after the encoder's pass after which parts that are not done are left out and named."""


class TimedTurn(ContextTurn):
    """An earlier turn, and when it was said."""

    at: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Seconds since the chat began; None where nobody knows."""


class RoutingRequest(BaseModel):
    """A message that waits for an agent, and the agents as the desk sees them."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "text": "退款三天了还没到账，再不处理我打12315",
                    "context": [{"role": "agent", "text": "您好，已经在处理了"}],
                    "waiting_seconds": 95,
                    "agents": [
                        {"id": "kefu-01", "skills": ["aftersale"], "load": 2},
                        {"id": "lead-01", "skills": ["aftersale", "complaint"], "load": 1, "seniority": 8},
                    ],
                }
            ]
        },
    )
    text: MessageText
    context: list[TimedTurn] = Field(default_factory=list, max_length=MAX_CONTEXT)
    agents: list[AgentState] = Field(default_factory=list, max_length=2000)
    """Without any, group, priority and signals are answered and nobody is chosen."""
    waiting_seconds: float = Field(default=0.0, ge=0, le=864_000, allow_inf_nan=False)
    """How long the customer waits already."""
    customer_value: int = Field(default=1, ge=1, le=5)
    """One of the five value levels; 5 is the highest."""
    previous_agent: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Who spoke with the customer last on this matter."""
    strategy: Literal["saturation", "in_turn", "seniority"] | None = None
    """How an agent is chosen; None takes the configured way."""
    queue: list[QueuedChat] = Field(default_factory=list, max_length=10_000)
    """Chats that wait already."""


class Routing(BaseModel):
    """Whom the message goes to, how soon, and what a supervisor should see."""

    decision: RouteDecision
    signals: SignalResponse
    """Flooding, harassment, signs of fraud, each with the words it rests on; for a person to judge."""


class AssistPart(BaseModel):
    """How one part went."""

    part: Part
    state: Literal["done", "late", "failed", "off"]
    """`late`: not done within the deadline; `off`: this service has none."""
    took_ms: float | None
    """Own time of the part; None where it is not done."""
    reason: str = ""
    """Why it is not there, and the mend."""


class AssistResponse(BaseModel):
    """Everything for one message; parts that were not asked for or not done are null."""

    analysis: Analysis
    track: TrackResponse
    """Emotion over the chat, and the alert that stands now."""
    scripts: RecommendResponse | None = None
    knowledge: KnowledgeSearchResponse | None = None
    graph: GraphResponse | None = None
    inspection: Inspection | None = None
    routing: Routing | None = None
    parts: list[AssistPart]
    encoder_ms: float
    """The one pass of the encoder, with waiting for a free core."""
    took_ms: float
    """All of it."""
