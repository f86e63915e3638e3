"""The figures of tracking against gold, by hand."""

from dataclasses import replace

import pytest

from data.example import Example, Turn
from experiments.track_quality import agreement, answer_conversations, relapses, smoothings


def chat(name, *turns):
    """Rows of one conversation: (text, emotion) of each customer turn, an agent's turn between."""
    rows, context = [], ()
    for number, (text, emotion) in enumerate(turns):
        rows.append(
            Example(
                f"{name}-{number}", text, "order_status", emotion, "lin", context=context, conversation=name
            )
        )
        context = (*context, Turn("customer", text), Turn("agent", "在的亲"))
    return rows


@pytest.fixture
def rows():
    return [
        *chat("calm", ("在吗", "neutral"), ("好的", "neutral"), ("谢谢", "positive")),
        *chat("hot", ("在吗", "neutral"), ("到哪了", "neutral"), ("你们怎么回事", "angry")),
        *chat(
            "soothed", ("你们怎么回事", "angry"), ("好的", "neutral"), ("嗯", "neutral"), ("哦", "neutral")
        ),
        Example("alone", "在吗", "greeting", "neutral", "lin"),
    ]


def test_only_wholly_labelled_conversations_count(rows, predictor):
    del rows[1]  # a turn in the middle of the first
    found = answer_conversations(predictor, rows)
    assert [one.indices for one in found] == [[0, 2, 4], [0, 2, 4, 6]]
    assert [answer.emotion.label for answer in found[1].gold] == ["angry", "neutral", "neutral", "neutral"]
    assert found[1].gold[0].alert.level == 3
    assert found[1].champion[0].model == predictor.model


def test_gold_against_itself_and_against_its_opposite(rows, predictor):
    chats = answer_conversations(predictor, rows)
    same = agreement([replace(one, champion=one.gold) for one in chats], predictor)
    assert same["gold"] == {"steady": 1, "escalating": 1, "recovering": 1}
    assert same["trajectory_kappa"] == same["change_exact"] == same["alert_accuracy"] == 1.0
    assert same["heat_mean_difference"] == same["opposite"] == 0

    calm, hot, soothed = chats
    late = replace(soothed, champion=[soothed.gold[0], *soothed.gold[:2], soothed.gold[3]])
    deaf = replace(hot, champion=calm.gold)
    wrong = agreement([calm, late, deaf], predictor)
    assert (wrong["turned"], wrong["change_exact"], wrong["change_within_one"]) == (2, 0.0, 0.5)
    # One of three is red in gold and calm here; the other two end alike.
    assert wrong["alert_too_low"] == pytest.approx(1 / 3)
    assert wrong["alert_within_one"] == pytest.approx(2 / 3)


def test_relapses_and_smoothing(predictor):
    rows = [
        *chat("a", ("一", "angry"), ("二", "neutral"), ("三", "angry")),
        *chat("b", ("一", "angry"), ("二", "neutral"), ("三", "neutral"), ("四", "neutral")),
    ]
    chats = answer_conversations(predictor, rows)
    first, second, third = relapses(chats)
    assert (first["cases"], first["again"]) == (2, 0.5)
    assert (second["cases"], second["again"]) == (1, 0.0)
    assert third["cases"] == 0
    # Without smoothing the forecast is the last turn: 0.75 away three times, and right twice.
    assert smoothings(chats, predictor)["1.0"] == pytest.approx((3 * 0.75**2 / 5) ** 0.5)
