"""A conversation as the rules look at it: plain texts, sessions between silences, waits, and feelings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

from assist.inspection.schema import InspectRequest, InspectTurn
from assist.inspection.standards import Standards
from assist.wording import Finding, find_wording

__all__ = [
    "COLD",
    "UPSET",
    "Exchange",
    "Fault",
    "Feelings",
    "Outcome",
    "ReadEmotion",
    "View",
    "Wait",
    "is_question",
    "pairs",
    "plain",
]

Feelings = Mapping[str, float]
"""Probability by emotion key."""
ReadEmotion = Callable[[Sequence[str]], Sequence[Feelings]]
"""Texts to the probability of each emotion key; the platform's emotion model."""
COLD = ("angry", "dissatisfied")
"""What an agent must not sound like."""
UPSET = ("angry", "dissatisfied", "disappointed")
"""How a customer feels who is not content."""

_STOPS = str.maketrans("，！？；：～（）", ",!?;:~()")
_ACK = re.compile(
    r"(?:好+[的嘞滴哒吧啊哦]?|嗯+|哦+|行|中|可以|okk?|知道了?|收到了?|明白了?|懂了?|没事|没有?了|没有|不用了?|en|谢+|辛苦了?|多谢|感谢)"
    r"[,.!~ 的了啦吧呀哈啊哦嘛谢您你]*(?:.{0,4})$"
)
_QUESTION = re.compile(
    r"[?？吗呢么嘛]|什么|怎么|咋|为何|为啥|多少|多久|多大|多高|多长|几|哪|能不能|可不可以|是不是|有没有|会不会|要不要"
    r"|[能有行可要会][\u4e00-\u9fff]{0,8}[不没]$|谁"
)
_FILLER = re.compile(
    r"^(?:好[的嘞哒滴]?|嗯|亲|您好|你好|在的?|请|麻烦|您|稍等|一下|等|马上|哦|呢|哈|谢谢?|感谢|的|耐心|理解"
    r"|支持|[,.。!~ ])*$"
)


def plain(text: str) -> str:
    """Half width, simplified and lower case, one character for each of the original's; positions stay."""
    half = "".join(
        one if len(one := unicodedata.normalize("NFKC", char).lower()) == 1 else char for char in text
    )
    if not half.isascii():
        simple = _simplifier().convert(half)
        half = simple if len(simple) == len(half) else half
    return half.translate(_STOPS)


@lru_cache(maxsize=1)
def _simplifier() -> Any:
    from opencc import OpenCC  # the dictionary takes a moment to load

    return OpenCC("t2s")


def pairs(text: str) -> set[str]:
    """The pairs of neighbouring letters, signs and spaces left out."""
    letters = [char for char in text if char.isalnum()]
    return {one + other for one, other in pairwise(letters)}


def is_question(text: str) -> bool:
    """Whether a plain text asks something."""
    return bool(_QUESTION.search(text))


@dataclass(frozen=True, slots=True)
class Fault:
    """A finding before it has names: in which turn, by which words, why, what instead."""

    turn: int
    start: int
    end: int
    reason: str
    advice: str
    severity: str | None = None
    """Another than the standards' for this indicator."""


@dataclass(frozen=True)
class Outcome:
    """What a rule says: faults, and a score of its own (0 to 1) or None where penalties make it.

    `judged` is False where there was nothing to judge by; `note` then says why.
    """

    faults: tuple[Fault, ...] = ()
    score: float | None = None
    judged: bool = True
    note: str = ""


@dataclass(frozen=True, slots=True)
class Wait:
    """The customer waited from one turn to another."""

    asked: int
    answered: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Exchange:
    """Customer turns in a row and the agent turns in a row after them."""

    customer: tuple[int, ...]
    agent: tuple[int, ...]


