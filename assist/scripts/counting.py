"""How many distinct complete replies a library gives: compatible combinations, counted one by one.

Not the product of the parts: a combination counts only if every pair of its parts may stand together and each
part suits category, state and alert level. Slots are not counted: a filled order number makes no new reply.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from assist.scripts.compose import Composer
from assist.scripts.library import Script

__all__ = ["count_calm", "count_replies"]


def count_calm(composer: Composer) -> dict[str, int]:
    """Replies of opening, solution and closing at alert level 0, by category."""
    return count_replies(composer, 0, "neutral")


def count_replies(composer: Composer, alert: int, emotion: str) -> dict[str, int]:
    """Complete replies (opening, what soothes, solution, closing) in one mood, by category.

    Raises:
        ValueError: the mood is not of the label schema.
    """
    counts = {}
    for category, solutions in composer.library.by_category.items():
        fitting = [solution for solution in solutions if composer.suits(solution, alert)]
        method, feeling, plans = composer.plans(alert, emotion, category)
        total = 0
        for steps in plans or ((),):
            pools = [
                list(composer.library.openings),
                *(composer.soothing(alert, feeling, method, step) for step in steps),
                composer.closings(alert, feeling, method),
            ]
            together = _together(composer, pools)
            for solution in fitting:
                chosen = [
                    np.array([composer.accepts(part, solution, alert) for part in pool], dtype=bool)
                    for pool in pools
                ]
                total += int(together[np.ix_(*chosen)].sum())
        counts[category] = total
    return counts


def _together(composer: Composer, pools: Sequence[Sequence[Script]]) -> NDArray[np.bool_]:
    """Which combinations of parts have no clash: one axis for each pool."""
    allowed = np.ones([len(pool) for pool in pools], dtype=bool)
    for first, second in combinations(range(len(pools)), 2):
        pairs = np.array(
            [not composer.clash(one, other) for one in pools[first] for other in pools[second]], dtype=bool
        ).reshape(len(pools[first]), len(pools[second]))
        shape = [1] * len(pools)
        shape[first], shape[second] = pairs.shape
        allowed &= pairs.reshape(shape)
    return allowed
