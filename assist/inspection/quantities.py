"""Numbers with units in plain texts: Chinese numerals, ranges, and limits (不超过40度)."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Quantity", "quantities"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit, or a range."""

    low: float
    high: float
    unit: str
    start: int
    end: int
    bound: str = ""
    """ "most" or "least" where the words before it make it a limit."""

    def fits(self, other: Quantity) -> bool:
        """Whether this number of an answer is what a statement's number allows."""
        if self.bound == other.bound != "":  # "within 24 hours" is not what "within 48 hours" says
            return self.low == other.low and self.high == other.high
        if other.bound == "most":
            return self.high <= other.high
        if other.bound == "least":
            return self.low >= other.low
        return other.low <= self.low and self.high <= other.high


_DIGITS = {char: value for value, char in enumerate("零一二三四五六七八九")} | {"两": 2, "半": 0.5}
_NUMBER = r"\d{1,9}(?:\.\d{1,6})?|[零一二三四五六七八九十百两半]{1,8}"
_UNIT = (
    r"毫升|升|公斤|千克|kg|斤|克|瓦|w|厘米|cm|毫米|米|个?工作日|小时|分钟|天|日|个月|年|元|块|度|支|档|岁|期|k|%"
    r"|积分|分|点|号"
)
_QUANTITY = re.compile(rf"(?<![\d.])({_NUMBER})(?:(?:到|至|-|~)({_NUMBER}))?(?:个)?({_UNIT})(?!无理由)")
_SAME_UNIT = {
    "kg": "公斤", "千克": "公斤", "w": "瓦", "cm": "厘米", "块": "元", "日": "天", "个工作日": "工作日",
    "分": "积分",
}  # fmt: skip
_MOST = re.compile(r"(?:不超过|不能超过|最多|最大|以内|不高于|低于|小于)[\u4e00-\u9fff]{0,3}$")
_LEAST = re.compile(r"(?:满|至少|不少于|超过|以上)$")


def _value(word: str) -> float:
    if word[0].isdigit():
        return float(word)
    if word == "半":
        return 0.5
    total, digit = 0.0, 0.0
    for char in word:
        if char == "十":
            total, digit = total + (digit or 1) * 10, 0.0
        elif char == "百":
            total, digit = total + (digit or 1) * 100, 0.0
        else:
            digit = _DIGITS[char]
    return total + digit


def quantities(text: str) -> list[Quantity]:
    """Numbers with units in a plain text, in order; ranges ("95到110斤") as one."""
    found = []
    for match in _QUANTITY.finditer(text):
        low, high, unit = match.groups()
        before = text[max(0, match.start() - 8) : match.start()]
        bound = "most" if _MOST.search(before) else "least" if _LEAST.search(before) else ""
        if re.match(r"[以之]?内", text[match.end() :]):
            bound = "most"
        values = _value(low), _value(high or low)
        found.append(
            Quantity(min(values), max(values), _SAME_UNIT.get(unit, unit), *match.span(), bound=bound)
        )
    return found
