"""A user's own table: CSV, TSV, JSON Lines, Parquet or XLSX, with the columns named.

Files are read in batches; of a large one no more than a batch is ever held as Python objects.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from data.sources.cells import context_of, word
from data.sources.rows import Rows, collect, schema

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FORMATS", "Columns", "open_bytes", "read_file", "table_rows"]

FORMATS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".xlsx")
_CHUNK = 4096
Batch = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column holds what."""

    text: str = "text"
    label: str = "label"
    context: str | None = None
    """Turns before the text: a list of `{"role", "text"}` or of texts, or one text with a line for each turn
    (`data.sources.cells.context_of`)."""
    group: str | None = None
    """Rows of one value (a conversation, a customer) never fall into both training and validation."""

    def __post_init__(self) -> None:
        taken = [column for column in (self.text, self.label, self.context) if column]
        if len(set(taken)) != len(taken):
            raise ValueError(f"columns: text, label and context must be different columns, got {taken}")

    def named(self) -> dict[str, str]:
        """Role to column, of those that are named."""
        pairs = {"text": self.text, "label": self.label, "context": self.context, "group": self.group}
        return {role: column for role, column in pairs.items() if column}


def read_file(
    path: Path | str,
    columns: Columns | None = None,
    *,
    encoding: str = "utf-8",
    sheet: str | None = None,
    skip_empty: bool = False,
    in_memory: int | None = None,
) -> Rows:
    """Read a labelled table.

    Args:
        columns: `text` and `label` by default.
        encoding: of CSV, TSV and JSON Lines.
        sheet: of XLSX; the first by default.
        skip_empty: leave out rows without text or label instead of refusing the file.
        in_memory: as in `collect`.

    Raises:
        ValueError: the file is missing, of another format or broken, lacks a column (names those there are),
            holds bytes that are not of `encoding` (names the line), or a row without text or label.
    """
    path, columns = Path(path), columns or Columns()
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    kind = next((end for end in reversed(path.suffixes) if end.lower() != ".gz"), "").lower()
    if kind not in FORMATS:
        raise ValueError(
            f"{path}: {kind or 'no ending'!r} is none of {', '.join(FORMATS)} (or .csv.gz, .jsonl.gz)"
        )
    if kind in (".csv", ".tsv"):
        batches = _separated(path, columns, encoding, "\t" if kind == ".tsv" else ",")
    elif kind == ".parquet":
        batches = _parquet(path, columns)
    elif kind == ".xlsx":
        batches = _workbook(path, columns, sheet)
    else:
        batches = _json_lines(path, columns, encoding)
    return table_rows(batches, columns, str(path), skip_empty, in_memory)


def table_rows(
    batches: Iterator[Batch],
    columns: Columns,
    name: str,
    skip_empty: bool = False,
    in_memory: int | None = None,
) -> Rows:
    """Rows of batches of columns, each a mapping of column name to its values.

    Raises:
        ValueError: a row without text or label, a value that is none, no rows at all.
    """
    return collect(_checked(batches, columns, name, skip_empty), name, in_memory)


def _checked(batches: Iterator[Batch], columns: Columns, name: str, skip: bool) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    fields = schema()
    roles = list(columns.named().items())
    number = 0
    for batch in batches:
        kept: dict[str, list[Any]] = {field.name: [] for field in fields}
        for values in zip(*(batch[column] for _, column in roles), strict=True):
            number += 1
            row: dict[str, Any] = {"group": None, "context": None}
            empty = None
            for (role, column), value in zip(roles, values, strict=True):
                if role == "context":
                    row[role] = context_of(value, f"{name}: row {number}: {column}")
                    continue
                said = (
                    value.strip()
                    if isinstance(value, str)
                    else word(value, f"{name}: row {number}: {column}")
                )
                # A text stays as it stands, with its spaces: predictions are laid beside the user's own file.
                row[role] = value if role == "text" and said and isinstance(value, str) else said or None
                if not said and role != "group":
                    empty = f"{name}: row {number}: {column}"
            if empty is None:
                for field, cells in kept.items():
                    cells.append(row[field])
            elif not skip:
                raise ValueError(
                    f"{empty}: is empty; fill it in, or leave such rows out with skip_empty (--skip-empty)"
                )
        if kept["text"]:
            try:
                arrays = [pa.array(kept[field.name], field.type) for field in fields]
            except UnicodeEncodeError as error:
                raise ValueError(
                    f"{name}: rows up to {number}: half of a surrogate pair ({error})"
                ) from error
            yield pa.RecordBatch.from_arrays(arrays, schema=fields)


