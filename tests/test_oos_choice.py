"""Choosing an out-of-scope score on intents that were left out of training."""

from __future__ import annotations

import json

import pytest

from data.sources.rows import rows_of
from experiments import oos_choice
from experiments.bench_oos import SCORES
from experiments.oos_choice import main, without_intents

INTENTS = [f"intent {letter}" for letter in "abcdefghij"]


def rows(each, name):
    return rows_of(
        [(f"{name} {intent} {n}", intent, None, ()) for n in range(each) for intent in INTENTS], name
    )


def test_left_out_intents_are_learnt_nowhere():
    train, val = rows(6, "train"), rows(4, "val")
    kept, choosing, measured, outside = without_intents(train, val, seed=1)
    gone = set(outside.label_array().tolist())
    assert len(gone) == 2
    for part in (kept, choosing, measured):
        assert not gone & set(part.label_array().tolist())
    assert (len(kept), len(outside)) == (48, 8)
    assert len(choosing) + len(measured) == 32
    assert not {row.text for row in choosing} & {row.text for row in measured}
    assert set(without_intents(train, val, seed=2)[3].label_array().tolist()) != gone
    few = rows_of([("x", "a", None, ()), ("y", "b", None, ())], "few")
    with pytest.raises(ValueError, match="2 intents are too few"):
        without_intents(few, few, seed=1)


def test_every_score_is_measured_over_draws(tiny_config, tmp_path, monkeypatch, capsys):
    real = oos_choice.bench_config
    monkeypatch.setattr(
        oos_choice, "bench_config", lambda model, count, **more: real(model, count, base=tiny_config, **more)
    )
    monkeypatch.setattr(
        oos_choice, "read_public", lambda name: {"train": rows(6, "train"), "val": rows(4, "v")}
    )
    monkeypatch.chdir(tmp_path)
    main(["--draws", "2", "--epochs", "1", "--record", str(tmp_path / "choice.json")])
    found = json.loads((tmp_path / "choice.json").read_text(encoding="utf-8"))
    assert set(found["means"]) == set(SCORES)
    assert [run["seed"] for run in found["runs"]] == [0, 1]
    for name, one in found["means"].items():
        both = [run["scores"][name]["auroc"] for run in found["runs"]]
        assert one["auroc"] == pytest.approx(sum(both) / 2, abs=1e-5)
    assert "| `energy` |" in capsys.readouterr().out


def test_what_cannot_be_read_is_said_without_a_traceback(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KEFU_DATASETS", str(tmp_path))
    for words, told in (
        (["--data", "clinc"], "'clinc' is unknown; known: banking77"),
        (["--data", "clinc150"], "is missing; clinc150 needs"),
    ):
        with pytest.raises(SystemExit):
            main(words)
        assert told in capsys.readouterr().err
    monkeypatch.setattr(oos_choice, "read_public", lambda name: {"train": rows(6, "train"), "test": ()})
    with pytest.raises(SystemExit):
        main(["--data", "banking77"])
    assert "--data banking77: has no part val" in capsys.readouterr().err
