"""What a report is made from, and what stands in it. Texts in a report are masked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "AgentInspection",
    "Behaviour",
    "Cause",
    "Change",
    "ChatReading",
    "ChatRow",
    "DayRow",
    "Figure",
    "Group",
    "HourRow",
    "InspectionSummary",
    "MessageReading",
    "PeriodReport",
    "Share",
    "TurningPoint",
    "Unit",
    "Verdict",
]

Unit = Literal["count", "share", "seconds", "minutes", "score"]
Verdict = Literal["better", "worse", "cannot tell", "too few", "none"]
Trajectory = Literal["escalating", "recovering", "steady"]


class _Given(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class MessageReading(_Given):
    """What the models said of one customer message."""

    category: str = Field(min_length=1, max_length=64)
    """A category's key."""
    emotion: str = Field(min_length=1, max_length=64)
    """An emotion's key."""
    alert: int = Field(default=0, ge=0, le=3)
    """Alert level of the message."""


class ChatReading(_Given):
    """What the models said of one chat."""

    messages: Mapping[int, MessageReading] = Field(min_length=1)
    """By position of the customer's turn in the chat."""
    trajectory: Trajectory | None = None
    """How the chat went; None where nobody followed it: it then has no turning point."""
    turned_at: int | None = None
    """Position of the customer's turn from which the mood was another one."""


class Behaviour(_Given):
    """How often an outcome followed replies with a way of answering, and replies without it."""

    name: str = Field(max_length=64)
    zh: str = Field(max_length=64)
    outcome: Literal["calmed", "heated"]
    """"calmed": a heated customer's next message is calm; "heated": a calm one's next message is heated."""
    hits: int
    replies: int
    chats: int
    hits_without: int
    replies_without: int
    chats_without: int
    difference: float | None
    """Share with it less share without; None where either side has too few chats."""
    low: float | None
    high: float | None
    verdict: Literal["better", "worse", "cannot tell", "too few"]


class Share(BaseModel):
    """So many of so many; the rate and its interval are None where there are too few chats."""

    name: str
    zh: str
    count: int
    of: int
    chats: int
    """Chats that have at least one."""
    rate: float | None
    low: float | None
    high: float | None


class Figure(BaseModel):
    """One key figure of a group of chats."""

    key: str
    zh: str
    unit: Unit
    value: float | None
    """None where nothing was counted, or where a rate would rest on too few chats."""
    low: float | None = None
    high: float | None = None
    count: int | None = None
    """Hits of a share."""
    of: int = 0
    """What it rests on: contacts, answers, messages or chats, as `note` says."""
    standard: float | None = None
    at_most: bool = False
    """The standard is an upper limit."""
    met: bool | None = None
    sure: bool = False
    """The whole interval lies on the same side of the standard."""
    estimated: bool = False
    """Concluded from words and feelings, not counted."""
    note: str = ""


class Group(BaseModel):
    """The figures of an account, a team or a channel."""

    name: str
    chats: int
    figures: dict[str, Figure]


class Change(BaseModel):
    """A figure now, and in the period of the same length before."""

    key: str
    zh: str
    unit: Unit
    now: float | None
    before: float | None
    difference: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    """"none": a volume, which is neither good nor bad."""


class DayRow(BaseModel):
    """One day, by the shop's clock; chats count on the day on which they began."""

    day: date
    chats: int
    messages: int
    negative: int
    """Chats with a negative message."""
    three_days: Share
    """Chats with a negative message of those in the three days that end with this one."""
    first_answer: float | None
    """Mean, seconds."""
    average_answer: float | None
    handling: float | None
    """Mean, minutes."""
    satisfied: int
    judged: int
    """Chats whose end says whether the customer was content."""


class HourRow(BaseModel):
    """One hour of the day."""

    hour: int
    chats: int
    negative: int
    first_answer: float | None


class Cause(BaseModel):
    """A category together with a negative emotion: what customers wanted when they felt so."""

    category: str
    category_zh: str
    emotion: str
    emotion_zh: str
    messages: int
    chats: int
    share: Share
    """Of all negative messages."""


class TurningPoint(BaseModel):
    """Where the mood of a chat turned: the customer's words before and after, the agent's between."""

    chat: str
    agent: str
    at: str
    """By the shop's clock, to the minute."""
    direction: Literal["escalating", "recovering"]
    category_zh: str
    emotion_before: str
    emotion_after: str
    before: str
    agent_said: str
    after: str


class ChatRow(BaseModel):
    """One chat in a line."""

    chat: str
    agent: str
    channel: str
    began: str
    turns: int
    contacts: int
    category_zh: str
    """What the customer asked for most often."""
    first_answer: float | None
    average_answer: float | None
    handling: float
    """Minutes, silence left out."""
    worst_zh: str
    """The emotion with the highest alert."""
    last_zh: str
    alert: int
    trajectory: str
    outcome: str
    solved: str
    score: float | None
    """Of the inspection, 0 to 100."""
    last_words: str


class AgentInspection(BaseModel):
    """What the inspection says of one account."""

    agent: str
    chats: int
    score: float | None
    """Mean over its chats; None below ten."""
    findings: int
    red_lines: int


class InspectionSummary(BaseModel):
    """The inspection of the period's chats, summed up."""

    chats: int
    score: float | None
    agents: list[AgentInspection]
    faults: list[Share]
    """By indicator: chats with at least one finding, the most frequent first."""
    examples: dict[str, str]
    """By indicator, words of one finding."""


class PeriodReport(BaseModel):
    """All that a page or an Excel file shows."""

    first_day: date
    last_day: date
    whole_log: bool
    """No period was asked for."""
    source: str = ""
    """Which models read the log."""
    chats: int
    messages: int
    figures: list[Figure]
    """The KPI table."""
    agents: list[Group]
    teams: list[Group]
    channels: list[Group]
    days: list[DayRow]
    hours: list[HourRow]
    emotions: list[Share]
    categories: list[Share]
    """Most frequent first."""
    table: dict[str, dict[str, int]]
    """Messages by category's key and emotion's key."""
    trajectories: list[Share]
    causes: list[Cause]
    turning_points: list[TurningPoint]
    behaviours: list[Behaviour]
    """Counted from the beginning of the log to the end of the period: what is known by then."""
    ends: list[Share]
    """How the chats ended, estimated."""
    inspection: InspectionSummary | None
    changes: list[Change]
    """Empty without a period before."""
    before: tuple[date, date] | None
    no_comparison: str
    """Why there is none, in Chinese; empty where there is one."""
    rows: list[ChatRow]

    def figure(self, key: str) -> Figure:
        """A figure of the KPI table.

        Raises:
            KeyError: there is none of this key.
        """
        for one in self.figures:
            if one.key == key:
                return one
        raise KeyError(key)
