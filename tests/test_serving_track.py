"""Following a conversation: heat, the turn of mood, and the alert that stands."""

import time

import pytest

from serving.schema import (
    MAX_CONTEXT,
    AlertAnswer,
    Analysis,
    CategoryAnswer,
    ContextTurn,
    EmotionAnswer,
    ModelAnswer,
)
from serving.track import RULES, TRAJECTORIES, TrackRules, follow, messages_of, severity

LEVELS = {"positive": 0, "neutral": 0, "anxious": 1, "dissatisfied": 2, "disappointed": 2, "angry": 3}


def answer(taxonomy, mood, level=None, **scores):
    """What a model that is sure says, or one with the given probabilities."""
    level = LEVELS[mood] if level is None else level
    alert = taxonomy.alerts[level]
    return Analysis(
        category=CategoryAnswer(
            label="order_status", zh="订单状态", group="order", score=1.0, top=[], abstain=False
        ),
        emotion=EmotionAnswer(
            label=mood,
            zh=taxonomy.emotion[mood].zh,
            polarity=taxonomy.emotion[mood].polarity,
            score=1.0,
            scores=scores or {mood: 1.0},
        ),
        alert=AlertAnswer(level=level, zh=alert.zh, reasons=[f"情绪：{mood}"] if level else []),
        model=ModelAnswer(category="c@1", emotion="e@1", snapshot="s", policy=2),
    )


def followed(taxonomy, moods, rules=RULES):
    """Each a mood, or (mood, level); customer turns stand at even places."""
    answers = [answer(taxonomy, *(mood if isinstance(mood, tuple) else (mood,))) for mood in moods]
    return follow(list(range(0, 2 * len(moods), 2)), answers, taxonomy, rules)


def test_each_customer_turn_is_read_with_all_before_it():
    turns = [
        ContextTurn(role="agent", text="在的亲"),
        ContextTurn(role="customer", text="到哪了"),
        ContextTurn(role="customer", text="  "),
        ContextTurn(role="agent", text=""),
        ContextTurn(role="customer", text="急死了"),
    ]
    indices, messages = messages_of(turns)
    assert indices == [1, 4]
    assert [message.text for message in messages] == ["到哪了", "急死了"]
    assert [message.context for message in messages] == [turns[:1], turns[:4]]


def test_severity_follows_the_probabilities(taxonomy):
    order = ("positive", "neutral", "anxious", "dissatisfied", "disappointed", "angry")
    values = [severity(answer(taxonomy, mood), taxonomy) for mood in order]
    assert values == sorted(set(values))
    assert (values[0], values[1], values[-1]) == (0.0, 0.25, 1.0)
    torn = answer(taxonomy, "dissatisfied", level=1, dissatisfied=0.5, neutral=0.5)
    assert severity(torn, taxonomy) == pytest.approx(0.45)


def test_a_red_word_heats_a_calm_turn(taxonomy):
    assert severity(answer(taxonomy, "neutral", level=3), taxonomy) == 0.75
    assert severity(answer(taxonomy, "angry", level=0), taxonomy) == 1.0


def test_emotions_of_a_shops_own_count_by_polarity(taxonomy):
    from data.taxonomy import parse_taxonomy

    own = parse_taxonomy(
        {
            **taxonomy.raw,
            "boundaries": [],
            "emotions": [
                {"key": "furious", "zh": "暴怒", "polarity": "negative", "definition": "发火"},
                {"key": "plain", "zh": "平静", "polarity": "neutral", "definition": "平静"},
                {"key": "glad", "zh": "高兴", "polarity": "positive", "definition": "高兴"},
            ],
        }
    )
    glad, plain, furious = (
        severity(answer(taxonomy, "neutral", 0, **{key: 1.0}), own) for key in ("glad", "plain", "furious")
    )
    assert glad < plain < furious


@pytest.mark.parametrize(
    ("moods", "trajectory", "changed"),
    [
        (["angry"], "steady", None),
        (["neutral"] * 5, "steady", None),
        (["angry"] * 4, "steady", None),
        (["neutral", "neutral", "anxious", "dissatisfied", "dissatisfied"], "escalating", 4),
        (["neutral", "neutral", "neutral", "neutral", "angry"], "escalating", 8),
        (["anxious", "dissatisfied", "angry", "neutral", "neutral"], "recovering", 6),
        (["neutral", "neutral", "dissatisfied", "dissatisfied", "neutral"], "recovering", 8),
        # One odd turn between calm ones is none, nor is a polite thank-you at the end.
        (["neutral", "neutral", "dissatisfied", "neutral", "neutral"], "steady", None),
        (["neutral", "neutral", "neutral", "anxious", "neutral"], "steady", None),
        (["neutral", "neutral", "neutral", "neutral", "positive"], "steady", None),
    ],
)
def test_trajectories(taxonomy, moods, trajectory, changed):
    found = followed(taxonomy, moods)
    assert (found.trajectory, found.changed_at) == (trajectory, changed)
    assert found.trajectory_zh == TRAJECTORIES[trajectory]
    assert [turn.index for turn in found.turns] == list(range(0, 2 * len(moods), 2))


