"""Is one model better than another on the same rows? Paired bootstrap intervals and McNemar's test.

All functions work on arrays; rows of one conversation are drawn together, because they share a customer.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Difference",
    "bootstrap_weights",
    "class_f1_samples",
    "difference",
    "macro_f1_samples",
    "mcnemar",
    "mean_samples",
]

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure of two models on the same rows, with percentile intervals."""

    a: float
    a_low: float
    a_high: float
    b: float
    b_low: float
    b_high: float
    value: float
    """b - a."""
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval of the difference is above or below 0; else 0."""
        return int(self.low > 0) - int(self.high < 0)


def bootstrap_weights(clusters: Sequence[Hashable], times: int = 2000, seed: int = 1) -> NDArray[np.float32]:
    """How often each row occurs in each resample, float32 [times, rows].

    Clusters are drawn with replacement, each with all its rows, so that rows which depend on one another
    stay together. Source: Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 13.

    Args:
        clusters: [rows] what each row belongs to; all different for independent rows.
    """
    _, member = np.unique(np.array([repr(one) for one in clusters]), return_inverse=True)
    count = int(member.max()) + 1 if len(member) else 0
    if not count:
        raise ValueError("bootstrap: there are no rows")
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(count, np.full(count, 1 / count), size=times)
    return drawn.astype(np.float32)[:, member]


def macro_f1_samples(weights: Floats, target: Ints, guess: Ints, size: int) -> NDArray[np.float64]:
    """Macro-F1 in each resample, [times]; as `training.metrics.macro_f1` on the drawn rows."""
    scores, present = _f1(weights, target, guess, size)
    return np.asarray(scores.sum(1) / np.maximum(present.sum(1), 1))


def class_f1_samples(weights: Floats, target: Ints, guess: Ints, size: int) -> NDArray[np.float64]:
    """F1 of each class in each resample, [times, size]; 0 where a class does not occur in it."""
    return _f1(weights, target, guess, size)[0]


def _f1(
    weights: Floats, target: Ints, guess: Ints, size: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    hit = np.asarray(target) == np.asarray(guess)
    # Half of (truths + answers): F1 is the hits over it.
    true, answered = _counts(weights, target, size), _counts(weights, guess, size)
    right = _counts(weights * hit.astype(np.float32), target, size)
    half = (true + answered) / 2
    return np.divide(right, half, out=np.zeros_like(right), where=half > 0), half > 0


def _counts(weights: Floats, labels: Ints, size: int) -> NDArray[np.float64]:
    """Weighted rows of each label in each resample, [times, size]."""
    from scipy.sparse import csr_matrix

    rows = np.arange(len(labels))
    member = csr_matrix((np.ones(len(labels), np.float32), (labels, rows)), shape=(size, len(labels)))
    return np.asarray((member @ weights.T).T, np.float64)


def mean_samples(weights: Floats, values: NDArray[Any], within: NDArray[np.bool_] | None = None) -> Floats:
    """Mean of a value over the rows (of a part of them) in each resample, [times].

    Args:
        values: [rows], e.g. whether an answer was right.
        within: [rows]; only these rows count. NaN for a resample without any.
    """
    inside = np.ones(len(values), np.float32) if within is None else within.astype(np.float32)
    total = (weights @ inside).astype(np.float64)
    summed = (weights @ (np.asarray(values, np.float32) * inside)).astype(np.float64)
    return np.divide(summed, total, out=np.full(len(total), np.nan), where=total > 0)


def difference(a: float, b: float, samples_a: Floats, samples_b: Floats, level: float = 0.95) -> Difference:
    """Both figures, and b - a, with percentile intervals over the same resamples.

    Differences are taken resample by resample: what makes rows hard for both models cancels.

    Args:
        a, b: the figures on the rows as they are.
        samples_a, samples_b: [times] the same figures in the same resamples; NaN is left out.
    """

    def bounds(samples: Floats) -> tuple[float, float]:
        known = samples[np.isfinite(samples)]
        if not len(known):
            return float("nan"), float("nan")
        low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    return Difference(
        float(a), *bounds(samples_a), float(b), *bounds(samples_b),
        float(b) - float(a), *bounds(samples_b - samples_a),
    )  # fmt: skip


def mcnemar(fixed: int, broken: int) -> float:
    """Two-sided p-value that changed answers are as often fixed as broken, exact (binomial).

    Source: McNemar, "Note on the sampling error of the difference between correlated proportions", 1947.

    Args:
        fixed: rows that only the second model answers right.
        broken: rows that only the first one does.
    """
    from scipy.stats import binomtest

    if fixed < 0 or broken < 0:
        raise ValueError("mcnemar: counts must not be negative")
    return 1.0 if fixed + broken == 0 else float(binomtest(fixed, fixed + broken, 0.5).pvalue)
