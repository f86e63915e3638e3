"""How well each person labels, and whether that changes over time.

An answer is judged by what is expected of it: the hidden gold label where the task has one, otherwise
what most of the others said (leave-one-out; where they are split evenly, nothing is expected).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone

import numpy as np

from labeling.agreement.answers import MISSING, Answers, AnswerTable
from labeling.agreement.coefficients import Share, share

__all__ = [
    "CHINA",
    "FALLING",
    "RISING",
    "STEADY",
    "TOO_FEW",
    "Drift",
    "Mistake",
    "Person",
    "PersonAnswer",
    "Window",
    "expected_labels",
    "measure_people",
]

STEADY, FALLING, RISING, TOO_FEW = "steady", "falling", "rising", "too few answers"
AUTO_WINDOW = 20
AUTO_WINDOWS = 12
MIN_SCORED = 60
MIN_WINDOWS = 3
MIN_CHANGE = 0.05
SIGNIFICANCE = 0.01
# Days as the annotators live them; China has one zone and no summer time.
CHINA = timezone(timedelta(hours=8))


@dataclass(frozen=True)
class Window:
    """Consecutive answers of one person."""

    start: datetime
    end: datetime
    right: Share


@dataclass(frozen=True)
class Drift:
    """The course of a person's right answers."""

    verdict: str
    """steady, falling, rising, or too few answers."""
    scored: int
    """Answers with something expected: what the verdict rests on."""
    change: float | None
    """Share of right answers in the last third less that in the first third."""
    p: float | None
    """Cochran-Armitage trend over the windows, two-sided, after Holm over all people and questions."""
    windows: tuple[Window, ...]
    leans_on: str | None
    """The one colleague whose lone answers most of it was held against: who of the two changed is open."""


@dataclass(frozen=True)
class Mistake:
    """A label that a person gives where another is expected."""

    expected: str
    given: str
    times: int
    of: int
    """Answers of the person where that label is expected."""
    rows: tuple[int, ...]
    """Places of up to three such tasks."""


@dataclass(frozen=True)
class PersonAnswer:
    """One person's answers to one of the two questions."""

    given: int
    gold: Share | None
    """Right on hidden gold tasks."""
    others: Share | None
    """The same as most of the others."""
    drift: Drift
    mistakes: tuple[Mistake, ...]


@dataclass(frozen=True)
class Person:
    """One annotator."""

    annotator: str
    tasks: int
    seconds: float | None
    """Median time of an answer."""
    undecided: Share
    answers: dict[str, PersonAnswer]


def expected_labels(table: AnswerTable, person: int) -> tuple[np.ndarray, np.ndarray]:
    """What is expected of a person, task by task.

    Returns:
        (tasks,) codes, `MISSING` where the person gave no answer or nothing is expected; and (tasks,) True
        where all that speaks for it is one colleague.
    """
    majority, votes = table.others_majority(person)
    known = (table.gold != MISSING) & (table.codes[:, person] != MISSING)
    return np.where(known, table.gold, majority), (votes == 1) & ~known


def measure_people(answers: Answers, window: int | str = "auto", mistakes: int = 8) -> list[Person]:
    """Measure every annotator, in the order of `answers.people`.

    Args:
        window: answers to a point of a person's curve; "auto" for 20 or as many as make 12 points,
            "day" or "week" for calendar days or weeks in China.
        mistakes: so many of a person's most frequent mistakes are kept.

    Raises:
        ValueError: `window` is none of these.
    """
    if not (window in ("auto", "day", "week") or (isinstance(window, int) and window > 0)):
        raise ValueError(f'window: {window!r} is unknown; use a positive number, "auto", "day" or "week"')
    people = []
    for index, name in enumerate(answers.people):
        latest = answers.latest[index]
        seconds = [one.seconds for _, one in latest if one.seconds is not None]
        undecided = share(sum(one.undecided for _, one in latest), len(latest))
        assert undecided is not None  # a person without annotations is not among the people
        people.append(
            Person(
                name,
                len(latest),
                float(np.median(seconds)) if seconds else None,
                undecided,
                {
                    answer: _person_answer(answers, table, index, window, mistakes)
                    for answer, table in answers.tables.items()
                },
            )
        )
    return _with_verdicts(people)


def _person_answer(
    answers: Answers, table: AnswerTable, person: int, window: int | str, mistakes: int
) -> PersonAnswer:
    own = table.codes[:, person]
    given = own != MISSING
    on_gold = given & (table.gold != MISSING)
    majority, _ = table.others_majority(person)
    comparable = majority != MISSING
    expected, lone = expected_labels(table, person)
    return PersonAnswer(
        int(given.sum()),
        share(int((own == table.gold)[on_gold].sum()), int(on_gold.sum())),
        share(int((own == majority)[comparable].sum()), int(comparable.sum())),
        _course(answers, table, person, expected, lone, window),
        _mistakes(table, own, expected, mistakes),
    )


