"""Two models' answers to one task on the same rows: figures, changed answers, labels, slices, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.paired import (
    Difference,
    class_f1_samples,
    difference,
    macro_f1_samples,
    mcnemar,
    mean_samples,
)
from experiments.slices import SliceResult, compare_slices, find_slices
from training.metrics import expected_calibration_error, macro_f1
from training.predictions import Predictions

__all__ = ["ClassChange", "TaskComparison", "compare_task", "places"]


@dataclass(frozen=True)
class ClassChange:
    """One label in both models' answers."""

    label: str
    support: int
    """Test rows that truly have it."""
    f1: Difference
    fixed: list[int]
    """Rows that truly have it, right only in B."""
    broken: list[int]
    """Rows that truly have it, right only in A."""
    drawn: list[int]
    """Rows of other labels to which only B gives this one: the other way to lose F1."""


@dataclass(frozen=True)
class TaskComparison:
    """Both models' answers to one task, on the same rows."""

    task: str
    labels: tuple[str, ...]
    truth: NDArray[np.int64]
    """[rows] index of the true label; answers likewise."""
    answers: tuple[NDArray[np.int64], NDArray[np.int64]]
    scores: tuple[NDArray[np.float32], NDArray[np.float32]]
    """[rows] probability of each answer."""
    figures: dict[str, Difference]
    """`macro_f1`, `accuracy`, `top3`; for emotion `angry_recall` and `angry_false_rate` too."""
    fixed: list[int]
    """Rows that only B answers right, those it is surest of first."""
    broken: list[int]
    """Rows that only A answers right, those B is surest of first."""
    p_value: float
    """McNemar's exact test of fixed against broken."""
    classes: list[ClassChange]
    slices: list[SliceResult]
    calibration: tuple[tuple[float, list[dict[str, float]]], tuple[float, list[dict[str, float]]]]
    """Of each model the expected calibration error and its bins."""


def places(found: Predictions, keys: Sequence[tuple[str, str]]) -> list[int]:
    """Where these rows stand in one model's predictions."""
    at = {key: place for place, key in enumerate(found.keys())}
    return [at[key] for key in keys]


def compare_task(
    task: str,
    a: Predictions,
    b: Predictions,
    keys: Sequence[tuple[str, str]],
    weights: NDArray[np.float32],
) -> TaskComparison:
    """Both models' figures and answers to one task.

    Args:
        keys: the rows to compare, as `Predictions.keys`; both have them, with the same labels.
        weights: [times, rows], from `experiments.paired.bootstrap_weights`.
    """
    # Label schemas may differ: a label that a model does not know has probability 0.
    labels = tuple(dict.fromkeys((*b.taxonomy.label_map(task).labels, *a.taxonomy.label_map(task).labels)))
    index = {label: place for place, label in enumerate(labels)}
    rows = [b.rows[place] for place in places(b, keys)]
    truth = np.array([index[row[task]] for row in rows], np.int64)
    spread = [_spread(found, task, keys, index) for found in (a, b)]
    guesses = [values.argmax(1) for values in spread]
    scores = [values.max(1) for values in spread]
    hits = [guess == truth for guess in guesses]
    figures = {
        "macro_f1": difference(
            macro_f1(truth, guesses[0], len(labels)),
            macro_f1(truth, guesses[1], len(labels)),
            macro_f1_samples(weights, truth, guesses[0], len(labels)),
            macro_f1_samples(weights, truth, guesses[1], len(labels)),
        ),
        "accuracy": _mean(hits, weights),
    }
    if len(labels) > 3:
        best = [np.argsort(-values, axis=1)[:, :3] for values in spread]
        figures["top3"] = _mean([(one == truth[:, None]).any(1) for one in best], weights)
    if task == "emotion" and "angry" in index:
        angry = truth == index["angry"]
        red = [
            values[:, index["angry"]] >= found.thresholds[task].get("red_above", 0.5)
            for values, found in zip(spread, (a, b), strict=True)
        ]
        if angry.any():
            figures["angry_recall"] = _mean(red, weights, angry)
        if not angry.all():
            figures["angry_false_rate"] = _mean(red, weights, ~angry)
    fixed, broken = ~hits[0] & hits[1], hits[0] & ~hits[1]
    surest = np.argsort(-scores[1], kind="stable")
    return TaskComparison(
        task,
        labels,
        truth,
        (guesses[0], guesses[1]),
        (scores[0], scores[1]),
        figures,
        [int(row) for row in surest if fixed[row]],
        [int(row) for row in surest if broken[row]],
        mcnemar(int(fixed.sum()), int(broken.sum())),
        _classes(labels, truth, guesses, weights),
        compare_slices(find_slices(rows, b.taxonomy), hits[0], hits[1], weights),
        (expected_calibration_error(truth, spread[0]), expected_calibration_error(truth, spread[1])),
    )


def _spread(
    found: Predictions, task: str, keys: Sequence[tuple[str, str]], index: dict[str, int]
) -> NDArray[np.float32]:
    values = found.probabilities[task][places(found, keys)]
    wide = np.zeros((len(keys), len(index)), np.float32)
    wide[:, [index[label] for label in found.taxonomy.label_map(task).labels]] = values
    return wide


def _mean(
    values: Sequence[NDArray[np.bool_]],
    weights: NDArray[np.float32],
    within: NDArray[np.bool_] | None = None,
) -> Difference:
    inside = slice(None) if within is None else within
    points = [float(one[inside].mean()) for one in values]
    samples = [mean_samples(weights, one, within) for one in values]
    return difference(points[0], points[1], samples[0], samples[1])


def _classes(
    labels: Sequence[str],
    truth: NDArray[np.int64],
    guesses: Sequence[NDArray[np.int64]],
    weights: NDArray[np.float32],
) -> list[ClassChange]:
    """Every label that occurs, the largest loss of F1 first."""
    size = len(labels)
    samples = [class_f1_samples(weights, truth, guess, size) for guess in guesses]
    every = np.ones((1, len(truth)), np.float32)
    points = [class_f1_samples(every, truth, guess, size)[0] for guess in guesses]
    changes = []
    for place, label in enumerate(labels):
        true = truth == place
        said = [guess == place for guess in guesses]
        if not (true.any() or said[0].any() or said[1].any()):
            continue
        f1 = difference(points[0][place], points[1][place], samples[0][:, place], samples[1][:, place])
        parts = (true & ~said[0] & said[1], true & said[0] & ~said[1], ~true & ~said[0] & said[1])
        fixed, broken, drawn = ([int(row) for row in np.flatnonzero(part)] for part in parts)
        changes.append(ClassChange(label, int(true.sum()), f1, fixed, broken, drawn))
    return sorted(changes, key=lambda change: change.f1.value)
