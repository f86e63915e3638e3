"""What a request may say and what an answer looks like; the same for HTTP and the command line."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = [
    "MAX_BATCH",
    "MAX_CONTEXT",
    "MAX_TEXT",
    "MAX_TOP",
    "MAX_TURN",
    "AlertAnswer",
    "Analysis",
    "AnalyzeBatchRequest",
    "AnalyzeBatchResponse",
    "AnalyzeRequest",
    "CategoryAnswer",
    "ContextTurn",
    "EmotionAnswer",
    "ModelAnswer",
    "TopLabel",
    "reason_of",
]

MAX_TEXT = 2000
"""Characters of the message; chats on shop platforms are cut far below."""
MAX_TURN = 5000
"""Characters of an earlier turn: an agent's canned reply can be long."""
MAX_CONTEXT = 200
MAX_BATCH = 256
MAX_TOP = 10


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class ContextTurn(_Strict):
    """An earlier turn of the chat."""

    role: Literal["customer", "agent"]
    text: str = Field(max_length=MAX_TURN)


class AnalyzeRequest(_Strict):
    """One customer message with the turns before it, oldest first."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "text": "还是没到，急死了",
                    "context": [
                        {"role": "customer", "text": "我的快递到哪了"},
                        {"role": "agent", "text": "亲，预计今天送达哦"},
                    ],
                }
            ]
        },
    )
    text: str = Field(max_length=MAX_TEXT)
    context: list[ContextTurn] = Field(default_factory=list, max_length=MAX_CONTEXT)
    top: int = Field(default=3, ge=1, le=MAX_TOP)
    """How many candidate categories to answer, best first."""

    @field_validator("text")
    @classmethod
    def _not_blank(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be empty")
        return value


class AnalyzeBatchRequest(_Strict):
    """Up to 256 messages, answered in order."""

    messages: list[AnalyzeRequest] = Field(min_length=1, max_length=MAX_BATCH)


class TopLabel(BaseModel):
    """A candidate category."""

    label: str
    score: float


class CategoryAnswer(BaseModel):
    """What the customer wants."""

    label: str
    zh: str
    group: str
    score: float
    top: list[TopLabel]
    abstain: bool
    """True: too unsure, a person should decide."""


class EmotionAnswer(BaseModel):
    """How the customer sounds."""

    label: str
    zh: str
    polarity: Literal["positive", "neutral", "negative"]
    score: float
    scores: dict[str, float]


class AlertAnswer(BaseModel):
    """How loudly to warn the desk, and why."""

    level: int
    zh: str
    reasons: list[str]


class ModelAnswer(BaseModel):
    """Which models answered, and on which data they learnt."""

    category: str
    emotion: str
    snapshot: str
    policy: int


class Analysis(BaseModel):
    """Everything said of one message."""

    category: CategoryAnswer
    emotion: EmotionAnswer
    alert: AlertAnswer
    model: ModelAnswer


class AnalyzeBatchResponse(BaseModel):
    """Answers in the order of the request's messages."""

    results: list[Analysis]


def reason_of(error: dict[str, Any], prefix: tuple[str, ...] = ()) -> dict[str, str]:
    """A pydantic error as `{"field", "reason"}`: `context[2].role`, in words a caller can act on."""
    field = ""
    for part in (*prefix, *error["loc"]):
        field += f"[{part}]" if isinstance(part, int) else f".{part}" if field else str(part)
    reason = str(error["msg"]).removeprefix("Value error, ")
    return {"field": field or "body", "reason": reason}
