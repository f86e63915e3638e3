"""The KPI table: what is counted, chat by chat, and the standard beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from assist.inspection.standards import Standards
from assist.reports.facts import ChatFacts
from assist.reports.intervals import Estimate, Sample, change
from assist.reports.schema import Change, Figure, Group, Unit, Verdict

__all__ = ["GROUP_KEYS", "changes_of", "figures_of", "groups_of"]

ONE_CONTACT, SATISFACTION = 0.85, 0.95
"""Shares that desks ask of one-contact resolution and of satisfaction."""
_DEFAULTS = {"first_response": 30.0, "average_response": 120.0, "handling_time": 8.0}
_LIMITS = {"first_response": "seconds", "average_response": "seconds", "handling_time": "minutes"}


@dataclass(frozen=True, slots=True)
class _Indicator:
    key: str
    zh: str
    unit: Unit
    counts: Callable[[ChatFacts], tuple[float, float]]
    """Total and number of one chat, as `assist.reports.intervals.Sample` takes them."""
    note: str
    standard: str | float | None = None
    """A share, or the indicator of the standards file that has the limit."""
    estimated: bool = False
    good: int = 1
    """1: more is better; -1: less is better; 0: a volume."""


def _sum(values: Sequence[float], scale: float = 1.0) -> tuple[float, float]:
    return sum(values) / scale, len(values)


_INDICATORS = (
    _Indicator(
        "contacts",
        "接待次数",
        "count",
        lambda one: (len(one.contacts), 1),
        "静默满三十分钟算一次新的接待",
        good=0,
    ),
    _Indicator("messages", "顾客消息", "count", lambda one: (len(one.reading.messages), 1), "", good=0),
    _Indicator(
        "answer_rate",
        "应答率",
        "share",
        lambda one: (one.answered, one.asked),
        "顾客来问的接待里，客服有回复的占比；只道谢的不算",
    ),
    _Indicator(
        "first_answer",
        "首次响应",
        "seconds",
        lambda one: _sum(one.first_answers),
        "每次接待，从顾客第一句到客服第一句，取平均",
        "first_response",
        good=-1,
    ),
    _Indicator(
        "first_in_time",
        "首次响应及时率",
        "share",
        lambda one: (0.0, len(one.first_answers)),
        "在标准时间内给出第一句回复的占比",
    ),
    _Indicator(
        "average_answer",
        "平均响应",
        "seconds",
        lambda one: _sum(one.waits),
        "顾客每等一次回复算一次，取平均",
        "average_response",
        good=-1,
    ),
    _Indicator(
        "handling",
        "处理时长",
        "minutes",
        lambda one: _sum(one.handling, 60.0),
        "每次接待从第一句到最后一句，取平均；静默满三十分钟就断开",
        "handling_time",
        good=-1,
    ),
    _Indicator(
        "no_return",
        "未再来问",
        "share",
        lambda one: (one.not_returned, one.matters),
        "七天内没有在同一会话里再来问同一类事的占比",
        estimated=True,
    ),
    _Indicator(
        "one_contact",
        "一次解决率",
        "share",
        lambda one: (one.solved, one.matters),
        "估算：没有再来问，且最后不带不满",
        ONE_CONTACT,
        True,
    ),
    _Indicator(
        "satisfaction",
        "满意度",
        "share",
        lambda one: (one.end == "content", one.end != "unclear"),
        "估算：看最后一句的话和情绪；看不出来的不算",
        SATISFACTION,
        True,
    ),
    _Indicator(
        "left_open",
        "留话未回",
        "share",
        lambda one: (one.left_open, 1),
        "会话停在顾客的话上，而那句话不是道谢或告别",
        good=-1,
    ),
    _Indicator(
        "negative",
        "负面会话",
        "share",
        lambda one: (one.negative, 1),
        "至少有一条消息带负面情绪（焦急、不满、失望、愤怒）",
        good=-1,
    ),
)
GROUP_KEYS = (
    "answer_rate",
    "first_answer",
    "average_answer",
    "handling",
    "one_contact",
    "satisfaction",
    "negative",
)
"""The figures that are stated of every account, team and channel."""


def figures_of(facts: Sequence[ChatFacts], standards: Standards) -> list[Figure]:
    """The KPI table of these chats; the number of chats comes first."""
    chats = Figure(key="chats", zh="会话数", unit="count", value=len(facts), of=len(facts))
    return [chats, *(_figure(one, facts, standards) for one in _INDICATORS)]


def groups_of(
    facts: Sequence[ChatFacts], key: Callable[[ChatFacts], str], standards: Standards
) -> list[Group]:
    """The figures of every account, team or channel, by name."""
    parts: dict[str, list[ChatFacts]] = {}
    for one in facts:
        parts.setdefault(key(one), []).append(one)
    return [
        Group(
            name=name,
            chats=len(parts[name]),
            figures={
                one.key: _figure(one, parts[name], standards) for one in _INDICATORS if one.key in GROUP_KEYS
            },
        )
        for name in sorted(parts)
    ]


def changes_of(now: Sequence[ChatFacts], before: Sequence[ChatFacts], standards: Standards) -> list[Change]:
    """Every figure against the period before."""
    found = [
        Change(
            key="chats",
            zh="会话数",
            unit="count",
            now=len(now),
            before=len(before),
            difference=len(now) - len(before),
            low=None,
            high=None,
            verdict="none",
        )
    ]
    for one in _INDICATORS:
        a, b = (_sample(one, part, standards) for part in (now, before))
        shown = (_figure(one, now, standards).value, _figure(one, before, standards).value)
        if one.unit == "count":
            found.append(
                Change(
                    key=one.key,
                    zh=one.zh,
                    unit=one.unit,
                    now=shown[0],
                    before=shown[1],
                    difference=a.total - b.total,
                    low=None,
                    high=None,
                    verdict="none",
                )
            )
            continue
        moved = change(a, b, one.unit == "share")
        found.append(
            Change(
                key=one.key,
                zh=one.zh,
                unit=one.unit,
                now=shown[0],
                before=shown[1],
                difference=moved.value if moved else None,
                low=moved.low if moved else None,
                high=moved.high if moved else None,
                verdict=_verdict(moved, one.good),
            )
        )
    return found


def _verdict(moved: Estimate | None, good: int) -> Verdict:
    if moved is None:
        return "too few"
    sign = good * ((moved.low > 0) - (moved.high < 0))
    return "better" if sign > 0 else "worse" if sign < 0 else "cannot tell"


def _limit(one: _Indicator, standards: Standards) -> float | None:
    """The standard beside a figure; a shop's own, where its file of standards has one."""
    if not isinstance(one.standard, str):
        return one.standard
    known = standards.indicators.get(one.standard)
    return known.limits[_LIMITS[one.standard]] if known else _DEFAULTS[one.standard]


