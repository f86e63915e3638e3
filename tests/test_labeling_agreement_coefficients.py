"""Coefficients of agreement, held to published worked examples, to a library, and to their own laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeling.agreement.answers import MISSING, count_labels
from labeling.agreement.coefficients import (
    bootstrap_alphas,
    class_alphas,
    cohen_pairs,
    confused_tasks,
    fleiss,
    nominal_alpha,
    pair_agreement,
    share,
)


def codes(*people):
    """One line for each person, one character for each task, a dot where nothing was said."""
    return np.array([[MISSING if one == "." else int(one) for one in person.split()] for person in people]).T


def counted(*people, labels=6):
    return count_labels(codes(*people), labels)


def test_alpha_of_krippendorffs_examples():
    """Computing Krippendorff's Alpha-Reliability (2011), sections A, B and C."""
    binary = counted("0 1 0 0 0 0 0 0 1 0", "1 1 1 0 0 1 0 0 0 0")
    assert nominal_alpha(binary) == pytest.approx(0.095, abs=5e-4)
    nominal = counted("0 0 1 1 3 2 2 2 4 3 3 0", "1 0 1 1 1 2 2 2 4 3 3 3")
    assert nominal_alpha(nominal) == pytest.approx(0.692, abs=5e-4)
    missing = counted(
        "1 2 3 3 2 1 4 1 2 . . .",
        "1 2 3 3 2 2 4 1 2 5 . 3",
        ". 3 3 3 2 3 4 2 2 5 1 .",
        "1 2 3 3 2 4 4 1 2 5 1 .",
    )
    assert nominal_alpha(missing) == pytest.approx(0.743, abs=5e-4)


# Fleiss (1971), table 1: thirty patients, six psychiatrists, five diagnoses.
DIAGNOSES = """00060 03003 01401 00006 03030 20400 00402 20310 20040 00006 10050 11040 03300 10050 02031
               00501 30012 51000 02040 10203 00006 01050 02013 20040 10041 05010 40002 02040 10500 00006"""


def test_fleiss_kappa_of_his_own_example():
    table = np.array([[int(one) for one in patient] for patient in DIAGNOSES.split()])
    found = fleiss(table)
    assert (found.tasks, found.answers) == (30, 6)
    assert found.kappa == pytest.approx(0.430, abs=5e-4)
    assert found.classes == pytest.approx([0.245, 0.245, 0.520, 0.471, 0.566], abs=6e-4)


def test_fleiss_takes_the_commonest_number_of_answers():
    table = np.array([[2, 0], [0, 2], [1, 1], [3, 0], [0, 1]])
    found = fleiss(table)
    assert (found.tasks, found.answers) == (3, 2)
    assert found.kappa == pytest.approx(1 / 3)  # observed 2/3, by chance 1/2
    assert fleiss(np.array([[1, 0], [0, 1]])) is None


def test_cohen_of_the_fifty_proposals():
    """20 both yes, 5 and 10 split, 15 both no: observed 0.7, by chance 0.5."""
    one, other = [0] * 25 + [1] * 25, [0] * 20 + [1] * 5 + [0] * 10 + [1] * 15
    (pair,) = cohen_pairs(np.array([one, other]).T)
    assert (pair.kappa, pair.same, pair.shared) == (pytest.approx(0.4), pytest.approx(0.7), 50)
    pairs = cohen_pairs(codes("0 1 . .", "0 1 2 .", ". . . 1"))
    assert [(one.first, one.second, one.shared, one.kappa) for one in pairs] == [(0, 1, 2, 1.0)]
    (alike,) = cohen_pairs(codes("1 1", "1 1"))
    assert alike.kappa is None


def test_wilson_interval_of_newcombe():
    """R. G. Newcombe (1998), table I, method 3: 81 of 263."""
    found = share(81, 263)
    assert (found.low, found.high) == (pytest.approx(0.2553, abs=5e-5), pytest.approx(0.3662, abs=5e-5))
    assert share(0, 0) is None


