"""A shop's own scripts, from a CSV, XLSX or JSON Lines file into a durable library file.

    python -m assist.scripts.importing 话术.xlsx .kefu/scripts/own.jsonl --text-column 内容

Every row is checked like the shipped library: fields, slots, words an agent must not write, another part's
words, personal data, texts that are there already. What is refused is listed with line, field and reason;
what is accepted is written at once or not at all.
"""

from __future__ import annotations

import argparse
import fcntl
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console
from rich.table import Table

from assist.scripts.importing_rows import COLUMNS, RowError, map_columns, row_to_script
from assist.scripts.importing_tables import ENCODINGS, read_table
from assist.scripts.library import KINDS, TONES, Library, Script, fingerprint, load_library, parse_script
from data.files import read_jsonl, sha256_file, write_json, write_jsonl
from data.taxonomy import Taxonomy, load_taxonomy

__all__ = ["ImportReport", "Refusal", "import_scripts", "main"]

MAX_REFUSALS = 1000
_Name = Field(max_length=200)


class Refusal(BaseModel):
    """One row, or one field of it, that was not taken."""

    model_config = ConfigDict(extra="forbid")
    line: int
    """In the file, from 1; the header of a table is line 1."""
    field: str
    reason: str


class ImportReport(BaseModel):
    """What became of a file."""

    model_config = ConfigDict(extra="forbid")
    source: str = _Name
    sha256: str
    format: str
    encoding: str
    rows: int
    accepted: int
    """Written now."""
    unchanged: int
    """Were in the target already."""
    refused: int
    refusals: list[Refusal]
    """The first 1000, by line."""
    refused_by_field: dict[str, int]
    ignored_columns: list[str]
    """Columns that no field is read from."""
    target: str
    total: int
    """Rows of the target now."""


def import_scripts(
    source: Path | str,
    target: Path | str,
    *,
    columns: Mapping[str, str] | None = None,
    kind: str = "solution",
    category: str | None = None,
    tone: str = "warm",
    encoding: str | None = None,
    sheet: str | None = None,
    keep: bool = True,
    library: Library | None = None,
    taxonomy: Taxonomy | None = None,
) -> ImportReport:
    """Take a shop's scripts in; the target is replaced in one step after all rows were read.

    Args:
        source: a .csv, .xlsx or .jsonl file.
        target: the library file (JSON Lines) that `load_library(own=…)` reads; made if missing.
        columns: field of a script to the column that holds it; others are known by name (`COLUMNS`).
        kind, category, tone: of rows that do not say.
        encoding, sheet: as in `read_table`.
        keep: rows of the target stay; otherwise it holds this file's only.
        library: against whose texts duplicates are refused; the shipped one when None.
        taxonomy: the label schema; the embedded one when None.

    Raises:
        ValueError: the file cannot be read as a whole, a mapped column is missing, an argument is unknown.
    """
    taxonomy = taxonomy or load_taxonomy()
    _check_arguments(columns, kind, category, tone, taxonomy)
    table = read_table(source, encoding=encoding, sheet=sheet)
    mapping = map_columns(table, columns or {}, Path(source).name)
    goal = Path(target)
    shipped = (library or load_library(taxonomy=taxonomy)).scripts
    defaults = {"kind": kind, "category": category, "tone": tone}
    with _alone(goal):
        kept = _existing(goal, taxonomy) if keep and goal.exists() else {}
        taken = {(one.kind, fingerprint(one.text)): f"script {one.id} of the library" for one in shipped}
        ids = {one.id for one in shipped}
        own_texts = {(one.kind, fingerprint(one.text)): one.id for one in kept.values()}
        accepted: list[Script] = []
        refusals: list[Refusal] = []
        unchanged = 0
        for row in table.rows:
            try:
                script = row_to_script(row, mapping, defaults, taxonomy)
                same = (script.kind, fingerprint(script.text))
                if same in own_texts:
                    unchanged += 1
                    continue
                if same in taken:
                    raise RowError("text", f"is the text of {taken[same]}")
                if script.id in ids or script.id in kept:
                    raise RowError("id", f"{script.id!r} is taken by another text")
            except RowError as error:
                refusals.append(Refusal(line=row.line, field=error.field, reason=error.reason))
                continue
            taken[same] = f"line {row.line}"
            ids.add(script.id)
            accepted.append(script)
        rows = [_as_row(script) for script in (*kept.values(), *accepted)]
        if accepted or not keep:
            write_jsonl(goal, rows)
    used = set(mapping.values())
    return ImportReport(
        source=Path(source).name[:200],
        sha256=sha256_file(source),
        format=table.format,
        encoding=table.encoding,
        rows=len(table.rows),
        accepted=len(accepted),
        unchanged=unchanged,
        refused=len(refusals),
        refusals=refusals[:MAX_REFUSALS],
        refused_by_field=dict(Counter(one.field for one in refusals).most_common()),
        ignored_columns=[column[:200] for column in table.columns if column not in used],
        target=str(goal),
        total=len(rows),
    )


