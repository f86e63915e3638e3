from __future__ import annotations

import io
from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from rich.console import Console

from data.taxonomy import load_taxonomy, parse_taxonomy
from labeling.agreement import measure_agreement, print_agreement
from labeling.agreement.answers import MISSING, read_answers
from labeling.agreement.page import write_agreement
from labeling.agreement.people import FALLING, RISING, STEADY, TOO_FEW, measure_people
from labeling.task import Annotation, Task

TAXONOMY = load_taxonomy()
CATEGORIES = [one.key for one in TAXONOMY.categories]
EMOTIONS = [one.key for one in TAXONOMY.emotions]
START = datetime(2026, 3, 2, 1, tzinfo=UTC)


def annotation(person, category, emotion="neutral", after=0.0, undecided=False, identity=0, seconds=8.0):
    at = START + timedelta(minutes=after)
    return Annotation(identity, 0, f"annotator-{person}", category, emotion, undecided, at, seconds)


def task(number, *annotations, text="什么时候发货"):
    return Task(number, 1, f"key-{number}", text, (), None, None, None, annotations)


def project(accuracies, tasks=300, seed=1, fall=None, labels=12, undecided=None, confused=None):
    """Tasks that all people answer in an order of their own, and the true answers by key.

    fall: person to what their accuracy has lost at the end; undecided: person to the share they leave open;
    confused: (person, label) to the label they say instead.
    """
    rng = np.random.default_rng(seed)
    truth = [(CATEGORIES[rng.integers(labels)], EMOTIONS[rng.integers(len(EMOTIONS))]) for _ in range(tasks)]
    answers = [[] for _ in range(tasks)]
    for person, accuracy in enumerate(accuracies, 1):
        for turn, row in enumerate(rng.permutation(tasks)):
            category, emotion = truth[row]
            right = accuracy - (fall or {}).get(person, 0) * turn / tasks
            if rng.random() > right:
                category = CATEGORIES[rng.integers(labels)]
            category = (confused or {}).get((person, category), category)
            if rng.random() > right:
                emotion = EMOTIONS[rng.integers(len(EMOTIONS))]
            left_open = rng.random() < (undecided or {}).get(person, 0)
            seconds = 3.0 if accuracy < 0.7 else 9.0
            answers[row].append(annotation(person, category, emotion, turn, left_open, seconds=seconds))
    made = [task(row, *answers[row], text=f"第{row}条") for row in range(tasks)]
    return made, {f"key-{row}": truth[row] for row in range(tasks)}


def some(gold, number):
    return dict(list(gold.items())[:number])


def kinds(report):
    return {(one.kind, one.person, one.answer) for one in report.findings}


# Reading annotations


def test_the_latest_answer_counts_and_open_ones_are_missing():
    first, second = CATEGORIES[:2]
    tasks = [
        task(1, annotation(10, second, after=9), annotation(10, first, after=1), annotation(2, first)),
        task(2, annotation(10, first, undecided=True), annotation(2, None, None)),
        task(3),
    ]
    answers = read_answers(tasks, TAXONOMY)
    assert answers.people == ("annotator-2", "annotator-10")
    assert answers.tables["category"].codes.tolist() == [[0, 1], [MISSING, MISSING]]
    report = measure_agreement(tasks, TAXONOMY)
    assert (report.tasks, report.annotated, report.annotations) == (3, 2, 4)
    assert (report.undecided.right, report.undecided.of) == (1, 4)
    assert [one.undecided.right for one in report.people] == [0, 1]


def test_others_majority_leaves_the_person_out():
    #                        unanimous, split, lone, own answer missing
    table = [("0", "0", "0"), ("1", "0", "1"), ("2", "1", "."), (".", "1", "1")]
    tasks = [
        task(
            row,
            *(annotation(person, CATEGORIES[int(one)]) for person, one in enumerate(line) if one != "."),
        )
        for row, line in enumerate(table)
    ]
    answers = read_answers(tasks, TAXONOMY)
    expected, votes = answers.tables["category"].others_majority(0)
    assert expected.tolist() == [0, MISSING, 1, MISSING]
    assert votes.tolist() == [2, 0, 1, 0]
    report = measure_agreement(tasks, TAXONOMY)
    assert [one.answers["category"].others.of for one in report.people] == [2, 4, 2]
    assert [one.answers["category"].others.right for one in report.people] == [1, 2, 2]


