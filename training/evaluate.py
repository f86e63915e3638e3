"""The figures of a model: a pure function of its probabilities and the rows they belong to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.example import Example
from data.taxonomy import Taxonomy
from training.metrics import (
    confusion,
    expected_calibration_error,
    macro_f1,
    per_class,
    top_k_accuracy,
)

__all__ = ["TaskReport", "evaluate_task", "polarity_accuracy"]


@dataclass(frozen=True)
class TaskReport:
    """What a reviewer wants to know of one task on one split."""

    task: str
    metrics: dict[str, float]
    """Names without the split: `category_macro_f1`, `emotion_ece`, …"""
    classes: list[dict[str, Any]]
    authors: dict[str, dict[str, float]]
    reliability: list[dict[str, float]]
    confusion: NDArray[np.int64]
    worst: list[dict[str, Any]]
    """The commonest confusions, most frequent first, with examples."""


def polarity_accuracy(target: Sequence[str], guess: Sequence[str], taxonomy: Taxonomy) -> float:
    """Share of rows whose emotion has the true polarity."""
    polarity = {key: emotion.polarity for key, emotion in taxonomy.emotion.items()}
    same = [polarity[one] == polarity[two] for one, two in zip(target, guess, strict=True)]
    return float(np.mean(same))


def evaluate_task(
    task: str,
    examples: Sequence[Example],
    probabilities: NDArray[np.floating[Any]],
    taxonomy: Taxonomy,
    thresholds: dict[str, float],
    without_context: NDArray[np.floating[Any]] | None = None,
) -> TaskReport:
    """Compare probabilities [rows, labels] with the rows' labels.

    Args:
        thresholds: the task's stored calibration (`abstain_below`, `red_above`).
        without_context: probabilities of the same rows with their context left out.

    Raises:
        ValueError: there are no rows, or numbers do not match.
    """
    labels = taxonomy.label_map(task)
    if not examples or probabilities.shape != (len(examples), len(labels.labels)):
        raise ValueError(f"{task}: {len(examples)} rows, probabilities {probabilities.shape}")
    size = len(labels.labels)
    target = np.array([labels.label2id[getattr(row, task)] for row in examples])
    guess = probabilities.argmax(axis=1)
    hit = guess == target
    error, reliability = expected_calibration_error(target, probabilities)
    matrix = confusion(target, guess, size)
    metrics = {
        "accuracy": float(hit.mean()),
        "macro_f1": macro_f1(target, guess, size),
        "ece": error,
        "rows": float(len(examples)),
    }
    metrics |= _abstention(probabilities, hit, thresholds["abstain_below"])
    if size > 3:
        metrics["top3"] = top_k_accuracy(target, probabilities, 3)
    if task == "emotion":
        names = [labels.labels[index] for index in guess]
        truth = [row.emotion for row in examples]
        metrics["polarity_accuracy"] = polarity_accuracy(truth, names, taxonomy)
        metrics |= _red(target, probabilities, labels.labels, thresholds["red_above"])
    in_context = np.array([bool(row.context) for row in examples])
    if in_context.any() and without_context is not None:
        alone = without_context.argmax(axis=1) == target
        metrics["accuracy_in_context"] = float(hit[in_context].mean())
        metrics["accuracy_context_left_out"] = float(alone[in_context].mean())
    if (~in_context).any():
        metrics["accuracy_single"] = float(hit[~in_context].mean())
    return TaskReport(
        task,
        {f"{task}_{name}": value for name, value in metrics.items()},
        _classes(matrix, labels.labels),
        _authors(examples, target, guess, size),
        reliability,
        matrix,
        _worst(examples, target, guess, probabilities, labels.labels),
    )


def _abstention(
    probabilities: NDArray[np.floating[Any]], hit: NDArray[np.bool_], threshold: float
) -> dict[str, float]:
    answered = probabilities.max(axis=1) >= threshold
    return {
        "abstained": float((~answered).mean()),
        "answered_accuracy": float(hit[answered].mean()) if answered.any() else 0.0,
    }


def _red(
    target: NDArray[np.integer[Any]],
    probabilities: NDArray[np.floating[Any]],
    labels: Sequence[str],
    threshold: float,
) -> dict[str, float]:
    if "angry" not in labels:
        return {}
    index = list(labels).index("angry")
    red, angry = probabilities[:, index] >= threshold, target == index
    recall = float(red[angry].mean()) if angry.any() else 0.0
    return {"angry_recall": recall, "angry_false_rate": float(red[~angry].mean())}


def _classes(matrix: NDArray[np.int64], labels: Sequence[str]) -> list[dict[str, Any]]:
    figures = per_class(matrix)
    return [
        {"label": label, **{name: float(values[index]) for name, values in figures.items()}}
        for index, label in enumerate(labels)
    ]


def _authors(
    examples: Sequence[Example],
    target: NDArray[np.integer[Any]],
    guess: NDArray[np.integer[Any]],
    size: int,
) -> dict[str, dict[str, float]]:
    rows: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(examples):
        rows[row.author].append(index)
    return {
        author: {
            "rows": float(len(indices)),
            "accuracy": float((target[indices] == guess[indices]).mean()),
            "macro_f1": macro_f1(target[indices], guess[indices], size),
        }
        for author, indices in sorted(rows.items())
    }


def _worst(
    examples: Sequence[Example],
    target: NDArray[np.integer[Any]],
    guess: NDArray[np.integer[Any]],
    probabilities: NDArray[np.floating[Any]],
    labels: Sequence[str],
    limit: int = 25,
) -> list[dict[str, Any]]:
    pairs: dict[tuple[int, int], list[int]] = defaultdict(list)
    for index in np.flatnonzero(target != guess):
        pairs[int(target[index]), int(guess[index])].append(int(index))
    ranked = sorted(pairs.items(), key=lambda item: (-len(item[1]), item[0]))[:limit]
    return [
        {
            "truth": labels[truth],
            "answer": labels[answer],
            "count": len(indices),
            "examples": [
                {"id": examples[index].id, "text": examples[index].text,
                 "score": round(float(probabilities[index, answer]), 3)}
                for index in indices[:5]
            ],
        }
        for (truth, answer), indices in ranked
    ]  # fmt: skip
