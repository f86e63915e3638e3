"""The lexical view, learnt on its own: a linear support vector machine on character n-grams.

The n-grams of the message and those of the turns before it are two groups of features, each of
length one: a short answer to a long question is still half of what the machine sees.

Its errors differ from the encoder's, so the sum of both views' logits beats either (the weight of
each is fitted on validation, see `training.calibrate`). Learning it apart keeps the encoder from
leaning on n-grams that it has seen: on training rows a linear n-gram model makes hardly an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC

from data.encoding import Message
from data.ngrams import NgramView

__all__ = ["LexicalModel", "fit_lexical", "ngram_matrices"]

_ABSENT = -1.5  # margin of a label that no training row has: below every real one


@dataclass(frozen=True)
class LexicalModel:
    """TF-IDF and the classifier folded into one table.

    The margins of a message are the sum of `rows` over its buckets, divided by the square root of the
    sum of `square_idf` over them, plus the same for the buckets of its context, plus `bias`.
    """

    rows: NDArray[np.float32]
    """[buckets, labels]; row 0 (padding) is zero."""
    square_idf: NDArray[np.float32]
    """[buckets]."""
    bias: NDArray[np.float32]
    """[labels]."""

    def margins(self, messages: Sequence[Message], view: NgramView) -> NDArray[np.float64]:
        """Margins [messages, labels]."""
        margins = np.tile(self.bias.astype(np.float64), (len(messages), 1))
        for matrix in ngram_matrices(messages, view):
            length = np.sqrt(np.maximum(matrix @ self.square_idf, 1e-6))
            margins += np.asarray(matrix @ self.rows) / length[:, None]
        return margins


def ngram_matrices(messages: Sequence[Message], view: NgramView) -> tuple[csr_matrix, csr_matrix]:
    """Binary matrices [messages, buckets] of the n-grams in each message and in its context."""
    return (
        _matrix([view.ids(text) for text, _ in messages], view.buckets),
        _matrix([view.context_ids(context) for _, context in messages], view.buckets),
    )


def _matrix(ids: Sequence[Sequence[int]], buckets: int) -> csr_matrix:
    rows = [sorted(set(row)) for row in ids]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    indices = np.concatenate([np.array(row, np.int64) for row in rows])
    return csr_matrix((np.ones(len(indices)), indices, indptr), shape=(len(rows), buckets))


def fit_lexical(
    messages: Sequence[Message], labels: Sequence[int], size: int, view: NgramView, strength: float
) -> LexicalModel:
    """Fit one-against-rest linear classifiers on length-normalised TF-IDF of hashed n-grams.

    Args:
        messages, labels: training rows and their label indices.
        size: number of labels.
        view: the hashing.
        strength: inverse regularisation (C) of the classifiers.
    """
    matrices = ngram_matrices(messages, view)
    seen = sum(np.asarray(matrix.sum(0)).ravel() for matrix in matrices)
    # An n-gram that training never saw weighs as much as one seen once, but points nowhere.
    idf = np.log((1 + len(messages)) / (1 + np.maximum(seen, 1))) + 1
    features = sum(normalize(matrix @ diags(idf)) for matrix in matrices)
    model = LinearSVC(C=strength, random_state=0).fit(features, np.asarray(labels))
    coefficients, intercept = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # two labels share one hyperplane
        coefficients = np.concatenate([-coefficients, coefficients])
        intercept = np.concatenate([-intercept, intercept])
    rows = np.zeros((view.buckets, size), np.float32)
    rows[:, model.classes_] = (coefficients * idf).T
    rows[0] = 0.0
    bias = np.full(size, _ABSENT, np.float32)
    bias[model.classes_] = intercept
    square = (idf**2).astype(np.float32)
    square[0] = 0.0
    return LexicalModel(rows, square, bias)
