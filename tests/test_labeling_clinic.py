"""The clinic suggests what was constructed, nothing else, and is silent where there is too little."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from rich.console import Console

from data.example import Example
from labeling.clinic import examine, print_clinic, write_clinic
from labeling.clinic.page import clinic_page
from labeling.clinic.pairs import CLEAR, CONFUSED, UNKNOWN, PairRules, model_evidence, people_evidence
from labeling.task import parse_task

CATEGORIES = (
    "ship_time", "urge_shipping", "logistics_query", "coupon", "bargain", "invoice_request", "quality_issue",
    "wrong_item", "return_policy", "greeting",
)  # fmt: skip
PAIR = ("ship_time", "urge_shipping")
SEEDS = range(6)


def desk(
    taxonomy,
    seed,
    model_right=0.85,
    torn=(),
    model_torn=(),
    doubt=1.0,
    model_doubt=1.0,
    careless=0,
    count=700,
):
    """Messages with three people's answers and a model's.

    People who are `torn` between two categories throw a coin in a share `doubt` of their answers.
    """
    rng = np.random.default_rng(seed)
    labels = taxonomy.label_map("category").labels
    tasks, model = [], {}
    for number in range(count):
        # Sizes differ by a factor of five, as in a shop.
        truth = CATEGORIES[int(len(CATEGORIES) * rng.random() ** 1.7)]

        def say(right, pair, doubt, truth=truth):
            if truth in pair and rng.random() < doubt:
                truth = pair[int(rng.integers(2))]
            return truth if rng.random() < right else str(rng.choice(CATEGORIES))

        answers = [say(0.92, torn, doubt) for _ in range(3 - careless)]
        answers += [str(rng.choice(CATEGORIES)) for _ in range(careless)]
        tasks.append(task(number, answers))
        opinion = rng.dirichlet(np.full(len(labels), 0.05)) * 0.3
        opinion[labels.index(say(model_right, model_torn, model_doubt))] += 0.7
        model[tasks[-1].key] = opinion
    return tasks, model


def task(number, answers, text=None, undecided=False):
    annotations = []
    for person, category in enumerate(answers):
        result = [{"from_name": "category", "type": "choices", "value": {"choices": [category]}}]
        if undecided:
            result.append({"from_name": "undecided", "type": "choices", "value": {"choices": ["undecided"]}})
        annotations.append({
            "id": 10 * number + person, "completed_by": person, "result": result,
            "created_at": "2026-11-02T08:00:00Z",
        })  # fmt: skip
    text = text or f"第{number}条消息"
    return parse_task({"id": number, "project": 1, "data": {"text": text}, "annotations": annotations})


def found(report):
    return [(one.kind, one.categories) for one in report.suggestions]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("careless", [0, 1])
def test_a_pair_that_nobody_tells_apart_is_merged_and_no_other(taxonomy, seed, careless):
    tasks, model = desk(taxonomy, seed, torn=PAIR, model_torn=PAIR, careless=careless)
    assert found(examine(tasks, taxonomy, model)) == [("merge", PAIR)]


@pytest.mark.parametrize("seed", SEEDS)
def test_slips_and_careless_people_suggest_nothing(taxonomy, seed):
    assert found(examine(*args(desk(taxonomy, seed), taxonomy))) == []
    assert found(examine(*args(desk(taxonomy, seed, careless=1), taxonomy))) == []
    assert found(examine(*args(desk(taxonomy, seed, model_right=0.6), taxonomy))) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_neighbours_that_are_mostly_told_apart_stay_as_they_are(taxonomy, seed):
    made = desk(taxonomy, seed, torn=PAIR, model_torn=PAIR, doubt=0.15, model_doubt=0.2, count=1500)
    assert found(examine(*args(made, taxonomy))) == []
    # Far more often confused than their sizes would give, all the same.
    labels = taxonomy.label_map("category").label2id
    counts = np.zeros((1500, 71), int)
    for number, one in enumerate(made[0]):
        for answer in one.annotations:
            counts[number, labels[answer.category]] += 1
    people = people_evidence(counts, *(labels[key] for key in PAIR), 45, PairRules())
    assert people.confused > 2 * people.expected
    assert people.p < 0.01


def args(made, taxonomy):
    return made[0], taxonomy, made[1]


@pytest.mark.parametrize("seed", SEEDS)
def test_confusion_of_one_side_asks_for_a_clearer_text(taxonomy, seed):
    # Had everybody thrown coins, the majority would be one too, and no model could agree with it.
    report = examine(*args(desk(taxonomy, seed, torn=PAIR, doubt=0.5), taxonomy))
    assert found(report) == [("clarify", PAIR)]
    (one,) = report.suggestions
    assert one.people.verdict == CONFUSED != one.model.verdict
    assert "人之间分不清，模型" in one.reason
    assert any("没付款，或付了只问何时发" in rule for rule in one.boundaries)
    report = examine(*args(desk(taxonomy, seed, model_torn=PAIR), taxonomy))
    assert found(report) == [("clarify", PAIR)]
    (one,) = report.suggestions
    assert (one.people.verdict, one.model.verdict) == (CLEAR, CONFUSED)
    assert "人分得清，模型分不清" in one.reason


def test_people_alone_cannot_merge(taxonomy):
    tasks, _ = desk(taxonomy, 1, torn=PAIR)
    report = examine(tasks, taxonomy)
    assert found(report) == [("clarify", PAIR)]
    assert "模型的意见未知" in report.suggestions[0].reason
    assert any("没有模型的意见" in note for note in report.notes)


def test_a_model_against_single_labels_cannot_merge(taxonomy):
    tasks, model = desk(taxonomy, 1, torn=PAIR, model_torn=PAIR)
    examples = [Example(one.key, one.text, one.annotations[0].category, "neutral", "a") for one in tasks]
    report = examine([], taxonomy, model, examples=examples)
    assert found(report) == [("clarify", PAIR)]
    assert report.suggestions[0].people is None
    assert "安排多人标注" in report.suggestions[0].reason


def test_too_few_messages_are_met_with_silence(taxonomy):
    tasks, model = desk(taxonomy, 1, torn=PAIR, model_torn=PAIR, count=40)
    assert found(examine(tasks, taxonomy, model)) == []


def test_counts_and_examples_are_those_of_the_messages(taxonomy):
    tasks, model = desk(taxonomy, 2, torn=PAIR, model_torn=PAIR)
    (one,) = examine(tasks, taxonomy, model).suggestions
    both = sum({*PAIR} <= {answer.category for answer in own.annotations} for own in tasks)
    assert one.people.confused == both
    assert 0 < one.people.expected < both / 3
    for side, category, other in zip(one.sides, PAIR, reversed(PAIR), strict=True):
        assert len(side.examples) == 5 <= side.messages
        for case in side.examples:
            assert other in case.people or case.model == other
            assert case.people.get(category, 0) >= case.people.get(other, 0)


def test_numbers_of_a_hand_counted_table():
    rules = PairRules()
    # 40 pairs of answers: 10 both A, 10 both B, 20 torn; twenty messages of a third category agree.
    counts = np.array([[2, 0, 0]] * 10 + [[0, 2, 0]] * 10 + [[1, 1, 0]] * 20 + [[0, 0, 2]] * 20)
    people = people_evidence(counts, 0, 1, 3, rules)
    assert (people.messages, people.confused) == (40, 20)
    # Sizes 40, 40, 40 of 120: a third of the 20 disagreements would fall on each pair.
    assert people.expected == pytest.approx(20 / 3)
    assert people.distinguishability == pytest.approx(1 - 10.5**2 / 10.5**2)
    assert people.verdict == CONFUSED
    assert people_evidence(counts, 0, 2, 3, rules).confused == 0
    confusion = np.array([[50, 2, 0], [1, 47, 0], [0, 0, 60]])
    model = model_evidence(confusion, 0, 1, 3, rules)
    assert (model.messages, model.confused, model.verdict) == (100, 3, CLEAR)
    assert model.distinguishability == pytest.approx(1 - 2.5 * 1.5 / (50.5 * 47.5))
    # A model that swallows a category whole has not told it apart.
    swallowed = model_evidence(np.array([[60, 0, 0], [55, 0, 0], [0, 0, 60]]), 0, 1, 3, rules)
    assert swallowed.verdict == CONFUSED or swallowed.distinguishability < 0.9
    assert model_evidence(np.zeros((3, 3), int), 0, 1, 3, rules).verdict == UNKNOWN


def clouds(taxonomy, seed, split=True, same_neighbour=False, count=160):
    """Ten categories as Gaussian clouds; `coupon` is two clouds with different neighbours."""
    rng = np.random.default_rng(seed)
    labels = taxonomy.label_map("category").labels
    centres = rng.normal(size=(12, 24)) * 1.5
    examples, model, vectors = [], {}, {}
    for place, category in enumerate(CATEGORIES):
        for number in range(count):
            name = f"{category}-{number}"
            second = category == "coupon" and split and number % 2
            centre = centres[10] if second else centres[place]
            vectors[name] = centre + rng.normal(size=24)
            near = "bargain" if second and not same_neighbour else "return_policy"
            if category != "coupon":
                near = str(rng.choice([one for one in CATEGORIES if one != category]))
            opinion = np.full(len(labels), 0.001)
            opinion[labels.index(category)], opinion[labels.index(near)] = 0.7, 0.2
            model[name] = opinion / opinion.sum()
            examples.append(Example(name, f"消息{name}", category, "neutral", "a"))
    return examples, model, vectors


@pytest.mark.parametrize("seed", range(3))
def test_a_category_in_two_places_is_split_and_no_other(taxonomy, seed):
    examples, model, vectors = clouds(taxonomy, seed)
    report = examine([], taxonomy, model, vectors, examples)
    assert found(report) == [("split", ("coupon",))]
    (one,) = report.suggestions
    assert {side.neighbours[0][0] for side in one.sides} == {"议价", "退换政策咨询"}
    assert [side.messages for side in one.sides] == [80, 80]
    assert one.split["stability"] > 0.95


def test_one_cloud_is_not_split(taxonomy):
    examples, model, vectors = clouds(taxonomy, 1, split=False)
    assert found(examine([], taxonomy, model, vectors, examples)) == []


@pytest.mark.parametrize("seed", range(3))
def test_a_long_cloud_between_two_neighbours_is_not_split(taxonomy, seed):
    examples, model, vectors = clouds(taxonomy, seed, split=False)
    labels = taxonomy.label_map("category").label2id
    along = np.random.default_rng(seed).normal(size=160) * 5
    direction = np.eye(24)[0]
    for number, place in enumerate(along):
        name = f"coupon-{number}"
        vectors[name] = vectors[name] + place * direction
        model[name] = np.full(71, 0.001)
        model[name][labels["coupon"]] = 0.7
        model[name][labels["bargain" if place > 0 else "return_policy"]] = 0.2
    assert found(examine([], taxonomy, model, vectors, examples)) == []


def test_clusters_with_the_same_neighbours_are_one_category(taxonomy):
    examples, model, vectors = clouds(taxonomy, 1, same_neighbour=True)
    assert found(examine([], taxonomy, model, vectors, examples)) == []


def test_small_categories_are_not_split(taxonomy):
    examples, model, vectors = clouds(taxonomy, 1, count=60)
    assert found(examine([], taxonomy, model, vectors, examples)) == []


def test_the_model_may_answer_by_label_and_by_example_id(taxonomy):
    tasks, model = desk(taxonomy, 3, torn=PAIR, model_torn=PAIR)
    labels = taxonomy.label_map("category").labels
    by_label = {f"ls-1-{one.id}": dict(zip(labels, model[one.key].tolist(), strict=True)) for one in tasks}
    assert examine(tasks, taxonomy, by_label) == examine(tasks, taxonomy, model)


def test_wrong_input_is_named(taxonomy):
    with pytest.raises(ValueError, match="none given"):
        examine([], taxonomy)
    one = task(1, ["ship_time", "ship_time"])
    with pytest.raises(ValueError, match=r"'shipping' is not a category"):
        examine([one], taxonomy, {one.key: {"shipping": 1.0}})
    with pytest.raises(ValueError, match=r"3 probabilities for 71 categories"):
        examine([one], taxonomy, {one.key: [0.2, 0.3, 0.5]})
    with pytest.raises(ValueError, match=r"e1: category 'x' is not in the schema"):
        examine([], taxonomy, examples=[Example("e1", "在吗", "x", "neutral", "a")])


def test_undecided_answers_are_no_answers(taxonomy):
    tasks = [task(number, PAIR, undecided=True) for number in range(60)]
    report = examine(tasks, taxonomy)
    assert (report.messages, report.twice, found(report)) == (0, 0, [])


def test_files_and_page_say_the_same_and_are_escaped(taxonomy, tmp_path):
    tasks, model = desk(taxonomy, 1, torn=PAIR, model_torn=PAIR)
    tasks = [dataclasses.replace(one, text="<script>alert(1)</script>电话13812345678") for one in tasks]
    examples, opinions, vectors = clouds(taxonomy, 1)
    examples = [one for one in examples if one.category not in PAIR]
    report = examine(tasks, taxonomy, model | opinions, vectors, examples)
    assert {one.kind for one in report.suggestions} == {"merge", "split"}
    write_clinic(report, tmp_path)
    page = (tmp_path / "clinic.html").read_text(encoding="utf-8")
    assert page == clinic_page(report)
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "13812345678" not in page
    stored = json.loads((tmp_path / "clinic.json").read_text(encoding="utf-8"))
    assert stored["suggestions"][0]["categories"] == list(PAIR)
    assert stored["suggestions"][0]["people"]["confused"] == report.suggestions[0].people.confused
    assert f">{report.suggestions[0].people.confused}<" in page
    console = Console(record=True, width=140)
    print_clinic(report, console)
    shown = console.export_text()
    assert all(word in shown for word in ("merge", "split", "ship_time", "coupon"))
