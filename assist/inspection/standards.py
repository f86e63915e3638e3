"""The standards of inspection: indicators, weights, limits and wordings of a versioned file, checked."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

__all__ = [
    "DEFAULT_PATH",
    "DIMENSIONS",
    "SEVERITIES",
    "WORDS",
    "Dimension",
    "Given",
    "Indicator",
    "Standards",
    "StandardsError",
    "load_standards",
    "parse_standards",
]

DEFAULT_PATH = Path(__file__).resolve().parent.parent.parent / "data" / "inspection" / "standards.yaml"
SEVERITIES = ("minor", "major", "critical")
DIMENSIONS: Mapping[str, Mapping[str, Mapping[str, tuple[float, float]]]] = {
    "attitude": {
        "politeness": {"share": (0, 1), "turns": (1, 100)},
        "friendliness": {"cold": (0, 1), "doubtful": (0, 1)},
        "soothing": {"alert": (1, 3), "within": (1, 20), "strong": (0, 1)},
        "forbidden": {},
    },
    "ability": {
        "accuracy": {},
        "effectiveness": {"upset": (0, 1)},
        "overpromise": {},
        "broken_promise": {},
        "evasion": {"away": (1, 100)},
    },
    "communication": {
        "understanding": {},
        "script": {"near": (0, 1), "length": (1, 500), "turns": (1, 100)},
        "repetition": {"alike": (0, 1), "length": (1, 500)},
        "asks_again": {},
        "pressure": {},
    },
    "efficiency": {
        "first_response": {"seconds": (1, 86_400)},
        "average_response": {"seconds": (1, 86_400)},
        "handling_time": {"minutes": (1, 1_440)},
    },
}
"""Dimensions, their indicators that the code knows, and the limits of these with least and greatest value."""
WORDS = (
    "polite", "retort", "soothing", "content", "unsolved", "away", "refusal", "offer", "misunderstood",
    "clarifying", "asks_after",
)  # fmt: skip
_ALSO = ("forbidden", "overpromise", "pressure")
_TOP = {
    "version",
    "penalties",
    "red_line",
    "silence_minutes",
    "dimensions",
    "words",
    "also",
    "ask",
    "given",
    "topics",
}


class StandardsError(ValueError):
    """The file of standards is incomplete or wrong."""


@dataclass(frozen=True, slots=True)
class Indicator:
    """One thing that is looked at."""

    key: str
    zh: str
    weight: float
    """Relative to the other indicators of its dimension."""
    severity: str
    """Of its findings: one of `SEVERITIES`."""
    limits: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dimension:
    """One of the four dimensions, with its indicators."""

    key: str
    zh: str
    weight: float
    indicators: tuple[Indicator, ...]


@dataclass(frozen=True, slots=True)
class Given:
    """Something that agents ask for and that a customer may have given already."""

    key: str
    zh: str
    asked: re.Pattern[str]
    given: re.Pattern[str]


@dataclass(frozen=True)
class Standards:
    """Checked standards."""

    version: int
    dimensions: tuple[Dimension, ...]
    penalties: Mapping[str, float]
    red_line: frozenset[str]
    cap: float
    """The most that a conversation with a red-line finding may have, of 100."""
    silence: float
    """Seconds of silence at which a chat is cut in two."""
    words: Mapping[str, re.Pattern[str]]
    also: Mapping[str, re.Pattern[str]]
    given: tuple[Given, ...]
    topics: Mapping[str, re.Pattern[str]]

    @cached_property
    def indicators(self) -> dict[str, Indicator]:
        """Every indicator that is in force, by key."""
        return {one.key: one for dimension in self.dimensions for one in dimension.indicators}

    def limit(self, indicator: str, name: str) -> float:
        """A limit of an indicator that is in force."""
        return self.indicators[indicator].limits[name]


def load_standards(path: Path | str | None = None) -> Standards:
    """Read a file of standards; `KEFU_STANDARDS`, or else the embedded one, when `path` is None.

    Raises:
        StandardsError: it cannot be read or is wrong; names file and field.
    """
    source = Path(path or os.environ.get("KEFU_STANDARDS") or DEFAULT_PATH)
    try:
        raw = yaml.safe_load(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise StandardsError(f"{source}: {error}") from error
    return parse_standards(raw, str(source))


def parse_standards(raw: Any, source: str = "standards") -> Standards:
    """Check the parsed file.

    Raises:
        StandardsError: names the field and what is expected.
    """
    _known(raw, _TOP, source)
    version = raw.get("version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise StandardsError(f"{source}: version: expected a whole number from 1, got {version!r}")
    _known(raw.get("penalties"), set(SEVERITIES), f"{source}: penalties")
    penalties = {
        name: _number(raw["penalties"].get(name), (0, 1), f"{source}: penalties.{name}")
        for name in SEVERITIES
    }
    dimensions = _dimensions(raw.get("dimensions"), source)
    keys = {one.key for dimension in dimensions for one in dimension.indicators}
    red = raw.get("red_line") or {"indicators": [], "cap": 100}
    _known(red, {"indicators", "cap"}, f"{source}: red_line")
    for key in red.get("indicators") or []:
        if key not in keys:
            raise StandardsError(f"{source}: red_line.indicators: {key!r} is no indicator of this file")
    return Standards(
        version=version,
        dimensions=dimensions,
        penalties=penalties,
        red_line=frozenset(red.get("indicators") or ()),
        cap=_number(red.get("cap"), (0, 100), f"{source}: red_line.cap"),
        silence=60 * _number(raw.get("silence_minutes"), (1, 1_440), f"{source}: silence_minutes"),
        words=_patterns(raw.get("words"), WORDS, f"{source}: words", needed=True),
        also=_patterns(raw.get("also") or {}, _ALSO, f"{source}: also", needed=False),
        given=_given(raw.get("given") or [], raw.get("ask"), source),
        topics=_topics(raw.get("topics") or {}, f"{source}: topics"),
    )


def _dimensions(raw: Any, source: str) -> tuple[Dimension, ...]:
    if not isinstance(raw, list) or not raw:
        raise StandardsError(f"{source}: dimensions: expected a list of dimensions")
    found: dict[str, Dimension] = {}
    for place, one in enumerate(raw):
        where = f"{source}: dimensions[{place}]"
        _known(one, {"key", "zh", "weight", "indicators"}, where)
        key = one.get("key")
        if key not in DIMENSIONS:
            raise StandardsError(f"{where}: key: {key!r} is not one of {', '.join(DIMENSIONS)}")
        if key in found:
            raise StandardsError(f"{where}: key: {key!r} occurs twice")
        indicators: dict[str, Indicator] = {}
        if not isinstance(one.get("indicators"), list) or not one["indicators"]:
            raise StandardsError(f"{where}: indicators: expected a list of indicators")
        for index, rule in enumerate(one["indicators"]):
            indicator = _indicator(rule, DIMENSIONS[key], f"{where}.indicators[{index}]")
            if indicator.key in indicators:
                raise StandardsError(f"{where}.indicators[{index}]: key: {indicator.key!r} occurs twice")
            indicators[indicator.key] = indicator
        found[key] = Dimension(key, _text(one, "zh", where), _weight(one, where), tuple(indicators.values()))
    return tuple(found.values())


def _indicator(raw: Any, known: Mapping[str, Mapping[str, tuple[float, float]]], where: str) -> Indicator:
    _known(raw, {"key", "zh", "weight", "severity", "limits"}, where)
    key = raw.get("key")
    if key not in known:
        raise StandardsError(f"{where}: key: {key!r} is not one of {', '.join(known)}")
    if raw.get("severity") not in SEVERITIES:
        known_ones = ", ".join(SEVERITIES)
        raise StandardsError(f"{where}: severity: {raw.get('severity')!r} is not one of {known_ones}")
    limits = raw.get("limits") or {}
    _known(limits, set(known[key]), f"{where}: limits")
    checked = {
        name: _number(limits.get(name), span, f"{where}: limits.{name}") for name, span in known[key].items()
    }
    return Indicator(key, _text(raw, "zh", where), _weight(raw, where), raw["severity"], checked)


def _patterns(raw: Any, names: tuple[str, ...], where: str, *, needed: bool) -> dict[str, re.Pattern[str]]:
    _known(raw, set(names), where)
    found = {}
    for name in names:
        values = raw.get(name) or []
        if not isinstance(values, list) or not all(isinstance(one, str) and one for one in values):
            raise StandardsError(f"{where}.{name}: expected a list of regular expressions")
        if not values and needed:
            raise StandardsError(f"{where}.{name}: is missing; give at least one regular expression")
        found[name] = _pattern("|".join(f"(?:{one})" for one in values) or "(?!)", f"{where}.{name}")
    return found


def _given(raw: Any, ask: Any, source: str) -> tuple[Given, ...]:
    if not isinstance(raw, list):
        raise StandardsError(f"{source}: given: expected a list")
    if raw and not isinstance(ask, str):
        raise StandardsError(f"{source}: ask: expected a regular expression for the words of asking")
    found = []
    for place, one in enumerate(raw):
        where = f"{source}: given[{place}]"
        _known(one, {"key", "zh", "asked", "given"}, where)
        asked = _text(one, "asked", where).replace("{ask}", str(ask))
        given = _text(one, "given", where)
        found.append(
            Given(
                _text(one, "key", where),
                _text(one, "zh", where),
                _pattern(asked, f"{where}.asked"),
                _pattern(given, f"{where}.given"),
            )
        )
    return tuple(found)


def _topics(raw: Any, where: str) -> dict[str, re.Pattern[str]]:
    if not isinstance(raw, dict):
        raise StandardsError(f"{where}: expected topics with a regular expression each")
    return {str(key): _pattern(_text(raw, key, where), f"{where}.{key}") for key in raw}


def _pattern(value: str, where: str) -> re.Pattern[str]:
    try:
        return re.compile(value)
    except re.error as error:
        raise StandardsError(f"{where}: is no regular expression ({error})") from error


def _known(value: Any, names: set[str], where: str) -> None:
    if not isinstance(value, dict):
        raise StandardsError(f"{where}: expected an object with {', '.join(sorted(names)) or 'nothing'}")
    if unknown := sorted(map(str, set(value) - names)):
        known = ", ".join(sorted(names)) or "none"
        raise StandardsError(f"{where}: {unknown[0]}: is unknown; known are {known}")


def _text(raw: Mapping[str, Any], name: str, where: str) -> str:
    if not isinstance(raw.get(name), str) or not raw[name].strip():
        raise StandardsError(f"{where}: {name}: expected a text, got {raw.get(name)!r}")
    return str(raw[name])


def _weight(raw: Mapping[str, Any], where: str) -> float:
    return _number(raw.get("weight"), (1e-6, 1000), f"{where}: weight")


def _number(value: Any, span: tuple[float, float], where: str) -> float:
    low, high = span
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise StandardsError(f"{where}: expected a number from {low:g} to {high:g}, got {value!r}")
    return float(value)
