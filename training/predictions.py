"""What a model answered, row by row, as a file of its run: later comparisons then need no model.

`predictions.parquet` holds the rows of `val` and `test` with their labels and the probabilities of each
task; texts are masked, because the file leaves for the tracking server. `rows.parquet` names every row of
the snapshot by a hash, with its labels and no text, so that two snapshots can be told apart.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.arrow_rows import BLOCK, blocks, is_streamed
from data.example import Example
from data.pii import mask
from data.split import Snapshot
from data.taxonomy import TASKS, Taxonomy, parse_taxonomy

__all__ = [
    "PREDICTIONS",
    "ROWS",
    "Predictions",
    "read_predictions",
    "read_rows",
    "row_digest",
    "write_predictions",
    "write_rows",
]

PREDICTIONS = "predictions.parquet"
ROWS = "rows.parquet"
_TURNS = 3
_LONGEST = 240
_VERSION = 1


@dataclass(frozen=True)
class Predictions:
    """The rows of one split and what a model answered; all columns have the same length."""

    snapshot: str
    taxonomy: Taxonomy
    thresholds: dict[str, dict[str, float]]
    """By task the calibration stored with the model (`red_above`, …)."""
    rows: list[dict[str, Any]]
    """`id`, `digest`, `conversation` (None outside one), `author`, `length` (characters before masking),
    `turns`, `text` (masked), `context` (the latest turns, masked), `category`, `emotion` (the truth)."""
    probabilities: dict[str, NDArray[np.float32]]
    """By task [rows, labels], columns in the taxonomy's order; stored as float16."""

    def truth(self, task: str) -> NDArray[np.int64]:
        """Index of each row's true label, [rows]."""
        index = self.taxonomy.label_map(task).label2id
        return np.array([index[row[task]] for row in self.rows], np.int64)

    def keys(self) -> list[tuple[str, str]]:
        """What makes two rows the same: id, and hash of the message with its context."""
        return [(row["id"], row["digest"]) for row in self.rows]


def row_digest(row: Example) -> str:
    """Sixteen hex digits of a message with its context: the same text, whatever its id and labels."""
    told = [row.text, *((turn.role, turn.text) for turn in row.context)]
    return hashlib.sha256(json.dumps(told, ensure_ascii=False).encode()).hexdigest()[:16]


def write_predictions(
    folder: Path,
    snapshot: str,
    taxonomy: Taxonomy,
    thresholds: Mapping[str, Mapping[str, float]],
    splits: Mapping[str, tuple[Sequence[Example], Mapping[str, NDArray[np.floating[Any]]]]],
) -> Path:
    """Write `predictions.parquet` into a report's folder.

    Args:
        snapshot: id of the data that the rows are from.
        thresholds: by task the model's stored calibration.
        splits: by split its rows, and by task their probabilities [rows, labels].

    Raises:
        ValueError: rows and probabilities differ in number.
    """
    import pyarrow

    rows: list[dict[str, Any]] = []
    columns: dict[str, list[NDArray[np.float16]]] = {}
    for split, (examples, probabilities) in splits.items():
        rows += [_row(split, example) for example in examples]
        for task, values in probabilities.items():
            if len(values) != len(examples):
                raise ValueError(f"{split}: {len(examples)} rows, but {len(values)} answers for {task}")
            columns.setdefault(task, []).append(np.asarray(values, np.float16))
    table = pyarrow.Table.from_pylist(rows)
    for task, parts in columns.items():
        values = np.concatenate(parts)
        flat = pyarrow.array(values.reshape(-1))
        stored = pyarrow.FixedSizeListArray.from_arrays(flat, values.shape[1])
        table = table.append_column(f"{task}_probabilities", stored)
    about = {
        "version": _VERSION,
        "snapshot": snapshot,
        "taxonomy": taxonomy.raw,
        "thresholds": {task: dict(values) for task, values in thresholds.items()},
    }
    return _write(folder / PREDICTIONS, table, about)


