"""Which words and manners of agents go with a chat getting better or worse, without claiming too much.

Two questions about every reply that the customer answered:

- `calmed`: the customer's message before it was heated. Is the next one calm?
- `heated`: the message before it was calm. Is the next one heated?

For each manner (named beforehand) and each phrase (found in the log) the share of replies with it is compared
with the share without it. Replies of one chat are alike, so they count for fewer: numbers are divided by
their design effect. This is what goes together, not what causes: an agent who points to rules is also slow,
and an angry customer gets other answers than a worried one. Only an experiment could tell.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from assist.reports.intervals import newcombe
from data.phrases import count_phrases
from data.text import normalise
from experiments.agent_manners import MANNERS, Reply
from experiments.emotion_reader import HEATED, ReadChat
from experiments.emotion_report import FEWEST

__all__ = ["OUTCOMES", "Effect", "manner_effects", "phrase_effects", "replies_of"]

FALSE_DISCOVERIES = 0.1
Outcome = Literal["calmed", "heated"]
OUTCOMES: tuple[Outcome, Outcome] = ("calmed", "heated")
Shows = Callable[[Reply], bool]


@dataclass(frozen=True, slots=True)
class Effect:
    """How often the outcome followed replies with a feature, and the others."""

    name: str
    zh: str
    hits: int
    """Replies that the outcome followed, of those `replies` with the feature."""
    replies: int
    chats: int
    """With such a reply."""
    hits_without: int
    replies_without: int
    chats_without: int
    difference: float | None
    """Share with it less share without; None where either side has fewer than `FEWEST` chats."""
    low: float | None
    """95 % interval of the difference, see `newcombe`."""
    high: float | None
    q: float | None
    """The false discovery rate at which it would just be reported (Benjamini and Hochberg, 1995), over the
    features asked about together."""
    verdict: str
    """"better", "worse", "cannot tell" or "too few"."""


@dataclass(frozen=True, slots=True)
class _Side:
    hits: int
    replies: int
    chats: int
    effective: float
    """Replies divided by their design effect."""

    @property
    def rate(self) -> float:
        return self.hits / self.replies


def replies_of(read: Sequence[ReadChat], outcome: Outcome) -> list[Reply]:
    """Every reply that the question is about."""
    found = []
    for one in read:
        turns = one.chat.turns
        for place in range(len(one.indices) - 1):
            start, end = one.indices[place], one.indices[place + 1]
            before, after = (one.severities[at] >= HEATED for at in (place, place + 1))
            said = [turn for turn in turns[start + 1 : end] if turn.role == "agent"]
            if said and before == (outcome == "calmed"):
                text = " ".join(turn.text for turn in said)
                seconds = (said[0].sent_at - turns[start].sent_at).total_seconds()
                found.append(Reply(one.chat.id, one.chat.agent, text, seconds, after != before))
    return found


def manner_effects(read: Sequence[ReadChat], outcome: Outcome) -> list[Effect]:
    """The manners of `experiments.agent_manners`, strongest difference first; too few chats last."""
    features: list[tuple[str, str, Shows]] = [(one.key, one.zh, one.shown_by) for one in MANNERS]
    return _effects(replies_of(read, outcome), features, outcome)


def phrase_effects(read: Sequence[ReadChat], outcome: Outcome, longest: int = 5) -> list[Effect]:
    """Every run of 2 to `longest` characters that enough chats have, strongest difference first.

    Of runs that stand in the same replies only the longest is asked about.
    """
    replies = replies_of(read, outcome)
    texts = [normalise(reply.text) for reply in replies]
    counts = count_phrases(texts, 2, longest)
    words: dict[frozenset[int], str] = {}
    for word in sorted(counts, key=lambda word: (len(word), word)):
        rows = [row for row, text in enumerate(texts) if word in text] if counts[word] >= FEWEST else []
        if len({replies[row].chat for row in rows}) >= FEWEST:
            words[frozenset(rows)] = word  # longer ones come later and replace their parts
    return _effects(replies, [(word, word, _holds(word)) for word in words.values()], outcome)


def _holds(word: str) -> Shows:
    return lambda reply: word in normalise(reply.text)


def _side(replies: Sequence[Reply]) -> _Side:
    """Counts with the design effect of clusters: J. N. K. Rao and A. J. Scott, "A Simple Method for the
    Analysis of Clustered Binary Data", Biometrics 48, 1992; never below 1."""
    chats: dict[str, list[bool]] = defaultdict(list)
    for reply in replies:
        chats[reply.chat].append(reply.hit)
    hits, count, groups = sum(reply.hit for reply in replies), len(replies), len(chats)
    rate = hits / count if count else 0.0
    effect = 1.0
    if groups > 1 and 0 < rate < 1:
        spread = sum((sum(own) - len(own) * rate) ** 2 for own in chats.values())
        effect = max(groups / (groups - 1) * spread / (count * rate * (1 - rate)), 1.0)
    return _Side(hits, count, groups, count / effect)


def _effects(
    replies: Sequence[Reply], features: Sequence[tuple[str, str, Shows]], outcome: Outcome
) -> list[Effect]:
    sides = []
    for _, _, shows in features:
        have = [reply for reply in replies if shows(reply)]
        lack = [reply for reply in replies if not shows(reply)]
        sides.append((_side(have), _side(lack)))
    found = [
        _effect(name, zh, pair, q, outcome)
        for (name, zh, _), pair, q in zip(features, sides, _q_values(sides), strict=True)
    ]
    return sorted(found, key=lambda one: (one.difference is None, -abs(one.difference or 0), one.name))


def _q_values(sides: Sequence[tuple[_Side, _Side]]) -> list[float | None]:
    from statsmodels.stats.multitest import multipletests

    enough = [min(one.chats, other.chats) >= FEWEST for one, other in sides]
    p = [_p_value(*pair) for pair, said in zip(sides, enough, strict=True) if said]
    adjusted = iter(multipletests(p, method="fdr_bh")[1].tolist() if p else ())
    return [next(adjusted) if said else None for said in enough]


def _p_value(one: _Side, other: _Side) -> float:
    """Two-sided test of equal proportions on the effective numbers."""
    n, m = one.effective, other.effective
    common = (one.rate * n + other.rate * m) / (n + m)
    variance = common * (1 - common) * (1 / n + 1 / m)
    return math.erfc(abs(one.rate - other.rate) / math.sqrt(2 * variance)) if variance else 1.0


def _effect(name: str, zh: str, pair: tuple[_Side, _Side], q: float | None, outcome: Outcome) -> Effect:
    one, other = pair
    counts = one.hits, one.replies, one.chats, other.hits, other.replies, other.chats
    if q is None:
        return Effect(name, zh, *counts, None, None, None, None, "too few")
    difference = one.rate - other.rate
    low, high = newcombe((one.rate, one.effective), (other.rate, other.effective))
    verdict = "cannot tell"
    if q <= FALSE_DISCOVERIES and low * high > 0:
        verdict = "better" if (difference > 0) == (outcome == "calmed") else "worse"
    return Effect(name, zh, *counts, difference, low, high, round(q, 4), verdict)
