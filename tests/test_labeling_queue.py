"""What to label next: every strategy picks what it promises."""

from __future__ import annotations

import time

import numpy as np
import pytest

from labeling.queue import STRATEGIES, order_queue, uncertainty


def some(rows=300, labels=6, hidden=16, seed=0):
    """Probabilities, embeddings and answers without structure."""
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(labels), rows)
    return probabilities, generator.normal(size=(rows, hidden)), generator.integers(-1, labels, rows)


def sure(rows, labels=4, doubt=0.1):
    """Rows that doubt a little between their first two labels."""
    probabilities = np.zeros((rows, labels))
    probabilities[:, 0], probabilities[:, 1] = 1 - doubt / 2, doubt / 2
    return probabilities


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("count", [1, 40, 300, 1000])
def test_as_many_as_asked_and_none_twice(strategy, count):
    probabilities, embeddings, answers = some()
    got = order_queue(strategy, probabilities, count, embeddings, answers, seed=3)
    there = (answers >= 0).sum() if strategy == "disagreement" else 300
    assert len(got) == min(count, there)
    assert len(set(got)) == len(got)
    assert all(isinstance(index, int) and 0 <= index < 300 for index in got)
    assert got == order_queue(strategy, probabilities, count, embeddings, answers, seed=3)


def test_another_seed_gives_another_sample():
    probabilities, embeddings, _ = some()
    for strategy in ("random", "diverse"):
        one, two = (order_queue(strategy, probabilities, 40, embeddings, seed=seed) for seed in (1, 2))
        assert one != two
    every = [order_queue("random", probabilities, 30, seed=seed) for seed in range(300)]
    drawn = np.bincount(np.concatenate(every), minlength=300)
    assert drawn.mean() == 30
    assert drawn.max() < 60


@pytest.mark.parametrize("strategy", ["uncertainty", "disagreement"])
def test_the_order_of_the_messages_does_not_matter(strategy):
    probabilities, embeddings, answers = some()
    mixed = np.random.default_rng(5).permutation(300)
    one = order_queue(strategy, probabilities, 50, embeddings, answers)
    two = order_queue(strategy, probabilities[mixed], 50, embeddings[mixed], answers[mixed])
    assert one == mixed[two].tolist()


def test_uncertainty_takes_the_flat_rows_flattest_first():
    probabilities = sure(100)
    probabilities[17] = [0.4, 0.38, 0.12, 0.1]
    probabilities[60] = [0.25, 0.25, 0.25, 0.25]
    probabilities[83] = [0.5, 0.3, 0.1, 0.1]
    assert order_queue("uncertainty", probabilities, 3) == [60, 17, 83]
    np.testing.assert_allclose(uncertainty(probabilities)[[17, 60, 83, 0]], [0.98, 1.0, 0.8, 0.1])


@pytest.mark.parametrize("strategy", ["uncertainty", "diverse"])
def test_of_the_same_messages_one_is_taken(strategy):
    generator = np.random.default_rng(1)
    embeddings = generator.normal(size=(200, 16))
    embeddings[50:150] = embeddings[50] + generator.normal(size=(100, 16)) * 1e-3
    probabilities = sure(200)
    probabilities[50:150] = [0.3, 0.3, 0.2, 0.2]
    got = order_queue(strategy, probabilities, 40, embeddings)
    assert sum(50 <= index < 150 for index in got) == 1
    everything = order_queue(strategy, probabilities, 200, embeddings)
    assert sorted(everything) == list(range(200))  # the repetitions come, but last
    assert all(50 <= index < 150 for index in everything[-99:])


def test_a_repetition_is_known_far_down_the_queue():
    probabilities = np.concatenate([sure(1, doubt=d) for d in np.linspace(1, 0, 1500)])
    embeddings = np.random.default_rng(1).normal(size=(1500, 16))
    embeddings[1400] = embeddings[2]
    got = order_queue("uncertainty", probabilities, 1499, embeddings)
    assert got == [index for index in range(1500) if index != 1400]


@pytest.mark.parametrize("strategy", ["uncertainty", "diverse"])
@pytest.mark.parametrize("rows", [64, 100])
def test_a_pool_of_one_message_over_and_over(strategy, rows):
    got = order_queue(strategy, sure(rows), 20, np.ones((rows, 8), np.float32) * 0.3)
    assert len(set(got)) == 20


def test_diverse_spreads_where_uncertainty_crowds():
    """Ten topics; the model is a little less sure of two of them, which hold most messages."""
    generator = np.random.default_rng(2)
    topic = np.concatenate([np.repeat([0, 1], 100), np.repeat(np.arange(2, 10), 15)])
    embeddings = 4 * np.eye(10)[topic] @ generator.normal(size=(10, 24)) + generator.normal(size=(320, 24))
    doubt = np.where(topic < 2, 0.9, 0.8) + generator.uniform(-0.02, 0.02, 320)
    probabilities = np.stack([1 - doubt / 2, doubt / 2], axis=1)
    crowd = {int(topic[index]) for index in order_queue("uncertainty", probabilities, 70, embeddings)}
    spread = {int(topic[index]) for index in order_queue("diverse", probabilities, 70, embeddings)}
    assert crowd == {0, 1}
    assert spread == set(range(10))


