"""承诺兑现: deadlines that an agent names, and whether they were kept.

A promise to answer (回复, 告诉您) is kept by a turn of the agent that says something before the deadline.
What happens outside the chat (发货, 上门) cannot be seen there: it counts as broken only when the customer
comes back after the deadline and asks after it. Deadlines that depend on something else (签收后48小时内)
are processes, no promises.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from assist.inspection.quantities import quantities
from assist.inspection.view import Fault, Outcome, View

__all__ = ["Promise", "broken_promise", "promises"]

_CLAUSE = re.compile(r"[^。;!?\n]+")
_WITHIN = re.compile(
    r"(?:[\d.]{1,9}|[一二两三四五六七八九十半]{1,8})个?半?(?:分钟|小时)(?:之?内|以内|左右|后|就|给|告诉|回)|半个?小时"
)
_DAY = re.compile(
    r"(今天|今晚|今日|明天|明早|明晚|后天)(上午|中午|下午|晚上|一早|早上)?(?:[\d一二两三四五六七八九十]{1,2}点)?"
    r"(?:之?内|以?前|之前)?"
)
_CLOCK = re.compile(
    r"(上午|早上|中午|下午|晚上|今晚)?([\d一二两三四五六七八九十]{1,2})点(?:半)?(?:以?前|之前)"
)
_ANSWER = re.compile(
    r"回复|答复|告诉(?:您|你)|给(?:您|你).{0,4}(?:结果|消息|信)|(?:发|回|联系|通知)给?(?:您|你)"
    r"|给(?:您|你)(?:发|.{0,6}好)"
)
_OUTSIDE = re.compile(r"发出|发货|补发|装车|寄出|上门|送到|派送|到账|退款|安排|回电|打给|致电")
_CONDITIONAL = re.compile(
    r"(?:付款|拍下|下单|签收|收货|收到|审核|确认|通过|拍)[\u4e00-\u9fff]{0,6}(?:后|以后|当天)"
    r"|前(?:付款|拍|下单)|工作日|一般|预计|大概|的话|如果|显示|可以"
)
LONGEST = 60 * 24 * 31
"""Minutes: a longer time is no deadline of a chat."""
_ENDS = {"上午": 12, "早上": 12, "一早": 12, "中午": 13, "下午": 18, "晚上": 24}


@dataclass(frozen=True, slots=True)
class Promise:
    """What an agent's turn promises, and by when."""

    turn: int
    start: int
    end: int
    due: datetime
    answers: bool
    """It is an answer in the chat, so that its absence can be seen."""


def _hour(word: str) -> int:
    return int(quantities(f"{word}点")[0].low) if not word.isdigit() else int(word)


def _minutes(words: str) -> float:
    """Of "10分钟", "半个小时", "一个半小时"."""
    number, half, _ = words.partition("个半")
    if half and (whole := quantities(f"{number}小时")):
        return 60 * (whole[0].high + 0.5)
    found = quantities(words.replace("个", ""))
    return sum(one.high * (60 if one.unit == "小时" else 1) for one in found) if found else 30.0


def _due(clause: str, sent: datetime) -> tuple[datetime, int, int] | None:
    """The deadline that a clause names: when, and by which words."""
    if match := _WITHIN.search(clause):
        minutes = _minutes(match.group())
        return (sent + timedelta(minutes=minutes), *match.span()) if minutes <= LONGEST else None
    midnight = sent.replace(hour=0, minute=0, second=0, microsecond=0)
    day = _DAY.search(clause)
    shift = 0 if not day else {"今": 0, "明": 1, "后": 2}[day.group(1)[0]]
    if match := _CLOCK.search(clause):
        hour = _hour(match.group(2))
        if (hour < 12 and match.group(1) in ("下午", "晚上", "今晚")) or (
            not match.group(1) and hour < sent.hour and not shift
        ):
            hour += 12
        start = min(day.start(), match.start()) if day else match.start()
        return midnight + timedelta(days=shift, hours=min(hour, 24)), start, match.end()
    if not day:
        return None
    part = day.group(2) or {"今晚": "晚上", "明早": "早上", "明晚": "晚上"}.get(day.group(1), "晚上")
    return midnight + timedelta(days=shift, hours=_ENDS[part]), *day.span()


def promises(view: View) -> Iterator[Promise]:
    """Deadlines that the agent named for something of their own doing; only of a timed conversation."""
    for turn in view.agent:
        for clause in _CLAUSE.finditer(view.texts[turn]):
            words = clause.group()
            answers, outside = _ANSWER.search(words), _OUTSIDE.search(words)
            if not (answers or outside) or _CONDITIONAL.search(words):
                continue
            if (found := _due(words, view.at(turn))) is None:
                continue
            due, start, end = found
            act = answers or outside
            assert act is not None
            first, last = min(start, act.start()), max(end, act.end())
            yield Promise(
                turn, clause.start() + first, clause.start() + last, due, bool(answers and not outside)
            )


def broken_promise(view: View) -> Outcome:
    """Deadlines named and not kept."""
    if not view.timed:
        return Outcome(judged=False, note="对话没有时间")
    faults, kept = [], 0
    unknown = 0
    for promise in promises(view):
        verdict = _kept(view, promise)
        if verdict is None:
            unknown += 1
        elif verdict:
            kept += 1
        else:
            faults.append(
                Fault(
                    promise.turn,
                    promise.start,
                    promise.end,
                    f"承诺 {promise.due:%m月%d日%H:%M} 前办到，到时没有兑现",
                    "到时间前主动报一次进展；做不到就提前说明并改约时间",
                )
            )
    if not faults and not kept:
        note = f"{unknown} 个承诺在对话里看不出是否兑现" if unknown else "没有给出时限的承诺"
        return Outcome(judged=False, note=note)
    return Outcome(tuple(faults), score=None if faults else 1.0, note=f"{kept} 个承诺兑现")


def _kept(view: View, promise: Promise) -> bool | None:
    """Whether it was kept; None where the record does not tell."""
    for index in range(promise.turn + 1, len(view.turns)):
        late = view.at(index) > promise.due
        if view.turns[index].role == "customer":
            if late and not view.acknowledges(index) and view.says(index, "asks_after"):
                return False
        elif promise.answers and view.substantive(index):
            return not late
    until = view.request.complete_until
    if promise.answers and until is not None and until > promise.due:
        return False
    return None
