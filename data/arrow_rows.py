"""Examples that stay on disk: a split of a snapshot as a memory-mapped Arrow table, read by blocks.

A Python list of five million `Example`s takes several gigabytes; the same rows in Arrow are pages of a file,
which the system drops when memory is short. `load_snapshot` gives these instead of lists above
`STREAM_ABOVE` rows; both are sequences of `Example`, and the functions below read either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol, overload, runtime_checkable

import numpy as np

from data.example import Example, Turn, Vote

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = [
    "BLOCK",
    "STREAM_ABOVE",
    "ArrowExamples",
    "blocks",
    "by_id",
    "column",
    "example_of",
    "is_streamed",
    "take",
]

STREAM_ABOVE = 200_000
"""Rows of a split above which it stays on disk."""
BLOCK = 4096
"""Rows that are Python objects at one time."""


def example_of(row: dict[str, Any]) -> Example:
    """An `Example` of one row of a snapshot's table."""
    fields = dict(row)
    turns = tuple(Turn(**turn) for turn in fields.pop("context") or ())
    votes = tuple(Vote(**vote) for vote in fields.pop("votes", None) or ())
    return Example(context=turns, votes=votes, **fields)


class ArrowExamples(Sequence[Example]):
    """Examples in a `datasets.Dataset`; each is made when it is asked for, and not kept.

    May be handed to another process: only the names of the files travel.
    """

    def __init__(self, table: Dataset) -> None:
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> ArrowExamples: ...
    def __getitem__(self, index: int | slice) -> Example | ArrowExamples:
        if isinstance(index, slice):
            return ArrowExamples(self.table.select(range(*index.indices(len(self)))))
        if not -len(self) <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        return example_of(self.table[int(index)])

    def __iter__(self) -> Iterator[Example]:
        for start in range(0, len(self), BLOCK):
            yield from self._made(self.table[start : start + BLOCK])

    def take(self, rows: Sequence[int]) -> list[Example]:
        """The examples with these numbers, in this order."""
        return self._made(self.table[[int(row) for row in rows]])

    def column(self, name: str) -> Iterator[Any]:
        """One field of all rows; the others are not read."""
        values = self.table.select_columns([name])
        for start in range(0, len(self), BLOCK):
            yield from values[start : start + BLOCK][name]

    def sorted_rows(self, name: str) -> np.ndarray:
        """Row numbers in the order of a text field (by code point, equal ones as they stand)."""
        import pyarrow.compute

        if self.table._indices is not None:  # rows were picked: the file's order is not theirs
            return np.argsort(np.array(list(self.column(name))), kind="stable")
        order = pyarrow.compute.sort_indices(self.table.data.column(name))
        return np.asarray(order.to_numpy())

    @staticmethod
    def _made(columns: dict[str, list[Any]]) -> list[Example]:
        names = list(columns)
        rows = zip(*(columns[name] for name in names), strict=True)
        return [example_of(dict(zip(names, row, strict=True))) for row in rows]


@runtime_checkable
class _Columns(Protocol):
    """Rows kept in columns; `data.sources.rows.Rows` are as well."""

    def take(self, rows: Sequence[int]) -> Sequence[Example]: ...


def is_streamed(examples: Sequence[Example]) -> bool:
    """Whether nobody should make a list of the rows: a split on disk, or many rows kept in columns."""
    if isinstance(examples, ArrowExamples):
        return True
    return isinstance(examples, _Columns) and len(examples) > STREAM_ABOVE


def blocks(examples: Sequence[Example], size: int = BLOCK) -> Iterator[list[Example]]:
    """The rows in order, `size` at a time."""
    for start in range(0, len(examples), size):
        yield take(examples, range(start, min(start + size, len(examples))))


def take(examples: Sequence[Example], rows: Sequence[int]) -> list[Example]:
    """The examples with these numbers, in this order."""
    if isinstance(examples, _Columns):
        return list(examples.take(rows))
    return [examples[row] for row in rows]


def column(examples: Sequence[Example], name: str) -> Iterator[Any]:
    """One field of all rows."""
    if isinstance(examples, ArrowExamples):
        return examples.column(name)
    return (getattr(example, name) for example in examples)


def by_id(examples: Sequence[Example]) -> Iterator[Example]:
    """All rows in the order of their ids; on disk, memory grows by 8 bytes a row."""
    if not isinstance(examples, ArrowExamples):
        yield from sorted(examples, key=lambda item: item.id)
        return
    order = examples.sorted_rows("id")
    for start in range(0, len(order), BLOCK):
        yield from examples.take(order[start : start + BLOCK].tolist())
