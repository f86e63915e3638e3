"""Where the seconds of a training run go: parts that exclude what is timed within them.

`Clock.wrap` puts a stopwatch around a method of somebody else's object, so that a run is timed as it stands.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

__all__ = ["PARTS", "Clock"]

PARTS = ("tokenising", "data", "forward", "backward", "optimiser", "validation", "checkpoint", "other")
"""Of a run from texts to a trained network; `other` is loading, and what no stopwatch is around."""


class Clock:
    """Seconds by part. Parts may nest: the inner one's time is not the outer one's."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self.now = now
        self.parts: dict[str, float] = {}
        self._open: list[str] = []
        self._since = 0.0
        self._whole = 0

    @contextmanager
    def part(self, name: str, whole: bool = False) -> Iterator[None]:
        """Time the block under this name.

        Args:
            whole: parts within it are counted as this one.
        """
        self.begin(name, whole)
        try:
            yield
        finally:
            self.end(whole)

    def begin(self, name: str, whole: bool = False) -> None:
        """Open a part; `end` closes the one opened last."""
        self._book()
        self._open.append(self._open[-1] if self._whole else name)
        self._whole += whole

    def end(self, whole: bool = False) -> None:
        """Close the part opened last, with the `whole` it was opened with."""
        self._book()
        self._open.pop()
        self._whole -= whole

    def _book(self) -> None:
        moment = self.now()
        if self._open:
            name = self._open[-1]
            self.parts[name] = self.parts.get(name, 0.0) + moment - self._since
        self._since = moment

    def wrap(self, owner: Any, method: str, name: str, whole: bool = False) -> None:
        """Time every call of a method of an object or class as this part."""
        inner = getattr(owner, method)

        @functools.wraps(inner)
        def timed(*values: Any, **named: Any) -> Any:
            with self.part(name, whole):
                return inner(*values, **named)

        setattr(owner, method, timed)

    def shares(self, seconds: float) -> Mapping[str, float]:
        """Seconds of each of `PARTS`; what is left of `seconds` is `other`."""
        known = {name: self.parts.get(name, 0.0) for name in PARTS[:-1]}
        return {**known, "other": max(0.0, seconds - sum(known.values()))}
