"""Several answers become one label, by the declared policy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from data.example import read_examples, write_examples
from labeling.resolve import ResolutionPolicy, load_resolution_policy, resolve
from labeling.task import Annotation, Task

START = datetime(2026, 11, 1, tzinfo=UTC)


def answer(task, person, category="greeting", emotion="neutral", minute=0, undecided=False, number=None):
    at = START + timedelta(minutes=minute)
    number = number or 100 * task + person
    return Annotation(number, task, f"annotator-{person}", category, emotion, undecided, at, 3.0, 1)


def task(number, *answers):
    return Task(number, 1, f"key{number}", "在吗", (), None, None, None, tuple(answers))


MAJORITY = ResolutionPolicy(method="majority")


def test_one_answer_is_an_example_with_its_vote(taxonomy, tmp_path):
    found = resolve([task(1, answer(1, 4))], taxonomy)
    (example,) = found.examples
    assert (example.id, example.category, example.emotion) == ("ls-1-1", "greeting", "neutral")
    assert example.author == "annotator-4"
    (vote,) = example.votes
    assert (vote.project, vote.task, vote.annotation, vote.annotator) == (1, 1, 104, "annotator-4")
    write_examples(tmp_path / "e.jsonl", found.examples)
    assert read_examples(tmp_path / "e.jsonl") == found.examples


@pytest.mark.parametrize("method", ["majority", "dawid_skene"])
def test_ties_by_heads_go_to_adjudication(taxonomy, method):
    answers = (answer(1, 1), answer(1, 2, "human_agent"))
    found = resolve([task(1, *answers)], taxonomy, ResolutionPolicy(method=method))
    assert not found.examples
    assert found.conflicts[0].reason.startswith("类别不一致")


def test_the_majority_wins(taxonomy):
    answers = (answer(1, 1), answer(1, 2), answer(1, 3, "human_agent"))
    (example,) = resolve([task(1, *answers)], taxonomy, MAJORITY).examples
    assert (example.category, example.author) == ("greeting", "several")


def test_of_one_persons_answers_the_latest_counts(taxonomy):
    answers = (answer(1, 1, "human_agent", minute=5, number=2), answer(1, 1, "greeting", minute=1, number=1))
    (example,) = resolve([task(1, *answers)], taxonomy).examples
    assert example.category == "human_agent"
    assert len(example.votes) == 1


def test_what_half_of_the_people_cannot_decide_is_a_conflict(taxonomy):
    answers = (answer(1, 1), answer(1, 2, None, None, undecided=True))
    (conflict,) = resolve([task(1, *answers)], taxonomy, MAJORITY).conflicts
    assert "拿不准" in conflict.reason
    third = (*answers, answer(1, 3))
    assert len(resolve([task(1, *third)], taxonomy, MAJORITY).examples) == 1


def test_an_incomplete_answer_is_no_example(taxonomy):
    (conflict,) = resolve([task(1, answer(1, 1, emotion=None))], taxonomy).conflicts
    assert conflict.reason == "情绪没有人作答"


def test_tasks_with_too_few_answers_wait(taxonomy):
    policy = ResolutionPolicy(min_annotations=2)
    found = resolve([task(1), task(2, answer(2, 1)), task(3, answer(3, 1), answer(3, 2))], taxonomy, policy)
    assert [one.id for one in found.waiting] == [1, 2]
    assert [one.id for one in found.examples] == ["ls-1-3"]


def test_a_verdict_decides_whatever_the_people_said(taxonomy):
    answers = (answer(1, 1), answer(1, 2, "human_agent"))
    early = answer(50, 9, "greeting", minute=10)
    late = answer(51, 9, "thanks_closing", "positive", minute=20)
    found = resolve([task(1, *answers)], taxonomy, verdicts={1: [late, early]})
    (example,) = found.examples
    assert (example.category, example.emotion, example.author) == (
        "thanks_closing",
        "positive",
        "annotator-9",
    )
    assert [vote.annotation for vote in example.votes] == [101, 102, late.id]
    undecided = answer(52, 9, None, None, minute=30, undecided=True)
    assert resolve([task(1, *answers)], taxonomy, verdicts={1: [undecided]}).conflicts


def simulated(taxonomy, cares, count=240, overlap=1.0, seed=0):
    generator = np.random.default_rng(seed)
    tasks, truth = [], {}
    for number in range(1, count + 1):
        people = range(len(cares)) if generator.random() < overlap else [generator.integers(len(cares))]
        right = {"category": str(generator.choice(list(taxonomy.category))),
                 "emotion": str(generator.choice(list(taxonomy.emotion)))}  # fmt: skip
        answers = []
        for person in people:
            given = {
                kind: label if generator.random() < cares[person]
                else str(generator.choice(list(getattr(taxonomy, kind))))
                for kind, label in right.items()
            }  # fmt: skip
            answers.append(answer(number, int(person) + 1, minute=number, **given))
        tasks.append(task(number, *answers))
        truth[f"ls-1-{number}"] = (right["category"], right["emotion"])
    return tasks, truth


def right_share(found, truth):
    return np.mean([(one.category, one.emotion) == truth[one.id] for one in found.examples])


@pytest.mark.parametrize("seed", range(3))
def test_reliability_finds_the_careless_and_trusts_them_less(taxonomy, seed):
    tasks, truth = simulated(taxonomy, (0.97, 0.94, 0.6), overlap=0.3, seed=seed)
    found = resolve(tasks, taxonomy, ResolutionPolicy())
    skills = {person: np.mean(list(skill.values())) for person, skill in found.reliability.items()}
    assert min(skills, key=skills.__getitem__) == "annotator-3"
    assert skills["annotator-3"] < 0.8 < skills["annotator-2"]
    weighted, counted = right_share(found, truth), right_share(resolve(tasks, taxonomy, MAJORITY), truth)
    assert weighted > counted + 0.05


def test_a_label_outside_the_schema_is_named(taxonomy):
    with pytest.raises(
        ValueError, match=r"task 1: annotation 101: category 'hello' is not in the label schema"
    ):
        resolve([task(1, answer(1, 1, "hello"))], taxonomy)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("method: guess", "method"),
        ("min_confidence: 2", "min_confidence"),
        ("min_annotations: 0", "min_annotations"),
        ("speed: 3", "speed"),
        ("[", "policy"),
    ],
)
def test_a_wrong_policy_names_file_and_field(tmp_path, text, message):
    path = tmp_path / "policy.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        load_resolution_policy(path)
    assert str(path) in str(caught.value)


def test_the_shipped_policy_loads():
    assert load_resolution_policy().method == "dawid_skene"
