"""What training does otherwise where rows stay on disk (`data.arrow_rows`), so that memory stays bounded.

Batches, lengths, labels and the vocabulary read all rows either way, block by block, and give the same
results. Two things would grow without bound and see a seeded sample instead: validation (all its answers
are kept until macro-F1 is known) and the n-gram view (its sparse matrix holds every n-gram of every row).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.arrow_rows import is_streamed, take
from data.example import Example

__all__ = ["LEXICAL_ROWS", "VALIDATION_ROWS", "thinned"]

VALIDATION_ROWS = 50_000
"""Validation rows at most, for early stopping and calibration."""
LEXICAL_ROWS = 100_000
"""Training rows at most of the n-gram view."""


def thinned(examples: Sequence[Example], limit: int, seed: int = 0) -> Sequence[Example]:
    """The rows themselves where they are in memory; else at most `limit` of them as a list.

    The sample is drawn evenly at random and keeps the order of the rows.
    """
    if not is_streamed(examples):
        return examples
    count = min(limit, len(examples))
    drawn = np.random.default_rng(seed).choice(len(examples), count, replace=False)
    return take(examples, np.sort(drawn).tolist())
