"""From examples to the snapshot that training reads: `train`, `val`, `test` as a `DatasetDict`.

Rows of one conversation, and near-duplicates, never fall into two splits. The snapshot id is a hash
of all rows, their splits and the label schema: the same id means the same data, on every machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.arrow_rows import STREAM_ABOVE, ArrowExamples, by_id, column, example_of
from data.example import Example, read_examples
from data.files import write_json, write_jsonl
from data.taxonomy import Taxonomy, load_taxonomy, parse_taxonomy
from data.text import normalise

if TYPE_CHECKING:
    from datasets import DatasetDict

__all__ = [
    "LINEAGE",
    "SPLITS",
    "Snapshot",
    "SplitConfig",
    "check_labels",
    "finish_snapshot",
    "load_snapshot",
    "main",
    "near_duplicates",
    "near_groups",
    "snapshot_id",
    "split_examples",
    "write_snapshot",
]

SPLITS = ("train", "val", "test")
LINEAGE = "lineage.jsonl"


@dataclass(frozen=True, slots=True)
class SplitConfig:
    """How examples are dealt out."""

    val: float = 0.1
    """Share of groups for validation (early stopping, temperature, thresholds)."""
    test: float = 0.1
    """Share of groups for the figures that are reported."""
    near_duplicate: float = 0.85
    """Cosine of character trigrams from which two messages stay in one split."""
    val_authors: tuple[str, ...] = ()
    """Authors whose rows are the validation, all of them; `val` is then not used."""
    test_authors: tuple[str, ...] = ()
    """The same for the test: its figures are then those of people whom training never met."""
    train_share: float = 1.0
    """Share of the training conversations that is kept: what would half the data have given?"""
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.train_share <= 1:
            raise ValueError(f"split: train_share must be above 0 and at most 1, got {self.train_share}")
        if not 0 < self.val < 1 or not 0 <= self.test < 1 or self.val + self.test >= 1:
            raise ValueError("split: val and test must be shares whose sum is below 1")
        if not 0.5 <= self.near_duplicate <= 1:
            raise ValueError("split: near_duplicate must be between 0.5 and 1")
        if both := set(self.val_authors) & set(self.test_authors):
            raise ValueError(f"split: {sorted(both)[0]!r} is in val_authors and in test_authors")


@dataclass(frozen=True)
class Snapshot:
    """A loaded snapshot: its id, its label schema and the examples of each split."""

    id: str
    taxonomy: Taxonomy
    splits: Mapping[str, Sequence[Example]]
    """Lists, or `ArrowExamples` where a split is too long to be held in memory."""


def split_examples(examples: Sequence[Example], config: SplitConfig) -> dict[str, list[Example]]:
    """Deal examples into train, val and test, grouped, and spread evenly over the categories.

    Raises:
        ValueError: a split would be empty, or an author named in the settings does not occur.
    """
    authors = {example.author for example in examples}
    chosen = {"val": config.val_authors, "test": config.test_authors}
    for name, wanted in chosen.items():
        if missing := set(wanted) - authors:
            raise ValueError(
                f"split.{name}_authors: {sorted(missing)[0]!r} wrote none of the examples; "
                "name authors of this data, or leave the list empty to split by shares"
            )
    groups: dict[int, list[int]] = defaultdict(list)
    for index, group in enumerate(near_groups(examples, config.near_duplicate)):
        groups[int(group)].append(index)
    assigned: dict[int, str] = {}
    held_out: set[int] = set()
    for name, wanted in chosen.items():
        for group, rows in groups.items():
            # A near-duplicate of a left-out author's row leaves with it, so that it stays unseen.
            if any(examples[row].author in wanted for row in rows):
                assigned.update(dict.fromkeys(rows, name))
                held_out.add(group)
    by_category: dict[str, list[int]] = defaultdict(list)
    for group, rows in groups.items():
        if group not in held_out:
            by_category[examples[rows[-1]].category].append(group)
    generator = np.random.default_rng(config.seed)
    shares = {name: 0.0 if chosen[name] else share for name, share in
              (("test", config.test), ("val", config.val))}  # fmt: skip
    # Shares are carried over from one category to the next, so rounding does not pile up.
    debt = {"test": 0.0, "val": 0.0}
    for category in sorted(by_category):
        members = sorted(by_category[category], key=lambda g: examples[groups[g][0]].id)
        order = generator.permutation(len(members))
        position = 0
        for name, share in shares.items():
            debt[name] += share * len(members)
            take = min(int(debt[name] + 0.5), len(members) - position - 1)
            take = max(take, 0)
            debt[name] -= take
            for which in order[position : position + take]:
                assigned.update({row: name for row in groups[members[which]]})
            position += take
        for which in order[position:]:
            assigned.update({row: "train" for row in groups[members[which]]})
    # In small data most categories have one group, which stays in train; what is still owed comes from any.
    spare = generator.permutation([group for group, rows in groups.items() if assigned[rows[0]] == "train"])
    for name in shares:
        take = max(int(debt[name] + 0.5), 0)
        for group in spare[:take]:
            assigned.update(dict.fromkeys(groups[int(group)], name))
        spare = spare[take:]
    splits: dict[str, list[Example]] = {name: [] for name in SPLITS}
    for index, example in enumerate(examples):
        splits[assigned[index]].append(example)
    if config.train_share < 1:
        splits["train"] = _share(splits["train"], config)
    for name in SPLITS:
        if not splits[name]:
            raise ValueError(f"split: {name} is empty; {len(examples)} examples are too few")
    return splits


def _share(rows: Sequence[Example], config: SplitConfig) -> list[Example]:
    """A seeded share of rows by whole conversations; a larger share contains every smaller one."""
    names = sorted({row.conversation or row.id for row in rows})
    order = np.random.default_rng(config.seed).permutation(len(names))
    kept = {names[index] for index in order[: max(1, round(config.train_share * len(names)))]}
    return [row for row in rows if (row.conversation or row.id) in kept]


def near_groups(examples: Sequence[Example], threshold: float) -> np.ndarray:
    """Group numbers [examples]: one conversation, one text, or nearly the same text is one group.

    Args:
        threshold: cosine of character trigrams, as for `near_duplicates`.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    left, right = near_duplicates([example.text for example in examples], threshold)
    chats: dict[str, int] = {}
    for index, example in enumerate(examples):
        if example.conversation:
            first = chats.setdefault(example.conversation, index)
            left.append(first)
            right.append(index)
    count = len(examples)
    links = coo_matrix((np.ones(len(left)), (left, right)), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1])


