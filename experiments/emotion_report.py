"""The periodic emotion report: how customers felt, when it changed, and what weighs most.

    python -m experiments.emotion_report --chats log.jsonl --output emotion-report

Emotions are the champion's answers, turn by turn in context; chats are followed by the rules of
`serving.track`. The unit of every rate is the chat, because turns of one chat are alike; where a rate would
rest on fewer than `FEWEST` chats, counts are given and no rate. Texts in the report are masked.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data.chats import DEMO_SHOP, answer_seconds, read_chats
from data.pii import mask
from data.taxonomy import Taxonomy
from experiments.emotion_reader import HEATED, ReadChat, read_emotions
from labeling.agreement.coefficients import share
from serving.track import TRAJECTORIES

__all__ = [
    "FEWEST",
    "Cause",
    "EmotionReport",
    "Rate",
    "TurningPoint",
    "emotion_report",
    "main",
]

FEWEST = 10
"""Chats below which no rate is stated."""
CALM = 0.25
DRAWS = 1000


@dataclass(frozen=True, slots=True)
class Rate:
    """So many of so many, with a 95 % interval; rate and interval are None where there are too few chats."""

    name: str
    count: int
    of: int
    rate: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Cause:
    """What customers wanted when they were heated."""

    category: str
    chats: int
    """With a heated turn of this category."""
    turns: int
    """Heated ones."""
    weight: float
    """Share of all heat above neutral, summed over turns."""
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class TurningPoint:
    """Where the mood of a chat turned: the customer's turns on both sides, and the agent's words between."""

    chat: str
    agent: str
    at: str
    """ISO 8601."""
    direction: str
    """"escalating" or "recovering"."""
    change: float
    """Severity after less severity before."""
    before: str
    agent_said: str
    after: str


@dataclass(frozen=True)
class EmotionReport:
    """All figures of one period."""

    first_day: str
    last_day: str
    model: dict[str, str]
    chats: int
    turns: int
    emotions: list[Rate]
    """Share of the customers' turns; intervals by bootstrap over chats."""
    trajectories: list[Rate]
    days: list[Rate]
    """By day, chats with a heated turn."""
    hours: list[Rate]
    """The same by the three hours of the day in which the chat began: "09-12"."""
    causes: list[Cause]
    """Heaviest first."""
    turning_points: list[TurningPoint]
    """Largest change first."""
    agents: list[Rate]
    """By account, of its chats that were heated: those calm at the end. Accounts meet different customers."""
    answer_seconds: dict[str, float]
    """By account, the median wait for an answer."""
    agreement: list[Rate]
    """Where a reader labelled the log: turns in which the champion gives the same emotion, and the same
    polarity; else empty."""


def emotion_report(read: Sequence[ReadChat], taxonomy: Taxonomy, seed: int = 0) -> EmotionReport:
    """The figures of a period.

    Args:
        read: of `experiments.emotion_reader.read_emotions`.
        seed: of the bootstrap.

    Raises:
        ValueError: there are no chats.
    """
    if not read:
        raise ValueError("read: there are no chats to report on")
    ways = [one.track.trajectory for one in read]
    heated = [one for one in read if one.heated]
    return EmotionReport(
        first_day=min(one.chat.began for one in read).date().isoformat(),
        last_day=max(one.chat.began for one in read).date().isoformat(),
        model={task: getattr(read[0].track.model, task) for task in ("category", "emotion")},
        chats=len(read),
        turns=sum(len(one.indices) for one in read),
        emotions=_emotions(read, taxonomy, seed),
        trajectories=[_rate(name, ways.count(name), len(ways)) for name in TRAJECTORIES],
        days=_heated_by(read, lambda one: one.chat.began.date().isoformat()),
        hours=_heated_by(read, _hours),
        causes=_causes(read, seed),
        turning_points=sorted(_turning_points(read), key=lambda one: (-abs(one.change), one.chat)),
        agents=_by(heated, lambda one: one.chat.agent, lambda one: one.severities[-1] < HEATED),
        answer_seconds=_waits(read),
        agreement=_agreement(read, taxonomy),
    )


def _rate(name: str, count: int, of: int) -> Rate:
    found = share(count, of) if of >= FEWEST else None
    return Rate(name, count, of, *((found.rate, found.low, found.high) if found else (None, None, None)))


def _by(
    read: Iterable[ReadChat], key: Callable[[ReadChat], str], hit: Callable[[ReadChat], bool]
) -> list[Rate]:
    groups: dict[str, list[bool]] = defaultdict(list)
    for one in read:
        groups[key(one)].append(hit(one))
    return [_rate(name, sum(groups[name]), len(groups[name])) for name in sorted(groups)]


