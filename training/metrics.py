"""Figures about answers: plain functions of arrays, the same for every task."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["confusion", "expected_calibration_error", "macro_f1", "per_class", "top_k_accuracy"]

Ints = NDArray[np.integer]
Floats = NDArray[np.floating]


def confusion(target: Ints, guess: Ints, size: int) -> NDArray[np.int64]:
    """Counts [size, size]: rows are the truth, columns the answer."""
    matrix = np.zeros((size, size), np.int64)
    np.add.at(matrix, (target, guess), 1)
    return matrix


def per_class(matrix: NDArray[np.int64]) -> dict[str, Floats]:
    """Precision, recall, F1 and support of each class from a confusion matrix; 0 for 0 / 0."""
    hit = np.diag(matrix).astype(float)
    predicted, support = matrix.sum(0), matrix.sum(1)
    precision = np.divide(hit, predicted, out=np.zeros_like(hit), where=predicted > 0)
    recall = np.divide(hit, support, out=np.zeros_like(hit), where=support > 0)
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(hit), where=total > 0)
    return {"precision": precision, "recall": recall, "f1": f1, "support": support}


def macro_f1(target: Ints, guess: Ints, size: int) -> float:
    """Mean F1 over the classes that occur in `target` or `guess`."""
    matrix = confusion(target, guess, size)
    present = (matrix.sum(0) + matrix.sum(1)) > 0
    return float(per_class(matrix)["f1"][present].mean()) if present.any() else 0.0


def top_k_accuracy(target: Ints, probabilities: Floats, k: int) -> float:
    """Share of rows whose truth is among the k most probable labels."""
    best = np.argsort(-probabilities, axis=1)[:, :k]
    return float((best == np.asarray(target)[:, None]).any(1).mean())


def expected_calibration_error(
    target: Ints, probabilities: Floats, bins: int = 15
) -> tuple[float, list[dict[str, float]]]:
    """Expected calibration error of the top label with equal-width bins, and the bins.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017.
    """
    confidence = probabilities.max(1)
    correct = probabilities.argmax(1) == target
    edges = np.linspace(0, 1, bins + 1)
    which = np.clip(np.digitize(confidence, edges[1:-1], right=True), 0, bins - 1)
    error, rows = 0.0, []
    for index in range(bins):
        inside = which == index
        if not inside.any():
            continue
        gap = abs(correct[inside].mean() - confidence[inside].mean())
        error += gap * inside.mean()
        rows.append(
            {
                "confidence": float(confidence[inside].mean()),
                "accuracy": float(correct[inside].mean()),
                "share": float(inside.mean()),
            }
        )
    return float(error), rows
