"""Answers held against knowledge: a protocol, and a check over passages that compares numbers and negations.

`PassageCheck` needs no model: it finds the statement that speaks of the same thing by rare pairs of
characters, and then asks two questions only. Do the numbers of one unit agree (or fit the statement's limit
or range)? Does a yes or no of the answer agree with the statement? Everything else is "unknown": it says
nothing of what it cannot compare.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from assist.inspection.quantities import Quantity, quantities
from assist.inspection.view import is_question, pairs, plain

__all__ = ["Check", "PassageCheck", "Verdict"]


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


_CLAUSE = re.compile(r"[^,。;!?\n]+")
_SENTENCE = re.compile(r"[^。;!?\n]+")
_LABEL = re.compile(r"(?<![a-z0-9])(\d?x*[sml])(?![a-z])")
_NO = re.compile(
    r"不(?:能|可以|支持|行|会|要|用|带|收|包|退|补|算|单独|适合|接受|开)|没有(?!看|收|查|找)|没法|无法|不$|(?<!到)(?<!少)不了"
)
_YES = re.compile(
    r"(?<!不)(?<!不是)(?:能(?!不能|看)|可以(?!不可以)|支持|行的?|会(?!不会)|有(?!没有)|带|包|都(?:能|可以|包|行)"
    r"|给(?:您|你)退|包退)"
)
_ASKED = re.compile(r"能不能|可不可以|有没有|会不会|是不是|要不要|行不行|支不支持")
_COMMON = set("的了吗呢吧啊是在有我你您这那个就都也还和跟与去说想问下好请亲哦呀什么怎么多少可以能会不要没对")
_IDLE = re.compile(r"支持|可以|客服|我们|商家|店铺|本店|仓库")
_CELL = re.compile(r"[^,:]{1,12}:([^,。;]+)")
# How long something has taken already is no fact of the shop.
_REACH = 40
"""Letters on both sides of a number that say what it is of."""
_HEDGE = re.compile(r"大概|大约|一般|差不多|左右|应该")
_PASSED = re.compile(r"(?:等|拖|过|用|花|晚|迟)了$|(?:等|拖|晚|迟)$")
_THANKS = re.compile(r"感谢|谢谢|祝您|不客气")
_UNKNOWN = 1.0
_CONDITION = re.compile(r"如果|要是|质量问题|开线|坏了|破损|的话")


@dataclass(frozen=True)
class _Statement:
    cited: str
    """The sentence as it was written."""
    clause: str
    """What is compared."""
    pairs: frozenset[str]
    """Of the clause and of the subject of its passage, which often stands in the first clause only."""
    subject: frozenset[str]
    """What stands before its yes or no; where nothing does, that of the whole."""
    special: bool
    """It has a subject of its own before its yes or no: more special than a rule for everything."""
    predicate: str
    """What stands after it; empty where the clause has no yes or no."""
    negated: bool
    numbers: tuple[Quantity, ...]
    """Of the whole passage: a number that stands in it is no contradiction to it."""


class PassageCheck:
    """Check answers against passages.

    Args:
        passages: texts; each speaks of one thing, named in its first clause.
        near: how alike statement and question with answer must be, 0 to 1 (Dice coefficient of their pairs
            of characters, weighted by rarity).
    """

    def __init__(self, passages: Sequence[str], near: float = 0.16) -> None:
        self._near = near
        self._statements: list[_Statement] = []
        self._holders: dict[str, list[int]] = {}
        for passage in passages:
            for one in _statements(passage):
                for pair in one.pairs:
                    self._holders.setdefault(pair, []).append(len(self._statements))
                self._statements.append(one)
        total = len(self._statements) or 1
        self._weights = {pair: math.log(1 + total / len(own)) for pair, own in self._holders.items()}
        self._totals = [self._weigh(one.pairs) for one in self._statements]

    def __call__(self, question: str, answer: str) -> Verdict:
        """Hold an answer against the statements nearest to question and answer."""
        asked, said = plain(question), _CLAUSE.sub(_without_thanks, plain(answer))
        words = _content(asked) | _content(said)
        query = {pair for pair in words if pair in self._weights}
        shared: Counter[int] = Counter()
        for pair in query:
            for place in self._holders[pair]:
                shared[place] += self._weights[pair]  # type: ignore[assignment]
        # What no statement knows counts as well, for less: the talk may be of something else.
        weight = self._weigh(query) + _UNKNOWN * len(words - query)
        near = sorted(
            ((2 * own / (weight + self._totals[place]), place) for place, own in shared.items()), reverse=True
        )
        found = []
        for score, place in near[:6]:
            if score < self._near or score < 0.5 * near[0][0]:
                break
            verdict = _compare(self._statements[place], asked, said)
            if verdict is not None:
                found.append(verdict)
        # Numbers and sizes tell more than a yes or no; of equals the nearest statement speaks.
        return max(found, key=lambda one: one[0], default=(0, Verdict("unknown")))[1]

    def _weigh(self, found: frozenset[str] | set[str]) -> float:
        return sum(self._weights.get(pair, 0.0) for pair in found)


def _statements(passage: str) -> Iterator[_Statement]:
    text = plain(passage)
    # A first line of its own is the path of titles; its last parts say what the passage is about.
    title, line, body = text.partition("\n")
    begin = len(title) + 1 if line else 0
    titled = " ".join(title.split(" > ")[-2:]) if line else next(iter(_CLAUSE.findall(text)), "")[:8]
    about, numbers = _pairs(titled), tuple(quantities(text))
    for sentence in _SENTENCE.finditer(body if line else text):
        cells = _CELL.findall(sentence.group())
        for clause in _CLAUSE.findall(sentence.group()):
            if is_question(clause):
                continue
            modal = _NO.search(clause) or _YES.search(clause)
            before = _pairs(clause[: modal.start()]) if modal else set()
            # A row of a table speaks of what its first cell names.
            before = _pairs(cells[0]) if len(cells) > 1 else before
            own = _content(clause)
            yield _Statement(
                cited=passage[begin + sentence.start() : begin + sentence.end()].strip(),
                clause=clause.strip(),
                pairs=frozenset(own | about | before),
                subject=frozenset(before or (about if line else own)),
                special=bool(before),
                predicate=_predicate(clause, modal) if modal else "",
                negated=bool(_NO.search(clause)),
                numbers=numbers,
            )


def _without_thanks(clause: re.Match[str]) -> str:
    return " " * len(clause.group()) if _THANKS.search(clause.group()) else clause.group()


def _predicate(clause: str, modal: re.Match[str]) -> str:
    """What is affirmed or denied: after the yes or no (不能机洗), in it (不退), or before it (改不了)."""
    for words in (
        clause[modal.end() :],
        modal.group()[-1],
        clause[max(0, modal.start() - 1) : modal.start()],
    ):
        if any(char.isalnum() and char not in _COMMON for char in words):
            return words
    return ""


def _content(text: str) -> set[str]:
    """What can tell a topic: pairs of letters but for pronouns, particles and digits; units and sizes."""
    units = {f"#{one.unit}" for one in quantities(text)} | {f"#{one}" for one in _LABEL.findall(text)}
    return _pairs(text) | units


def _pairs(text: str) -> set[str]:
    found = {pair for part in _IDLE.split(text) for pair in pairs(part) if not pair.isdigit()}
    return {pair for pair in found if pair[0] not in _COMMON and pair[1] not in _COMMON}


def _compare(statement: _Statement, asked: str, said: str) -> tuple[int, Verdict] | None:
    """The verdict of one statement and how much it tells; None where the two cannot be compared."""
    sized = _by_label(statement, asked, said)
    if sized is not None:
        return (3, sized) if sized.kind != "unknown" else None
    truth = quantities(statement.clause)
    for clause in _CLAUSE.finditer(said):
        words = clause.group()
        for quantity in quantities(words):
            same = [one for one in truth if one.unit == quantity.unit]
            beside = words[max(0, quantity.start - _REACH) : quantity.start], words[quantity.end :][:_REACH]
            rest = _pairs(_HEDGE.sub(" ", " ".join(beside)))
            topic = rest or _pairs(asked)
            if _PASSED.search(words[: quantity.start]):
                continue
            # The number speaks of the statement's thing, or is all that the answer says of what was asked.
            if not same or not topic & statement.pairs:
                continue
            span = (clause.start() + quantity.start, clause.start() + quantity.end)
            fits = any(quantity.fits(one) for one in same)
            known = any(one.unit == quantity.unit and quantity.fits(one) for one in statement.numbers)
            if fits or not known:
                return 2, Verdict("support" if fits else "contradiction", statement.cited, span)
    return _by_negation(statement, asked, said)


def _by_label(statement: _Statement, asked: str, said: str) -> Verdict | None:
    """Statements as "M适合95到110斤": the size that the answer names must hold the number that was asked."""
    label, spans = _LABEL.search(statement.clause), quantities(statement.clause)
    if not label or not spans or spans[0].low == spans[0].high:
        return None
    named = _LABEL.search(said)  # what is named next is a choice besides
    if named is None or named.group(1) != label.group(1):
        return Verdict("unknown")
    numbers = [one for one in quantities(said) or quantities(asked) if one.unit == spans[0].unit]
    if not numbers:
        return Verdict("unknown")
    fits = any(one.fits(spans[0]) for one in numbers)
    return Verdict("support" if fits else "contradiction", statement.cited, named.span())


def _by_negation(statement: _Statement, asked: str, said: str) -> tuple[int, Verdict] | None:
    """A yes or no that answers must be the yes or no of the statement."""
    if not statement.predicate or _CONDITION.search(said):
        return None
    for clause in _CLAUSE.finditer(said):
        words = _ASKED.sub("", clause.group())
        no, yes = _NO.search(words), _YES.search(words)
        if not (no or yes) or is_question(clause.group()):
            continue
        # The answer's clause names the thing, or it is a bare yes or no to a question that does.
        bare = len(words.strip()) <= 6
        about = f"{asked} {words}" if bare or _pairs(words) & statement.subject else words
        if not _meets(statement.predicate, about, whole=not statement.special):
            continue
        if not _pairs(f"{asked} {said}") & statement.subject:
            continue
        same = bool(no) == statement.negated
        kind: Literal["support", "contradiction"] = "support" if same else "contradiction"
        return int(statement.special), Verdict(kind, statement.cited, clause.span())
    return None


def _meets(predicate: str, text: str, *, whole: bool) -> bool:
    """Whether a text speaks of what a statement affirms or denies: its last pair, or half of its letters; for
    a statement without a subject of its own (`whole`) half of its pairs."""
    own = pairs(predicate)
    if whole and len(own) > 1:
        return 2 * len(own & pairs(text)) >= len(own)
    letters = [char for char in predicate if char.isalnum() and char not in _COMMON]
    if not letters:
        return False
    if len(letters) > 2 and "".join(letters[-2:]) in text:
        return True
    return 2 * sum(char in text for char in letters) >= len(letters)
