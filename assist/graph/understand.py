"""What a message asks and what it says of the order: the question, facts, a wished value."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from assist.graph.catalogue import Catalogue, Fact, Question, Value

__all__ = ["asked", "facts_said", "quantities", "wished"]

_DIGITS = {
    "零": 0,
    "一": 1,
    "二": 2,
    "两": 2,
    "俩": 2,
    "三": 3,
    "四": 4,
    "五": 5,
    "六": 6,
    "七": 7,
    "八": 8,
    "九": 9,
}
_NUMBER = r"(?:\d+(?:\.\d+)?|半|[零一二两三四五六七八九十百]+)"
_DAYS = re.compile(
    rf"(?<![\d.月第每])({_NUMBER})\s*(?:来|多|几)?个?(天|周|星期|礼拜|月|年)(半|多)?(?!\s*(?:无理由|以?内|之内|价保|包退))"
)
_IN_DAYS = {"天": 1, "周": 7, "星期": 7, "礼拜": 7, "月": 30, "年": 365}
_CAME = r"(?:才|刚刚?)?(?:收到|签收|到货|到手|拿到|买|下单|付款|到)"
# The most exact first: 昨天刚到 is yesterday, 刚到 today.
_RECENT = tuple(
    (re.compile(words + _CAME), days)
    for words, days in (
        ("(?:昨天|昨晚)", 1.0), ("前天", 2.0), ("上个?(?:周|星期|礼拜)", 7.0), ("上个?月", 30.0),
        ("(?:今天|今早|刚才|刚刚|刚)", 0.0),
    )
)  # fmt: skip
_MONEY = re.compile(r"(\d+(?:\.\d+)?)\s*(?:元|块)")
_IN_UNIT = {
    ("毫升", "升"): 0.001, ("ml", "升"): 0.001, ("l", "升"): 1.0, ("升", "升"): 1.0, ("斤", "公斤"): 0.5,
    ("公斤", "公斤"): 1.0, ("kg", "公斤"): 1.0, ("千克", "公斤"): 1.0, ("小时", "小时"): 1.0,
}  # fmt: skip
_QUANTITY = re.compile(rf"({_NUMBER})\s*个?(毫升|ml|升|l|公斤|千克|kg|斤|小时)")


def _number(words: str) -> float:
    """The number that digits or Chinese numerals up to the hundreds say."""
    if words == "半":
        return 0.5
    if re.fullmatch(r"\d+(?:\.\d+)?", words):
        return float(words)
    total, digit = 0, 0
    for character in words:
        if character in "十百":
            total += (digit or 1) * (10 if character == "十" else 100)
            digit = 0
        else:
            digit = _DIGITS.get(character, 0)
    return float(total + digit)


def asked(folded: str, category: str | None, questions: Mapping[str, Question]) -> str | None:
    """The question that a message asks: by its words in the order of the table, else by its category."""
    for question in questions.values():
        if question.pattern is not None and question.pattern.search(folded):
            return question.key
    for question in questions.values():
        if category in question.categories:
            return question.key
    return None


def facts_said(folded: str, facts: Mapping[str, Fact], wanted: Collection[str]) -> dict[str, Value]:
    """Facts that a message states.

    Args:
        folded: the message as `linking.fold` gives it.
        facts: all facts.
        wanted: the facts that the question's rules name; a number is read only for one of these.

    Returns:
        By fact; one of which the message says both yes and no is left out.
    """
    found: dict[str, Value] = {}
    for fact in facts.values():
        if fact.type != "flag":
            continue
        rest = folded
        no = bool(fact.said_no and fact.said_no.search(rest))
        if fact.said_no:
            rest = fact.said_no.sub(" ", rest)
        yes = bool(fact.said_yes and fact.said_yes.search(rest))
        if yes != no:
            found[fact.key] = yes
    for key in wanted:
        fact = facts[key]
        value = _days(folded) if fact.unit == "天" else _money(folded) if fact.unit == "元" else None
        if fact.type == "number" and value is not None:
            found[key] = value
    return found


def _days(folded: str) -> float | None:
    if match := _DAYS.search(folded):
        number, unit, more = match.groups()
        # Half a month is 15 days and half a year 183, as people count; 一年多 is past the year.
        days = (_number(number) + {"半": 0.5, "多": 0.1}.get(more or "", 0.0)) * _IN_DAYS[unit]
        return float(int(days + 0.5))
    return next((days for pattern, days in _RECENT if pattern.search(folded)), None)


def _money(folded: str) -> float | None:
    match = _MONEY.search(folded)
    return float(match[1]) if match else None


def wished(folded: str, catalogue: Catalogue, attributes: Collection[str] = ()) -> tuple[str, str]:
    """The attribute and the value of a set that a message names ("电磁炉"), the longest; ("", "") if none.

    Args:
        attributes: the keys that may be meant; empty for all.
    """
    best = ("", "")
    for has in catalogue.values.values():
        for key, (values, _) in has.items():
            if (attributes and key not in attributes) or catalogue.attributes[key].type != "set":
                continue
            for value in values:
                if value.casefold() in folded.casefold() and len(value) > len(best[1]):
                    best = (key, value)
    return best


def quantities(folded: str, catalogue: Catalogue) -> dict[str, float]:
    """How much of which attribute a message may ask for, in the attribute's unit: 500毫升 is capacity 0.5."""
    found: dict[str, float] = {}
    for match in _QUANTITY.finditer(folded):
        for attribute in catalogue.attributes.values():
            factor = _IN_UNIT.get((match[2], attribute.unit))
            if attribute.type == "number" and factor is not None:
                found.setdefault(attribute.key, _number(match[1]) * factor)
    return found
