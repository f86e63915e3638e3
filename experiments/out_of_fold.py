"""What a model says of every example without having learnt from it: out-of-fold probabilities.

Two views as in the shipped model, but quick ones: the n-gram view, and a linear model on the frozen
built-in encoder. Their weight and temperature are fitted, for each fold, on the answers for the others.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data.encoding import Message
from data.example import Example
from data.files import write_jsonl
from data.ngrams import NgramView
from data.split import check_labels, near_groups
from data.taxonomy import TASKS, LabelMap, Taxonomy

__all__ = ["OutOfFold", "deal_folds", "out_of_fold", "write_answers"]

Floats = NDArray[np.floating[Any]]
NGRAM_BUCKETS, NGRAM_STRENGTH = 131072, 0.5
DENSE_PENALTY = 1e-4
CALIBRATION_ROWS = 8000  # two numbers need no more
FEWEST_ROWS = 100  # with fewer, a temperature of their own would be noise
NEAR_DUPLICATE = 0.85


@dataclass(frozen=True)
class OutOfFold:
    """Answers for every example by a model of the other folds."""

    fold: NDArray[np.int64]
    """[examples], from 0."""
    probabilities: dict[str, Floats]
    """By task, calibrated, [examples, labels of the schema]."""


def deal_folds(examples: Sequence[Example], taxonomy: Taxonomy, folds: int, seed: int) -> NDArray[np.int64]:
    """Deal examples into folds, evenly over the categories: fold numbers from 0, [examples].

    Turns of one conversation and near-duplicates stay together, or a model would know the answer.

    Raises:
        ValueError: fewer than two folds, fewer examples than folds, a label that is not in the schema, or
            one that would be missing where its own examples are asked about.
    """
    if folds < 2:
        raise ValueError(f"folds: expected 2 or more, got {folds}")
    if len(examples) < folds:
        raise ValueError(
            f"examples: {len(examples)} are fewer than {folds} folds; label more, or ask for fewer"
        )
    check_labels(examples, taxonomy)
    members: dict[int, list[int]] = defaultdict(list)
    for row, group in enumerate(near_groups(examples, NEAR_DUPLICATE)):
        members[int(group)].append(row)
    order = np.random.default_rng(seed).permutation(len(members))
    filled: dict[str, Counter[int]] = defaultdict(Counter)
    total: Counter[int] = Counter()
    fold = np.zeros(len(examples), np.int64)
    # The largest groups first: small ones then even out what those left uneven.
    for rows in sorted((members[int(group)] for group in order), key=len, reverse=True):
        categories = Counter(examples[row].category for row in rows)
        main = categories.most_common(1)[0][0]
        chosen = min(range(folds), key=lambda number: (filled[main][number], total[number]))
        fold[rows] = chosen
        total[chosen] += len(rows)
        for category, count in categories.items():
            filled[category][chosen] += count
    for task in TASKS:
        seen: dict[str, set[int]] = defaultdict(set)
        for number, example in zip(fold.tolist(), examples, strict=True):
            seen[getattr(example, task)].add(number)
        if alone := sorted(label for label, numbers in seen.items() if len(numbers) < 2):
            count = sum(getattr(example, task) == alone[0] for example in examples)
            raise ValueError(
                f"{task}: all {count} examples of {alone[0]!r} stand in one fold, so that no model "
                "can know it when it is asked; label more of them (in other conversations), or leave them out"
            )
    return fold


def out_of_fold(
    examples: Sequence[Example],
    taxonomy: Taxonomy,
    folds: int = 5,
    seed: int = 1,
    tasks: Sequence[str] = TASKS,
    vectors: Floats | None = None,
    progress: bool = False,
) -> OutOfFold:
    """Ask of every example models that did not learn from it, its conversation or near-duplicates.

    Args:
        vectors: [examples, dims] of `experiments.embeddings.embed`; None: the n-gram view answers alone,
            which is quicker and worse.
        progress: show a bar.

    Raises:
        ValueError: as `deal_folds`, or `vectors` are not as many as the examples.
    """
    from training.fit import targets

    if vectors is not None and len(vectors) != len(examples):
        raise ValueError(f"vectors: {len(vectors)} for {len(examples)} examples; embed the same ones")
    fold = deal_folds(examples, taxonomy, folds, seed)
    label_maps = {task: taxonomy.label_map(task) for task in tasks}
    target = targets(examples, label_maps)
    scaled = None if vectors is None else _standardised(vectors)
    probabilities: dict[str, Floats] = {}
    with tqdm(total=folds * len(tasks), unit="model", desc="out of fold", disable=not progress) as bar:
        for task in tasks:
            # Labels without examples would only take probability from the others.
            present, codes = np.unique(target[task], return_inverse=True)
            views = _fold_logits(examples, codes, len(present), fold, scaled, bar)
            values = np.zeros((len(examples), len(label_maps[task].labels)))
            values[:, present] = _calibrated(*views, codes, fold, examples, seed)
            probabilities[task] = values
    return OutOfFold(fold, probabilities)


def _standardised(vectors: Floats) -> NDArray[np.float32]:
    return ((vectors - vectors.mean(0)) / (vectors.std(0) + 1e-6)).astype(np.float32)


def _fold_logits(
    examples: Sequence[Example],
    target: NDArray[np.int64],
    size: int,
    fold: NDArray[np.int64],
    vectors: NDArray[np.float32] | None,
    bar: Any,
) -> tuple[Floats, Floats | None]:
    """Both views' logits as (encoder, lexical), or (lexical, None) where there are no vectors."""
    from training.lexical import fit_lexical

    view = NgramView(NGRAM_BUCKETS)
    messages: list[Message] = [(example.text, example.context) for example in examples]
    lexical, dense = np.zeros((len(examples), size)), np.zeros((len(examples), size))
    for number in range(int(fold.max()) + 1):
        known, asked = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        model = fit_lexical(
            [messages[row] for row in known], target[known].tolist(), size, view, NGRAM_STRENGTH
        )
        lexical[asked] = model.margins([messages[row] for row in asked], view)
        if vectors is not None:
            dense[asked] = _fit_dense(vectors[known], target[known], size, vectors[asked])
        bar.update()
    # Margins lie closer together than logits: brought into the reach of the temperature.
    return (4 * lexical, None) if vectors is None else (dense, lexical)


