"""The label schema: categories, emotions, alert levels, and the rules where two labels meet.

Read from a YAML file (`data/taxonomy.yaml` by default) that a shop may replace by its own: point
`data.taxonomy` in `params.yaml` at it. Nothing else in the project lists labels.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

__all__ = [
    "TASKS",
    "AlertLevel",
    "Category",
    "Emotion",
    "LabelMap",
    "Taxonomy",
    "TaxonomyError",
    "group_name",
    "load_taxonomy",
    "parse_taxonomy",
]

DEFAULT_PATH = Path(__file__).parent / "taxonomy.yaml"
TASKS = ("category", "emotion")
POLARITIES = ("positive", "neutral", "negative")
NATURES = ("inquiry", "operation", "fault", "complaint", "suggestion")
# Of the embedded schema; another one may name its groups in Chinese directly.
_GROUP_NAMES = {
    "presale": "售前",
    "promotion": "优惠",
    "order": "订单",
    "payment": "支付发票",
    "logistics": "物流",
    "aftersale": "售后",
    "complaint": "投诉建议",
    "account": "账户安全",
    "general": "通用",
}
_KEY = re.compile(r"[a-z][a-z0-9_]*\Z")


class TaxonomyError(ValueError):
    """The label schema is incomplete or contradicts itself."""


@dataclass(frozen=True, slots=True)
class Category:
    """What a customer wants handled."""

    key: str
    zh: str
    group: str
    nature: str
    definition: str


@dataclass(frozen=True, slots=True)
class Emotion:
    """How a customer sounds."""

    key: str
    zh: str
    polarity: str
    definition: str


@dataclass(frozen=True, slots=True)
class AlertLevel:
    """How loudly the desk should be warned: 0 (not at all) upwards."""

    level: int
    zh: str
    when: str


@dataclass(frozen=True, slots=True)
class LabelMap:
    """The labels of one task in the order of a model's output."""

    labels: tuple[str, ...]

    @property
    def label2id(self) -> dict[str, int]:
        """Label key to output index."""
        return {label: index for index, label in enumerate(self.labels)}

    @property
    def id2label(self) -> dict[int, str]:
        """Output index to label key."""
        return dict(enumerate(self.labels))


@dataclass(frozen=True)
class Taxonomy:
    """The whole label schema, checked. `raw` is the parsed file, which travels with a model."""

    version: int
    categories: tuple[Category, ...]
    emotions: tuple[Emotion, ...]
    alerts: tuple[AlertLevel, ...]
    boundaries: tuple[str, ...]
    raw: dict[str, Any]

    @cached_property
    def category(self) -> dict[str, Category]:
        """Categories by key."""
        return {item.key: item for item in self.categories}

    @cached_property
    def emotion(self) -> dict[str, Emotion]:
        """Emotions by key."""
        return {item.key: item for item in self.emotions}

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """Skill groups in the order of their first category."""
        return tuple(dict.fromkeys(item.group for item in self.categories))

    def label_map(self, task: str) -> LabelMap:
        """The labels of `task` ("category" or "emotion") in schema order."""
        if task == "category":
            return LabelMap(tuple(item.key for item in self.categories))
        if task == "emotion":
            return LabelMap(tuple(item.key for item in self.emotions))
        raise ValueError(f"task: {task!r} is unknown; use one of {', '.join(TASKS)}")


