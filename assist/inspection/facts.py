"""Answers held against knowledge: a protocol, and a check over passages that compares numbers and negations.

`PassageCheck` needs no model: it finds the statement that speaks of the same thing by rare pairs of characters,
and then asks two questions only. Do the numbers of one unit agree (or fit the statement's limit or range)? Does
a yes or no of the answer agree with the statement? Everything else is "unknown": it says nothing of what it
cannot compare.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from assist.inspection.view import pairs, plain

__all__ = ["Check", "PassageCheck", "Quantity", "Verdict", "quantities"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What knowledge says of an answer."""

    kind: Literal["support", "contradiction", "unknown"]
    passage: str = ""
    """The statement that it was held against."""
    span: tuple[int, int] | None = None
    """The words of the answer that it rests on."""


class Check(Protocol):
    """Does knowledge bear out an answer?"""

    def __call__(self, question: str, answer: str) -> Verdict:
        """Of the customer's words and the agent's answer."""


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
        if other.bound == "most":
            return self.high <= other.high
        if other.bound == "least":
            return self.low >= other.low
        return other.low <= self.low and self.high <= other.high


_DIGITS = {char: value for value, char in enumerate("零一二三四五六七八九")} | {"两": 2, "半": 0.5}
_NUMBER = r"\d+(?:\.\d+)?|[零一二三四五六七八九十百两半]+"
_UNIT = (
    r"毫升|升|公斤|千克|kg|斤|克|瓦|w|厘米|cm|毫米|米|个?工作日|小时|分钟|天|日|个月|年|元|块|度|支|档|岁|期|k|%|积分|分|点|号"
)
_QUANTITY = re.compile(rf"({_NUMBER})(?:(?:到|至|-|~)({_NUMBER}))?(?:个)?({_UNIT})")
_SAME_UNIT = {"kg": "公斤", "千克": "公斤", "w": "瓦", "cm": "厘米", "块": "元", "日": "天", "个工作日": "工作日", "分": "积分"}
_MOST = re.compile(r"(?:不超过|不能超过|最多|最大|以内|不高于|低于|小于)[\u4e00-\u9fff]{0,3}$")
_LEAST = re.compile(r"(?:满|至少|不少于|超过|以上)$")
_CLAUSE = re.compile(r"[^,。;!?\n]+")
_SENTENCE = re.compile(r"[^。;!?\n]+")
_LABEL = re.compile(r"(?<![a-z0-9])(\d?x*[sml])(?![a-z])")
_NO = re.compile(r"不(?:能|可以|支持|行|会|要|用|带|收|包|单独|适合|接受|开)|没有|没法|无法|不$|退不了|用不了|不了")
_YES = re.compile(r"(?<!不)(?<!不是)(?:能(?!不能)|可以(?!不可以)|支持|行的?|会(?!不会)|有(?!没有)|带|包|都(?:能|可以|包|行))")
_ASKED = re.compile(r"能不能|可不可以|有没有|会不会|是不是|要不要|行不行|支不支持")
_COMMON = set("的了吗呢吧啊是在有我你您这那个就都也还和跟与到去说想问下好请亲哦呀什么怎么多少可以能会不要没对")
_CONDITION = re.compile(r"如果|要是|质量问题|开线|坏了|破损|的话")


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
        if text[match.end() : match.end() + 2] in ("以内", "之内"):
            bound = "most"
        values = _value(low), _value(high or low)
        found.append(
            Quantity(min(values), max(values), _SAME_UNIT.get(unit, unit), *match.span(), bound=bound)
        )
    return found


@dataclass(frozen=True)
class _Statement:
    text: str
    """The whole sentence, for citing."""
    clause: str
    """What is compared."""
    pairs: frozenset[str]
    """Of the clause."""
    around: frozenset[str]
    """Of the sentences of its passage up to this one: the subject often stands there."""


