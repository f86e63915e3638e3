"""The ablation: options, what is kept between calls, and the table."""

from __future__ import annotations

import json

import pytest

from experiments.ablation import ablate, main
from experiments.ablation_options import ALL, OPTIONS, TOGETHER, changed, choose, combined
from experiments.ablation_report import markdown, standings
from experiments.ablation_task import Plan, read_task
from training.config import ConfigError


def test_every_option_is_a_valid_change(tiny_config):
    for name, option in OPTIONS.items():
        extra = {"recipe.unlabelled": "x", "recipe.soft_labels": "x"}
        config = changed(tiny_config, {**option.changes, **extra})
        assert name == "plain" or option.adapt or config != changed(tiny_config, extra)
    joined = combined(TOGETHER)
    assert joined.needs_chats
    assert joined.needs_teachers
    assert joined.adapt == "masked_words"
    assert joined.changes["recipe.r_drop"] == 1.0
    with pytest.raises(ConfigError):
        changed(tiny_config, {"train.dropout": 2.0})


def test_choosing_options():
    assert list(choose(("ema", "r_drop"), TOGETHER, False)) == ["plain", "r_drop", "ema"]
    every = choose((), TOGETHER, True)
    assert list(every) == [*OPTIONS, ALL]
    without = choose((), TOGETHER, False)
    assert "self_training" not in without
    assert "adapt_masked" not in without
    assert not without[ALL].needs_chats
    with pytest.raises(ValueError, match="'rdrop' is unknown"):
        choose(("rdrop",), (), False)
    with pytest.raises(ValueError, match="'all' is unknown"):
        choose((), ("all",), False)
    with pytest.raises(ValueError, match="self_training needs unlabelled chats"):
        choose(("self_training",), (), False)


def test_a_task_is_parted_by_conversation():
    parts = read_task("corpus:emotion", 400)
    sides = [{row.conversation or row.text for row in part} for part in (parts.train, parts.val, parts.held)]
    assert not sides[0] & sides[1]
    assert not sides[2] & (sides[0] | sides[1])
    assert sum(map(len, (parts.train, parts.val, parts.held))) <= 401
    assert set(parts.held.counts()) <= set(parts.train.counts())
    assert read_task("corpus:emotion", 400).fingerprint() == parts.fingerprint()
    with pytest.raises(ValueError, match="expected one of corpus:category, corpus:emotion"):
        read_task("corpus:intent")


def test_a_task_of_few_rows():
    parts = read_task("corpus:emotion", 800, shots=3)
    assert set(parts.train.counts().values()) == {3}
    assert set(parts.val.counts().values()) == {2}
    assert len(parts.held) > 100
    sides = [{row.text for row in part} for part in (parts.train, parts.val, parts.held)]
    assert not sides[0] & sides[1]
    assert not sides[2] & (sides[0] | sides[1])


@pytest.mark.parametrize(
    "wrong", [{"tasks": ()}, {"seeds": ()}, {"seeds": (1, 1)}, {"rows": 3}, {"shots": 0}]
)
def test_wrong_plans_are_refused(wrong):
    with pytest.raises(ValueError, match="ablation: "):
        Plan(**{"tasks": ("corpus:emotion",), **wrong})


@pytest.fixture
def plan(few, tmp_path):
    chats = tmp_path / "chats.jsonl"
    chats.write_text("".join(json.dumps({"text": row.text}) + "\n" for row in few[:80]), encoding="utf-8")
    names = ("ema", "adapt_contrastive", "self_training", "distil", "longer_context", "all")
    return Plan(("corpus:emotion",), names, ("ema", "distil"), (1, 2), 120, 1, chats, 1)


def test_an_ablation_is_kept_and_goes_on(plan, tiny_config, tmp_path, monkeypatch):
    from experiments import ablation_task

    trained = []
    real = ablation_task.learn

    def counted(train, val, config, *rest):
        trained.append(config)
        if len(trained) == 4:
            raise KeyboardInterrupt
        return real(train, val, config, *rest)

    monkeypatch.setattr(ablation_task, "learn", counted)
    output = tmp_path / "ablation"
    with pytest.raises(KeyboardInterrupt):
        ablate(plan, tiny_config, output, progress=False)
    told = ablate(plan, tiny_config, output, progress=False)
    # Two seeds of six options; the longer context is too long for the encoder and never trained.
    assert len(trained) == 2 * 6 + 1 + 1
    assert [one["option"] for one in told["refused"]] == ["longer_context"]
    found = told["standings"]["corpus:emotion"]
    assert set(found) == {"plain", "ema", "self_training", "adapt_contrastive", "distil", "all"}
    assert found["ema"]["seeds"] == [1, 2]
    assert found["ema"]["accuracy_gain_half"] is not None
    assert found["adapt_contrastive"]["adapting_seconds"] > 0
    assert json.loads((output / "ablation.json").read_text(encoding="utf-8"))["standings"] == json.loads(
        json.dumps(told["standings"])
    )
    page = (output / "ablation.md").read_text(encoding="utf-8")
    assert "`longer_context` was refused: " in page
    assert (output / "ablation.png").stat().st_size > 1000
    before = len(trained)
    again = ablate(plan, tiny_config, output, progress=False)
    assert again["runs"] == told["runs"]
    assert len(trained) == before + 1  # the refused one is asked again


def run(option, seed, accuracy, seconds=2.0):
    figures = {"accuracy": accuracy, "macro_f1": accuracy, "log_loss": 1 - accuracy}
    return {
        "task": "t",
        "option": option,
        "seed": seed,
        "seconds": seconds,
        "adapting_seconds": 0.0,
        **figures,
    }


def test_gains_are_paired_by_seed():
    summary = {
        "seeds": [1, 2, 3],
        "tasks": {"t": {"labels": 2, "train": 10, "val": 2, "held": 5}},
        "options": {"plain": "as it is", "ema": "averaged"},
        "refused": [],
        "runs": [run("plain", s, a) for s, a in ((1, 0.5), (2, 0.7), (3, 0.6))]
        + [run("ema", s, a, 4.0) for s, a in ((1, 0.52), (2, 0.72), (3, 0.62))],
    }
    one = standings(summary)["t"]["ema"]
    assert one["accuracy_gain"] == pytest.approx(0.02)
    assert one["accuracy_gain_half"] == pytest.approx(0, abs=1e-9)  # the seeds differ, the gains do not
    assert one["times_plain"] == pytest.approx(2)
    summary["runs"][-1]["seconds"] = None  # resumed
    assert standings(summary)["t"]["ema"]["times_plain"] == pytest.approx(2)
    text = markdown(summary)
    assert "| `ema`: averaged | 62.0 | +2.0 ± 0.0 |" in text
    assert "4 s, 2.00 times" in text


def test_the_command(tiny_bert, tmp_path, capsys, monkeypatch):
    main(["--task", "corpus:emotion", "--options", "plain", "--seeds", "1", "--rows", "60", "--epochs", "1",
          "--backbone", str(tiny_bert), "--output", str(tmp_path)])  # fmt: skip
    assert "| `plain`: the settings as they are |" in capsys.readouterr().out
    assert json.loads((tmp_path / "ablation.json").read_text(encoding="utf-8"))["seeds"] == [1]