def _check_arguments(
    columns: Mapping[str, str] | None, kind: str, category: str | None, tone: str, taxonomy: Taxonomy
) -> None:
    if unknown := sorted(set(columns or {}) - set(COLUMNS)):
        raise ValueError(f"columns.{unknown[0]}: is unknown; known are {', '.join(COLUMNS)}")
    if kind not in KINDS:
        raise ValueError(f"kind: {kind!r} is not one of {', '.join(KINDS)}")
    if tone not in TONES:
        raise ValueError(f"tone: {tone!r} is not one of {', '.join(TONES)}")
    if category is not None and category not in taxonomy.category:
        raise ValueError(f"category: {category!r} is no category of the label schema")


def _existing(target: Path, taxonomy: Taxonomy) -> dict[str, Script]:
    kept = {}
    for number, row in read_jsonl(target):
        script = parse_script(row, str(row.get("kind")), taxonomy, f"{target}:{number}")
        kept[script.id] = script
    return kept


def _as_row(script: Script) -> dict[str, Any]:
    row: dict[str, Any] = {"id": script.id, "kind": script.kind, "tone": script.tone, "text": script.text}
    row["note"] = script.note
    if script.kind == "solution":
        return row | {"category": script.category, "when": list(script.when)}
    row["alerts"] = list(script.alerts)
    if script.kind == "soothing":
        return row | {"method": script.method, "step": script.step, "emotions": list(script.emotions)}
    return row | {"after": list(script.after)}


@contextmanager
def _alone(target: Path) -> Iterator[None]:
    """One import at a time for a target: the second one sees what the first has written."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with (target.parent / f".{target.name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _print(report: ImportReport, console: Console, shown: int) -> None:
    counts = Table("rows", "accepted", "unchanged", "refused", "in the library")
    counts.add_row(
        *(str(n) for n in (report.rows, report.accepted, report.unchanged, report.refused, report.total))
    )
    console.print(counts)
    if report.ignored_columns:
        console.print(f"ignored columns: {', '.join(report.ignored_columns)}", markup=False)
    if report.refusals:
        table = Table("line", "field", "reason")
        for one in report.refusals[:shown]:
            table.add_row(str(one.line), one.field, one.reason.replace("[", r"\["))
        console.print(table)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; 0 if every row was taken, 1 if some were refused, 2 if the file could not be read."""
    parser = argparse.ArgumentParser(
        prog="python -m assist.scripts.importing", description=__doc__.split("\n")[0]
    )
    parser.add_argument("source", type=Path, help="a .csv, .xlsx or .jsonl file")
    parser.add_argument(
        "target", type=Path, help="the library file to write, for example .kefu/scripts/own.jsonl"
    )
    for field in COLUMNS:
        parser.add_argument(f"--{field}-column", help=f"the column of the {field}")
    parser.add_argument("--kind", default="solution", choices=KINDS, help="of rows that do not say")
    parser.add_argument("--category", help="of rows that do not say")
    parser.add_argument("--tone", default="warm", choices=TONES, help="of rows that do not say")
    parser.add_argument("--encoding", choices=ENCODINGS, help="tried in turn by default")
    parser.add_argument("--sheet", help="of a workbook; the first by default")
    parser.add_argument("--replace", action="store_true", help="forget what the target holds")
    parser.add_argument("--json", type=Path, help="write the report here as well")
    parser.add_argument("--show", type=int, default=20, help="refusals to print")
    args = parser.parse_args(argv)
    console = Console(width=120)
    columns = {field: value for field in COLUMNS if (value := getattr(args, f"{field}_column"))}
    try:
        report = import_scripts(
            args.source, args.target, columns=columns, kind=args.kind, category=args.category, tone=args.tone,
            encoding=args.encoding, sheet=args.sheet, keep=not args.replace,
        )  # fmt: skip
    except ValueError as error:
        console.print(str(error), markup=False)
        return 2
    _print(report, console, args.show)
    if args.json:
        write_json(args.json, report.model_dump())
    return 1 if report.refused else 0


if __name__ == "__main__":
    raise SystemExit(main())
