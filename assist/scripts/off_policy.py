"""How good another ranking would have been, told from what this one showed.

What an agent accepts depends on what was shown and where: a poor reply on top is accepted more often than a
good one below, and one never shown is never accepted. So near-ties are drawn at random, the probability with
which each reply took its place is logged, and estimates weigh by it.

The model behind them: the reward of a reply depends on the message, the reply and its position, not on its
neighbours (the item-position model of Li et al., "Offline Evaluation of Ranking Policies with Click Models",
2018). Estimators: inverse propensity scores, the same normalised by its weights (Swaminathan and Joachims,
2015), and doubly robust (Dudik et al., 2011); weights are clipped. The random ranking is Plackett-Luce.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MAX_POOL",
    "Estimate",
    "PolicyLog",
    "draw_ranking",
    "estimate",
    "examination_by_position",
    "position_propensities",
]

Floats = NDArray[np.float64]
MAX_POOL = 10
"""Largest pool of near-ties: propensities are exact sums over its subsets."""


def draw_ranking(
    scores: Sequence[float], temperature: float, k: int, random: np.random.Generator
) -> list[int]:
    """A Plackett-Luce ranking: `k` indices into `scores`, first place first.

    Args:
        temperature: 0 sorts; at 1 a lead of one gives a place e times as often.
    """
    values = np.asarray(scores, np.float64)
    if temperature <= 0:
        return np.argsort(-values, kind="stable")[:k].tolist()
    return np.argsort(-(values / temperature + random.gumbel(size=len(values))), kind="stable")[:k].tolist()


def position_propensities(scores: Sequence[float], temperature: float, k: int) -> Floats:
    """Probability that `draw_ranking` puts each on each place; [scores, k], exact.

    Raises:
        ValueError: there are more than `MAX_POOL` scores.
    """
    count = len(scores)
    if count > MAX_POOL:
        raise ValueError(f"scores: at most {MAX_POOL} can be drawn from, got {count}")
    k = min(k, count)
    out = np.zeros((count, k))
    if not count:
        return out
    values = np.asarray(scores, np.float64)
    if temperature <= 0:
        out[np.argsort(-values, kind="stable")[:k], range(k)] = 1.0
        return out
    weights = np.exp((values - values.max()) / temperature)
    members, levels = _subsets(count)
    left = members @ weights  # weight of what is still to be placed, by the set of what is left
    reached = np.zeros(1 << count)
    reached[-1] = 1.0
    for place in range(k):
        sets = levels[count - place]
        # A set's members, each with its chance of being drawn next; sums of tiny weights stay above zero.
        share = reached[sets, None] * members[sets] * weights / np.maximum(left[sets, None], 1e-300)
        out[:, place] = share.sum(0)
        if place + 1 < k:
            rest = sets[:, None] & ~(1 << np.arange(count))
            np.add.at(reached, rest[members[sets] > 0], share[members[sets] > 0])
    return out


@lru_cache(maxsize=MAX_POOL + 1)
def _subsets(count: int) -> tuple[Floats, list[NDArray[np.int64]]]:
    """Members of every subset [2 ** count, count], and the subsets of each size."""
    numbers = np.arange(1 << count)
    members = ((numbers[:, None] >> np.arange(count)) & 1).astype(np.float64)
    sizes = members.sum(1).astype(int)
    return members, [numbers[sizes == size] for size in range(count + 1)]


@dataclass(frozen=True)
class PolicyLog:
    """Answers that were shown, beside what another policy would have done; arrays [answers, positions].

    A position that was not filled has propensity 1, reward 0 and target 0.
    """

    propensity: Floats
    """How probably the shown reply took its position."""
    reward: Floats
    target: Floats
    """How probably the other policy puts that reply there."""
    predicted: Floats
    """What the outcome model expects of the shown reply there; 0 turns doubly robust into inverse
    propensity."""
    expected: Floats
    """What the outcome model expects of the other policy at that position, over all replies."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Reward per answer of the other policy, with the half width of its 95% interval."""

    shown: float
    """What the policy that showed the replies got."""
    ips: float
    ips_half: float
    snips: float
    snips_half: float
    dr: float
    dr_half: float
    effective: float
    """Answers' worth of evidence: (sum of weights)² / sum of squares, mean over positions."""
    clipped: float
    """Share of weights that were clipped."""


def estimate(log: PolicyLog, clip: float = 20.0) -> Estimate:
    """Value of the other policy.

    Args:
        clip: largest weight. A smaller one shakes less and pulls towards what was shown.

    Raises:
        ValueError: there are no answers, or a propensity is not above 0.
    """
    count = len(log.reward)
    if not count:
        raise ValueError("log: holds no answers")
    if not (log.propensity > 0).all():
        raise ValueError("log: a propensity is not above 0; log what was shown with its probability")
    raw = log.target / log.propensity
    weights = np.minimum(raw, clip)
    ips_rows = (weights * log.reward).sum(1)
    totals = np.maximum(weights.sum(0), 1e-12)
    means = (weights * log.reward).sum(0) / totals
    # Positions that the other policy fills less often count by how often it fills them.
    filled = (log.target > 0).any(0)
    snips = float(means[filled].sum())
    deviation = (weights * (log.reward - means) / totals * count)[:, filled].sum(1)
    dr_rows = (log.expected + weights * (log.reward - log.predicted)).sum(1)
    squares = np.maximum((weights**2).sum(0), 1e-12)
    return Estimate(
        shown=float(log.reward.sum(1).mean()),
        ips=float(ips_rows.mean()),
        ips_half=_half(ips_rows),
        snips=snips,
        snips_half=_half(deviation),
        dr=float(dr_rows.mean()),
        dr_half=_half(dr_rows),
        effective=float((totals**2 / squares)[filled].mean()) if filled.any() else 0.0,
        clipped=float((raw > clip).mean()),
    )


def _half(rows: Floats) -> float:
    return float(1.96 * rows.std(ddof=1) / np.sqrt(len(rows))) if len(rows) > 1 else float("inf")


def examination_by_position(
    items: NDArray[np.int64], propensity: Floats, reward: Floats, rounds: int = 50
) -> Floats:
    """How probably a reply on each place is looked at, the first being 1; by alternating fits.

    Position-based model: reward = examination of the place x appeal of the reply. Where near-ties change
    places at random the two can be told apart. Each display counts by its inverse propensity (at most 20),
    so that a reply's places are compared as if it had been put on each equally often.

    Args:
        items: number of the reply shown, -1 where none was; all [answers, positions].

    Returns:
        float64 [positions], within 0.05 and 1.
    """
    shown = items >= 0
    numbers = np.unique(items[shown], return_inverse=True)[1]
    count, places = int(numbers.max(initial=-1)) + 1, items.shape[1]
    place = np.broadcast_to(np.arange(places), items.shape)[shown]
    weight = np.minimum(1 / np.maximum(propensity[shown], 1e-9), 20.0)
    shape = (count, places)
    displays = np.bincount(numbers * places + place, weight, count * places).reshape(shape)
    rewards = np.bincount(numbers * places + place, weight * reward[shown], count * places).reshape(shape)
    examined = np.ones(places)
    for _ in range(rounds):
        appeal = (rewards.sum(1) + 0.5) / (displays @ examined + 1.0)
        fresh = (rewards.sum(0) + 1e-3) / (appeal @ displays + 1e-3)
        examined = np.clip(fresh / max(fresh[0], 1e-9), 0.05, 1.0)
    return examined
