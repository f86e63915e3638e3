"""The report of a period: `period_report` puts the parts together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from assist.inspection.schema import Inspection
from assist.inspection.standards import Standards, load_standards
from assist.reports.facts import ChatFacts, chat_facts
from assist.reports.feelings import (
    ENDS,
    account_names,
    causes_of,
    chat_rows,
    counts_table,
    days_of,
    hours_of,
    label_shares,
    share_of,
    trajectory_shares,
    turning_points_of,
)
from assist.reports.indicators import changes_of, figures_of, groups_of
from assist.reports.intervals import FEWEST
from assist.reports.schema import AgentInspection, Behaviour, ChatReading, InspectionSummary, PeriodReport
from data.chats import Chat
from data.pii import mask
from data.taxonomy import Taxonomy, load_taxonomy

__all__ = ["in_period", "period_report"]

ONE_TEAM = "全部客服"
"""The team of who is in none."""


def period_report(
    chats: Sequence[Chat],
    readings: Mapping[str, ChatReading],
    inspections: Sequence[Inspection] = (),
    *,
    since: date | None = None,
    until: date | None = None,
    teams: Mapping[str, str] | None = None,
    behaviours: Sequence[Behaviour] = (),
    source: str = "",
    taxonomy: Taxonomy | None = None,
    standards: Standards | None = None,
) -> PeriodReport:
    """The figures of a period, and against the period of the same length before where the log reaches back.

    Args:
        chats: the whole log; a chat belongs to the day on which it began, by its own clock.
        readings: of the models, by chat id; of every customer turn.
        inspections: of `assist.inspection`, by `id` of a chat; those of other periods are left out.
        since, until: first and last day; of the log where None.
        teams: team of an account; accounts that are not in it form one team.
        behaviours: which ways of answering went with a chat getting better or worse, counted from the
            beginning of the log to the end of the period.
        source: which models read the log, in a few words.

    Raises:
        ValueError: there are no chats in the period, or a reading is missing; names it.
    """
    if since and until and until < since:
        raise ValueError(f"until: {until} is before since, {since}")
    if not chats:
        raise ValueError("chats: there are none to report on")
    taxonomy, standards = taxonomy or load_taxonomy(), standards or load_standards()
    days = [one.began.date() for one in chats]
    first, last = since or min(days), until or max(days)
    inside = _facts(in_period(chats, first, last), readings, standards, taxonomy)
    if not inside:
        raise ValueError(
            f"since: no chat began between {first} and {last}; the log has {min(days)} to {max(days)}"
        )
    before = (first - timedelta(days=(last - first).days + 1), first - timedelta(days=1))
    reason = _no_comparison(before, min(days), since)
    earlier = [] if reason else _facts(in_period(chats, *before), readings, standards, taxonomy)
    if not reason and not earlier:
        reason = "上一周期没有会话，无法比较。"
    named, names = teams or {}, account_names(inside)
    emotions = {key: one.zh for key, one in taxonomy.emotion.items()}
    categories = {key: one.zh for key, one in taxonomy.category.items()}
    found = label_shares(inside, lambda one: one.category, categories)
    scores = {one.id: one.score for one in inspections if one.score is not None}
    return PeriodReport(
        first_day=first,
        last_day=last,
        whole_log=since is None and until is None,
        source=source,
        chats=len(inside),
        messages=sum(len(one.reading.messages) for one in inside),
        figures=figures_of(inside, standards),
        agents=groups_of(inside, lambda one: names[one.chat.agent], standards),
        teams=groups_of(inside, lambda one: named.get(one.chat.agent, ONE_TEAM), standards),
        channels=groups_of(inside, lambda one: one.chat.channel, standards),
        days=days_of(inside, first, last, standards),
        hours=hours_of(inside),
        emotions=label_shares(inside, lambda one: one.emotion, emotions),
        categories=sorted((one for one in found if one.count), key=lambda one: (-one.count, one.name)),
        table=counts_table(inside, taxonomy),
        trajectories=trajectory_shares(inside),
        causes=causes_of(inside, taxonomy),
        turning_points=turning_points_of(inside, names, taxonomy),
        behaviours=list(behaviours),
        ends=[share_of(key, zh, ((one.end == key, 1) for one in inside)) for key, zh in ENDS.items()],
        inspection=_inspected(inside, names, inspections),
        changes=changes_of(inside, earlier, standards) if earlier else [],
        before=before if earlier else None,
        no_comparison=reason,
        rows=chat_rows(inside, names, scores, taxonomy),
    )


def in_period(chats: Sequence[Chat], first: date | None, last: date | None) -> list[Chat]:
    """Chats that began from `first` to `last`, both included, in the order of time."""
    inside = [
        one
        for one in chats
        if (first is None or first <= one.began.date()) and (last is None or one.began.date() <= last)
    ]
    return sorted(inside, key=lambda one: (one.began, one.id))


def _facts(
    chats: Sequence[Chat], readings: Mapping[str, ChatReading], standards: Standards, taxonomy: Taxonomy
) -> list[ChatFacts]:
    found = []
    for chat in chats:
        if chat.id not in readings:
            raise ValueError(f"readings: {chat.id}: has none")
        found.append(chat_facts(chat, readings[chat.id], standards, taxonomy))
    return found


def _no_comparison(before: tuple[date, date], log_begins: date, since: date | None) -> str:
    if since is None:
        return "报告含整份记录，没有更早的记录可以比较。"
    if log_begins > before[0]:
        return f"记录从 {log_begins} 开始，不满一个完整的上一周期，无法比较。"
    return ""


def _inspected(
    facts: Sequence[ChatFacts], accounts: Mapping[str, str], inspections: Sequence[Inspection]
) -> InspectionSummary | None:
    own = {one.chat.id: one.chat.agent for one in facts}
    inside = [one for one in inspections if one.id in own]
    if not inside:
        return None
    by_agent: dict[str, list[Inspection]] = defaultdict(list)
    names: dict[str, str] = {}
    examples: dict[str, str] = {}
    for one in inside:
        by_agent[accounts[own[one.id]]].append(one)
        for finding in one.findings:
            names.setdefault(finding.indicator, finding.zh)
            if finding.words.strip():
                examples.setdefault(finding.indicator, mask(finding.words))
    found = [Counter(finding.indicator for finding in one.findings) for one in inside]
    faults = [share_of(key, zh, ((count[key] > 0, 1) for count in found)) for key, zh in names.items()]
    return InspectionSummary(
        chats=len(inside),
        score=_mean(inside),
        agents=[
            AgentInspection(agent=agent, chats=len(part), score=_mean(part),
                            findings=sum(len(one.findings) for one in part),
                            red_lines=sum(one.red_line for one in part))
            for agent, part in sorted(by_agent.items())
        ],
        faults=sorted(faults, key=lambda one: (-one.count, one.name)),
        examples=examples,
    )  # fmt: skip


def _mean(inspections: Sequence[Inspection]) -> float | None:
    scores = [one.score for one in inspections if one.score is not None]
    return sum(scores) / len(scores) if len(scores) >= FEWEST else None