def test_diverse_leaves_out_what_the_model_knows():
    generator = np.random.default_rng(3)
    probabilities = sure(1500, doubt=0.4)
    probabilities[:100] = [0.5, 0.45, 0.03, 0.02]
    got = order_queue("diverse", probabilities, 20, generator.normal(size=(1500, 16)))
    assert all(index < 100 for index in got)


def test_diverse_takes_the_middle_of_what_is_in_doubt():
    """Five doubtful messages on an arc, the first more than the others; opposite them what is known."""
    angles = np.radians([0, 20, 40, 60, 80, 180, 200, 220, 240, 260])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    probabilities = sure(10, doubt=0.02)
    probabilities[:5] = sure(5, doubt=0.3)
    assert order_queue("diverse", probabilities, 1, embeddings) == [2]
    probabilities[0] = sure(1, doubt=1.0)
    assert order_queue("diverse", probabilities, 1, embeddings) == [1]


def test_diverse_begins_where_most_is_in_doubt():
    generator = np.random.default_rng(4)
    centres = 10 * generator.normal(size=(3, 16))
    topic = np.repeat([0, 1, 2], [5, 60, 20])
    embeddings = centres[topic] + generator.normal(size=(85, 16))
    got = order_queue("diverse", sure(85, doubt=0.9), 20, embeddings)
    assert topic[order_queue("diverse", sure(85, doubt=0.9), 3, embeddings)].tolist()[0] == 1
    assert set(topic[got]) == {0, 1, 2}


def test_disagreement_finds_the_flipped_answers():
    generator = np.random.default_rng(6)
    truth = generator.integers(0, 8, 500)
    probabilities = 0.02 + 0.84 * np.eye(8)[truth]
    answers = truth.copy()
    wrong = generator.permutation(500)[:40]
    answers[wrong] = (answers[wrong] + generator.integers(1, 8, 40)) % 8
    unanswered = np.setdiff1d(np.arange(500), wrong)[:100]
    answers[unanswered] = -1
    got = order_queue("disagreement", probabilities, 40, answers=answers)
    assert set(got) == set(wrong.tolist())
    assert not set(order_queue("disagreement", probabilities, 500, answers=answers)) & set(unanswered)


def test_disagreement_asks_what_the_model_says_of_the_answer_not_how_sure_it_is():
    probabilities = np.array([[0.4, 0.35, 0.25], [0.9, 0.08, 0.02], [0.9, 0.02, 0.08]])
    assert order_queue("disagreement", probabilities, 3, answers=[1, 0, 1]) == [2, 0, 1]


def test_nothing_to_order():
    for strategy in STRATEGIES:
        assert order_queue(strategy, np.zeros((0, 3)), 5, np.zeros((0, 4)), np.zeros(0, int)) == []
    assert order_queue("disagreement", sure(3), 5, answers=[-1, -1, -1]) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strategy": "entropy"}, "strategy: 'entropy' is unknown; use one of uncertainty, diverse"),
        ({"count": 0}, "count: expected at least 1, got 0"),
        ({"probabilities": np.ones(5)}, r"probabilities: expected \[messages, labels\]"),
        ({"probabilities": np.ones((5, 1))}, "labels at least 2"),
        ({"probabilities": np.full((5, 3), 2.0)}, "sum to 1; calibrate logits first"),
        ({"probabilities": np.array([[1.5, -0.5, 0.0]] * 5)}, "probabilities: every row"),
        ({"probabilities": np.full((5, 3), np.nan)}, "probabilities: every row"),
        ({"embeddings": None}, "embeddings: the strategy diverse needs them"),
        ({"embeddings": np.ones((4, 8))}, r"embeddings: expected \[5, hidden\]"),
        ({"embeddings": np.full((5, 8), np.inf)}, "embeddings: must be finite"),
        ({"strategy": "disagreement", "answers": None}, "answers: the strategy disagreement needs"),
        ({"strategy": "disagreement", "answers": [0, 1]}, "answers: expected one for each of 5"),
        ({"strategy": "disagreement", "answers": [0, 1, 2, 3, 0]}, "from 0 to 2, or -1"),
        ({"strategy": "disagreement", "answers": [0, -2, 0, 0, 0]}, "from 0 to 2, or -1"),
        ({"strategy": "disagreement", "answers": [0.5] * 5}, "answers: expected label indices"),
    ],
)
def test_wrong_input_is_named(change, message):
    given = {
        "strategy": "diverse",
        "probabilities": np.full((5, 3), 1 / 3),
        "count": 2,
        "embeddings": np.eye(5, 8),
        "answers": [0, 1, 2, 0, -1],
        **change,
    }
    with pytest.raises(ValueError, match=message):
        order_queue(**given)


@pytest.mark.slow
def test_a_hundred_thousand_messages_take_seconds():
    probabilities, _, answers = some(100_000, 71)
    embeddings = np.random.default_rng(0).normal(size=(100_000, 384)).astype(np.float32)
    for strategy in STRATEGIES:
        began = time.process_time()
        assert len(order_queue(strategy, probabilities, 1000, embeddings, answers)) == 1000
        assert time.process_time() - began < 20, strategy