def test_gold_goes_before_the_majority():
    first, second = CATEGORIES[:2]
    tasks = [task(row, *(annotation(person, first) for person in range(3))) for row in range(2)]
    report = measure_agreement(tasks, TAXONOMY, {"key-0": (second, "neutral")})
    for person in report.people:
        own = person.answers["category"]
        assert (own.gold.right, own.gold.of, own.others.right, own.others.of) == (0, 1, 2, 2)
        (mistake,) = own.mistakes
        assert (mistake.expected, mistake.given, mistake.times, mistake.of) == (second, first, 1, 1)
        assert own.drift.windows[0].right.right == 1


def test_what_cannot_be_measured_says_so():
    with pytest.raises(ValueError, match="none of 1 has an annotation; label some"):
        measure_agreement([task(1)], TAXONOMY)
    with pytest.raises(ValueError, match="task 4: annotation 9: category: 'nonsense' is not in the label"):
        measure_agreement([task(4, annotation(1, "nonsense", identity=9))], TAXONOMY)
    tasks = [task(1, annotation(1, CATEGORIES[0]))]
    with pytest.raises(ValueError, match="gold key-1: emotion: 'mad' is not in the label schema"):
        measure_agreement(tasks, TAXONOMY, {"key-1": (CATEGORIES[0], "mad")})
    with pytest.raises(ValueError, match="window: 'month' is unknown; use a positive number"):
        measure_agreement(tasks, TAXONOMY, window="month")


# People


@pytest.mark.parametrize("with_gold", [True, False])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_careless_one_is_found(seed, with_gold):
    tasks, gold = project([0.95, 0.93, 0.6], seed=seed)
    report = measure_agreement(tasks, TAXONOMY, some(gold, 60) if with_gold else None, samples=50)
    blamed = {one.person for one in report.findings if one.kind == "training"}
    assert blamed == {"annotator-3"}
    finding = next(one for one in report.findings if one.kind == "training" and one.answer == "category")
    assert f"依据 {finding.evidence} 条回答" in finding.text
    assert "每条只用 3.0 秒" in finding.text
    if with_gold:
        assert finding.evidence == 60
        right = sum(
            next(one for one in each.annotations if one.annotator == "annotator-3").category
            == gold[each.key][0]
            for each in tasks[:60]
        )
        assert report.people[2].answers["category"].gold.right == right
    agreement = report.results["category"]
    assert agreement.without == ("annotator-3",)
    assert agreement.alpha < 0.7 < 0.85 < agreement.alpha_without
    assert not [one for one in report.findings if (one.kind, one.answer) == ("guide", "category")]


def test_nobody_is_blamed_on_too_few():
    tasks, gold = project([0.95, 0.93, 0.6], tasks=45)
    assert not kinds(measure_agreement(tasks, TAXONOMY, some(gold, 19), samples=50))
    tasks, _ = project([0.95, 0.6], tasks=400)
    report = measure_agreement(tasks, TAXONOMY, samples=50)
    # Of two people without gold nobody can say who is right.
    assert not [one for one in report.findings if one.person]


