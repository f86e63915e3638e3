"""Rows of a shop's own table, whatever program wrote it: CSV, XLSX, JSON Lines.

Nothing is repaired by guessing: a file that cannot be read is refused as a whole, a line that cannot be read
is a row with an error. Encodings are tried strictly, the rarer ones last.
"""

from __future__ import annotations

import csv
import io
import json
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["ENCODINGS", "MAX_BYTES", "MAX_ROWS", "Row", "TableFile", "read_table"]

ENCODINGS = ("utf-8", "utf-8-sig", "gb18030", "utf-16")
MAX_BYTES = 50_000_000
MAX_UNPACKED = 400_000_000
MAX_ROWS = 200_000
MAX_COLUMNS = 100
MAX_CELL = 10_000


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its cells by column, or why it cannot be read."""

    line: int
    """From 1, as an editor or a spreadsheet counts; the header is line 1."""
    cells: dict[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True)
class TableFile:
    """A file's rows and how it was read."""

    format: str
    encoding: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def read_table(path: Path | str, *, encoding: str | None = None, sheet: str | None = None) -> TableFile:
    """Read a table by the ending of its name.

    Args:
        path: a .csv (also .tsv, .txt), .xlsx or .jsonl file of at most 50 MB and 200,000 rows.
        encoding: one of `ENCODINGS`; tried in turn when None. A workbook has none.
        sheet: of a workbook; its first one when None.

    Raises:
        ValueError: names the file, and what to do: unknown ending or encoding, not a workbook, too large,
            a column that occurs twice, no rows.
    """
    source = Path(path)
    kind = {
        ".csv": "csv",
        ".tsv": "csv",
        ".txt": "csv",
        ".xlsx": "xlsx",
        ".jsonl": "jsonl",
        ".ndjson": "jsonl",
    }.get(source.suffix.lower())
    if kind is None:
        raise ValueError(f"{source.name}: expected a .csv, .xlsx or .jsonl file")
    if encoding is not None and encoding not in ENCODINGS:
        raise ValueError(f"encoding: {encoding!r} is not one of {', '.join(ENCODINGS)}")
    try:
        size = source.stat().st_size
        if size > MAX_BYTES:
            raise ValueError(f"{source.name}: has {size:,} bytes; at most {MAX_BYTES:,} are read; split it")
        raw = source.read_bytes()
    except OSError as error:
        raise ValueError(f"{source.name}: cannot be read ({error.strerror})") from error
    if kind == "xlsx":
        columns, rows = _workbook(raw, source.name, sheet)
        return _checked(TableFile(kind, "", columns, tuple(rows)), source.name)
    text, used = _decoded(raw, source.name, encoding)
    if kind == "jsonl":
        rows = list(_json_rows(text))
        columns = tuple(dict.fromkeys(name for row in rows for name in row.cells))
        return _checked(TableFile(kind, used, columns, tuple(rows)), source.name)
    columns, rows = _csv(text, source.name)
    return _checked(TableFile(kind, used, columns, tuple(rows)), source.name)


def _checked(table: TableFile, name: str) -> TableFile:
    if not table.rows:
        raise ValueError(f"{name}: holds no rows below its header")
    if len(table.rows) > MAX_ROWS:
        raise ValueError(f"{name}: has more than {MAX_ROWS:,} rows; split it")
    return table


def _decoded(raw: bytes, name: str, encoding: str | None) -> tuple[str, str]:
    if encoding is not None:
        tries: tuple[str, ...] = (encoding,)
    elif raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        tries = ("utf-16",)
    elif raw.startswith(b"\xef\xbb\xbf"):
        tries = ("utf-8-sig",)
    else:
        # Text in GB18030 is almost never valid UTF-8; the reverse is common, so UTF-8 goes first.
        tries = ("utf-8", "gb18030")
    for one in tries:
        try:
            text = raw.decode(one)
        except UnicodeError:
            continue
        if "\x00" in text:
            raise ValueError(f"{name}: holds NUL characters; it is no text file, or of another encoding")
        return text.removeprefix("\ufeff"), one
    raise ValueError(f"{name}: is not {' or '.join(tries)}; save it as UTF-8, or name its encoding")


