"""Import of a folder of documents, and the questions that nobody could answer: for the command line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from assist.knowledge.documents import read_folder
from assist.knowledge.store import KnowledgeStore, today

__all__ = [
    "DEFAULT_PATH",
    "DEMO_DOCUMENTS",
    "ImportReport",
    "default_path",
    "import_folder",
    "knowledge_import",
    "knowledge_unanswered",
]

DEFAULT_PATH = Path(".kefu/knowledge.sqlite")
DEMO_DOCUMENTS = Path(__file__).resolve().parents[2] / "data" / "shop_knowledge" / "documents"


@dataclass(slots=True)
class ImportReport:
    """What an import did."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    restored: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """File -> why, and the mend."""
    notes: list[str] = field(default_factory=list)
    passages: int = 0

    def lines(self) -> list[str]:
        """The report as lines for a terminal."""
        names = ("added", "changed", "restored", "unchanged", "withdrawn")
        counts = ", ".join(f"{len(getattr(self, name))} {name}" for name in names)
        return [
            f"{counts}, {len(self.refused)} refused; {self.passages} passages",
            *(f"  changed: {name}" for name in self.changed),
            *(f"  withdrawn: {name}" for name in self.withdrawn),
            *(f"  refused: {name}: {reason}" for name, reason in self.refused.items()),
            *(f"  note: {note}" for note in self.notes),
        ]


def default_path() -> Path:
    """`KEFU_KNOWLEDGE`, or `.kefu/knowledge.sqlite`."""
    return Path(os.environ.get("KEFU_KNOWLEDGE") or DEFAULT_PATH)


def import_folder(
    store: KnowledgeStore, folder: Path | str, *, on: date | None = None, prune: bool = False
) -> ImportReport:
    """Read every document of a folder and store what is new; can be repeated.

    Args:
        store: where to.
        folder: with documents (data/shop_knowledge/README.md says how they describe themselves).
        on: the day of the import; the shop's today by default.
        prune: withdraw the documents that are not in this folder any more. Nothing is withdrawn while a file
            of the folder is refused.

    Raises:
        ValueError: the folder is none, or empty.
        KnowledgeStoreError: the store cannot be written; documents before the one at fault are stored.
    """
    on = on or today()
    documents, refused = read_folder(folder)
    report = ImportReport(refused=refused)
    # Earlier versions first, so that a folder with an archive gives the history in its order.
    for document in sorted(documents, key=lambda one: (one.id, str(one.valid_from or ""), one.version)):
        outcome, version = store.put(document, on)
        getattr(report, outcome).append(f"{document.id} {version}")
        report.passages += len(document.passages)
        if version != document.version:
            report.notes.append(
                f"{document.source}: changed, but not its version {document.version!r}; kept as {version!r}"
            )
        if document.masked:
            report.notes.append(f"{document.source}: {document.masked} pieces of personal data were masked")
    if prune and not refused:
        report.withdrawn = store.withdraw((document.id for document in documents), on)
    elif prune:
        report.notes.append("nothing was withdrawn, because files were refused")
    return report


def knowledge_import(
    folder: Path | str = DEMO_DOCUMENTS, path: Path | str | None = None, *, prune: bool = False
) -> ImportReport:
    """`kefu knowledge-import`: import a folder into the store of the service."""
    return import_folder(KnowledgeStore(path or default_path()), folder, prune=prune)


def knowledge_unanswered(path: Path | str | None = None, limit: int = 50) -> Sequence[str]:
    """`kefu knowledge-unanswered`: lines "count  last day  question", the most frequent first."""
    rows = KnowledgeStore(path or default_path()).unanswered(limit)
    return [f"{row.count:5d}  {row.last[:10]}  {row.question}" for row in rows]
