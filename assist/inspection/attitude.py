"""服务态度: polite words, friendly tone, soothing when it is asked for, words that an agent must not use."""

from __future__ import annotations

from assist.inspection.view import COLD, UPSET, Fault, Outcome, View

__all__ = ["forbidden", "friendliness", "overpromise", "politeness", "pressure", "soothing"]

RED = 3
"""The red alert level."""


def politeness(view: View) -> Outcome:
    """The share of the agent's turns with a polite word; a fault below the standards' share."""
    standards = view.standards
    said = view.agent
    if len(said) < standards.limit("politeness", "turns"):
        return Outcome(judged=False, note="客服发言太少，看不出是否礼貌")
    rude = [index for index in said if not view.says(index, "polite")]
    share = (len(said) - len(rude)) / len(said)
    note = f"{len(said)} 句中 {len(said) - len(rude)} 句有礼貌用语"
    if share >= standards.limit("politeness", "share"):
        return Outcome(score=min(1.0, 2 * share), note=note)
    fault = view.fault(
        rude[0], None, f"几乎没有礼貌用语（{note}）", "称呼“您”，开头问好，请求用“请”“麻烦”，结束道谢"
    )
    return Outcome((fault,), score=share, note=note)


def friendliness(view: View) -> Outcome:
    """How the agent's own words sound to the emotion model.

    The model has learnt from customers: it hears a mention of trouble as trouble. So its word counts alone
    only where it is sure and the turn has no polite word, else together with a retort.
    """
    if view.feelings is None:
        return Outcome(judged=False, note="没有情绪模型，听不出客服的语气")
    limits = view.standards
    faults, scores = [], []
    for index in view.agent:
        if view.says(index, "soothing"):
            scores.append(1.0)
            continue
        cold = sum(view.feelings[index].get(key, 0.0) for key in COLD)
        retort = view.says(index, "retort")
        polite = view.says(index, "polite")
        if (retort and cold >= limits.limit("friendliness", "doubtful")) or (
            not polite and cold >= limits.limit("friendliness", "cold")
        ):
            faults.append(
                view.fault(
                    index,
                    retort,
                    f"语气不友好（不满或愤怒的可能性 {cold:.0%}）",
                    "换成平和的说法，先接住客户的话，再讲办法",
                )
            )
        scores.append(1 - cold if retort else 1.0 if polite else 1 - cold / 2)
    return Outcome(tuple(faults), score=sum(scores) / len(scores))


def soothing(view: View) -> Outcome:
    """Whether the agent soothed within so many turns after the customer's feelings asked for it.

    Asked for by one turn at the standards' alert level, or by two upset turns in a row; counted from the
    first of them. Where the chat ended before the agent had so many turns, only red makes a fault.
    """
    level = view.standards.limit("soothing", "alert")
    within = int(view.standards.limit("soothing", "within"))
    alerts = {index: view.alert(index) for index in view.customer}
    if all(alert is None for alert in alerts.values()):
        return Outcome(judged=False, note="没有预警等级，也没有情绪模型")
    stretches: list[list[int]] = [[]]
    for index in view.customer:
        upset = (alerts[index] or 0) >= 1 and (view.probability(index, UPSET) or 0.0) >= 0.5
        if upset or (alerts[index] or 0) >= level:
            stretches[-1].append(index)
        elif stretches[-1]:
            stretches.append([])
    asked = [one for one in stretches if len(one) > 1 or any((alerts[at] or 0) >= level for at in one)]
    if not asked:
        return Outcome(judged=False, note="客户没有需要安抚的情绪")
    for stretch in asked:
        worst = max(alerts[index] or 0 for index in stretch)
        following = [turn for turn in view.agent if turn > stretch[0]][:within]
        if not following or (len(following) < within and worst < RED):
            continue
        if not any(view.says(turn, "soothing") for turn in following):
            reason = f"客户情绪预警 {worst} 级，{len(following)} 次回复内没有安抚"
            advice = "先说出客户的感受并道歉，再讲马上做什么"
            return Outcome((view.fault(following[0], None, reason, advice),))
    return Outcome(score=1.0, note=f"{len(asked)} 处需要安抚")


def _worded(view: View, kind: str, indicator: str) -> Outcome:
    faults = []
    also = view.standards.also[indicator]
    for index in view.agent:
        found = [one for one in view.wording[index] if one.kind == kind]
        faults += [Fault(index, one.start, one.end, one.reason, one.fix) for one in found]
        for match in also.finditer(view.texts[index]):
            if not any(one.start < match.end() and match.start() < one.end for one in found):
                faults.append(view.fault(index, match, "本店标准列出的不当用语", "换一种说法"))
    return Outcome(tuple(faults))


def forbidden(view: View) -> Outcome:
    """Insults, blame, brushing off (`assist.wording`, and the standards' own)."""
    return _worded(view, "forbidden", "forbidden")


def overpromise(view: View) -> Outcome:
    """Promises that a shop must not make."""
    return _worded(view, "promise", "overpromise")


def pressure(view: View) -> Outcome:
    """Begging or paying for good reviews."""
    return _worded(view, "pressure", "pressure")
