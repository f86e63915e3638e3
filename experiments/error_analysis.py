"""Where a model errs, for people who read one error after the other: confusions, slices, look-alikes.

All of it rests on the predictions that every evaluated run keeps (`training.predictions`), so that no model
has to answer again; only look-alikes ask the model for its embeddings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.chats import Chat, unlabelled
from data.example import Example
from data.pictures import Picture, draw, named
from data.pii import mask
from experiments.slices import SMALL, find_slices
from labeling.agreement.coefficients import share
from labeling.queue import order_queue
from serving.exported import ExportedModel
from serving.predictor import Predictor
from training.predictions import Predictions

__all__ = [
    "Confusion",
    "LookAlike",
    "SliceRate",
    "ToLabel",
    "accuracy",
    "confused_rows",
    "confusions",
    "draw_slices",
    "look_alikes",
    "slice_rates",
    "what_to_label",
]

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Confusion:
    """Messages of one label that the model gives another."""

    truth: str
    answer: str
    count: int
    of: int
    """Test messages of this truth."""
    example: str
    """The one that the model is surest of."""
    score: float
    """What the model gives its answer there."""


@dataclass(frozen=True, slots=True)
class SliceRate:
    """Right answers in one part of the test messages, with Wilson's 95 % interval."""

    kind: str
    name: str
    rows: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LookAlike:
    """A wrong answer, and the training messages that lie nearest in the model's own eyes."""

    text: str
    truth: str
    answer: str
    like_answer: str
    """The nearest training message of the wrong label …"""
    near_answer: float
    """… and its cosine."""
    like_truth: str
    """The nearest of the right label."""
    near_truth: float


@dataclass(frozen=True, slots=True)
class ToLabel:
    """An unlabelled message that would teach much."""

    text: str
    guess: str
    zh: str
    score: float
    second: str


def accuracy(found: Predictions, task: str = "category") -> float:
    """Share of right answers over all messages."""
    return float((found.probabilities[task].argmax(1) == found.truth(task)).mean())


def confusions(found: Predictions, task: str = "category", most: int = 12) -> list[Confusion]:
    """The commonest confusions, most frequent first; texts are masked."""
    labels = found.taxonomy.label_map(task).labels
    truth, guess = found.truth(task), found.probabilities[task].argmax(1)
    score = found.probabilities[task].max(1)
    pairs: dict[tuple[int, int], list[int]] = defaultdict(list)
    for row in np.flatnonzero(truth != guess).tolist():
        pairs[int(truth[row]), int(guess[row])].append(row)
    ranked = sorted(pairs.items(), key=lambda item: (-len(item[1]), item[0]))[:most]
    rows = []
    for (right, wrong), members in ranked:
        surest = max(members, key=lambda row: score[row])
        count = int((truth == right).sum())
        text = found.rows[surest]["text"]
        rows.append(Confusion(labels[right], labels[wrong], len(members), count, text, float(score[surest])))
    return rows


def slice_rates(found: Predictions, task: str = "category") -> list[SliceRate]:
    """Accuracy on each slice of `experiments.slices`, without those of fewer than `SMALL` rows."""
    hits = found.probabilities[task].argmax(1) == found.truth(task)
    rates = []
    for part in find_slices(found.rows, found.taxonomy):
        inside = int(part.inside.sum())
        rate = share(int(hits[part.inside].sum()), inside)
        if rate and inside >= SMALL:
            rates.append(SliceRate(part.kind, part.name, inside, rate.rate, rate.low, rate.high))
    return rates


def draw_slices(rates: Sequence[SliceRate], overall: float, title: str) -> Picture:
    """Accuracy by slice with intervals; the dotted line is the accuracy on all messages."""

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        axes.axvline(overall, color="#999", linestyle=":")
        for place, rate in enumerate(rates):
            below = rate.high < overall
            colour = "#c62828" if below else "#2e7d32" if rate.low > overall else "#607d8b"
            axes.plot([rate.low, rate.high], [place, place], color=colour, linewidth=2)
            axes.plot([rate.accuracy], [place], "o", color=colour)
        names = [f"{rate.kind}: {_label(rate.name)} ({rate.rows})" for rate in rates]
        axes.set_yticks(range(len(rates)), names)
        axes.margins(y=0.02)
        axes.invert_yaxis()
        axes.set(title=title, xlabel="accuracy (95 % interval); red and green: away from the whole")

    return draw(paint, 9.0, 0.24 * max(len(rates), 1) + 1.1)


