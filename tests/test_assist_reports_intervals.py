"""Intervals that count chats: against published figures, and against what is known of samples."""

from __future__ import annotations

import numpy as np
import pytest

from assist.reports.intervals import FEWEST, Sample, change, newcombe, wilson


def test_wilson_and_newcombe_give_the_published_intervals():
    """Newcombe (1998): table I of the paper on single proportions, table II, method 10."""
    assert wilson(81 / 263, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson(0.0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert newcombe((56 / 70, 70), (48 / 80, 80)) == pytest.approx((0.0524, 0.3339), abs=1e-4)
    assert newcombe((9 / 10, 10), (3 / 10, 10)) == pytest.approx((0.1705, 0.8090), abs=1e-4)


def test_nothing_is_stated_on_few_chats():
    few = Sample.of([(1, 1)] * (FEWEST - 1))
    assert few.value == 1.0
    assert few.share() is None
    assert few.mean() is None
    assert change(few, Sample.of([(0, 1)] * 50), share=True) is None
    assert Sample.of([]).value is None


def test_chats_without_a_number_do_not_count():
    sample = Sample.of([(0, 0)] * 20 + [(3, 2)] * FEWEST)
    assert sample.chats == FEWEST
    assert sample.mean().value == 1.5


def test_a_share_of_single_messages_is_wilsons():
    sample = Sample.of([(1, 1)] * 30 + [(0, 1)] * 70)
    found = sample.share()
    assert (found.low, found.high) == pytest.approx(wilson(0.3, sample.effective()))
    assert sample.effective() == pytest.approx(100, rel=0.02)


def test_alike_messages_of_one_chat_count_for_fewer():
    mixed = Sample.of([(3, 6)] * 40)
    alike = Sample.of([(6, 6)] * 20 + [(0, 6)] * 20)
    assert mixed.share().value == alike.share().value == 0.5
    assert mixed.effective() == 240  # never more than there are
    assert alike.effective() == pytest.approx(39, abs=1)
    assert alike.share().high - alike.share().low > 2 * (mixed.share().high - mixed.share().low)


def test_a_mean_of_single_values_is_students():
    """By hand: mean 5.5, s = 3.02765, t of 9 degrees of freedom = 2.262."""
    found = Sample.of((float(value), 1) for value in range(1, 11)).mean()
    assert found.value == 5.5
    assert found.high - 5.5 == pytest.approx(2.2622 * 3.02765 / 10**0.5, abs=2e-3)


@pytest.mark.parametrize("share", [True, False])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(share):
    """600 periods of 30 chats with one to five messages each, alike within a chat."""
    random, hits, times = np.random.default_rng(7), 0, 600
    for _ in range(times):
        sizes = random.integers(1, 6, 30)
        if share:
            totals = random.binomial(sizes, random.beta(1.2, 2.8, 30))
            truth = 0.3
        else:
            totals = (random.gamma(2.0, 1.0, 30) + random.gamma(1.0, 1.0, 30)) * sizes
            truth = 3.0
        sample = Sample.of(zip(totals, sizes, strict=True))
        found = sample.share() if share else sample.mean()
        hits += found.low <= truth <= found.high
    assert 0.91 <= hits / times <= 0.98


def test_a_change_is_signed_and_knows_when_it_cannot_tell():
    few, many = Sample.of([(1, 1)] * 10 + [(0, 1)] * 30), Sample.of([(1, 1)] * 30 + [(0, 1)] * 10)
    assert change(many, few, share=True).low > 0
    assert change(few, many, share=True).high < 0
    same = change(few, few, share=True)
    assert same.low < 0 < same.high
    slow = Sample.of((float(60 + n), 1) for n in range(20))
    fast = Sample.of((float(20 + n), 1) for n in range(20))
    moved = change(slow, fast, share=False)
    assert moved.value == 40
    assert 30 < moved.low < 40 < moved.high < 50
    assert change(Sample.of([(5, 1)] * 10), Sample.of([(5, 1)] * 10), share=False).low == 0