def _header(cells: list[Any], name: str) -> list[str]:
    columns = ["" if cell is None else str(cell).strip() for cell in cells]
    while columns and not columns[-1]:
        columns.pop()
    if not any(columns):
        raise ValueError(f"{name}:1: has no header; the first line names the columns")
    if len(columns) > MAX_COLUMNS:
        raise ValueError(f"{name}:1: has {len(columns)} columns; at most {MAX_COLUMNS} are read")
    named = [column for column in columns if column]
    if twice := next((column for column in named if named.count(column) > 1), None):
        raise ValueError(f"{name}:1: column {twice!r} occurs twice; rename one")
    return columns


def _row(line: int, columns: list[str], cells: list[Any]) -> Row | None:
    values = {
        column: cell
        for column, cell in zip(columns, cells, strict=False)
        if column and cell is not None and cell != ""
    }
    if not values and not any(cell not in (None, "") for cell in cells):
        return None
    if len(cells) > len(columns) and any(cell not in (None, "") for cell in cells[len(columns) :]):
        return Row(
            line, {}, f"has {len(cells)} cells, the header has {len(columns)}; quote cells with commas"
        )
    if any(isinstance(cell, str) and len(cell) > MAX_CELL for cell in values.values()):
        return Row(line, {}, f"has a cell of more than {MAX_CELL:,} characters")
    return Row(line, values)


def _csv(text: str, name: str) -> tuple[tuple[str, ...], list[Row]]:
    first = text.split("\n", 1)[0]
    delimiter = max(",\t;", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: list[str] | None = None
    rows: list[Row] = []
    line = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            # Behind a broken quotation nothing can be told apart any more.
            raise ValueError(f"{name}:{line}: quotation marks do not match ({error})") from error
        if columns is None:
            columns = _header(list(cells), name)
        elif row := _row(line, columns, [cell.strip() for cell in cells]):
            rows.append(row)
        line = reader.line_num + 1
    if columns is None:
        raise ValueError(f"{name}: is empty")
    return tuple(column for column in columns if column), rows


def _json_rows(text: str) -> Iterator[Row]:
    # `splitlines` would also split at U+2028, which JSON allows inside a text.
    for line, raw in enumerate(text.split("\n"), 1):
        if not raw.strip():
            continue
        try:
            value = json.loads(raw)
        except (json.JSONDecodeError, RecursionError) as error:
            yield Row(line, {}, f"is not JSON ({getattr(error, 'msg', 'nested too deeply')})")
            continue
        if not isinstance(value, dict):
            yield Row(line, {}, f"expected an object, got {type(value).__name__}")
        elif len(value) > MAX_COLUMNS:
            yield Row(line, {}, f"has {len(value)} fields; at most {MAX_COLUMNS} are read")
        else:
            yield Row(line, {str(key): cell for key, cell in value.items()})


def _workbook(raw: bytes, name: str, sheet: str | None) -> tuple[tuple[str, ...], list[Row]]:
    # Imported late: only who brings a workbook needs it.
    try:
        from openpyxl import load_workbook
    except ModuleNotFoundError as error:
        raise ValueError(
            f"{name}: workbooks need openpyxl (pip install 'kefu-lab[office]'), or save it as CSV"
        ) from error
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > MAX_UNPACKED:
            raise ValueError(f"{name}: unpacks to {unpacked:,} bytes; split it")
        with warnings.catch_warnings():
            # Formatting that openpyxl does not know says nothing of the texts.
            warnings.simplefilter("ignore")
            book = load_workbook(io.BytesIO(raw), read_only=True, data_only=True)
            try:
                if sheet is not None and sheet not in book.sheetnames:
                    raise ValueError(f"sheet: {name} has no {sheet!r}; it has {', '.join(book.sheetnames)}")
                page: Any = book[sheet] if sheet is not None else book.worksheets[0]
                # The stated size of a sheet may be wrong; what is there counts.
                page.reset_dimensions()
                lines = page.iter_rows(values_only=True, max_row=MAX_ROWS + 2, max_col=MAX_COLUMNS + 1)
                columns: list[str] | None = None
                rows: list[Row] = []
                for line, cells in enumerate(lines, 1):
                    values = [_plain(cell) for cell in cells]
                    if columns is None:
                        columns = _header(values, name)
                    elif row := _row(line, columns, values):
                        rows.append(row)
            finally:
                book.close()
    except ValueError:
        raise
    except Exception as error:  # whatever a broken archive or its XML makes openpyxl raise
        raise ValueError(f"{name}: is no readable .xlsx workbook ({type(error).__name__})") from error
    if columns is None:
        raise ValueError(f"{name}: the sheet is empty")
    return tuple(column for column in columns if column), rows


def _plain(cell: Any) -> Any:
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, bool) or cell is None:
        return cell
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)
