"""A comparison of two models as a notebook shows it: its figures as rows, its page inside a cell."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

from experiments.compare import Comparison
from experiments.paired import Difference

__all__ = ["FigureRow", "InlinePage", "RegressedClass", "figure_rows", "regressed_classes"]

_SIGNS = {1: "up", -1: "down", 0: "cannot tell"}


@dataclass(frozen=True, slots=True)
class FigureRow:
    """One figure of two models on the same test rows; `low` to `high` is the 95 % interval of b - a."""

    figure: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    change: str
    """"up", "down" or "cannot tell"."""


@dataclass(frozen=True, slots=True)
class RegressedClass:
    """A label that model b answers worse, with one message that only a had right."""

    label: str
    messages: int
    f1_a: float
    f1_b: float
    low: float
    high: float
    example: str
    b_says: str


class InlinePage:
    """A self-contained HTML page inside a notebook's cell, in a frame of its own.

    Args:
        path: of the page; it must not refer to other files.
    """

    def __init__(self, path: Path, height: int = 700) -> None:
        self.path, self.height = path, height

    def _repr_html_(self) -> str:
        page = escape(self.path.read_text(encoding="utf-8"), quote=True)
        style = f"width:100%;height:{self.height}px;border:1px solid #ccc"
        return f'<iframe srcdoc="{page}" style="{style}"></iframe>'

    def _repr_markdown_(self) -> str:
        return f"*The whole page stands here in the notebook; as a file it is `{self.path.as_posix()}`.*"


def figure_rows(found: Comparison) -> list[FigureRow]:
    """Every figure of every task."""
    return [
        FigureRow(f"{one.task} {name}", *_both(value), _SIGNS[value.sign])
        for one in found.tasks
        for name, value in one.figures.items()
    ]


def regressed_classes(found: Comparison, task: str = "category", most: int = 8) -> list[RegressedClass]:
    """The labels that lost most F1 from a to b, largest loss first."""
    one = next(part for part in found.tasks if part.task == task)
    rows = []
    for change in one.classes[:most]:
        if change.f1.value >= 0:
            break
        lost = change.broken[0] if change.broken else None
        rows.append(
            RegressedClass(
                change.label,
                change.support,
                change.f1.a,
                change.f1.b,
                change.f1.low,
                change.f1.high,
                "" if lost is None else str(found.rows[lost]["text"]),
                "" if lost is None else one.labels[int(one.answers[1][lost])],
            )
        )
    return rows


def _both(value: Difference) -> tuple[float, float, float, float, float]:
    return value.a, value.b, value.value, value.low, value.high
