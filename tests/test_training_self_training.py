"""Self-training: which rows are taken, that no known row is, and a run with it."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from data.split import Snapshot
from training.distillation import mean_probabilities
from training.fit import fit_model
from training.recipe import RecipeConfig
from training.self_training import choose_sure, pseudo_examples, self_train


def test_only_sure_rows_are_taken_and_not_too_many_of_a_label():
    category = np.array([[0.95, 0.05], [0.99, 0.01], [0.92, 0.08], [0.6, 0.4], [0.03, 0.97]])
    emotion = np.array([[0.9, 0.1], [0.9, 0.1], [0.95, 0.05], [0.99, 0.01], [0.5, 0.5]])
    assert choose_sure({"category": category}, 0.9, 9) == [0, 1, 2, 4]
    assert choose_sure({"category": category}, 0.9, 2) == [0, 1, 4]
    assert choose_sure({"category": category, "emotion": emotion}, 0.9, 9) == [0, 1, 2]
    assert choose_sure({"category": category, "emotion": emotion}, 0.9, 1) == [2]
    assert choose_sure({"category": category}, 0.995, 9) == []


def test_pseudo_examples_carry_the_models_labels(taxonomy):
    maps = {"emotion": taxonomy.label_map("emotion")}
    probabilities = {"emotion": np.eye(6)[[2, 4]]}
    (row,) = pseudo_examples([("一", ()), ("二", ())], probabilities, maps, [1])
    assert (row.text, row.emotion, row.category) == ("二", maps["emotion"].labels[4], "")
    assert row.author == "model"


@pytest.fixture
def chats(snapshot, tmp_path):
    """Test rows, which must not be learnt from, and some new messages."""
    rows = [
        {
            "turns": [{"role": t.role, "text": t.text} for t in (*row.context,)]
            + [{"role": "customer", "text": row.text}]
        }
        for row in snapshot.splits["test"][:20]
        if not row.context
    ]
    rows += [{"text": f"这件衣服{size}码多大"} for size in "smlx"]
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_round_adds_rows_that_nobody_labelled(snapshot, tiny_config, chats):
    seen = []

    def learn(config, rows):
        seen.append((config, rows))
        maps = {task: rows.taxonomy.label_map(task) for task in config.tasks}
        return dataclasses.replace(fake, label_maps=maps)

    def answer(result, rows):
        return {task: np.tile([9.0] + [0.0] * (len(m.labels) - 1), (len(rows), 1))
                for task, m in result.label_maps.items()}  # fmt: skip

    from training.train import TrainResult

    recipe = RecipeConfig(self_training=2, unlabelled=str(chats), pseudo_threshold=0.5, pseudo_per_label=3)
    config = dataclasses.replace(tiny_config, recipe=recipe)
    fake = TrainResult(None, None, None, {}, config, {}, 1, False)
    result = self_train(config, snapshot, learn, answer)
    assert result.config == config
    assert len(seen) == 3
    assert not any(one.recipe.self_training for one, _ in seen)
    train = snapshot.splits["train"]
    assert seen[0][1].splits["train"] == train
    added = seen[1][1].splits["train"][len(train) :]
    assert len(added) == 3
    held = {row.text for row in snapshot.splits["test"]}
    assert not held & {row.text for row in added}
    assert len({rows.id for _, rows in seen}) == 3  # no checkpoint of one round is another's
    none = dataclasses.replace(config, recipe=dataclasses.replace(recipe, pseudo_threshold=1.0))
    seen.clear()
    self_train(none, snapshot, learn, answer)
    assert len(seen) == 1


def test_a_whole_run(snapshot, tiny_config, chats, tmp_path):
    small = Snapshot("small", snapshot.taxonomy, {k: rows[:80] for k, rows in snapshot.splits.items()})
    config = dataclasses.replace(
        tiny_config,
        train=dataclasses.replace(tiny_config.train, epochs=1),
        recipe=RecipeConfig(self_training=1, unlabelled=str(chats), pseudo_threshold=0.01),
    )
    result, calibration = fit_model(config, small, tmp_path, progress=False)
    assert result.config.recipe.self_training == 1
    assert result.network.ngram_rows is not None
    assert set(calibration.tasks) == {"category", "emotion"}
    assert list(tmp_path.glob("*/last.ckpt")) == []


class Teacher:
    def __init__(self, value, tasks=("emotion",)):
        self.value, self.tasks = value, tasks

    def probabilities(self, messages):
        return {task: np.full((len(messages), 2), self.value, np.float32) for task in self.tasks}


def test_teachers_are_averaged(few):
    found = mean_probabilities([Teacher(0.2), Teacher(0.8), Teacher(0.8)], few[:3])
    np.testing.assert_allclose(found["emotion"], 0.6, rtol=1e-6)
    with pytest.raises(ValueError, match="name at least one"):
        mean_probabilities([], few[:3])
    with pytest.raises(ValueError, match="number 2 gives"):
        mean_probabilities([Teacher(0.2), Teacher(0.2, ("category",))], few[:3])


def test_exported_models_teach(exported, snapshot, taxonomy, tmp_path, capsys):
    from data.split import write_snapshot
    from experiments.ensemble import main
    from training.distillation import read_soft_labels

    write_snapshot(
        {name: rows[:24] for name, rows in snapshot.splits.items()}, taxonomy, tmp_path / "snapshot"
    )
    file = tmp_path / "soft.npz"
    main(["--teacher", str(exported), "--teacher", str(exported), "--snapshot", str(tmp_path / "snapshot"),
          "--output", str(file)])  # fmt: skip
    assert "24 rows, 2 teachers" in capsys.readouterr().out
    maps = {task: taxonomy.label_map(task) for task in ("category", "emotion")}
    found = read_soft_labels(file, snapshot.splits["train"][:24], maps)
    assert found["category"].shape == (24, 71)
    np.testing.assert_allclose(found["emotion"].sum(1), 1, atol=1e-4)
    table = tmp_path / "table.csv"
    table.write_text("text,label\n在吗,greeting\n谢谢,thanks\n", encoding="utf-8")
    with pytest.raises(ValueError, match="its labels of category are not those of the rows"):
        main(["--teacher", str(exported), "--source", str(table), "--output", str(file)])
