"""A user's own table from file to figures: one command, clear words, nothing done twice."""

from __future__ import annotations

import csv
import json
from collections import defaultdict

import numpy as np
import pytest

from data.sources.rows import rows_of
from experiments.bench_learn import bench_config, epochs_for
from experiments.bench_parts import choose_few, deal_groups, hold_out, hold_out_tail, keep_spread_labels
from experiments.bench_report import answers, confusion_picture, curve_picture, figures
from experiments.bench_run import bench_run
from experiments.bench_summary import mean_interval
from tests.conftest import ROOT


def lines(path):
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.fixture(scope="module")
def table(few, tmp_path_factory):
    """Training and test file of three categories in strange words, and the folder they lie in."""
    folder = tmp_path_factory.mktemp("table")
    names = {"size_recommendation": "尺码 推荐", "refund_progress": "Refund", "greeting": "greeting"}
    chosen = [row for row in few if row.category in names and not row.context][:150]
    for name, rows in (("train", chosen[::2]), ("test", chosen[1::2])):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as handle:
            writer = csv.writer(handle)
            writer.writerow(["said", "wish"])
            writer.writerows([row.text, names[row.category]] for row in rows)
    return folder


@pytest.fixture(scope="module")
def config(tiny_config):
    return bench_config("shared", 100, epochs=2, base=tiny_config)


def run(table, output, config, **more):
    settings = {
        "text_column": "said",
        "label_column": "wish",
        "config": config,
        "epochs": 2,
        "progress": False,
    }
    settings |= {"record": False, **more}
    return bench_run(table / "train.csv", settings.pop("test", table / "test.csv"), output=output, **settings)


@pytest.fixture(scope="module")
def done(table, config, tmp_path_factory):
    output = tmp_path_factory.mktemp("output")
    return run(table, output, config), output


def test_a_run_writes_figures_predictions_and_pictures(done, table):
    metrics, output = done
    assert json.loads((output / "metrics.json").read_text()) == metrics
    assert set(metrics["classes"]) >= {"尺码 推荐", "Refund", "greeting"}
    rows = [json.loads(line) for line in (output / "predictions.jsonl").read_text().splitlines()]
    with (table / "test.csv").open(encoding="utf-8") as handle:
        test = list(csv.DictReader(handle))
    assert [row["text"] for row in rows] == [row["said"] for row in test]
    assert [row["label"] for row in rows] == [row["wish"] for row in test]
    assert set(rows[0]) == {"text", "label", "prediction", "score"}
    right = np.mean([row["label"] == row["prediction"] for row in rows])
    assert metrics["accuracy"] == pytest.approx(right)
    assert metrics["accuracy"] > 0.5
    assert metrics["n"] == len(test)
    assert metrics["rows"]["train"] + metrics["rows"]["val"] == lines(table / "train.csv") - 1
    assert [point["epoch"] for point in metrics["curve"]] == [1, 2]
    for name in ("confusion.png", "learning_curve.png"):
        assert (output / name).read_bytes().startswith(b"\x89PNG")


def test_macro_f1_is_scikit_learns(done):
    from sklearn.metrics import f1_score

    metrics, output = done
    rows = [json.loads(line) for line in (output / "predictions.jsonl").read_text().splitlines()]
    truth, guess = [row["label"] for row in rows], [row["prediction"] for row in rows]
    assert metrics["macro_f1"] == pytest.approx(f1_score(truth, guess, average="macro"))


def test_what_is_done_is_kept_and_other_settings_are_not(done, table, config, monkeypatch):
    metrics, output = done
    monkeypatch.setattr("experiments.bench_run.learn", lambda *_: pytest.fail("trained again"))
    assert run(table, output, config) == metrics
    with pytest.raises(pytest.fail.Exception):
        run(table, output, config, seeds=[9])


def test_a_label_of_test_alone_is_said_counted_or_refused(table, config, tmp_path, caplog):
    more = tmp_path / "more.csv"
    more.write_text((table / "test.csv").read_text() + "新的,unknown wish\n", encoding="utf-8")
    fast = bench_config("tfidf", 100, ROOT / "params.yaml")
    counted = run(table, tmp_path / "counted", fast, test=more)
    assert "'unknown wish'" in caplog.text
    assert counted["only_in_test"] == {"unknown wish": 1}
    assert counted["classes"]["unknown wish"]["recall"] == 0
    dropped = run(table, tmp_path / "dropped", fast, test=more, unseen="drop")
    assert dropped["n"] == counted["n"] - 1
    with pytest.raises(ValueError, match=r"1 rows carry a label that no training row has: 'unknown wish'"):
        run(table, tmp_path / "refused", fast, test=more, unseen="error")
    with pytest.raises(ValueError, match="unseen: must be"):
        run(table, tmp_path / "refused", fast, unseen="maybe")


def test_wrong_columns_and_single_labels_are_named(table, config, tmp_path):
    with pytest.raises(ValueError, match=r"label column 'label'.*there are: said, wish"):
        run(table, tmp_path, config, label_column="label")
    (tmp_path / "one.csv").write_text("said,wish\na,x\nb,x\n")
    with pytest.raises(ValueError, match="all rows carry the label 'x'"):
        bench_run(tmp_path / "one.csv", tmp_path / "one.csv", "said", "wish", output=tmp_path)
    with pytest.raises(ValueError, match="give a test table, or folds"):
        run(table, tmp_path, config, test=None)


