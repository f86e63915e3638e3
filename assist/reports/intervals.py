"""Shares, means and their differences with 95 % intervals that know that figures of one chat are alike.

A sample gives every chat a total and a number: 2 of its 5 messages negative, 130 seconds in 4 answers. Chats
are the unit; messages of one chat count for fewer than they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEWEST", "Estimate", "Sample", "change", "newcombe", "wilson"]

FEWEST = 10
"""Chats below which no rate and no interval is stated."""
_Z = 1.959964


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and the 95 % interval around it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Sample:
    """Totals and numbers, chat by chat; chats with the number 0 do not count.

    Attributes:
        totals: hits of a share, or the sum of what is averaged, (chats,).
        numbers: how many could have been hits, or how many values were summed, (chats,).
    """

    totals: NDArray[np.float64]
    numbers: NDArray[np.float64]

    @classmethod
    def of(cls, pairs: Iterable[tuple[float, float]]) -> Sample:
        """From (total, number) of every chat."""
        table = np.array([pair for pair in pairs if pair[1]], np.float64).reshape(-1, 2)
        return cls(table[:, 0], table[:, 1])

    @property
    def chats(self) -> int:
        """How many chats have a number."""
        return len(self.numbers)

    @property
    def total(self) -> float:
        """Sum of the totals."""
        return float(self.totals.sum())

    @property
    def number(self) -> float:
        """Sum of the numbers."""
        return float(self.numbers.sum())

    @property
    def value(self) -> float | None:
        """The share or the mean; None where there is nothing to divide by."""
        return self.total / self.number if self.chats else None

    def share(self) -> Estimate | None:
        """A share with Wilson's interval on the effective number; None below `FEWEST` chats."""
        if self.chats < FEWEST:
            return None
        rate = self.total / self.number
        return Estimate(rate, *wilson(rate, self.effective()))

    def mean(self) -> Estimate | None:
        """A mean of values that are not negative, with its interval; None below `FEWEST` chats.

        Ratio estimator of cluster totals, linearised: W. G. Cochran, "Sampling Techniques", 1977, chapter 6.
        """
        if self.chats < FEWEST:
            return None
        mean, reach = self.total / self.number, _t(self.chats - 1) * self.error()
        return Estimate(mean, max(mean - reach, 0.0), mean + reach)

    def error(self) -> float:
        """Standard error of the mean over chats; 0 where there is one chat."""
        if self.chats < 2:
            return 0.0
        off = self.totals - self.numbers * (self.total / self.number)
        return float(math.sqrt(self.chats / (self.chats - 1) * (off @ off)) / self.number)

    def effective(self) -> float:
        """The number of a share divided by its design effect, which is never taken below 1.

        J. N. K. Rao and A. J. Scott, "A Simple Method for the Analysis of Clustered Binary Data", Biometrics
        48, 1992.
        """
        rate = self.total / self.number
        if self.chats < 2 or not 0 < rate < 1:
            return self.number
        simple = rate * (1 - rate) / self.number
        return self.number / max(self.error() ** 2 / simple, 1.0)


def change(now: Sample, before: Sample, share: bool) -> Estimate | None:
    """The value now less the value before, and its interval; None where either has fewer chats than `FEWEST`.

    Args:
        share: values are shares (Newcombe's interval), else means (Welch's).
    """
    if min(now.chats, before.chats) < FEWEST:
        return None
    one, other = now.total / now.number, before.total / before.number
    if share:
        return Estimate(one - other, *newcombe((one, now.effective()), (other, before.effective())))
    a, b = now.error() ** 2, before.error() ** 2
    if not a + b:
        return Estimate(one - other, one - other, one - other)
    freedom = (a + b) ** 2 / (a * a / (now.chats - 1) + b * b / (before.chats - 1))
    reach = _t(freedom) * math.sqrt(a + b)
    return Estimate(one - other, one - other - reach, one - other + reach)


def newcombe(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """95 % interval of the difference of two shares (p, n); numbers may be effective ones, with fractions.

    R. G. Newcombe, "Interval Estimation for the Difference between Independent Proportions", Statistics in
    Medicine 17, 1998, method 10.
    """
    (p, n), (q, m) = one, other
    (low_p, high_p), (low_q, high_q) = wilson(p, n), wilson(q, m)
    return p - q - math.hypot(p - low_p, high_q - q), p - q + math.hypot(high_p - p, q - low_q)


def wilson(p: float, n: float) -> tuple[float, float]:
    """95 % score interval of a share `p` of `n` (E. B. Wilson, 1927)."""
    centre, scale = p + _Z**2 / (2 * n), 1 + _Z**2 / n
    reach = _Z * math.sqrt(p * (1 - p) / n + _Z**2 / (4 * n * n))
    return max((centre - reach) / scale, 0.0), min((centre + reach) / scale, 1.0)


def _t(freedom: float) -> float:
    """The two-sided 95 % point of Student's t, by Fisher's expansion; to 0.001 from 9 degrees of freedom."""
    z = _Z
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, 1))