def test_alpha_is_the_librarys():
    import pandas as pd
    from crowdkit.metrics.data import alpha_krippendorff

    rng = np.random.default_rng(3)
    table = rng.integers(0, 5, (80, 4))
    table = np.where(rng.random(table.shape) < 0.5, table[:, :1], table)
    table[rng.random(table.shape) < 0.3] = MISSING
    rows = [(*place, int(label)) for place, label in np.ndenumerate(table) if label != MISSING]
    frame = pd.DataFrame(
        [(one, person, label) for one, person, label in rows], columns=["task", "worker", "label"]
    )
    counts = count_labels(table, 5)
    assert nominal_alpha(counts) == pytest.approx(alpha_krippendorff(frame))
    for label, alpha in enumerate(class_alphas(counts)):
        one = frame.assign(label=frame.label == label)
        assert alpha == pytest.approx(alpha_krippendorff(one))


@settings(deadline=None)
@given(st.data())
def test_alpha_knows_no_names(data):
    """Neither the order of people, nor of tasks, nor the names of labels matter."""
    shape = (data.draw(st.integers(2, 12)), data.draw(st.integers(2, 5)))
    flat = st.lists(st.integers(-1, 3), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1])
    table = np.array(data.draw(flat)).reshape(shape)
    alpha = nominal_alpha(count_labels(table, 4))
    people = np.array(data.draw(st.permutations(range(shape[1]))))
    tasks = np.array(data.draw(st.permutations(range(shape[0]))))
    names = np.array([*data.draw(st.permutations(range(4))), MISSING])
    again = nominal_alpha(count_labels(names[table[tasks][:, people]], 4))
    assert again == (None if alpha is None else pytest.approx(alpha))
    assert alpha is None or alpha <= 1


@given(st.lists(st.integers(0, 3), min_size=2, max_size=20), st.integers(2, 4))
def test_perfect_agreement_is_one(truth, people):
    counts = count_labels(np.tile(np.array(truth)[:, None], people), 4)
    varied = len(set(truth)) > 1
    assert nominal_alpha(counts) == (pytest.approx(1) if varied else None)
    assert pair_agreement(counts)[0].rate == pair_agreement(counts)[1].rate == 1
    used = [alpha for alpha in class_alphas(counts) if alpha is not None]
    assert used == pytest.approx([1] * (len(set(truth)) if varied else 0))


def test_bootstrap_is_that_of_tasks():
    rng = np.random.default_rng(5)
    table = np.where(rng.random((60, 3)) < 0.7, rng.integers(0, 4, (60, 1)), rng.integers(0, 4, (60, 3)))
    counts = count_labels(table, 4)
    interval, classes = bootstrap_alphas(counts, 2000, seed=1)
    plain = [nominal_alpha(counts[rng.integers(0, 60, 60)]) for _ in range(2000)]
    assert interval == pytest.approx(tuple(np.quantile(plain, [0.025, 0.975])), abs=0.03)
    of_class = [class_alphas(counts[rng.integers(0, 60, 60)])[2] for _ in range(2000)]
    assert classes[2] == pytest.approx(tuple(np.quantile(of_class, [0.025, 0.975])), abs=0.04)
    assert bootstrap_alphas(counts, 200, seed=7) == bootstrap_alphas(counts, 200, seed=7)
    wide, _ = bootstrap_alphas(counts[:15], 500, seed=1)
    assert wide[1] - wide[0] > 1.5 * (interval[1] - interval[0])
    assert bootstrap_alphas(counts[:1])[0] is None


def test_pairs_of_answers_and_confused_tasks():
    counts = counted("0 0 1 2", "0 1 1 .", "1 1 1 .", labels=3)
    pairs, unanimous = pair_agreement(counts)
    assert (pairs.right, pairs.of, unanimous.right, unanimous.of) == (5, 9, 1, 3)
    both, tasks = confused_tasks(counts)
    assert both.tolist() == [[0, 2, 0], [2, 0, 0], [0, 0, 0]]
    assert tasks.tolist() == [2, 3, 0]
