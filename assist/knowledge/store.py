"""Documents with all their versions, their passages and vectors, what was used, and what nobody could answer.

One SQLite file (WAL) for any number of threads and processes of one machine. Nothing that was once answerable
is overwritten: a changed document becomes a new version, and a search for an earlier day finds the earlier
text.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assist.knowledge.documents import Document
from assist.knowledge.file import KNOWLEDGE_FILE
from data.pii import mask

__all__ = ["KnowledgeStore", "Stored", "Unanswered", "Used", "today"]

_SHOP_CLOCK = timezone(timedelta(hours=8))


@dataclass(frozen=True, slots=True)
class Stored:
    """One passage of one version, as it lies in the store."""

    number: int
    revision: int
    document: str
    version: str
    title: str
    kind: str
    products: tuple[str, ...]
    valid_from: date | None
    valid_until: date | None
    counts_from: date
    """First day on which this version stands for its document."""
    withdrawn_on: date | None
    headings: tuple[str, ...]
    text: str

    @property
    def section(self) -> str:
        """Headings as a path."""
        return " > ".join(self.headings)


@dataclass(frozen=True, slots=True)
class Used:
    """How often a section was shown in a search, and how often a draft rested on it."""

    document: str
    section: str
    shown: int
    answered: int
    last: str


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A question, masked, that nothing in the base answered."""

    question: str
    count: int
    first: str
    last: str
    best: float
    """Highest score that any passage got for it, 0 to 1."""


def today() -> date:
    """The day on the shop's clock (UTC+8)."""
    return datetime.now(_SHOP_CLOCK).date()


