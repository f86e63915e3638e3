"""The search space of `params.yaml`, and writing the winner back into it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import optuna
import pytest

from experiments.search_space import load_search_space
from experiments.study import StudyError
from experiments.tune_write import edit_params, set_value
from training.config import ConfigError, load_training_config, model_names

ROOT = Path(__file__).resolve().parent.parent
PARAMS = ROOT / "params.yaml"


def space_of(tmp_path, tune, rest="models: {shared: {tasks: [category]}}\n"):
    path = tmp_path / "params.yaml"
    path.write_text(rest + tune, encoding="utf-8")
    return load_search_space(load_training_config("shared", path), path)


def test_the_shipped_space_holds_the_shipped_settings():
    config = load_training_config("shared", PARAMS)
    space = load_search_space(config, PARAMS)
    assert space.outside(space.current(config)) == []
    assert space.apply(config, space.current(config)) == config


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ("{}", "name at least one setting"),
        ("{train.speed: {low: 1, high: 2}}", "train has no such setting"),
        ("{encoder_lr: {low: 1, high: 2}}", "expected section.name"),
        ("{gate.tolerance: {low: 0, high: 1}}", "expected section.name with a section of"),
        ("{train.dropout: 0.1}", "expected {low: …, high: …} or {choices: […]}"),
        ("{train.dropout: {low: 0.1}}", "dropout.high: expected a number, got None"),
        ("{train.dropout: {low: 0.1, high: 0.3, by: 2}}", "dropout.by: unknown"),
        ("{train.dropout: {low: 0.3, high: 0.1}}", "low (0.3) must be below high (0.1)"),
        ("{train.dropout: {low: 0.1, high: 1.5}}", "1.5 is refused: train.dropout: must be in [0, 1)"),
        ("{train.dropout: {low: 0.0, high: 0.5, log: true}}", "a positive low where true"),
        ("{train.dropout: {low: 0.0, high: 0.5, step: 0.2}}", "does not divide the range"),
        ("{train.encoder_lr: {low: 1.0e-4, high: 1.0e-3, log: true, step: 1.0e-4}}", "has no step"),
        ("{train.batch_size: {low: 8.5, high: 16}}", "low: expected a whole number, got 8.5"),
        ("{train.batch_size: {choices: [16, many]}}", "'many' is not of type int"),
        ("{train.batch_size: {choices: [16]}}", "at least two values"),
        ("{train.batch_size: {choices: [16, 32], low: 1}}", "choices stand alone"),
        ("{train.batch_size: {choices: [16, -1]}}", "-1 is refused: train.batch_size: must be positive"),
        ("{train.precision: {low: 1, high: 2}}", "is a text; give it choices"),
        ("{train.precision: {choices: ['32', '16']}}", "'16' is refused"),
    ],
)
def test_a_wrong_space_is_refused_by_name(tmp_path, parameters, reason):
    with pytest.raises(ConfigError) as caught:
        space_of(tmp_path, f"tune: {{parameters: {parameters}}}\n")
    assert reason in str(caught.value)
    assert "tune.parameters" in str(caught.value)


@pytest.mark.parametrize(
    ("tune", "reason"),
    [
        ("", "tune.parameters: name at least one"),
        ("pruner: best, ", "tune.pruner: must be one of"),
        ("checks_per_epoch: 0, ", "tune.checks_per_epoch: must be a whole number from 1"),
        ("trials: 3, ", "tune.trials: unknown"),
    ],
)
def test_a_wrong_section_is_refused_by_name(tmp_path, tune, reason):
    text = f"tune: {{{tune}parameters: {{train.dropout: {{low: 0.0, high: 0.2}}}}}}\n" if tune else ""
    with pytest.raises(ConfigError, match=reason):
        space_of(tmp_path, text)


def test_suggestions_keep_to_the_space_and_to_four_digits(tmp_path):
    space = space_of(
        tmp_path,
        "tune:\n  parameters:\n"
        "    train.encoder_lr: {low: 1.0e-4, high: 1.0e-3, log: true}\n"
        "    train.dropout: {low: 0.0, high: 0.3, step: 0.1}\n"
        "    train.ngram_buckets: {low: 1024, high: 4096, step: 1024}\n"
        "    backbone.layers: {choices: [2, 4, null]}\n",
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    seen = [space.suggest(study.ask()) for _ in range(60)]
    for values in seen:
        assert space.outside(values) == []
        assert len(f"{values['train.encoder_lr']:.9e}".split("e")[0].rstrip("0")) <= 5
    assert {values["train.ngram_buckets"] for values in seen} == {1024, 2048, 3072, 4096}
    assert {values["backbone.layers"] for values in seen} == {2, 4, None}
    assert space.outside({**seen[0], "train.dropout": 0.15}) == ["train.dropout"]


VALUES = {"train.encoder_lr": 0.00051, "train.batch_size": 64, "train.layer_decay": 1.0}


def test_the_winner_is_an_edit_that_keeps_every_other_line():
    old = PARAMS.read_text(encoding="utf-8")
    values = {**VALUES, "train.epochs": 7}
    new = edit_params(old, "shared", values)
    changed = [(a, b) for a, b in zip(old.splitlines(), new.splitlines(), strict=True) if a != b]
    names = {after.split(":")[0].strip() for _, after in changed}
    assert names == {"encoder_lr", "batch_size", "layer_decay", "epochs"}
    assert "  encoder_lr: 5.1e-4" in new
    assert edit_params(new, "shared", values) == new


TWO = """\
models:
  # each its own
  category: {tasks: [category]}
  emotion: {tasks: [emotion], train: {epochs: 4}}   # short
  both:
    tasks: [category, emotion]
    backbone:
      layers: 4   # small
