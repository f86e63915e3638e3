"""Sentences of passages that answer a question, picked and put in order."""

from __future__ import annotations

from collections.abc import Sequence

from assist.knowledge.documents import sentences_of
from assist.knowledge.endpoint import Written
from assist.knowledge.index import Index, concept
from assist.knowledge.question import Question, read_question
from assist.knowledge.schema import CitedPassage
from assist.knowledge.terms import fold, terms

__all__ = ["extract"]

_SHORT = 110
"""A section that is no longer is given whole: its last sentence is often the exception."""
_LONGEST = 240
_SENTENCES = 4
_CLOSE = 0.9
"""Share of the best passage's score from which a second one may add a sentence."""
_HALF = 0.6
_GOES_ON = ("但", "不过", "除", "仍", "超过", "其中", "这些", "也不", "否则")


def extract(question: str, passages: Sequence[CitedPassage], index: Index) -> list[Written]:
    """The sentences to answer with; at least one.

    Args:
        question: as the customer wrote it.
        passages: found for it, best first; at least one.
        index: of the base, for the weight of words.

    Returns:
        Sentences in the order of the passages and of their texts, each with the number of its passage.
    """
    read = read_question(question, index)
    chosen: list[tuple[int, int, str]] = []
    best = passages[0]
    lines = sentences_of(best.text)
    whole = len(best.text) <= _SHORT or (best.kind == "操作指南" and len(best.text) <= _LONGEST)
    if whole:
        chosen += [(best.number, place, line) for place, line in enumerate(lines)]
    else:
        chosen += _best(best.number, lines, read, index)
    needed = max((_worth(line, read, index) for _, _, line in chosen), default=0.0)
    for other in passages[1:]:
        if other.score < _CLOSE * best.score or whole:
            break
        for place, line in enumerate(sentences_of(other.text)):
            if _worth(line, read, index) > needed and sum(len(one) for _, _, one in chosen) < _LONGEST:
                chosen.append((other.number, place, line))
    return [Written(line, (number,)) for number, _, line in sorted(chosen)]


def _best(number: int, lines: Sequence[str], read: Question, index: Index) -> list[tuple[int, int, str]]:
    worths = [_worth(line, read, index) for line in lines]
    most = max(worths)
    order = sorted(range(len(lines)), key=lambda place: (-worths[place], place))
    kept: set[int] = set()
    for place in order:
        if kept and (worths[place] < _HALF * most or len(kept) >= _SENTENCES):
            break
        if kept and sum(len(lines[one]) for one in kept) + len(lines[place]) > _LONGEST:
            continue
        kept.add(place)
    # A sentence that limits the one before it belongs to it.
    for place in list(kept):
        if place + 1 < len(lines) and lines[place + 1].startswith(_GOES_ON):
            kept.add(place + 1)
    return [(number, place, lines[place]) for place in sorted(kept)]


def _worth(line: str, read: Question, index: Index) -> float:
    """Share of the question's weight that a sentence speaks of."""
    text = fold(line)
    known = {*terms(text), *(concept(group) for group, _, _ in index.synonyms.spans(text))}
    total = sum(unit.weight * index.importance(unit) for unit in read.units)
    found = sum(
        unit.weight
        * index.importance(unit)
        * max((worth for term, worth in unit.alternatives.items() if term in known), default=0.0)
        for unit in read.units
    )
    return found / total if total else 0.0
