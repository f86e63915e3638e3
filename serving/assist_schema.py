"""What one asks of `/assist`, everything for one customer message in a single call, and what it answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from assist.graph.schema import GraphResponse
from assist.inspection.schema import Inspection
from assist.knowledge.schema import KnowledgeSearchResponse
from assist.routing.schema import RouteDecision
from assist.scripts.schema import RecommendResponse
from serving.schema import MAX_CONTEXT, MAX_TEXT, Analysis, ContextTurn, TrackResponse

__all__ = ["PARTS", "AssistPart", "AssistRequest", "AssistResponse", "Part"]

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
    text: str = Field(max_length=MAX_TEXT)
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

    @field_validator("text")
    @classmethod
    def _not_blank(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be empty")
        return value


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
    routing: RouteDecision | None = None
    parts: list[AssistPart]
    encoder_ms: float
    """The one pass of the encoder, with waiting for a free core."""
    took_ms: float
    """All of it."""
