"""What changed between the data of two runs: rows, labels, splits, distribution. No text is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.split import SPLITS
from data.taxonomy import TASKS

__all__ = ["ShareChange", "SnapshotDifference", "snapshot_difference"]


@dataclass(frozen=True, slots=True)
class ShareChange:
    """How often a label occurs among the training rows of either snapshot."""

    task: str
    label: str
    rows_a: int
    rows_b: int
    share_a: float
    share_b: float


@dataclass(frozen=True)
class SnapshotDifference:
    """From snapshot A to snapshot B."""

    rows_a: dict[str, int]
    """By split."""
    rows_b: dict[str, int]
    added: dict[str, int]
    """Rows only in B, by their split there."""
    removed: dict[str, int]
    """Rows only in A, by their split there."""
    relabelled: dict[str, int]
    """By task, rows of both whose label changed."""
    moved: int
    """Rows of both that changed split."""
    leaked: int
    """Test rows of one that the other had in train: their figures flatter that model."""
    shares: list[ShareChange]
    """Labels of the training rows, the largest change of share first."""
    authors_added: list[str]
    authors_removed: list[str]

    @property
    def same(self) -> bool:
        """Whether nothing changed."""
        counts = (self.added, self.removed, self.relabelled)
        return not self.moved and not any(sum(one.values()) for one in counts)


def snapshot_difference(a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]]) -> SnapshotDifference:
    """Compare the rows of two snapshots, as `training.predictions.read_rows` gives them.

    A row is the same where id and text are: an edited message counts as removed and added.
    """
    ours = {(row["id"], row["digest"]): row for row in a}
    theirs = {(row["id"], row["digest"]): row for row in b}
    both = ours.keys() & theirs.keys()
    relabelled = {task: sum(ours[key][task] != theirs[key][task] for key in both) for task in TASKS}
    splits = [(ours[key]["split"], theirs[key]["split"]) for key in both]
    authors = [{str(row["author"]) for row in rows} for rows in (a, b)]
    return SnapshotDifference(
        _by_split(a),
        _by_split(b),
        _by_split([row for key, row in theirs.items() if key not in both]),
        _by_split([row for key, row in ours.items() if key not in both]),
        relabelled,
        sum(one != two for one, two in splits),
        sum({one, two} == {"train", "test"} for one, two in splits),
        _shares(a, b),
        sorted(authors[1] - authors[0]),
        sorted(authors[0] - authors[1]),
    )


def _by_split(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    counts = Counter(str(row["split"]) for row in rows)
    return {split: counts[split] for split in SPLITS}


def _shares(a: Sequence[Mapping[str, Any]], b: Sequence[Mapping[str, Any]]) -> list[ShareChange]:
    changes = []
    for task in TASKS:
        one, two = (Counter(str(row[task]) for row in rows if row["split"] == "train") for rows in (a, b))
        totals = max(one.total(), 1), max(two.total(), 1)
        for label in sorted(one.keys() | two.keys()):
            shares = one[label] / totals[0], two[label] / totals[1]
            changes.append(ShareChange(task, label, one[label], two[label], *shares))
    return sorted(changes, key=lambda change: -abs(change.share_b - change.share_a))
