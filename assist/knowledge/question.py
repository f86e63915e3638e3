"""A customer's question as units to look for: as written, as it sounds, as others would say it.

Typing errors come in four kinds, each with its own remedy: another character of the same sound (保文杯), a
wrong character (保湿杯: a known word one character away), pinyin instead of characters (baowenbei), and first
letters (bwb). What is found that way counts less than what was written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from rapidfuzz import process
from rapidfuzz.distance import OSA
from rapidfuzz.fuzz import ratio

from assist.knowledge.index import Index, Unit, concept
from assist.knowledge.pinyin import split_letters, syllables
from assist.knowledge.terms import FUNCTION_CHARACTERS, bigrams, fold, runs, single, strip_talk

__all__ = ["Question", "read_question"]

_SOUND_OF_UNKNOWN, _SOUND_OF_KNOWN = 0.8, 0.25
_CONCEPT = 0.9
_CORRECTED = 0.75
_LETTERS, _INITIALS = 0.85, 0.7
_CLOSE_TOKEN = 0.75
_CONCEPT_WEIGHT = 0.9
_NUMBER_WEIGHT = 0.6
_CODE_WEIGHT = 1.5
_SINGLE = 0.25


@dataclass(frozen=True, slots=True)
class Question:
    """A question, read.

    Attributes:
        text: folded, known typing errors corrected.
        units: what to look for.
        products: names of the products it speaks of.
        readings: words that were read in a way other than written: ("baowenbei", "保温杯").
    """

    text: str
    units: tuple[Unit, ...]
    products: frozenset[str]
    readings: tuple[tuple[str, str], ...]

    @property
    def wish(self) -> str:
        """What questions of one wish have in common: the text without its frame and blanks."""
        return "".join(run for _, run in runs(strip_talk(self.text)))


def read_question(text: str, index: Index) -> Question:
    """Read a question against what the passages know.

    Args:
        text: as the customer wrote it.
        index: vocabulary, synonyms and products.

    Returns:
        A question without units where the text holds nothing to look for.
    """
    folded = index.synonyms.correct(fold(text))
    units: list[Unit] = []
    readings: dict[str, str] = {}
    spans = index.synonyms.spans(folded)
    for start, run in runs(strip_talk(folded)):
        if run[0] > "\u3000":
            units += _characters(run, start, index)
            units += _corrected(run, start, index, readings, spans)
        else:
            units += _token(run, start, index, readings)
    units += [
        Unit({concept(group): _CONCEPT}, start, end, _CONCEPT_WEIGHT)
        for group, start, end in spans
        if concept(group) in index.postings
    ]
    products = index.named(f"{folded} {' '.join(readings.values())}")
    return Question(folded, tuple(units), products, tuple(readings.items()))


def _characters(run: str, start: int, index: Index) -> list[Unit]:
    units = []
    for offset, character in enumerate(run):
        place = start + offset
        alone = len(run) == 1
        if character not in FUNCTION_CHARACTERS:
            alike = {single(character): 0.7 if alone else 0.5}
            units.append(Unit(alike, place, place + 1, 0.6 if alone else _SINGLE))
        pair = run[offset : offset + 2]
        if len(pair) == 2 and (pair in index.postings or not FUNCTION_CHARACTERS & set(pair)):
            worth = _SOUND_OF_KNOWN if pair in index.postings else _SOUND_OF_UNKNOWN
            alternatives = {like: worth for like in index.sounds.get(" ".join(syllables(pair)), ())}
            units.append(Unit(alternatives | {pair: 1.0}, place, place + 2))
    return units


_TURNS = frozenset("没不未别无非莫勿才刚已")
"""Characters that are never a slip of the pen for another."""


def _corrected(
    run: str, start: int, index: Index, readings: dict[str, str], spans: Sequence[tuple[int, int, int]]
) -> list[Unit]:
    """Windows that no passage holds and that are one character away from a known word."""
    units = []
    for length in (5, 4, 3):
        for offset in range(len(run) - length + 1):
            window = run[offset : offset + length]
            place = start + offset
            clear = all(end <= place or begin >= place + length for _, begin, end in spans if end - begin > 1)
            if index.knows(window) or not clear:
                continue
            # The error must stand inside the word: both words begin or end alike.
            near = dict.fromkeys([*index.edges.get(window[0], ()), *index.edges.get(f"~{window[-1]}", ())])
            for word in near:
                if abs(len(word) - length) > 1:
                    continue
                if (
                    OSA.distance(word, window, score_cutoff=1) == 1
                    and not word.startswith(window)
                    and _unexplained(run, offset, window, word, index)
                ):
                    readings.setdefault(window, word)
                    units += [
                        Unit({pair: _CORRECTED}, start + offset, start + offset + length, 0.5)
                        for pair in bigrams(word)
                    ]
                    break
    return units


def _unexplained(run: str, offset: int, window: str, word: str, index: Index) -> bool:
    """Whether the character that differs is in no pair that the passages know: 烧水|跳闸 is no 烧水壶; and is
    none that turns the meaning: 才收到 is no 没收到."""
    if len(window) != len(word):
        return not (set(window) ^ set(word)) & _TURNS
    differs = next(n for n, (a, b) in enumerate(zip(window, word, strict=True)) if a != b)
    if {window[differs], word[differs]} & _TURNS:
        return False
    place = offset + differs
    pairs = (run[max(place - 1, 0) : place + 1], run[place : place + 2])
    return not any(len(pair) == 2 and pair in index.postings for pair in pairs)


def _token(token: str, start: int, index: Index, readings: dict[str, str]) -> list[Unit]:
    end = start + len(token)
    if token[0].isdigit():
        return [Unit({token: 1.0}, start, end, _NUMBER_WEIGHT)]
    if token in index.postings:
        return [Unit({token: 1.0}, start, end, _CODE_WEIGHT)]
    if words := index.initials.get(token) if len(token) > 1 else None:
        readings[token] = words[0]
        pairs = {pair: _INITIALS for word in words[:3] for pair in bigrams(word)}
        return [Unit(pairs, start, end, float(min(len(words[0]) - 1, 3)))]
    sounds = split_letters(token)
    found: list[Unit] = []
    for first, second in pairwise(sounds):
        if alike := index.sounds.get(f"{first} {second}"):
            found.append(Unit(dict.fromkeys(alike, _LETTERS), start, end))
    if found:
        whole = next((word for word in index.lexicon if tuple(syllables(word)) == sounds), None)
        readings[token] = whole or "".join(next(iter(unit.alternatives))[0] for unit in found)
        return found
    tokens = [term for term in index.postings if term[0].isascii() and term[0].isalpha()]
    close = process.extractOne(token, tokens, scorer=ratio, score_cutoff=75) if len(token) > 2 else None
    if close is not None:
        readings[token] = close[0]
        return [Unit({close[0]: _CLOSE_TOKEN}, start, end)]
    return [Unit({token: 1.0}, start, end)]
