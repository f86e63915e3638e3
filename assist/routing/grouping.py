"""Open messages that ask the same, put into groups so that one answer serves them all.

Similarity joins two views: n-grams of characters, weighed by how rare they are among the open messages, and
the encoder's embedding. Messages whose categories differ are held apart a little. Groups come from average
linkage (nearest-neighbour chains; Murtagh 1983) cut at the threshold: two groups stay apart where their
messages are on average less alike than that.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from assist.reading import Embed, Reading
from assist.routing.rules import Grouping
from assist.routing.schema import MessageGroup, OpenMessage
from data.pii import mask
from data.text import normalise

__all__ = ["cluster", "cut", "group_messages", "lexical_similarity", "linkage", "similarity"]

Floats = NDArray[np.float32]
_SHORTEST, _LONGEST = 1, 3  # characters of an n-gram
_KEPT = 200  # characters of a message: what it asks stands at its beginning


def group_messages(
    messages: Sequence[OpenMessage],
    readings: Sequence[Reading | None],
    embed: Embed | None,
    rule: Grouping,
) -> list[MessageGroup]:
    """Group messages that ask the same.

    Args:
        messages: those that wait for an answer.
        readings: what the champions say of each, in their order; None where nobody asked them.
        embed: computes the vectors that readings lack; None groups by words (and categories) alone.
        rule: threshold and weights.

    Returns:
        All messages, each in one group; the largest group first, then in the order of the messages.

    Raises:
        ValueError: not one reading for each message.
    """
    if len(readings) != len(messages):
        raise ValueError(f"readings: {len(readings)} for {len(messages)} messages; give one or None for each")
    texts = [message.text for message in messages]
    categories = [reading.category if reading is not None else "" for reading in readings]
    alike = similarity(texts, _vectors(texts, readings, embed), categories, rule)
    groups = [_group(members, messages, categories, alike) for members in cluster(alike, rule.threshold)]
    place = {message.id: index for index, message in enumerate(messages)}
    return sorted(groups, key=lambda one: (-len(one.messages), min(place[key] for key in one.messages)))


def similarity(
    texts: Sequence[str], vectors: Floats | None, categories: Sequence[str], rule: Grouping
) -> Floats:
    """How much each pair asks the same, 0 to 1: float32 [messages, messages].

    Args:
        vectors: unit vectors [messages, width], or None for words alone.
        categories: keys; "" is like every category.
    """
    alike = lexical_similarity(texts)
    if vectors is not None:
        meaning = np.clip(vectors @ vectors.T, 0.0, 1.0)
        alike = (rule.lexical * alike + (1.0 - rule.lexical) * meaning).astype(np.float32)
    keys = np.array(categories, dtype=object)
    named = keys != ""
    differ = (keys[:, None] != keys[None, :]) & named[:, None] & named[None, :]
    found: Floats = np.clip(alike - rule.other_category * differ, 0.0, 1.0).astype(np.float32)
    np.fill_diagonal(found, 1.0)
    return found


def lexical_similarity(texts: Sequence[str]) -> Floats:
    """Cosine of TF-IDF over n-grams of 1 to 3 characters of normalised texts: float32 [texts, texts]."""
    counts = [_ngrams(normalise(text)[:_KEPT]) for text in texts]
    often = Counter(gram for one in counts for gram in one)
    columns = {gram: index for index, gram in enumerate(often)}
    matrix = np.zeros((len(texts), max(len(columns), 1)), dtype=np.float32)
    rarity = {gram: math.log((1 + len(texts)) / (1 + count)) + 1 for gram, count in often.items()}
    for row, one in enumerate(counts):
        weights = [(1 + math.log(count)) * rarity[gram] for gram, count in one.items()]
        matrix[row, [columns[gram] for gram in one]] = weights
    matrix /= np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-9)
    found: Floats = np.clip(matrix @ matrix.T, 0.0, 1.0)
    return found


def _ngrams(text: str) -> Counter[str]:
    return Counter(
        text[start : start + size]
        for size in range(_SHORTEST, _LONGEST + 1)
        for start in range(len(text) - size + 1)
    )


def _vectors(texts: Sequence[str], readings: Sequence[Reading | None], embed: Embed | None) -> Floats | None:
    known = [reading.embedding if reading is not None else None for reading in readings]
    missing = [index for index, vector in enumerate(known) if vector is None]
    if missing and embed is None:
        return None
    if missing and embed is not None:
        for index, vector in zip(missing, embed([texts[index] for index in missing]), strict=True):
            known[index] = vector
    found: Floats = np.stack([vector for vector in known if vector is not None]).astype(np.float32)
    return found


def cluster(alike: Floats, threshold: float) -> list[list[int]]:
    """Average linkage, cut where groups are less alike than `threshold`; members ascending, groups by first.

    Args:
        alike: symmetric similarities, 0 to 1.
    """
    return cut(len(alike), linkage(alike), threshold)


def linkage(alike: Floats) -> list[tuple[int, int, float]]:
    """All merges of average linkage: one member of each side, and how alike the sides are.

    Takes time and memory in the square of the number of messages.
    """
    count = len(alike)
    # A vector that is no number is like nothing; compared, it would never let the chain end.
    near = np.nan_to_num(alike.astype(np.float64), nan=0.0)
    np.fill_diagonal(near, -np.inf)
    size = np.ones(count)
    merges: list[tuple[int, int, float]] = []
    active = set(range(count))
    chain: list[int] = []
    while len(active) > 1:
        if not chain:
            chain.append(min(active))
        while True:
            top = chain[-1]
            best = int(np.argmax(near[top]))
            # The one before in the chain wins a tie, or the chain would run in a circle.
            if len(chain) > 1 and near[top, chain[-2]] >= near[top, best]:
                best = chain[-2]
            if len(chain) > 1 and best == chain[-2]:
                break
            chain.append(best)
        one, two = chain.pop(), chain.pop()
        merges.append((one, two, float(near[one, two])))
        joined = (size[one] * near[one] + size[two] * near[two]) / (size[one] + size[two])
        near[one], near[:, one] = joined, joined
        near[one, one] = -np.inf
        near[two], near[:, two] = -np.inf, -np.inf
        size[one] += size[two]
        active.discard(two)
    return merges


def cut(count: int, merges: Sequence[tuple[int, int, float]], threshold: float) -> list[list[int]]:
    """Join what merged at or above the threshold; no merge is closer than those below it."""
    parent = list(range(count))

    def root(one: int) -> int:
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    for one, two, closeness in merges:
        if closeness >= threshold:
            parent[root(one)] = root(two)
    groups: dict[int, list[int]] = {}
    for index in range(count):
        groups.setdefault(root(index), []).append(index)
    return sorted(groups.values(), key=lambda members: members[0])


def _group(
    members: Sequence[int], messages: Sequence[OpenMessage], categories: Sequence[str], alike: Floats
) -> MessageGroup:
    inside = alike[np.ix_(members, members)]
    total = inside.sum(axis=1)
    order = sorted(range(len(members)), key=lambda index: (-float(total[index]), members[index]))
    pairs = len(members) * (len(members) - 1)
    cohesion = float(inside.sum() - np.trace(inside)) / pairs if pairs else 1.0
    category = Counter(categories[index] for index in members).most_common(1)[0][0]
    return MessageGroup(
        messages=[messages[members[index]].id for index in order],
        example=mask(messages[members[order[0]]].text),
        category=category,
        cohesion=round(min(1.0, max(0.0, cohesion)), 4),
    )
