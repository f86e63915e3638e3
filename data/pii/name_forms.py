"""Whether some characters have the form of a Chinese name, given how much the context vouches for it.

A name is a known surname and one to three characters. Word lists tell names from everyday words
that begin with a surname (高中, 任何); the right edge must not cut a word in two.
"""

from __future__ import annotations

import re

from data.pii.text import HAN
from data.pii.words import (
    COMMON,
    COMPOUND_SURNAMES,
    EVERYDAY_SURNAMES,
    FOLLOWING_CHARS,
    FOLLOWING_WORDS,
    GIVEN,
    NAMELIKE,
    NEVER,
    REGION,
    SURNAMES,
)

__all__ = ["HAN_CHAR", "HAN_WORD", "boundary", "name_end", "surname"]

HAN_CHAR = re.compile(HAN)
HAN_WORD = re.compile(f"{HAN}+")


def boundary(text: str, pos: int) -> int:
    """Rate the right edge of a possible name: 2 punctuation or end, 1 a word that may follow."""
    if pos >= len(text) or not HAN_CHAR.match(text, pos):
        return 2
    follows = (
        text[pos] in FOLLOWING_CHARS or text[pos : pos + 2] in FOLLOWING_WORDS or REGION.match(text, pos)
    )
    return 1 if follows else 0


def surname(text: str, pos: int) -> int:
    """Return the length of the surname at `pos`, 0 if there is none."""
    if text[pos : pos + 2] in COMPOUND_SURNAMES:
        return 2
    return 1 if text[pos : pos + 1] in SURNAMES else 0


def _name_score(text: str, pos: int, end: int, level: int, soft: int) -> int:
    """Rate `text[pos:end]` as a name, -1 if it is none (see `name_end`)."""
    family = surname(text, pos)
    token, given = text[pos:end], text[pos + family : end]
    if not HAN_WORD.fullmatch(given) or NEVER & set(given) or given == "都":
        return -1
    edge = boundary(text, end)
    usual = GIVEN.issuperset(given)
    if len(given) == 3 and not (family == 1 and level == 3 and edge == 2 and usual):
        return -1
    if family == 1 and (token in COMMON or token[:2] in COMMON):
        namelike = len(given) == 2 and token not in COMMON and given[0] in NAMELIKE
        namelike = namelike and token[0] not in EVERYDAY_SURNAMES
        if not (edge == 2 and usual and (level == 3 or namelike)):
            return -1
    # three characters that stand alone may have one that is rare in names
    alone = len(given) == 2 and edge == 2 and bool(GIVEN.intersection(given))
    if level < 3 and token[0] in EVERYDAY_SURNAMES and not (usual or (level == 2 and alone)):
        return -1
    if level == 2 and edge == 0 and not usual:
        return -1
    if level == 1:
        lenient = soft > (0 if len(given) == 2 else 1 + (token[0] in EVERYDAY_SURNAMES))
        if not (usual or (alone and token[0] not in EVERYDAY_SURNAMES)) or edge + lenient < 2:
            return -1
    opens = len(given) == 2 and edge < 2 and boundary(text, end - 1) == 1
    if opens and (given[1] in FOLLOWING_CHARS or given[1] not in GIVEN):
        return -1  # 王敏想…: the second character opens the next word
    if level == 3 and edge == 0 and not usual:
        return 0
    return edge * 2 + usual + (len(given) == 2)


def name_end(text: str, pos: int, level: int, soft: int = 0) -> int:
    """Return where a name starting at `pos` ends, or -1.

    `level` is how much the context vouches for a name: 3 after a label and a colon, 2 after a label
    or beside a phone, 1 where only the form of the name speaks for it. `soft` lets a name be
    followed by a word at level 1: at 1 three characters (我是…的妈妈), at 2 two as well.
    """
    family = surname(text, pos)
    best, best_end = -1, -1
    for size in (2, 1, 3) if family else ():
        end = pos + family + size
        score = _name_score(text, pos, end, level, soft) if end <= len(text) else -1
        if score > best:
            best, best_end = score, end
    return best_end