train:
  epochs: 2  # of all
"""


def configs(text, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return {name: load_training_config(name, path) for name in model_names(path)}


@pytest.mark.parametrize("model", ["category", "emotion", "both"])
def test_no_other_model_changes(model, tmp_path):
    old = configs(TWO, tmp_path)
    text = edit_params(TWO, model, {"train.epochs": 3, "train.dropout": 0.25, "backbone.margin": 9})
    new = configs(text, tmp_path)
    wanted = replace(
        old[model],
        train=replace(old[model].train, epochs=3, dropout=0.25),
        backbone=replace(old[model].backbone, margin=9),
    )
    assert new == {**old, model: wanted}
    for comment in ("  # each its own", "   # short", "   # small", "  # of all"):
        assert comment in text


@pytest.mark.parametrize(
    ("text", "keys", "wanted"),
    [
        ("a: 1 # x\nb: 2\n", ["a"], "a: 5 # x\nb: 2\n"),
        ("a: {b: 1}\n", ["a", "c"], "a: {b: 1, c: 5}\n"),
        ("a: {}\n", ["a", "c", "d"], "a: {c: {d: 5}}\n"),
        ("a:\n  b: 1 # x\n\nc: 2\n", ["a", "d"], "a:\n  b: 1 # x\n  d: 5\n\nc: 2\n"),
        ("a:\n  b:\n    c: 1\nd: 2", ["a", "e"], "a:\n  b:\n    c: 1\n  e: 5\nd: 2"),
        ("a:\n  b: 1", ["a", "c"], "a:\n  b: 1\n  c: 5\n"),
        ("a:\n- 1\n- 2\nb: 1\n", ["c"], "a:\n- 1\n- 2\nb: 1\nc: 5\n"),
    ],
)
def test_a_value_is_set_where_it_belongs(text, keys, wanted):
    assert set_value(text, keys, 5) == wanted


def test_numbers_stay_numbers():
    import yaml

    for value in (3e-4, 1e-5, 0.25, 1.0, 12345.0, 7, None, "32", "auto", 0.0, 2e-7):
        found = yaml.safe_load(set_value("a: 0\n", ["a"], value))["a"]
        assert (found, type(found)) == (value, type(value))


def test_what_cannot_be_edited_is_refused():
    with pytest.raises(StudyError, match="models has no other"):
        edit_params(TWO, "other", {})
    with pytest.raises(StudyError, match="a is no mapping"):
        set_value("a: 1\n", ["a", "b"], 2)
