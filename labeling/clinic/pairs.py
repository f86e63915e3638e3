"""Which two categories are confused: by people among themselves, and by a model against people.

Two questions for every pair. Is it confused more often than the sizes of the two categories would give
(binomial test under quasi-independence, Bonferroni over all pairs)? And can the two be told apart at all
(category distinguishability, J. N. Darroch and P. I. McCloud, "Category distinguishability and observer
agreement", Australian Journal of Statistics 28, 1986)? Natural neighbours pass the first with any number
of messages; the second knows the difference between a slip now and then and a coin thrown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CLEAR", "CONFUSED", "UNKNOWN", "Evidence", "PairRules", "model_evidence", "people_evidence"]

CONFUSED, CLEAR, UNKNOWN = "confused", "clear", "unknown"
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PairRules:
    """What makes a pair confused."""

    fewest: int = 10
    """Messages on which the two were confused, at least."""
    least_messages: int = 30
    """Messages of the two together from which on a side can be called clear."""
    significance: float = 0.01
    """Of the test against the sizes, over all pairs together."""
    distinguishable: float = 0.9
    """Two categories are confused if even the upper end of the 95 % interval of their distinguishability
    lies below this. Two people who are each right nine times in ten on two equal categories reach 0.95,
    eight times in ten 0.78, seven times in ten 0.48, coin throwers 0."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """How a pair of categories is confused, by people or by a model."""

    messages: int
    """People: messages with two answers or more among the two. Model: messages that people gave one of
    the two and the model one of the two."""
    confused: int
    """People: messages that got both answers. Model: messages where it said the other one."""
    expected: float
    """Confused messages that the sizes of the two would give."""
    p: float
    """Of so many or more confused messages, times the number of pairs."""
    distinguishability: float
    """1: never confused; 0: the two answers say nothing of each other; below 0: mostly swapped."""
    interval: tuple[float, float]
    """95 %."""
    verdict: str
    """`confused`, `clear` or `unknown` (too few messages, or between)."""


def people_evidence(counts: Counts, first: int, second: int, pairs: int, rules: PairRules) -> Evidence:
    """How people confuse two categories among themselves; every message counts once.

    Args:
        counts: [messages, categories] people who gave the category.
        first, second: columns.
        pairs: pairs of categories that are asked about.
    """
    several = counts[counts.sum(1) >= 2]
    given = several > 0
    torn_pairs = (given.sum(1) * (given.sum(1) - 1) // 2).sum()
    confused = int((given[:, first] & given[:, second]).sum())
    share = _pair_share(several.sum(0), several.sum(0), first, second)
    one, other = several[:, first], several[:, second]
    both = one + other
    kept = both >= 2
    one, other, both = one[kept], other[kept], both[kept]
    ordered = np.maximum(both * (both - 1), 1)
    same_first = float((one * (one - 1) / ordered).sum())
    same_second = float((other * (other - 1) / ordered).sum())
    mixed = float((2 * one * other / ordered).sum())
    # The two mixed cells are one count: which answer came first means nothing.
    spread = 4 / (mixed + 1) + 1 / (same_first + 0.5) + 1 / (same_second + 0.5)
    odds = (mixed / 2 + 0.5) ** 2 / ((same_first + 0.5) * (same_second + 0.5))
    return _evidence(int(kept.sum()), confused, int(torn_pairs), share, odds, spread, pairs, rules)


def model_evidence(confusion: Counts, first: int, second: int, pairs: int, rules: PairRules) -> Evidence:
    """How a model confuses two categories against people.

    Args:
        confusion: [categories, categories] messages; rows are people's label, columns the model's answer.
    """
    cells = confusion[np.ix_((first, second), (first, second))].astype(float)
    wrong = int(confusion.sum() - np.trace(confusion))
    share = _pair_share(confusion.sum(1), confusion.sum(0), first, second)
    smooth = cells + 0.5
    odds = smooth[0, 1] * smooth[1, 0] / (smooth[0, 0] * smooth[1, 1])
    confused = int(cells[0, 1] + cells[1, 0])
    return _evidence(int(cells.sum()), confused, wrong, share, odds, float((1 / smooth).sum()), pairs, rules)


def _pair_share(rows: Counts, columns: Counts, first: int, second: int) -> float:
    """Of all confusions the share of this pair, if they fell as the sizes of the categories give."""
    all_pairs = float(rows.sum()) * float(columns.sum()) - float((rows * columns).sum())
    own = float(rows[first]) * float(columns[second]) + float(rows[second]) * float(columns[first])
    return own / all_pairs if all_pairs > 0 else 0.0


def _evidence(
    messages: int,
    confused: int,
    confusions: int,
    share: float,
    odds: float,
    spread: float,
    pairs: int,
    rules: PairRules,
) -> Evidence:
    from scipy.stats import binom

    chance = float(binom.sf(confused - 1, confusions, share)) if confused else 1.0
    chance = min(1.0, chance * pairs)
    # Woolf's interval of the log odds ratio, with half a message added to each cell (Haldane, Anscombe).
    reach = 1.96 * np.sqrt(spread)
    low, high = float(1 - odds * np.exp(reach)), float(1 - odds * np.exp(-reach))
    verdict = UNKNOWN
    if confused >= rules.fewest and chance < rules.significance and high < rules.distinguishable:
        verdict = CONFUSED
    elif messages >= rules.least_messages and 1 - odds >= rules.distinguishable:
        verdict = CLEAR
    return Evidence(messages, confused, confusions * share, chance, float(1 - odds), (low, high), verdict)
