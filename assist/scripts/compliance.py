"""What makes a script or a composed reply silly, wrong or forbidden; the rules are data.

A rule names what a text says (a feature: it greets, apologises, asks for something, takes leave) and what
cannot stand together. The same rules choose the parts of a reply (`clashes`) and read finished replies
(`check_reply`), which besides reads the reply as one text: words an agent must not write, repeated sentences,
two time limits for one act.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml

from assist.scripts.library import CONDITIONS, DEFAULT_FOLDER, Library, Script
from assist.wording import find_wording
from data.taxonomy import Category, Taxonomy, load_taxonomy

__all__ = ["DEFAULT_PATH", "Compliance", "Issue", "load_compliance"]

DEFAULT_PATH = DEFAULT_FOLDER / "compliance.yaml"
LEAST, MOST = 15, 120
"""Characters of a solution: shorter says nothing, longer is not read."""
_BAD_WORDS = ("forbidden", "promise", "pressure")
_CLAUSE = re.compile(r"[，,。！!？?；;：:\s]+")
_REPEATED = 6
"""Characters from which the same clause in two parts is a repetition."""
_LIMIT = re.compile(
    r"(?P<limit>(?:\{(?:hours|days)\}|\d{1,3}|[一二两三五七十]|【(?:小时数|天数)】)个?(?:分钟|小时|天|工作日))(?:之)?内"
    r"[^，。；！？,;]{0,6}?(?P<act>发货|发出|出库|回复|回您|答复|退款|到账|送达|审核)"
)
_FORMS = (("回复", "答复", "回您"), ("发货", "发出", "出库"), ("退款", "到账"))


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding in a script or a reply."""

    rule: str
    """Name of the rule, in English."""
    scripts: tuple[str, ...]
    """Ids of the scripts it is about."""
    words: str
    """The words it rests on; may be empty."""
    reason: str
    """Why, in Chinese."""


@dataclass(frozen=True, slots=True)
class _Feature:
    any: re.Pattern[str]
    unless: re.Pattern[str] | None

    def find(self, text: str) -> str:
        if self.unless:
            text = self.unless.sub("\n", text)
        found = self.any.search(text)
        return found.group(0) if found else ""