def test_the_change_is_the_best_of_all_ways_to_cut(taxonomy):
    """Against trying every segmentation of random conversations."""
    import itertools

    import numpy as np

    generator = np.random.default_rng(3)
    names = list(LEVELS)
    for _ in range(40):
        moods = [names[place] for place in generator.integers(len(names), size=generator.integers(2, 8))]
        values = [severity(answer(taxonomy, mood), taxonomy) for mood in moods]
        best = (float("inf"), ())
        for count in range(len(values)):
            for cuts in itertools.combinations(range(1, len(values)), count):
                parts = np.split(np.array(values), cuts)
                cost = sum(((part - part.mean()) ** 2).sum() for part in parts) + RULES.change_cost * count
                if cost < best[0] - 1e-9:
                    best = (cost, cuts)
        expected = 2 * best[1][-1] if best[1] else None
        assert followed(taxonomy, moods).changed_at == expected, moods


def test_heat_is_smoothed(taxonomy):
    heats = [turn.heat for turn in followed(taxonomy, ["neutral", "angry", "neutral", "neutral"]).turns]
    assert heats[0] == 0.25
    assert heats[1] == pytest.approx(0.25 + RULES.smoothing * 0.75)
    assert heats[0] < heats[3] < heats[2] < heats[1]


@pytest.mark.parametrize(
    ("levels", "level", "since"),
    [
        ([0, 0], 0, None),
        ([0, 2], 2, 2),
        ([1, 2, 2], 2, 2),
        ([2, 0], 2, 0),  # one calm turn is not enough
        ([2, 0, 0], 1, 0),
        ([2, 0, 2, 0], 2, 0),  # not in a row
        ([2, 0, 0, 0, 0], 0, None),
        ([2, 0, 0, 0, 0, 1], 1, 10),
        ([1, 3, 0, 0], 2, 2),
        ([3, 0, 0, 0, 0, 0, 0], 2, 0),  # red stays on the supervisor's board
        ([3, 0, 0, 2, 3], 3, 8),
        ([3, 2, 2], 2, 0),
        ([1, 1, 2, 0, 0], 1, 0),
    ],
)
def test_the_standing_alert_rises_at_once_and_falls_slowly(taxonomy, levels, level, since):
    alert = followed(taxonomy, [("neutral", one) for one in levels]).alert
    assert (alert.level, alert.since) == (level, since)
    assert alert.zh == taxonomy.alerts[level].zh
    assert bool(alert.reasons) == (level > 0)


def test_a_fallen_alert_says_from_where(taxonomy):
    alert = followed(taxonomy, ["angry", "neutral", "neutral"]).alert
    assert alert.reasons == ["情绪：angry", "已由“红色预警”降级：顾客连续转平静"]
    assert followed(taxonomy, ["angry", "neutral", "neutral", "dissatisfied"]).alert.reasons == [
        "情绪：dissatisfied"
    ]


def test_other_rules(taxonomy):
    quick = TrackRules(calm_turns=1, red_falls=3)
    assert followed(taxonomy, ["angry", "neutral", "neutral", "neutral"], quick).alert.level == 0
    for wrong in ({"smoothing": 0}, {"change_cost": 0}, {"calm_turns": 0}, {"red_falls": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            TrackRules(**wrong)


def test_it_needs_turns(taxonomy):
    with pytest.raises(ValueError, match="turns"):
        follow([], [], taxonomy)
    with pytest.raises(ValueError, match="argument"):
        follow([0, 1], [answer(taxonomy, "neutral")], taxonomy)


def test_the_longest_conversation_is_quick(taxonomy):
    moods = [list(LEVELS)[place % 6] for place in range(MAX_CONTEXT)]
    start = time.perf_counter()
    followed(taxonomy, moods)
    assert time.perf_counter() - start < 0.5


def test_operations_follow_a_real_model(predictor):
    import anyio

    from serving.operations import Operations
    from serving.schema import TrackRequest

    class Alone:
        taxonomy = predictor.taxonomy

        async def analyze(self, requests):
            return predictor.analyze(requests)

    turns = [
        {"role": "customer", "text": "我要退款"},
        {"role": "agent", "text": "亲，请问什么原因呢"},
        {"role": "customer", "text": "我要打12315投诉你们"},
    ]
    request = TrackRequest.model_validate({"turns": turns})
    found = anyio.run(Operations(Alone(), None).track, request)
    assert [turn.index for turn in found.turns] == [0, 2]
    assert (found.alert.level, found.alert.since) == (3, 2)
    assert found.model == predictor.model
