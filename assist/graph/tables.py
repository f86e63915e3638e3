"""The shop's tables: CSV files read with errors that name file, line and column.

Every table has a header; the columns must be exactly those of `COLUMNS`. A shop replaces the demo shop's
tables (data/shop_graph) by its own folder of the same form.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

__all__ = ["COLUMNS", "DEMO_SHOP", "Row", "TableError", "Tables", "read_tables"]

DEMO_SHOP = Path(__file__).resolve().parents[2] / "data" / "shop_graph"

COLUMNS: dict[str, tuple[str, ...]] = {
    "kinds": ("id", "zh", "parent", "aliases", "sets"),
    "products": ("id", "zh", "kinds", "aliases", "price"),
    "attributes": ("key", "zh", "type", "unit", "closed", "aliases"),
    "product_attributes": ("product", "attribute", "value", "note"),
    "coupons": ("id", "zh", "parent", "aliases"),
    "facts": ("key", "zh", "type", "unit", "assume", "ask", "yes_zh", "no_zh", "said_yes", "said_no"),
    "implications": ("if", "then"),
    "policies": ("id", "zh", "version", "valid_from", "valid_until"),
    "questions": ("key", "zh", "about", "favour", "asks", "categories", "yes_zh", "no_zh", "patterns"),
    "rules": (
        "id", "question", "policy", "applies_to", "with", "when", "outcome", "value", "exception_of", "text",
    ),
}  # fmt: skip
"""By table, its columns in order."""

_MAY_BE_EMPTY = {
    ("kinds", "parent"), ("kinds", "aliases"), ("kinds", "sets"), ("products", "aliases"),
    ("attributes", "unit"), ("attributes", "closed"), ("attributes", "aliases"),
    ("product_attributes", "note"), ("coupons", "parent"), ("coupons", "aliases"), ("facts", "unit"),
    ("facts", "assume"), ("facts", "yes_zh"), ("facts", "no_zh"), ("facts", "said_yes"),
    ("facts", "said_no"), ("policies", "valid_until"), ("questions", "asks"), ("questions", "categories"),
    ("questions", "patterns"), ("rules", "with"), ("rules", "when"), ("rules", "value"),
    ("rules", "exception_of"),
}  # fmt: skip
_KEY = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_LARGEST = 20_000_000
_LONGEST = 4000


class TableError(ValueError):
    """A table is wrong; the message names file, line and column."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table."""

    file: str
    line: int
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]

    def parts(self, column: str) -> list[str]:
        """The parts of a cell that `|` separates."""
        return [part.strip() for part in self.cells[column].split("|") if part.strip()]

    def fail(self, column: str, reason: str) -> NoReturn:
        """Refuse the cell.

        Raises:
            TableError: always.
        """
        raise TableError(f"{self.file}:{self.line}: {column}: {reason}")


@dataclass(frozen=True, slots=True)
class Tables:
    """All tables of a shop, each cell read but not yet compared with the others."""

    rows: Mapping[str, tuple[Row, ...]]
    version: str
    """The first 12 hexadecimal digits of the SHA-256 over all files."""

    def __getitem__(self, table: str) -> tuple[Row, ...]:
        return self.rows[table]

    def keyed(self, table: str) -> dict[str, Row]:
        """Rows by their first column."""
        first = COLUMNS[table][0]
        return {row[first]: row for row in self.rows[table]}


def read_tables(folder: Path | str = DEMO_SHOP) -> Tables:
    """Read the tables of a folder.

    Raises:
        TableError: a file is missing, not UTF-8, or has wrong columns; a cell is empty that must not be; an
            id occurs twice. Names file, line and column.
    """
    folder = Path(folder)
    digest = hashlib.sha256()
    rows: dict[str, tuple[Row, ...]] = {}
    for table, columns in COLUMNS.items():
        path = folder / f"{table}.csv"
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise TableError(
                f"{path}: cannot be read ({error.strerror}); every shop needs this table"
            ) from None
        digest.update(table.encode() + b"\0" + raw.replace(b"\r\n", b"\n") + b"\0")
        rows[table] = _read(path, table, columns, raw)
    return Tables(rows, digest.hexdigest()[:12])


def _read(path: Path, table: str, columns: tuple[str, ...], raw: bytes) -> tuple[Row, ...]:
    if len(raw) > _LARGEST:
        raise TableError(f"{path}: has {len(raw)} bytes; at most {_LARGEST} are read")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise TableError(f"{path}:{line}: not UTF-8; save the table as “CSV UTF-8”") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    found: list[Row] = []
    seen: dict[str, int] = {}
    try:
        header = next(reader, [])
        if tuple(cell.strip() for cell in header) != columns:
            wrong = _first_difference(tuple(cell.strip() for cell in header), columns)
            raise TableError(f"{path}:1: {wrong}; the columns are {', '.join(columns)}")
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            line = reader.line_num
            if len(cells) != len(columns):
                raise TableError(
                    f"{path}:{line}: {columns[min(len(cells), len(columns)) - 1]}: {len(cells)} cells where "
                    f"{len(columns)} columns are; put a cell with a comma in quotation marks"
                )
            row = Row(str(path), line, dict(zip(columns, (cell.strip() for cell in cells), strict=True)))
            _check(row, table, columns, seen)
            found.append(row)
    except csv.Error as error:
        raise TableError(f"{path}:{reader.line_num}: not CSV ({error})") from None
    return tuple(found)


def _first_difference(header: tuple[str, ...], columns: tuple[str, ...]) -> str:
    for position, column in enumerate(columns):
        if position >= len(header):
            return f"{column}: this column is missing"
        if header[position] != column:
            return f"{column}: expected this column at position {position + 1}, got {header[position]!r}"
    return f"{header[len(columns)]}: is no column of this table"


def _check(row: Row, table: str, columns: tuple[str, ...], seen: dict[str, int]) -> None:
    for column in columns:
        if not row[column] and (table, column) not in _MAY_BE_EMPTY:
            row.fail(column, "is empty")
        if len(row[column]) > _LONGEST:
            row.fail(column, f"has {len(row[column])} characters; at most {_LONGEST} are read")
    if table in ("product_attributes", "implications"):
        return
    first = columns[0]
    key = row[first]
    if not _KEY.match(key):
        row.fail(first, f"{key!r} must be a key of a-z, 0-9 and _, beginning with a letter")
    if key in seen:
        row.fail(first, f"{key!r} occurs twice; first in line {seen[key]}")
    seen[key] = row.line