@dataclass(frozen=True)
class View:
    """One conversation prepared for the rules."""

    request: InspectRequest
    standards: Standards
    feelings: Sequence[Feelings] | None = None
    """Of every turn, by the emotion model; None where none was given."""
    texts: tuple[str, ...] = field(init=False)
    """Plain texts."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "texts", tuple(plain(turn.text) for turn in self.request.turns))

    @property
    def turns(self) -> list[InspectTurn]:
        """As they were asked."""
        return self.request.turns

    @cached_property
    def customer(self) -> tuple[int, ...]:
        """Positions of the customer's turns."""
        return tuple(index for index, turn in enumerate(self.turns) if turn.role == "customer")

    @cached_property
    def agent(self) -> tuple[int, ...]:
        """Positions of the agent's turns."""
        return tuple(index for index, turn in enumerate(self.turns) if turn.role == "agent")

    @property
    def timed(self) -> bool:
        """Whether the turns have times."""
        return self.turns[0].sent_at is not None

    def at(self, index: int) -> datetime:
        """When a turn was sent; only of a timed conversation."""
        at = self.turns[index].sent_at
        assert at is not None
        return at

    @cached_property
    def wording(self) -> dict[int, list[Finding]]:
        """Words of the agent that break a rule of `assist.wording`, by turn."""
        kinds = ("forbidden", "promise", "pressure")
        return {index: find_wording(self.turns[index].text, kinds) for index in self.agent}

    @cached_property
    def sessions(self) -> list[tuple[int, ...]]:
        """Positions of the turns between long silences; one session where there are no times."""
        parts: list[list[int]] = [[0]]
        for index in range(1, len(self.turns)):
            silent = self.timed and (self.at(index) - self.at(index - 1)).total_seconds()
            if silent and silent >= self.standards.silence:
                parts.append([])
            parts[-1].append(index)
        return [tuple(part) for part in parts]

    @cached_property
    def exchanges(self) -> list[Exchange]:
        """Customer turns and what the agent said next, in order; a last one may lack an answer."""
        found: list[tuple[list[int], list[int]]] = []
        for index, turn in enumerate(self.turns):
            if turn.role == "customer":
                if not found or found[-1][1]:
                    found.append(([], []))
                found[-1][0].append(index)
            elif found:
                found[-1][1].append(index)
        return [Exchange(tuple(asked), tuple(said)) for asked, said in found]

    @cached_property
    def waits(self) -> list[Wait]:
        """How long the customer waited for an answer, from the first turn without one.

        A mere thanks or "ok" waits for nothing. Only of a timed conversation.
        """
        found: list[Wait] = []
        waiting: int | None = None
        for index, turn in enumerate(self.turns):
            if turn.role == "customer":
                if waiting is None and not self.acknowledges(index):
                    waiting = index
            elif waiting is not None:
                found.append(Wait(waiting, index, (self.at(index) - self.at(waiting)).total_seconds()))
                waiting = None
        return found

    def acknowledges(self, index: int) -> bool:
        """Whether a customer's turn only says thanks, yes or ok."""
        text = self.texts[index].strip()
        return len(text) <= 12 and bool(_ACK.match(text)) and not is_question(text)

    def substantive(self, index: int) -> bool:
        """Whether an agent's turn says more than greeting, thanks or "one moment"."""
        return not _FILLER.match(self.texts[index])

    def says(self, index: int, words: str) -> re.Match[str] | None:
        """The first find of a group of the standards' wordings in a turn."""
        return self.standards.words[words].search(self.texts[index])

    def topics(self, text: str) -> set[str]:
        """Topics of the standards whose words stand in a plain text."""
        return {key for key, pattern in self.standards.topics.items() if pattern.search(text)}

    def probability(self, index: int, emotions: Sequence[str]) -> float | None:
        """How probable it is that a turn has one of these emotions; None where nobody read it."""
        turn = self.turns[index]
        if turn.emotion is not None:
            score = 1.0 if turn.emotion_score is None else turn.emotion_score
            return score if turn.emotion in emotions else 1.0 - score
        if self.feelings is None:
            return None
        return sum(self.feelings[index].get(key, 0.0) for key in emotions)

    def alert(self, index: int) -> int | None:
        """Alert level of a customer's turn: the one given, or by the emotion; None where neither is known."""
        turn = self.turns[index]
        if turn.alert is not None:
            return turn.alert
        top: str
        if turn.emotion is not None:
            top, score = turn.emotion, 1.0 if turn.emotion_score is None else turn.emotion_score
        elif self.feelings is not None:
            feelings = self.feelings[index]
            top = max(feelings, key=lambda key: feelings[key])
            score = feelings[top]
        else:
            return None
        if top == "dissatisfied":
            return 2 if score >= self.standards.limit("soothing", "strong") else 1
        return {"angry": 3, "disappointed": 2, "anxious": 1}.get(top, 0)

    def fault(
        self, turn: int, match: re.Match[str] | None, reason: str, advice: str, severity: str | None = None
    ) -> Fault:
        """A fault that rests on a find in the turn, or on the whole of it."""
        start, end = match.span() if match else (0, len(self.turns[turn].text))
        return Fault(turn, start, end, reason, advice, severity)

    def timing(self, turn: int, reason: str, advice: str) -> Fault:
        """A fault that rests on times and not on words."""
        return Fault(turn, 0, 0, reason, advice)
