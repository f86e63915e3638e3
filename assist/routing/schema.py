"""What one asks of routing, and what it answers."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = [
    "AgentState",
    "HandOver",
    "RouteDecision",
    "RouteRequest",
    "RoutedTurn",
    "Signal",
]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class RoutedTurn(_Strict):
    """An earlier turn of the chat."""

    role: Literal["customer", "agent"]
    text: str = Field(max_length=5000)
    at_s: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Seconds since the chat began; flooding is judged by it where given."""


class AgentState(_Strict):
    """An agent account as the desk knows it."""

    id: str = Field(min_length=1, max_length=64)
    """A pseudonym."""
    skills: list[str] = Field(default_factory=list, max_length=20)
    """Skill groups (of the label schema) that the account handles."""
    open_chats: int = Field(ge=0, le=1000)
    capacity: int = Field(ge=0, le=1000)
    """Most chats at once; 0: takes none now."""
    seniority: int = Field(default=0, ge=0, le=100)
    supervisor: bool = False
    last_assigned_s: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Seconds since the account last got a chat; None: never."""


class RouteRequest(_Strict):
    """A message that waits for an agent, and the agents' states."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "text": "退款三天了还没到账，再不处理我打12315",
                    "context": [{"role": "agent", "text": "您好，已经在处理了"}],
                    "waited_s": 95,
                    "agents": [
                        {"id": "kefu-01", "skills": ["aftersale"], "open_chats": 2, "capacity": 5},
                        {
                            "id": "lead-01",
                            "skills": ["aftersale", "complaint"],
                            "open_chats": 1,
                            "capacity": 3,
                            "supervisor": True,
                        },
                    ],
                }
            ]
        },
    )
    text: str = Field(max_length=2000)
    context: list[RoutedTurn] = Field(default_factory=list, max_length=200)
    waited_s: float = Field(default=0, ge=0, le=604800, allow_inf_nan=False)
    """How long the customer waits already."""
    customer_value: int = Field(default=0, ge=0, le=4)
    """The shop's value level of the customer, 4 the highest."""
    strategy: Literal["saturation", "in_turn", "seniority"] | None = None
    """None takes the configured one."""
    agents: list[AgentState] = Field(default_factory=list, max_length=2000)
    """Without any, group, priority and signals are answered and nobody is chosen."""

    @field_validator("text")
    @classmethod
    def _not_blank(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be empty")
        return value


class Signal(BaseModel):
    """A sign of flooding, harassment or fraud; for a person to judge, never a verdict."""

    kind: Literal["flooding", "harassment", "fraud"]
    rule: str
    """Key of the rule, for example contradiction, threat, special_channel."""
    zh: str
    level: Literal[1, 2, 3]
    turn: int | None
    """Position in `context`; None is the message itself."""
    words: str
    """What it rests on."""
    start: int
    end: int


class HandOver(BaseModel):
    """What the next agent must know."""

    summary: str
    """Who asked what, in Chinese; personal data masked."""
    tried: list[str]
    """What the agent before said or did."""


class RouteDecision(BaseModel):
    """Where the message goes."""

    group: str
    """Skill group."""
    group_zh: str
    priority: float
    """0 to 100, higher first."""
    agent: str | None
    """Chosen account; None: wait, or no agents were given."""
    escalate: bool
    """To a supervisor."""
    queue_position: int | None
    """Where nobody is free: place from 1 (by the count of agents' waiting chats as far as known)."""
    strategy: str
    reasons: list[str]
    """In Chinese, for the desk."""
    signals: list[Signal]
    hand_over: HandOver | None
    version: str
    """Of data/routing.yaml."""
