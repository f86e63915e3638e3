"""A small durable store in one SQLite file: opened for one call, written whole or not at all.

In WAL mode, for any number of threads and processes of one machine. Every call opens the file anew: that
costs milliseconds, and a store heals by itself after a full disk, a file moved away, a fork. Not for a
network drive (WAL needs shared memory). Every trouble is said with its mend.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

__all__ = ["SqliteFile"]

_BUSY_SECONDS = 10.0


@dataclass(frozen=True)
class SqliteFile:
    """One kind of store; its files are named by each call.

    Attributes:
        schema: statements that make a new file.
        version: of the schema; files of another version are refused.
        error: raised for every trouble, with a message that names the file and the mend.
        holds: what the file is, in the message: "feedback store".
        again: what to do once the trouble is mended: "send the feedback again".
        elsewhere: how to name another file: "set KEFU_FEEDBACK".
    """

    schema: Sequence[str]
    version: int
    error: type[OSError]
    holds: str
    again: str
    elsewhere: str

    @contextmanager
    def reading(self, path: Path) -> Iterator[sqlite3.Connection | None]:
        """A connection for one call, closed at its end; None where there is no file yet.

        Raises:
            OSError: `error`, where the file cannot be used, now or in the block.
        """
        if not path.exists():
            yield None
            return
        with self._connected(path) as connection:
            yield connection

    @contextmanager
    def writing(self, path: Path, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """One transaction; the file is made when needed, with its folder.

        Args:
            durable: it is on the disk when the block ends. Otherwise a power cut may take the last seconds
                (never the file), which suits counters and logs.

        Raises:
            OSError: `error`; nothing was written.
        """
        with self._connected(path) as connection:
            before = path.stat()
            connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
            # A file that was moved or removed still takes writes, which nobody would ever read.
            if not path.exists() or not os.path.samestat(before, path.stat()):
                raise self.error(f"{path}: was moved or removed while it was written; {self.again}")

    @contextmanager
    def _connected(self, path: Path) -> Iterator[sqlite3.Connection]:
        connection = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
            self._prepare(connection, path)
            yield connection
        except sqlite3.Error as error:
            raise self.error(f"{path}: {self._mend(error)}") from error
        except self.error:
            raise
        except OSError as error:
            raise self.error(
                f"{path}: cannot be made ({error.strerror}); mend its folder, or {self.elsewhere}"
            ) from error
        finally:
            if connection is not None:
                connection.close()  # rolls back what was not committed

    def _prepare(self, connection: sqlite3.Connection, path: Path) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == self.version:
            return
        if version:
            raise self.error(
                f"{path}: is of version {version}, this program writes {self.version}; "
                f"update the program, or {self.elsewhere}"
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
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
            for statement in self.schema:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {self.version}")
        connection.execute("COMMIT")

    def _mend(self, error: sqlite3.Error) -> str:
        """What went wrong with the file, and what to do; never the content of a statement."""
        name = getattr(error, "sqlite_errorname", "") or ""
        if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
            return f"cannot be written, the disk may be full ({error}); make room, then {self.again}"
        if name.startswith(("SQLITE_READONLY", "SQLITE_PERM", "SQLITE_AUTH")):
            return f"is read-only ({error}); allow this user to write it and its folder, or {self.elsewhere}"
        if name.startswith("SQLITE_CANTOPEN"):
            return f"cannot be opened ({error}); allow this user to use its folder, or {self.elsewhere}"
        if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            return f"is held by another program ({error}); end that, then {self.again}"
        if name.startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
            return f"is damaged or no {self.holds} ({error}); move it away (keep it), then {self.again}"
        return f"cannot be used ({error}); look at the file, or {self.elsewhere}"
