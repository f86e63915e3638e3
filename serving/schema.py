"""What a request may say and what an answer looks like; the same for HTTP and the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    field_validator,
    model_validator,
)

from data.taxonomy import Taxonomy, group_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
    "ClassifyResponse",
    "ContextTurn",
    "EmotionAnswer",
    "EmotionResponse",
    "Errors",
    "FeedbackReceipt",
    "FeedbackRequest",
    "Labels",
    "MessageText",
    "ModelAnswer",
    "StandingAlert",
    "TopLabel",
    "TrackRequest",
    "TrackResponse",
    "TrackedTurn",
    "Verdict",
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


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    return text


MessageText = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_not_blank)]
"""The text of a customer's message."""


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
    text: MessageText
    context: list[ContextTurn] = Field(default_factory=list, max_length=MAX_CONTEXT)
    top: int = Field(default=3, ge=1, le=MAX_TOP)
    """How many candidate categories to answer, best first."""


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
    _vector: Any = PrivateAttr(None)

    def carry(self, vector: NDArray[np.float32]) -> None:
        """Take along the message's vector (width,) of the same encoder pass; it is no part of the answer."""
        self._vector = vector

    @property
    def vector(self) -> NDArray[np.float32] | None:
        """The message's vector (width,), or None where no encoder ran."""
        found: NDArray[np.float32] | None = self._vector
        return found


class AnalyzeBatchResponse(BaseModel):
    """Answers in the order of the request's messages."""

    results: list[Analysis]


class ClassifyResponse(BaseModel):
    """What the customer wants, and who says so."""

    category: CategoryAnswer
    model: ModelAnswer


class EmotionResponse(BaseModel):
    """How the customer sounds, the alert, and who says so."""

    emotion: EmotionAnswer
    alert: AlertAnswer
    model: ModelAnswer


class TrackRequest(_Strict):
    """A whole conversation, oldest turn first; at least one turn is the customer's."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "turns": [
                        {"role": "customer", "text": "你好 我的快递到哪了"},
                        {"role": "agent", "text": "亲，预计今天送达哦"},
                        {"role": "customer", "text": "还是没到，急死了"},
                        {"role": "agent", "text": "非常抱歉，已经帮您催了，今晚八点前一定到"},
                        {"role": "customer", "text": "收到了 谢谢啦"},
                    ]
                }
            ]
        },
    )
    turns: list[ContextTurn] = Field(min_length=1, max_length=MAX_CONTEXT)

    @field_validator("turns")
    @classmethod
    def _someone_to_track(cls, turns: list[ContextTurn]) -> list[ContextTurn]:
        customer = [turn for turn in turns if turn.role == "customer"]
        if not any(turn.text.strip() for turn in customer):
            raise ValueError("needs at least one turn of the customer with text")
        if any(len(turn.text) > MAX_TEXT for turn in customer):
            raise ValueError(f"a customer's turn may have at most {MAX_TEXT} characters")
        return turns


class TrackedTurn(BaseModel):
    """A turn of the customer, read with the turns before it."""

    index: int
    """Position in the request's `turns`."""
    emotion: EmotionAnswer
    alert: AlertAnswer
    """Of this turn alone."""
    heat: float
    """How heated the customer is by now, 0 (pleased) to 1 (furious), smoothed over turns."""


class StandingAlert(AlertAnswer):
    """The alert that stands after the last turn: it rises at once and falls only after calm turns."""

    since: int | None
    """Index of the turn that raised it to this level; null when the level is 0."""


class TrackResponse(BaseModel):
    """How a conversation went."""

    turns: list[TrackedTurn]
    """The customer's turns that have text."""
    trajectory: Literal["escalating", "recovering", "steady"]
    trajectory_zh: str
    changed_at: int | None
    """Index of the turn where the mood turned; null when it was steady."""
    alert: StandingAlert
    model: ModelAnswer


class Verdict(_Strict):
    """Whether an answer was right, and which one is."""

    predicted: str = Field(min_length=1, max_length=64)
    right: bool
    label: str | None = Field(default=None, min_length=1, max_length=64)
    """The true label; needed when `right` is false."""


class FeedbackRequest(_Strict):
    """What a person says of an answer. Personal data in the texts is masked before it is stored."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "text": "还是没到，急死了",
                    "context": [{"role": "agent", "text": "亲，预计今天送达哦"}],
                    "category": {"predicted": "delivery_time", "right": False, "label": "order_status"},
                    "emotion": {"predicted": "anxious", "right": True},
                }
            ]
        },
    )
    text: MessageText
    context: list[ContextTurn] = Field(default_factory=list, max_length=MAX_CONTEXT)
    category: Verdict | None = None
    emotion: Verdict | None = None
    request_id: str | None = Field(default=None, max_length=64)
    """Of the answer that is judged (header X-Request-ID); repeated feedback on it replaces the earlier."""
    by: str | None = Field(default=None, max_length=64)
    """Who says so: a pseudonym, never a name."""

    @model_validator(mode="after")
    def _something_said(self) -> FeedbackRequest:
        if self.category is None and self.emotion is None:
            raise ValueError("needs category, emotion or both")
        return self


class FeedbackReceipt(BaseModel):
    """The feedback is on disk."""

    id: str
    replaced: bool
    """True: earlier feedback with the same `request_id` was replaced."""


class CategoryName(BaseModel):
    """A category of the label schema."""

    key: str
    zh: str
    group: str
    group_zh: str
    definition: str


class EmotionName(BaseModel):
    """An emotion of the label schema."""

    key: str
    zh: str
    polarity: str


class AlertName(BaseModel):
    """An alert level of the label schema."""

    level: int
    zh: str


class Labels(BaseModel):
    """Every label that answers can carry."""

    categories: list[CategoryName]
    emotions: list[EmotionName]
    alerts: list[AlertName]

    @classmethod
    def of(cls, taxonomy: Taxonomy) -> Labels:
        """The labels of a schema."""
        return cls(
            categories=[
                CategoryName(
                    key=row.key,
                    zh=row.zh,
                    group=row.group,
                    group_zh=group_name(row.group),
                    definition=row.definition,
                )
                for row in taxonomy.categories
            ],
            emotions=[
                EmotionName(key=row.key, zh=row.zh, polarity=row.polarity) for row in taxonomy.emotions
            ],
            alerts=[AlertName(level=row.level, zh=row.zh) for row in taxonomy.alerts],
        )


class FieldError(BaseModel):
    """What is wrong with which field."""

    field: str
    reason: str


class Errors(BaseModel):
    """Every refusal."""

    errors: list[FieldError]


def reason_of(error: dict[str, Any], prefix: tuple[str, ...] = ()) -> dict[str, str]:
    """A pydantic error as `{"field", "reason"}`: `context[2].role`, in words a caller can act on."""
    field = ""
    for part in (*prefix, *error["loc"]):
        field += f"[{part}]" if isinstance(part, int) else f".{part}" if field else str(part)
    reason = str(error["msg"]).removeprefix("Value error, ")
    return {"field": field or "body", "reason": reason}
