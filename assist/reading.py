"""What the models said of one customer message: the only thing that the rooms of `assist` know of models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from data.example import Turn

__all__ = ["Embed", "Reading"]


@dataclass(frozen=True, slots=True)
class Reading:
    """One customer message, the turns before it, and what the champions make of it.

    Attributes:
        text: the message as the customer wrote it.
        context: the turns before it, oldest first.
        category: one of the 71 keys; the most probable one.
        category_score: its probability, 0 to 1.
        categories: (key, probability) of the best few, best first.
        abstain: the category model is too unsure; a person should decide.
        emotion: one of the six keys.
        emotion_score: its probability, 0 to 1.
        alert: level 0 (none) to 3 (red).
        embedding: unit vector of the message (width,) from the same encoder pass, or None.
    """

    text: str
    context: tuple[Turn, ...] = ()
    category: str = "out_of_scope"
    category_score: float = 0.0
    categories: tuple[tuple[str, float], ...] = ()
    abstain: bool = False
    emotion: str = "neutral"
    emotion_score: float = 0.0
    alert: int = 0
    embedding: NDArray[np.float32] | None = None


class Embed(Protocol):
    """Sentence vectors of the champion's encoder."""

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit vectors, shape (len(texts), width)."""