class PassageCheck:
    """Check answers against passages.

    Args:
        passages: texts; each speaks of one thing, named in its first sentence.
        near: how much of the statement's weight question and answer must share, 0 to 1.
    """

    def __init__(self, passages: Sequence[str], near: float = 0.3) -> None:
        self._near = near
        self._statements: list[_Statement] = []
        for passage in passages:
            text = plain(passage)
            subject = next(iter(_CLAUSE.findall(text)), "")
            for sentence in _SENTENCE.finditer(text):
                for clause in _CLAUSE.finditer(sentence.group()):
                    words = clause.group().strip()
                    self._statements.append(
                        _Statement(
                            passage[sentence.start() : sentence.end()].strip(),
                            words,
                            frozenset(_content(words)),
                            frozenset(_content(subject + sentence.group())),
                        )
                    )
        counts = Counter(pair for one in self._statements for pair in one.pairs | one.around)
        total = len(self._statements) or 1
        self._weights = {pair: math.log(1 + total / count) for pair, count in counts.items()}

    def __call__(self, question: str, answer: str) -> Verdict:
        """Hold an answer against the statements nearest to question and answer."""
        asked, said = plain(question), plain(answer)
        query, answered = _content(asked) | _content(said), _content(said)
        best: list[tuple[float, _Statement]] = []
        for one in self._statements:
            own, around = self._weigh(one.pairs), self._weigh(one.around)
            if not own:
                continue
            shared = self._weigh(one.pairs & query) / own
            subject = self._weigh(one.around & query) / around
            score = (shared + subject) / 2
            if score >= self._near and (shared > 0 or subject > 0.4):
                best.append((score + 0.1 * self._weigh(one.pairs & answered) / own, one))
        best.sort(key=lambda pair: -pair[0])
        verdicts = [
            verdict
            for score, one in best[:4]
            if score >= 0.6 * best[0][0] and (verdict := _compare(one, asked, said)) is not None
        ]
        for kind in ("contradiction", "support"):
            agreeing = [one for one in verdicts if one.kind == kind]
            # A yes to one statement outweighs a nearby one that is of something else.
            if agreeing and (kind == "support" or verdicts[0].kind == kind):
                return agreeing[0]
        return Verdict("unknown")

    def _weigh(self, found: frozenset[str] | set[str]) -> float:
        return sum(self._weights.get(pair, 0.0) for pair in found)


def _content(text: str) -> set[str]:
    return {pair for pair in pairs(text) if not (pair[0] in _COMMON or pair[1] in _COMMON)}


def _compare(statement: _Statement, asked: str, said: str) -> Verdict | None:
    sized = _by_label(statement, asked, said)
    if sized is not None:
        return sized
    truth = quantities(statement.clause)
    for quantity in quantities(said):
        same = [one for one in truth if one.unit == quantity.unit]
        if same:
            span = (quantity.start, quantity.end)
            fits = any(quantity.fits(one) for one in same)
            return Verdict("support" if fits else "contradiction", statement.text, span)
    return _by_negation(statement, asked, said)


def _by_label(statement: _Statement, asked: str, said: str) -> Verdict | None:
    """Statements as "M适合95到110斤": the size that the answer names must hold the number that was asked."""
    label, spans = _LABEL.search(statement.clause), quantities(statement.clause)
    if not label or not spans or spans[0].low == spans[0].high:
        return None
    named = next((one for one in _LABEL.finditer(said) if one.group(1) == label.group(1)), None)
    if named is None:
        return Verdict("unknown")
    numbers = [one for one in quantities(said) or quantities(asked) if one.unit == spans[0].unit]
    if not numbers:
        return Verdict("unknown")
    fits = any(one.fits(spans[0]) for one in numbers)
    return Verdict("support" if fits else "contradiction", statement.text, named.span())


def _by_negation(statement: _Statement, asked: str, said: str) -> Verdict | None:
    """A yes or no that answers must be the yes or no of the statement."""
    if _CONDITION.search(said) or quantities(statement.clause) and not _NO.search(statement.clause):
        return None
    truth = "no" if _NO.search(statement.clause) else "yes"
    for clause in _CLAUSE.finditer(said):
        words = _ASKED.sub("", clause.group())
        no, yes = _NO.search(words), _YES.search(words)
        if not (no or yes):
            continue
        own = _content(words)
        # The answer's clause names the thing, or it is a bare yes or no to a question that does.
        about = own & statement.pairs or (len(words.strip()) <= 6 and _content(asked) & statement.pairs)
        if about:
            kind: Literal["support", "contradiction"] = (
                "support" if ("no" if no else "yes") == truth else "contradiction"
            )
            return Verdict(kind, statement.text, clause.span())
    return None
