"""What the clinic looks at: messages with people's answers, a model's opinion and a vector, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.example import Example
from data.pii import mask
from data.taxonomy import Taxonomy
from labeling.agreement.answers import read_answers
from labeling.clinic.report import CaseText
from labeling.task import Task

__all__ = ["Messages", "gather", "show_case"]

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Messages:
    """Everything that is known of the messages, one row each."""

    texts: list[str]
    counts: Ints
    """[messages, categories]."""
    undecided: NDArray[np.bool_]
    label: Ints
    """[messages]: what most people said, -1 where they are split evenly or none decided."""
    said: Floats
    """[messages, categories]: the model's probabilities; zero where it was not asked."""
    vectors: Floats | None
    """[messages, dimensions]; zero where there is none."""

    @property
    def asked(self) -> NDArray[np.bool_]:
        """[messages]: whether the model was asked."""
        return self.said.sum(1) > 0


def gather(
    tasks: Sequence[Task],
    examples: Sequence[Example],
    taxonomy: Taxonomy,
    model: Mapping[str, Any],
    vectors: Mapping[str, Any],
) -> Messages:
    """Arrange annotated tasks and labelled examples; arguments as for `labeling.clinic.examine`.

    Raises:
        ValueError: there is nothing to look at, a label is not in the schema, or a model's answer is not
            over the categories of the schema.
    """
    labels = taxonomy.label_map("category")
    size = len(labels.labels)
    texts: list[str] = []
    names: list[tuple[str, ...]] = []
    counts, undecided = [], []
    if tasks and (any(task.annotations for task in tasks) or not examples):
        answers = read_answers(tasks, taxonomy)
        for row, task in enumerate(answers.tasks):
            texts.append(task.text)
            names.append((task.key, task.source or task.key, f"ls-{task.project}-{task.id}"))
            counts.append(answers.tables["category"].counts[row])
            undecided.append(any(one.undecided for one in task.annotations))
    for example in examples:
        if example.category not in labels.label2id:
            raise ValueError(f"{example.id}: category {example.category!r} is not in the schema")
        texts.append(example.text)
        names.append((example.id,))
        counts.append(np.eye(size, dtype=np.int64)[labels.label2id[example.category]])
        undecided.append(False)
    if not texts:
        raise ValueError("tasks: none given, and no examples; pull a project with answers first")
    table = np.stack(counts).astype(np.int64)
    best = table.max(1)
    clear = (best > 0) & ((table == best[:, None]).sum(1) == 1)
    said = np.zeros((len(texts), size))
    points: list[Any] = []
    for row, keys in enumerate(names):
        opinion = next((model[key] for key in keys if key in model), None)
        if opinion is not None:
            said[row] = _probabilities(opinion, labels.label2id, f"model: {keys[0]}")
        points.append(next((vectors[key] for key in keys if key in vectors), None))
    known = next((point for point in points if point is not None), None)
    space = None
    if known is not None:
        space = np.stack([np.zeros(len(known)) if point is None else np.asarray(point) for point in points])
    label = np.where(clear, table.argmax(1), -1)
    return Messages(texts, table, np.array(undecided), label, said, space)


def _probabilities(opinion: Any, place: Mapping[str, int], where: str) -> Floats:
    values = np.zeros(len(place))
    if isinstance(opinion, Mapping):
        if unknown := sorted(set(opinion) - set(place)):
            raise ValueError(f"{where}: {unknown[0]!r} is not a category; ask a model of this schema")
        for name, value in opinion.items():
            values[place[name]] = value
        return values
    if len(opinion) != len(place):
        raise ValueError(f"{where}: {len(opinion)} probabilities for {len(place)} categories")
    return np.asarray(opinion, float)


def show_case(messages: Messages, taxonomy: Taxonomy, row: int) -> CaseText:
    """One message as evidence: its text masked, what people said, what the model said."""
    labels = taxonomy.label_map("category").labels
    counts = messages.counts[row]
    people = {
        labels[place]: int(counts[place]) for place in np.argsort(-counts, kind="stable") if counts[place]
    }
    best = int(messages.said[row].argmax())
    known = bool(messages.said[row].sum() > 0)
    chance = round(float(messages.said[row, best]), 3)
    return CaseText(
        mask(messages.texts[row]), people, labels[best] if known else None, chance if known else None
    )
