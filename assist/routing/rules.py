"""The routing file (data/routing.yaml), checked: wrong values are named by file and field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, get_args

import yaml

from assist.routing.schema import SignalKind, Strategy
from data.taxonomy import Taxonomy, load_taxonomy

__all__ = [
    "DEFAULT_PATH",
    "Contradiction",
    "Escalation",
    "Flooding",
    "Grouping",
    "PriorityRule",
    "RoutingError",
    "RoutingRules",
    "WordRule",
    "load_rules",
    "parse_rules",
]

DEFAULT_PATH = Path(__file__).resolve().parents[2] / "data" / "routing.yaml"
_ALERTS, _VALUES = 4, 5


class RoutingError(ValueError):
    """The routing file is incomplete or wrong; the message names the field."""


@dataclass(frozen=True, slots=True)
class PriorityRule:
    """Points of urgency."""

    alert: tuple[float, ...]
    """By alert level, ascending."""
    waiting_points: float
    full_after: float
    """Seconds of waiting from which all waiting points count."""
    customer_value: tuple[float, ...]
    """By value level 1 to 5."""


@dataclass(frozen=True, slots=True)
class Escalation:
    """When agents outside the skill group may take a chat."""

    alert: int
    groups: tuple[str, ...]
    strategy: Strategy
    overflow_after: float
    overflow: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Flooding:
    """How many messages are too many."""

    window: float
    messages: int
    repeats: int
    level: int


@dataclass(frozen=True, slots=True)
class WordRule:
    """A signal that rests on wording."""

    name: str
    kind: SignalKind
    zh: str
    level: int
    any: re.Pattern[str]
    unless: re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Two statements that exclude each other; `{thing}` in the second is what the first named."""

    name: str
    zh: str
    first: re.Pattern[str]
    second: str
    in_order: bool
    unless: re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class Grouping:
    """When two messages ask the same."""

    threshold: float
    lexical: float
    other_category: float


@dataclass(frozen=True)
class RoutingRules:
    """The whole file."""

    version: int
    priority: PriorityRule
    strategy: Strategy
    strategies: Mapping[str, Strategy]
    """By skill group."""
    return_to_agent: bool
    not_return_when: frozenset[str]
    escalation: Escalation
    flooding: Flooding
    signals: tuple[WordRule, ...]
    contradictions: tuple[Contradiction, ...]
    correction: re.Pattern[str] | None
    grouping: Grouping
    taxonomy: Taxonomy


def load_rules(path: Path | str = DEFAULT_PATH, taxonomy: Taxonomy | None = None) -> RoutingRules:
    """Read a routing file.

    Raises:
        RoutingError: it cannot be read or is wrong; names file and field.
    """
    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RoutingError(f"{path}: {error}") from error
    return parse_rules(raw, taxonomy or load_taxonomy(), str(path))


def parse_rules(raw: Any, taxonomy: Taxonomy, source: str = "routing") -> RoutingRules:
    """Check a parsed routing file against the label schema.

    Raises:
        RoutingError: names the field.
    """
    return _Parser(source, taxonomy).parse(raw)


