"""From a reading to ranked scripts: whose scripts are searched, what each is worth, and why.

Scores are log-odds: the reranker's, the category's probability, what is known of the order, the tone, and how
often agents took the script. Weights are few, round and in `RankingSettings`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from assist.reading import Reading
from assist.scripts.index import Hit, ScriptIndex, condition_bits, impossible
from assist.scripts.library import Script
from assist.scripts.rerank import Reranker
from assist.scripts.schema import Reason

__all__ = ["CONDITION_NAMES", "Ranked", "RankingSettings", "fitting_tones", "rank", "searched_categories"]

Kind = Literal["category", "similarity", "lexical", "reranker", "feedback", "emotion", "condition", "tone"]
CONDITION_NAMES: Mapping[str, str] = {
    "unpaid": "还没付款", "paid_unshipped": "已付款未发货", "shipped": "已发货", "signed": "已签收",
    "returning": "退货中", "refunding": "退款中", "in_stock": "有货", "out_of_stock": "缺货",
    "presale_item": "预售商品", "opened": "已拆封", "unopened": "未拆封", "over_7_days": "超过七天",
    "within_7_days": "七天以内", "remote_area": "偏远地区", "member": "会员", "bulk": "大批采购",
    "gift_promised": "答应过赠品", "custom_made": "定制商品", "evidence_given": "已给凭证",
    "evidence_missing": "没有凭证", "platform_involved": "平台已介入",
}  # fmt: skip
"""What agents call the conditions of the order."""


@dataclass(frozen=True, slots=True)
class RankingSettings:
    """Weights of the ranking, in log-odds, and its limits."""

    candidates: int = 40
    """Scripts that are reranked."""
    category_mass: float = 0.95
    """Categories are searched, most probable first, until they hold so much of the probability."""
    most_categories: int = 4
    most_when_unsure: int = 8
    reranker: float = 0.3
    """Of its log-odds; chosen on our judged pairs (docs/recommend.md)."""
    category: float = 1.0
    cosine: float = 3.0
    lexical: float = 0.15
    fits: float = 2.0
    """A condition of the script is known to hold: it was written for this very case."""
    unknown: float = -0.25
    """A condition is not known: the agent must look."""
    tone: float = 0.3
    feedback: float = 1.0
    explore_within: float = 0.7
    """How far below the last place a script may be and still be tried there."""
    temperature: float = 0.25
    """Of the draw among near-ties: a lead of so much makes a place e times as probable."""
    alike: float = 0.985
    """Cosine from which two scripts say the same: only the better is shown."""


@dataclass(slots=True)
class Ranked:
    """A script with its worth."""

    number: int
    script: Script
    base: float
    """Without feedback."""
    score: float
    why: list[tuple[Kind, str, float]] = field(default_factory=list)
    """Kind, words and value of its reasons."""
    unknown: tuple[str, ...] = ()
    """Conditions that the agent must check."""

    @property
    def reasons(self) -> list[Reason]:
        """Why it stands where it stands."""
        return [Reason(kind=kind, zh=zh, value=round(value, 4)) for kind, zh, value in self.why]


def searched_categories(
    reading: Reading, settings: RankingSettings, known: Mapping[str, object]
) -> dict[str, float]:
    """Categories to search with their probabilities, best first.

    Args:
        known: categories that have scripts.
    """
    best = reading.categories or ((reading.category, reading.category_score),)
    most = settings.most_when_unsure if reading.abstain else settings.most_categories
    found: dict[str, float] = {}
    for key, probability in sorted(best, key=lambda pair: -pair[1]):
        if key not in known:
            continue
        if found and (sum(found.values()) >= settings.category_mass or len(found) >= most):
            break
        found[key] = float(probability)
    return found


def fitting_tones(reading: Reading) -> tuple[str, ...]:
    """Tones that suit the customer's mood: nobody jokes with an angry customer."""
    if reading.alert >= 2:
        return ("formal", "warm")
    return ("warm", "lively") if reading.emotion == "positive" else ("warm",)


