"""效率: first answer, average answer and handling time, session by session; only where turns have times."""

from __future__ import annotations

from assist.inspection.view import Outcome, View

__all__ = ["average_response", "first_response", "handling_time"]

_UNTIMED = Outcome(judged=False, note="对话没有时间")
_UNASKED = Outcome(judged=False, note="客户没有等待回复的话")


def _span(seconds: float) -> str:
    return f"{seconds:.0f} 秒" if seconds < 180 else f"{seconds / 60:.1f} 分钟"


def first_response(view: View) -> Outcome:
    """The wait for the first answer of each session."""
    if not view.timed:
        return _UNTIMED
    limit = view.standards.limit("first_response", "seconds")
    faults, first = [], []
    for session in view.sessions:
        own = [wait for wait in view.waits if wait.asked in session]
        if own:
            first.append(own[0].seconds)
        if own and own[0].seconds > limit:
            reason = f"首次响应 {_span(own[0].seconds)}，标准 {limit:.0f} 秒"
            faults.append(view.timing(own[0].answered, reason, "先回一句让客户知道有人在，再去查"))
    if not first:
        return _UNASKED
    return Outcome(tuple(faults), note="首次响应 " + "、".join(_span(one) for one in first))


def average_response(view: View) -> Outcome:
    """The mean wait of each session."""
    if not view.timed:
        return _UNTIMED
    limit = view.standards.limit("average_response", "seconds")
    faults, means = [], []
    for session in view.sessions:
        own = [wait for wait in view.waits if wait.asked in session]
        if not own:
            continue
        means.append(sum(wait.seconds for wait in own) / len(own))
        if means[-1] > limit:
            slowest = max(own, key=lambda wait: wait.seconds)
            reason = f"平均响应 {_span(means[-1])}，标准 {_span(limit)}"
            advice = "查得久时先告诉客户要多久，中间报一次进展"
            faults.append(view.timing(slowest.answered, reason, advice))
    if not means:
        return _UNASKED
    return Outcome(tuple(faults), note="平均响应 " + "、".join(_span(one) for one in means))


def handling_time(view: View) -> Outcome:
    """From the first to the last turn of each session."""
    if not view.timed:
        return _UNTIMED
    limit = 60 * view.standards.limit("handling_time", "minutes")
    spans = [
        (session[-1], (view.at(session[-1]) - view.at(session[0])).total_seconds())
        for session in view.sessions
    ]
    faults = tuple(
        view.timing(last, f"处理时长 {_span(span)}，标准 {_span(limit)}", "一次问齐需要的信息，少让客户来回")
        for last, span in spans
        if span > limit
    )
    return Outcome(faults, note="处理时长 " + "、".join(_span(span) for _, span in spans))
