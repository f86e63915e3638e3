"""Flooding, harassment and signs of fraud in a chat, each with the words that it rests on.

A signal is a hint for a person: it neither blocks nor answers anybody.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache

from assist.routing.rules import Contradiction, RoutingRules
from assist.routing.schema import RouteTurn, Signal, SignalResponse
from data.pii import mask
from data.text import normalise

__all__ = ["find_signals"]

_LONGEST = 60  # of the quoted words
_PUNCTUATION = re.compile(r"[\s!?。.,，、~…;；:：*=_#^\-]+")


def find_signals(turns: Sequence[RouteTurn], rules: RoutingRules) -> SignalResponse:
    """Look through the customer's turns of a chat.

    Args:
        turns: oldest first.

    Returns:
        Signals, the strongest first; one for each rule, with all turns that it rests on.
    """
    said = [(index, normalise(turn.text)) for index, turn in enumerate(turns) if turn.role == "customer"]
    found = [*_flooding(turns, rules), *_words(said, rules), *_contradictions(said, rules)]
    found.sort(key=lambda signal: (-signal.level, signal.turns, signal.name))
    return SignalResponse(
        level=max((signal.level for signal in found), default=0), signals=found, version=rules.version
    )


def _quote(words: str) -> str:
    return mask(words.strip())[:_LONGEST]


def _words(said: Sequence[tuple[int, str]], rules: RoutingRules) -> Iterator[Signal]:
    for rule in rules.signals:
        hits: list[tuple[int, str]] = []
        for index, text in said:
            rest = rule.unless.sub(" ", text) if rule.unless else text
            if match := rule.any.search(rest):
                hits.append((index, _quote(match.group())))
        if hits:
            yield Signal(
                kind=rule.kind, name=rule.name, level=rule.level, reason=f"{rule.zh}：“{hits[0][1]}”",
                turns=[index for index, _ in hits], words=[words for _, words in hits],
            )  # fmt: skip


def _flooding(turns: Sequence[RouteTurn], rules: RoutingRules) -> Iterator[Signal]:
    rule = rules.flooding
    said = [
        (index, turn.at, _PUNCTUATION.sub("", normalise(turn.text)) or "…")
        for index, turn in enumerate(turns)
        if turn.role == "customer"
    ]
    if len(said) < min(rule.messages, rule.repeats):
        return
    timed = all(at is not None for _, at, _ in said)
    best: tuple[int, list[tuple[int, str]]] = (0, [])
    repeated: tuple[int, list[tuple[int, str]]] = (0, [])
    start = 0
    for end in range(len(said)):
        if timed:
            while (said[end][1] or 0.0) - (said[start][1] or 0.0) > rule.window:
                start += 1
        elif end and any(turn.role == "agent" for turn in turns[said[end - 1][0] : said[end][0]]):
            start = end
        window = [(index, text) for index, _, text in said[start : end + 1]]
        if len(window) > best[0]:
            best = (len(window), window)
        words, count = Counter(text for _, text in window).most_common(1)[0]
        if count > repeated[0]:
            repeated = (count, [one for one in window if one[1] == words])
    within = f"{rule.window:g}秒内" if timed else "没有等到回复就"
    if best[0] >= rule.messages:
        yield Signal(
            kind="flooding", name="flooding.rate", level=rule.level,
            reason=f"{within}连发{best[0]}条消息", turns=[index for index, _ in best[1]],
            words=[_quote(text) for _, text in best[1]],
        )  # fmt: skip
    if repeated[0] >= rule.repeats:
        yield Signal(
            kind="flooding", name="flooding.repeat", level=rule.level,
            reason=f"{within}重复{repeated[0]}次：“{_quote(repeated[1][0][1])}”",
            turns=[index for index, _ in repeated[1]], words=[_quote(text) for _, text in repeated[1]],
        )  # fmt: skip


@lru_cache(maxsize=1024)
def _second(pattern: str, thing: str) -> re.Pattern[str]:
    return re.compile(pattern.replace("{thing}", re.escape(thing)))


def _contradictions(said: Sequence[tuple[int, str]], rules: RoutingRules) -> Iterator[Signal]:
    for rule in rules.contradictions:
        pair = next(_pairs(said, rule, rules.correction), None)
        if pair is not None:
            (one, words), (two, other) = pair
            yield Signal(
                kind="contradiction", name=f"contradiction.{rule.name}", level=2,
                reason=f"{rule.zh}：“{words}”和“{other}”", turns=[one, two], words=[words, other],
            )  # fmt: skip


def _pairs(
    said: Sequence[tuple[int, str]], rule: Contradiction, correction: re.Pattern[str] | None
) -> Iterator[tuple[tuple[int, str], tuple[int, str]]]:
    """Pairs of turns, the earlier first, of which one says the first and the other the second thing."""
    for place, (index, text) in enumerate(said):
        match = rule.first.search(text)
        if not match:
            continue
        thing = match.groupdict().get("thing") or ""
        second = _second(rule.second, thing)
        for other_place, (other, other_text) in enumerate(said):
            if other_place == place or (rule.in_order and other_place < place):
                continue
            hit = second.search(other_text)
            if not hit:
                continue
            # What was said in between may take the later statement back as well.
            earlier, later = sorted((place, other_place))
            since = " ".join(one for _, one in said[earlier + 1 : later + 1])
            if (rule.unless and rule.unless.search(since)) or (correction and correction.search(since)):
                continue
            one, two = (index, _quote(match.group())), (other, _quote(hit.group()))
            yield (one, two) if place < other_place else (two, one)
