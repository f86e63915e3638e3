"""The simulated labelling: its arithmetic by hand, its steps on a made-up pool, and the whole command."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from experiments import queue_simulation, relabelling
from experiments.queue_simulation import labels_needed, main, savings
from experiments.relabelling import KINDS, Plan, Pool, find_wrong, prepare, read_banking77, simulate

THINGS = ("parcel", "refund", "coupon", "invoice", "warranty", "password")
FRAMES = ("where is my {}", "tell me about the {}", "i have a question, {} please", "is the {} ready")


def curve(*points):
    return [{"labels": labels, "accuracy": accuracy, "ece": 0.0} for labels, accuracy in points]


def made_up(rows=600, labels=6, overlap=1.0, seed=0):
    """Clusters; the labels 0 and 1 overlap, so that most is to be learnt between them."""
    generator = np.random.default_rng(seed)
    centres = 6 * np.eye(labels, 8)
    centres[1] = centres[0] + [0, overlap, *[0] * 6]
    target = generator.integers(0, labels, 2 * rows)
    features = (centres[target] + generator.normal(size=(2 * rows, 8)) * 0.5).astype(np.float32)
    return Pool(features[:rows], features[:rows], target[:rows], features[rows:], target[rows:], labels)


def test_labels_needed_by_hand():
    steps = curve((100, 0.5), (200, 0.7), (300, 0.9))
    assert labels_needed(steps, 0.8) == pytest.approx(250)
    assert labels_needed(steps, 0.4) == 100
    assert labels_needed(steps, 0.95) is None


def test_one_lucky_training_does_not_count():
    steps = curve((100, 0.5), (200, 0.9), (300, 0.7), (400, 0.9))
    assert labels_needed(steps, 0.85) == pytest.approx(350)


def test_savings_by_hand():
    random = curve((100, 0.5), (200, 0.7), (400, 0.9))
    early, at_once = curve((100, 0.5), (200, 0.9), (400, 0.92)), curve((100, 0.9), (200, 0.9), (400, 1.0))
    never = curve((100, 0.1), (200, 0.2), (400, 0.3))
    found = savings({
        "random": {0: random, 1: random},
        "diverse": {0: early, 1: at_once},
        "entropy": {0: early, 1: never},
    })  # fmt: skip
    assert found["random"]["saved"] == (0.0, 0.0)
    mean, half = found["diverse"]["saved"]
    assert mean == pytest.approx((0.5 + 0.75) / 2)
    assert half == pytest.approx(12.706 * 0.125, rel=1e-3)  # Student's t of two values
    assert found["diverse"]["labels"][0] == pytest.approx(150)
    assert found["diverse"]["last"] == pytest.approx(0.96)
    assert found["entropy"]["saved"] is None


def test_the_plan_ends_at_its_share():
    target = np.repeat([0, 1, 2], [50, 48, 2])
    assert Plan(per_class=5, share=0.6, batch=20).counts(target) == [12, 32, 52, 60]
    assert Plan(per_class=90, share=0.1, batch=20).counts(target) == [100]
    with pytest.raises(ValueError, match="share above 0"):
        Plan(share=1.5)


@pytest.mark.parametrize("strategy", ["random", "entropy", "uncertainty", "diverse"])
def test_labelling_step_by_step(strategy):
    pool, plan, done = made_up(rows=200), Plan(per_class=2, share=0.5, batch=30), []
    steps = simulate(pool, strategy, 1, plan, lambda: done.append(1))
    assert [step["labels"] for step in steps] == plan.counts(pool.target) == [12, 42, 72, 100]
    assert len(done) == 4
    assert steps == simulate(pool, strategy, 1, plan)
    assert steps[0] == simulate(pool, "random", 1, plan)[0]  # every strategy begins with the same labels
    assert steps[-1]["accuracy"] > 0.8


def test_doubt_goes_where_labels_meet(monkeypatch):
    """The queue asks about the two classes that overlap; random order about all alike."""
    learn, asked = relabelling._learn, {}

    def spy(features, target, size):
        asked[strategy] = target
        return learn(features, target, size)

    monkeypatch.setattr(relabelling, "_learn", spy)
    pool, plan = made_up(), Plan(per_class=3, share=0.2, batch=30)
    for strategy in ("random", "uncertainty"):
        simulate(pool, strategy, 0, plan)
    shares = {strategy: float(np.isin(target[18:], [0, 1]).mean()) for strategy, target in asked.items()}
    assert shares["uncertainty"] > 0.6
    assert shares["random"] < 0.45


@pytest.mark.parametrize("kind", list(KINDS))
def test_wrong_answers_come_first(kind):
    found = find_wrong(made_up(overlap=6.0), 0.1, kind, 0)
    assert len(found) == 100
    assert found == sorted(found)
    assert found[-1] == 1
    assert found[9] > 0.95
    assert found[4] == pytest.approx(0.5, abs=0.03)  # 5 % of the queue can hold half of the 10 %


def write_corpus(folder, things=THINGS):
    folder.mkdir(exist_ok=True)
    for part, extra in (("train", ("", " now", " today", " again", " dear shop")), ("test", (" soon", " ?"))):
        with (folder / f"banking77_{part}.csv").open("w", encoding="utf-8", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(["text", "category"])
            for thing in things:
                writer.writerows([frame.format(thing) + more, thing] for frame in FRAMES for more in extra)
    return folder


@pytest.fixture(scope="module")
def corpus_folder(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("banking"))


@pytest.mark.slow  # reads the built-in encoder
def test_both_views_are_ready_to_learn_from(corpus_folder, tmp_path):
    train, test = read_banking77(corpus_folder)
    pool = prepare(train, test, tmp_path / "vectors.npz")
    assert pool.features.shape == (120, 384 + 119)
    assert pool.embeddings.shape == (120, 384)
    assert pool.test_features.shape == (48, 384 + 119)
    meaning, wording = pool.features[:, :384], pool.features[:, 384:]
    assert (meaning**2).sum(1).mean() == pytest.approx(1.5**2, rel=1e-3)
    assert (wording**2).sum(1).mean() == pytest.approx(1, rel=1e-3)
    assert sorted(set(pool.target)) == list(range(6))
    assert simulate(pool, "diverse", 0, Plan(2, 0.6, 15))[-1]["accuracy"] > 0.8


def small_encoder(examples, cache, progress):
    """Counts of letters: an encoder that loads at once."""
    return np.array([[row.text.count(letter) for letter in "abcdefghiknoprstuwy"] for row in examples], float)


class KilledError(Exception):
    pass


def test_the_whole_command_and_its_second_half_another_day(corpus_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(relabelling, "embed", small_encoder)
    command = ["--datasets", str(corpus_folder), "--work", str(tmp_path / "work")]
    command += ["--output", str(tmp_path / "picture.png"), "--seeds", "2", "--wrong", "0.2"]
    command += ["--per-class", "1", "--batch", "15"]
    finished = []

    def dies(pool, strategy, seed, plan, step_done):
        if len(finished) == 5:
            raise KilledError
        finished.append((strategy, seed))
        return simulate(pool, strategy, seed, plan, step_done)

    with monkeypatch.context() as patch:
        patch.setattr(queue_simulation, "simulate", dies)
        with pytest.raises(KilledError):
            main(command)
        assert not (tmp_path / "picture.png").exists()
        finished.clear()
        main(command)
    assert finished == [("entropy", 1), ("uncertainty", 1), ("diverse", 1)]
    written = capsys.readouterr().out
    assert "| random | " in written
    assert "| 20 % wrong: any other label |" in written
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    (path,) = (tmp_path / "work").glob("*/result.json")
    result = json.loads(path.read_text(encoding="utf-8"))
    assert set(result["savings"]) == {"random", "entropy", "uncertainty", "diverse"}
    assert [step["labels"] for step in result["curves"]["diverse"]["0"]] == [6, 21, 36, 51, 66, 72]
    assert result["curves"]["random"]["0"][-1]["accuracy"] > 0.8
    assert {len(line) for lines in result["wrong_found"].values() for line in lines} == {100}
    main([*command, "--batch", "40"])  # another plan: nothing of the first is taken for it
    assert len(list((tmp_path / "work").glob("*/result.json"))) == 2


def test_a_label_that_only_the_test_knows_is_refused(corpus_folder, tmp_path, capsys):
    train, test = read_banking77(corpus_folder)
    with pytest.raises(ValueError, match="no training row has 'refund', which a test row has"):
        prepare([row for row in train if row.category != "refund"], test, tmp_path / "vectors.npz")


@pytest.mark.parametrize(
    ("files", "arguments", "message"),
    [
        (None, [], "name the folder with banking77_train.csv, or set KEFU_DATASETS"),
        ({}, [], "banking77_train.csv: is missing"),
        ({"train": "text,label\na,b\n"}, [], "expected the columns text and category"),
        ({"train": "text,category\na,b\n", "test": ""}, [], "banking77_test.csv: expected the columns"),
        ({}, ["--strategies", "diverse"], "random must be among them"),
        ({}, ["--batch", "0"], "batch must be at least 1"),
    ],
)
def test_what_is_missing_is_named(files, arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("KEFU_DATASETS", raising=False)
    for part, content in (files or {}).items():
        (tmp_path / f"banking77_{part}.csv").write_text(content, encoding="utf-8")
    given = arguments if files is None else ["--datasets", str(tmp_path), *arguments]
    with pytest.raises(SystemExit):
        main([*given, "--work", str(tmp_path / "work")])
    assert message in capsys.readouterr().err
