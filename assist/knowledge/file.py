"""The SQLite file behind the knowledge base: opened for one call, written durably, its troubles said."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["KnowledgeStoreError", "reading", "writing"]

_VERSION = 1
_BUSY_SECONDS = 10.0
_SCHEMA = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL)",
    "INSERT INTO meta VALUES ('generation', 0)",
    "CREATE TABLE document (id TEXT PRIMARY KEY, withdrawn_on TEXT)",
    """CREATE TABLE version (
        revision INTEGER PRIMARY KEY AUTOINCREMENT,
        document TEXT NOT NULL REFERENCES document (id),
        version TEXT NOT NULL,
        title TEXT NOT NULL,
        kind TEXT NOT NULL,
        products TEXT NOT NULL,
        valid_from TEXT,
        valid_until TEXT,
        counts_from TEXT NOT NULL,
        reviewed_on TEXT,
        sha256 TEXT NOT NULL,
        source TEXT NOT NULL,
        recorded TEXT NOT NULL,
        UNIQUE (document, version)
    )""",
    """CREATE TABLE passage (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        revision INTEGER NOT NULL REFERENCES version (revision),
        headings TEXT NOT NULL,
        text TEXT NOT NULL
    )""",
    "CREATE INDEX passage_revision ON passage (revision)",
    """CREATE TABLE vector (
        passage INTEGER NOT NULL REFERENCES passage (number),
        encoder TEXT NOT NULL,
        vector BLOB NOT NULL,
        PRIMARY KEY (passage, encoder)
    ) WITHOUT ROWID""",
    """CREATE TABLE usage (
        document TEXT NOT NULL,
        section TEXT NOT NULL,
        shown INTEGER NOT NULL DEFAULT 0,
        answered INTEGER NOT NULL DEFAULT 0,
        last TEXT NOT NULL,
        PRIMARY KEY (document, section)
    ) WITHOUT ROWID""",
    """CREATE TABLE unanswered (
        same TEXT PRIMARY KEY,
        question TEXT NOT NULL,
        count INTEGER NOT NULL,
        first TEXT NOT NULL,
        last TEXT NOT NULL,
        best REAL NOT NULL
    ) WITHOUT ROWID""",
)


class KnowledgeStoreError(OSError):
    """The store cannot be read or written; the message names the file and the mend."""


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection | None]:
    """A connection for one call, closed at its end; None where there is no file yet.

    Raises:
        KnowledgeStoreError: the file cannot be used, now or in the block.
    """
    if not path.exists():
        yield None
        return
    with _connected(path) as connection:
        yield connection


@contextmanager
def writing(path: Path, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
    """One transaction; the file is made when needed, with its folder.

    Args:
        durable: it is on the disk when the block ends. Otherwise a power cut may take the last seconds (never
            the file), which suits counters.

    Raises:
        KnowledgeStoreError: nothing was written.
    """
    with _connected(path) as connection:
        before = path.stat()
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")
        # A file that was moved or removed still takes writes, which nobody would ever read.
        if not path.exists() or not os.path.samestat(before, path.stat()):
            raise KnowledgeStoreError(f"{path}: was moved or removed while it was written; try again")


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    connection = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        _prepare(connection, path)
        yield connection
    except sqlite3.Error as error:
        raise KnowledgeStoreError(f"{path}: {_mend(error)}") from error
    except KnowledgeStoreError:
        raise
    except OSError as error:
        raise KnowledgeStoreError(f"{path}: cannot be made ({error.strerror}); mend its folder") from error
    finally:
        if connection is not None:
            connection.close()  # rolls back what was not committed


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == _VERSION:
        return
    if version:
        raise KnowledgeStoreError(
            f"{path}: is of version {version}, this program writes {_VERSION}; update the program, or import "
            "the documents into another file"
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
        return f"cannot be written, the disk may be full ({error}); make room, then try again"
    if name.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")):
        return f"is read-only ({error}); allow this user to write it and its folder"
    if name.startswith("SQLITE_CANTOPEN"):
        return f"cannot be opened ({error}); allow this user to use its folder"
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return f"is held by another program ({error}); end that, then try again"
    if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return f"is damaged or no knowledge base ({error}); move it away and import the documents again"
    return f"cannot be used ({error}); look at the file"
