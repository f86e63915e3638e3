"""The winner's parameters as an edit of `params.yaml`: only the values change, comments stay."""

from __future__ import annotations

import difflib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import yaml
from optuna.study import Study
from yaml.nodes import MappingNode, Node

from data.files import atomic_write
from experiments.search_space import SearchSpace, Value
from experiments.study import StudyError
from experiments.tune_report import best_trial
from training.config import TrainingConfig, load_training_config, model_names

__all__ = ["best_parameters", "edit_params", "set_value", "write_best"]


def best_parameters(study: Study) -> dict[str, Value]:
    """The parameters of the best finished trial, as it was trained with.

    Raises:
        StudyError: no trial has finished.
    """
    best = best_trial(study.get_trials(deepcopy=False))
    if best is None:
        raise StudyError(f"study {study.study_name}: no trial has finished yet; go on with: kefu tune")
    return dict(best.user_attrs["parameters"])


def write_best(study: Study, model: str, path: Path) -> str:
    """Put the winner's parameters into the parameter file; returns the change as a unified diff.

    Empty when the file has them already.
    """
    old = path.read_text(encoding="utf-8")
    new = edit_params(old, model, best_parameters(study))
    if new != old:
        with atomic_write(path) as handle:
            handle.write(new)
    lines = difflib.unified_diff(
        old.splitlines(keepends=True), new.splitlines(keepends=True), f"a/{path.name}", f"b/{path.name}"
    )
    return "".join(lines)


def edit_params(text: str, model: str, values: Mapping[str, Value]) -> str:
    """The parameter file with these values for one model, all other lines as they were.

    A value goes to the common section, unless another model would change by it or the model's own entry
    says otherwise; then into the model's entry. The new file is read back before it is given out.

    Raises:
        StudyError: the file cannot be edited so that this model, and no other, gets the values.
    """
    before = _configs(text)
    if model not in before:
        raise StudyError(f"params.yaml: models has no {model}; known: {', '.join(before)}")
    wanted = {**before, model: SearchSpace(()).apply(before[model], values)}
    flat = before[model].flat()
    for name, value in values.items():
        section, _, item = name.partition(".")
        if flat[name] == value:
            continue
        one = {**_configs(text)}
        one[model] = replace(one[model], **{section: replace(getattr(one[model], section), **{item: value})})
        for place in ([section, item], ["models", model, section, item]):
            edited = set_value(text, place, value)
            if _configs(edited) == one:
                text = edited
                break
        else:
            raise StudyError(
                f"params.yaml: {name} cannot be set for {model} alone; set it to {value} by hand"
            )
    if _configs(text) != wanted:
        raise StudyError("params.yaml: the edited file does not read back as intended; it was left alone")
    return text


def _configs(text: str) -> dict[str, TrainingConfig]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        path.write_text(text, encoding="utf-8")
        return {model: load_training_config(model, path) for model in model_names(path)}


def set_value(text: str, keys: list[str], value: Value) -> str:
    """YAML text with one value set, by the positions of its nodes; nothing else moves.

    Args:
        keys: the way to the value; mappings on it that are missing are made, in one line.

    Raises:
        StudyError: there is a value, no mapping, on the way.
    """
    node: Node | None = yaml.compose(text)
    for depth, key in enumerate(keys):
        if not isinstance(node, MappingNode):
            raise StudyError(f"params.yaml: {'.'.join(keys[:depth])} is no mapping")
        found = next((child for name, child in node.value if name.value == key), None)
        if found is None:
            return _insert(text, node, keys[depth:], value)
        node = found
    assert node is not None
    return text[: node.start_mark.index] + _scalar(value) + text[node.end_mark.index :]


def _insert(text: str, node: MappingNode, keys: list[str], value: Value) -> str:
    inner = _scalar(value)
    for key in reversed(keys[1:]):
        inner = f"{{{key}: {inner}}}"
    entry = f"{keys[0]}: {inner}"
    if node.flow_style:
        end = node.end_mark.index - 1  # before the brace
        return text[:end].rstrip() + (", " if node.value else "") + entry + text[end:]
    last = node.value[-1][1]
    while isinstance(last, MappingNode) and not last.flow_style and last.value:
        last = last.value[-1][1]
    line_end = text.find("\n", last.end_mark.index - (1 if last.end_mark.column == 0 else 0))
    if line_end < 0:
        text, line_end = text + "\n", len(text)
    indent = " " * node.value[0][0].start_mark.column
    return f"{text[: line_end + 1]}{indent}{entry}\n{text[line_end + 1 :]}"


def _scalar(value: Value) -> str:
    if value is None:
        return "null"
    if isinstance(value, float):
        plain = f"{value:.6g}"
        # YAML 1.1 takes 3e-04 for a text: the mantissa needs its point.
        mantissa, exponent, power = plain.partition("e")
        if value and abs(value) < 0.001 and not exponent:
            mantissa, exponent, power = f"{value:.5e}".partition("e")
            mantissa = mantissa.rstrip("0").rstrip(".")
        mantissa += "" if "." in mantissa else ".0"
        return f"{mantissa}e{int(power):+d}" if exponent else mantissa
    if isinstance(value, str):
        return value if yaml.safe_load(value) == value else json.dumps(value)
    return str(value)