def _fit_dense(
    known: NDArray[np.float32], target: NDArray[np.int64], size: int, asked: NDArray[np.float32]
) -> Floats:
    """Logits [asked, size] of multinomial logistic regression."""
    import torch

    features, answers = torch.from_numpy(known), torch.from_numpy(target)
    weight = torch.zeros(features.shape[1], size, requires_grad=True)
    bias = torch.zeros(size, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(features @ weight + bias, answers)
        value = value + DENSE_PENALTY * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return np.asarray(asked @ weight.detach().numpy() + bias.detach().numpy(), float)


def _calibrated(
    first: Floats,
    second: Floats | None,
    target: NDArray[np.int64],
    fold: NDArray[np.int64],
    examples: Sequence[Example],
    seed: int,
) -> Floats:
    """Probabilities of one or two views; each fold's weight and temperature are fitted on the others."""
    from training.calibrate import TaskCalibration, fit_temperature, fit_views

    in_context = np.array([bool(example.context) for example in examples])
    generator = np.random.default_rng(seed)

    def fit(rows: NDArray[np.int64]) -> tuple[float, float]:
        rows = generator.permutation(rows)[:CALIBRATION_ROWS]
        if second is None:
            return fit_temperature(first[rows], target[rows]), 0.0
        return fit_views(first[rows], second[rows], target[rows])

    probabilities = np.zeros_like(first)
    for number in range(int(fold.max()) + 1):
        others, asked = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        kinds = (others[~in_context[others]], others[in_context[others]])
        alone, context = (fit(rows if len(rows) >= FEWEST_ROWS else others) for rows in kinds)
        found = TaskCalibration(*alone, *context)
        views = first[asked], None if second is None else second[asked]
        probabilities[asked] = found.probabilities(*views, in_context[asked])
    return probabilities


def write_answers(path: Path, examples: Sequence[Example], answers: OutOfFold, taxonomy: Taxonomy) -> int:
    """Write JSON Lines of id, fold and by task the probability of each label; returns the number of rows."""
    label_maps: dict[str, LabelMap] = {task: taxonomy.label_map(task) for task in answers.probabilities}

    def rows() -> Any:
        for row, example in enumerate(examples):
            said = {
                # Digits, not places: of a sure answer the next best label still matters.
                task: dict(
                    zip(label_maps[task].labels, (float(f"{p:.4g}") for p in values[row]), strict=True)
                )
                for task, values in answers.probabilities.items()
            }
            yield {"id": example.id, "fold": int(answers.fold[row]), **said}

    return write_jsonl(path, rows())