def _heated_by(read: Sequence[ReadChat], key: Callable[[ReadChat], str]) -> list[Rate]:
    return _by(read, key, lambda one: one.heated)


def _hours(one: ReadChat) -> str:
    first = one.chat.began.hour // 3 * 3
    return f"{first:02d}-{first + 3:02d}"


def _draws(count: int, seed: int) -> np.ndarray:
    """How often each chat is drawn: [draws, chats]. Bootstrap of whole chats (Efron and Tibshirani, 1993)."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=DRAWS)


def _emotions(read: Sequence[ReadChat], taxonomy: Taxonomy, seed: int) -> list[Rate]:
    counts = np.array([
        [sum(answer.emotion.label == key for answer in one.answers) for key in taxonomy.emotion]
        for one in read
    ])  # fmt: skip
    drawn = _draws(len(read), seed) @ counts
    low, high = np.percentile(drawn / drawn.sum(1, keepdims=True), (2.5, 97.5), axis=0)
    total, of = counts.sum(0).tolist(), int(counts.sum())
    if len(read) < FEWEST:
        return [Rate(key, total[place], of, None, None, None) for place, key in enumerate(taxonomy.emotion)]
    return [
        Rate(key, total[place], of, total[place] / of, float(low[place]), float(high[place]))
        for place, key in enumerate(taxonomy.emotion)
    ]


def _causes(read: Sequence[ReadChat], seed: int) -> list[Cause]:
    weights: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(len(read)))
    turns: dict[str, int] = defaultdict(int)
    for row, one in enumerate(read):
        for answer, heat in zip(one.answers, one.severities, strict=True):
            if heat >= HEATED:
                weights[answer.category.label][row] += heat - CALM
                turns[answer.category.label] += 1
    if not weights:
        return []
    keys = list(weights)
    table = np.stack([weights[key] for key in keys], axis=1)
    drawn = _draws(len(read), seed) @ table
    low, high = np.percentile(drawn / np.maximum(drawn.sum(1, keepdims=True), 1e-9), (2.5, 97.5), axis=0)
    shares = table.sum(0) / table.sum()
    found = [
        Cause(key, int((table[:, place] > 0).sum()), turns[key], float(shares[place]),
              float(low[place]), float(high[place]))
        for place, key in enumerate(keys)
    ]  # fmt: skip
    return sorted(found, key=lambda one: (-one.weight, one.category))


def _turning_points(read: Sequence[ReadChat]) -> Iterable[TurningPoint]:
    for one in read:
        at = one.track.changed_at
        if at is None:
            continue
        place = one.indices.index(at)
        before = one.indices[place - 1]
        turns = one.chat.turns
        said = " / ".join(turn.text for turn in turns[before + 1 : at] if turn.role == "agent")
        yield TurningPoint(
            chat=one.chat.id,
            agent=one.chat.agent,
            at=turns[at].sent_at.isoformat(),
            direction=one.track.trajectory,
            change=round(one.severities[place] - one.severities[place - 1], 3),
            before=mask(turns[before].text),
            agent_said=mask(said),
            after=mask(turns[at].text),
        )


def _waits(read: Sequence[ReadChat]) -> dict[str, float]:
    waits: dict[str, list[float]] = defaultdict(list)
    for one in read:
        waits[one.chat.agent] += [seconds for _, seconds in answer_seconds(one.chat)]
    return {agent: float(np.median(waits[agent])) for agent in sorted(waits) if waits[agent]}


def _agreement(read: Sequence[ReadChat], taxonomy: Taxonomy) -> list[Rate]:
    pairs = [
        (turn.emotion, answer.emotion)
        for one in read
        for index, answer in zip(one.indices, one.answers, strict=True)
        if (turn := one.chat.turns[index]).emotion in taxonomy.emotion
    ]
    if not pairs:
        return []
    same = sum(truth == answer.label for truth, answer in pairs)
    alike = sum(taxonomy.emotion[truth].polarity == answer.polarity for truth, answer in pairs if truth)
    return [_rate("same emotion", same, len(pairs)), _rate("same polarity", alike, len(pairs))]


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the emotion report of a log: figures, pictures and a page in Markdown."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--chats", type=Path, default=DEMO_SHOP, help="a log as in data/demo_shop/README.md")
    parser.add_argument("--output", type=Path, required=True, help="folder of the report")
    options = parser.parse_args(arguments)
    from experiments.emotion_page import write_emotion_report
    from serving.offline import packaged_predictor
    from serving.package import use_local_store

    use_local_store()
    predictor = packaged_predictor()
    read = read_emotions(read_chats(options.chats), predictor)
    page = write_emotion_report(read, predictor.taxonomy, options.output)
    print(f"{len(read)} chats -> {page}")


if __name__ == "__main__":
    main()
