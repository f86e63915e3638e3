"""Leaving whole authors out: who is left out, whose figures come back, and that work is kept."""

import dataclasses
import json
import math

import pytest

from data.example import write_examples
from experiments.held_out import author_groups, leave_out, main, mean_over_authors
from training.config import load_training_config

AUTHORS = ("lin", "mei", "tang")


@pytest.fixture(scope="module")
def by_three(corpus):
    return [row for row in corpus if row.author in AUTHORS]


def test_groups_hold_every_author_once(corpus):
    groups = author_groups(corpus, 4)
    assert sorted(name for group in groups for name in group) == sorted({row.author for row in corpus})
    sizes = [sum(row.author in group for row in corpus) for group in groups]
    assert max(sizes) < 1.5 * min(sizes)


def test_more_groups_than_authors_is_one_each(by_three):
    assert sorted(author_groups(by_three, 9)) == [("lin",), ("mei",), ("tang",)]


def test_figures_and_answers_are_of_the_left_out_author(by_three, taxonomy):
    figures, answers = leave_out(["mei"], by_three, load_training_config("shared"), taxonomy, whole=False)
    assert {(row["author"], row["view"]) for row in figures} == {("mei", "n-grams")}
    theirs = [row for row in by_three if row.author == "mei"]
    assert {answer["id"] for answer in answers} == {row.id for row in theirs}
    right = {row.id: row.category for row in theirs}
    hits = [max(a["category"], key=a["category"].get) == right[a["id"]] for a in answers]
    category = next(row for row in figures if row["task"] == "category")
    assert sum(hits) / len(hits) == pytest.approx(category["accuracy"], abs=0.005)  # answers are rounded
    assert category["accuracy"] > 0.4
    assert all(sum(a["emotion"].values()) == pytest.approx(1, abs=1e-3) for a in answers)


def test_each_view_alone_and_both(by_three, taxonomy, tiny_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [row for row in by_three if row.author == "mei"] + by_three[:1500]
    config = dataclasses.replace(tiny_config, train=dataclasses.replace(tiny_config.train, epochs=1))
    figures, answers = leave_out(["mei"], rows, config, taxonomy, whole=True)
    assert {row["view"] for row in figures} == {"n-grams", "encoder", "both views"}
    assert len(answers) == len({row.id for row in rows if row.author == "mei"})
    both = {row["task"]: row for row in figures if row["view"] == "both views"}
    assert both["category"]["accuracy_in_context"] != both["category"]["accuracy_context_left_out"]
    assert all(sum(a["category"].values()) == pytest.approx(1, abs=2e-3) for a in answers)


def test_finished_groups_are_kept(tmp_path, by_three, capsys):
    write_examples(tmp_path / "e.jsonl", by_three)
    arguments = ["--examples", str(tmp_path / "e.jsonl"), "--baseline", "--groups", "3"]
    arguments += ["--output", str(tmp_path / "out")]
    main([*arguments, "--only", "1"])
    (kept,) = (tmp_path / "out").rglob("baseline-?-of-3.json")
    before = kept.read_bytes()
    assert json.loads(before)["authors"]
    capsys.readouterr()
    main(arguments)
    assert kept.read_bytes() == before
    assert len(list((tmp_path / "out").rglob("baseline-?-of-3.json"))) == 3
    (pairs,) = (tmp_path / "out").rglob("baseline-confusions.json")
    worst = json.loads(pairs.read_text(encoding="utf-8"))
    assert len(worst) == 25
    assert worst[0]["count"] >= worst[-1]["count"] > 0
    assert worst[0]["truth"] != worst[0]["answer"]
    printed = capsys.readouterr().out
    assert "group 1" not in printed
    assert all(name in printed for name in AUTHORS)


def test_the_interval_is_over_authors():
    rows = [{"view": "v", "task": "t", "top3": value} for value in (0.8, 0.9)]
    mean, half = mean_over_authors([*rows, {"view": "v", "task": "t"}], "v", "t", "top3")
    assert mean == pytest.approx(0.85)
    assert half == pytest.approx(12.706 * 0.05, rel=1e-3)
    assert math.isnan(mean_over_authors(rows[:1], "v", "t", "top3")[1])
    with pytest.raises(ValueError, match="no author"):
        mean_over_authors(rows, "v", "t", "ece")
