"""Tables as values: rows in, Markdown out, which notebooks show and repository pages render alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

__all__ = ["Table"]


class Table:
    """Rows to look at; a notebook shows them as a table.

    Args:
        rows: mappings or dataclasses, all of one shape.
        columns: which fields to show, in this order, and (given as a mapping) their headings; all if left
            out.
        most: show only the first so many; the rest is counted below.
    """

    def __init__(
        self,
        rows: Iterable[Any],
        columns: Iterable[str] | Mapping[str, str] | None = None,
        most: int | None = None,
    ) -> None:
        every = [_as_mapping(row) for row in rows]
        names = list(every[0]) if columns is None and every else list(columns or ())
        headings = columns if isinstance(columns, Mapping) else {name: name for name in names}
        self.headings = [headings[name].replace("_", " ") for name in names]
        self.rows = [[_shown(row[name]) for name in names] for row in every[:most]]
        self.numeric = [bool(every) and _is_number(every[0][name]) for name in names]
        self.left_out = len(every) - len(self.rows)

    def _repr_markdown_(self) -> str:
        if not self.rows:
            return "*no rows*"
        lines = ["| " + " | ".join(self.headings) + " |"]
        lines.append("|" + "|".join("---:" if number else "---" for number in self.numeric) + "|")
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        if self.left_out:
            lines += ["", f"… and {self.left_out} more."]
        return "\n".join(lines) + "\n"

    def __str__(self) -> str:
        return self._repr_markdown_()

    __repr__ = __str__


def _as_mapping(row: Any) -> Mapping[str, Any]:
    if is_dataclass(row):
        return {item.name: getattr(row, item.name) for item in fields(row)}
    if not isinstance(row, Mapping):
        raise TypeError(f"rows: expected mappings or dataclasses, got {type(row).__name__}")
    return row


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.0f}" if value.is_integer() and abs(value) >= 2 else f"{value:.3g}"
    text = " ".join(str(value).split())
    for mark in ("\\", "|", "*", "_", "<", "`", "~", "["):
        text = text.replace(mark, "\\" + mark)
    return text
