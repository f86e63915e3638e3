"""Which rows a benchmark learns from, chooses on and is measured on: validation, folds, few shots.

Rows of one group (a conversation) and rows of one text never fall on two sides.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
from numpy.typing import NDArray

from data.sources.rows import Rows

__all__ = ["choose_few", "deal_groups", "hold_out", "hold_out_tail", "keep_spread_labels"]

_PASSES = 20


def hold_out(rows: Rows, share: float, seed: int, most: int | None = None) -> tuple[Rows, Rows]:
    """Part rows into `(kept, held out)`: whole groups, evenly over the labels where rows stand alone.

    Every label keeps at least one of its rows, so a label of one group is not held out at all.

    Args:
        share: of the rows that are held out, above 0 and below 1.
        most: no more rows than that are held out.

    Raises:
        ValueError: nothing could be held out.
    """
    if not 0 < share < 1:
        raise ValueError(f"share: must be above 0 and below 1, got {share}")
    if most is not None:
        share = min(share, most / len(rows))
    # Where rows stand alone each label gives its share; else, and in tiny tables, all give together.
    held = [] if rows.has_groups else _chosen(rows, share, seed, even=True)
    held = held or _chosen(rows, share, seed) or _chosen(rows, share, seed, loose=True)
    if not held:
        raise ValueError(
            f"{rows.name}: {len(rows)} rows are too few to hold {share:.0%}: every label must keep a row, "
            "and groups stay whole"
        )
    return _divide(rows, np.asarray(held))


def _chosen(rows: Rows, share: float, seed: int, even: bool = False, loose: bool = False) -> list[int]:
    members = _members(rows)
    labels, codes = np.unique(rows.label_array().astype(str), return_inverse=True)
    left = np.bincount(codes, minlength=len(labels))
    owed = left * share if even else np.full(len(labels), np.inf)  # what a label may still give
    wanted = max(1.0, share * len(rows))
    held: list[int] = []
    for group in np.random.default_rng(seed).permutation(len(members)):
        if len(held) >= wanted or (even and (owed < 0.5).all()):
            break
        chosen = members[group]
        count = np.bincount(codes[chosen], minlength=len(labels))
        # Of a few large groups each may be more than the share: one is better than none.
        fits = (loose and not held and 2 * len(chosen) <= len(rows)) or len(held) + len(
            chosen
        ) <= wanted + 0.5
        if fits and (owed + 0.5 >= count)[count > 0].all() and (left > count)[count > 0].all():
            left, owed = left - count, owed - count
            held.extend(chosen)
    return held


def hold_out_tail(rows: Rows, share: float) -> tuple[Rows, Rows]:
    """Hold out the last rows: of files whose neighbouring lines belong together but do not say so."""
    return _divide(rows, np.arange(len(rows) - max(1, round(share * len(rows))), len(rows)))


def _divide(rows: Rows, held: NDArray[np.int64]) -> tuple[Rows, Rows]:
    out = np.zeros(len(rows), bool)
    out[held] = True
    return rows.take(np.flatnonzero(~out)), rows.take(np.flatnonzero(out))


def _members(rows: Rows) -> list[list[int]]:
    """Row numbers of each group."""
    members: dict[int, list[int]] = defaultdict(list)
    for row, group in enumerate(rows.groups().tolist()):
        members[group].append(row)
    return list(members.values())


def deal_groups(rows: Rows, folds: int, seed: int) -> NDArray[np.int64]:
    """Fold numbers [rows] from 0: whole groups, folds of about the same number of rows.

    A label of several groups stands in at least two folds, as far as groups can be moved for that, so that it
    can be learnt where it is asked for.

    Raises:
        ValueError: fewer than two folds, or fewer groups than folds.
    """
    members = _members(rows)
    if folds < 2 or len(members) < folds:
        raise ValueError(
            f"folds: {folds} of {len(members)} groups; ask for at least 2, and at most one for each group"
        )
    order = np.random.default_rng(seed).permutation(len(members))
    sizes = np.zeros(folds, np.int64)
    place = np.zeros(len(members), np.int64)
    for group in sorted(order.tolist(), key=lambda one: len(members[one]), reverse=True):
        place[group] = int(sizes.argmin())
        sizes[place[group]] += len(members[group])
    labels = rows.label_array()
    having: dict[str, set[int]] = defaultdict(set)
    for group, chosen in enumerate(members):
        for label in set(labels[chosen].tolist()):
            having[label].add(group)
    for _ in range(_PASSES):
        alone = [
            label
            for label in sorted(having)
            if len(having[label]) > 1 and _lie_together(having[label], place)
        ]
        for label in alone:
            if not _lie_together(having[label], place):
                continue
            moved = min(having[label], key=lambda group: (len(members[group]), group))
            sizes[place[moved]] -= len(members[moved])
            others = [fold for fold in range(folds) if fold != place[moved]]
            place[moved] = min(others, key=lambda fold: (int(sizes[fold]), fold))
            sizes[place[moved]] += len(members[moved])
        if not alone:
            break
    fold = np.zeros(len(rows), np.int64)
    for group, chosen in enumerate(members):
        fold[chosen] = place[group]
    return fold


def _lie_together(groups: set[int], place: NDArray[np.int64]) -> bool:
    return len({int(place[group]) for group in groups}) == 1


def keep_spread_labels(rows: Rows, groups: int = 2) -> Rows:
    """Only rows whose label occurs in at least so many groups."""
    numbers, labels = rows.groups(), rows.label_array()
    found: dict[str, set[int]] = defaultdict(set)
    for label, group in zip(labels.tolist(), numbers.tolist(), strict=True):
        found[label].add(group)
    return rows.take(np.array([len(found[label]) >= groups for label in labels.tolist()]))


def choose_few(rows: Rows, shots: int, seed: int, val_shots: int = 2) -> tuple[Rows, Rows]:
    """A few rows of each label to learn from, and a few others of each to choose the epoch and weights on.

    Texts that occur twice count once. Validation rows are never learnt from, but their labels are used.

    Args:
        shots: rows of each label in the first part.
        val_shots: rows of each label in the second.

    Raises:
        ValueError: a label has too few distinct texts (names it).
    """
    numbers, labels = rows.groups() if not rows.has_groups else np.arange(len(rows)), rows.label_array()
    taken: Counter[str] = Counter()
    seen: set[int] = set()
    train: list[int] = []
    val: list[int] = []
    for row in np.random.default_rng(seed).permutation(len(rows)).tolist():
        label = labels[row]
        if numbers[row] in seen or taken[label] >= shots + val_shots:
            continue
        seen.add(int(numbers[row]))
        (train if taken[label] < shots else val).append(row)
        taken[label] += 1
    if thin := [label for label in sorted(set(labels.tolist())) if taken[label] < shots + val_shots]:
        raise ValueError(
            f"{rows.name}: class {thin[0]!r} has {taken[thin[0]]} distinct texts, but {shots} shots and "
            f"{val_shots} for validation are asked for; ask for fewer"
        )
    return rows.take(np.sort(train)), rows.take(np.sort(val))
