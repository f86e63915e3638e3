"""Other rankings judged by what this one showed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from assist.scripts.off_policy import (
    MAX_POOL,
    PolicyLog,
    draw_ranking,
    estimate,
    examination_by_position,
    position_propensities,
)


def by_hand(scores, temperature, k):
    """Propensities by going through all rankings."""
    weights = np.exp(np.array(scores) / temperature)
    out = np.zeros((len(scores), k))
    for order in itertools.permutations(range(len(scores)), k):
        chance, left = 1.0, weights.sum()
        for one in order:
            chance *= weights[one] / left
            left -= weights[one]
        for place, one in enumerate(order):
            out[one, place] += chance
    return out


@pytest.mark.parametrize(("count", "k"), [(1, 1), (3, 2), (5, 3), (6, 6)])
def test_propensities_are_exact(count, k):
    scores = np.random.default_rng(count).normal(size=count)
    assert np.allclose(position_propensities(scores, 0.4, k), by_hand(scores, 0.4, k), atol=1e-10)


def test_draws_come_as_often_as_propensities_say():
    scores, random = [1.0, 0.8, 0.2, 0.0], np.random.default_rng(0)
    counts = np.zeros((4, 2))
    for _ in range(4000):
        for place, one in enumerate(draw_ranking(scores, 0.5, 2, random)):
            counts[one, place] += 1
    assert np.abs(counts / 4000 - position_propensities(scores, 0.5, 2)).max() < 0.03


def test_no_temperature_is_sorting():
    assert draw_ranking([0.1, 0.9, 0.5], 0, 2, np.random.default_rng(0)) == [1, 2]
    assert position_propensities([0.1, 0.9, 0.5], 0, 2).tolist() == [[0, 0], [1, 0], [0, 1]]


def test_scores_far_apart_give_no_nonsense():
    chance = position_propensities([900.0, 0.0, -900.0], 0.25, 3)
    assert np.isfinite(chance).all()
    assert chance[0, 0] == pytest.approx(1.0)


def test_large_pools_are_refused():
    with pytest.raises(ValueError, match="at most 10"):
        position_propensities(np.zeros(MAX_POOL + 1), 1.0, 2)


def world(answers, seed):
    """A log of five replies on three places, shown by a policy that likes the poor ones."""
    random = np.random.default_rng(seed)
    appeal, looked = np.array([0.1, 0.2, 0.3, 0.5, 0.7]), np.array([1.0, 0.6, 0.3])
    shown_by, other = [2.0, 1.6, 1.2, 0.6, 0.0], [0.0, 0.5, 1.0, 1.5, 2.0]
    chance, target = position_propensities(shown_by, 1.0, 3), position_propensities(other, 0.7, 3)
    items = np.array([draw_ranking(shown_by, 1.0, 3, random) for _ in range(answers)])
    places = np.arange(3)
    reward = (random.random(items.shape) < appeal[items] * looked).astype(float)
    predicted = np.full(items.shape, 0.3) * looked
    log = PolicyLog(chance[items, places], reward, target[items, places], predicted,
                    np.repeat((0.3 * looked)[None], answers, 0))  # fmt: skip
    return items, log, float((target * appeal[:, None] * looked).sum())


def test_estimates_find_the_value_of_the_other_policy():
    _, log, truth = world(20_000, 1)
    found = estimate(log, clip=50)
    assert abs(found.shown - truth) > 0.3  # what was shown is no guide
    for value, half in (
        (found.ips, found.ips_half),
        (found.snips, found.snips_half),
        (found.dr, found.dr_half),
    ):
        assert abs(value - truth) < 2 * half
        assert half < 0.06


def test_intervals_hold_the_truth_as_often_as_they_say():
    inside = 0
    for seed in range(100):
        _, log, truth = world(1500, seed)
        found = estimate(log, clip=100)
        inside += abs(found.dr - truth) <= found.dr_half
    assert inside >= 88


def test_clipping_is_told():
    _, log, _ = world(2000, 3)
    assert estimate(log, clip=2.0).clipped > 0.05
    assert estimate(log, clip=1000.0).clipped == 0.0


def test_a_log_without_propensities_is_refused():
    _, log, _ = world(10, 0)
    broken = PolicyLog(log.propensity * 0, log.reward, log.target, log.predicted, log.expected)
    with pytest.raises(ValueError, match="propensity"):
        estimate(broken)
    with pytest.raises(ValueError, match="no answers"):
        estimate(PolicyLog(*(np.zeros((0, 3)) for _ in range(5))))


def test_examination_is_told_apart_from_appeal():
    items, log, _ = world(20_000, 5)
    found = examination_by_position(items, log.propensity, log.reward)
    assert np.abs(found - [1.0, 0.6, 0.3]).max() < 0.06