def _label(name: str) -> str:
    """A slice's name where Chinese may not be drawn: "logistics 物流" has both."""
    key, _, zh = name.rpartition(" ")
    return named(key, zh) if key and not zh.isascii() else name


def look_alikes(
    model: ExportedModel,
    found: Predictions,
    test: Sequence[Example],
    train: Sequence[Example],
    task: str = "category",
    most: int = 8,
    each: int = 60,
) -> list[LookAlike]:
    """For the surest wrong answers, one of each confusion, the nearest training messages of both labels.

    Cosine of the model's embeddings of messages in context, centred: what all messages share tells none
    apart.

    Args:
        test: the examples behind `found`, in any order.
        train: messages to look among; at most `each` of every label are embedded, the first ones.
    """
    labels = found.taxonomy.label_map(task).labels
    truth, guess = found.truth(task), found.probabilities[task].argmax(1)
    score, by_id = found.probabilities[task].max(1), {row.id: row for row in test}
    chosen: dict[tuple[str, str], Example] = {}
    for row in np.argsort(-score, kind="stable").tolist():
        pair = labels[truth[row]], labels[guess[row]]
        example = by_id.get(found.rows[row]["id"])
        if pair[0] != pair[1] and example is not None and len(chosen) < most:
            chosen.setdefault(pair, example)
    pool: dict[str, list[Example]] = defaultdict(list)
    wanted = {label for pair in chosen for label in pair}
    for example in train:
        label = getattr(example, task)
        if label in wanted and len(pool[label]) < each:
            pool[label].append(example)
    known = [example for members in pool.values() for example in members]
    if not chosen or not known:
        return []
    units = _units(model, [*chosen.values(), *known])
    asked, rest = units[: len(chosen)], units[len(chosen) :]
    rows = []
    for vector, ((right, wrong), example) in zip(asked, chosen.items(), strict=True):
        close = rest @ vector
        near = {label: _nearest(known, close, task, label) for label in (wrong, right)}
        rows.append(LookAlike(mask(example.text), right, wrong, *near[wrong], *near[right]))
    return rows


def _units(model: ExportedModel, examples: Sequence[Example]) -> Floats:
    vectors = model.opinions([(row.text, row.context) for row in examples]).embedding
    vectors = vectors - vectors.mean(0)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def _nearest(known: Sequence[Example], close: Floats, task: str, label: str) -> tuple[str, float]:
    own = [row for row, example in enumerate(known) if getattr(example, task) == label]
    if not own:
        return "", 0.0
    best = max(own, key=lambda row: close[row])
    return mask(known[best].text), float(close[best])


def confused_rows(
    examples: Sequence[Example], pairs: Sequence[Confusion], task: str = "category", each: int = 150
) -> list[Example]:
    """Examples of the labels that are confused, at most `each` of a label: where label errors hurt most."""
    wanted = {label for pair in pairs for label in (pair.truth, pair.answer)}
    taken: dict[str, int] = defaultdict(int)
    rows = []
    for example in examples:
        label = getattr(example, task)
        if label in wanted and taken[label] < each:
            taken[label] += 1
            rows.append(example)
    return rows


def what_to_label(predictor: Predictor, chats: Sequence[Chat], count: int = 10) -> list[ToLabel]:
    """Customer messages of a log, most worth labelling first, spread over what customers talk about."""
    messages = unlabelled(chats)
    opinions = predictor.opinions(messages)
    probabilities, labels = opinions.probabilities["category"], opinions.labels["category"]
    rows = []
    for index in order_queue("diverse", probabilities, count, opinions.embedding):
        first, second = np.argsort(-probabilities[index])[:2].tolist()
        zh = predictor.taxonomy.category[labels[first]].zh
        score = float(probabilities[index, first])
        rows.append(ToLabel(mask(messages[index][0]), labels[first], zh, score, labels[second]))
    return rows