def test_a_class_that_one_person_does_not_know():
    wrong = {(2, CATEGORIES[3]): CATEGORIES[4]}
    tasks, _ = project([0.96, 0.96, 0.95], tasks=400, confused=wrong)
    report = measure_agreement(tasks, TAXONOMY, samples=50)
    assert {("classes", "annotator-2", "category")} == {
        one for one in kinds(report) if one[1] and one[2] == "category"
    }
    finding = next(one for one in report.findings if one.kind == "classes")
    assert finding.labels == (CATEGORIES[3],)
    names = [TAXONOMY.category[CATEGORIES[place]].zh for place in (3, 4)]
    assert f"“{names[0]}”" in finding.text
    assert f"多答成“{names[1]}”" in finding.text
    mistake = report.people[1].answers["category"].mistakes[0]
    assert (mistake.expected, mistake.given) == (CATEGORIES[3], CATEGORIES[4])
    assert 0.9 < mistake.times / mistake.of <= 1
    confusion = report.results["category"].confusions[0]
    assert {confusion.first, confusion.second} == set(CATEGORIES[3:5])
    assert len(confusion.examples) == 3
    # It is a matter of one person, not of the guide.
    assert not [one for one in report.findings if (one.kind, one.answer) == ("guide", "category")]


def test_one_careless_person_does_not_make_the_guide_unclear():
    tasks, _ = project([0.97, 0.97, 0.2], tasks=400)
    report = measure_agreement(tasks, TAXONOMY, samples=50)
    assert max(one.alpha for one in report.results["category"].classes if one.alpha is not None) < 0.667
    assert {one.kind for one in report.findings} == {"training", "gold"}
    training = next(one for one in report.findings if one.answer == "category")
    assert training.labels == ()
    assert "错误不集中在某几类" in training.text


def test_a_class_that_nobody_knows_is_the_guides_fault():
    rng = np.random.default_rng(2)
    tasks = []
    for row in range(200):
        pair = CATEGORIES[:2] if row < 60 else [CATEGORIES[2 + row % 5]]
        answers = [annotation(person, str(rng.choice(pair)), after=row) for person in range(4)]
        tasks.append(task(row, *answers))
    report = measure_agreement(tasks, TAXONOMY, samples=50)
    (guide,) = [one for one in report.findings if one.kind == "guide"]
    assert set(guide.labels) == set(CATEGORIES[:2])
    assert not [one for one in report.findings if one.person]


def test_leaving_open_too_often_and_doubtful_gold():
    tasks, gold = project([0.97, 0.97, 0.97], undecided={2: 0.2})
    gold = some(gold, 40)
    first = next(key for key, row in zip(gold, tasks, strict=False) if agreed(row))
    gold[first] = (CATEGORIES[20], gold[first][1])
    report = measure_agreement(tasks, TAXONOMY, gold, samples=50)
    assert ("undecided", "annotator-2", None) in kinds(report)
    (doubt,) = [one for one in report.findings if one.kind == "gold" and one.answer == "category"]
    assert f"任务 {first.removeprefix('key-')}（" in doubt.text


def agreed(row):
    said = {one.category for one in row.annotations}
    return len(said) == 1 and len(row.annotations) == 3 and not any(one.undecided for one in row.annotations)


# Drift


@pytest.mark.parametrize("seed", range(5))
def test_the_drifting_one_is_found_and_steady_ones_are_not(seed):
    tasks, _ = project([0.96, 0.97, 0.95], tasks=400, seed=seed, fall={2: 0.5})
    people = measure_people(read_answers(tasks, TAXONOMY))
    verdicts = [one.answers["category"].drift.verdict for one in people]
    assert verdicts == [STEADY, FALLING, STEADY]
    drift = people[1].answers["category"].drift
    assert drift.change < -0.15
    assert drift.p < 0.01
    assert sum(one.right.of for one in drift.windows) == drift.scored
    assert drift.windows[-1].right.rate < drift.windows[0].right.rate


def test_who_learns_is_rising():
    tasks, _ = project([0.96, 0.45, 0.95], tasks=400, fall={2: -0.5})
    people = measure_people(read_answers(tasks, TAXONOMY))
    assert [one.answers["category"].drift.verdict for one in people] == [STEADY, RISING, STEADY]


@pytest.mark.parametrize("seed", range(8))
def test_careless_but_steady_is_not_drifting(seed):
    tasks, _ = project([0.9, 0.92, 0.6], seed=seed)
    people = measure_people(read_answers(tasks, TAXONOMY))
    assert Counter(own.drift.verdict for one in people for own in one.answers.values()) == {STEADY: 6}


