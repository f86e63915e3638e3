"""The question to ask back when the knowledge base is not sure."""

from __future__ import annotations

from collections.abc import Sequence

from assist.knowledge.question import Question
from assist.knowledge.store import Stored

__all__ = ["clarifying"]

_CHOICES = 3


def clarifying(
    question: Question,
    found: Sequence[tuple[Stored, float]],
    about: Sequence[frozenset[str]],
    *,
    near: float,
    sure: float,
) -> str | None:
    """A question to the customer, or None where none is needed.

    Asked are: which product, where passages on different products fit about equally well and none was named;
    what is meant, where the best passage fits too little.

    Args:
        question: as it was read.
        found: (passage, score), best first.
        about: products of each of them; empty: any product.
        near: share of the best score that counts as equally good.
        sure: score from which a passage answers.
    """
    if not found:
        return None
    best = found[0][1]
    close = [(passage, products) for (passage, score), products in zip(found, about, strict=True)
             if score >= near * best]  # fmt: skip
    if not question.products and about[0]:
        names: list[str] = []
        apart = False
        for _, products in close:
            if len(products) == 1 and next(iter(products)) not in names:
                names += sorted(products)
            apart = apart or (bool(products) and not products & about[0])
        if apart and len(names) > 1:
            return f"请问您问的是哪件商品：{_choice(names)}？"
    if best >= sure:
        return None
    sections = list(dict.fromkeys(passage.headings[-1] for passage, _ in close if passage.headings))
    if len(sections) > 1:
        return f"请问您想了解的是：{_choice(sections)}？"
    return f"请问您想了解的是「{sections[0]}」吗？" if sections else "请您再具体说一下想了解什么？"


def _choice(names: Sequence[str]) -> str:
    kept = [f"「{name}」" for name in names[:_CHOICES]]
    return "、".join(kept[:-1]) + "还是" + kept[-1]
