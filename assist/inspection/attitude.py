"""服务态度: polite words, friendly tone, soothing when it is asked for, and words that an agent must not use."""

from __future__ import annotations

from assist.inspection.view import COLD, Fault, Outcome, View
from assist.wording import find_wording

__all__ = ["forbidden", "friendliness", "overpromise", "politeness", "pressure", "soothing"]


def politeness(view: View) -> Outcome:
    """The share of the agent's turns with a polite word; a fault below the standards' share."""
    standards = view.standards
    said = view.agent
    if len(said) < standards.limit("politeness", "turns"):
        return Outcome(judged=False, note="客服发言太少，看不出是否礼貌")
    rude = [index for index in said if not view.says(index, "polite")]
    share = 1 - len(rude) / len(said)
    note = f"{len(said)} 句中 {len(said) - len(rude)} 句有礼貌用语"
    if share >= standards.limit("politeness", "share"):
        return Outcome(score=min(1.0, 2 * share), note=note)
    fault = view.fault(
        rude[0], None, f"几乎没有礼貌用语（{note}）", "称呼“您”，开头问好，请求用“请”“麻烦”，结束道谢"
    )
    return Outcome((fault,), score=share, note=note)


def friendliness(view: View) -> Outcome:
    """How the agent's own words sound to the emotion model; words of apology are not taken for anger."""
    if view.feelings is None:
        return Outcome(judged=False, note="没有情绪模型，听不出客服的语气")
    limit = view.standards.limit("friendliness", "cold")
    faults, scores = [], []
    for index in view.agent:
        cold = sum(view.feelings[index].get(key, 0.0) for key in COLD)
        cold = 0.0 if view.says(index, "soothing") else cold
        scores.append(1 - cold)
        if cold >= limit:
            faults.append(
                view.fault(index, None, f"语气不友好（不满或愤怒的可能性 {cold:.0%}）", "换成平和的说法，先接住客户的话，再讲办法")
            )  # fmt: skip
    return Outcome(tuple(faults), score=sum(scores) / len(scores) if not faults else None)


def soothing(view: View) -> Outcome:
    """Whether the agent soothed within so many turns after a customer's turn that asked for it."""
    level = view.standards.limit("soothing", "alert")
    within = int(view.standards.limit("soothing", "within"))
    alerts = {index: view.alert(index) for index in view.customer}
    if all(alert is None for alert in alerts.values()):
        return Outcome(judged=False, note="没有预警等级，也没有情绪模型")
    asked = [index for index, alert in alerts.items() if (alert or 0) >= level]
    if not asked:
        return Outcome(judged=False, note="客户没有需要安抚的情绪")
    faults: list[Fault] = []
    calm_until = -1
    for index in asked:
        if index < calm_until:
            continue
        following = [turn for turn in view.agent if turn > index][:within]
        if not following:
            continue
        soothed = next((turn for turn in following if view.says(turn, "soothing")), None)
        # One finding for a stretch: what came after the turns looked at is another matter.
        calm_until = soothed if soothed is not None else following[-1] + 1
        if soothed is None and not faults:
            faults.append(
                view.fault(
                    following[0],
                    None,
                    f"客户情绪预警 {alerts[index]} 级，{len(following)} 次回复内没有安抚",
                    "先说出客户的感受并道歉，再讲马上做什么",
                )
            )
    return Outcome(tuple(faults), score=None if faults else 1.0, note=f"{len(asked)} 句需要安抚")


def _worded(view: View, kind: str, indicator: str) -> Outcome:
    faults = []
    also = view.standards.also[indicator]
    for index in view.agent:
        found = find_wording(view.turns[index].text, (kind,))
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