def test_when_all_fall_together_it_is_not_a_person():
    tasks, _ = project([0.97] * 5, tasks=400, fall=dict.fromkeys(range(1, 6), 0.45))
    gold = project([0.97] * 5, tasks=400)[1]
    report = measure_agreement(tasks, TAXONOMY, gold, samples=50)
    drifts = [one for one in report.findings if one.kind == "drift"]
    assert [(one.person, one.answer) for one in drifts] == [(None, "category"), (None, "emotion")]
    assert "任务变难了" in drifts[0].text


def test_of_two_people_it_is_open_who_fell():
    tasks, gold = project([0.97, 0.97], tasks=400, fall={1: 0.5})
    report = measure_agreement(tasks, TAXONOMY, samples=50)
    texts = [one.text for one in report.findings if one.kind == "drift" and one.answer == "category"]
    assert texts
    assert all("不能断定是谁变了" in text for text in texts)
    report = measure_agreement(tasks, TAXONOMY, gold, samples=50)
    assert [one.person for one in report.findings if one.kind == "drift"] == ["annotator-1"] * 2


def test_windows_by_number_by_day_and_too_few():
    tasks = [
        task(
            row,
            *(annotation(person, CATEGORIES[0], after=24 * 60 * (row // 25) + row) for person in range(3)),
        )
        for row in range(109)
    ]
    answers = read_answers(tasks, TAXONOMY)

    def sizes(window):
        drift = measure_people(answers, window)[0].answers["category"].drift
        return [one.right.of for one in drift.windows]

    assert sizes("auto") == [20, 20, 20, 20, 29]
    assert sizes(40) == [40, 40, 29]
    assert sizes("day") == [25, 25, 25, 25, 9]
    assert sizes("week") == [109]
    few = measure_people(answers, 60)[0].answers["category"].drift
    assert (few.verdict, few.change, few.p) == (TOO_FEW, None, None)


# Projects with little in them


def test_one_annotator_alone(tmp_path):
    tasks, gold = project([0.6], tasks=200)
    report = measure_agreement(tasks, TAXONOMY, gold)
    for one in report.results.values():
        assert (one.alpha, one.interval, one.cohen, one.fleiss) == (None, None, None, None)
        assert one.verdict == "unmeasured"
    assert ("training", "annotator-1", "category") in kinds(report)
    assert ("overlap", None, None) in kinds(report)
    write_agreement(report, tmp_path)
    assert "无法衡量" in (tmp_path / "agreement.html").read_text(encoding="utf-8")
    report = measure_agreement(tasks, TAXONOMY)
    assert kinds(report) == {("overlap", None, None), ("gold", None, None)}


def test_one_class_only_and_all_left_open(tmp_path):
    small = parse_taxonomy(
        TAXONOMY.raw
        | {"categories": TAXONOMY.raw["categories"][:1], "emotions": TAXONOMY.raw["emotions"][:1]}
        | {"boundaries": []}
    )
    labels = (small.categories[0].key, small.emotions[0].key)
    tasks = [task(row, *(annotation(person, *labels) for person in range(3))) for row in range(30)]
    report = measure_agreement(tasks, small)
    agreement = report.results["category"]
    assert (agreement.alpha, agreement.cohen, agreement.fleiss) == (None, None, None)
    assert (agreement.pairs_same.rate, agreement.verdict) == (1, "unmeasured")
    write_agreement(report, tmp_path)
    left_open = [task(1, annotation(1, labels[0], undecided=True), annotation(2, None, None))]
    report = measure_agreement(left_open, TAXONOMY)
    assert report.results["category"].given == 0
    write_agreement(report, tmp_path)
    print_agreement(report, Console(file=io.StringIO()))


@pytest.mark.slow
def test_ten_thousand_tasks():
    tasks, gold = project([0.95, 0.93, 0.6], tasks=10_000, labels=len(CATEGORIES))
    report = measure_agreement(tasks, TAXONOMY, some(gold, 500))
    assert sum(one.alpha is not None for one in report.results["category"].classes) == len(CATEGORIES)
