"""The rows that the training benchmarks learn from: a public set, a user's file, the corpus, or made-up ones.

Public sets are read from the folder in `KEFU_DATASETS` (default `../shared/datasets`), for measuring only.
Of each set only the training file is read; validation is a seeded tenth of it, so no test split is touched.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from data.example import Example
from data.split import Snapshot
from data.taxonomy import Taxonomy, load_taxonomy, parse_taxonomy

__all__ = ["SETS", "read_set", "synthetic", "synthetic_snapshot", "taxonomy_of"]

SETS = {
    "banking77": ("banking77_train.csv", "text", "category"),
    "smp2020": ("smp2020_usual_train.jsonl.gz", "text", "label"),
    "reviews": ("online_shopping_reviews_train.jsonl.gz", "text", "label"),
}
"""By name the training file, its text column and its label column."""
_CHARACTERS = (
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多"
    "经么去法学如都同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性"
    "知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次"
)


def taxonomy_of(labels: list[str]) -> Taxonomy:
    """A label schema with these categories, keyed `class_0`, `class_1`, … in order; emotions as embedded."""
    raw: dict[str, Any] = dict(load_taxonomy().raw)
    raw["categories"] = [
        {"key": f"class_{n}", "zh": f"{n} {label}", "group": "general", "nature": "inquiry",
         "definition": str(label) or "-"}
        for n, label in enumerate(labels)
    ]  # fmt: skip
    raw["boundaries"] = []
    return parse_taxonomy(raw, "benchmark")


def read_set(name: str, columns: tuple[str, str] | None = None, limit: int | None = None) -> Snapshot:
    """`corpus`, one of `SETS`, or a CSV or JSONL file with text and label columns, as a snapshot.

    Args:
        columns: text and label column of a file.
        limit: rows at most, a seeded sample.

    Raises:
        FileNotFoundError: the file is not there; says where to put it.
        ValueError: a column is missing; names those of the file.
    """
    if name == "corpus":
        from data.sources import CORPUS, read_corpus

        pairs = [(row.text, row.category) for row in read_corpus(CORPUS) if not row.context]
    else:
        pairs = list(_pairs(name, columns))
    order = np.random.default_rng(0).permutation(len(pairs))[: limit or len(pairs)]
    taxonomy = taxonomy_of(sorted({pairs[row][1] for row in order}))
    index = {label: f"class_{n}" for n, label in enumerate(sorted({pairs[row][1] for row in order}))}
    rows = [
        Example(str(row), pairs[row][0], index[pairs[row][1]], "neutral", Path(name).stem) for row in order
    ]
    held = max(1, len(rows) // 10)
    splits = {"train": rows[held:], "val": rows[:held], "test": rows[:held]}
    return Snapshot(f"benchmark-{Path(name).stem}-{len(rows)}", taxonomy, splits)


def _pairs(name: str, columns: tuple[str, str] | None) -> Iterator[tuple[str, str]]:
    if name in SETS:
        file, text, label = SETS[name]
        path = Path(os.environ.get("KEFU_DATASETS", "../shared/datasets"), file)
    else:
        path, (text, label) = Path(name), columns or ("text", "label")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: not there; set KEFU_DATASETS to the folder of the public sets")
    opener: Any = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as handle:
        rows = csv.DictReader(handle) if ".csv" in path.suffixes else map(json.loads, handle)
        for number, row in enumerate(rows, 1):
            for column in (text, label):
                if row.get(column) is None:
                    known = ", ".join(map(str, row))
                    raise ValueError(f"{path}: row {number}: no column {column!r}; there are {known}")
            if row[text].strip():
                yield row[text], str(row[label])


def synthetic(rows: int, classes: int, seed: int = 0) -> Iterator[Example]:
    """Made-up messages one by one: some characters that mark the class, the others at random.

    Lengths are log-normal (median 14, at most 96 characters), as chat messages are; ids sort by number.
    """
    marks = np.random.default_rng((seed, 1)).integers(0, len(_CHARACTERS), (classes, 4, 2))
    emotions = ("neutral", "angry")
    block = 1024
    for start in range(0, rows, block):
        generator = np.random.default_rng((seed, 2, start))
        for row in range(start, min(start + block, rows)):
            label = int(generator.integers(classes)) if row >= classes else row
            length = int(np.clip(generator.lognormal(2.6, 0.5), 3, 92))
            text = "".join(_CHARACTERS[n] for n in generator.integers(0, len(_CHARACTERS), length))
            mark = "".join(_CHARACTERS[n] for n in marks[label, generator.integers(4)])
            cut = int(generator.integers(length))
            text = f"{text[:cut]}{mark}{text[cut:]}"
            yield Example(f"{row:09d}", text, f"class_{label}", emotions[row % 2], "synthetic")


def synthetic_snapshot(rows: int, classes: int, held_out: int = 500) -> Snapshot:
    """That many training rows in memory, and some more for validation."""
    made = list(synthetic(rows + held_out, classes))
    splits = {"train": made[:rows], "val": made[rows:], "test": made[rows:]}
    taxonomy = taxonomy_of([str(n) for n in range(classes)])
    return Snapshot(f"synthetic-{rows}-{classes}", taxonomy, splits)
