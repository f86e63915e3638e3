"""Cells and tables of an Excel file: no text becomes a formula, headers stay in sight, columns fit.

Needs openpyxl, which is imported where a cell is written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "ONE",
    "SHARE",
    "SIGNED",
    "UNITS",
    "WHOLE",
    "Column",
    "form_of",
    "harmless",
    "put",
    "sheet_of",
    "width_of",
]

_LONGEST = 2000
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
# What a spreadsheet, or the CSV file saved from it, would take for a formula; some locales read full width.
_FORMULA = re.compile(r"[\s\u200b-\u200f\ufeff\"']*[=+\-@|%＝＋－＠｜％]|[\t\r\n]")
SHARE, ONE, WHOLE, SIGNED = "0.0%", "0.0", "#,##0", "+0.0%;-0.0%;0.0%"
"""Number formats."""
UNITS = {"count": "", "share": "占比", "seconds": "秒", "minutes": "分钟", "score": "分"}
"""What stands behind a figure."""
_WIDTHS = (8, 60)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: heading, number format, and a width where it is not that of its content."""

    name: str
    form: str | None = None
    width: float | None = None


def harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula: one that looks like it gets an apostrophe before it.

    OWASP, "CSV Injection"; also what XML cannot hold is taken out, and very long texts are cut.
    """
    plain = _CONTROL.sub("", text)
    plain = plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"
    return f"'{plain}" if _FORMULA.match(plain) else plain


def put(sheet: Any, row: int, column: int, value: Any, form: str | None = None) -> Any:
    """Write a cell, texts as harmless texts; returns it."""
    from openpyxl.styles import Alignment

    cell = sheet.cell(row, column)
    if isinstance(value, str):
        cell.value = harmless(value)
        # openpyxl would make a formula of "=…": the type is said, not guessed.
        cell.data_type = "s"
        cell.alignment = Alignment(vertical="top", wrap_text=len(value) > 20)
    else:
        cell.value = value
        cell.alignment = Alignment(vertical="top")
        if form and value is not None:
            cell.number_format = form
    return cell


def sheet_of(sheet: Any, columns: Sequence[Column], rows: Sequence[Sequence[Any]], top: int = 1) -> None:
    """A table with a coloured header that stays in sight, a filter, and columns as wide as their content."""
    from openpyxl.styles import Alignment, Font, PatternFill
    from openpyxl.utils import get_column_letter

    for place, column in enumerate(columns, 1):
        cell = put(sheet, top, place, column.name)
        cell.font = Font(bold=True, color="FFFFFF")
        cell.fill = PatternFill("solid", fgColor="1D4E89")
        cell.alignment = Alignment(vertical="center", wrap_text=True)
        longest = max([width_of(column.name) + 3, *(width_of(row[place - 1], column.form) for row in rows)])
        wide = column.width or min(max(longest + 2, _WIDTHS[0]), _WIDTHS[1])
        letter = get_column_letter(place)
        sheet.column_dimensions[letter].width = max(
            wide, sheet.column_dimensions[letter].width if top > 1 else 0
        )
    for number, row in enumerate(rows, top + 1):
        for place, (column, value) in enumerate(zip(columns, row, strict=True), 1):
            put(sheet, number, place, value, column.form)
    if top == 1:
        sheet.freeze_panes = "B2"
        sheet.auto_filter.ref = f"A1:{get_column_letter(len(columns))}{len(rows) + 1}"
    sheet.sheet_view.zoomScale = 110


def width_of(value: Any, form: str | None = None) -> float:
    """Width in characters of Latin script; a Chinese one takes two."""
    if value is None:
        return 0
    if not isinstance(value, str):
        return 8 if form else len(str(value))
    return sum(2 if ord(char) > 0x2E80 else 1 for char in value)


def form_of(unit: str) -> str:
    """Number format of a figure's unit."""
    return {"share": SHARE, "count": WHOLE}.get(unit, ONE)