def _row(split: str, example: Example) -> dict[str, Any]:
    turns = example.context[-_TURNS:]
    return {
        "split": split,
        "id": example.id,
        "digest": row_digest(example),
        "conversation": example.conversation,
        "author": example.author,
        "length": len(example.text),
        "turns": len(example.context),
        "text": _shown(example.text),
        "context": [{"role": turn.role, "text": _shown(turn.text)} for turn in turns],
        "category": example.category,
        "emotion": example.emotion,
    }


def _shown(text: str) -> str:
    masked = mask(text)  # before the cut: half a telephone number is not recognised
    return masked if len(masked) <= _LONGEST else masked[: _LONGEST - 1] + "…"


def read_predictions(path: Path, split: str = "test") -> Predictions:
    """Read one split of `predictions.parquet`.

    Raises:
        ValueError: the file is damaged, of another version, or has no such split; says the mend.
    """
    table, about = _read(path)
    names = [name for name in table.column_names if not name.endswith("_probabilities")]
    splits = table["split"].to_pylist()
    chosen = np.array([one == split for one in splits], bool)
    if not chosen.any():
        raise ValueError(f"{path}: no rows of {split!r}, only {', '.join(sorted(set(splits)))}")
    rows = [row for row, taken in zip(table.select(names).to_pylist(), chosen, strict=True) if taken]
    probabilities = {}
    for task in TASKS:
        if (name := f"{task}_probabilities") in table.column_names:
            column = table[name].combine_chunks()
            flat = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
            probabilities[task] = flat.reshape(len(table), -1)[chosen]
    taxonomy = parse_taxonomy(about["taxonomy"], str(path))
    return Predictions(about["snapshot"], taxonomy, about["thresholds"], rows, probabilities)


def write_rows(folder: Path, snapshot: Snapshot) -> Path:
    """Write `rows.parquet`: id, hash, split, author and labels of each row of a snapshot, no text."""
    import pyarrow
    from pyarrow import parquet

    about = {"version": _VERSION, "snapshot": snapshot.id}
    if not any(is_streamed(examples) for examples in snapshot.splits.values()):
        rows = [_listed(split, row) for split, examples in snapshot.splits.items() for row in examples]
        return _write(folder / ROWS, pyarrow.Table.from_pylist(rows), about)
    path, writer = folder / ROWS, None
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    for split, examples in snapshot.splits.items():
        for block in blocks(examples, 16 * BLOCK):
            table = _described(pyarrow.Table.from_pylist([_listed(split, row) for row in block]), about)
            writer = writer or parquet.ParquetWriter(part, table.schema, compression="zstd")
            writer.write_table(table)
    assert writer is not None
    writer.close()
    part.replace(path)
    return path


def _listed(split: str, row: Example) -> dict[str, Any]:
    return {
        "split": split,
        "id": row.id,
        "digest": bytes.fromhex(row_digest(row)),
        "author": row.author,
        "category": row.category,
        "emotion": row.emotion,
    }


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows that `write_rows` wrote, `digest` as hex digits.

    Raises:
        ValueError: the file is damaged or of another version.
    """
    found: list[dict[str, Any]] = _read(path)[0].to_pylist()
    return [{**row, "digest": row["digest"].hex()} for row in found]


def _write(path: Path, table: Any, about: Mapping[str, Any]) -> Path:
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    parquet.write_table(_described(table, about), part, compression="zstd")
    part.replace(path)
    return path


def _described(table: Any, about: Mapping[str, Any]) -> Any:
    return table.replace_schema_metadata({"kefu": json.dumps(about, ensure_ascii=False)})


def _read(path: Path) -> tuple[Any, dict[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    mend = "measure the model anew: python -m experiments.run evaluate"
    try:
        table = parquet.read_table(path)
        about = json.loads(table.schema.metadata[b"kefu"])
    except (pyarrow.ArrowInvalid, OSError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read as a predictions file ({error}); {mend}") from error
    if about.get("version") != _VERSION:
        raise ValueError(f"{path}: version {about.get('version')!r} is not {_VERSION}; {mend}")
    return table, about
