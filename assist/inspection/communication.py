"""沟通技巧: was the question understood, are words near the scripts, is nothing repeated or asked twice."""

from __future__ import annotations

import re
from collections.abc import Iterator

from assist.inspection.conformity import NearestScript
from assist.inspection.view import Outcome, View, is_question, pairs

__all__ = ["asks_again", "repetition", "script", "understanding"]

_CLOSING = re.compile(
    r"祝(?:您|你)|不客气|谢|辛苦|在的|欢迎|久等|慢走|再见|随时|荣幸|还有(?:没有)?(?:什么|其他|别的)"
)
_SLOT = re.compile(r"\[[^\]]{1,6}\]|\d+")
# A plain yes or no takes the question up as well.
_YES_OR_NO = re.compile(r"(?:您好|你好|亲|在的|[,。!~ ])*(?:不?(?:能|可以|是|行|会|对|需要|支持)|没?有|没)")
# Another piece of the same kind, or a receipt of it.
_MORE = re.compile(
    r"再(?:拍|发)一?张.{1,8}的|(?:照片|订单号|单号|地址)(?:我)?(?:收到|看到)|收到[^,。]{0,6}(?:照片|图)|另外?一"
)
# The agent tells it, or says where to fill it in.
_STATES = re.compile(
    r"(?:地址|单号)是\[|发(?:给)?(?:您|你)|(?:在|到|填)[^,。]{0,6}(?:订单|页面)|填(?:上|到)|寄(?:到|回)"
)


def understanding(view: View) -> Outcome:
    """Whether answers take up what was asked.

    A fault where the customer says that the answer missed the question, or where question and answer speak of
    different things. The score is the share of the customer's questions whose words come back in the answer,
    whose topic does, or which are met with a question that makes them clear.
    """
    faults: dict[int, tuple[int, re.Match[str] | None, str]] = {}
    met = asked_in_all = 0
    for place, exchange in enumerate(view.exchanges):
        if not exchange.agent:
            continue
        asked = _SLOT.sub(" ", " ".join(view.texts[index] for index in exchange.customer))
        first = exchange.agent[0]
        missed = next((m for i in exchange.customer if (m := view.says(i, "misunderstood"))), None)
        if missed and place:
            before = view.exchanges[place - 1].agent[-1]
            faults.setdefault(before, (before, None, f"客户说没有答到点上：“{missed.group()}”"))
        if not is_question(asked) and not view.topics(asked):
            continue
        asked_in_all += 1
        said = " ".join(view.texts[index] for index in exchange.agent)
        wanted, given = view.topics(asked), view.topics(said)
        restated = bool(pairs(asked) & pairs(said)) or bool(_YES_OR_NO.match(said))
        clarified = bool(view.says(first, "clarifying"))
        met += restated or bool(wanted & given) or clarified
        apart = wanted and given and not wanted & given and not restated and not clarified
        if apart and _asks_on(view, place, asked):
            faults.setdefault(first, (first, None, "客户问的和客服答的不是一件事，客户只好再问"))
    if not asked_in_all and not faults:
        return Outcome(judged=False, note="客户没有提问")
    found = tuple(
        view.fault(turn, match, reason, "先用自己的话复述客户的问题，再回答；没看懂就问清楚")
        for turn, match, reason in faults.values()
    )
    note = f"{asked_in_all} 个问题中 {met} 个有复述、对应或追问"
    return Outcome(found, score=None if found or not asked_in_all else met / asked_in_all, note=note)


def _asks_on(view: View, place: int, asked: str) -> bool:
    """Whether the customer comes back to the question, or is at odds, in the turns after the answer."""
    if place + 1 == len(view.exchanges):
        return False
    after = view.exchanges[place + 1].customer
    again = any(pairs(asked) & pairs(view.texts[index]) for index in after)
    return again or any(view.says(index, "misunderstood") or view.says(index, "unsolved") for index in after)


def script(view: View, library: NearestScript | None) -> Outcome:
    """How near the agent's longer turns are to the nearest scripts."""
    if library is None:
        return Outcome(judged=False, note="没有话术库可以对照")
    limits = view.standards
    long = [
        index
        for index in view.agent
        if sum(char.isalnum() for char in view.texts[index]) >= limits.limit("script", "length")
    ]
    if len(long) < limits.limit("script", "turns"):
        return Outcome(judged=False, note="客服的长句太少，比不出来")
    near = {index: library.nearest(view.turns[index].text)[0] for index in long}
    mean = sum(near.values()) / len(near)
    limit = limits.limit("script", "near")
    note = f"与最接近话术的平均相似度 {mean:.2f}"
    if mean >= limit:
        return Outcome(score=min(1.0, mean / (2 * limit) + 0.5) if limit else 1.0, note=note)
    worst = min(near, key=lambda index: near[index])
    return Outcome(
        (view.fault(worst, None, f"说法离话术库很远（{note}）", "参考话术库里这一类问题的说法"),), note=note
    )


def repetition(view: View) -> Outcome:
    """The same canned answer to different messages of the customer; greetings and thanks do not count."""
    if len(view.agent) < 2:
        return Outcome(judged=False, note="客服只说了一句")
    alike, length = view.standards.limit("repetition", "alike"), view.standards.limit("repetition", "length")
    faults = []
    for session in view.sessions:
        seen: list[tuple[int, set[str]]] = []
        reported: set[int] = set()
        for index in session:
            text = _SLOT.sub("", view.texts[index])
            letters = sum(char.isalnum() for char in text)
            if view.turns[index].role != "agent" or letters < length:
                continue
            bare = _CLOSING.sub("", text)
            own = pairs(text)
            twin = next((at for at, other in seen if _jaccard(own, other) >= alike), None)
            seen.append((index, own))
            if twin is None or twin in reported or sum(char.isalnum() for char in bare) < length:
                continue
            if index and view.turns[index - 1].role == "customer" and view.acknowledges(index - 1):
                continue
            reported |= {twin, index}
            advice = "针对客户这一句回答；还没结果就说查到哪一步了"
            faults.append(view.fault(index, None, "同一句话回复了不同的问题", advice))
    return Outcome(tuple(faults))


def _jaccard(one: set[str], other: set[str]) -> float:
    return len(one & other) / len(one | other) if one | other else 0.0


def asks_again(view: View) -> Outcome:
    """The agent asks for what the customer has given already."""
    faults = tuple(
        view.fault(index, match, f"客户已经给过{zh}", "先往上看聊天记录，给过的不再问")
        for index, match, zh in _asked_twice(view)
    )
    return Outcome(faults)


def _asked_twice(view: View) -> Iterator[tuple[int, re.Match[str], str]]:
    given: set[str] = set()
    for index, text in enumerate(view.texts):
        if view.turns[index].role == "customer":
            given |= {one.key for one in view.standards.given if one.given.search(text)}
        elif not _MORE.search(text):
            for one in view.standards.given:
                match = one.asked.search(text) if one.key in given else None
                if match and not _STATES.search(text):
                    yield index, match, one.zh
                    break
