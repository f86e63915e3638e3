"""The emotion report: reading a log, its figures, turning points, and what agents' words go with."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from data.chats import Chat, TimedTurn, read_chats
from experiments.agent_manners import MANNERS, SLOW, Reply
from experiments.emotion_page import write_emotion_report
from experiments.emotion_pictures import draw_causes, draw_chat, draw_effects
from experiments.emotion_reader import as_labelled, find_chat, read_emotions
from experiments.emotion_report import FEWEST, emotion_report
from experiments.turning_words import manner_effects, phrase_effects, replies_of

MORNING = datetime.fromisoformat("2026-11-05T09:00:00+08:00")


def chat(number, *turns, agent="kefu-01", wait=20):
    """A chat of (emotion, text) for customers and plain texts for agents."""
    at, said = MORNING + timedelta(days=number % 3, hours=number % 7), []
    for turn in turns:
        at += timedelta(seconds=wait if isinstance(turn, str) else 10)
        said.append(
            TimedTurn("agent", turn, at)
            if isinstance(turn, str)
            else TimedTurn("customer", turn[1], at, turn[0])
        )
    return Chat(f"c{number:03d}", agent, "app", tuple(said))


@pytest.fixture(scope="module")
def labelled(predictor):
    """Reads chats with the emotions that they carry, so that figures are known."""
    return lambda chats: as_labelled(read_emotions(chats, predictor), predictor)


@pytest.fixture(scope="module")
def log(labelled):
    calmed = [
        chat(n, ("angry", "气死了"), "我来给您办，明天下午三点前到", ("positive", "谢谢")) for n in range(15)
    ]
    rest = [chat(n, ("angry", "气死了"), "请您耐心等待", ("angry", "又是等"), agent="kefu-02", wait=300)
            for n in range(15, 30)]  # fmt: skip
    return labelled(calmed + rest)


@pytest.fixture(scope="module")
def report(log, taxonomy):
    return emotion_report(log, taxonomy)


def test_a_model_reads_every_message_in_context(predictor):
    chats = read_chats()[:5]
    read = read_emotions(chats, predictor)
    assert [one.chat for one in read] == chats
    for one in read:
        assert list(one.indices) == [index for index, _ in one.chat.messages]
        assert len(one.answers) == len(one.severities) == len(one.indices)
    assert find_chat(read, chats[2].id) is read[2]
    with pytest.raises(ValueError, match="c999: is not among the 5 chats"):
        find_chat(read, "c999")


def test_labels_replace_the_models_emotions(predictor, labelled):
    [one] = labelled([chat(1, ("neutral", "在吗"), "在的", ("angry", "骗子！！"))])
    assert [answer.emotion.label for answer in one.answers] == ["neutral", "angry"]
    assert one.severities[0] == 0.25
    assert one.severities[1] == 1.0
    assert one.track.trajectory == "escalating"
    bare = chat(1, (None, "在吗"), "在的")
    with pytest.raises(ValueError, match=r"turns\[0\].emotion: None is not in the schema"):
        labelled([bare])


def test_figures_of_a_known_log(report):
    assert (report.chats, report.turns) == (30, 60)
    emotions = {rate.name: rate for rate in report.emotions}
    assert emotions["angry"].count == 45
    assert emotions["angry"].rate == pytest.approx(0.75)
    assert emotions["angry"].low < 0.75 < emotions["angry"].high
    # 15 of 30 chats differ: turns counted one by one would give a much narrower interval.
    assert emotions["angry"].high - emotions["angry"].low > 0.15
    ways = {rate.name: rate.count for rate in report.trajectories}
    assert ways == {"escalating": 0, "recovering": 15, "steady": 15}
    agents = {rate.name: rate for rate in report.agents}
    assert (agents["kefu-01"].rate, agents["kefu-02"].rate) == (1.0, 0.0)
    assert agents["kefu-01"].low > 0.7 > 0.3 > agents["kefu-02"].high
    assert report.answer_seconds == {"kefu-01": 20.0, "kefu-02": 300.0}
    assert {rate.rate for rate in report.agreement} == {1.0}


def test_days_and_hours_cover_every_chat(report):
    assert sum(rate.of for rate in report.days) == sum(rate.of for rate in report.hours) == 30
    assert {rate.name for rate in report.days} == {"2026-11-05", "2026-11-06", "2026-11-07"}
    assert {rate.name for rate in report.hours} <= {"09-12", "12-15", "15-18"}


def test_nothing_is_claimed_on_few_chats(labelled, taxonomy):
    few = labelled([chat(n, ("angry", "气死了"), "好的", ("neutral", "嗯")) for n in range(FEWEST - 1)])
    found = emotion_report(few, taxonomy)
    for rates in (found.emotions, found.trajectories, found.days, found.hours, found.agents):
        assert all(rate.rate is None and rate.low is None for rate in rates)
    assert sum(rate.count for rate in found.emotions) == 2 * len(few)
    with pytest.raises(ValueError, match="no chats"):
        emotion_report([], taxonomy)


def test_causes_share_the_heat(report):
    assert sum(cause.weight for cause in report.causes) == pytest.approx(1.0)
    assert [cause.weight for cause in report.causes] == sorted(
        (c.weight for c in report.causes), reverse=True
    )
    assert sum(cause.turns for cause in report.causes) == 45
    assert all(cause.low <= cause.weight <= cause.high for cause in report.causes)


def test_turning_points_quote_masked_words(labelled, taxonomy):
    turns = ("angry", "打我电话13812345678！！"), "对不起，我现在就办", ("positive", "好 谢谢")
    [point] = emotion_report(labelled([chat(1, *turns)]), taxonomy).turning_points
    assert point.direction == "recovering"
    assert point.change < -0.5
    assert "13812345678" not in point.before
    assert point.agent_said == "对不起，我现在就办"
    assert point.after == "好 谢谢"


def test_replies_of_each_question(log, labelled):
    calmed = replies_of(log, "calmed")
    assert len(calmed) == 30
    assert sum(reply.hit for reply in calmed) == 15
    assert replies_of(log, "heated") == []
    [reply] = replies_of(
        labelled([chat(1, ("neutral", "在吗"), "不归我们", "您自己问", ("angry", "推！"))]), "heated"
    )
    assert reply.hit
    assert reply.text == "不归我们 您自己问"
    assert reply.seconds == 20


def test_a_strong_effect_is_found_and_named(log):
    found = {one.name: one for one in manner_effects(log, "calmed")}
    assert found["takes_it_on"].verdict == found["names_a_time"].verdict == "better"
    assert found["asks_to_wait"].verdict == found["slow"].verdict == "worse"
    assert found["slow"].difference == -1.0
    assert found["apologises"].verdict == "too few"
    assert found["apologises"].difference is None
    words = {one.name: one.verdict for one in phrase_effects(log, "calmed")}
    assert words["请您耐心等"] == "worse"
    assert "better" in words.values()


def test_no_effect_is_not_claimed(labelled):
    chats = [
        chat(
            n,
            ("angry", "气死了"),
            "对不起" if n % 2 else "收到",
            ("positive", "好") if n % 4 < 2 else ("angry", "滚"),
        )
        for n in range(60)
    ]
    [effect] = [one for one in manner_effects(labelled(chats), "calmed") if one.name == "apologises"]
    assert effect.difference == 0
    assert effect.verdict == "cannot tell"


def test_alike_replies_of_one_chat_count_for_fewer(labelled):
    """Ten chats that repeat themselves six times say less than sixty chats."""

    def turns(times, end):
        for _ in range(times):
            yield from (("angry", "气"), "对不起，是我们的错")
        yield end

    calm, hot = ("positive", "好"), ("angry", "哼")
    others = [chat(n, ("angry", "气"), "收到", calm if n % 2 else hot) for n in range(100, 130)]
    once = [chat(n, *turns(1, calm if n % 4 else hot)) for n in range(60)]
    again = [
        chat(
            n, *[part for _ in range(6) for part in (("angry", "气"), "对不起", calm if n % 4 else hot, "嗯")]
        )
        for n in range(10, 22)
    ]
    width = {}
    for name, chats in (("once", once), ("again", again)):
        [effect] = [
            one for one in manner_effects(labelled([*chats, *others]), "calmed") if one.name == "apologises"
        ]
        width[name] = (effect.high - effect.low, effect.replies, effect.chats)
    assert width["again"][1] >= width["once"][1]
    assert width["again"][0] > width["once"][0]


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("apologises", "不好意思呀 我再看看"),
        ("names_feeling", "换谁都气"),
        ("takes_it_on", "这是我们的错"),
        ("names_a_time", "今晚九点装车"),
        ("vague_promise", "马上马上"),
        ("asks_to_wait", "请您耐心等待哦"),
        ("points_to_rules", "这是系统规定"),
        ("passes_on", "需要您自己联系快递改派哦"),
    ],
)
def test_manners_are_recognised(key, text):
    by_key = {manner.key: manner for manner in MANNERS}
    reply = Reply("c", "a", text, 10.0, False)
    assert by_key[key].shown_by(reply)
    assert not by_key[key].shown_by(replace(reply, text="好的"))
    assert not by_key["slow"].shown_by(reply)
    assert by_key["slow"].shown_by(replace(reply, seconds=SLOW + 1))


def test_the_report_is_a_folder(log, taxonomy, tmp_path):
    page = write_emotion_report(log, taxonomy, tmp_path / "report")
    text = page.read_text(encoding="utf-8")
    figures = json.loads((page.parent / "report.json").read_text(encoding="utf-8"))
    assert figures["chats"] == 30
    assert len(figures["manners"]["calmed"]) == len(MANNERS)
    for picture in page.parent.glob("*.png"):
        assert f"({picture.name})" in text
    assert len(list(page.parent.glob("*.png"))) == 6
    assert "better" in text


def test_pictures_of_little(labelled, taxonomy):
    few = labelled([chat(1, ("neutral", "在吗"), "在", ("neutral", "嗯"))])
    found = emotion_report(few, taxonomy)
    for picture in (draw_causes(found, taxonomy), draw_chat(few[0], taxonomy), draw_effects([], "none")):
        assert picture.png.startswith(b"\x89PNG")