def rank(
    index: ScriptIndex,
    reading: Reading,
    vector: NDArray[np.float32] | None,
    *,
    reranker: Reranker | None = None,
    lifts: Mapping[str, tuple[float, float]] | None = None,
    conditions: Sequence[str] | None = None,
    tone: str | None = None,
    exclude: Sequence[str] = (),
    settings: RankingSettings | None = None,
) -> tuple[list[Ranked], dict[str, float]]:
    """Scripts for a message, best first, and the categories searched.

    Args:
        vector: unit vector of the message, or None.
        lifts: by script, what feedback adds in log-odds, and its acceptance rate.
        conditions: known to hold of the order; None: nothing is known.

    Raises:
        ValueError: a condition is unknown.
    """
    settings = settings or RankingSettings()
    known = condition_bits(conditions or ())
    categories = searched_categories(reading, settings, index.ranges)
    hits = index.search(
        reading.text,
        vector,
        list(categories),
        settings.candidates + len(exclude),
        cannot=impossible(conditions or ()),
    )
    unwanted = set(exclude)
    hits = [hit for hit in hits if index.scripts[hit.number].id not in unwanted][: settings.candidates]
    logits = _logits(index, reading.text, vector, hits, reranker)
    tones = (tone,) if tone else fitting_tones(reading)
    ranked = [
        _ranked(index.scripts[hit.number], hit, None if logits is None else float(logits[place]), categories,
                known, tones, (lifts or {}).get(index.scripts[hit.number].id), settings)
        for place, hit in enumerate(hits)
    ]  # fmt: skip
    ranked.sort(key=lambda one: -one.score)
    return _unlike(index, ranked, settings.alike), categories


def _logits(
    index: ScriptIndex,
    text: str,
    vector: NDArray[np.float32] | None,
    hits: Sequence[Hit],
    reranker: Reranker | None,
) -> NDArray[np.float32] | None:
    if reranker is None or vector is None or not hits:
        return None
    numbers = [hit.number for hit in hits]
    return reranker.logits(text, vector, [index.side(one) for one in numbers], index.vectors(numbers))


def _ranked(
    script: Script,
    hit: Hit,
    logit: float | None,
    categories: Mapping[str, float],
    known: int,
    tones: Sequence[str],
    lift: tuple[float, float] | None,
    settings: RankingSettings,
) -> Ranked:
    why: list[tuple[Kind, str, float]] = []
    base = 0.0
    probability = categories.get(script.category or "")
    if probability is not None:
        base += settings.category * math.log(max(probability, 1e-3))
        why.append(("category", "客户要办的事属于这一类", probability))
    base += settings.cosine * hit.cosine + settings.lexical * hit.lexical
    if logit is not None:
        base += settings.reranker * logit
        why.append(("reranker", "重排模型认为这句答得上", logit))
    if hit.cosine > 0:
        why.append(("similarity", "和客户的话意思相近", hit.cosine))
    if hit.lexical > 0:
        why.append(("lexical", "和客户的话用词相近", hit.lexical))
    holds = [name for name in script.when if condition_bits((name,)) & known]
    unknown = tuple(name for name in script.when if name not in holds)
    added = settings.fits * len(holds) + settings.unknown * len(unknown)
    base += added
    if holds:
        names = "、".join(CONDITION_NAMES[name] for name in holds)
        why.append(("condition", f"符合订单情况：{names}", added))
    if script.tone in tones:
        base += settings.tone
        why.append(("tone", "语气合适", settings.tone))
    score = base
    if lift is not None:
        score += settings.feedback * lift[0]
        why.append(("feedback", "客服用这句的比例", lift[1]))
    return Ranked(hit.number, script, base, score, why, unknown)


def _unlike(index: ScriptIndex, ranked: Sequence[Ranked], alike: float) -> list[Ranked]:
    """Without scripts that say what a better one says."""
    if len(ranked) < 2:
        return list(ranked)
    vectors = index.vectors([one.number for one in ranked])
    same = vectors @ vectors.T >= alike
    kept: list[int] = []
    for place in range(len(ranked)):
        if not same[place, kept].any():
            kept.append(place)
    return [ranked[place] for place in kept]
