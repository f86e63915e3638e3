"""Pinyin of texts: what sounds alike is alike, and what is typed in letters is found.

Folded pinyin: initials and finals that many speakers and input methods mix up (zh/z, n/l, ang/an …) are one.
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["initials", "split_letters", "syllables"]

_FOLD = (
    (re.compile(r"^(z|c|s)h"), r"\1"),
    (re.compile(r"^n(?=[aeiouv])"), "l"),
    (re.compile(r"(a|e|i)ng$"), r"\1n"),
)
# Initials and finals of Mandarin; a syllable is a pair that the language has, or nearly: a few pairs too many
# do no harm, since they must still meet a text.
_INITIALS = [
    "zh",
    "ch",
    "sh",
    "b",
    "p",
    "m",
    "f",
    "d",
    "t",
    "n",
    "l",
    "g",
    "k",
    "h",
    "j",
    "q",
    "x",
    "r",
    "z",
    "c",
    "s",
    "y",
    "w",
]
_FINALS = [
    "iang",
    "iong",
    "uang",
    "ang",
    "eng",
    "ing",
    "ong",
    "uai",
    "uan",
    "iao",
    "ian",
    "uo",
    "ua",
    "ui",
    "un",
    "ue",
    "ve",
    "ie",
    "iu",
    "in",
    "ia",
    "ei",
    "er",
    "en",
    "an",
    "ao",
    "ou",
    "ai",
    "a",
    "o",
    "e",
    "i",
    "u",
    "v",
]
_ALONE = ["ang", "eng", "ai", "an", "ao", "ei", "en", "er", "ou", "a", "o", "e"]
_SYLLABLE = re.compile(f"(?:{'|'.join(_INITIALS)})(?:{'|'.join(_FINALS)})|{'|'.join(_ALONE)}")


@lru_cache(maxsize=65536)
def _of_character(character: str) -> str:
    # Imported late: its tables take 0.3 s and 60 MB, and only a process that searches needs them.
    from pypinyin import Style, lazy_pinyin

    return str(lazy_pinyin(character, style=Style.NORMAL)[0]).replace("ü", "v")


def _fold(syllable: str) -> str:
    for pattern, plain in _FOLD:
        syllable = pattern.sub(plain, syllable)
    return syllable


def syllables(run: str) -> list[str]:
    """Folded syllable of each Chinese character."""
    return [_fold(_of_character(character)) for character in run]


def initials(run: str) -> str:
    """First letters: 保温杯 -> "bwb"."""
    return "".join(_of_character(character)[:1] for character in run)


@lru_cache(maxsize=4096)
def split_letters(letters: str) -> tuple[str, ...]:
    """Letters as folded syllables ("baowenbei" -> bao, wen, bei), the fewest; () where they are no pinyin.

    One syllable alone is taken for a word of another language.
    """
    if not letters.isascii() or not letters.isalpha() or len(letters) > 60:
        return ()
    best: list[tuple[str, ...] | None] = [()] + [None] * len(letters)
    for end in range(1, len(letters) + 1):
        for start in range(max(0, end - 6), end):
            before = best[start]
            if before is None or not _SYLLABLE.fullmatch(letters[start:end]):
                continue
            found = (*before, letters[start:end])
            if best[end] is None or len(found) < len(best[end] or ()):
                best[end] = found
    whole = best[-1] or ()
    return tuple(map(_fold, whole)) if len(whole) > 1 else ()
