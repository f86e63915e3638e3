"""A labelled corpus labelled once more, its own labels in the place of people: what a queue is tried on.

The model that learns at each step is quick, but of the project's kind: logistic regression on two views,
the frozen built-in encoder and hashed character n-grams (principal components of their TF-IDF).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.example import Example
from data.ngrams import NgramView
from experiments.embeddings import embed
from labeling.queue import order_queue
from training.metrics import expected_calibration_error

__all__ = ["KINDS", "Plan", "Pool", "Step", "find_wrong", "prepare", "read_banking77", "simulate"]

KINDS = {"any": "any other label", "likely": "a label often taken for it"}
# Accurate, and calibrated without further ado, from 400 labels to 6,000 (see docs/labeling-queue.md).
COMPONENTS, NGRAM_BUCKETS, ENCODER_WEIGHT, STRENGTH = 512, 262144, 1.5, 100.0
FOLDS = 5
Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Step = dict[str, float]
"""`labels`, and with so many of them `accuracy` and `ece` (calibration error) on the test rows."""


@dataclass(frozen=True)
class Pool:
    """Messages that may be labelled, and others to measure on."""

    features: NDArray[np.float32]
    """What the model learns from, [messages, dims]."""
    embeddings: NDArray[np.float32]
    """What the queue sees, [messages, hidden]."""
    target: Ints
    """What a person would answer, [messages]."""
    test_features: NDArray[np.float32]
    test_target: Ints
    labels: int


@dataclass(frozen=True)
class Plan:
    """How the labelling goes."""

    per_class: int = 5
    """Labels of each class to begin with."""
    share: float = 0.6
    """Share of the messages at which it ends."""
    batch: int = 250
    """Labels between two trainings."""

    def __post_init__(self) -> None:
        if self.per_class < 1 or self.batch < 1 or not 0 < self.share <= 1:
            raise ValueError("plan: per_class and batch must be at least 1, share above 0 and at most 1")

    def counts(self, target: Ints) -> list[int]:
        """Number of labels at every training."""
        start = int(np.minimum(np.bincount(target), self.per_class).sum())
        last = max(start, round(self.share * len(target)))
        return [*range(start, last, self.batch), last]


def read_banking77(folder: Path) -> tuple[list[Example], list[Example]]:
    """Training and test rows of Banking77 (`banking77_train.csv`, `banking77_test.csv`: text, category).

    Raises:
        ValueError: a file is missing or has other columns; names it.
    """
    parts = []
    for part in ("train", "test"):
        path = folder / f"banking77_{part}.csv"
        if not path.is_file():
            raise ValueError(f"{path}: is missing; get Banking77 (PolyAI, CC-BY-4.0) and name its folder")
        with path.open(encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle))
        if not rows or not {"text", "category"} <= rows[0].keys():
            raise ValueError(f"{path}: expected the columns text and category")
        parts.append([
            Example(f"{part}-{number}", row["text"], row["category"], "neutral", "banking77")
            for number, row in enumerate(rows)
        ])  # fmt: skip
    return parts[0], parts[1]


def prepare(train: Sequence[Example], test: Sequence[Example], cache: Path, progress: bool = False) -> Pool:
    """Read the messages with both views. Nothing is fitted on the test rows.

    Args:
        cache: file that keeps the encoder's vectors.
        progress: show a bar.

    Raises:
        ValueError: a test label is not among the training rows.
    """
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfTransformer

    from training.lexical import ngram_matrices

    numbers = {label: number for number, label in enumerate(sorted({row.category for row in train}))}
    if unknown := sorted({row.category for row in test} - numbers.keys()):
        raise ValueError(f"category: no training row has {unknown[0]!r}, which a test row has")
    rows, size = [*train, *test], len(train)
    vectors = np.asarray(embed(rows, cache, progress), np.float32)
    grams = ngram_matrices([(row.text, row.context) for row in rows], NgramView(NGRAM_BUCKETS))[0]
    grams = grams[:, np.flatnonzero(grams[:size].getnnz(axis=0))]
    weighted = TfidfTransformer().fit(grams[:size]).transform(grams)
    reduced = TruncatedSVD(min(COMPONENTS, size - 1), n_iter=3, random_state=0).fit(weighted[:size])
    meaning = (vectors - vectors[:size].mean(0)) / (vectors[:size].std(0) + 1e-6)
    wording = reduced.transform(weighted)
    wording = wording - wording[:size].mean(0)
    views = [view / np.sqrt((view[:size] ** 2).sum(1).mean()) for view in (meaning, wording)]
    features = np.concatenate([ENCODER_WEIGHT * views[0], views[1]], axis=1).astype(np.float32)
    target = np.array([numbers[row.category] for row in rows])
    return Pool(features[:size], vectors[:size], target[:size], features[size:], target[size:], len(numbers))


def _learn(features: Floats, target: Ints, size: int) -> Callable[[Floats], Floats]:
    """Fit; gives a function from features to probabilities [rows, size]."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=STRENGTH, tol=3e-4, max_iter=300).fit(features, target)

    def probabilities(asked: Floats) -> Floats:
        found = np.zeros((len(asked), size))
        found[:, model.classes_] = model.predict_proba(asked)
        return found / found.sum(axis=1, keepdims=True)

    return probabilities


