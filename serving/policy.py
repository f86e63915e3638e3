"""The alert policy: from the probabilities and the wording of a message to a level with reasons.

The rules are data (`policy.yaml`), versioned, and may be replaced by a shop's own file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from data.taxonomy import TASKS, Taxonomy
from data.text import normalise

__all__ = ["DEFAULT_PATH", "Alert", "AlertPolicy", "PolicyError", "load_policy"]

DEFAULT_PATH = Path(__file__).parent / "policy.yaml"
Probabilities = Mapping[str, Mapping[str, float]]


class PolicyError(ValueError):
    """The policy file is incomplete or speaks of unknown labels or levels."""


@dataclass(frozen=True, slots=True)
class Alert:
    """A level of the schema and why, in Chinese, strongest reason first."""

    level: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Trigger:
    name: str
    zh: str
    level: int
    any: re.Pattern[str]
    unless: re.Pattern[str] | None

    def match(self, text: str) -> str | None:
        if self.unless:
            text = self.unless.sub(" ", text)
        found = self.any.search(text)
        return found.group(0) if found else None


@dataclass(frozen=True, slots=True)
class _LabelRule:
    task: str
    label: str
    above: float | None
    level: int
    zh: str


class AlertPolicy:
    """A checked policy.

    Args:
        raw: the parsed policy file.
        taxonomy: whose labels and levels it may use.
        source: its name in error messages.

    Raises:
        PolicyError: names the rule and the field.
    """

    def __init__(self, raw: Any, taxonomy: Taxonomy, source: str = "policy") -> None:
        if not isinstance(raw, dict) or not isinstance(raw.get("version"), int):
            raise PolicyError(f"{source}: version: expected an integer")
        self.version: int = raw["version"]
        above = raw.get("red_above", "model")
        if above != "model" and not (isinstance(above, int | float) and 0 < above <= 1):
            raise PolicyError(f"{source}: red_above: {above!r} must be a probability above 0, or 'model'")
        self.red_above: float | None = None if above == "model" else float(above)
        self._levels = {alert.level: alert.zh for alert in taxonomy.alerts}
        self._names = {emotion.key: emotion.zh for emotion in taxonomy.emotions}
        rules = raw.get("emotions") or {}
        self._base: dict[str, int] = {}
        self._labels: list[_LabelRule] = []
        for key in taxonomy.emotion:
            where = f"{source}: emotions.{key}"
            rule = rules.get(key)
            if not isinstance(rule, dict):
                raise PolicyError(
                    f"{where}: is missing; give it a level, or set KEFU_POLICY to a policy of your schema"
                )
            self._base[key] = self._level(rule.get("level"), where)
            if strong := rule.get("strong"):
                self._labels.append(self._label(
                    {"task": "emotion", "label": key, "zh": self._names[key], **strong},
                    taxonomy, f"{where}.strong",
                ))  # fmt: skip
        for key in set(rules) - set(taxonomy.emotion):
            raise PolicyError(f"{source}: emotions.{key}: is no emotion of the label schema")
        for index, rule in enumerate(raw.get("labels") or ()):
            self._labels.append(self._label(rule, taxonomy, f"{source}: labels[{index}]"))
        self._triggers = [
            self._trigger(rule, f"{source}: triggers[{index}]")
            for index, rule in enumerate(raw.get("triggers") or ())
        ]

    def _level(self, value: Any, where: str) -> int:
        if value not in self._levels:
            raise PolicyError(f"{where}: level {value!r} is not one of {sorted(self._levels)}")
        return int(value)

    def _label(self, rule: Any, taxonomy: Taxonomy, where: str) -> _LabelRule:
        task, label = rule.get("task"), rule.get("label")
        if task not in TASKS:
            raise PolicyError(f"{where}: task {task!r} is not one of {TASKS}")
        if label not in taxonomy.label_map(task).labels:
            raise PolicyError(f"{where}: label {label!r} is no {task} of the label schema")
        above = rule.get("above")
        if above != "red_above" and not (isinstance(above, int | float) and 0 <= above <= 1):
            raise PolicyError(f"{where}: above {above!r} must be a probability or 'red_above'")
        limit = None if above == "red_above" else float(above)
        level = self._level(rule.get("level"), where)
        return _LabelRule(task, label, limit, level, str(rule.get("zh", label)))

    def _trigger(self, rule: Any, where: str) -> _Trigger:
        try:
            unless = rule.get("unless")
            return _Trigger(
                str(rule["name"]),
                str(rule["zh"]),
                self._level(rule["level"], where),
                re.compile("|".join(f"(?:{pattern})" for pattern in rule["any"])),
                re.compile("|".join(f"(?:{pattern})" for pattern in unless)) if unless else None,
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise PolicyError(f"{where}: needs name, zh, level and any ({error})") from error
        except re.error as error:
            raise PolicyError(f"{where}: a pattern is no regular expression ({error})") from error

    def level_name(self, level: int) -> str:
        """Chinese name of a level."""
        return self._levels[level]

    def alert(self, text: str, probabilities: Probabilities, model_red_above: float) -> Alert:
        """The alert of one message.

        Args:
            text: the customer's message.
            probabilities: by task, label to probability; a task may be missing.
            model_red_above: the threshold stored with the model, for a policy that names none.

        Returns:
            The highest level that a rule gives, with the reasons of that level.
        """
        found: list[tuple[int, str]] = []
        red_above = model_red_above if self.red_above is None else self.red_above
        emotions = probabilities.get("emotion")
        if emotions:
            top = max(emotions, key=lambda key: emotions[key])
            if level := self._base[top]:
                found.append((level, f"情绪：{self._names[top]}（{emotions[top]:.0%}）"))
        for rule in self._labels:
            score = probabilities.get(rule.task, {}).get(rule.label, 0.0)
            if score >= (red_above if rule.above is None else rule.above):
                found.append((rule.level, f"{rule.zh}（{score:.0%}）"))
        normal = normalise(text)
        for trigger in self._triggers:
            if words := trigger.match(normal):
                found.append((trigger.level, f"{trigger.zh}：“{words.strip()}”"))
        level = max((level for level, _ in found), default=0)
        reasons = tuple(dict.fromkeys(reason for rank, reason in found if rank == level))
        return Alert(level, reasons)


def load_policy(taxonomy: Taxonomy, path: Path | str | None = None) -> AlertPolicy:
    """Read a policy file; `KEFU_POLICY`, or else the embedded one, when `path` is None.

    Raises:
        PolicyError: it cannot be read or is wrong; names the rule.
    """
    source = Path(path or os.environ.get("KEFU_POLICY") or DEFAULT_PATH)
    try:
        raw = yaml.safe_load(source.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise PolicyError(f"{source}: {error}") from error
    return AlertPolicy(raw, taxonomy, str(source))
