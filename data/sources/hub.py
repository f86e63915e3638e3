"""A data set of the Hugging Face hub, only when somebody asks for one: nothing here runs by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from data.sources.files import Columns, table_rows
from data.sources.rows import Rows

__all__ = ["dataset_rows", "read_hub"]

_CHUNK = 4096


def read_hub(
    name: str,
    split: str = "train",
    columns: Columns | None = None,
    *,
    configuration: str | None = None,
    skip_empty: bool = False,
) -> Rows:
    """Download (or take from the cache) a split of a hub's data set, or of a folder in its form.

    Labels that the hub numbers (`ClassLabel`) get their names.

    Args:
        name: owner/name on the hub.
        configuration: of data sets that have several.

    Raises:
        ValueError: it cannot be loaded (no such name, no network), or lacks a column (names those there are).
    """
    from datasets import load_dataset

    columns = columns or Columns()
    try:
        found: Any = load_dataset(name, configuration, split=split)
    except Exception as error:  # its errors have no common class: network, name, split, script
        raise ValueError(
            f"hub: {name} ({split}): cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    return dataset_rows(found, columns, f"{name}-{split}", skip_empty)


def dataset_rows(found: Any, columns: Columns, name: str, skip_empty: bool = False) -> Rows:
    """Rows of a `datasets.Dataset`.

    Raises:
        ValueError: it lacks a column (names those there are).
    """
    for role, column in columns.named().items():
        if column not in found.column_names:
            there = ", ".join(found.column_names)
            raise ValueError(f"{name}: {role} column {column!r}: there is no such column; there are: {there}")
    names = getattr(found.features[columns.label], "names", None)

    def batches() -> Iterator[Mapping[str, Sequence[Any]]]:
        for part in found.select_columns(list(columns.named().values())).iter(_CHUNK):
            if names:
                # The hub marks unlabelled rows by -1.
                labels = [None if one is None or one < 0 else names[one] for one in part[columns.label]]
                part = {**part, columns.label: labels}
            yield part

    return table_rows(batches(), columns, name, skip_empty)
