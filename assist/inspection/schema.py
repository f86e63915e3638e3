"""What one asks of the inspection, and what it answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from data.chats import Chat

__all__ = [
    "MAX_TURNS",
    "DimensionScore",
    "IndicatorScore",
    "InspectRequest",
    "InspectTurn",
    "Inspection",
    "InspectionFinding",
    "request_of",
]

MAX_TURNS = 500


def _time(value: Any) -> Any:
    """JSON carries times as texts, which strict mode would refuse."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("expected a time as 2026-11-05T09:14:22+08:00") from None
    if isinstance(value, datetime) and value.utcoffset() is None:
        raise ValueError("has no offset; append +08:00 for Beijing time")
    return value


_Time = Annotated[datetime | None, BeforeValidator(_time)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class InspectTurn(_Strict):
    """One turn of the conversation."""

    role: Literal["customer", "agent"]
    text: str = Field(min_length=1, max_length=5000)
    sent_at: _Time = None
    """When it was sent, with the offset from UTC; of all turns or of none."""
    emotion: Literal["positive", "neutral", "anxious", "dissatisfied", "disappointed", "angry"] | None = None
    """What is known of a customer's turn (a model's label or a reader's); read by the model where missing."""
    emotion_score: float | None = Field(default=None, ge=0, le=1)
    """Its probability; 1 where missing."""
    alert: int | None = Field(default=None, ge=0, le=3)
    """Alert level that a customer's turn got; derived from the emotion where missing."""

    @field_validator("text")
    @classmethod
    def _not_blank(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be empty")
        return value


class InspectRequest(_Strict):
    """A whole conversation, oldest turn first."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "id": "chat-1",
                    "agent": "kefu-01",
                    "turns": [
                        {"role": "customer", "text": "能放微波炉吗", "sent_at": "2026-11-05T09:14:22+08:00"},
                        {"role": "agent", "text": "能，随便放", "sent_at": "2026-11-05T09:15:10+08:00"},
                    ],
                }
            ]
        },
    )
    id: str = Field(default="chat", min_length=1, max_length=120)
    agent: str = Field(default="agent", min_length=1, max_length=64)
    """The account that answers: a pseudonym."""
    turns: list[InspectTurn] = Field(min_length=1, max_length=MAX_TURNS)
    complete_until: _Time = None
    """Until when the record is known to be whole: a promised answer that is not in it by then never came."""

    @model_validator(mode="after")
    def _whole(self) -> InspectRequest:
        if not any(turn.role == "agent" for turn in self.turns):
            raise ValueError("turns: need at least one turn of the agent to inspect")
        times = [turn.sent_at for turn in self.turns]
        if any(times) and not all(times):
            raise ValueError(f"turns[{times.index(None)}].sent_at: is missing while other turns have one")
        for place in range(1, len(times)):
            before, at = times[place - 1], times[place]
            if before and at and at < before:
                raise ValueError(f"turns[{place}].sent_at: is before the turn above it")
        return self


class InspectionFinding(BaseModel):
    """One fault, and what it rests on."""

    indicator: str
    zh: str
    """The indicator's name."""
    severity: Literal["minor", "major", "critical"]
    turn: int
    """Position in the conversation, 0 the first."""
    words: str
    """The words of that turn that it rests on, `text[start:end]`; empty for times."""
    start: int
    end: int
    reason: str
    """Why it is a fault, in Chinese."""
    advice: str
    """What to do instead, in Chinese."""


class IndicatorScore(BaseModel):
    """How one indicator came out."""

    indicator: str
    zh: str
    score: float | None
    """0 to 100; None where it could not be judged."""
    findings: int
    note: str = ""
    """What the score rests on, or why there is none."""


class DimensionScore(BaseModel):
    """One of the four dimensions."""

    dimension: str
    zh: str
    score: float | None
    """0 to 100: weighted mean of the indicators that could be judged; None where none could."""
    indicators: list[IndicatorScore]


class Inspection(BaseModel):
    """What the inspection of one conversation found."""

    id: str
    agent: str
    standards: int
    """Version of the standards."""
    score: float | None
    """0 to 100: weighted mean of the judged dimensions; capped by a red line."""
    red_line: bool
    """A finding capped the score."""
    dimensions: list[DimensionScore]
    findings: list[InspectionFinding]
    """In the order of the turns."""
    not_judged: dict[str, str]
    """Indicators that could not be judged, and why; they count neither as good nor as bad."""
    sessions: int
    """Parts between long silences."""


def request_of(chat: Chat, complete_until: datetime | None = None, *, labels: bool = False) -> InspectRequest:
    """A chat of a shop's log as a request.

    Args:
        chat: with times.
        complete_until: until when the log is whole.
        labels: whether emotions that the log carries are passed on.
    """
    turns = [
        InspectTurn(
            role=turn.role,  # type: ignore[arg-type]
            text=turn.text,
            sent_at=turn.sent_at,
            emotion=turn.emotion if labels else None,  # type: ignore[arg-type]
        )
        for turn in chat.turns
    ]
    return InspectRequest(id=chat.id, agent=chat.agent, turns=turns, complete_until=complete_until)
