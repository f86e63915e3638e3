"""Chance-corrected agreement of several people on nominal labels, from counts and codes.

Krippendorff's alpha is computed here, in numpy, by the coincidence matrix: a thousand resamples of
ten thousand tasks with the alphas of 71 classes take seconds, where a library that walks the answers
in Python takes a quarter of a second for every single alpha.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labeling.agreement.answers import MISSING

__all__ = [
    "Fleiss",
    "PairKappa",
    "Share",
    "bootstrap_alphas",
    "class_alphas",
    "cohen_pairs",
    "confused_tasks",
    "fleiss",
    "nominal_alpha",
    "pair_agreement",
    "share",
]


@dataclass(frozen=True)
class Share:
    """So many of so many, with Wilson's 95% interval."""

    right: int
    of: int
    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class PairKappa:
    """Two people (places in the table) on the tasks that both answered."""

    first: int
    second: int
    shared: int
    kappa: float | None
    """None where both gave one and the same label throughout: chance explains everything."""
    same: float
    """Share of the shared tasks with the same answer."""


@dataclass(frozen=True)
class Fleiss:
    """Fleiss' kappa on the tasks with the commonest number of answers."""

    kappa: float | None
    classes: list[float | None]
    tasks: int
    answers: int
    """Answers to each of these tasks."""


def share(right: int, of: int) -> Share | None:
    """A proportion with Wilson's score interval (1927); None of nothing."""
    from statsmodels.stats.proportion import proportion_confint

    if not of:
        return None
    low, high = proportion_confint(right, of, method="wilson")
    return Share(int(right), int(of), right / of, max(0.0, float(low)), min(1.0, float(high)))


def nominal_alpha(counts: np.ndarray) -> float | None:
    """Krippendorff's alpha for nominal data with any number of answers to a task.

    `1 - (n - 1) (n - sum o_cc) / (n² - sum n_c²)`: K. Krippendorff, "Computing Krippendorff's
    Alpha-Reliability" (2011), section D. Tasks with fewer than two answers say nothing and are left out.

    Args:
        counts: (tasks, labels) people who gave the label.

    Returns:
        1 is perfect, 0 what chance would give; None if no task has two answers or all answers are alike.
    """
    terms = _terms(counts)
    return _alpha(terms.disagreement.sum(), terms.counts.sum(0))


def class_alphas(counts: np.ndarray) -> list[float | None]:
    """The alpha of each class against all others taken together; None where it cannot be told."""
    terms = _terms(counts)
    return _optional(_class_alpha(terms.disagreement.sum(0), terms.counts.sum(0)))