def simulate(
    pool: Pool, strategy: str, seed: int, plan: Plan, step_done: Callable[[], object] = lambda: None
) -> list[Step]:
    """Label, train and measure in turn, from a few of each class to the plan's end.

    Args:
        strategy: of `labeling.queue`; or "entropy": by entropy where `uncertainty` takes the margin.
        seed: of the first labels (the same for every strategy) and of the queue.
        step_done: called after each training.
    """
    generator = np.random.default_rng(seed)
    groups = [generator.permutation(np.flatnonzero(pool.target == label)) for label in range(pool.labels)]
    labelled = np.concatenate([group[: plan.per_class] for group in groups])
    counts = plan.counts(pool.target)
    steps: list[Step] = []
    for count, following in zip(counts, [*counts[1:], 0], strict=True):
        model = _learn(pool.features[labelled], pool.target[labelled], pool.labels)
        answers = model(pool.test_features)
        right = float((answers.argmax(axis=1) == pool.test_target).mean())
        ece = expected_calibration_error(pool.test_target, answers)[0]
        steps.append({"labels": count, "accuracy": right, "ece": ece})
        if following:
            rest = np.setdiff1d(np.arange(len(pool.target)), labelled)
            asked, turn = model(pool.features[rest]), int(generator.integers(2**31))
            if strategy == "entropy":
                chosen = np.argsort((asked * np.log(asked + 1e-12)).sum(axis=1), kind="stable")
            else:
                vectors = pool.embeddings[rest]
                chosen = np.array(order_queue(strategy, asked, following - count, vectors, seed=turn))
            labelled = np.concatenate([labelled, rest[chosen[: following - count]]])
        step_done()
    return steps


def find_wrong(pool: Pool, share: float, kind: str, seed: int, messages: int = 4000) -> list[float]:
    """Change a share of the answers; how many of those stand in the first 1, 2, … 100 % of the queue?

    The queue is `disagreement`, the opinions are out-of-fold: no model is asked about its own rows.

    Args:
        share: of the answers that are made wrong.
        kind: what people answer where they err, a key of `KINDS`.
        messages: how many labelled messages, drawn from the pool.

    Returns:
        100 shares of the changed answers; random order would give 0.01, 0.02, … 1.
    """
    generator = np.random.default_rng(seed)
    rows = generator.permutation(len(pool.target))[:messages]
    answers = pool.target[rows].copy()
    wrong = generator.permutation(len(rows))[: max(1, round(share * len(rows)))]
    if kind == "any":
        answers[wrong] = (answers[wrong] + generator.integers(1, pool.labels, len(wrong))) % pool.labels
    else:
        likely = _likely(pool)
        answers[wrong] = likely[answers[wrong], generator.integers(0, likely.shape[1], len(wrong))]
    opinions = np.zeros((len(rows), pool.labels))
    fold = generator.permutation(len(rows)) % FOLDS
    for number in range(FOLDS):
        known, asked = fold != number, fold == number
        model = _learn(pool.features[rows[known]], answers[known], pool.labels)
        opinions[asked] = model(pool.features[rows[asked]])
    queue = order_queue("disagreement", opinions, len(rows), answers=answers)
    hits = np.cumsum(np.isin(queue, wrong)) / len(wrong)
    return [float(hits[max(0, round(part * len(rows) / 100) - 1)]) for part in range(1, 101)]


def _likely(pool: Pool) -> Ints:
    """The 3 labels that a model, besides the right one, believes most of each label's messages."""
    half = np.arange(len(pool.target)) % 2 == 0
    given = np.zeros((len(pool.target), pool.labels))
    for part in (half, ~half):
        model = _learn(pool.features[~part], pool.target[~part], pool.labels)
        given[part] = model(pool.features[part])
    mean = np.stack([given[pool.target == label].mean(axis=0) for label in range(pool.labels)])
    np.fill_diagonal(mean, -1.0)
    return np.argsort(-mean, axis=1)[:, : min(3, pool.labels - 1)]
