"""What was recommended and what agents did with it, kept in one SQLite file; the smoothed acceptance of
scripts.

Any number of threads and processes of one machine may share the file (write-ahead log). A verdict is on the
disk when `put` returns; what was shown is written without waiting for the disk, because every answer would
wait and a lost row costs one observation. Texts are masked before they are stored.
"""

from __future__ import annotations

import json
import math
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from assist.scripts.schema import ReplyFeedback, ReplyFeedbackReceipt
from data.pii import mask
from data.sqlite_file import SqliteFile

__all__ = [
    "EXAMINED",
    "MOST_WEIGHT",
    "Answer",
    "Candidate",
    "Displayed",
    "FeedbackStore",
    "FeedbackStoreError",
    "Tally",
    "acceptance",
    "new_request_id",
]

EXAMINED = (1.0, 0.8, 0.65, 0.55, 0.48, 0.42, 0.38, 0.35)
"""How probably an agent looks at a place, until `off_policy.examination_by_position` says better: an
assumption."""
MOST_WEIGHT = 10.0
"""Largest inverse propensity that a display counts by."""
REWARD = {"accepted": 1.0, "edited": 0.5, "rejected": 0.0}
_SCHEMA = (
    """CREATE TABLE answers (
        request_id TEXT PRIMARY KEY, at TEXT NOT NULL, text TEXT NOT NULL, category TEXT NOT NULL,
        emotion TEXT NOT NULL, alert INTEGER NOT NULL, policy TEXT NOT NULL, temperature REAL NOT NULL,
        pool TEXT NOT NULL
    ) WITHOUT ROWID""",
    """CREATE TABLE displays (
        reply_id TEXT PRIMARY KEY, request_id TEXT NOT NULL, place INTEGER NOT NULL, script TEXT NOT NULL,
        propensity REAL NOT NULL, action TEXT, sent TEXT, said_by TEXT, said_at TEXT
    ) WITHOUT ROWID""",
    "CREATE INDEX displays_request ON displays (request_id)",
    """CREATE TABLE tallies (
        script TEXT NOT NULL, place INTEGER NOT NULL, weight REAL NOT NULL DEFAULT 0,
        square REAL NOT NULL DEFAULT 0, accepted REAL NOT NULL DEFAULT 0, edited REAL NOT NULL DEFAULT 0,
        rejected REAL NOT NULL DEFAULT 0, PRIMARY KEY (script, place)
    ) WITHOUT ROWID""",
)


class FeedbackStoreError(OSError):
    """The store cannot be read or written; the message names the file and the mend."""


