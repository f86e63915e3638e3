from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from training.config import ConfigError, flatten, load_gate, load_training_config, model_names

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def write(tmp_path):
    def build(**changes):
        params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
        for name, value in changes.items():
            section, _, field = name.partition("__")
            if field:
                params[section][field] = value
            else:
                params[section] = value
        path = tmp_path / "params.yaml"
        path.write_text(yaml.safe_dump(params), encoding="utf-8")
        return path

    return build


def test_the_projects_own_parameters_are_valid():
    for name in model_names(ROOT / "params.yaml"):
        assert load_training_config(name, ROOT / "params.yaml").tasks
    assert load_gate(ROOT / "params.yaml").minimum


def test_an_entry_overrides_a_section(write):
    models = {
        "mood": {"tasks": ["emotion"], "train": {"epochs": 5}},
        "both": {"tasks": ["category", "emotion"]},
    }
    path = write(models=models)
    assert load_training_config("mood", path).train.epochs == 5
    assert load_training_config("mood", path).tasks == ("emotion",)
    assert load_training_config("both", path).train.epochs != 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train__epochs": 0}, "train.epochs: must be positive"),
        ({"train__epochs": "five"}, "train.epochs: expected int"),
        ({"train__epoch": 5}, "train.epoch: unknown"),
        ({"train__encoder_lr": 3}, "train.encoder_lr"),
        ({"train__precision": "fp8"}, "train.precision"),
        ({"models": {"x": {"tasks": ["intent"]}}}, "'intent' is not one of"),
        ({"models": {"x": {"tasks": []}}}, "tasks: name at least one"),
        ({"models": {"x": {"tasks": ["emotion"], "trian": {}}}}, "unknown setting 'trian'"),
        ({"input__message_tokens": 1}, "message_tokens"),
        ({"thresholds__max_abstain": 2}, "thresholds.max_abstain"),
    ],
)
def test_wrong_settings_are_named(write, change, message):
    path = write(**change)
    with pytest.raises(ConfigError, match=message):
        load_training_config(model_names(path)[0], path)


def test_unknown_model_and_missing_file(write, tmp_path):
    with pytest.raises(ConfigError, match=r"models\.other"):
        load_training_config("other", write())
    with pytest.raises(ConfigError, match=r"none\.yaml"):
        load_training_config("x", tmp_path / "none.yaml")


def test_fingerprint_tells_settings_and_data_apart(write):
    one = load_training_config("shared", write())
    other = load_training_config("shared", write(train__seed=99))
    assert one.fingerprint("a") != one.fingerprint("b")
    assert one.fingerprint("a") != other.fingerprint("a")
    assert flatten({"a": {"b": 1}, "c": 2}) == {"a.b": 1, "c": 2}
