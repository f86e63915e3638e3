"""What customers wanted and felt: distribution, trend, causes, turning points. Texts are masked here."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta

from assist.inspection.standards import Standards
from assist.reports.facts import ChatFacts
from assist.reports.indicators import figures_of
from assist.reports.intervals import Sample
from assist.reports.schema import Cause, ChatRow, DayRow, HourRow, MessageReading, Share, TurningPoint
from data.pii import mask
from data.taxonomy import Taxonomy

__all__ = [
    "ENDS",
    "TRAJECTORIES",
    "account_names",
    "causes_of",
    "chat_rows",
    "counts_table",
    "days_of",
    "hours_of",
    "label_shares",
    "share_of",
    "trajectory_shares",
    "turning_points_of",
]

TRAJECTORIES = {"escalating": "情绪升级", "recovering": "情绪缓和", "steady": "情绪平稳"}
"""How chats go, and what shop people read."""
ENDS = {"content": "满意", "discontent": "不满意", "unclear": "看不出"}
_TREND_DAYS = 3


def share_of(name: str, zh: str, pairs: Iterable[tuple[float, float]]) -> Share:
    """A share from (hits, number) of every chat, with its interval where there are enough chats."""
    rows = list(pairs)
    sample = Sample.of(rows)
    found = sample.share()
    return Share(
        name=name,
        zh=zh,
        count=int(sample.total),
        of=int(sample.number),
        chats=sum(hits > 0 for hits, _ in rows),
        rate=found.value if found else None,
        low=found.low if found else None,
        high=found.high if found else None,
    )


def label_shares(
    facts: Sequence[ChatFacts], label: Callable[[MessageReading], str], names: dict[str, str]
) -> list[Share]:
    """Every label's share of the customers' messages, in the order of `names`."""
    counts = [Counter(map(label, one.reading.messages.values())) for one in facts]
    return [share_of(key, zh, ((count[key], count.total()) for count in counts)) for key, zh in names.items()]


def counts_table(facts: Sequence[ChatFacts], taxonomy: Taxonomy) -> dict[str, dict[str, int]]:
    """Messages by category and emotion; categories that occur, most frequent first."""
    counts = Counter((one.category, one.emotion) for fact in facts for one in fact.reading.messages.values())
    totals = Counter[str]()
    for (category, _), number in counts.items():
        totals[category] += number
    return {
        category: {emotion: counts[category, emotion] for emotion in taxonomy.emotion}
        for category, _ in sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))
    }


def trajectory_shares(facts: Sequence[ChatFacts]) -> list[Share]:
    """How the chats went, of those that somebody followed."""
    known = [one for one in facts if one.reading.trajectory]
    return [
        share_of(key, zh, ((one.reading.trajectory == key, 1) for one in known))
        for key, zh in TRAJECTORIES.items()
    ]


def causes_of(facts: Sequence[ChatFacts], taxonomy: Taxonomy) -> list[Cause]:
    """Category and negative emotion together, the largest share of all negative messages first."""
    counts = [
        Counter(
            (one.category, one.emotion)
            for one in fact.reading.messages.values()
            if taxonomy.emotion[one.emotion].polarity == "negative"
        )
        for fact in facts
    ]
    found = []
    for pair in sorted(set().union(*counts)):
        category, emotion = taxonomy.category[pair[0]], taxonomy.emotion[pair[1]]
        zh = f"{category.zh} · {emotion.zh}"
        share = share_of(f"{pair[0]}/{pair[1]}", zh, ((count[pair], count.total()) for count in counts))
        found.append(
            Cause(category=category.key, category_zh=category.zh, emotion=emotion.key, emotion_zh=emotion.zh,
                  messages=share.count, chats=share.chats, share=share)
        )  # fmt: skip
    return sorted(found, key=lambda one: (-one.messages, -one.chats, one.category, one.emotion))


def days_of(facts: Sequence[ChatFacts], first: date, last: date, standards: Standards) -> list[DayRow]:
    """Every day of the period, also those without a chat."""
    by_day: dict[date, list[ChatFacts]] = defaultdict(list)
    for one in facts:
        by_day[one.chat.began.date()].append(one)
    rows = []
    for offset in range((last - first).days + 1):
        day = first + timedelta(days=offset)
        own = by_day.get(day, [])
        # The first days of a period have fewer days behind them.
        near = [one for back in range(_TREND_DAYS) for one in by_day.get(day - timedelta(days=back), [])]
        figures = {one.key: one for one in figures_of(own, standards)}
        rows.append(
            DayRow(
                day=day,
                chats=len(own),
                messages=sum(len(one.reading.messages) for one in own),
                negative=sum(one.negative for one in own),
                three_days=share_of(day.isoformat(), "近三日负面会话", ((one.negative, 1) for one in near)),
                first_answer=figures["first_answer"].value,
                average_answer=figures["average_answer"].value,
                handling=figures["handling"].value,
                satisfied=sum(one.end == "content" for one in own),
                judged=sum(one.end != "unclear" for one in own),
            )
        )
    return rows


def hours_of(facts: Sequence[ChatFacts]) -> list[HourRow]:
    """The 24 hours of the day by the shop's clock; a chat counts where it began."""
    rows = []
    for hour in range(24):
        own = [one for one in facts if one.chat.began.hour == hour]
        answers = [seconds for one in own for seconds in one.first_answers]
        rows.append(
            HourRow(
                hour=hour,
                chats=len(own),
                negative=sum(one.negative for one in own),
                first_answer=sum(answers) / len(answers) if answers else None,
            )
        )
    return rows


