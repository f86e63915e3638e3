"""From answers to what the rooms of `assist` read: the one place where the two meet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from assist.reading import Reading
from data.example import Turn
from serving.predictor import Predictor
from serving.schema import Analysis, AnalyzeRequest

__all__ = ["embed_with", "reading_of"]


def reading_of(request: AnalyzeRequest, answer: Analysis) -> Reading:
    """The answer to a request, as the rooms of `assist` take it."""
    vector = answer.vector
    return Reading(
        text=request.text,
        context=tuple(Turn(turn.role, turn.text) for turn in request.context),
        category=answer.category.label,
        category_score=answer.category.score,
        categories=tuple((one.label, one.score) for one in answer.category.top),
        abstain=answer.category.abstain,
        emotion=answer.emotion.label,
        emotion_score=answer.emotion.score,
        alert=answer.alert.level,
        embedding=None if vector is None else _unit(vector[None])[0],
    )


def embed_with(predictor: Predictor, texts: Sequence[str]) -> NDArray[np.float32]:
    """Unit vectors (len(texts), width) of texts without context, by the category model's encoder."""
    return _unit(predictor.opinions([(text, ()) for text in texts]).embedding)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), np.float32)
