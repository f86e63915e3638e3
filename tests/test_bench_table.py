"""The benchmark table: resumable cells, targets, out-of-scope thresholds, Markdown."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest

from data.sources.rows import rows_of
from experiments.bench_cells import CONTENDERS, Plan, cell_answers, measure_cell
from experiments.bench_lines import lines_from, lines_of, plain_lines
from experiments.bench_oos import SCORE, SCORES, choose_threshold, in_scope_scores, scope_curve
from experiments.bench_page import markdown
from experiments.bench_run import Part
from experiments.bench_table import PICTURE, bench_table
from experiments.bench_tasks import TASKS, cut, embedded_task, task_parts
from tests.conftest import ROOT


def rows(count, labels, name):
    words = {"a": "red apple", "b": "blue berry", "c": "green pear"}
    values = [
        (f"{words[label]} {label * (n % 7 + 1)} {name} {n}", label, None, ())
        for n, label in enumerate(labels * (count // len(labels)))
    ]
    return rows_of(values, name)


@pytest.fixture
def plan(tiny_config, tmp_path):
    return Plan(
        folder=tmp_path / "cells",
        quick=True,
        params=ROOT / "params.yaml",
        base=tiny_config,
        progress=False,
        checkpoints=tmp_path / "checkpoints",
    )


@pytest.fixture
def sets(tmp_path, monkeypatch):
    """A small set in the form of CLINC150, and nothing else."""
    import gzip

    folder = tmp_path / "sets"
    folder.mkdir()
    parts = {
        name: [[row.text, row.category] for row in rows(count, "abc", name)]
        for name, count in (("train", 90), ("val", 30), ("test", 30))
    }
    parts |= {
        f"oos_{name}": [[f"quite other thing {n}", "oos"] for n in range(12)]
        for name in ("train", "val", "test")
    }
    (folder / "clinc150.json.gz").write_bytes(gzip.compress(json.dumps(parts).encode()))
    monkeypatch.setenv("KEFU_DATASETS", str(folder))
    return folder


def test_a_quick_table_is_measured_kept_and_goes_on(plan, sets, monkeypatch, capsys, tmp_path):
    record, picture = tmp_path / "tasks.json", tmp_path / "curves.png"
    lines = bench_table(("banking77", "clinc150"), plan, record, picture)
    said = capsys.readouterr()
    assert next(line.task.name for line in lines) == "clinc150"
    assert "banking77: left out" in said.out + said.err
    assert "says nothing about figures" in said.out
    assert not record.exists()
    assert not picture.exists()
    figures = lines[0].figures
    assert set(figures) == set(CONTENDERS)
    assert figures["tfidf"]["accuracy"].value > 0.8
    cell = json.loads((plan.folder / "quick" / "clinc150" / "shared-seed-7-test.json").read_text())
    assert set(cell["oos"]) == set(SCORES)
    assert figures["shared"]["oos_recall"].value == cell["oos"][SCORE]["oos_recall"]
    assert "apple" not in json.dumps(cell)
    assert (plan.folder / "quick" / PICTURE.name).read_bytes().startswith(b"\x89PNG")
    table = json.loads((plan.folder / "quick" / "table.json").read_text())
    assert [row["task"] for row in table] == ["clinc150"]
    monkeypatch.setattr("experiments.bench_cells.learn", lambda *_: pytest.fail("measured again"))
    again = bench_table(["clinc150"], plan, None)
    assert again[0].figures["shared"]["accuracy"].value == figures["shared"]["accuracy"].value


def test_unknown_tasks_and_missing_sets_are_said(plan, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"'clinc' is unknown; known: banking77"):
        bench_table(["clinc"], plan, None)
    monkeypatch.setenv("KEFU_DATASETS", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="set KEFU_DATASETS"):
        bench_table(["clinc150"], plan, None)


def test_a_changed_setting_or_row_measures_anew(plan, monkeypatch):
    part = Part("test", rows(60, "abc", "one"), rows(30, "abc", "two"), rows(30, "abc", "three"), 7)
    first = measure_cell(TASKS["banking77"], "tfidf", part, None, 7, plan)
    other = Part("test", part.train, part.val, part.test[:20], 7)
    assert measure_cell(TASKS["banking77"], "tfidf", other, None, 7, plan)["key"] != first["key"]


def cell(task, contender, seed, part, guess, target=(0, 1) * 20):
    size = len(target)
    return {
        "task": task, "contender": contender, "seed": seed, "part": part, "names": ["x", "y"], "n": size,
        "target": list(target), "guess": list(guess), "group": [n // 2 for n in range(size)],
        "accuracy": 0.0, "macro_f1": 0.0, "rows": {"train": 10, "val": 2, "test": size},
    }  # fmt: skip


def test_gains_are_paired_over_folds_and_seeds():
    target = (0, 1) * 20
    poor = [0] * 40  # half right
    good = [*target[:36], *(1 - one for one in target[36:])]  # nine tenths
    cells = {
        name: [
            cell(name, contender, seed, fold, guess)
            for contender, seeds, guess in (
                ("tfidf", (1,), poor),
                ("shared", (1, 2), good if good_one else poor),
            )
            for seed in seeds
            for fold in ("fold-1", "fold-2")
        ]
        for name, good_one in (("jddc-intents", True), ("jddc-intents-alone", False))
    }
    line = lines_of(cells)[0]
    assert (line.seeds, line.rows["test"]) == ((1, 2), 80)
    assert line.figures["shared"]["accuracy"].value == pytest.approx(0.9)
    assert line.figures["shared"]["accuracy"].half == pytest.approx(0)
    (_, over_tfidf, low, high), (_, over_alone, _, _) = line.targets
    assert over_tfidf == pytest.approx(0.4) == over_alone
    assert 0.2 < low < 0.4 < high < 0.6
    text = markdown([line])
    assert "≥ +11 over tfidf: +40.0" in text
    assert "met" in text
    assert "| – |" in text  # no probe was measured
    assert all(len(row) < 600 for row in text.splitlines())


def test_a_record_keeps_the_lines_of_other_tasks(plan, sets, monkeypatch, tmp_path, capsys):
    record, picture = tmp_path / "tasks.json", tmp_path / "curves.png"
    small = Plan(
        plan.folder, params=plan.params, base=plan.base, progress=False, checkpoints=plan.checkpoints
    )
    alone = lines_of({"jddc-intents-alone": [cell("jddc-intents-alone", "shared", 1, "fold-1", (0, 1) * 20)]})
    gone = {**plain_lines(alone)[0], "task": "no-more"}
    record.write_text(json.dumps([*plain_lines(alone), gone]), encoding="utf-8")
    bench_table(["clinc150"], small, record, picture)
    kept = json.loads(record.read_text(encoding="utf-8"))
    assert [line["task"] for line in kept] == ["clinc150", "jddc-intents-alone"]
    assert kept[1] == plain_lines(alone)[0]
    assert picture.read_bytes().startswith(b"\x89PNG")
    text = capsys.readouterr().out
    assert "| 100.0 [100.0, 100.0] |" in text
    assert "| jddc-intents-alone: the same without the turns before; one seed of training (1) |" in text
    assert markdown(lines_from(kept)) == text.removesuffix("\n")
    measured = {"jddc-intents": [cell("jddc-intents", "shared", 1, "fold-1", [0] * 40)]}
    ((target, gain, low, _),) = lines_of(measured, lines_from(kept))[0].targets
    assert (target.over, gain) == ("jddc-intents-alone", pytest.approx(-0.5))
    assert math.isnan(low)


def test_answers_of_folds_with_different_labels_are_one():
    one, two = cell("t", "c", 1, "fold-1", [0, 1], (0, 1)), cell("t", "c", 1, "fold-2", [0, 0], (0, 1))
    two["names"] = ["y", "z"]
    found, groups = cell_answers([one, two])
    assert found.names == ("x", "y", "z")
    assert found.target.tolist() == [0, 1, 1, 2]
    assert found.guess.tolist() == [0, 1, 1, 1]
    assert groups == ["fold-1-0", "fold-1-0", "fold-2-0", "fold-2-0"]


def test_the_threshold_costs_validation_no_more_than_allowed():
    generator = np.random.default_rng(1)
    score, right = generator.normal(size=1000), generator.random(1000) < 0.95
    threshold = choose_threshold(score, right, 0.01)
    assert right.mean() - (right & (score >= threshold)).mean() <= 0.01 + 1e-9
    assert right.mean() - (right & (score > threshold)).mean() > 0.01
    curve = scope_curve(score, right, generator.normal(-3, 1, 500))
    assert curve[0][1] == 0
    assert curve[0][0] == pytest.approx(right.mean())
    assert all(a[0] >= b[0] and a[1] <= b[1] for a, b in itertools.pairwise(curve))


def test_every_score_falls_outside():
    generator = np.random.default_rng(2)
    target = np.repeat([0, 1], 50)
    known = generator.normal(size=(100, 4)) * 0.1 + np.eye(4)[target] * 3
    far = generator.normal(size=(20, 4)) * 0.1 - 2
    near = in_scope_scores(np.eye(2)[target] * 5, known, known, target)
    away = in_scope_scores(np.full((20, 2), 0.1), far, known, target)
    assert set(near) == set(SCORES) - {"combined"}
    for name in near:
        assert near[name].mean() > away[name].max(), name
    constant = in_scope_scores(np.eye(2)[target], np.ones((100, 1)), np.ones((100, 1)), target)
    assert np.isfinite(constant["mahalanobis"]).all()


def test_targets_and_cut_parts_are_sound():
    for task in TASKS.values():
        for target in task.targets:
            assert target.over in (None, "tfidf", *TASKS)
            assert not math.isnan(target.at_least)
    part = Part("p", rows(90, "abc", "x"), rows(30, "abc", "y"), rows(30, "abc", "z"), 1)
    small = cut(part, labels=2, train=10, test=5)
    assert (len(small.train), len(small.val), len(small.test)) == (10, 5, 5)
    assert len(set(small.train.counts()) | set(small.test.counts())) == 2


def test_the_own_corpus_is_a_task_whose_chats_stay_whole():
    ((part, oos),) = task_parts(embedded_task(), 1)
    assert oos is None
    names = [
        {row.conversation for row in side if row.conversation} for side in (part.train, part.val, part.test)
    ]
    assert not names[0] & names[2]
    assert not names[0] & names[1]
    assert set(part.test.counts()) <= set(part.train.counts())
