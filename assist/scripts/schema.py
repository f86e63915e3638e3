"""What one asks of the recommender, and what it answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

__all__ = [
    "MAX_REPLIES",
    "FilledSlot",
    "Reason",
    "RecommendRequest",
    "RecommendResponse",
    "Recommendation",
    "ReplyFeedback",
    "ReplyFeedbackReceipt",
    "SaidTurn",
    "ScriptPart",
]

MAX_REPLIES = 8
_Key = Annotated[str, Field(min_length=1, max_length=64)]
_Identity = Annotated[str, Field(min_length=1, max_length=120)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class SaidTurn(_Strict):
    """An earlier turn of the chat."""

    role: Literal["customer", "agent"]
    text: str = Field(max_length=5000)


class RecommendRequest(_Strict):
    """A customer message with the turns before it, and what the desk knows of the order."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "text": "都五天了还没发货，到底什么时候发",
                    "context": [{"role": "agent", "text": "亲，您的订单号是2026110500123456789吗"}],
                    "k": 3,
                    "conditions": ["paid_unshipped"],
                    "slots": {"product": "羊毛围巾"},
                }
            ]
        },
    )
    text: str = Field(max_length=2000)
    context: list[SaidTurn] = Field(default_factory=list, max_length=200)
    k: int = Field(default=3, ge=1, le=MAX_REPLIES)
    """How many replies; fewer come where the library has no more that fit."""
    tone: Literal["warm", "formal", "lively"] | None = None
    """The shop's tone; None takes what fits the customer's mood."""
    conditions: list[_Key] | None = Field(default=None, max_length=20)
    """What is known to hold of the order (`when` of the library: paid_unshipped, opened, …); None: nothing
    known."""
    slots: dict[_Key, Annotated[str, Field(min_length=1, max_length=200)]] = Field(
        default_factory=dict, max_length=40
    )
    """What the desk knows: slot name to its value. What the chat says is found by itself."""
    exclude: list[_Identity] = Field(default_factory=list, max_length=200)
    """Ids of scripts not wanted, for example those that were shown before."""
    explore: bool = True
    """Whether near-ties may change places; what was tried, and how probably, is logged."""

    @field_validator("text")
    @classmethod
    def _not_blank(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be empty")
        return value


class Reason(BaseModel):
    """One reason why a reply was chosen."""

    kind: Literal["category", "similarity", "lexical", "reranker", "feedback", "emotion", "condition", "tone"]
    zh: str
    """For the agent to read."""
    value: float
    """category: probability; similarity: cosine; lexical: BM25; reranker: logit; feedback: acceptance rate;
    emotion: alert level; condition and tone: what they add."""


class ScriptPart(BaseModel):
    """One part of a reply."""

    stage: Literal["opening", "soothing", "solution", "closing"]
    id: str
    """Of the script in the library."""
    text: str
    """As it stands in the reply."""


class FilledSlot(BaseModel):
    """A slot that the conversation or the desk could fill."""

    name: str
    value: str


class Recommendation(BaseModel):
    """One complete reply."""

    id: str
    """For feedback: this reply in this answer."""
    position: int
    """From 1."""
    text: str
    """Ready to send once `missing` is empty; slots still open stand in it as 【订单号】."""
    parts: list[ScriptPart]
    script: str
    """Id of the solution script."""
    category: str
    filled: list[FilledSlot]
    missing: list[str]
    """Names of slots that nobody filled."""
    check: list[str]
    """What the agent must check before sending: the script's note, and conditions not known to hold."""
    reasons: list[Reason]
    score: float
    propensity: float
    """How probable it was that this reply took this position; 1 where nothing was tried."""


class RecommendResponse(BaseModel):
    """Replies, best first."""

    request_id: str
    """Names this answer in feedback."""
    replies: list[Recommendation]
    considered: int
    """Scripts that were reranked."""
    categories: list[str]
    """Whose scripts were searched, most probable first."""
    policy: str
    """Version of the ranking: the library, the reranker, and whether feedback is on."""
    took_ms: float
    """Own time, without the encoder's pass."""


class ReplyFeedback(_Strict):
    """What the agent did with the replies of one answer."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={"examples": [{"reply_id": "5f0c2a-1", "action": "accepted"}]},
    )
    reply_id: _Identity
    action: Literal["accepted", "edited", "rejected"]
    """Sent as it was; sent after changes; refused by hand (looking past it is no rejection)."""
    sent: str | None = Field(default=None, max_length=5000)
    """What was sent instead, for "edited"; stored masked."""
    by: str | None = Field(default=None, max_length=64)
    """A pseudonym of the agent."""

    @model_validator(mode="after")
    def _sent_only_when_edited(self) -> ReplyFeedback:
        if self.sent is not None and self.action != "edited":
            raise ValueError("sent: only for action edited; leave it out")
        return self


class ReplyFeedbackReceipt(BaseModel):
    """The feedback is on the disk."""

    reply_id: str
    script: str
    replaced: bool
    """An earlier word on the same reply was replaced."""
