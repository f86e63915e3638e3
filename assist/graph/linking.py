"""Entities in a message: names and aliases letter by letter, by sound, and with a slip of the finger.

By sound means toneless pinyin, with the usual confusions (z/zh, n/ng) levelled, of Chinese characters that
are homophones (包温杯) and of pinyin typed out (baowenbei). A slip is an edit distance by RapidFuzz; the last
character, which names the thing, must be right: an electric water heater is no electric kettle.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from pypinyin import Style, lazy_pinyin
from rapidfuzz import fuzz
from rapidfuzz.distance import Levenshtein

from assist.graph.catalogue import Attribute, Entity
from assist.graph.schema import Mention

__all__ = ["Linker", "fold"]

_How = Literal["exact", "pinyin", "fuzzy"]
_CHINESE = re.compile(r"[一-鿿]")
_LATIN = re.compile(r"[a-z]{5,}")
_LEVEL = ((re.compile(r"^([zcs])h"), r"\1"), (re.compile(r"^(.*[aei])ng$"), r"\1n"))
_LEAST = 0.75  # of a slip: one wrong character in four


@lru_cache(maxsize=1)
def _to_simplified() -> Any:
    # Imported late, as in data.text: the dictionary takes a moment to load.
    from opencc import OpenCC

    return OpenCC("t2s")


def fold(text: str) -> tuple[str, list[int]]:
    """Text as it is compared: half width, lower case, simplified.

    Returns:
        The text, and for each of its characters the place in the original that it comes from.
    """
    characters: list[str] = []
    places: list[int] = []
    for place, character in enumerate(text):
        for one in unicodedata.normalize("NFKC", character).lower():
            characters.append(one)
            places.append(place)
    folded = "".join(characters)
    if not folded.isascii():
        simplified = _to_simplified().convert(folded)
        folded = simplified if len(simplified) == len(folded) else folded
    return folded, places


def _sounds(text: str) -> list[str]:
    """A syllable for each character, levelled; characters that are not Chinese stand for themselves."""
    syllables = lazy_pinyin(text, style=Style.NORMAL, errors=_apart)
    return [_level(syllable) for syllable in syllables]


def _apart(other: str) -> Any:
    # pypinyin takes a list of syllables, which its annotation leaves out.
    return list(other)


def _level(syllable: str) -> str:
    for pattern, put in _LEVEL:
        syllable = pattern.sub(put, syllable)
    return syllable


@dataclass(frozen=True, slots=True)
class _Name:
    """One way of calling an entity."""

    words: str
    id: str
    type: Literal["product", "kind", "coupon", "attribute"]
    zh: str
    sounds: tuple[str, ...]
    typed: str
    """Its pinyin without gaps; empty where it is not all Chinese."""


_Found = tuple[int, int, _Name, float, _How]
"""Start and end in the folded message, what is named, score, how."""


class Linker:
    """Finds what messages name.

    Args:
        entities: products, kinds and coupons.
        attributes: what may be asked of a product.
    """

    def __init__(self, entities: Mapping[str, Entity], attributes: Mapping[str, Attribute]) -> None:
        names: dict[tuple[str, str], _Name] = {}
        for entity in entities.values():
            for words in (entity.zh, *entity.aliases):
                names.setdefault((entity.id, words), _name(words, entity.id, entity.type, entity.zh))
        self._entities = list(names.values())
        self._parents = {entity.id: entity.parents for entity in entities.values()}
        self._attributes = [
            _name(words, attribute.key, "attribute", attribute.zh)
            for attribute in attributes.values()
            for words in (attribute.zh, *attribute.aliases)
        ]
        self._exact = [_alternation(group) for group in (self._entities, self._attributes)]
        self._typed = {name.typed: name for name in self._entities if len(name.typed) >= 5}
        # Single characters are too often part of another word for their sound to mean anything.
        self._by_sound = [name for name in self._entities if len(name.sounds) >= 2 and name.typed]
        self._long = [name for name in self._entities if len(name.words) >= 4]

    def link(self, text: str) -> list[Mention]:
        """Entities that a message names, in its order, none overlapping another of its sort.

        Where names overlap, one found letter by letter comes before one found by sound, that before a slip,
        and the longer one before the shorter.
        """
        folded, places = fold(text)
        entities = list(self._letters(folded, 0))
        for more in (self._heard(folded), self._slips(folded)):
            for one in sorted(more, key=lambda one: (one[0] - one[1], -one[3], one[0], one[2].id)):
                touched = [old for old in entities if one[0] < old[1] and old[0] < one[1]]
                if all(self._narrows(one, old) for old in touched):
                    entities = [old for old in entities if old not in touched] + [one]
        found = [*entities, *self._letters(folded, 1)]
        return [
            Mention(
                id=name.id, type=name.type, zh=name.zh, words=text[places[start] : places[end - 1] + 1],
                start=places[start], end=places[end - 1] + 1, score=round(score, 3), how=how,
            )
            for start, end, name, score, how in sorted(found, key=lambda one: (one[0], -one[1]))
        ]  # fmt: skip

    def _narrows(self, one: _Found, old: _Found) -> bool:
        """Whether a find says more than a shorter one inside it: 护严台灯 is a product, 台灯 a kind."""
        inside = one[0] <= old[0] and old[1] <= one[1] and one[1] - one[0] > old[1] - old[0]
        waiting, above = [one[2].id], set[str]()
        while waiting:
            key = waiting.pop()
            above.add(key)
            waiting.extend(parent for parent in self._parents.get(key, ()) if parent not in above)
        return inside and old[2].id in above

    def _letters(self, folded: str, group: int) -> Iterator[_Found]:
        pattern, names = self._exact[group]
        for match in pattern.finditer(folded) if names else ():
            yield match.start(), match.end(), names[match.group()], 1.0, "exact"

    def _heard(self, folded: str) -> Iterator[_Found]:
        for match in _LATIN.finditer(folded):
            for typed, name in self._typed.items():
                if (at := match.group().find(typed)) >= 0:
                    yield match.start() + at, match.start() + at + len(typed), name, 0.9, "pinyin"
        if not _CHINESE.search(folded):
            return
        sounds = _sounds(folded)
        if len(sounds) != len(folded):  # pypinyin reads some rare characters as two syllables
            sounds = [_sounds(character)[0] for character in folded]
        where: dict[str, list[int]] = {}
        for place, sound in enumerate(sounds):
            where.setdefault(sound, []).append(place)
        for name in self._by_sound:
            length = len(name.sounds)
            for start in where.get(name.sounds[0], ()):
                end = start + length
                if tuple(sounds[start:end]) != name.sounds:
                    continue
                same = sum(a == b for a, b in zip(folded[start:end], name.words, strict=True))
                # Two syllables are shared by many words: one of the characters must be right as well.
                if length > 2 or same:
                    yield start, end, name, 0.8 + 0.1 * same / length, "pinyin"

    def _slips(self, folded: str) -> Iterator[_Found]:
        for name in self._long:
            best = fuzz.partial_ratio_alignment(name.words, folded, score_cutoff=60)
            if best is None:
                continue
            for start in range(max(0, best.dest_start - 1), best.dest_start + 2):
                for end in range(max(start + 2, best.dest_end - 1), min(len(folded), best.dest_end + 1) + 1):
                    score = Levenshtein.normalized_similarity(name.words, folded[start:end])
                    right = folded[end - 1] == name.words[-1] and folded[start] == name.words[0]
                    if right and _LEAST <= score < 1:
                        yield start, end, name, 0.9 * score, "fuzzy"


def _name(words: str, key: str, kind: Any, zh: str) -> _Name:
    folded, _ = fold(words)
    sounds = tuple(_sounds(folded))
    chinese = all(_CHINESE.match(character) for character in folded)
    typed = "".join(lazy_pinyin(folded)) if chinese else ""
    return _Name(folded, key, kind, zh, sounds if len(sounds) == len(folded) else (), typed)


def _alternation(names: Iterable[_Name]) -> tuple[re.Pattern[str], dict[str, _Name]]:
    # An alias of two entities names the one that stands first in the tables.
    by_words: dict[str, _Name] = {}
    for name in names:
        by_words.setdefault(name.words, name)
    longest_first = sorted(by_words, key=lambda words: (-len(words), words))
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)"), by_words