class KnowledgeStore:
    """The durable side of a knowledge base. Nothing is made on the disk before the first write.

    Args:
        path: the file; made when needed, with its folder. Not on a network drive.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def generation(self) -> int:
        """A number that grows with every change of documents; -1 where there is no file yet."""
        with KNOWLEDGE_FILE.reading(self.path) as connection:
            if connection is None:
                return -1
            return int(connection.execute("SELECT value FROM meta WHERE name = 'generation'").fetchone()[0])

    def put(self, document: Document, on: date) -> tuple[str, str]:
        """Store one version of a document.

        The version counts from its `valid_from`. A change under the same `valid_from` counts from the day of
        the import, because until then the former text was the answer.

        Args:
            on: the day of the import.

        Returns:
            ("added", "changed", "restored" or "unchanged", version under which it is stored).

        Raises:
            KnowledgeStoreError: nothing was stored.
        """
        with KNOWLEDGE_FILE.writing(self.path) as connection:
            known = connection.execute(
                "SELECT version, sha256, valid_from, counts_from FROM version WHERE document = ?",
                (document.id,),
            ).fetchall()
            for version, sha, _, _ in known:
                # What was kept as "2-r2" is known by its text, whatever name it got.
                same_text = replace(document, version=version).sha256
                if sha == document.sha256 or (sha == same_text and _renamed(version, document.version)):
                    restored = connection.execute(
                        "UPDATE document SET withdrawn_on = NULL WHERE id = ? AND withdrawn_on IS NOT NULL",
                        (document.id,),
                    ).rowcount
                    if restored:
                        _grow(connection)
                    return ("restored" if restored else "unchanged"), version
            begins = str(document.valid_from or "")
            counts_from = begins
            if any((valid_from or "") == begins for _, _, valid_from, _ in known):
                counts_from = max(begins, str(on))
            # A changed document whose version was not raised gets a name of its own.
            names, label, number = {row[0] for row in known}, document.version, 1
            while label in names:
                number += 1
                label = f"{document.version}-r{number}"
            document = replace(document, version=label)
            connection.execute(
                "INSERT INTO document VALUES (?, NULL) ON CONFLICT (id) DO UPDATE SET withdrawn_on = NULL",
                (document.id,),
            )
            revision = connection.execute(
                "INSERT INTO version (document, version, title, kind, products, valid_from, valid_until, "
                "counts_from, reviewed_on, sha256, source, recorded) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    document.id,
                    document.version,
                    document.title,
                    document.kind,
                    json.dumps(document.products, ensure_ascii=False),
                    _text(document.valid_from),
                    _text(document.valid_until),
                    counts_from,
                    _text(document.reviewed_on),
                    document.sha256,
                    document.source,
                    _now(),
                ),
            ).lastrowid
            connection.executemany(
                "INSERT INTO passage (revision, headings, text) VALUES (?, ?, ?)",
                [
                    (revision, json.dumps(passage.headings, ensure_ascii=False), passage.text)
                    for passage in document.passages
                ],
            )
            _grow(connection)
        return ("changed" if known else "added"), document.version

    def withdraw(self, keep: Iterable[str], on: date) -> list[str]:
        """Withdraw every document that is not in `keep` from the day `on`; earlier days still find it.

        Returns:
            Ids of the documents withdrawn now.
        """
        kept = set(keep)
        with KNOWLEDGE_FILE.writing(self.path) as connection:
            rows = connection.execute("SELECT id FROM document WHERE withdrawn_on IS NULL").fetchall()
            gone = sorted(identity for (identity,) in rows if identity not in kept)
            connection.executemany(
                "UPDATE document SET withdrawn_on = ? WHERE id = ?",
                [(str(on), identity) for identity in gone],
            )
            if gone:
                _grow(connection)
        return gone

    def passages(self) -> list[Stored]:
        """Every passage of every version, in the order of import."""
        with KNOWLEDGE_FILE.reading(self.path) as connection:
            if connection is None:
                return []
            rows = connection.execute(
                "SELECT p.number, v.revision, v.document, v.version, v.title, v.kind, v.products, "
                "v.valid_from, v.valid_until, v.counts_from, d.withdrawn_on, p.headings, p.text "
                "FROM passage p JOIN version v ON v.revision = p.revision "
                "JOIN document d ON d.id = v.document ORDER BY p.number"
            ).fetchall()
        return [
            Stored(
                number=row[0],
                revision=row[1],
                document=row[2],
                version=row[3],
                title=row[4],
                kind=row[5],
                products=tuple(json.loads(row[6])),
                valid_from=_day(row[7]),
                valid_until=_day(row[8]),
                counts_from=_day(row[9]) or date.min,
                withdrawn_on=_day(row[10]),
                headings=tuple(json.loads(row[11])),
                text=row[12],
            )
            for row in rows
        ]

    def vectors(self, encoder: str) -> dict[int, NDArray[np.float32]]:
        """Passage number -> unit vector, as stored for this encoder."""
        with KNOWLEDGE_FILE.reading(self.path) as connection:
            if connection is None:
                return {}
            rows = connection.execute("SELECT passage, vector FROM vector WHERE encoder = ?", (encoder,))
            return {number: np.frombuffer(blob, dtype="<f4") for number, blob in rows}

    def put_vectors(self, encoder: str, numbers: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """Keep vectors (len(numbers), width) of an encoder; those of passages that have one are replaced."""
        rows = [
            (number, encoder, row.astype("<f4").tobytes())
            for number, row in zip(numbers, np.asarray(vectors), strict=True)
        ]
        with KNOWLEDGE_FILE.writing(self.path) as connection:
            connection.executemany("INSERT OR REPLACE INTO vector VALUES (?, ?, ?)", rows)

    def count(self, sections: Iterable[tuple[str, str]], *, answered: bool) -> None:
        """Note that these (document, section) were shown, or that a draft rested on them."""
        column = "answered" if answered else "shown"
        with KNOWLEDGE_FILE.writing(self.path, durable=False) as connection:
            connection.executemany(
                f"INSERT INTO usage (document, section, {column}, last) VALUES (?, ?, 1, ?) "
                "ON CONFLICT (document, section) "
                f"DO UPDATE SET {column} = {column} + 1, last = excluded.last",
                [(document, section, _now()) for document, section in sections],
            )

    def usage(self) -> list[Used]:
        """Sections by use, the most used first."""
        with KNOWLEDGE_FILE.reading(self.path) as connection:
            if connection is None:
                return []
            rows = connection.execute(
                "SELECT document, section, shown, answered, last FROM usage "
                "ORDER BY answered DESC, shown DESC, document, section"
            ).fetchall()
        return [Used(*row) for row in rows]

    def miss(self, same: str, question: str, best: float) -> None:
        """Keep a question that nothing answered; it is masked here.

        Args:
            same: what questions of one wish have in common (masked here as well).
            question: as it was asked; the first wording of a wish is kept.
            best: highest score of a passage.
        """
        now = _now()
        with KNOWLEDGE_FILE.writing(self.path) as connection:
            connection.execute(
                "INSERT INTO unanswered VALUES (?, ?, 1, ?, ?, ?) ON CONFLICT (same) DO UPDATE SET "
                "count = count + 1, last = excluded.last, best = max(best, excluded.best)",
                (mask(same), mask(question), now, now, best),
            )

    def unanswered(self, limit: int = 100) -> list[Unanswered]:
        """Questions that nobody could answer: the most frequent first, then the latest."""
        with KNOWLEDGE_FILE.reading(self.path) as connection:
            if connection is None:
                return []
            rows = connection.execute(
                "SELECT question, count, first, last, best FROM unanswered "
                "ORDER BY count DESC, last DESC LIMIT ?",
                (limit,),
            ).fetchall()
        return [Unanswered(*row) for row in rows]

    def settle(self, question: str) -> bool:
        """Take a question off the list, because a document answers it now."""
        with KNOWLEDGE_FILE.writing(self.path) as connection:
            return connection.execute("DELETE FROM unanswered WHERE question = ?", (question,)).rowcount > 0


def _renamed(version: str, of: str) -> bool:
    return version.startswith(f"{of}-r")


def _grow(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'generation'")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _text(value: date | None) -> str | None:
    return None if value is None else str(value)


def _day(value: str | None) -> date | None:
    return date.fromisoformat(value) if value else None