class Compliance:
    """Checked rules, ready to judge.

    Args:
        raw: the parsed `compliance.yaml`.
        taxonomy: whose categories the rules name.
        source: its name in error messages.

    Raises:
        ValueError: names the rule and the field.
    """

    def __init__(self, raw: Any, taxonomy: Taxonomy, source: str = "compliance") -> None:
        if not isinstance(raw, dict) or not isinstance(raw.get("version"), int):
            raise ValueError(f"{source}: version: expected an integer")
        self.version: int = raw["version"]
        self._taxonomy = taxonomy
        try:
            self._features = {name: _feature(rule) for name, rule in raw["features"].items()}
            self._once: dict[str, str] = dict(raw["once"])
            self._apart = [
                (_side(rule["first"]), _side(rule["second"]), str(rule["reason"])) for rule in raw["apart"]
            ]
            self._needs = [
                (rule["kind"], rule["feature"], rule["solution"], str(rule["reason"]))
                for rule in raw["needs"]
            ]
            self._categories = list(raw["categories"])
            self._states = [
                (rule["feature"], set(rule["when"]), str(rule["reason"])) for rule in raw["states"]
            ]
            self._exclusive = [set(group) for group in raw["exclusive"]]
            self._quiet: dict[str, int] = dict(raw["quiet_from"])
        except (KeyError, TypeError, AttributeError, re.error) as error:
            raise ValueError(f"{source}: a rule is incomplete or wrong ({error!r})") from error
        named = {*self._once, *(rule["feature"] for rule in self._categories), *(s[0] for s in self._states)}
        named |= {side[1] for first, second, _ in self._apart for side in (first, second)}
        named |= {one for _, first, second, _ in self._needs for one in (first, second)}
        named |= set(self._quiet) - {"lively"}
        if unknown := sorted(named - set(self._features)):
            raise ValueError(f"{source}: feature {unknown[0]!r} is used and not defined")
        if unknown := sorted(set().union(*self._exclusive, *(s[1] for s in self._states)) - set(CONDITIONS)):
            raise ValueError(f"{source}: condition {unknown[0]!r} is unknown")
        for rule in self._categories:
            keys = set(rule.get("only", ())) | set(rule.get("categories_not", ()))
            if unknown := sorted(keys - set(taxonomy.category)):
                raise ValueError(f"{source}: category {unknown[0]!r} is unknown")
        self._said: dict[str, Mapping[str, str]] = {}

    def says(self, text: str) -> Mapping[str, str]:
        """The features of a text, each with the words that show it."""
        known = self._said.get(text)
        if known is None:
            known = {name: words for name, rule in self._features.items() if (words := rule.find(text))}
            if len(self._said) < 20_000:  # a library's texts, not everybody's
                self._said[text] = known
        return known

    def misfits(self, part: Script, solution: Script | None, alert: int) -> list[Issue]:
        """Why a part may not stand at an alert level, or with a solution's category and state."""
        said = self.says(part.text)
        issues = []
        if part.kind != "solution" and alert not in part.alerts:
            issues.append(Issue("alert", (part.id,), "", f"不用于预警 {alert} 级"))
        for feature, level in self._quiet.items():
            words = part.tone if feature == "lively" and part.tone == "lively" else said.get(feature, "")
            if words and alert >= level:
                issues.append(Issue("quiet", (part.id,), words, f"预警 {alert} 级不宜轻松或带表情"))
        if solution is None or part is solution:
            return issues
        pair = (part.id, solution.id)
        category = self._taxonomy.category[solution.category or ""]
        if part.after and solution.category not in part.after:
            issues.append(Issue("after", pair, "", f"不用于{category.zh}"))
        for rule in self._categories:
            if (words := said.get(rule["feature"], "")) and not _suits(rule, category):
                issues.append(Issue(f"category:{rule['feature']}", pair, words, rule["reason"]))
        for feature, when, reason in self._states:
            if (words := said.get(feature, "")) and when & set(solution.when):
                issues.append(Issue(f"state:{feature}", pair, words, reason))
        for kind, feature, needed, reason in self._needs:
            if (
                part.kind == kind
                and (words := said.get(feature, ""))
                and needed not in self.says(solution.text)
            ):
                issues.append(Issue(f"needs:{needed}", pair, words, reason))
        return issues

    def clashes(self, one: Script, other: Script) -> list[Issue]:
        """Why two parts cannot stand in one reply; the order does not matter."""
        pair = (one.id, other.id)
        first, second = self.says(one.text), self.says(other.text)
        issues = [
            Issue(f"once:{feature}", pair, f"{first[feature]} / {second[feature]}", reason)
            for feature, reason in self._once.items()
            if feature in first and feature in second
        ]
        for left, right, reason in self._apart:
            for a, b in ((one, other), (other, one)):
                words, more = self._side_words(a, left), self._side_words(b, right)
                if words and more:
                    issues.append(Issue(f"apart:{left[1]}/{right[1]}", pair, f"{words} / {more}", reason))
        if {one.tone, other.tone} == {"formal", "lively"}:
            issues.append(Issue("tone", pair, "", "一句正式一句活泼"))
        if repeated := _clauses(one.text) & _clauses(other.text):
            issues.append(Issue("repeated", pair, min(repeated), "同一句话说了两遍"))
        return issues

    def _side_words(self, part: Script, side: tuple[str, str]) -> str:
        return self.says(part.text).get(side[1], "") if part.kind == side[0] else ""

    def check_script(self, script: Script) -> list[Issue]:
        """Findings in one script by itself."""
        said = self.says(script.text)
        own = (script.id,)
        issues = _wording(script.text, own)
        for feature in _FOREIGN[script.kind]:
            # Thanks for praise (alert 0) may smile; what soothes may not.
            if (words := said.get(feature, "")) and not (script.kind == "soothing" and script.alerts == (0,)):
                issues.append(Issue(f"foreign:{feature}", own, words, "这句话属于回复的另一部分"))
        if script.kind == "solution":
            if not LEAST <= len(script.text) <= MOST:
                issues.append(Issue("length", own, str(len(script.text)), f"应为 {LEAST}–{MOST} 个字"))
            for feature, when, reason in self._states:
                if (words := said.get(feature, "")) and when & set(script.when):
                    issues.append(Issue(f"state:{feature}", own, words, reason))
        issues += [
            Issue("exclusive", own, "、".join(sorted(group & set(script.when))), "条件互相排斥")
            for group in self._exclusive
            if len(group & set(script.when)) > 1
        ]
        issues += _two_limits(script.text, own)
        for alert in script.alerts:
            issues += [issue for issue in self.misfits(script, None, alert) if issue.rule == "quiet"]
        return issues

    def check_library(self, library: Library, least: int = 12) -> list[Issue]:
        """Findings in all scripts, and categories that have fewer than `least` solutions."""
        issues = [issue for script in library.scripts for issue in self.check_script(script)]
        for key, category in self._taxonomy.category.items():
            count = len(library.by_category.get(key, ()))
            if count < least:
                issues.append(Issue("count", (), key, f"{category.zh}只有 {count} 条，至少 {least} 条"))
        return issues

    def check_reply(self, parts: Sequence[Script], text: str, alert: int, emotion: str) -> list[Issue]:
        """Findings in a composed reply.

        Args:
            parts: its scripts in order, one of them the solution.
            text: the reply as it would be sent.
            alert: level of the message that it answers.
            emotion: feeling of that message.
        """
        ids = tuple(part.id for part in parts)
        solution = next(part for part in parts if part.kind == "solution")
        issues = [issue for part in parts for issue in self.misfits(part, solution, alert)]
        for one, other in combinations(parts, 2):
            issues += self.clashes(one, other)
        negative = self._taxonomy.emotion[emotion].polarity == "negative"
        for part in parts:
            if part.emotions and negative and emotion not in part.emotions:
                issues.append(Issue("emotion", (part.id,), emotion, "安抚的不是这种情绪"))
        if negative and alert >= 1 and not any(part.kind == "soothing" for part in parts):
            issues.append(Issue("unsoothed", ids, emotion, "情绪是负面的，却没有安抚"))
        order = [_ORDER[part.kind] for part in parts if part.step != "appreciate"]
        if order != sorted(order):
            issues.append(Issue("order", ids, "", "顺序应为问候、安抚、方案、结束"))
        issues += _wording(text, ids)
        issues += _two_limits(text, ids)
        for word, reason in (("您好", "招呼打了两次"), ("抱歉", "道歉说了两次"), ("对不起", "道歉说了两次")):
            if text.count(word) > 1:
                issues.append(Issue("twice", ids, word, reason))
        return issues


