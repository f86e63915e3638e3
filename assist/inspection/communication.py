"""沟通技巧: was the question understood, is the answer near the shop's scripts, is anything repeated or asked twice."""

from __future__ import annotations

import re
from collections.abc import Iterator

from assist.inspection.conformity import NearestScript
from assist.inspection.topics import topics
from assist.inspection.view import Outcome, View, is_question, pairs

__all__ = ["ASKED", "asks_again", "repetition", "script", "understanding"]

_CLOSING = re.compile(r"祝(?:您|你)|不客气|谢|辛苦|在的|欢迎|久等|慢走|再见")
_SLOT = re.compile(r"\[[^\]]{1,6}\]|\d+")
_ASKS = r"(?:请|麻烦|提供|发(?:一?下|我|给|过来)?|告诉|报|多少|是什么|什么|哪|说(?:一?下)|要|给(?:一?下|我)|再|是|呢|拍)"
ASKED: tuple[tuple[str, str, re.Pattern[str], re.Pattern[str]], ...] = tuple(
    (key, zh, re.compile(asked), re.compile(given))
    for key, zh, asked, given in (
        ("order", "订单号", rf"{_ASKS}[^,。]{{0,8}}订单(?:编)?号|订单(?:编)?号(?:是多少|发)", r"\[订单号\]|(?<!\d)\d{16,22}(?!\d)|订单(?:编)?号.{0,2}\d{6,}"),
        ("tracking", "快递单号", rf"{_ASKS}[^,。]{{0,8}}(?:快递|物流|运|退货)单号", r"\[单号\]|单号.{0,3}[a-z]{0,4}\d{8,}"),
        ("size", "身高体重", r"(?:您|你)?的?(?:身高|体重)[^,。]{0,4}(?:多少|是|告诉|报|发|说)|(?:多少|告诉|报)[^,。]{0,6}(?:身高|体重)", r"\d{2,3}(?:\.\d)? ?(?:斤|公斤|kg)|1[4-9]\d[ ,]+\d{2,3}"),
        ("photo", "照片", rf"{_ASKS}[^,。]{{0,6}}(?:照片|图片|拍照|个照|张照|照)|拍(?:个|张)?照", r"\[图片\]"),
        ("phone", "手机号", rf"{_ASKS}[^,。]{{0,8}}(?:手机号|电话号|联系电话|手机)", r"\[(?:手机|电话)\]|(?<!\d)1[3-9]\d{9}(?!\d)"),
        ("address", "地址", rf"{_ASKS}[^,。]{{0,8}}地址|地址(?:是|在)?(?:哪|什么|多少)", r"\[地址\]"),
        ("title", "抬头", rf"抬头[^。]{{0,5}}(?:是|多少|什么)|{_ASKS}[^,。]{{0,6}}抬头", r"抬头(?:是|:|为).{2,}"),
        ("colour", "颜色", r"(?:什么|哪个|要哪种)颜色|颜色(?:是|要)(?:什么|哪)", r"(?:想?要|买|拍|换)(?:的)?(?:个|件|条)?[\u4e00-\u9fff]?(?:黑|白|灰|蓝|红|粉|绿|黄|米|紫|棕)"),
        ("received", "收货时间", r"(?:什么时候|哪天|几号)(?:收到|签收|到货)", r"(?:今天|昨天|前天|刚才?|上周|\d号).{0,3}(?:收到|签收|到的|到货)"),
    )
)  # fmt: skip
"""What agents ask for: key, Chinese name, how it is asked for, how a customer's turn shows that it was given."""
_MORE = re.compile(r"再(?:拍|发)一?张.{1,8}的|(?:照片|订单号|单号|地址)(?:我)?(?:收到|看到)|收到[^,。]{0,6}(?:照片|图)|另外?一")
_STATES = re.compile(r"(?:地址|单号)是\[|发(?:给)?(?:您|你)|(?:在|到|填)[^,。]{0,6}(?:订单|页面)|填(?:上|到)|寄(?:到|回)")


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
        asked = " ".join(view.texts[index] for index in exchange.customer)
        first = exchange.agent[0]
        missed = next((m for i in exchange.customer if (m := view.says(i, "misunderstood"))), None)
        if missed and place:
            before = view.exchanges[place - 1].agent[-1]
            faults.setdefault(before, (before, None, f"客户说没有答到点上：“{missed.group()}”"))
        if not is_question(asked) and not topics(asked):
            continue
        asked_in_all += 1
        said = " ".join(view.texts[index] for index in exchange.agent)
        wanted, given = topics(asked), topics(said)
        restated = bool(pairs(asked) & pairs(said))
        clarified = bool(view.says(first, "clarifying"))
        met += restated or bool(wanted & given) or clarified
        if wanted and given and not wanted & given and not restated and not clarified:
            faults.setdefault(first, (first, None, "客户问的和客服答的不是一件事"))
    if not asked_in_all and not faults:
        return Outcome(judged=False, note="客户没有提问")
    found = tuple(
        view.fault(turn, match, reason, "先用自己的话复述客户的问题，再回答；没看懂就问清楚")
        for turn, match, reason in faults.values()
    )
    note = f"{asked_in_all} 个问题中 {met} 个有复述、对应或追问"
    return Outcome(found, score=None if found or not asked_in_all else met / asked_in_all, note=note)


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
    """The same canned answer sent to different messages of the customer; greetings and thanks do not count."""
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
            reported |= {twin, index}
            faults.append(
                view.fault(index, None, "同一句话回复了不同的问题", "针对客户这一句回答；还没结果就说查到哪一步了")
            )  # fmt: skip
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
            given |= {key for key, _, _, shown in ASKED if shown.search(text)}
        elif not _MORE.search(text):
            for key, zh, asked, _ in ASKED:
                match = asked.search(text) if key in given else None
                if match and not _STATES.search(text):
                    yield index, match, zh
                    break