def _require(columns: Columns, there: Sequence[Any], name: Path | str) -> None:
    """Raises ValueError where a named column is missing or stands twice."""
    for role, column in columns.named().items():
        count = list(there).count(column)
        if count != 1:
            problem = "there is no such column" if not count else f"{count} columns have this name"
            shown = ", ".join(str(one) for one in there if one is not None)
            raise ValueError(f"{name}: {role} column {column!r}: {problem}; there are: {shown}")


def open_bytes(path: Path) -> IO[bytes]:
    """A file for reading bytes, unpacked where it ends in `.gz`."""
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def _lines(path: Path, encoding: str) -> Iterator[str]:
    """Decoded lines with their ends. Raises ValueError with the line where bytes are of another encoding."""
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise ValueError(f"{path}: encoding {encoding!r} is unknown; try utf-8 or gb18030") from None
    if encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        encoding = "utf-8-sig"
    if encoding.lower().startswith(("utf-16", "utf16", "utf-32", "utf32")):
        raise ValueError(f"{path}: {encoding} is not read line by line; save the file as UTF-8")
    with open_bytes(path) as handle:
        try:
            for number, raw in enumerate(handle, 1):
                try:
                    yield raw.decode(encoding if number == 1 or encoding != "utf-8-sig" else "utf-8")
                except UnicodeDecodeError as error:
                    raise ValueError(
                        f"{path}: line {number}: bytes that are not {encoding.removesuffix('-sig')} "
                        f"({error.reason}); name the file's encoding, e.g. gb18030, or save it as UTF-8"
                    ) from error
        except (gzip.BadGzipFile, EOFError) as error:
            raise ValueError(f"{path}: not a whole gzip file ({error})") from error


def _separated(path: Path, columns: Columns, encoding: str, mark: str) -> Iterator[Batch]:
    reader = csv.reader(_lines(path, encoding), delimiter=mark, strict=True)
    csv.field_size_limit(2**24)
    try:
        header = next(reader, None)
        if not header:
            raise ValueError(f"{path}: is empty; its first line must name the columns")
        _require(columns, header, path)
        places = {column: header.index(column) for column in columns.named().values()}
        batch: dict[str, list[str]] = {column: [] for column in places}
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise ValueError(
                    f"{path}: line {reader.line_num}: {len(row)} fields, but the header has {len(header)}; "
                    f"put fields that contain {mark!r} in double quotes"
                )
            for column, place in places.items():
                batch[column].append(row[place])
            if len(batch[columns.text]) == _CHUNK:
                yield batch
                batch = {column: [] for column in places}
    except csv.Error as error:
        raise ValueError(f"{path}: line {reader.line_num}: {error}") from error
    yield batch


def _json_lines(path: Path, columns: Columns, encoding: str) -> Iterator[Batch]:
    names = list(dict.fromkeys(columns.named().values()))
    batch: dict[str, list[Any]] = {name: [] for name in names}
    known = False
    for number, line in enumerate(_lines(path, encoding), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}: line {number}: not JSON ({error.msg})") from error
        if not isinstance(row, dict):
            raise ValueError(f"{path}: line {number}: expected an object, got {type(row).__name__}")
        if not known:
            _require(columns, list(row), path)
            known = True
        for name in names:
            batch[name].append(row.get(name))
        if len(batch[names[0]]) == _CHUNK:
            yield batch
            batch = {name: [] for name in names}
    yield batch


def _parquet(path: Path, columns: Columns) -> Iterator[Batch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path}: not a Parquet file ({error})") from error
    _require(columns, file.schema_arrow.names, path)
    names = list(dict.fromkeys(columns.named().values()))
    with file:
        for batch in file.iter_batches(_CHUNK, columns=names):
            yield {name: batch.column(name).to_pylist() for name in names}


def _workbook(path: Path, columns: Columns, sheet: str | None) -> Iterator[Batch]:
    from zipfile import BadZipFile

    from openpyxl import load_workbook

    try:
        book = load_workbook(io.BytesIO(path.read_bytes()), read_only=True, data_only=True)
    except (BadZipFile, KeyError, OSError, ValueError) as error:
        raise ValueError(f"{path}: not an XLSX workbook ({error})") from error
    if sheet is not None and sheet not in book.sheetnames:
        raise ValueError(f"{path}: there is no sheet {sheet!r}; there are: {', '.join(book.sheetnames)}")
    rows = (book[sheet] if sheet else book.worksheets[0]).iter_rows(values_only=True)
    header = next(rows, None)
    if not header:
        raise ValueError(f"{path}: is empty; its first row must name the columns")
    _require(columns, header, path)
    places = {column: header.index(column) for column in columns.named().values()}
    batch: dict[str, list[Any]] = {column: [] for column in places}
    for row in rows:
        if all(value is None for value in row):
            continue
        for column, place in places.items():
            batch[column].append(row[place] if place < len(row) else None)
        if len(batch[columns.text]) == _CHUNK:
            yield batch
            batch = {column: [] for column in places}
    yield batch
