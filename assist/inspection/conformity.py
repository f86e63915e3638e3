"""The nearest script of a library by character n-grams: how near an agent's words are to what the shop would say."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Protocol

from assist.inspection.view import pairs, plain

__all__ = ["NearestScript", "ScriptIndex"]

_SLOT = re.compile(r"\{[a-z_]+\}|\[[^\]]{1,6}\]")


class NearestScript(Protocol):
    """A library that tells how near a text is to one of its scripts."""

    def nearest(self, text: str) -> tuple[float, str]:
        """Similarity 0 to 1, and the id of the script."""


class ScriptIndex:
    """Scripts as bags of character pairs.

    The similarity of a text is the share of its pairs, weighted by rarity, that its nearest script has: a short
    sentence taken from a long script is in order. Pairs that no script has weigh as the rarest.

    Args:
        scripts: (id, text); slots are left out.
    """

    def __init__(self, scripts: Iterable[tuple[str, str]]) -> None:
        self._ids: list[str] = []
        self._postings: dict[str, list[int]] = defaultdict(list)
        for identity, text in scripts:
            for pair in pairs(_SLOT.sub(" ", plain(text))):
                self._postings[pair].append(len(self._ids))
            self._ids.append(identity)
        if not self._ids:
            raise ValueError("scripts: are none; give at least one")
        total = len(self._ids)
        self._weights = {pair: math.log(1 + total / len(own)) for pair, own in self._postings.items()}
        self._rarest = math.log(1 + total)

    def __len__(self) -> int:
        return len(self._ids)

    def nearest(self, text: str) -> tuple[float, str]:
        """The script that shares most of a text's weight, and how much of it."""
        found: Counter[int] = Counter()
        total = 0.0
        for pair in pairs(_SLOT.sub(" ", plain(text))):
            weight = self._weights.get(pair)
            total += self._rarest if weight is None else weight
            if weight is not None:
                for script in self._postings[pair]:
                    found[script] += weight  # type: ignore[assignment]
        if not found:
            return 0.0, ""
        script, score = found.most_common(1)[0]
        return score / total, self._ids[script]