def bootstrap_alphas(
    counts: np.ndarray, samples: int = 1000, seed: int = 1, level: float = 0.95
) -> tuple[tuple[float, float] | None, list[tuple[float, float] | None]]:
    """Percentile intervals of the overall alpha and of every class, resampling tasks.

    A. Zapf et al., "Measuring inter-rater reliability for nominal data – which coefficients and
    confidence intervals are appropriate?", BMC Medical Research Methodology 16:93 (2016).

    Returns:
        (low, high) of the overall alpha, and of each class; None where fewer than two tasks carry it
        or nearly every resample is without variation.
    """
    terms = _terms(counts)
    tasks, labels = terms.counts.shape
    if tasks < 2:
        return None, [None] * labels
    rng = np.random.default_rng(seed)
    # One product gives the sums of both; float32 holds integers far beyond any project.
    both = np.hstack([terms.counts, terms.disagreement]).astype(np.float32)
    overall = np.full(samples, np.nan)
    classes = np.full((samples, labels), np.nan)
    step = max(1, 4_000_000 // tasks)
    for start in range(0, samples, step):
        size = min(step, samples - start)
        drawn = rng.integers(0, tasks, (size, tasks)) + np.arange(size)[:, None] * tasks
        weights = np.bincount(drawn.ravel(), minlength=size * tasks).reshape(size, tasks)
        sums = (weights.astype(np.float32) @ both).astype(float)
        totals, disagreement = sums[:, :labels], sums[:, labels:]
        classes[start : start + size] = _class_alpha(disagreement, totals)
        for index in range(size):
            value = _alpha(disagreement[index].sum(), totals[index])
            overall[start + index] = np.nan if value is None else value
    tail = (1 - level) / 2
    return _interval(overall, tail), [_interval(column, tail) for column in classes.T]


def pair_agreement(counts: np.ndarray) -> tuple[Share | None, Share | None]:
    """Percent agreement: of all pairs of answers to one task the same; of all tasks without dissent."""
    counts = counts[counts.sum(1) >= 2].astype(np.int64)
    each = counts.sum(1)
    pairs = int((each * (each - 1) // 2).sum())
    same = int((counts * (counts - 1) // 2).sum())
    return share(same, pairs), share(int((counts.max(1, initial=0) == each).sum()), len(each))


def cohen_pairs(codes: np.ndarray) -> list[PairKappa]:
    """Cohen's kappa (scikit-learn's) of every two people who share tasks; codes: (tasks, people)."""
    from sklearn.metrics import cohen_kappa_score

    answered = codes != MISSING
    found = []
    for first in range(codes.shape[1]):
        for second in range(first + 1, codes.shape[1]):
            rows = answered[:, first] & answered[:, second]
            if not rows.any():
                continue
            one, other = codes[rows, first], codes[rows, second]
            varied = len(np.union1d(one, other)) > 1
            kappa = float(cohen_kappa_score(one, other)) if varied else None
            found.append(PairKappa(first, second, len(one), kappa, float((one == other).mean())))
    return found


def fleiss(counts: np.ndarray) -> Fleiss | None:
    """Fleiss' kappa (statsmodels'), overall and of each class against the rest.

    J. L. Fleiss, "Measuring nominal scale agreement among many raters", Psychological Bulletin 76 (1971).
    It needs the same number of answers to every task: tasks with the commonest number are taken, of two
    equally common ones the larger.

    Returns:
        None if no task has two answers.
    """
    from statsmodels.stats.inter_rater import fleiss_kappa

    each = counts.sum(1)
    if not (each >= 2).any():
        return None
    sizes, tasks = np.unique(each[each >= 2], return_counts=True)
    answers = int(sizes[::-1][tasks[::-1].argmax()])
    table = counts[each == answers]
    used = table.sum(0)
    total = int(used.sum())
    classes = [
        float(fleiss_kappa(np.column_stack([table[:, index], answers - table[:, index]])))
        if 0 < used[index] < total
        else None
        for index in range(table.shape[1])
    ]
    overall = float(fleiss_kappa(table)) if (used > 0).sum() > 1 else None
    return Fleiss(overall, classes, len(table), answers)


def confused_tasks(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """On how many tasks both of two labels were given.

    Returns:
        (labels, labels) symmetric counts with a zero diagonal, and (labels,) the tasks with two answers
        or more on which the label was given.
    """
    given = (counts[counts.sum(1) >= 2] > 0).astype(np.float32)
    both = np.rint(given.T @ given).astype(np.int64)
    tasks = np.diag(both).copy()
    np.fill_diagonal(both, 0)
    return both, tasks


@dataclass(frozen=True)
class _Terms:
    counts: np.ndarray
    disagreement: np.ndarray
    """What each task gives to the coincidences o_ck, k other than c, of each class c."""


def _terms(counts: np.ndarray) -> _Terms:
    each = counts.sum(1, keepdims=True)
    pairable = each[:, 0] >= 2
    kept, each = counts[pairable].astype(float), each[pairable].astype(float)
    return _Terms(kept, kept * (each - kept) / (each - 1))


def _alpha(disagreement: float, totals: np.ndarray) -> float | None:
    number = totals.sum()
    expected = number**2 - (totals**2).sum()
    if expected <= 0:
        return None
    return float(1 - (number - 1) * disagreement / expected)


def _class_alpha(disagreement: np.ndarray, totals: np.ndarray) -> np.ndarray:
    number = totals.sum(-1, keepdims=True)
    expected = totals * (number - totals)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(expected > 0, 1 - (number - 1) * disagreement / expected, np.nan)


def _optional(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


def _interval(values: np.ndarray, tail: float) -> tuple[float, float] | None:
    known = values[~np.isnan(values)]
    if len(known) < 0.9 * len(values):
        return None
    low, high = np.quantile(known, [tail, 1 - tail])
    return float(low), float(high)
