"""The SQLite file behind the feedback store: opened for one call, written durably, its troubles said."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["FeedbackStoreError", "reading", "writing"]

_VERSION = 1
_BUSY_SECONDS = 10.0
_SCHEMA = (
    """CREATE TABLE feedback (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        request_id TEXT UNIQUE,
        received TEXT NOT NULL,
        text TEXT NOT NULL,
        context TEXT NOT NULL,
        category TEXT,
        emotion TEXT,
        wrong INTEGER NOT NULL,
        said_by TEXT,
        taken TEXT,
        taken_to TEXT
    )""",
    "CREATE INDEX feedback_pending ON feedback (wrong, number) WHERE taken IS NULL",
)


class FeedbackStoreError(OSError):
    """The store cannot be read or written; the message names the file and the mend."""


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """A connection for one call, closed at its end; None where there is no file yet.

    Raises:
        FeedbackStoreError: the file cannot be used, now or in the block.
    """
    if not path.exists():
        yield None
        return
    with _connected(path) as connection:
        yield connection


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """One transaction, on the disk when the block ends; the file is made when needed, with its folder.

    Raises:
        FeedbackStoreError: nothing was written.
    """
    with _connected(path) as connection:
        before = path.stat()
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")
        # A file that was moved or removed still takes writes, which nobody would ever read.
        if not path.exists() or not os.path.samestat(before, path.stat()):
            raise FeedbackStoreError(f"{path}: was moved or removed while it was written; try again")


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    connection = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        _prepare(connection, path)
        yield connection
    except sqlite3.Error as error:
        raise FeedbackStoreError(f"{path}: {_mend(error)}") from error
    except FeedbackStoreError:
        raise
    except OSError as error:
        raise FeedbackStoreError(
            f"{path}: cannot be made ({error.strerror}); mend its folder, or set KEFU_FEEDBACK"
        ) from error
    finally:
        if connection is not None:
            connection.close()  # rolls back what was not committed


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.execute("PRAGMA synchronous = FULL")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == _VERSION:
        return
    if version:
        raise FeedbackStoreError(
            f"{path}: is of version {version}, this program writes {_VERSION}; update the program, or name "
            "another file in KEFU_FEEDBACK"
        )
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        # The change to WAL does not wait for other processes that make the same file just now.
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
    connection.execute("BEGIN IMMEDIATE")
    if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {_VERSION}")
    connection.execute("COMMIT")


def _mend(error: sqlite3.Error) -> str:
    """What went wrong with the file, and what to do; never the content of a statement."""
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
        return f"cannot be written, the disk may be full ({error}); make room, then send the feedback again"
    if name.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")):
        return f"is read-only ({error}); allow this user to write it and its folder, or set KEFU_FEEDBACK"
    if name.startswith("SQLITE_CANTOPEN"):
        return f"cannot be opened ({error}); allow this user to use its folder, or set KEFU_FEEDBACK"
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"is held by another program ({error}); end that, then send the feedback again"
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return f"is damaged or no feedback store ({error}); move it away (keep it), then send it again"
    return f"cannot be used ({error}); look at the file, or name another in KEFU_FEEDBACK"