def near_duplicates(texts: Sequence[str], threshold: float) -> tuple[list[int], list[int]]:
    """Pairs (left < right) of texts whose character trigrams have a cosine of `threshold` or more.

    Texts of fewer than six normalised characters are left alone: "在吗" may well occur twice.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    normal = [normalise(text) for text in texts]
    rows = np.array([index for index, text in enumerate(normal) if len(text) >= 6])
    if len(rows) < 2:
        return [], []
    vectors = TfidfVectorizer(analyzer="char", ngram_range=(3, 3)).fit_transform(
        normal[index] for index in rows
    )
    left: list[int] = []
    right: list[int] = []
    for start in range(0, len(rows), 1024):
        similar = (vectors[start : start + 1024] @ vectors.T).tocoo()
        keep = (similar.data >= threshold) & (similar.row + start < similar.col)
        left.extend(rows[similar.row[keep] + start].tolist())
        right.extend(rows[similar.col[keep]].tolist())
    return left, right


def check_labels(examples: Sequence[Example], taxonomy: Taxonomy) -> None:
    """Check that every label is in the schema.

    Raises:
        ValueError: names the first row, the field and the label that is not.
    """
    for example in examples:
        if example.category not in taxonomy.category:
            raise ValueError(f"{example.id}: category {example.category!r} is not in the schema")
        if example.emotion not in taxonomy.emotion:
            raise ValueError(f"{example.id}: emotion {example.emotion!r} is not in the schema")


def snapshot_id(splits: Mapping[str, Sequence[Example]], taxonomy: Taxonomy) -> str:
    """Twelve hex digits that name this data: rows with their splits, and the label schema."""
    digest = hashlib.sha256(json.dumps(taxonomy.raw, sort_keys=True, ensure_ascii=False).encode())
    for name in SPLITS:
        for example in by_id(splits[name]):
            row = json.dumps([name, asdict(example)], sort_keys=True, ensure_ascii=False)
            digest.update(row.encode())
    return digest.hexdigest()[:12]


def write_snapshot(splits: Mapping[str, Sequence[Example]], taxonomy: Taxonomy, folder: Path) -> str:
    """Write the snapshot as Arrow files with its label maps; returns its id."""
    from datasets import Dataset, DatasetDict

    tables = {name: Dataset.from_list([asdict(example) for example in rows]) for name, rows in splits.items()}
    return finish_snapshot(DatasetDict(tables), splits, taxonomy, folder)


def finish_snapshot(
    tables: DatasetDict, splits: Mapping[str, Sequence[Example]], taxonomy: Taxonomy, folder: Path
) -> str:
    """Write tables with all that a snapshot has beside them, in one move; returns its id.

    Args:
        tables, splits: the same rows, as Arrow and as examples.
    """
    identity = snapshot_id(splits, taxonomy)
    beside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    tables.save_to_disk(str(beside))
    write_json(beside / "label_map.json", {
        task: list(taxonomy.label_map(task).labels) for task in ("category", "emotion")
    })  # fmt: skip
    write_json(beside / "taxonomy.json", taxonomy.raw)
    counts = {name: len(rows) for name, rows in splits.items()}
    authors = {name: dict(Counter(column(rows, "author"))) for name, rows in splits.items()}
    write_json(beside / "snapshot.json", {"id": identity, "rows": counts, "authors": authors})
    write_jsonl(beside / LINEAGE, _lineage(splits))
    shutil.rmtree(folder, ignore_errors=True)
    beside.rename(folder)
    return identity


def _lineage(splits: Mapping[str, Sequence[Example]]) -> Iterator[dict[str, Any]]:
    """Which annotations each labelled row rests on; without any text, so that it may travel with a run."""
    for name, rows in splits.items():
        for row in rows:
            if row.votes:
                votes = [asdict(vote) for vote in row.votes]
                labels = {"category": row.category, "emotion": row.emotion}
                yield {"example": row.id, "split": name, **labels, "votes": votes}


def load_snapshot(folder: Path | str, stream_above: int = STREAM_ABOVE) -> Snapshot:
    """Load a snapshot and check that it is the one its id names.

    Args:
        stream_above: splits of more rows stay on disk, as `data.arrow_rows.ArrowExamples`.

    Raises:
        FileNotFoundError: there is no snapshot; says how to make one.
        ValueError: its rows do not match its id.
    """
    from datasets import load_from_disk

    folder = Path(folder)
    if not (folder / "snapshot.json").is_file():
        raise FileNotFoundError(f"{folder}: no snapshot; make one with: dvc repro split")
    identity = json.loads((folder / "snapshot.json").read_text(encoding="utf-8"))["id"]
    raw = json.loads((folder / "taxonomy.json").read_text(encoding="utf-8"))
    taxonomy = parse_taxonomy(raw, str(folder / "taxonomy.json"))
    tables: DatasetDict = load_from_disk(str(folder))
    splits: dict[str, Sequence[Example]] = {
        name: ArrowExamples(tables[name])
        if len(tables[name]) > stream_above
        else [example_of(row) for row in tables[name]]
        for name in SPLITS
    }
    if snapshot_id(splits, taxonomy) != identity:
        raise ValueError(f"{folder}: the rows do not match snapshot id {identity}; make it anew")
    return Snapshot(identity, taxonomy, splits)


def main(arguments: Sequence[str] | None = None) -> None:
    """Stage `split`: `examples.jsonl` to the snapshot in `data/processed`."""
    defaults = SplitConfig()
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--examples", required=True, type=Path)
    parser.add_argument("--taxonomy", type=Path, help="label schema; the embedded one if left out")
    parser.add_argument("--output", required=True, type=Path)
    for name in ("val", "test", "near_duplicate", "train_share"):
        parser.add_argument(f"--{name}", type=float, default=getattr(defaults, name))
    for name in ("val_authors", "test_authors"):
        parser.add_argument(f"--{name}", nargs="*", default=[])
    parser.add_argument("--seed", type=int, default=defaults.seed)
    options = parser.parse_args(arguments)
    config = SplitConfig(
        val=options.val,
        test=options.test,
        near_duplicate=options.near_duplicate,
        val_authors=tuple(options.val_authors),
        test_authors=tuple(options.test_authors),
        train_share=options.train_share,
        seed=options.seed,
    )
    taxonomy = load_taxonomy(options.taxonomy)
    examples = read_examples(options.examples)
    check_labels(examples, taxonomy)
    splits = split_examples(examples, config)
    identity = write_snapshot(splits, taxonomy, options.output)
    counts = ", ".join(f"{name} {len(rows)}" for name, rows in splits.items())
    print(f"snapshot {identity}: {counts} -> {options.output}")


if __name__ == "__main__":
    main()
