"""Any source by one word: a file's path, `public:NAME/PART` or `hub:OWNER/NAME[@SPLIT]`."""

from __future__ import annotations

from pathlib import Path

from data.sources.files import Columns, read_file
from data.sources.hub import read_hub
from data.sources.public import read_public
from data.sources.rows import Rows

__all__ = ["read_rows"]


def read_rows(
    source: Path | str,
    columns: Columns | None = None,
    *,
    encoding: str = "utf-8",
    sheet: str | None = None,
    skip_empty: bool = False,
) -> Rows:
    """Rows of a source.

    Args:
        source: the path of a CSV, TSV, JSON Lines, Parquet or XLSX file; `public:banking77/train`, a part
            of a public set (its columns are known); `hub:owner/name@split`, one of the hub.
        columns, encoding, sheet, skip_empty: as in `data.sources.files.read_file`.

    Raises:
        ValueError: as the adapter says, or the set has no such part.
        FileNotFoundError: public sets are not here.
    """
    kind, _, name = str(source).partition(":")
    if kind == "public" and not Path(source).exists():
        name, _, part = name.partition("/")
        parts = read_public(name)
        if (part or "all") not in parts:
            raise ValueError(f"{source}: has no part {part or 'all'!r}; there are: {', '.join(parts)}")
        return parts[part or "all"]
    if kind == "hub" and not Path(source).exists():
        name, _, split = name.partition("@")
        return read_hub(name, split or "train", columns, skip_empty=skip_empty)
    return read_file(source, columns, encoding=encoding, sheet=sheet, skip_empty=skip_empty)