_FILE = SqliteFile(
    _SCHEMA,
    version=1,
    error=FeedbackStoreError,
    holds="store of replies",
    again="try again",
    elsewhere="set KEFU_REPLIES to another file",
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A script that could have been shown."""

    script: str
    base: float
    """Score without feedback."""
    score: float
    """Score as ranked."""


@dataclass(frozen=True, slots=True)
class Displayed:
    """A script on a place of an answer."""

    reply_id: str
    script: str
    place: int
    """From 1."""
    propensity: float
    action: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of the recommender, as logged."""

    request_id: str
    text: str
    category: str
    emotion: str
    alert: int
    policy: str
    temperature: float
    """Of the draw among `pool`; 0 where nothing was drawn."""
    pool: tuple[Candidate, ...]
    """What the places were drawn from."""
    shown: tuple[Displayed, ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """Evidence on one script, in effective displays."""

    reward: float
    """Accepted ones count 1, edited ones a half."""
    looked: float
    """Displays, each by how probably its place is looked at."""

    @classmethod
    def weighted(cls, weight: float, square: float, reward: float, looked: float) -> Tally:
        """Evidence of weighted displays; arguments are sums of weights, their squares, weight times reward
        and weight times look. What unequal weights are worth less is taken off (Kish's effective size)."""
        scale = weight / square if square > 0 else 0.0
        return cls(scale * reward, scale * looked)


def acceptance(tally: Tally | None, prior: float, strength: float) -> float:
    """Mean of the Beta posterior of a script's acceptance rate, as if it had always been looked at.

    Args:
        prior: acceptance rate over all scripts.
        strength: displays' worth of belief in it.
    """
    if tally is None:
        return prior
    return (strength * prior + tally.reward) / (strength + max(tally.looked, tally.reward))


class FeedbackStore:
    """Answers, verdicts, and what they say of scripts. Nothing is made on the disk before the first write.

    Args:
        path: the file; made when needed, with its folder.
        examined: how probably each place is looked at, the first first.
        strength: displays' worth of belief in the mean of all scripts.
        refresh: seconds for which `lifts` may be old; other processes' feedback is seen after them.
    """

    def __init__(
        self,
        path: Path | str,
        examined: Sequence[float] = EXAMINED,
        strength: float = 10.0,
        refresh: float = 2.0,
    ) -> None:
        if not examined or not all(0 < value <= 1 for value in examined):
            raise ValueError("examined: expected numbers above 0 and at most 1, the first place first")
        self.path, self.examined = Path(path), tuple(examined)
        self.strength, self.refresh = strength, refresh
        self._lock = threading.Lock()
        self._lifts: tuple[float, dict[str, tuple[float, float]]] = (-math.inf, {})

    def record(self, answer: Answer) -> None:
        """Log an answer; its text is masked here.

        Raises:
            FeedbackStoreError: nothing was written.
        """
        pool = json.dumps([[one.script, round(one.base, 4), round(one.score, 4)] for one in answer.pool])
        with _FILE.writing(self.path, durable=False) as connection:
            connection.execute(
                "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    answer.request_id,
                    _now(),
                    mask(answer.text),
                    answer.category,
                    answer.emotion,
                    answer.alert,
                    answer.policy,
                    answer.temperature,
                    pool,
                ),
            )
            connection.executemany(
                "INSERT INTO displays (reply_id, request_id, place, script, propensity) "
                "VALUES (?, ?, ?, ?, ?)",
                [
                    (one.reply_id, answer.request_id, one.place, one.script, one.propensity)
                    for one in answer.shown
                ],
            )

    def put(self, feedback: ReplyFeedback) -> ReplyFeedbackReceipt:
        """Store a verdict; on the disk when this returns. A later one on the same reply takes its place.

        Raises:
            ValueError: the reply was never shown.
            FeedbackStoreError: nothing was stored.
        """
        with _FILE.writing(self.path, durable=True) as connection:
            row = connection.execute(
                "SELECT request_id, place, script, propensity, action FROM displays WHERE reply_id = ?",
                (feedback.reply_id,),
            ).fetchone()
            if row is None:
                raise ValueError(
                    "reply_id: was not shown by this service; take it from an answer of /recommend"
                )
            request_id, place, script, propensity, earlier = row
            spoken = connection.execute(
                "SELECT count(*) FROM displays WHERE request_id = ? AND action IS NOT NULL", (request_id,)
            ).fetchone()[0]
            if not spoken:
                # An answer on which nobody said anything may never have been looked at: only now it counts.
                connection.execute(
                    "INSERT INTO tallies (script, place, weight, square) SELECT script, place, "
                    "min(1 / propensity, ?1), min(1 / propensity, ?1) * min(1 / propensity, ?1) "
                    "FROM displays "
                    "WHERE request_id = ?2 ON CONFLICT DO UPDATE SET weight = weight + excluded.weight, "
                    "square = square + excluded.square",
                    (MOST_WEIGHT, request_id),
                )
            for action, step in ((earlier, -1), (feedback.action, 1)):
                if action in REWARD:
                    connection.execute(
                        f"UPDATE tallies SET {action} = {action} + ? WHERE script = ? AND place = ?",
                        (step * min(1 / propensity, MOST_WEIGHT), script, place),
                    )
            connection.execute(
                "UPDATE displays SET action = ?, sent = ?, said_by = ?, said_at = ? WHERE reply_id = ?",
                (
                    feedback.action,
                    None if feedback.sent is None else mask(feedback.sent),
                    None if feedback.by is None else mask(feedback.by),
                    _now(),
                    feedback.reply_id,
                ),
            )
        with self._lock:
            self._lifts = (-math.inf, {})
        return ReplyFeedbackReceipt(reply_id=feedback.reply_id, script=script, replaced=earlier is not None)

    def tallies(self) -> dict[str, Tally]:
        """Evidence by script, corrected for where and how probably it was shown."""
        sums: dict[str, list[float]] = {}
        with _FILE.reading(self.path) as connection:
            if connection is None:
                return {}
            rows = connection.execute(
                "SELECT script, place, weight, square, accepted, edited, rejected FROM tallies"
            ).fetchall()
        for script, place, weight, square, accepted, edited, rejected in rows:
            seen = self.examined[min(place, len(self.examined)) - 1]
            found = sums.setdefault(script, [0.0] * 4)
            reward = accepted * REWARD["accepted"] + edited * REWARD["edited"]
            # Whoever refuses a reply has looked at it; the others were perhaps passed over.
            looked = seen * max(0.0, weight - rejected) + rejected
            for index, value in enumerate((weight, square, reward, looked)):
                found[index] += value
        return {script: Tally.weighted(*values) for script, values in sums.items()}

    def lifts(self) -> Mapping[str, tuple[float, float]]:
        """By script how far its acceptance is above or below the mean, in log-odds within ±2, and the
        rate."""
        with self._lock:
            made, lifts = self._lifts
        if time.monotonic() - made < self.refresh:
            return lifts
        tallies = self.tallies()
        reward = sum(tally.reward for tally in tallies.values())
        looked = sum(tally.looked for tally in tallies.values())
        prior = min(max((reward + 3.0) / (looked + 10.0), 0.02), 0.9)
        lifts = {}
        for script, tally in tallies.items():
            rate = acceptance(tally, prior, self.strength)
            lifts[script] = (min(max(_logit(rate) - _logit(prior), -2.0), 2.0), rate)
        with self._lock:
            self._lifts = (time.monotonic(), lifts)
        return lifts

    def answers(self, judged: bool = True) -> Iterator[Answer]:
        """Logged answers, oldest first; with `judged` those on which somebody said something."""
        with _FILE.reading(self.path) as connection:
            if connection is None:
                return
            where = (
                "WHERE EXISTS (SELECT 1 FROM displays AS d WHERE d.request_id = answers.request_id "
                "AND d.action IS NOT NULL)"
            )
            rows = connection.execute(
                "SELECT request_id, text, category, emotion, alert, policy, temperature, pool FROM answers "
                f"{where if judged else ''} ORDER BY at"
            ).fetchall()
            for request_id, text, category, emotion, alert, policy, temperature, pool in rows:
                shown = connection.execute(
                    "SELECT reply_id, script, place, propensity, action FROM displays WHERE request_id = ? "
                    "ORDER BY place",
                    (request_id,),
                )
                yield Answer(
                    request_id,
                    text,
                    category,
                    emotion,
                    alert,
                    policy,
                    temperature,
                    tuple(Candidate(*one) for one in json.loads(pool)),
                    tuple(Displayed(*one) for one in shown.fetchall()),
                )


def new_request_id() -> str:
    """A name for an answer."""
    return uuid.uuid4().hex


def _logit(rate: float) -> float:
    rate = min(max(rate, 1e-4), 1 - 1e-4)
    return math.log(rate / (1 - rate))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
