"""What people say of answers, kept until it has reached the labelling queue: nothing acknowledged is lost.

One SQLite file for any number of threads and processes on one machine, in WAL mode with full synchronisation:
`put` returns after the feedback is on the disk. Every call opens the file anew. That costs milliseconds at a
person's pace, and makes the store heal by itself: after a full disk, a file moved away, a fork. The file must
not lie on a network drive (SQLite's WAL needs shared memory).

Texts are masked before they are stored; nothing of them stands in an error.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from data.example import Turn
from data.pii import mask
from data.taxonomy import TASKS, Taxonomy
from serving.feedback_file import FEEDBACK_FILE, FeedbackStoreError
from serving.schema import FeedbackReceipt, FeedbackRequest, Verdict

__all__ = ["DEFAULT_PATH", "Feedback", "FeedbackStore", "FeedbackStoreError", "Judgement", "default_path"]

DEFAULT_PATH = Path(".kefu/feedback.sqlite")
KEPT_TURNS = 40
"""Latest turns of a context that are kept: what a person needs to label, and more than a model reads."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a person says of one label."""

    predicted: str
    right: bool
    label: str
    """The true label; `predicted` itself where it was right."""


@dataclass(frozen=True, slots=True)
class Feedback:
    """One stored feedback; texts are masked."""

    number: int
    """Of this version of it: feedback that is replaced gets a new one."""
    id: str
    text: str
    context: tuple[Turn, ...]
    category: Judgement | None
    emotion: Judgement | None
    request_id: str | None
    by: str | None
    received: datetime

    @property
    def wrong(self) -> bool:
        """Whether the person found a label wrong."""
        return any(one is not None and not one.right for one in (self.category, self.emotion))


def default_path() -> Path:
    """`KEFU_FEEDBACK`, or `.kefu/feedback.sqlite`."""
    return Path(os.environ.get("KEFU_FEEDBACK") or DEFAULT_PATH)


class FeedbackStore:
    """Durable feedback. Nothing is made on the disk before the first `put`.

    Args:
        path: the file; made when needed, with its folder.
        taxonomy: whose labels the judgements may name.
    """

    def __init__(self, path: Path | str, taxonomy: Taxonomy) -> None:
        self.path, self._taxonomy = Path(path), taxonomy

    def put(self, feedback: FeedbackRequest) -> FeedbackReceipt:
        """Store one, masked; it is on the disk when this returns.

        Feedback with the `request_id` of an earlier one takes its place and its id, and goes to the labelling
        queue again; the very same once more (a client's retry) changes nothing.

        Raises:
            ValueError: a label is not in the schema, or a verdict contradicts itself; `field: reason`.
            FeedbackStoreError: the feedback is not stored; says why and the mend.
        """
        judged = {task: _judgement(getattr(feedback, task), task, self._taxonomy) for task in TASKS}
        content = (
            mask(feedback.text),
            json.dumps(
                [[turn.role, mask(turn.text)] for turn in feedback.context[-KEPT_TURNS:]], ensure_ascii=False
            ),
            *(
                None if one is None else json.dumps([one.predicted, one.right, one.label])
                for one in judged.values()
            ),
            int(any(one is not None and not one.right for one in judged.values())),
            None if feedback.by is None else mask(feedback.by),
        )
        with FEEDBACK_FILE.writing(self.path) as connection:
            earlier = None
            if feedback.request_id is not None:
                earlier = connection.execute(
                    "SELECT id, text, context, category, emotion, wrong, said_by FROM feedback "
                    "WHERE request_id = ?",
                    (feedback.request_id,),
                ).fetchone()
            identity = earlier[0] if earlier else uuid.uuid4().hex
            if earlier is None or earlier[1:] != content:
                connection.execute("DELETE FROM feedback WHERE id = ?", (identity,))
                connection.execute(
                    "INSERT INTO feedback (id, request_id, received, text, context, category, emotion, "
                    "wrong, said_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (identity, feedback.request_id, _now(), *content),
                )
        return FeedbackReceipt(id=identity, replaced=earlier is not None)

    def pending(self, limit: int = 1_000_000) -> list[Feedback]:
        """What has not reached the labelling queue: wrong answers first, then the oldest first.

        Raises:
            FeedbackStoreError: the file cannot be read.
        """
        with FEEDBACK_FILE.reading(self.path) as connection:
            if connection is None:
                return []
            rows = connection.execute(
                "SELECT number, id, text, context, category, emotion, request_id, said_by, received "
                "FROM feedback WHERE taken IS NULL ORDER BY wrong DESC, number LIMIT ?",
                (limit,),
            ).fetchall()
        return [
            Feedback(
                number=number,
                id=identity,
                text=text,
                context=tuple(Turn(*turn) for turn in json.loads(context)),
                category=Judgement(*json.loads(category)) if category else None,
                emotion=Judgement(*json.loads(emotion)) if emotion else None,
                request_id=request_id,
                by=by,
                received=datetime.fromisoformat(received),
            )
            for number, identity, text, context, category, emotion, request_id, by, received in rows
        ]

    def mark_taken(self, items: Sequence[Feedback], where: str) -> int:
        """Note that these have reached the labelling queue; one replaced meanwhile stays pending.

        Args:
            where: to which project: "http://… project 3".

        Returns:
            How many of them were still pending.

        Raises:
            FeedbackStoreError: nothing was noted; do it again.
        """
        with FEEDBACK_FILE.writing(self.path) as connection:
            before = connection.total_changes
            connection.executemany(
                "UPDATE feedback SET taken = ?, taken_to = ? WHERE number = ? AND taken IS NULL",
                [(_now(), where, item.number) for item in items],
            )
            return connection.total_changes - before

    def counts(self) -> dict[str, int]:
        """How many are `pending`, how many `taken`, and of all how many found a label `wrong`."""
        with FEEDBACK_FILE.reading(self.path) as connection:
            if connection is None:
                return {"pending": 0, "taken": 0, "wrong": 0}
            every, taken, wrong = connection.execute(
                "SELECT count(*), count(taken), coalesce(sum(wrong), 0) FROM feedback"
            ).fetchone()
        return {"pending": every - taken, "taken": taken, "wrong": wrong}


def _judgement(verdict: Verdict | None, task: str, taxonomy: Taxonomy) -> Judgement | None:
    if verdict is None:
        return None
    known = taxonomy.label_map(task).labels
    for name in ("predicted", "label"):
        value = getattr(verdict, name)
        if value is not None and value not in known:
            raise ValueError(
                f"{task}.{name}: {value!r} is no {task} of the label schema; use one of its keys"
            )
    if verdict.right:
        if verdict.label not in (None, verdict.predicted):
            raise ValueError(f"{task}.label: differs from predicted, which is said to be right; leave it out")
        return Judgement(verdict.predicted, True, verdict.predicted)
    if verdict.label is None:
        raise ValueError(f"{task}.label: is missing; name the true label where right is false")
    if verdict.label == verdict.predicted:
        raise ValueError(f"{task}.label: is the same as predicted, which is said to be wrong")
    return Judgement(verdict.predicted, False, verdict.label)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")