_ORDER = {"opening": 0, "soothing": 1, "solution": 2, "closing": 3}
# What only another part may say. A closing's good wishes and an opening's cheer are theirs.
_FOREIGN: Mapping[str, tuple[str, ...]] = {
    "solution": ("greeting", "apology", "farewell"),
    "opening": ("apology", "farewell"),
    "closing": ("greeting", "apology"),
    "soothing": ("greeting", "farewell", "emoji", "cheerful"),
}


def _wording(text: str, ids: tuple[str, ...]) -> list[Issue]:
    return [
        Issue(f"wording:{one.kind}", ids, one.words, one.reason) for one in find_wording(text, _BAD_WORDS)
    ]


def _two_limits(text: str, ids: tuple[str, ...]) -> list[Issue]:
    limits: dict[str, str] = {}
    for match in _LIMIT.finditer(text):
        act = next((group[0] for group in _FORMS if match["act"] in group), match["act"])
        if limits.setdefault(act, match["limit"]) != match["limit"]:
            return [Issue("two_limits", ids, f"{limits[act]} / {match['limit']}", f"“{act}”有两个不同的时限")]
    return []


@lru_cache(maxsize=8192)
def _clauses(text: str) -> frozenset[str]:
    return frozenset(clause for clause in _CLAUSE.split(text) if len(clause) >= _REPEATED)


def _suits(rule: Mapping[str, Any], category: Category) -> bool:
    if "only" in rule and category.key not in rule["only"]:
        return False
    return (
        category.group not in rule.get("groups_not", ())
        and category.nature not in rule.get("natures_not", ())
        and category.key not in rule.get("categories_not", ())
    )


def _feature(rule: Mapping[str, Any]) -> _Feature:
    unless = rule.get("unless")
    return _Feature(_any(rule["any"]), _any(unless) if unless else None)


def _any(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


def _side(raw: Mapping[str, str]) -> tuple[str, str]:
    return raw["kind"], raw["feature"]


@lru_cache(maxsize=2)
def load_compliance(path: Path | str = DEFAULT_PATH) -> Compliance:
    """Read the rules, for the embedded label schema.

    Raises:
        ValueError: the file cannot be read, or a rule is wrong; names it.
    """
    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {error}") from error
    return Compliance(raw, load_taxonomy(), str(path))
