"""A rehearsal of the search for label errors: flip labels on purpose, see how high they stand in the list."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.example import Example
from data.taxonomy import TASKS, Taxonomy
from experiments.label_errors import Suspect, rank_suspects
from experiments.out_of_fold import out_of_fold

__all__ = ["FLIPS", "Recovery", "flip_labels", "print_recovery", "recovery", "rehearse"]

Floats = NDArray[np.floating[Any]]
FLIPS = ("uniform", "confusable", "neighbour")
LOOKED_AT = 0.12


@dataclass(frozen=True, slots=True)
class Recovery:
    """How well labels flipped on purpose were found again. Shares."""

    flips: str
    task: str
    rows: int
    flipped: int
    in_first_12: float
    """Flipped rows that stand in the first 12 % of the list."""
    in_first_12_self_confidence: float
    """The same if the list were in the order of cleanlab's self-confidence score."""
    precision_at_1: float
    """Flipped rows among the first 1 %."""
    precision_at_5: float
    average_precision: float
    counted: int
    """Rows that confident learning counts among the errors."""
    counted_precision: float
    counted_recall: float


def flip_labels(
    examples: Sequence[Example],
    taxonomy: Taxonomy,
    task: str,
    share: float,
    flips: str = "uniform",
    seed: int = 1,
    probabilities: Floats | None = None,
) -> tuple[list[Example], NDArray[np.bool_]]:
    """A copy of the examples with a share of the labels made wrong, and which ones [examples].

    Args:
        flips: "uniform": any other label that occurs; "confusable": the other label that a model finds most
            probable (needs `probabilities` [examples, labels]); "neighbour": what a careless reader
            would take it for, only rows that name one, which are hard by themselves (category only).

    Raises:
        ValueError: the share or the kind is not possible.
    """
    if not 0 < share < 0.5:
        raise ValueError(f"share: expected above 0 and below 0.5, got {share}")
    if flips not in FLIPS or (flips == "neighbour" and task != "category"):
        raise ValueError(f"flips: {flips!r} of {task} is unknown; use one of {', '.join(FLIPS[:2])}")
    if flips == "confusable" and probabilities is None:
        raise ValueError("probabilities: confusable flips need what a model says of the examples")
    labels = taxonomy.label_map(task)
    generator = np.random.default_rng(seed)
    present = sorted({getattr(example, task) for example in examples})
    able = _can_flip(examples, flips)
    count = round(share * len(examples))
    if count > len(able):
        raise ValueError(f"share: {count} rows cannot be flipped, only {len(able)} name a neighbour")
    flipped = np.zeros(len(examples), bool)
    flipped[generator.choice(able, count, replace=False)] = True
    copies = list(examples)
    for row in np.flatnonzero(flipped):
        given = labels.label2id[getattr(examples[row], task)]
        if flips == "neighbour":
            wrong = examples[row].neighbour
        elif probabilities is not None and flips == "confusable":
            order = np.argsort(-probabilities[row], kind="stable")
            wrong = labels.labels[int(order[0] if order[0] != given else order[1])]
        else:
            wrong = str(generator.choice([label for label in present if label != labels.labels[given]]))
        copies[row] = dataclasses.replace(examples[row], **{task: wrong})
    return copies, flipped


def _can_flip(examples: Sequence[Example], flips: str) -> NDArray[np.int64]:
    if flips != "neighbour":
        return np.arange(len(examples))
    present = {example.category for example in examples}
    named = [row.neighbour in present and row.neighbour != row.category for row in examples]
    return np.flatnonzero(named)


def recovery(flips: str, task: str, suspects: Sequence[Suspect], wrong: set[str]) -> Recovery:
    """Measure how high the examples `wrong` (ids) stand in a ranking.

    Raises:
        ValueError: the ranking has no row of the task, or none of them is wrong.
    """
    ranked = [one for one in suspects if one.task == task]
    hit = np.array([one.id in wrong for one in ranked])
    if not hit.any():
        raise ValueError(f"wrong: none of the {len(ranked)} labels of {task} is flipped")
    place = np.arange(1, len(hit) + 1)
    counted = np.array([one.probable_error for one in ranked])
    right = int((hit & counted).sum())
    looked_at = int(LOOKED_AT * len(hit))
    by_confidence = np.argsort([one.label_probability for one in ranked], kind="stable")
    return Recovery(
        flips=flips,
        task=task,
        rows=len(hit),
        flipped=int(hit.sum()),
        in_first_12=float(hit[:looked_at].sum() / hit.sum()),
        in_first_12_self_confidence=float(hit[by_confidence[:looked_at]].sum() / hit.sum()),
        precision_at_1=float(hit[: max(1, len(hit) // 100)].mean()),
        precision_at_5=float(hit[: max(1, len(hit) // 20)].mean()),
        average_precision=float((np.cumsum(hit) / place)[hit].mean()),
        counted=int(counted.sum()),
        counted_precision=right / max(int(counted.sum()), 1),
        counted_recall=right / int(hit.sum()),
    )


def rehearse(
    examples: Sequence[Example],
    taxonomy: Taxonomy,
    share: float,
    folds: int = 5,
    seed: int = 1,
    vectors: Floats | None = None,
    progress: bool = False,
) -> list[Recovery]:
    """Flip labels on purpose, in each way and task, and measure how well they are found.

    Flips to neighbours are left out where too few rows name one.
    """
    clean = out_of_fold(examples, taxonomy, folds, seed, vectors=vectors, progress=progress)
    found = []
    for flips in FLIPS:
        for task in TASKS:
            few = len(_can_flip(examples, flips)) < 2 * share * len(examples)
            if flips == "neighbour" and (task != "category" or few):
                continue
            said = clean.probabilities[task]
            copies, flipped = flip_labels(examples, taxonomy, task, share, flips, seed, said)
            answers = out_of_fold(copies, taxonomy, folds, seed, (task,), vectors, progress)
            suspects = rank_suspects(copies, taxonomy, answers.probabilities)
            wrong = {example.id for example, is_flipped in zip(copies, flipped, strict=True) if is_flipped}
            found.append(recovery(flips, task, suspects, wrong))
    return found


def print_recovery(rows: Sequence[Recovery]) -> None:
    """Print the table of a rehearsal."""
    heads = {"in first 12 %": 14, "(self-confidence)": 18, "precision 1 %": 14, "5 %": 6, "average": 8}
    counts = {"counted": 8, "right": 6, "found": 6}
    print(f"{'flipped to':11} {'task':9} {'rows':>6} {'flipped':>8}"
          + "".join(f"{name:>{width}}" for name, width in {**heads, **counts}.items()))  # fmt: skip
    for row in rows:
        figures = (row.in_first_12, row.in_first_12_self_confidence, row.precision_at_1, row.precision_at_5)
        shown = zip((*figures, row.average_precision), heads.values(), strict=True)
        print(f"{row.flips:11} {row.task:9} {row.rows:6} {row.flipped:8}"
              + "".join(f"{value:{width}.3f}" for value, width in shown)
              + f"{row.counted:8}{row.counted_precision:6.3f}{row.counted_recall:6.3f}")  # fmt: skip
