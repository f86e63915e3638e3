"""Measuring replies: figures, folds, and a simulated desk in which the truth is known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from data.files import write_jsonl
from data.text import normalise
from experiments.reply_data import BEIKE, Pairs, datasets_folder, query_folds, read_beike
from experiments.reply_policy_simulation import Desk, K, estimates, learning, naive_value
from experiments.reply_quality import bm25_scores, cross_validate, evaluate, fixed, reciprocal_ranks
from tests.conftest import script

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def pairs():
    """Two askings with three candidates each; the second has no right one."""
    return Pairs(
        ["什么时候发货", "能退吗"],
        ["今天下午发货", "您好", "尺码偏大"],
        query=np.array([0, 0, 0, 1, 1, 1]),
        reply=np.array([0, 1, 2, 0, 1, 2]),
        answers=np.array([1, 0, 0, 0, 0, 0]),
        group=np.array([0, 0, 0, 1, 1, 1]),
    )


def test_ranks_count_askings_with_an_answer(pairs):
    assert reciprocal_ranks(pairs, np.array([3.0, 2, 1, 9, 9, 9])).tolist() == [1.0]
    assert reciprocal_ranks(pairs, np.array([1.0, 2, 3, 9, 9, 9])).tolist() == [1 / 3]
    assert reciprocal_ranks(pairs, np.zeros(6)).tolist() == [0.5]  # ties: the middle of three places


def test_figures_are_those_of_answers(pairs):
    found = evaluate(pairs, np.array([0.9, 0.8, 0.1, 0.7, 0.1, 0.1]), 0.5)
    assert found["precision"] == pytest.approx(1 / 3)
    assert found["recall"] == 1.0
    assert found["f1"] == pytest.approx(0.5)


def test_bm25_of_pairs_sees_shared_words(pairs):
    scores = bm25_scores(pairs)
    assert scores[0] > 0
    assert scores[1] == 0
    assert len(scores) == 6


def test_a_question_is_in_one_fold_only():
    queries = ["什么时候发货", "什么时候发货", "什么时候发貨", "能退吗", "多少钱", "有货吗"]
    pairs = Pairs(queries, ["好"], np.arange(6), np.zeros(6, int), np.zeros(6, int), np.arange(6))
    parts = query_folds(pairs, 3, 1)
    assert sorted(np.concatenate(parts).tolist()) == list(range(6))
    for text in {normalise(one) for one in queries}:
        assert sum(any(normalise(queries[row]) == text for row in part) for part in parts) == 1


def test_cross_validation_scores_what_it_did_not_see(pairs):
    doubled = Pairs(
        [f"{number}号" for number in range(6)], pairs.replies,
        np.repeat(np.arange(6), 3), np.tile([0, 1, 2], 6),
        np.tile([1, 0, 0], 6), np.repeat(np.arange(6), 3),
    )  # fmt: skip
    seen = []

    def scorer(train, test):
        seen.append((set(train.tolist()), set(test.tolist())))
        return (doubled.answers[test] == 1).astype(float), 0.5

    found = cross_validate(doubled, {"knows": scorer, "nothing": fixed(doubled, np.zeros(18))}, 3, 1)
    assert found["knows"]["f1"] == found["knows"]["mrr"] == 1.0
    assert found["nothing"]["f1"] == pytest.approx(0.5)
    assert found["nothing"]["mrr"] == 0.5
    assert len(seen) == 3
    assert all(not train & test for train, test in seen)


def test_wrong_rows_are_named(tmp_path):
    path = tmp_path / "pairs.jsonl"
    write_jsonl(path, [{"query": "a", "replies": [{"text": "b", "answers": 1}]}, {"query": "a"}])
    with pytest.raises(ValueError, match=r"pairs\.jsonl:2: query, replies"):
        read_beike(path)


def test_the_judged_set_is_read():
    path = datasets_folder() / BEIKE
    if not path.is_file():
        pytest.skip(f"{path} is absent; KEFU_DATASETS names the folder of the public data sets")
    pairs = read_beike(path, 100)
    assert len(np.unique(pairs.group)) == 100
    assert 0.1 < pairs.answers.mean() < 0.5


def test_the_naive_estimate_is_fooled_and_ours_is_not():
    found = estimates(desks=10, answers=1200, seed=2)
    bias = {name: row["bias"] for name, row in found["estimates"].items()}
    assert found["true_gain"] > 0.12
    # It misses nearly all of what the better ranking gains.
    assert bias["naive"] < -0.6 * found["true_gain"]
    for name in ("ips", "snips", "dr"):
        assert abs(bias[name]) < 0.3 * found["true_gain"]
        assert found["estimates"][name]["covered"] >= 0.7
        assert found["estimates"][name]["says_better"] == 1.0


def test_learning_is_less_fooled_with_propensities():
    worth = learning(desks=8, rounds=8, each=100, seed=2)
    assert worth["fixed"][0] == worth["fixed"][-1]
    assert worth["ours"][-1] > worth["rate"][-1] + 0.01 > worth["fixed"][-1]


def test_a_naive_rate_is_right_where_showing_is_uniform():
    """It is what was shown, and nothing else, that fools it."""
    desk = Desk(np.array([[0.2, 0.4, 0.6]] * 2), np.zeros((2, 3)), np.ones(K))
    kinds, items, reward = desk.show(desk.shown_by, 4000, np.random.default_rng(0))
    target = desk.chances(np.array([[0.0, 0.0, 5.0]] * 2))
    assert naive_value(kinds, items, reward, target) == pytest.approx(desk.value(target), abs=0.05)


@pytest.mark.slow
def test_the_reranker_is_tracked_and_served(exported, tmp_path):
    code = f"""
import json
from itertools import islice
from pathlib import Path
from assist.scripts.library import load_library
from assist.scripts.rerank import Reranker
from data.sources import CORPUS, read_corpus
from experiments.reply_training import JUDGED, read_own_pairs, train_and_export
from experiments.tracking import fetch_artifact, run_details
from serving.exported import ExportedModel

project, exported = Path({str(ROOT)!r}), Path({str(exported)!r})
Path("few.jsonl").write_text("".join(islice((project / JUDGED).open(encoding="utf-8"), 80)), encoding="utf-8")
own = read_own_pairs(Path("few.jsonl"), load_library(), read_corpus(CORPUS)[:300], ExportedModel(exported))
folder = train_and_export(exported, "kefu-category@1", Path("reranker"), own)
reranker = Reranker(folder)
run = run_details(json.loads((folder / "manifest.json").read_text())["run"])
print(json.dumps([reranker.encoder, run.tags["stage"], run.tags["encoder"], run.metrics["pairs/judged"],
    run.parameters["seed"], fetch_artifact(run.id, "reranker/manifest.json") is not None]))
"""
    done = script(code, tmp_path)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert found == ["kefu-category@1", "reranker", "kefu-category@1", 80.0, "7", True]
