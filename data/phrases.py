"""Runs of characters and how unevenly two sides use them: vocabulary without a word list or a segmenter."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from data.text import normalise

__all__ = ["count_phrases", "log_odds", "phrases_of"]

# Runs never cross a mark, a space or a placeholder such as [订单号]: "好的 谢谢" holds no "的谢".
_PIECE = re.compile(r"[㐀-鿿]+|[a-z]+|\d+")
_PLACEHOLDER = re.compile(r"\[[^\]]*\]")
PRIOR_WORDS = 500.0


def phrases_of(text: str, shortest: int = 2, longest: int = 4) -> set[str]:
    """The distinct runs of Chinese characters of a text, and its Latin words."""
    found: set[str] = set()
    for piece in _PIECE.findall(_PLACEHOLDER.sub(" ", normalise(text))):
        if piece.isascii():
            found |= {piece} if len(piece) > 1 and not piece.isdigit() else set()
            continue
        for size in range(shortest, longest + 1):
            found |= {piece[start : start + size] for start in range(len(piece) - size + 1)}
    return found


def count_phrases(texts: Sequence[str], shortest: int = 2, longest: int = 4) -> Counter[str]:
    """In how many of the texts each phrase stands; one that a text repeats counts once."""
    found: Counter[str] = Counter()
    for text in texts:
        found.update(phrases_of(text, shortest, longest))
    return found


def log_odds(
    one: Mapping[str, int], other: Mapping[str, int], prior: float = PRIOR_WORDS
) -> dict[str, float]:
    """How much more side `one` uses each word, in standard deviations; negative where `other` does.

    The weighted log-odds ratio with an informative Dirichlet prior, proportional to the use of both sides
    together: it shrinks rare words to zero, where plain ratios put them on top. Source: Monroe, Colaresi and
    Quinn, "Fightin' Words: Lexical Feature Selection and Evaluation for Identifying the Content of Political
    Conflict", Political Analysis 16, 2008, equations 16 to 22.

    Args:
        one, other: counts by word, of the same words.
        prior: how many words of the common use each side begins with.

    Raises:
        ValueError: the sides do not count the same words.
    """
    if set(one) != set(other):
        raise ValueError("one, other: must count the same words")
    both = {word: one[word] + other[word] for word in one}
    here, there, total = sum(one.values()), sum(other.values()), sum(both.values())
    scores = {}
    for word, count in both.items():
        if not count:
            scores[word] = 0.0
            continue
        alpha = prior * count / total
        a, b = one[word] + alpha, other[word] + alpha
        rest_a, rest_b = here + prior - a, there + prior - b
        delta = math.log(a / max(rest_a, 1e-9)) - math.log(b / max(rest_b, 1e-9))
        scores[word] = delta / math.sqrt(1 / a + 1 / b)
    return scores