def _sample(one: _Indicator, facts: Sequence[ChatFacts], standards: Standards) -> Sample:
    if one.key == "first_in_time":
        known = standards.indicators.get("first_response")
        limit = known.limits["seconds"] if known else _DEFAULTS["first_response"]
        return Sample.of(
            (sum(seconds <= limit for seconds in chat.first_answers), len(chat.first_answers))
            for chat in facts
        )
    return Sample.of(map(one.counts, facts))


def _figure(one: _Indicator, facts: Sequence[ChatFacts], standards: Standards) -> Figure:
    sample = _sample(one, facts, standards)
    found = Figure(
        key=one.key,
        zh=one.zh,
        unit=one.unit,
        value=None,
        of=int(sample.number),
        estimated=one.estimated,
        note=one.note,
    )
    if one.unit == "count":
        return found.model_copy(update={"value": sample.total, "of": len(facts)})
    estimate = sample.share() if one.unit == "share" else sample.mean()
    if one.unit == "share":
        found.count = int(sample.total)
        found.value = estimate.value if estimate else None
    else:
        found.value = sample.value
    if estimate:
        found.low, found.high = estimate.low, estimate.high
    found.standard, found.at_most = _limit(one, standards), one.good < 0
    if found.standard is not None and found.value is not None:
        # Of a limit reached exactly it is said to be kept.
        good = (found.standard - found.value) if found.at_most else (found.value - found.standard)
        found.met = good >= 0
        if estimate:
            worst = found.high if found.at_most else found.low
            best = found.low if found.at_most else found.high
            found.sure = _keeps(worst, found) if found.met else not _keeps(best, found)
    return found


def _keeps(value: float | None, figure: Figure) -> bool:
    assert value is not None
    assert figure.standard is not None
    return value <= figure.standard if figure.at_most else value >= figure.standard
