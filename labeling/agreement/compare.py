"""One annotator against all colleagues together: who errs more often than chance explains, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labeling.agreement.answers import MISSING, Answers
from labeling.agreement.coefficients import Share

__all__ = ["Weakness", "adjusted", "at_most", "together", "weak_classes", "wrong"]

MIN_CLASS = 10
CLASS_GAP = 0.2
DISCOVERY = 0.05


@dataclass(frozen=True)
class Weakness:
    """A class in which one person errs clearly more often than the colleagues, and than elsewhere."""

    label: int
    wrong: Share
    """The person's errors among their answers where this label is expected."""
    colleagues: Share
    """The errors of all others together."""
    instead: int
    """What the person says most often in its place."""
    times: int
    """How often."""


def together(shares: Sequence[Share | None]) -> Share | None:
    """Several proportions as one, without an interval; None of nothing."""
    known = [one for one in shares if one]
    of = sum(one.of for one in known)
    return _plain(sum(one.right for one in known), of) if of else None


def wrong(one: Share) -> Share:
    """The other side of a proportion, without an interval."""
    return _plain(one.of - one.right, one.of)


def at_most(own: Share, rest: Share) -> float:
    """P of so low a share if own and the rest were alike: Fisher's exact test, one-sided."""
    from scipy.stats import fisher_exact

    table = [[own.right, own.of - own.right], [rest.right, rest.of - rest.right]]
    return float(fisher_exact(table, alternative="less").pvalue)


def adjusted(values: Sequence[float], method: str) -> list[float]:
    """P values corrected for their number: "holm" (any false one), "fdr_bh" (share of false ones)."""
    from statsmodels.stats.multitest import multipletests

    return [float(value) for value in multipletests(values, method=method)[1]] if values else []


def weak_classes(answers: Answers, answer: str) -> list[list[Weakness]]:
    """The classes that each person should be taught apart, the widest gap to the colleagues first.

    A class needs ten answers of the person and ten of the colleagues, a gap of 20 points, and to be
    significantly worse than both the colleagues in this class and the person in all others (the larger
    of the two P values), among discoveries of which 5% are false (Benjamini-Hochberg over all persons
    and classes): who errs everywhere has no weak class. Expected is the gold label, otherwise what most
    people said, two at least, the person among them: left out, a person who always errs alone would leave
    colleagues in a tie, and nothing to be held against.

    Returns:
        One list for each of `answers.people`.
    """
    table = answers.tables[answer]
    size = len(table.labels)
    confusion = np.zeros((len(answers.people), size, size), int)
    most = table.counts.max(1)
    clear = (most >= 2) & ((table.counts == most[:, None]).sum(1) == 1)
    voted = np.where(clear, table.counts.argmax(1), MISSING)
    consensus = np.where(table.gold != MISSING, table.gold, voted)
    for index in range(len(answers.people)):
        rows = (consensus != MISSING) & (table.codes[:, index] != MISSING)
        np.add.at(confusion[index], (consensus[rows], table.codes[rows, index]), 1)
    of = confusion.sum(2)
    errors = of - np.diagonal(confusion, axis1=1, axis2=2)
    tested, raw = [], []
    for index, label in zip(*np.nonzero(of >= MIN_CLASS), strict=True):
        own = _plain(errors[index, label], of[index, label])
        rest = _plain(errors[:, label].sum() - own.right, of[:, label].sum() - own.of)
        elsewhere = _plain(errors[index].sum() - own.right, of[index].sum() - own.of)
        if rest.of >= MIN_CLASS and elsewhere.of >= MIN_CLASS:
            raw.append(max(at_most(wrong(own), wrong(other)) for other in (rest, elsewhere)))
            tested.append((int(index), int(label), own, rest))
    p_values = adjusted(raw, "fdr_bh")
    weak: list[list[Weakness]] = [[] for _ in answers.people]
    for (index, label, own, rest), p in zip(tested, p_values, strict=True):
        if p < DISCOVERY and own.rate >= rest.rate + CLASS_GAP:
            said = confusion[index, label].copy()
            said[label] = 0
            weak[index].append(Weakness(label, own, rest, int(said.argmax()), int(said.max())))
    for found in weak:
        found.sort(key=lambda one: (one.colleagues.rate - one.wrong.rate, one.label))
    return weak


def _plain(right: int, of: int) -> Share:
    rate = float(right / of) if of else 0.0
    return Share(int(right), int(of), rate, rate, rate)
