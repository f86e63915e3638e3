"""The tables of the knowledge base, in one SQLite file."""

from __future__ import annotations

from data.sqlite_file import SqliteFile

__all__ = ["KNOWLEDGE_FILE", "KnowledgeStoreError"]

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


KNOWLEDGE_FILE = SqliteFile(
    _SCHEMA,
    version=1,
    error=KnowledgeStoreError,
    holds="knowledge base",
    again="import the documents again",
    elsewhere="set KEFU_KNOWLEDGE to another file",
)
