"""Labelled texts of any source in Arrow columns: what training reads as examples, each text held once.

A million rows are a million Python objects only while somebody looks at them: `Rows` makes an `Example` when
it is asked for one. Beyond `IN_MEMORY` bytes the columns lie in a file of the temporary folder and are
mapped.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from data.example import Example, Turn

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["EMOTION", "IN_MEMORY", "Rows", "collect", "rows_of", "schema"]

IN_MEMORY = 128 * 2**20
"""Bytes of columns above which they go to a file."""
AUTHOR, EMOTION = "public", "none"
"""What examples of rows without author and emotion say."""
_CHUNK = 2048
_SPREAD = 16  # rows looked through for each that is wanted


def schema() -> pa.Schema:
    """The columns: `text`, `label`, `group` (null: the row stands alone), `context` (turns, oldest first)."""
    import pyarrow as pa

    turn = pa.struct([("role", pa.string()), ("text", pa.string())])
    return pa.schema(
        [
            ("text", pa.large_string()),
            ("label", pa.string()),
            ("group", pa.string()),
            ("context", pa.list_(turn)),
        ]
    )


class Rows(Sequence[Example]):
    """A view of labelled rows, read as examples (`category` is the label, or its key: `with_keys`).

    Args:
        table: the columns of `schema()`.
        name: where the rows come from; ids and messages begin with it.
        order: int64 [rows] row numbers in the table; all of them when None.
        keys: label to what `Example.category` says instead.
    """

    def __init__(
        self,
        table: pa.Table,
        name: str,
        order: NDArray[np.int64] | None = None,
        keys: Mapping[str, str] | None = None,
    ) -> None:
        self.table, self.name, self.keys = table, name, keys
        self._fingerprint = ""
        self.order = np.arange(table.num_rows) if order is None else np.asarray(order, np.int64)

    def __len__(self) -> int:
        return len(self.order)

    @overload
    def __getitem__(self, key: int) -> Example: ...
    @overload
    def __getitem__(self, key: slice) -> Rows: ...
    def __getitem__(self, key: int | slice) -> Example | Rows:
        if isinstance(key, slice):
            return self.take(np.arange(len(self))[key])
        row = int(self.order[key])
        values = {name: self.table.column(name)[row].as_py() for name in self.table.column_names}
        return self._example(row, values)

    def __iter__(self) -> Iterator[Example]:
        for start in range(0, len(self), _CHUNK):
            chosen = self.order[start : start + _CHUNK]
            columns = self._columns(chosen, self.table.column_names)
            for row, *cells in zip(chosen.tolist(), *columns, strict=True):
                yield self._example(row, dict(zip(self.table.column_names, cells, strict=True)))

    def _columns(self, chosen: NDArray[np.int64], names: Sequence[str]) -> list[list[Any]]:
        """The cells of some columns, of these rows of the table."""
        if len(chosen) and (np.diff(chosen) > 0).all() and chosen[-1] - chosen[0] < _SPREAD * len(chosen):
            part = self.table.select(names).slice(chosen[0], chosen[-1] - chosen[0] + 1).combine_chunks()
            return [column.to_pylist() for column in part.take(chosen - chosen[0]).columns]
        # Arrow's own `take` joins all chunks of a table first, however few rows are asked for.
        columns = [self.table.column(name) for name in names]
        return [[column[row].as_py() for row in chosen.tolist()] for column in columns]

    def _example(self, row: int, values: Mapping[str, Any]) -> Example:
        label = values["label"]
        return Example(
            id=f"{self.name}-{row}",
            text=values["text"],
            category=self.keys[label] if self.keys else label,
            emotion=EMOTION,
            author=AUTHOR,
            context=tuple(Turn(turn["role"], turn["text"]) for turn in values["context"] or ()),
            conversation=values["group"],
        )

    def take(self, rows: Sequence[int] | NDArray[Any]) -> Rows:
        """A view of these rows (numbers within this view, or a mask [rows]), in this order."""
        return Rows(
            self.table, self.name, self.order[np.asarray(rows, None if len(rows) else int)], self.keys
        )

    def with_keys(self, keys: Mapping[str, str]) -> Rows:
        """The same rows, whose examples carry `keys[label]` as their category."""
        return Rows(self.table, self.name, self.order, keys)

    def without_context(self) -> Rows:
        """The same rows, whose examples have no turns before them."""
        import pyarrow as pa

        place = self.table.column_names.index("context")
        empty = pa.nulls(self.table.num_rows, schema().field("context").type)
        return Rows(
            self.table.set_column(place, schema().field("context"), empty), self.name, self.order, self.keys
        )

    def label_array(self) -> NDArray[Any]:
        """The label of each row [rows]; equal labels share one object."""
        coded = self.table.column("label").combine_chunks().dictionary_encode()
        names = np.array([*coded.dictionary.to_pylist(), None], object)
        return np.asarray(names[coded.indices.to_numpy(zero_copy_only=False)[self.order]])

    def counts(self) -> Counter[str]:
        """Rows of each label that occurs."""
        return Counter(self.label_array().tolist())

    def groups(self) -> NDArray[np.int64]:
        """Group numbers [rows]: rows of one group, and rows of the same text, carry the same number."""
        seen: dict[bytes, int] = {}
        out = np.zeros(len(self), np.int64)
        grouped = self.has_groups
        position = 0
        for start in range(0, len(self), _CHUNK):
            texts, names = self._columns(self.order[start : start + _CHUNK], ["text", "group"])
            for text, group in zip(texts, names, strict=True):
                word = f"g{group}" if grouped and group is not None else "t" + "".join(text.lower().split())
                mark = hashlib.blake2b(word.encode(), digest_size=8).digest()
                out[position] = seen.setdefault(mark, len(seen))
                position += 1
        return out

    @property
    def has_groups(self) -> bool:
        """Whether any row names a group."""
        column = self.table.column("group")
        return bool(column.null_count < len(column))

    def fingerprint(self) -> str:
        """Twelve hex digits of texts, labels, groups, contexts and their order."""
        if self._fingerprint:
            return self._fingerprint
        digest = hashlib.sha256()
        for start in range(0, len(self), _CHUNK):
            for column in self._columns(self.order[start : start + _CHUNK], self.table.column_names):
                digest.update(repr(column).encode(errors="surrogatepass"))
        self._fingerprint = digest.hexdigest()[:12]
        return self._fingerprint


def collect(batches: Iterable[pa.RecordBatch], name: str, in_memory: int | None = None) -> Rows:
    """Rows of batches that have the columns of `schema()`.

    Args:
        in_memory: bytes from which the columns are kept in a mapped file; `IN_MEMORY` when None.

    Raises:
        ValueError: there are no rows.
    """
    import pyarrow as pa

    limit = IN_MEMORY if in_memory is None else in_memory
    held: list[pa.RecordBatch] = []
    size = 0
    source = iter(batches)
    for batch in source:
        held.append(batch)
        size += batch.nbytes
        if size > limit:
            return Rows(_mapped(held, source), name)
    table = pa.Table.from_batches(held, schema())
    if not table.num_rows:
        raise ValueError(f"{name}: holds no rows")
    return Rows(table, name)


def _mapped(first: list[pa.RecordBatch], rest: Iterator[pa.RecordBatch]) -> pa.Table:
    import pyarrow as pa

    handle, path = tempfile.mkstemp(prefix="kefu-rows-", suffix=".arrow")
    os.close(handle)
    try:
        with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, schema()) as writer:
            while first:
                writer.write_batch(first.pop(0))
            for batch in rest:
                writer.write_batch(batch)
        return pa.ipc.open_file(pa.memory_map(path)).read_all()
    finally:
        with suppress(OSError):  # a mapped file may be unlinked where the system allows it
            Path(path).unlink()


def rows_of(
    values: Iterable[tuple[str, str, str | None, Sequence[Mapping[str, str]]]],
    name: str,
    in_memory: int | None = None,
) -> Rows:
    """Rows of `(text, label, group, context)`, a context being turns with role and text, oldest first.

    Raises:
        ValueError: there are none.
    """

    def batches() -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        part: list[dict[str, Any]] = []
        for text, label, group, context in values:
            part.append({"text": text, "label": label, "group": group, "context": list(context)})
            if len(part) == _CHUNK:
                yield pa.RecordBatch.from_pylist(part, schema())
                part = []
        if part:
            yield pa.RecordBatch.from_pylist(part, schema())

    return collect(batches(), name, in_memory)
