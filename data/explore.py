"""What customers write, in tables: counts, lengths, typical words, near-duplicates, emotion over a chat."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data.chats import Chat
from data.example import Example
from data.phrases import count_phrases, log_odds
from data.pii import mask
from data.split import near_duplicates
from data.taxonomy import Taxonomy
from data.text import normalise

__all__ = [
    "Length",
    "NearPair",
    "TypicalWord",
    "emotion_by_turn",
    "emotion_counts",
    "emotion_over_time",
    "lengths",
    "near_pairs",
    "typical_words",
]

LAST_TURN = 6
"""Customer turns from this one on are counted together: few chats are longer."""


@dataclass(frozen=True, slots=True)
class Length:
    """How long the messages of one group are, in characters."""

    group: str
    messages: int
    shortest: int
    median: float
    p95: float
    longest: int


@dataclass(frozen=True, slots=True)
class TypicalWord:
    """A run of characters that one group of messages uses more than the others do."""

    group: str
    word: str
    messages: int
    """Of the group that have it."""
    elsewhere: int
    """Of the other groups."""
    z: float
    """Log-odds in standard deviations; 1.96 is where chance alone becomes unlikely for a single word."""


@dataclass(frozen=True, slots=True)
class NearPair:
    """Two messages in almost the same words, with their categories; personal data is masked."""

    one: str
    category: str
    other: str
    category_of_other: str


def emotion_counts(examples: Sequence[Example], taxonomy: Taxonomy) -> dict[str, dict[str, int]]:
    """By category the number of messages of each emotion, most frequent category first."""
    table: dict[str, dict[str, int]] = {}
    for key, count in Counter(row.category for row in examples).most_common():
        table[key] = dict.fromkeys(taxonomy.emotion, 0)
        assert count
    for row in examples:
        table[row.category][row.emotion] += 1
    return table


def lengths(examples: Sequence[Example], field: str = "emotion") -> list[Length]:
    """Lengths of messages by a field of theirs, longest median first.

    Args:
        field: "emotion", "category" or "author".
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for row in examples:
        groups[getattr(row, field)].append(len(row.text))
    found = [
        Length(name, len(n), min(n), float(np.median(n)), float(np.percentile(n, 95)), max(n))
        for name, n in groups.items()
    ]
    return sorted(found, key=lambda one: (-one.median, one.group))


def typical_words(
    examples: Sequence[Example], field: str = "emotion", most: int = 8, seen: int = 12
) -> list[TypicalWord]:
    """For each group the words (runs of 2 to 4 characters) that tell it from the others, by message.

    Log-odds with an informative Dirichlet prior, see `data.phrases.log_odds`. A word that stands
    mostly where one above it does and shares a character with it ("会不" beside "不会") is left out.

    Args:
        most: words for each group.
        seen: messages that must have a word before it is looked at.
    """
    counts = {
        group: count_phrases([row.text for row in examples if getattr(row, field) == group])
        for group in dict.fromkeys(getattr(row, field) for row in examples)
    }
    everywhere: Counter[str] = Counter()
    for own in counts.values():
        everywhere.update(own)
    kept = {word: count for word, count in everywhere.items() if count >= seen}
    found = []
    for group, own in counts.items():
        here = {word: own[word] for word in kept}
        rest = {word: count - own[word] for word, count in kept.items()}
        scores = log_odds(here, rest)
        texts = [normalise(row.text) for row in examples if getattr(row, field) == group]
        chosen: list[str] = []
        for word in sorted(scores, key=lambda word: (-scores[word], word)):
            if len(chosen) == most or scores[word] <= 0:
                break
            if not _is_part(word, chosen, texts):
                chosen.append(word)
        found += [TypicalWord(group, word, here[word], rest[word], round(scores[word], 1)) for word in chosen]
    return found


def _is_part(word: str, chosen: Sequence[str], texts: Sequence[str]) -> bool:
    near = [other for other in chosen if set(other) & set(word)]
    having = [text for text in texts if word in text] if near else []
    return 2 * sum(any(other in text for other in near) for text in having) > len(having)


def near_pairs(examples: Sequence[Example], threshold: float = 0.85) -> list[NearPair]:
    """Pairs of messages in almost the same words (cosine of character trigrams), in the order of the rows.

    Turns of one chat are no pair: a customer who repeats themselves is no duplicate.
    """
    pairs = near_duplicates([row.text for row in examples], threshold)
    both = [(examples[left], examples[right]) for left, right in zip(*pairs, strict=True)]
    return [
        NearPair(mask(one.text), one.category, mask(two.text), two.category)
        for one, two in both
        if one.conversation is None or one.conversation != two.conversation
    ]


def emotion_by_turn(examples: Sequence[Example], taxonomy: Taxonomy) -> list[dict[str, float]]:
    """How emotions are spread over the customer's first, second, … turn: shares, and the number of messages.

    Only conversations count. The last entry holds every turn from the sixth on.
    """
    chats: dict[str, list[Example]] = defaultdict(list)
    for row in examples:
        if row.conversation:
            chats[row.conversation].append(row)
    turns: dict[int, list[str]] = defaultdict(list)
    for rows in chats.values():
        for place, row in enumerate(sorted(rows, key=lambda row: len(row.context)), 1):
            turns[min(place, LAST_TURN)].append(row.emotion)
    return [{"turn": place, **_shares(turns[place], taxonomy)} for place in sorted(turns)]


def emotion_over_time(
    chats: Sequence[Chat], taxonomy: Taxonomy, emotions: Mapping[tuple[str, int], str] | None = None
) -> dict[str, list[dict[str, float]]]:
    """Shares of emotions by hour of the day and by day, of the customer's turns of a log.

    Args:
        emotions: by (chat id, position of the turn); the reader's own where None.

    Returns:
        "hour" (0 to 23, those with messages) and "day" (`2026-11-05` as the number 20261105).

    Raises:
        ValueError: a customer turn has no emotion.
    """
    hours: dict[int, list[str]] = defaultdict(list)
    days: dict[int, list[str]] = defaultdict(list)
    for chat in chats:
        for index, turn in chat.messages:
            emotion = turn.emotion if emotions is None else emotions.get((chat.id, index))
            if emotion is None:
                raise ValueError(f"{chat.id}: turns[{index}]: has no emotion; give `emotions` from a model")
            hours[turn.sent_at.hour].append(emotion)
            days[int(turn.sent_at.strftime("%Y%m%d"))].append(emotion)
    return {
        "hour": [{"hour": key, **_shares(hours[key], taxonomy)} for key in sorted(hours)],
        "day": [{"day": key, **_shares(days[key], taxonomy)} for key in sorted(days)],
    }


def _shares(emotions: Sequence[str], taxonomy: Taxonomy) -> dict[str, float]:
    counts = Counter(emotions)
    return {"messages": len(emotions), **{key: counts[key] / len(emotions) for key in taxonomy.emotion}}
