"""The nearest script of a library by character n-grams: how near an agent's words are to the shop's own."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from assist.inspection.view import pairs, plain

__all__ = ["NearestScript", "ScriptIndex"]

_SLOT = re.compile(r"\{[a-z_]+\}|\[[^\]]{1,6}\]|\d+")


class NearestScript(Protocol):
    """A library that tells how near a text is to one of its scripts."""

    def nearest(self, text: str) -> tuple[float, str]:
        """Similarity 0 to 1, and the id of the script."""


class ScriptIndex:
    """Scripts as bags of character pairs.

    How near a text is: the mean of two shares of its pairs, those that its nearest script has, and those that
    any script has. The first alone cannot tell a fact that no script holds (a size, a date) from slang; the
    second alone would let a shuffle of script words pass.

    Args:
        scripts: (id, text); slots are left out.

    Raises:
        ValueError: there are none.
    """

    def __init__(self, scripts: Iterable[tuple[str, str]]) -> None:
        self._ids: list[str] = []
        self._postings: dict[str, list[int]] = {}
        for identity, text in scripts:
            for pair in _pairs(text):
                self._postings.setdefault(pair, []).append(len(self._ids))
            self._ids.append(identity)
        if not self._ids:
            raise ValueError("scripts: are none; give at least one")

    def __len__(self) -> int:
        return len(self._ids)

    def nearest(self, text: str) -> tuple[float, str]:
        """How near a text is to the scripts, 0 to 1, and the id of the nearest ("" for none)."""
        own = _pairs(text)
        shared: Counter[int] = Counter()
        known = 0
        for pair in own:
            if pair in self._postings:
                known += 1
                shared.update(self._postings[pair])
        if not known:
            return 0.0, ""
        script, count = shared.most_common(1)[0]
        return (count + known) / (2 * len(own)), self._ids[script]


def _pairs(text: str) -> set[str]:
    return pairs(_SLOT.sub(" ", plain(text)))