def load_taxonomy(path: Path | str | None = None) -> Taxonomy:
    """Read and check a label schema; the embedded one when `path` is None.

    Raises:
        TaxonomyError: names the file, the entry and the mend.
    """
    source = Path(path) if path else DEFAULT_PATH
    try:
        raw = yaml.safe_load(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise TaxonomyError(f"{source}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise TaxonomyError(f"{source}: not a YAML file in UTF-8: {error}") from error
    return parse_taxonomy(raw, str(source))


def parse_taxonomy(raw: Any, source: str = "taxonomy") -> Taxonomy:
    """Check a parsed schema and make it a `Taxonomy`.

    Raises:
        TaxonomyError: a field is missing or empty, a key or Chinese name occurs twice, one group or
            level is told two ways, or a boundary rule speaks of a label that does not exist.
    """
    if not isinstance(raw, dict):
        raise TaxonomyError(f"{source}: expected a mapping with categories, emotions and alerts")
    version = raw.get("version")
    if not isinstance(version, int):
        raise TaxonomyError(f"{source}: version: expected an integer, got {version!r}")
    categories = tuple(
        Category(**_fields(entry, ("key", "zh", "group", "nature", "definition"), where))
        for where, entry in _entries(raw, "categories", source)
    )
    emotions = tuple(
        Emotion(**_fields(entry, ("key", "zh", "polarity", "definition"), where))
        for where, entry in _entries(raw, "emotions", source)
    )
    alerts = tuple(_alert(entry, where) for where, entry in _entries(raw, "alerts", source))
    boundaries = tuple(str(rule) for rule in raw.get("boundaries") or ())
    taxonomy = Taxonomy(version, categories, emotions, alerts, boundaries, raw)
    _check(taxonomy, source)
    return taxonomy


def _entries(raw: dict[str, Any], section: str, source: str) -> list[tuple[str, Any]]:
    entries = raw.get(section)
    if not isinstance(entries, list) or not entries:
        raise TaxonomyError(f"{source}: {section}: expected a list with at least one entry")
    return [(f"{source}: {section}[{index}]", entry) for index, entry in enumerate(entries)]


def _fields(entry: Any, names: tuple[str, ...], where: str) -> dict[str, str]:
    if not isinstance(entry, dict):
        raise TaxonomyError(f"{where}: expected a mapping with {', '.join(names)}")
    unknown = sorted(set(entry) - set(names))
    if unknown:
        raise TaxonomyError(f"{where}: unknown field {unknown[0]!r}; known: {', '.join(names)}")
    for name in names:
        if not isinstance(entry.get(name), str) or not entry[name].strip():
            raise TaxonomyError(f"{where}: {name}: expected a text, got {entry.get(name)!r}")
    if not _KEY.match(entry["key"]):
        raise TaxonomyError(f"{where}: key: {entry['key']!r} must be lower_snake_case")
    return entry


def _alert(entry: Any, where: str) -> AlertLevel:
    if not isinstance(entry, dict) or set(entry) != {"level", "zh", "when"}:
        raise TaxonomyError(f"{where}: expected level, zh and when")
    if not isinstance(entry["level"], int):
        raise TaxonomyError(f"{where}: level: expected an integer, got {entry['level']!r}")
    return AlertLevel(entry["level"], str(entry["zh"]), str(entry["when"]))


def _check(taxonomy: Taxonomy, source: str) -> None:
    for section, values in (
        ("categories: key", [item.key for item in taxonomy.categories]),
        ("categories: zh", [item.zh for item in taxonomy.categories]),
        ("emotions: key", [item.key for item in taxonomy.emotions]),
        ("emotions: zh", [item.zh for item in taxonomy.emotions]),
    ):
        for value, count in Counter(values).items():
            if count > 1:
                raise TaxonomyError(f"{source}: {section}: {value!r} occurs {count} times")
    for category in taxonomy.categories:
        if category.nature not in NATURES:
            raise TaxonomyError(
                f"{source}: category {category.key}: nature {category.nature!r} is not one of "
                + ", ".join(NATURES)
            )
    for emotion in taxonomy.emotions:
        if emotion.polarity not in POLARITIES:
            raise TaxonomyError(
                f"{source}: emotion {emotion.key}: polarity {emotion.polarity!r} is not one of "
                + ", ".join(POLARITIES)
            )
    levels = [alert.level for alert in taxonomy.alerts]
    if levels != list(range(len(levels))):
        raise TaxonomyError(f"{source}: alerts: levels must run 0, 1, 2, …; got {levels}")
    known = set(taxonomy.category) | set(taxonomy.emotion) | {"emotion"}
    for rule in taxonomy.boundaries:
        head = rule.split(":", 1)[0]
        for name in (part.strip() for part in head.split("/")):
            if _KEY.match(name) and name not in known:
                raise TaxonomyError(f"{source}: boundaries: {name!r} is no category or emotion")


def group_name(group: str) -> str:
    """What people call a skill group."""
    return _GROUP_NAMES.get(group, group)