def test_folds_answer_every_row_once(table, tmp_path):
    fast = bench_config("tfidf", 100, ROOT / "params.yaml")
    metrics = run(table, tmp_path, fast, test=None, folds=3)
    assert metrics["n"] == sum(part["n"] for part in metrics["parts"].values())
    assert set(metrics["parts"]) == {"fold-1", "fold-2", "fold-3"}
    answered = lines(tmp_path / "predictions.jsonl")
    assert answered == metrics["n"] == lines(table / "train.csv") - 1
    assert metrics["interval"]["accuracy"] > 0


def test_few_shots_give_a_mean_over_seeds(table, tmp_path):
    fast = bench_config("tfidf", 100, ROOT / "params.yaml")
    metrics = run(table, tmp_path, fast, shots=4, seeds=[1, 2])
    single = [part["accuracy"] for part in metrics["parts"].values()]
    assert metrics["accuracy"] == pytest.approx(np.mean(single))
    assert metrics["rows"]["seed-1"]["train"] == 12
    with pytest.raises(ValueError, match=r"class '.*' has \d+ distinct texts, but 900 shots"):
        run(table, tmp_path, fast, shots=900)


def grouped(sizes, labels):
    values = [
        (f"text {group} {n}", labels[(group + n) % len(labels)], f"g{group}", ())
        for group, size in enumerate(sizes)
        for n in range(size)
    ]
    return rows_of(values, "grouped")


def test_groups_stay_whole_and_labels_stand_in_two_folds():
    rows = grouped([7, 3, 9, 4, 6, 2, 5, 5], "abcdefg")
    fold, groups = deal_groups(rows, 4, seed=3), rows.groups()
    assert all(len(set(fold[groups == group])) == 1 for group in set(groups))
    assert np.bincount(fold).max() <= 2 * np.bincount(fold).min()
    where = defaultdict(set)
    for label, number in zip(rows.label_array(), fold, strict=True):
        where[label].add(number)
    assert all(len(numbers) >= 2 for numbers in where.values())
    kept, held = hold_out(rows, 0.3, seed=1)
    assert not set(kept.groups()) & set()
    assert len(kept) + len(held) == len(rows)
    names = [{row.conversation for row in part} for part in (kept, held)]
    assert not names[0] & names[1]
    with pytest.raises(ValueError, match="folds: 9 of 8 groups"):
        deal_groups(rows, 9, seed=1)


def test_every_label_keeps_a_row_and_copies_stay_together():
    values = [(f"text {n % 40}", "ab"[n % 2], None, ()) for n in range(80)] + [("alone", "c", None, ())]
    kept, held = hold_out(rows_of(values, "copies"), 0.2, seed=1)
    assert kept.counts()["c"] == 1
    assert not {row.text for row in kept} & {row.text for row in held}
    assert abs(held.counts()["a"] - held.counts()["b"]) <= 2
    few_left, one = hold_out(
        rows_of([("x", "a", None, ()), ("y", "a", None, ()), ("z", "b", None, ())], "tiny"), 0.1, 1
    )
    assert (len(few_left), len(one)) == (2, 1)
    with pytest.raises(ValueError, match="too few to hold"):
        hold_out(rows_of([("x", "a", None, ()), ("z", "b", None, ())], "pair"), 0.1, 1)
    assert [row.text for row in hold_out_tail(rows_of(values, "tail"), 0.02)[1]] == ["text 39", "alone"]


def test_few_large_groups_can_be_held_out():
    kept, held = hold_out(grouped([20, 20, 20, 20], "ab"), 0.1, seed=1)
    assert (len(kept), len(held)) == (60, 20)


def test_spread_labels_and_shots():
    rows = grouped([2, 2], "abc")
    assert set(keep_spread_labels(rows).counts()) == {"b"}
    train, val = choose_few(rows_of([(f"t{n}", "ab"[n % 2], None, ()) for n in range(30)], "few"), 3, 1, 2)
    assert train.counts() == {"a": 3, "b": 3}
    assert val.counts() == {"a": 2, "b": 2}
    assert not {row.text for row in train} & {row.text for row in val}


def test_figures_of_answers_and_pictures_of_none():
    found = answers(np.array([0, 1, 0]), np.array([0.9, 0.8, 0.6]), ("a", "b"), ["a", "b", "z"])
    assert figures(found)["accuracy"] == pytest.approx(2 / 3)
    assert found.names == ("a", "b", "z")
    right = answers(np.array([0, 1]), np.array([0.9, 0.8]), ("a", "b"), ["a", "b"])
    for picture in (confusion_picture(right), curve_picture([{"epoch": 1.0, "val_loss": 0.1}])):
        assert picture.png.startswith(b"\x89PNG")


def test_effort_follows_rows_and_intervals_are_students():
    assert [epochs_for(rows, 32) for rows in (100, 800, 10_000, 60_000, 1_000_000)] == [40, 12, 5, 3, 1]
    mean, half = mean_interval([1.0, 2.0, 3.0])
    assert (mean, round(half, 3)) == (2.0, 2.484)
    assert np.isnan(mean_interval([1.0])[1])


def test_a_run_is_recorded_without_texts(table, tmp_path, monkeypatch):
    from experiments import tracking

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(tracking, "STATE", tmp_path / ".kefu")
    fast = bench_config("tfidf", 100, ROOT / "params.yaml")
    metrics = run(table, tmp_path / "out", fast, record=True)
    details = tracking.run_details(metrics["run"])
    assert details.metrics["test/accuracy"] == pytest.approx(metrics["accuracy"])
    assert tracking.fetch_artifact(metrics["run"], "report/confusion.png")
    assert not tracking.fetch_artifact(metrics["run"], "report/predictions.jsonl")
