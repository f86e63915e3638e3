"""Figures, predictions and pictures of a benchmark's answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.files import write_jsonl
from data.pictures import Picture, draw
from data.sources.rows import Rows
from training.metrics import confusion, macro_f1, per_class

__all__ = ["Answers", "answers", "confusion_picture", "curve_picture", "figures", "write_answers"]

_CLASSES = 12  # in the picture of confusions: more cannot be read


@dataclass(frozen=True)
class Answers:
    """What a model said of labelled rows."""

    names: tuple[str, ...]
    """Labels of training, then those that only the rows have."""
    target: NDArray[np.int64]
    """[rows], numbers of names."""
    guess: NDArray[np.int64]
    score: NDArray[np.float64]
    """Probability of the guess [rows]."""


def answers(
    guess: NDArray[np.int64], score: NDArray[np.float64], labels: Sequence[str], truth: Sequence[str]
) -> Answers:
    """The answer to each row beside the truth.

    Args:
        guess: [rows] numbers of labels.
        score: [rows] their probabilities.
        labels: those of training.
        truth: [rows] labels, also such that `labels` lacks: those are never answered, and count as errors.
    """
    names = (*labels, *sorted(set(truth) - set(labels)))
    number = {name: index for index, name in enumerate(names)}
    target = np.array([number[one] for one in truth], np.int64)
    return Answers(names, target, guess, score)


def figures(found: Answers) -> dict[str, Any]:
    """`accuracy`, `macro_f1` (over classes that occur as truth or answer), `n`, and by name `classes`."""
    size = len(found.names)
    matrix = confusion(found.target, found.guess, size)
    table = per_class(matrix)
    occurs = (matrix.sum(0) + matrix.sum(1)) > 0
    return {
        "accuracy": float((found.target == found.guess).mean()),
        "macro_f1": macro_f1(found.target, found.guess, size),
        "n": len(found.target),
        "classes": {
            name: {key: float(values[index]) for key, values in table.items()}
            for index, name in enumerate(found.names)
            if occurs[index]
        },
    }


def write_answers(path: Path, rows: Rows, found: Answers) -> int:
    """Write `text`, `label`, `prediction`, `score` of each row as JSON Lines; returns their number."""

    def lines() -> Iterable[dict[str, Any]]:
        for row, target, guess, score in zip(rows, found.target, found.guess, found.score, strict=True):
            yield {
                "text": row.text,
                "label": found.names[target],
                "prediction": found.names[guess],
                "score": round(float(score), 6),
            }

    return write_jsonl(path, lines())


def confusion_picture(found: Answers) -> Picture:
    """The classes with most errors against what they were taken for, as shares of their rows."""
    matrix = confusion(found.target, found.guess, len(found.names))
    errors = matrix.sum(1) - np.diag(matrix)
    worst = [int(one) for one in np.argsort(-errors, kind="stable")[:_CLASSES] if errors[one]]
    taken = matrix[worst].copy()
    for place, label in enumerate(worst):
        taken[place, label] = 0
    mistaken = [
        int(one) for one in np.argsort(-taken.sum(0), kind="stable")[:_CLASSES] if taken[:, one].any()
    ]
    columns = [*worst, *(one for one in mistaken if one not in worst)]

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        if not worst:
            axes.set_title("no row was answered wrongly")
            axes.axis("off")
            return
        share = matrix[np.ix_(worst, columns)] / np.maximum(matrix[worst].sum(1, keepdims=True), 1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for (row, column), value in np.ndenumerate(matrix[np.ix_(worst, columns)]):
            if value:
                colour = "white" if share[row, column] > 0.5 else "black"
                axes.text(column, row, int(value), ha="center", va="center", fontsize=7, color=colour)
        axes.set_xticks(range(len(columns)), [_short(found.names[one]) for one in columns], rotation=90)
        axes.set_yticks(range(len(worst)), [_short(found.names[one]) for one in worst])
        axes.set_xlabel("answer")
        axes.set_ylabel("truth")
        axes.set_title(
            f"Classes with most errors ({len(found.target):,} rows; counts, shade is share of the class)"
        )

    side = 2.6 + 0.32 * len(worst)
    return draw(paint, width=3.0 + 0.36 * max(len(columns), 12), height=max(3.2, side))


def _short(label: str) -> str:
    # A dollar sign begins a formula in a picture's text.
    label = label.replace("$", r"\$")
    return label if len(label) <= 28 else label[:27] + "…"


def curve_picture(points: Sequence[dict[str, float]]) -> Picture:
    """Loss, and accuracy and macro-F1 on validation, by epoch."""

    def paint(figure: Any) -> None:
        left, right = figure.subplots(1, 2)
        epochs = [point["epoch"] for point in points]
        for axes, names in ((left, ("train_loss", "val_loss")), (right, ("val_accuracy", "val_macro_f1"))):
            for name in names:
                values = [point.get(name, np.nan) for point in points]
                axes.plot(epochs, values, marker="o", markersize=3, label=name.replace("_", " "))
            axes.set_xlabel("epoch")
            axes.legend(frameon=False)
        left.set_title("Loss")
        right.set_title("Validation")

    return draw(paint)
