"""The lexical view, learnt on its own: a linear support vector machine on character n-grams.

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

from data.ngrams import NgramView

__all__ = ["LexicalModel", "fit_lexical", "ngram_matrix"]

_ABSENT = -1.5  # margin of a label that no training row has: below every real one


@dataclass(frozen=True)
class LexicalModel:
    """TF-IDF and the classifier folded into one table.

    The margins of a text are the sum of `rows` over its buckets, divided by the square root of the
    sum of `square_idf` over them, plus `bias`.
    """

    rows: NDArray[np.float32]
    """[buckets, labels]; row 0 (padding) is zero."""
    square_idf: NDArray[np.float32]
    """[buckets]."""
    bias: NDArray[np.float32]
    """[labels]."""

    def margins(self, texts: Sequence[str], view: NgramView) -> NDArray[np.float64]:
        """Margins [texts, labels]."""
        matrix = ngram_matrix(texts, view)
        length = np.sqrt(np.maximum(matrix @ self.square_idf, 1e-6))
        return np.asarray(matrix @ self.rows) / length[:, None] + self.bias


def ngram_matrix(texts: Sequence[str], view: NgramView) -> csr_matrix:
    """Binary matrix [texts, buckets] of the n-grams in each text."""
    rows = [sorted(set(view.ids(text))) for text in texts]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    indices = np.concatenate([np.array(row, np.int64) for row in rows])
    return csr_matrix((np.ones(len(indices)), indices, indptr), shape=(len(rows), view.buckets))


def fit_lexical(
    texts: Sequence[str], labels: Sequence[int], size: int, view: NgramView, strength: float
) -> LexicalModel:
    """Fit one-against-rest linear classifiers on length-normalised TF-IDF of hashed n-grams.

    Args:
        texts, labels: training rows and their label indices.
        size: number of labels.
        view: the hashing.
        strength: inverse regularisation (C) of the classifiers.
    """
    matrix = ngram_matrix(texts, view)
    seen = np.asarray(matrix.sum(0)).ravel()
    # An n-gram that training never saw weighs as much as one seen once, but points nowhere.
    idf = np.log((1 + matrix.shape[0]) / (1 + np.maximum(seen, 1))) + 1
    features = normalize(matrix @ diags(idf))
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
