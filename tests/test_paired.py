"""The statistics of a comparison: known values, coverage, and an independent implementation."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from experiments.paired import (
    bootstrap_weights,
    class_f1_samples,
    difference,
    macro_f1_samples,
    mcnemar,
    mean_samples,
)
from training.metrics import confusion, macro_f1, per_class

TRUTH = np.array([0, 0, 0, 1, 1, 2])
GUESS = np.array([0, 0, 1, 1, 1, 0])


@pytest.mark.parametrize("fixed", [0, 1, 3, 10, 88])
@pytest.mark.parametrize("broken", [0, 1, 2, 9, 32])
def test_mcnemar_is_that_of_statsmodels(fixed, broken):
    theirs = statsmodels_mcnemar([[50, broken], [fixed, 50]], exact=True).pvalue
    assert mcnemar(fixed, broken) == pytest.approx(theirs, rel=1e-9)


def test_mcnemar_by_hand():
    assert mcnemar(5, 0) == pytest.approx(2 / 2**5)
    assert mcnemar(0, 0) == 1
    with pytest.raises(ValueError, match="negative"):
        mcnemar(-1, 2)


def test_the_rows_as_they_are_give_the_plain_figures():
    once = np.ones((1, 6), np.float32)
    assert macro_f1_samples(once, TRUTH, GUESS, 3)[0] == pytest.approx(macro_f1(TRUTH, GUESS, 3))
    assert macro_f1_samples(once, TRUTH, GUESS, 3)[0] == pytest.approx((2 / 3 + 4 / 5 + 0) / 3)
    theirs = per_class(confusion(TRUTH, GUESS, 3))["f1"]
    assert class_f1_samples(once, TRUTH, GUESS, 3)[0] == pytest.approx(theirs)


def test_weighted_rows_are_repeated_rows():
    generator = np.random.default_rng(5)
    weights = bootstrap_weights(range(6), 40)
    samples = macro_f1_samples(weights, TRUTH, GUESS, 4)
    values = generator.random(6)
    means = mean_samples(weights, values)
    for drawn, score, mean in zip(weights, samples, means, strict=True):
        rows = np.repeat(np.arange(6), drawn.astype(int))
        assert score == pytest.approx(macro_f1(TRUTH[rows], GUESS[rows], 4))
        assert mean == pytest.approx(values[rows].mean(), rel=1e-5)


def test_clusters_are_drawn_whole_and_runs_repeat():
    weights = bootstrap_weights(["a", "a", "b", None, "b", "c"], 300, seed=4)
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[:, 2] == weights[:, 4]).all()
    assert weights[:, [0, 2, 3, 5]].sum(1) == pytest.approx(4)
    assert (weights == bootstrap_weights(["a", "a", "b", None, "b", "c"], 300, seed=4)).all()
    assert (weights != bootstrap_weights(["a", "a", "b", None, "b", "c"], 300, seed=5)).any()
    with pytest.raises(ValueError, match="no rows"):
        bootstrap_weights([])


def test_a_part_that_no_resample_holds_has_no_interval():
    weights = np.array([[1, 0, 1], [2, 0, 0]], np.float32)
    none = mean_samples(weights, np.ones(3), np.array([False, True, False]))
    assert np.isnan(none).all()
    found = difference(1.0, 1.0, none, none)
    assert np.isnan(found.low)
    assert found.sign == 0


def test_the_same_answers_differ_by_nothing():
    weights = bootstrap_weights(range(6))
    samples = macro_f1_samples(weights, TRUTH, GUESS, 3)
    found = difference(0.5, 0.5, samples, samples)
    assert (found.value, found.low, found.high, found.sign) == (0, 0, 0, 0)


def covered(cluster_rows, by_cluster, trials=100):
    """How often the interval holds the true difference, 0.1, when rows of a cluster are all alike."""
    generator = np.random.default_rng(11)
    held = 0
    for trial in range(trials):
        place = generator.random(60)
        # The models fail on different rows, else no resample would miss the truth.
        shares = ((place, 0.7), (generator.random(60), 0.8))
        hits = [np.repeat(drawn < share, cluster_rows).astype(float) for drawn, share in shares]
        names = np.repeat(np.arange(60), cluster_rows) if by_cluster else np.arange(60 * cluster_rows)
        weights = bootstrap_weights(names.tolist(), 300, seed=trial)
        samples = [mean_samples(weights, one) for one in hits]
        found = difference(hits[0].mean(), hits[1].mean(), *samples)
        held += found.low <= 0.1 <= found.high
    return held / trials


def test_intervals_hold_the_truth_as_often_as_they_say():
    assert 0.88 <= covered(1, by_cluster=True) <= 0.99
    assert 0.88 <= covered(4, by_cluster=True) <= 0.99
    assert covered(4, by_cluster=False) < 0.8  # rows of one conversation taken for independent ones


def test_equal_models_are_seldom_told_apart():
    generator = np.random.default_rng(3)
    truth, told = generator.integers(12, size=360), 0
    for trial in range(100):
        guesses = [np.where(generator.random(360) < 0.85, truth, generator.integers(12, size=360))
                   for _ in range(2)]  # fmt: skip
        weights = bootstrap_weights(range(360), 300, seed=trial)
        samples = [macro_f1_samples(weights, truth, guess, 12) for guess in guesses]
        told += difference(*(macro_f1(truth, guess, 12) for guess in guesses), *samples).sign != 0
    assert told <= 11  # one of twenty, and what chance adds to that


def test_pairing_makes_intervals_narrower():
    generator = np.random.default_rng(2)
    hard = generator.random(500)
    one, two = ((hard < share).astype(float) for share in (0.80, 0.83))
    weights = bootstrap_weights(range(500))
    found = difference(one.mean(), two.mean(), mean_samples(weights, one), mean_samples(weights, two))
    assert found.sign == 1
    assert found.a_high > found.b_low  # their own intervals overlap, and would have told nothing