def turning_points_of(
    facts: Sequence[ChatFacts], names: Mapping[str, str], taxonomy: Taxonomy
) -> list[TurningPoint]:
    """Where chats turned, in the order of time; a change with the customer's first message is none.

    Args:
        names: of `account_names`.
    """
    found = []
    for one in facts:
        turns, reading = one.chat.turns, one.reading
        at = reading.turned_at
        if at is None or reading.trajectory not in ("escalating", "recovering"):
            continue
        earlier = [place for place in sorted(reading.messages) if place < at]
        if not earlier:
            continue
        before = earlier[-1]
        said = " / ".join(turn.text for turn in turns[before + 1 : at] if turn.role == "agent")
        found.append(
            TurningPoint(
                chat=mask(one.chat.id),
                agent=names[one.chat.agent],
                at=f"{turns[at].sent_at:%Y-%m-%d %H:%M}",
                direction=reading.trajectory,
                category_zh=taxonomy.category[reading.messages[before].category].zh,
                emotion_before=reading.messages[before].emotion,
                emotion_after=reading.messages[at].emotion,
                before=mask(turns[before].text),
                agent_said=mask(said),
                after=mask(turns[at].text),
            )
        )
    return sorted(found, key=lambda point: (point.at, point.chat))


def account_names(facts: Sequence[ChatFacts]) -> dict[str, str]:
    """Every account as a report shows it: masked; two that look the same then are told apart by numbers."""
    names: dict[str, str] = {}
    for agent in sorted({one.chat.agent for one in facts}):
        shown, number = mask(agent), 1
        while (f"{shown} {number}" if number > 1 else shown) in names.values():
            number += 1
        names[agent] = f"{shown} {number}" if number > 1 else shown
    return names


def chat_rows(
    facts: Sequence[ChatFacts], names: Mapping[str, str], scores: Mapping[str, float], taxonomy: Taxonomy
) -> list[ChatRow]:
    """Every chat in a line, in the order of time.

    Args:
        names: of `account_names`.
        scores: of the inspection, by chat id.
    """
    rows = []
    negative = {one.key for one in taxonomy.emotions if one.polarity == "negative"}
    for one in facts:
        read = [one.reading.messages[place] for place in sorted(one.reading.messages)]
        wanted = Counter(
            item.category for item in read if taxonomy.category[item.category].group != "general"
        ) or Counter(item.category for item in read)
        worst = max(read, key=lambda item: (item.alert, item.emotion in negative))
        rows.append(
            ChatRow(
                chat=mask(one.chat.id),
                agent=names[one.chat.agent],
                channel=one.chat.channel,
                began=f"{one.chat.began:%Y-%m-%d %H:%M}",
                turns=len(one.chat.turns),
                contacts=len(one.contacts),
                category_zh=taxonomy.category[wanted.most_common(1)[0][0]].zh,
                first_answer=one.first_answers[0] if one.first_answers else None,
                average_answer=sum(one.waits) / len(one.waits) if one.waits else None,
                handling=sum(one.handling) / 60,
                worst_zh=taxonomy.emotion[worst.emotion].zh,
                last_zh=taxonomy.emotion[read[-1].emotion].zh,
                alert=max(item.alert for item in read),
                trajectory=TRAJECTORIES.get(one.reading.trajectory or "", ""),
                outcome=ENDS[one.end],
                solved="" if not one.matters else "是" if one.solved == one.matters else "否",
                score=scores.get(one.chat.id),
                last_words=mask(one.chat.messages[-1][1].text),
            )
        )
    return rows
