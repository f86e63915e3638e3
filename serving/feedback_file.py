"""The tables of the feedback store, in one SQLite file."""

from __future__ import annotations

from data.sqlite_file import SqliteFile

__all__ = ["FEEDBACK_FILE", "FeedbackStoreError"]

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


FEEDBACK_FILE = SqliteFile(
    _SCHEMA,
    version=1,
    error=FeedbackStoreError,
    holds="feedback store",
    again="send the feedback again",
    elsewhere="set KEFU_FEEDBACK to another file",
)