def _mistakes(table: AnswerTable, own: np.ndarray, expected: np.ndarray, number: int) -> tuple[Mistake, ...]:
    wrong = np.flatnonzero((expected != MISSING) & (own != expected))
    count = Counter((int(expected[row]), int(own[row])) for row in wrong)
    ranked = sorted(count.items(), key=lambda item: (-item[1], item[0]))[:number]
    return tuple(
        Mistake(
            table.labels[right],
            table.labels[said],
            times,
            int((expected == right).sum()),
            tuple(int(row) for row in wrong if (expected[row], own[row]) == (right, said))[:3],
        )
        for (right, said), times in ranked
    )


def _course(
    answers: Answers,
    table: AnswerTable,
    person: int,
    expected: np.ndarray,
    lone: np.ndarray,
    window: int | str,
) -> Drift:
    scored = [(row, one.at) for row, one in answers.latest[person] if expected[row] != MISSING]
    rows = np.array([row for row, _ in scored], dtype=int)
    right = table.codes[rows, person] == expected[rows]
    windows = []
    for part in _parts([at for _, at in scored], window):
        held = share(int(right[part].sum()), len(right[part]))
        assert held is not None  # no part is empty
        windows.append(Window(scored[part.start][1], scored[part.stop - 1][1], held))
    leans_on = _leans_on(answers, table, person, rows[lone[rows]], len(rows))
    if len(rows) < MIN_SCORED or len(windows) < MIN_WINDOWS:
        return Drift(TOO_FEW, len(rows), None, None, tuple(windows), leans_on)
    third = len(rows) // 3
    change = float(right[-third:].mean() - right[:third].mean())
    return Drift(STEADY, len(rows), change, _trend(windows), tuple(windows), leans_on)


def _parts(times: Sequence[datetime], window: int | str) -> list[slice]:
    if not times:
        return []
    if window in ("day", "week"):
        days = [at.astimezone(CHINA).isocalendar() for at in times]
        marks = [tuple(day) if window == "day" else tuple(day)[:2] for day in days]
        starts = [place for place, mark in enumerate(marks) if place == 0 or mark != marks[place - 1]]
    else:
        size = window if isinstance(window, int) else max(AUTO_WINDOW, -(-len(times) // AUTO_WINDOWS))
        starts = list(range(0, len(times), size))
        # A short rest joins the last window instead of waving about on its own.
        if len(starts) > 1 and len(times) - starts[-1] < size / 2:
            starts.pop()
    return [slice(start, end) for start, end in zip(starts, [*starts[1:], len(times)], strict=True)]


def _trend(windows: Sequence[Window]) -> float:
    from statsmodels.stats.contingency_tables import Table

    table = np.array([[one.right.of - one.right.right, one.right.right] for one in windows])
    if not table.sum(0).all():
        return 1.0
    tested = Table(table, shift_zeros=False).test_ordinal_association()
    return float(tested.pvalue)


def _leans_on(
    answers: Answers, table: AnswerTable, person: int, lone_rows: np.ndarray, scored: int
) -> str | None:
    if not len(lone_rows):
        return None
    there = table.codes[lone_rows] != MISSING
    there[:, person] = False
    held = there.sum(0)
    most = int(held.argmax())
    return answers.people[most] if held[most] > scored / 2 else None


def _with_verdicts(people: list[Person]) -> list[Person]:
    from statsmodels.stats.multitest import multipletests

    tested = [
        (person.annotator, answer)
        for person in people
        for answer, one in person.answers.items()
        if one.drift.p is not None
    ]
    if not tested:
        return people
    by_name = {person.annotator: person for person in people}
    raw = [by_name[name].answers[answer].drift.p for name, answer in tested]
    adjusted = dict(zip(tested, multipletests(raw, method="holm")[1], strict=True))
    judged = []
    for person in people:
        answers = {}
        for answer, one in person.answers.items():
            p = adjusted.get((person.annotator, answer))
            if p is not None:
                one = replace(one, drift=replace(one.drift, p=float(p), verdict=_verdict(one.drift, p)))
            answers[answer] = one
        judged.append(replace(person, answers=answers))
    return judged


def _verdict(drift: Drift, p: float) -> str:
    change = drift.change or 0.0
    if p >= SIGNIFICANCE or abs(change) < MIN_CHANGE:
        return STEADY
    return FALLING if change < 0 else RISING
