"""How a conversation went: the customer's heat, where the mood turned, and the alert that stands now.

Pure functions over the answers to the customer's single turns; agents' turns are context and do not count.
The rules, why they are so, and how far they agree with careful readers: docs/track.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Literal

from data.taxonomy import Taxonomy
from serving.schema import (
    AlertAnswer,
    Analysis,
    AnalyzeRequest,
    ContextTurn,
    StandingAlert,
    TrackedTurn,
    TrackResponse,
)

__all__ = ["RULES", "TRAJECTORIES", "TrackRules", "follow", "messages_of", "severity"]

Trajectory = Literal["escalating", "recovering", "steady"]
TRAJECTORIES: dict[Trajectory, str] = {
    "escalating": "情绪升级",
    "recovering": "情绪缓和",
    "steady": "情绪平稳",
}
"""Every trajectory, and what shop people read."""
# How heated a customer of each emotion is. A shop's own emotions count by their polarity.
_EMOTIONS = {"anxious": 0.5, "dissatisfied": 0.65, "disappointed": 0.75, "angry": 1.0}
_POLARITIES = {"positive": 0.0, "neutral": 0.25, "negative": 0.65}


@dataclass(frozen=True, slots=True)
class TrackRules:
    """What decides a trajectory and a standing alert; docs/track.md says why the defaults are so."""

    smoothing: float = 0.4
    """Share of the newest turn in the heat, above 0 to 1."""
    change_cost: float = 0.08
    """What a change of mood has to explain (squared severity, summed over turns) to count as one."""
    calm_turns: int = 2
    """Turns in a row below the standing alert after which it falls by one level."""
    red_falls: int = 1
    """Levels by which an alert of the highest level can fall within a conversation."""

    def __post_init__(self) -> None:
        if not 0 < self.smoothing <= 1:
            raise ValueError(f"smoothing: {self.smoothing} must be above 0 and at most 1")
        if not self.change_cost > 0:
            raise ValueError(f"change_cost: {self.change_cost} must be above 0")
        if self.calm_turns < 1 or self.red_falls < 0:
            raise ValueError("calm_turns: must be at least 1, and red_falls at least 0")


RULES = TrackRules()


def messages_of(turns: Sequence[ContextTurn]) -> tuple[list[int], list[AnalyzeRequest]]:
    """Each customer turn that has text, as a message with all turns before it.

    Returns:
        Positions in `turns`, and the messages in the same order; as many of each.
    """
    indices = [index for index, turn in enumerate(turns) if turn.role == "customer" and turn.text.strip()]
    messages = [
        AnalyzeRequest(text=turns[index].text, context=list(turns[:index]), top=1) for index in indices
    ]
    return indices, messages


def severity(answer: Analysis, taxonomy: Taxonomy) -> float:
    """How heated one turn is by itself: 0 (pleased), 0.25 (neutral), 0.5 (anxious) to 1 (angry).

    The expected value over the emotion's probabilities, so that a model that wavers between two emotions
    lands between them. The alert is a lower bound (a red one 0.75): who names the court is heated, however
    calmly it is said.
    """
    expected = 0.0
    for key, probability in answer.emotion.scores.items():
        emotion = taxonomy.emotion.get(key)
        polarity = emotion.polarity if emotion else "neutral"
        expected += probability * _EMOTIONS.get(key, _POLARITIES[polarity])
    highest = max(alert.level for alert in taxonomy.alerts)
    floor = 0.75 * answer.alert.level / highest if highest else 0.0
    return min(max(expected, floor), 1.0)


def follow(
    indices: Sequence[int], answers: Sequence[Analysis], taxonomy: Taxonomy, rules: TrackRules = RULES
) -> TrackResponse:
    """Put the answers to a customer's turns together.

    Args:
        indices: position of each turn in the conversation, ascending.
        answers: of the same turns, each read with the turns before it.

    Raises:
        ValueError: no answers, or not as many as indices.
    """
    if not answers:
        raise ValueError("turns: needs at least one turn of the customer with text")
    severities = [severity(answer, taxonomy) for answer in answers]
    heats = accumulate(severities, lambda heat, newest: heat + rules.smoothing * (newest - heat))
    trajectory, changed = _trajectory(severities, rules.change_cost)
    turns = [
        TrackedTurn(index=index, emotion=answer.emotion, alert=answer.alert, heat=round(heat, 4))
        for index, answer, heat in zip(indices, answers, heats, strict=True)
    ]
    return TrackResponse(
        turns=turns,
        trajectory=trajectory,
        trajectory_zh=TRAJECTORIES[trajectory],
        changed_at=None if changed is None else indices[changed],
        alert=_standing(indices, [answer.alert for answer in answers], taxonomy, rules),
        model=answers[-1].model,
    )


def _trajectory(severities: Sequence[float], cost: float) -> tuple[Trajectory, int | None]:
    """Direction and place of the last change of mood; a conversation without one is steady."""
    starts = _segments(severities, cost)
    if len(starts) < 2:
        return "steady", None
    ends = [*starts[1:], len(severities)]
    before, after = (
        sum(severities[start:end]) / (end - start) for start, end in list(zip(starts, ends, strict=True))[-2:]
    )
    return ("escalating" if after > before else "recovering"), starts[-1]


def _segments(values: Sequence[float], cost: float) -> list[int]:
    """Where the stretches of the best piecewise constant fit begin; the first is 0.

    Least squares plus `cost` for each change, exactly. Source: Jackson et al., "An algorithm for optimal
    partitioning of data on an interval", 2005.
    """
    sums = [0.0, *accumulate(values)]
    squares = [0.0, *accumulate(value * value for value in values)]
    best, began = [-cost], [0]
    for end in range(1, len(values) + 1):
        options = [
            best[start]
            + cost
            + squares[end]
            - squares[start]
            - (sums[end] - sums[start]) ** 2 / (end - start)
            for start in range(end)
        ]
        # Rounding must not make a change out of a tie: the longest last stretch wins.
        least = min(options)
        start = next(place for place, option in enumerate(options) if option <= least + 1e-9)
        best.append(least)
        began.append(start)
    found, end = [], len(values)
    while end:
        end = began[end]
        found.append(end)
    return found[::-1]


def _standing(
    indices: Sequence[int], alerts: Sequence[AlertAnswer], taxonomy: Taxonomy, rules: TrackRules
) -> StandingAlert:
    """Rises at once to the level of a turn; falls by one after enough turns below it in a row."""
    names = {alert.level: alert.zh for alert in taxonomy.alerts}
    highest = max(names)
    level, calm, floor, peak = 0, 0, 0, 0
    reasons: list[str] = []
    levels: list[int] = []
    for alert in alerts:
        if alert.level >= level:
            level, calm, reasons = alert.level, 0, alert.reasons
            peak = level
            if level == highest:
                floor = max(level - rules.red_falls, 0)
        else:
            calm += 1
            if calm >= rules.calm_turns and level > floor:
                level, calm = level - 1, 0
        levels.append(level)
    if not level:
        return StandingAlert(level=0, zh=names[0], reasons=[], since=None)
    rose = max((place for place, (a, b) in enumerate(pairwise([0, *levels])) if a < level <= b), default=0)
    fell = [f"已由“{names[peak]}”降级：顾客连续转平静"] if level < peak else []
    return StandingAlert(level=level, zh=names[level], reasons=[*reasons, *fell], since=indices[rose])
