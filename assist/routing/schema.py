"""What may be asked of routing, and what it answers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "AgentState",
    "GroupRequest",
    "GroupResponse",
    "Handover",
    "HandoverRequest",
    "MessageGroup",
    "OpenMessage",
    "Priority",
    "QueuedChat",
    "RouteDecision",
    "RouteRequest",
    "RouteTurn",
    "Signal",
    "SignalKind",
    "SignalRequest",
    "SignalResponse",
    "Strategy",
]

MAX_TURNS = 400
MAX_OPEN = 1000
Strategy = Literal["saturation", "in_turn", "seniority"]
SignalKind = Literal[
    "flooding", "harassment", "contradiction", "threat", "special_channel", "policy_knowledge"
]
Key = Annotated[str, Field(min_length=1, max_length=64)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class RouteTurn(_Strict):
    """One turn of the chat so far."""

    role: Literal["customer", "agent"]
    text: str = Field(max_length=5000)
    at: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Seconds since the chat began; None where nobody knows."""


class AgentState(_Strict):
    """One agent account, as the desk sees it now."""

    id: Key
    """A pseudonym."""
    skills: list[Key] = Field(max_length=40)
    """Skill groups: groups of the label schema."""
    status: Literal["online", "away", "offline"] = "online"
    load: int = Field(default=0, ge=0, le=1000)
    """Open chats."""
    capacity: int = Field(default=5, ge=0, le=1000)
    """Chats that the agent can hold at once."""
    seniority: int = Field(default=1, ge=0, le=100)
    """Years or grades: the higher, the more senior."""
    rating: float = Field(default=0.0, ge=0, le=1, allow_inf_nan=False)
    """Share of satisfied customers."""
    last_given: int | None = Field(default=None, ge=0)
    """A counter or a time of the last chat given to the agent, the same clock for all; None: none yet."""


class QueuedChat(_Strict):
    """A chat that waits already."""

    id: Key
    group: Key
    priority: float = Field(ge=0, le=100, allow_inf_nan=False)
    waiting_seconds: float = Field(ge=0, allow_inf_nan=False)


class RouteRequest(_Strict):
    """A chat that needs an agent."""

    id: Key = "chat"
    category: Key
    """Of the message that waits; its group in the label schema is the skill that is needed."""
    abstain: bool = False
    """The model was unsure of the category: the general group receives the customer first."""
    alert: int = Field(default=0, ge=0, le=3)
    waiting_seconds: float = Field(default=0.0, ge=0, le=864_000, allow_inf_nan=False)
    customer_value: int = Field(default=1, ge=1, le=5)
    """One of the five value levels; 5 is the highest."""
    previous_agent: Key | None = None
    """Who spoke with the customer last on this matter."""
    strategy: Strategy | None = None
    """Replaces the configured one."""
    turns: list[RouteTurn] = Field(default_factory=list, max_length=MAX_TURNS)
    """The chat so far, oldest first: the background of the handing over."""
    queue: list[QueuedChat] = Field(default_factory=list, max_length=10_000)
    """Chats that wait already, in any order."""


class Priority(_Answer):
    """How urgent a chat is, and what of it is due to what; 0 to 100."""

    points: float
    alert: float
    waiting: float
    customer_value: float


class HandoverRequest(_Strict):
    """A chat to be handed over."""

    turns: list[RouteTurn] = Field(min_length=1, max_length=MAX_TURNS)
    category: Key | None = None
    emotion: Key | None = None
    alert: int = Field(default=0, ge=0, le=3)
    from_agent: Key | None = None


class Handover(_Answer):
    """The background that goes with a chat; every quotation is masked."""

    summary: str
    """Two or three sentences in Chinese."""
    asked: list[str]
    """What the customer asked, in their words, oldest first."""
    tried: list[str]
    """What agents said they did."""
    promised: list[str]
    """What agents said would be done and by when."""
    open: str
    """The customer's last words that nobody answered; empty where somebody did."""
    turns: int


class RouteDecision(_Answer):
    """Who takes the chat, or its place in the queue, and why."""

    agent: str | None
    """None: nobody may take it now."""
    group: str
    group_zh: str
    strategy: Strategy
    priority: Priority
    escalated: bool
    """An agent outside the skill group may take it, by the alert or by the waiting time."""
    queue_position: int | None
    """From 1; None where an agent was found."""
    candidates: list[str]
    """Agents who may take it, the chosen one first."""
    reasons: list[str]
    """In Chinese."""
    handover: Handover | None
    version: int


class SignalRequest(_Strict):
    """A chat to be looked at for signals."""

    turns: list[RouteTurn] = Field(min_length=1, max_length=MAX_TURNS)

    @model_validator(mode="after")
    def _times_go_on(self) -> SignalRequest:
        times = [turn.at for turn in self.turns if turn.at is not None]
        if times != sorted(times):
            raise ValueError("turns: `at` must not go back; sort the turns, oldest first")
        return self


class Signal(_Answer):
    """One signal with the words that it rests on."""

    kind: SignalKind
    name: str
    """Of the rule, `threat.review`."""
    level: int
    """1 note, 2 tell the supervisor, 3 act now."""
    reason: str
    """In Chinese."""
    turns: list[int]
    """Positions of the turns that it rests on."""
    words: list[str]
    """The words, one for each turn, normalised and masked."""


class SignalResponse(_Answer):
    """All signals, the strongest first."""

    level: int
    """The highest level; 0 where there is none."""
    signals: list[Signal]
    version: int


class OpenMessage(_Strict):
    """A message that waits for an answer."""

    id: Key
    text: str = Field(min_length=1, max_length=2000)


class GroupRequest(_Strict):
    """Open messages to be grouped."""

    messages: list[OpenMessage] = Field(min_length=1, max_length=MAX_OPEN)
    threshold: float | None = Field(default=None, gt=0, le=1, allow_inf_nan=False)
    """Replaces the configured one: higher means smaller, surer groups."""

    @model_validator(mode="after")
    def _ids_are_unique(self) -> GroupRequest:
        seen: set[str] = set()
        for message in self.messages:
            if message.id in seen:
                raise ValueError(f"messages: id {message.id!r} occurs twice")
            seen.add(message.id)
        return self


class MessageGroup(_Answer):
    """Messages that ask the same."""

    messages: list[str]
    """Ids, the most typical first."""
    example: str
    """The most typical message, masked."""
    category: str
    """The most frequent category of its messages."""
    cohesion: float
    """Mean similarity of its pairs, 0 to 1; 1 of a single message."""
    script_id: str | None = None
    """The one suggested answer; filled in by whoever recommends scripts."""
    answer: str | None = None
    """Its text."""


class GroupResponse(_Answer):
    """All messages in groups, the largest first."""

    groups: list[MessageGroup]
    batch: int
    """Messages that one answer for several can serve: those in groups of two and more."""
    version: int
