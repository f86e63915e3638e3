"""Words that an agent's message must not hold: insults, promises, hedging, begging for reviews.

The rules are data (`data/wording.yaml`), versioned, and may be replaced by a shop's own file. What is negated
(不能保证), quoted (“保证明天到”) or reported of others (您收到的返现短信) is no finding.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from opencc import OpenCC

__all__ = ["DEFAULT_PATH", "KINDS", "Finding", "Wording", "WordingError", "find_wording", "load_wording"]

DEFAULT_PATH = Path(__file__).resolve().parent.parent / "data" / "wording.yaml"
KINDS = ("forbidden", "promise", "hedge", "pressure")
_QUOTED = re.compile(
    r"“[^”]{0,60}”|‘[^’]{0,60}’|「[^」]{0,60}」|『[^』]{0,60}』|\"[^\"]{0,60}\"|《[^》]{0,60}》"
)
_CLAUSE_END = ",。!?;:~\n…"
_RULE_FIELDS = {"name", "kind", "any", "unless", "reason", "fix"}


class WordingError(ValueError):
    """The file of wording rules is incomplete or wrong."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Words that break a rule: `words` is the text's `[start:end]`."""

    kind: str
    """One of `KINDS`."""
    words: str
    start: int
    end: int
    reason: str
    """Why, in Chinese, for the agent."""
    fix: str
    """What to write instead, in Chinese."""
    rule: str = ""
    """Name of the rule in the file."""


@dataclass(frozen=True, slots=True)
class _Rule:
    name: str
    kind: str
    any: re.Pattern[str]
    unless: re.Pattern[str] | None
    reason: str
    fix: str


class Wording:
    """Checked rules.

    Args:
        raw: the parsed file.
        source: its name in error messages.

    Raises:
        WordingError: names the rule and the field.
    """

    def __init__(self, raw: Any, source: str = "wording") -> None:
        if not isinstance(raw, dict) or not isinstance(raw.get("version"), int):
            raise WordingError(f"{source}: version: expected an integer")
        self.version: int = raw["version"]
        negations = raw.get("negations") or {}
        if not isinstance(negations, dict):
            raise WordingError(f"{source}: negations: expected far, near and reported")
        far, near, reported = (
            _pattern(negations.get(name) or ["(?!)"], f"{source}: negations.{name}").pattern
            for name in ("far", "near", "reported")
        )
        clause = f"[^{re.escape(_CLAUSE_END)}]"
        self._taken_back = re.compile(
            rf"(?:(?:{far}){clause}{{0,10}}|(?:{near})|(?:{reported}){clause}{{0,8}})\Z"
        )
        rules = raw.get("rules")
        if not isinstance(rules, list) or not rules:
            raise WordingError(f"{source}: rules: expected a list of rules")
        self._rules = [_rule(rule, f"{source}: rules[{index}]") for index, rule in enumerate(rules)]

    def find(self, text: str, kinds: Iterable[str] = KINDS) -> list[Finding]:
        """What breaks a rule in `text`, by position; of overlapping finds of one kind the longest.

        Args:
            text: an agent's message or a draft; any text, also empty.
            kinds: which kinds to look for.
        """
        wanted = set(kinds)
        plain = _plain(text)
        bare = _QUOTED.sub(_blank, plain)
        found = []
        for rule in self._rules:
            if rule.kind not in wanted:
                continue
            searched = rule.unless.sub(_blank, bare) if rule.unless else bare
            for match in rule.any.finditer(searched):
                start, end = match.span()
                if start < end and not self._is_taken_back(plain, start):
                    words = text[start:end]
                    found.append(Finding(rule.kind, words, start, end, rule.reason, rule.fix, rule.name))
        return _without_overlaps(found)

    def _is_taken_back(self, plain: str, start: int) -> bool:
        # Twenty characters hold the longest negation with its reach.
        return bool(self._taken_back.search(plain[max(0, start - 20) : start]))


def _blank(match: re.Match[str]) -> str:
    # A line break ends a clause and is no character for `.`: no pattern reaches across what was taken back.
    return "\n" * len(match.group(0))


def _plain(text: str) -> str:
    """Half width, simplified, lower case, one character for each of the original's."""
    half = "".join(
        normal if len(normal := unicodedata.normalize("NFKC", char).lower()) == 1 else char for char in text
    )
    if half.isascii():
        return half
    simple = _simplifier().convert(half)
    if len(simple) != len(half):
        simple = "".join(one if len(one := _simplifier().convert(char)) == 1 else char for char in half)
    return simple.translate(_STOPS)


_STOPS = str.maketrans({"，": ",", "！": "!", "？": "?", "；": ";", "：": ":", "～": "~"})


@lru_cache(maxsize=1)
def _simplifier() -> Any:
    return OpenCC("t2s")


def _without_overlaps(found: list[Finding]) -> list[Finding]:
    kept: list[Finding] = []
    for one in sorted(found, key=lambda item: (item.start - item.end, item.start, item.rule)):
        if not any(
            one.kind == other.kind and one.start < other.end and other.start < one.end for other in kept
        ):
            kept.append(one)
    return sorted(kept, key=lambda item: (item.start, item.end, KINDS.index(item.kind)))


def _rule(rule: Any, where: str) -> _Rule:
    if not isinstance(rule, dict):
        raise WordingError(f"{where}: expected an object with {', '.join(sorted(_RULE_FIELDS))}")
    if unknown := sorted(set(rule) - _RULE_FIELDS):
        raise WordingError(f"{where}: {unknown[0]}: is unknown; known are {', '.join(sorted(_RULE_FIELDS))}")
    for name in ("name", "kind", "reason", "fix"):
        if not isinstance(rule.get(name), str) or not rule[name].strip():
            raise WordingError(f"{where}: {name}: expected a text")
    if rule["kind"] not in KINDS:
        raise WordingError(f"{where}: kind: {rule['kind']!r} is not one of {', '.join(KINDS)}")
    unless = rule.get("unless")
    return _Rule(
        rule["name"],
        rule["kind"],
        _pattern(rule.get("any"), f"{where}: any"),
        _pattern(unless, f"{where}: unless") if unless else None,
        rule["reason"],
        rule["fix"],
    )


def _pattern(values: Any, where: str) -> re.Pattern[str]:
    if not isinstance(values, list) or not values or not all(isinstance(one, str) and one for one in values):
        raise WordingError(f"{where}: expected a list of regular expressions")
    try:
        return re.compile("|".join(f"(?:{one})" for one in values))
    except re.error as error:
        raise WordingError(f"{where}: a pattern is no regular expression ({error})") from error


def load_wording(path: Path | str | None = None) -> Wording:
    """Read a file of rules; `KEFU_WORDING`, or else the embedded one, when `path` is None.

    Raises:
        WordingError: it cannot be read or is wrong; names the rule.
    """
    source = Path(path or os.environ.get("KEFU_WORDING") or DEFAULT_PATH)
    try:
        raw = yaml.safe_load(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise WordingError(f"{source}: {error}") from error
    return Wording(raw, str(source))


@lru_cache(maxsize=4)
def _loaded(path: str) -> Wording:
    return load_wording(path)


def find_wording(text: str, kinds: Iterable[str] = KINDS) -> list[Finding]:
    """Forbidden words, promises, hedging and pressure in an agent's message, by position.

    The rules of `KEFU_WORDING`, or else of `data/wording.yaml`, read once a process.
    """
    return _loaded(os.environ.get("KEFU_WORDING") or str(DEFAULT_PATH)).find(text, kinds)
