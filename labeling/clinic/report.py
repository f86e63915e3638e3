"""What the clinic suggests, for a program, the terminal and a page."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.files import atomic_write, write_json
from labeling.clinic.pairs import Evidence, PairRules
from labeling.clinic.split import SplitRules

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["KINDS", "CaseText", "ClinicReport", "Side", "Suggestion", "print_clinic", "write_clinic"]

KINDS = {"merge": "合并", "split": "拆分", "clarify": "说清界线"}


@dataclass(frozen=True, slots=True)
class CaseText:
    """One message as evidence."""

    text: str
    """Masked."""
    people: dict[str, int]
    """Category to how many people gave it."""
    model: str | None
    """The model's most probable category."""
    probability: float | None


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two sides of a suggestion: a category of a pair, or a half of a category."""

    title: str
    """In Chinese."""
    messages: int
    """Confused messages on this side of a pair; all messages of a half."""
    neighbours: tuple[tuple[str, int], ...]
    """Halves: the model's commonest next best categories, and for how many messages."""
    examples: tuple[CaseText, ...]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One thing that the owner of the schema may want to change."""

    kind: str
    """`merge`, `split` or `clarify`."""
    categories: tuple[str, ...]
    zh: tuple[str, ...]
    reason: str
    """In Chinese, with the counts."""
    people: Evidence | None
    """None where no message got two answers; for a split as well."""
    model: Evidence | None
    boundaries: tuple[str, ...]
    """What the schema says now: rules of both categories, or else their definitions."""
    sides: tuple[Side, Side]
    split: dict[str, float] | None = None
    """Of a split: stability, p, difference, messages, undecided (share of the messages)."""


@dataclass(frozen=True)
class ClinicReport:
    """What was looked at, and what came of it."""

    messages: int
    """With a category from people."""
    twice: int
    """… from two people or more."""
    with_model: int
    with_vectors: int
    suggestions: tuple[Suggestion, ...]
    notes: tuple[str, ...]
    """What could not be asked, in Chinese."""
    zh: dict[str, str]
    """Category keys to names."""
    pair_rules: PairRules = field(default_factory=PairRules)
    split_rules: SplitRules = field(default_factory=SplitRules)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def print_clinic(report: ClinicReport, console: Console) -> None:
    """Show the suggestions in the terminal."""
    from rich.box import ASCII
    from rich.markup import escape
    from rich.table import Table

    # ASCII lines: the box characters of Chinese fonts are two columns wide.
    table = Table(title=f"clinic: {report.messages} messages, {report.twice} with two answers", box=ASCII)
    for name in ("suggestion", "categories", "people", "model", "why"):
        table.add_column(name)
    for one in report.suggestions:
        named = "\n".join(f"{zh} {key}" for key, zh in zip(one.categories, one.zh, strict=True))
        table.add_row(one.kind, escape(named), _counts(one.people), _counts(one.model), escape(one.reason))
    console.print(table)
    for note in report.notes:
        console.print(note, markup=False, highlight=False)


def _counts(evidence: Evidence | None) -> str:
    if evidence is None or not evidence.messages:
        return ""
    return f"{evidence.confused} of {evidence.messages}\n{evidence.distinguishability:.2f} apart"


def write_clinic(report: ClinicReport, folder: Path) -> None:
    """Write `clinic.json` and `clinic.html` (needs no other file)."""
    from labeling.clinic.page import clinic_page

    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "clinic.json", report.as_dict())
    with atomic_write(folder / "clinic.html") as handle:
        handle.write(clinic_page(report))
