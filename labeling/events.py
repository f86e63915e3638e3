"""What happened to annotations, as Label Studio's webhooks tell it: a queue that loses nothing it was given.

A webhook never trains and never waits: its event is committed here, acknowledged, and read by the next
`kefu label sync`. Label Studio sends each event once and gives up after a second, so the queue says where to
look sooner; what is true stands in Label Studio, and a full pull finds it without any event.

**Identity.** An event is (action, project, task, annotation, time of the change): delivered twice, it is
stored once, also when it was dealt with in between. Deleted tasks and annotations come without a time; their
ids are never given out again. A delivery that names nothing (a webhook without payload) cannot be told from
the next, so every one counts, which costs a reader one look more.

**At least once.** Events stay pending until `done`; two readers may get the same ones, and a reader that dies
leaves them. Only action, ids and times are stored: no text, no answers, no names.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

__all__ = ["ACTIONS", "EVENTS", "Event", "EventQueue"]

EVENTS = Path(".kefu/labeling/events.sqlite3")
"""Where the backend keeps them unless told otherwise."""
ACTIONS: dict[str, str] = {
    "ANNOTATION_CREATED": "annotation",
    "ANNOTATIONS_CREATED": "annotation",
    "ANNOTATION_UPDATED": "annotation",
    "ANNOTATIONS_DELETED": "annotations",
    "TASKS_DELETED": "tasks",
}
"""Actions that are queued, and where their payload says what they happened to."""
KEEP_DAYS = 90
"""How long an event that was dealt with is known, so that a late repetition is not news."""
_VERSION = 1
_BUSY_SECONDS = 10.0
# 0 and "" stand for what an event does not tell: NULLs would all be different in the identity.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    action TEXT NOT NULL,
    project INTEGER NOT NULL,
    task INTEGER NOT NULL,
    annotation INTEGER NOT NULL,
    at TEXT NOT NULL,
    received TEXT NOT NULL,
    done TEXT,
    UNIQUE (action, project, task, annotation, at)
);
CREATE INDEX IF NOT EXISTS event_pending ON event (id) WHERE done IS NULL;
CREATE INDEX IF NOT EXISTS event_done ON event (done) WHERE done IS NOT NULL;
"""


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to an annotation or a task."""

    id: int
    """The queue's own number; later events have greater ones."""
    action: str
    project: int | None
    """None, as in the next two: the delivery did not say; look at everything."""
    task: int | None
    annotation: int | None
    at: datetime | None
    """When it happened by Label Studio's clock; None for deletions. UTC."""
    received: datetime


class EventQueue:
    """Events in an SQLite file, for any number of threads and processes on one machine.

    The file is in WAL mode with full synchronisation: `add` returns after the event is on the disk. Its
    folder must not be on a network drive (SQLite's WAL needs shared memory).

    Args:
        path: made if missing, with its folder.

    Raises:
        ValueError: the file is something else, or of a later version of the project.
        OSError: it cannot be made.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(
                self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise OSError(f"{self.path}: cannot be opened ({error}); choose another place") from error
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
            self._connection.close()
            if isinstance(error, sqlite3.OperationalError):
                raise OSError(f"{self.path}: cannot be opened ({error}); choose another place") from error
            raise ValueError(
                f"{self.path}: is no event queue ({error}); move it away, a full pull finds every change"
            ) from error
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            # The change to WAL does not wait for other processes that make the same file just now.
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        self._connection.execute("PRAGMA synchronous = FULL")
        with self._transaction() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise ValueError(
                    f"{self.path}: event queue of version {version}, this program writes {_VERSION}; "
                    "update the program, or move the file away: a full pull finds every change"
                )
            for statement in _SCHEMA.split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {_VERSION}")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def add(self, payload: Mapping[str, Any], project: int | None = None) -> bool:
        """Store what a webhook delivered; one row for each task or annotation that it names.

        Args:
            payload: the body that Label Studio sent.
            project: whose webhook it was, for deliveries that do not say.

        Returns:
            Whether anything of it was new. Either way it is on the disk.

        Raises:
            ValueError: not an action of `ACTIONS`, or a field is missing; names the field, never its value.
            sqlite3.Error: it could not be stored, and must not be acknowledged.
        """
        rows = list(_rows(payload, project, _now()))
        with self._transaction() as connection:
            before = connection.total_changes
            connection.executemany(
                "INSERT OR IGNORE INTO event (action, project, task, annotation, at, received) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                rows,
            )
            return connection.total_changes > before

    def pending(self, limit: int = 1000) -> list[Event]:
        """The oldest events that nobody has reported done, at most `limit`."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT id, action, project, task, annotation, at, received FROM event "
                "WHERE done IS NULL ORDER BY id LIMIT ?",
                (limit,),
            ).fetchall()
        return [
            Event(
                id=number,
                action=action,
                project=project or None,
                task=task or None,
                annotation=annotation or None,
                at=datetime.fromisoformat(at) if at and (task or annotation) else None,
                received=datetime.fromisoformat(received),
            )
            for number, action, project, task, annotation, at, received in rows
        ]

    def done(self, ids: Iterable[int]) -> int:
        """Report events as dealt with; returns how many were still pending. Forgets those of old."""
        now = datetime.now(UTC)
        with self._transaction() as connection:
            before = connection.total_changes
            connection.executemany(
                "UPDATE event SET done = ? WHERE id = ? AND done IS NULL",
                [(_text(now), number) for number in ids],
            )
            changed = connection.total_changes - before
            connection.execute("DELETE FROM event WHERE done < ?", (_text(now - timedelta(KEEP_DAYS)),))
        return changed

    def counts(self) -> dict[str, int]:
        """How many events are "pending", and how many "done" ones are still known."""
        with self._lock:
            pending, done = self._connection.execute(
                "SELECT count(*) - count(done), count(done) FROM event"
            ).fetchone()
        return {"pending": pending, "done": done}

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    def __enter__(self) -> EventQueue:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()


def _rows(
    payload: Mapping[str, Any], project: int | None, received: str
) -> Iterator[tuple[str, int, int, int, str, str]]:
    action = payload.get("action")
    if action not in ACTIONS:
        raise ValueError("action: is none that the queue takes; it takes " + ", ".join(ACTIONS))
    field = ACTIONS[action]
    told = payload.get("project")
    default = _number(told.get("id"), "project.id") if isinstance(told, Mapping) else project or 0
    found = payload.get(field) or []
    items = found if isinstance(found, list) else [found]
    for index, item in enumerate(items):
        where = f"{field}[{index}]" if isinstance(found, list) else field
        if not isinstance(item, Mapping):
            raise ValueError(f"{where}: expected an object with an id")
        number = _number(item.get("id"), f"{where}.id")
        if field == "tasks":
            yield action, default, number, 0, "", received
        elif field == "annotations":
            yield action, default, 0, number, "", received
        else:
            home = default or _number(item.get("project"), f"{where}.project")
            task = _number(item.get("task"), f"{where}.task")
            yield action, home, task, number, _time(item.get("updated_at"), f"{where}.updated_at"), received
    if not items:
        yield action, default, 0, 0, received, received


def _number(value: Any, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**63:
        raise ValueError(f"{where}: expected a positive number")
    return value


def _time(value: Any, where: str) -> str:
    try:
        at = datetime.fromisoformat(value)
        return _text(at if at.tzinfo else at.replace(tzinfo=UTC))
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"{where}: expected an ISO time") from None


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _now() -> str:
    return _text(datetime.now(UTC))
