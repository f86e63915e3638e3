"""A snapshot of a file too long to be held in memory: rows pass once from the reader into Arrow.

`data.split` compares every message with every other; millions of rows cannot be. Here the split of a row is
decided by a hash of its conversation (or of its normalised text where it has none), so that one conversation,
or one text, never falls into two splits. Near-duplicates are not looked for, and categories get their shares
by the law of large numbers.

    python -m data.stream_snapshot --examples data/interim/examples.jsonl --output data/processed
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from data.arrow_rows import BLOCK, ArrowExamples
from data.example import Example, iter_examples
from data.split import SPLITS, SplitConfig, check_labels, finish_snapshot
from data.taxonomy import Taxonomy, load_taxonomy
from data.text import normalise

if TYPE_CHECKING:
    from datasets import Features

__all__ = ["main", "split_of", "stream_snapshot"]


def split_of(example: Example, config: SplitConfig) -> str | None:
    """The split that a row falls into; None where `train_share` leaves it out."""
    if example.author in config.test_authors:
        return "test"
    if example.author in config.val_authors:
        return "val"
    group = example.conversation or normalise(example.text)
    place, kept = _place(f"{config.seed}:{group}"), _place(f"{config.seed}:share:{group}")
    test = 0.0 if config.test_authors else config.test
    val = 0.0 if config.val_authors else config.val
    if place < test:
        return "test"
    if place < test + val:
        return "val"
    return "train" if kept < config.train_share else None


def _place(text: str) -> float:
    """A number in [0, 1), the same for the same text on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") / 2**64


def stream_snapshot(
    examples: Iterable[Example], taxonomy: Taxonomy, folder: Path, config: SplitConfig
) -> tuple[str, dict[str, int]]:
    """Write a snapshot of rows that are read once; returns its id and the rows of each split.

    Memory does not grow with the rows, but for 8 bytes of each while the id is made.

    Raises:
        ValueError: a label is not in the schema (names row and field), or a split is empty.
    """
    from datasets import Dataset, DatasetDict
    from datasets.arrow_writer import ArrowWriter

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.rows.") as scratch:
        paths = {name: str(Path(scratch, f"{name}.arrow")) for name in SPLITS}
        writers = {name: ArrowWriter(path=path, features=_features()) for name, path in paths.items()}
        counts = dict.fromkeys(SPLITS, 0)
        for block in _in_blocks(examples):
            check_labels(block, taxonomy)
            dealt: dict[str, list[Example]] = {name: [] for name in SPLITS}
            for example in block:
                if name := split_of(example, config):
                    dealt[name].append(example)
            for name, rows in dealt.items():
                counts[name] += len(rows)
                if rows:
                    writers[name].write_batch(_columns(rows))
        for name, count in counts.items():
            if not count:
                total = sum(counts.values())
                raise ValueError(f"split: {name} is empty; {total} examples are too few for these shares")
        for writer in writers.values():
            writer.finalize()
        tables = {name: Dataset.from_file(path) for name, path in paths.items()}
        splits = {name: ArrowExamples(table) for name, table in tables.items()}
        identity = finish_snapshot(DatasetDict(tables), splits, taxonomy, folder)
    return identity, counts


def _in_blocks(examples: Iterable[Example]) -> Iterator[list[Example]]:
    remaining = iter(examples)
    while block := list(islice(remaining, BLOCK)):
        yield block


def _columns(rows: Sequence[Example]) -> dict[str, list[Any]]:
    plain = [asdict(row) for row in rows]
    return {name: [row[name] for row in plain] for name in plain[0]}


def _features() -> Features:
    from datasets import Features, Value

    text, number = Value("string"), Value("int64")
    turn = {"role": text, "text": text}
    vote = {"project": number, "task": number, "annotation": number}
    vote |= dict.fromkeys(("annotator", "category", "emotion", "at"), text)
    plain = dict.fromkeys(("id", "text", "category", "emotion", "author"), text)
    ends = {"conversation": text, "neighbour": text}
    return Features({**plain, "context": [turn], **ends, "votes": [vote]})


def main(arguments: Sequence[str] | None = None) -> None:
    """Stage `split` for long files: `examples.jsonl` to a snapshot, without holding it in memory."""
    defaults = SplitConfig()
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--examples", required=True, type=Path)
    parser.add_argument("--taxonomy", type=Path, help="label schema; the embedded one if left out")
    parser.add_argument("--output", required=True, type=Path)
    for name in ("val", "test", "train_share"):
        parser.add_argument(f"--{name}", type=float, default=getattr(defaults, name))
    parser.add_argument("--seed", type=int, default=defaults.seed)
    options = parser.parse_args(arguments)
    config = SplitConfig(options.val, options.test, train_share=options.train_share, seed=options.seed)
    rows = tqdm(iter_examples(options.examples), unit=" rows")
    identity, counts = stream_snapshot(rows, load_taxonomy(options.taxonomy), options.output, config)
    told = ", ".join(f"{name} {count}" for name, count in counts.items())
    print(f"snapshot {identity}: {told} -> {options.output}")


if __name__ == "__main__":
    main()