class _Parser:
    def __init__(self, source: str, taxonomy: Taxonomy) -> None:
        self._source, self._taxonomy = source, taxonomy
        self._groups = {category.group for category in taxonomy.categories}

    def _fail(self, where: str, reason: str) -> NoReturn:
        raise RoutingError(f"{self._source}: {where}: {reason}")

    def _get(self, raw: Any, where: str, name: str) -> Any:
        if not isinstance(raw, dict) or name not in raw:
            self._fail(f"{where}{'.' if where else ''}{name}", "is missing")
        return raw[name]

    def _number(self, value: Any, where: str, low: float = 0.0, high: float = 1e6) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            self._fail(where, f"{value!r} must be a number from {low:g} to {high:g}")
        return float(value)

    def _rising(self, value: Any, where: str, length: int) -> tuple[float, ...]:
        if not isinstance(value, list) or len(value) != length:
            self._fail(where, f"expected {length} numbers, one for each level")
        found = tuple(self._number(one, f"{where}[{index}]", 0, 100) for index, one in enumerate(value))
        if list(found) != sorted(found):
            self._fail(where, "must not fall from one level to the next")
        return found

    def _strategy(self, value: Any, where: str) -> Strategy:
        if value not in get_args(Strategy):
            self._fail(where, f"{value!r} is not one of {', '.join(get_args(Strategy))}")
        strategy: Strategy = value
        return strategy

    def _group_keys(self, value: Any, where: str) -> tuple[str, ...]:
        if not isinstance(value, list) or not value:
            self._fail(where, "expected a list of skill groups")
        for one in value:
            if one not in self._groups:
                self._fail(where, f"{one!r} is no group of the label schema")
        return tuple(value)

    def _pattern(self, value: Any, where: str, must: bool = True) -> re.Pattern[str] | None:
        if value is None and not must:
            return None
        if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
            self._fail(where, "expected a list of regular expressions")
        try:
            found = re.compile("|".join(f"(?:{one})" for one in value))
        except re.error as error:
            self._fail(where, f"is no regular expression ({error})")
        if found.search(""):
            self._fail(where, "matches the empty text")
        return found

    def parse(self, raw: Any) -> RoutingRules:
        version = self._get(raw, "", "version")
        if isinstance(version, bool) or not isinstance(version, int):
            self._fail("version", "expected an integer")
        strategy = self._get(raw, "", "strategy")
        groups = strategy.get("groups") or {} if isinstance(strategy, dict) else {}
        self._group_keys(list(groups) or ["general"], "strategy.groups")
        not_return = raw.get("not_return_when") or []
        for one in not_return:
            if one not in self._taxonomy.category:
                self._fail("not_return_when", f"{one!r} is no category of the label schema")
        flood = self._get(raw, "", "flooding")
        grouping = self._get(raw, "", "grouping")
        return RoutingRules(
            version,
            self._priority(self._get(raw, "", "priority")),
            self._strategy(self._get(strategy, "strategy", "default"), "strategy.default"),
            {key: self._strategy(value, f"strategy.groups.{key}") for key, value in groups.items()},
            raw.get("return_to_agent") is True,
            frozenset(not_return),
            self._escalation(self._get(raw, "", "escalation"), self._get(raw, "", "overflow")),
            Flooding(
                self._number(self._get(flood, "flooding", "window"), "flooding.window", 1, 86_400),
                int(self._number(self._get(flood, "flooding", "messages"), "flooding.messages", 2, 1000)),
                int(self._number(self._get(flood, "flooding", "repeats"), "flooding.repeats", 2, 1000)),
                int(self._number(self._get(flood, "flooding", "level"), "flooding.level", 1, 3)),
            ),
            tuple(self._words(one, f"signals[{i}]") for i, one in enumerate(raw.get("signals") or ())),
            tuple(
                self._contradiction(one, f"contradictions[{i}]")
                for i, one in enumerate(raw.get("contradictions") or ())
            ),
            self._pattern(raw.get("correction"), "correction", must=False),
            Grouping(*(
                self._number(self._get(grouping, "grouping", name), f"grouping.{name}", 0, 1)
                for name in ("threshold", "lexical", "other_category")
            )),
            self._taxonomy,
        )  # fmt: skip

    def _priority(self, raw: Any) -> PriorityRule:
        waiting = self._get(raw, "priority", "waiting")
        rule = PriorityRule(
            self._rising(self._get(raw, "priority", "alert"), "priority.alert", _ALERTS),
            self._number(self._get(waiting, "priority.waiting", "points"), "priority.waiting.points", 0, 100),
            self._number(
                self._get(waiting, "priority.waiting", "full_after"), "priority.waiting.full_after", 1
            ),
            self._rising(self._get(raw, "priority", "customer_value"), "priority.customer_value", _VALUES),
        )
        if rule.alert[-1] + rule.waiting_points + rule.customer_value[-1] > 100:
            self._fail("priority", "the highest points sum to more than 100")
        return rule

    def _escalation(self, raw: Any, overflow: Any) -> Escalation:
        level = self._number(self._get(raw, "escalation", "alert"), "escalation.alert", 1, _ALERTS - 1)
        beside = self._get(overflow, "overflow", "groups")
        if not isinstance(beside, dict):
            self._fail("overflow.groups", "expected groups by group")
        self._group_keys(list(beside) or ["general"], "overflow.groups")
        return Escalation(
            int(level),
            self._group_keys(self._get(raw, "escalation", "groups"), "escalation.groups"),
            self._strategy(self._get(raw, "escalation", "strategy"), "escalation.strategy"),
            self._number(self._get(overflow, "overflow", "after"), "overflow.after", 0, 86_400),
            {key: self._group_keys(value, f"overflow.groups.{key}") for key, value in beside.items()},
        )

    def _words(self, raw: Any, where: str) -> WordRule:
        name, zh = self._get(raw, where, "name"), self._get(raw, where, "zh")
        kind = self._get(raw, where, "kind")
        if kind not in get_args(SignalKind):
            self._fail(f"{where}.kind", f"{kind!r} is not one of {', '.join(get_args(SignalKind))}")
        found = self._pattern(self._get(raw, where, "any"), f"{where}.any")
        assert found is not None  # `_pattern` refuses None here
        level = int(self._number(self._get(raw, where, "level"), f"{where}.level", 1, 3))
        unless = self._pattern(raw.get("unless"), f"{where}.unless", must=False)
        return WordRule(str(name), kind, str(zh), level, found, unless)

    def _contradiction(self, raw: Any, where: str) -> Contradiction:
        first = self._pattern(self._get(raw, where, "first"), f"{where}.first")
        assert first is not None
        second = self._get(raw, where, "second")
        if not isinstance(second, list) or not second:
            self._fail(f"{where}.second", "expected a list of regular expressions")
        whole = "|".join(f"(?:{one})" for one in second)
        needs = "{thing}" in whole
        if needs and "thing" not in first.groupindex:
            self._fail(f"{where}.second", "names {thing}, which no `first` pattern captures")
        # Checked with a placeholder; at use the captured words stand there, escaped.
        self._pattern([one.replace("{thing}", "x") for one in second], f"{where}.second")
        return Contradiction(
            str(self._get(raw, where, "name")), str(self._get(raw, where, "zh")), first, whole,
            needs or raw.get("in_order") is True,
            self._pattern(raw.get("unless"), f"{where}.unless", must=False),
        )  # fmt: skip
