"""Which category is really two: its messages fall into two clusters that lie beside different categories.

All of this must hold for a category, or nothing is said of it:

- two means on the messages' vectors leave neither cluster small;
- the clusters come back on resampled messages (mean adjusted Rand index, L. Hubert and P. Arabie,
  "Comparing partitions", Journal of Classification 2, 1985, over bootstrap samples);
- they are tighter than two means would make of one Gaussian cloud of the same shape (Y. Liu et al.,
  "Statistical Significance of Clustering for High-Dimension, Low-Sample Size Data", JASA 103, 2008), with
  Bonferroni over the categories;
- the model's next best category differs between them (chance-corrected total variation; permutations);
- people, where several answered, agree on the category: what they do not agree on needs a clearer text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Halves", "SplitRules", "halve", "reduced"]

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SplitRules:
    """What makes a category two."""

    fewest: int = 80
    """Messages of the category with a vector and a model's opinion, at least."""
    smallest: float = 0.12
    """Share of the smaller cluster, at least."""
    stability: float = 0.85
    significance: float = 0.01
    """Of the clusters (over all categories together) and of the difference of their neighbours."""
    difference: float = 0.3
    agreement: float = 0.7
    """Of two people's answers to messages that one called so, how many are both that; where measured."""
    dimensions: int = 50
    """Principal components that are kept of the vectors."""
    most: int = 800
    """Messages that are looked at; more are sampled."""


@dataclass(frozen=True)
class Halves:
    """A category as two."""

    rows: tuple[Ints, Ints]
    """Messages of each half, the most typical first."""
    stability: float
    """Mean adjusted Rand index over bootstrap samples; 1: always the same clusters."""
    p: float
    """Of clusters this tight in one Gaussian cloud, times the number of categories."""
    difference: float
    """Of the neighbours: 0 as by chance, 1 no neighbour in common."""


def reduced(vectors: Floats, rules: SplitRules) -> Floats:
    """Principal components [messages, dimensions] of unit length."""
    from sklearn.decomposition import PCA

    size = min(rules.dimensions, *vectors.shape)
    found = PCA(size, random_state=0).fit_transform(vectors)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(found / np.maximum(length, 1e-12))


def halve(
    vectors: Floats, neighbours: Ints, rows: Ints, categories: int, rules: SplitRules, seed: int
) -> Halves | None:
    """The two halves of a category, or None if it is one.

    Args:
        vectors: [messages, dimensions] of all messages, as `reduced` gives them.
        neighbours: [messages] a model's most probable category other than the own one.
        rows: the category's messages.
        categories: how many categories are asked about.
    """
    from sklearn.cluster import KMeans

    generator = np.random.default_rng(seed)
    if len(rows) < rules.fewest:
        return None
    if len(rows) > rules.most:
        rows = np.sort(generator.choice(rows, rules.most, replace=False))
    points = vectors[rows]
    if len(np.unique(points, axis=0)) < rules.fewest // 2:
        return None  # the same few texts over and over
    model = KMeans(2, n_init=10, random_state=seed).fit(points)
    half = model.labels_
    if min(half.mean(), 1 - half.mean()) < rules.smallest:
        return None
    difference, chance = _neighbour_difference(neighbours[rows], half, generator)
    if difference < rules.difference or chance >= rules.significance:
        return None
    p = min(1.0, _one_cloud(points, model.inertia_, generator) * categories)
    if p >= rules.significance:
        return None
    stability = _stability(points, half, generator)
    if stability < rules.stability:
        return None
    distance = model.transform(points)
    typical = [rows[np.argsort(distance[:, number] + 10 * (half != number))] for number in (0, 1)]
    sizes = [int((half == number).sum()) for number in (0, 1)]
    kept = sorted((typical[number][: sizes[number]] for number in (0, 1)), key=len, reverse=True)
    return Halves((kept[0], kept[1]), stability, p, difference)


def _neighbour_difference(
    neighbours: Ints, half: Ints, generator: np.random.Generator, rounds: int = 400
) -> tuple[float, float]:
    """Total variation between the halves' neighbours, corrected for chance, and its permutation p."""
    _, codes = np.unique(neighbours, return_inverse=True)

    def variation(side: Ints) -> float:
        one = np.bincount(codes[side == 0], minlength=codes.max() + 1) / (side == 0).sum()
        other = np.bincount(codes[side == 1], minlength=codes.max() + 1) / (side == 1).sum()
        return float(np.abs(one - other).sum() / 2)

    found = variation(half)
    chance = np.array([variation(generator.permutation(half)) for _ in range(rounds)])
    mean = float(chance.mean())
    return (found - mean) / max(1 - mean, 1e-9), float(((chance >= found).sum() + 1) / (rounds + 1))


def _one_cloud(points: Floats, inertia: float, generator: np.random.Generator, rounds: int = 20) -> float:
    """p of clusters this tight, from clouds drawn with the same spread in every direction.

    The cluster index of the clouds is close to normal, as the authors of the test use it too.
    """
    from scipy.stats import norm
    from sklearn.cluster import KMeans

    centred = points - points.mean(0)
    spread = np.linalg.svd(centred, compute_uv=False) / np.sqrt(len(points) - 1)
    index = inertia / (centred**2).sum()
    null = []
    for number in range(rounds):
        cloud = generator.normal(size=(len(points), len(spread))) * spread
        fitted = KMeans(2, n_init=3, random_state=number).fit(cloud)
        null.append(fitted.inertia_ / ((cloud - cloud.mean(0)) ** 2).sum())
    return float(norm.sf((np.mean(null) - index) / max(np.std(null, ddof=1), 1e-12)))


def _stability(points: Floats, half: Ints, generator: np.random.Generator, rounds: int = 20) -> float:
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score

    found = []
    for number in range(rounds):
        drawn = points[generator.integers(0, len(points), len(points))]
        again = KMeans(2, n_init=3, random_state=number).fit(drawn).predict(points)
        found.append(adjusted_rand_score(half, again))
    return float(np.mean(found))
