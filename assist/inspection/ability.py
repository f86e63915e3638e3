"""专业能力: is the answer true, did it help, was the customer sent elsewhere instead of being answered."""

from __future__ import annotations

from assist.inspection.deadlines import Promise, promises
from assist.inspection.facts import Check
from assist.inspection.view import UPSET, Fault, Outcome, View, is_question

__all__ = ["accuracy", "effectiveness", "evasion"]

BRIEF = 40
"""Letters of an answer up to which a refusal in it is all that it says."""


def accuracy(view: View, check: Check | None) -> Outcome:
    """The agent's answers held against knowledge, one by one; a contradiction is a fault."""
    if check is None:
        return Outcome(judged=False, note="没有知识库可以对照")
    faults: list[Fault] = []
    support = 0
    asked_before = ""
    for exchange in view.exchanges:
        asked = " ".join(view.turns[index].text for index in exchange.customer)
        for index in exchange.agent:
            verdict = check(f"{asked_before} {asked}".strip(), view.turns[index].text)
            if verdict.kind == "support":
                support += 1
            elif verdict.kind == "contradiction":
                start, end = verdict.span or (0, len(view.turns[index].text))
                reason = f"与知识库不符：“{verdict.passage}”"
                faults.append(Fault(index, start, end, reason, "按知识库改正，并告诉客户刚才说错了"))
        asked_before = asked
    judged = support + len(faults)
    if not judged:
        return Outcome(judged=False, note="知识库里没有能对照的内容")
    return Outcome(
        tuple(faults), score=support / judged, note=f"对照了 {judged} 句回答，{support} 句与知识库一致"
    )


def effectiveness(view: View) -> Outcome:
    """How the customer left: by the last words, their feeling, and whether the last question was answered."""
    last = view.customer[-1] if view.customer else None
    if last is None:
        return Outcome(judged=False, note="没有客户的话")
    advice = "结束前确认问题是否解决，没解决就说清下一步和时间"
    unanswered = last > view.agent[-1]
    bad = view.says(last, "unsolved")
    good = view.says(last, "content")
    upset = view.probability(last, UPSET)
    limit = view.standards.limit("effectiveness", "upset")
    if bad and not (good and good.start() < bad.start() and (upset is None or upset < limit)):
        return Outcome((view.fault(last, bad, "客户最后的话说明问题没有解决", advice),))
    if unanswered and any(promise.turn == view.agent[-1] for promise in _never_answered(view)):
        return Outcome((view.fault(last, None, "客服答应了答复，之后没有下文", advice),))
    if unanswered and not view.acknowledges(last) and (is_question(view.texts[last]) or not good):
        return Outcome((view.fault(last, None, "客户最后的话没有人回答", advice),))
    if upset is not None and upset >= limit and not good:
        return Outcome((view.fault(last, None, f"客户带着负面情绪结束（可能性 {upset:.0%}）", advice),))
    if good:
        return Outcome(score=1.0, note="客户最后的话是满意或接受的")
    if upset is None:
        return Outcome(judged=False, note="客户最后的话看不出是否解决")
    return Outcome(score=1 - upset, note="按客户最后一句的情绪估计")


def _never_answered(view: View) -> list[Promise]:
    until = view.request.complete_until
    if until is None or not view.timed:
        return []
    return [one for one in promises(view) if one.answers and one.due < until]


def evasion(view: View) -> Outcome:
    """Turns that send the customer elsewhere, or leave it at not knowing, without taking anything on."""
    faults: list[Fault] = []
    pointed: list[int] = []
    limit = int(view.standards.limit("evasion", "away"))
    for exchange in view.exchanges:
        answered = any(view.says(index, "offer") for index in exchange.agent)
        letters = sum(char.isalnum() for index in exchange.agent for char in view.texts[index])
        for index in exchange.agent:
            # Not knowing is a fault of its own only where the agent leaves it at that.
            refusal = view.says(index, "refusal") if letters <= BRIEF else None
            away = view.says(index, "away")
            if answered or not (refusal or away):
                continue
            pointed.append(index)
            if len(pointed) == limit or refusal:
                faults.append(
                    view.fault(
                        index,
                        refusal or away,
                        f"第 {len(pointed)} 次没有回答，把客户推给别处或推说不知道",
                        "自己去查到再回复；要客户去做的事，说清在哪里、怎么做",
                        "minor" if len(pointed) < limit else None,
                    )
                )
    return Outcome(tuple(faults))
