"""Reading a log of chats, the tables and pictures of what customers write."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import timedelta

import pytest

from data import pii
from data.chats import DEMO_SHOP, answer_seconds, read_chats, unlabelled
from data.example import Example, Turn
from data.explore import (
    emotion_by_turn,
    emotion_counts,
    emotion_over_time,
    lengths,
    near_pairs,
    typical_words,
)
from data.explore_pictures import draw_categories, draw_emotions, draw_lengths
from data.phrases import count_phrases, log_odds, phrases_of
from data.pictures import chinese_font, draw, named
from data.split import near_duplicates
from data.tables import Table

PNG = b"\x89PNG"
CHAT = {
    "id": "c1",
    "agent": "kefu-01",
    "channel": "app",
    "turns": [
        {"role": "customer", "text": "在吗", "sent_at": "2026-11-05T09:00:00+08:00", "emotion": "neutral"},
        {"role": "customer", "text": "急", "sent_at": "2026-11-05T09:00:10+08:00", "emotion": "anxious"},
        {"role": "agent", "text": "在的", "sent_at": "2026-11-05T09:00:30+08:00"},
        {"role": "agent", "text": "您说", "sent_at": "2026-11-05T09:00:40+08:00"},
        {"role": "customer", "text": "谢谢", "sent_at": "2026-11-05T09:02:00+08:00", "emotion": "positive"},
        {"role": "agent", "text": "不客气", "sent_at": "2026-11-05T09:02:05+08:00"},
    ],
}


def row(text, **values):
    settings = {"id": text, "category": "greeting", "emotion": "neutral", "author": "a", **values}
    return Example(text=text, **settings)


def write(tmp_path, *chats):
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(json.dumps(chat, ensure_ascii=False) for chat in chats), encoding="utf-8")
    return path


def test_demo_shop_is_a_fit_log(taxonomy):
    chats = read_chats()
    assert len(chats) >= 80
    assert len({chat.began.date() for chat in chats}) == 14
    assert all(4 <= len(chat.turns) <= 12 for chat in chats)
    assert len({chat.agent for chat in chats}) == 3
    assert all(turn.emotion in taxonomy.emotion for chat in chats for _, turn in chat.messages)
    assert all(turn.sent_at.utcoffset() == timedelta(hours=8) for chat in chats for turn in chat.turns)
    assert max(chats, key=lambda one: sum(c.began.date() == one.began.date() for c in chats)).began.day == 11


def test_demo_shop_has_no_personal_data_and_is_no_copy(corpus):
    texts = [turn.text for chat in read_chats() for turn in chat.turns]
    assert not [text for text in texts if {span.kind for span in pii.find(text)} - {"name", "address"}]
    long = [text for text in texts if len(text) >= 10 and not text.startswith("[")]
    assert len(set(long)) == len(long)
    left, right = near_duplicates([one.text for one in corpus[::4]] + long, 0.85)
    border = len(corpus[::4])
    assert not [1 for a, b in zip(left, right, strict=True) if a < border <= b]


def test_read_chats_sorts_by_beginning(tmp_path):
    later = json.loads(json.dumps(CHAT).replace("2026-11-05", "2026-11-06"))
    assert [chat.id for chat in read_chats(write(tmp_path, {**later, "id": "c2"}, CHAT))] == ["c1", "c2"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda chat: chat.update(channel="fax"), "channel: expected one of app"),
        (lambda chat: chat.update(agent=" "), "agent: expected a text"),
        (lambda chat: chat.update(name="王"), "name: is unknown"),
        (lambda chat: chat["turns"][0].update(role="boss"), r"turns\[0\].role: expected customer or agent"),
        (lambda chat: chat["turns"][2].update(text=""), r"turns\[2\].text: expected a text"),
        (lambda chat: chat["turns"][1].update(sent_at="gestern"), r"turns\[1\].sent_at: expected a time"),
        (
            lambda chat: chat["turns"][1].update(sent_at="2026-11-05T09:00:10"),
            r"turns\[1\].sent_at: .* has no offset",
        ),
        (
            lambda chat: chat["turns"][1].update(sent_at="2026-11-05T08:00:00+08:00"),
            r"turns\[1\].sent_at: is before",
        ),
        (
            lambda chat: chat["turns"][2].update(emotion="angry"),
            r"turns\[2\].emotion: .* customer's turn only",
        ),
        (
            lambda chat: chat.update(turns=[chat["turns"][2]]),
            "turns: needs at least one turn of the customer",
        ),
        (lambda chat: chat["turns"][0].update(seen=True), r"turns\[0\]: seen: is unknown"),
    ],
)
def test_wrong_chats_are_named(tmp_path, change, said):
    chat = json.loads(json.dumps(CHAT))
    change(chat)
    with pytest.raises(ValueError, match=rf"log.jsonl:2: {said}"):
        read_chats(write(tmp_path, {**CHAT, "id": "c0"}, chat))


def test_ids_occur_once_and_a_log_is_not_empty(tmp_path):
    with pytest.raises(ValueError, match=r"log.jsonl:2: id: 'c1' occurs twice"):
        read_chats(write(tmp_path, CHAT, CHAT))
    with pytest.raises(ValueError, match="holds no chats"):
        read_chats(write(tmp_path))


def test_waits_begin_with_the_first_unanswered_turn(tmp_path):
    [chat] = read_chats(write(tmp_path, CHAT))
    assert answer_seconds(chat) == [(2, 30.0), (5, 5.0)]
    texts = [(text, len(context)) for text, context in unlabelled([chat])]
    assert texts == [("在吗", 0), ("急", 1), ("谢谢", 4)]


def test_phrases_do_not_cross_marks_or_placeholders():
    assert phrases_of("好的 谢谢[手机号]OK吗", 2, 3) == {"好的", "谢谢", "ok"}
    assert count_phrases(["退退退款", "退款"], 2, 2) == {"退退": 1, "退款": 2}


def test_log_odds_follow_the_paper():
    scores = log_odds({"a": 10, "b": 90}, {"a": 5, "b": 95}, prior=20)
    # alpha of "a" is 20 * 15/200 = 1.5; Monroe et al., equations 15 to 17 and 19 to 22.
    delta = math.log(11.5 / (120 - 11.5)) - math.log(6.5 / (120 - 6.5))
    assert scores["a"] == pytest.approx(delta / math.sqrt(1 / 11.5 + 1 / 6.5))
    assert scores["b"] < 0 < scores["a"]
    with pytest.raises(ValueError, match="same words"):
        log_odds({"a": 1}, {"b": 1})


def test_log_odds_do_not_crown_rare_words():
    scores = log_odds({"rare": 2, "often": 80, "rest": 900}, {"rare": 0, "often": 20, "rest": 900})
    assert scores["often"] > scores["rare"] > 0


def test_typical_words_find_what_was_planted():
    rows = [row(f"谢谢 {n}", emotion="positive") for n in range(20)]
    rows += [row(f"气死人 {n}", emotion="angry") for n in range(20)]
    found = typical_words(rows, "emotion", most=2, seen=5)
    best = {one.group: one for one in reversed(found)}
    assert best["positive"].word == "谢谢"
    assert (best["positive"].messages, best["positive"].elsewhere) == (20, 0)
    assert best["angry"].word in "气死人"
    assert sum(one.group == "angry" for one in found) == 1  # the rest of 气死人 is a part of it


def test_counts_and_lengths(taxonomy):
    rows = [row("在吗"), row("你好啊你好", emotion="angry"), row("退", category="return_request")]
    table = emotion_counts(rows, taxonomy)
    assert list(table) == ["greeting", "return_request"]
    assert table["greeting"]["angry"] == 1
    first = lengths(rows)[0]
    assert (first.group, first.messages, first.median) == ("angry", 1, 5.0)


def test_near_pairs_leave_one_chat_out_and_mask():
    text = "我的电话13812345678什么时候回我"
    chat = {"conversation": "k", "category": "human_agent"}
    rows = [
        row(text),
        replace(row(text + "呀"), id="2"),
        row("多久才能发货啊", **chat),
        row("多久才能发货啊呀", **chat),
    ]
    [pair] = near_pairs(rows, 0.7)
    assert "13812345678" not in pair.one
    assert pair.category == "greeting"


def test_emotion_by_turn_counts_places_in_chats(taxonomy):
    rows = [
        row("一", conversation="k", emotion="angry"),
        row(
            "二", conversation="k", context=(Turn("customer", "一"), Turn("agent", "嗯")), emotion="positive"
        ),
        row("单独"),
    ]
    first, second = emotion_by_turn(rows, taxonomy)
    assert (first["turn"], first["messages"], first["angry"]) == (1, 1, 1.0)
    assert second["positive"] == 1.0


def test_emotion_over_time_by_reader_or_model(taxonomy, tmp_path):
    chats = read_chats(write(tmp_path, CHAT))
    found = emotion_over_time(chats, taxonomy)
    assert found["hour"][0]["hour"] == 9
    assert found["day"] == [{**found["day"][0], "day": 20261105, "messages": 3}]
    assert found["hour"][0]["anxious"] == pytest.approx(1 / 3)
    by_model = emotion_over_time(chats, taxonomy, {("c1", index): "angry" for index in (0, 1, 4)})
    assert by_model["hour"][0]["angry"] == 1.0
    with pytest.raises(ValueError, match=r"c1: turns\[0\]: has no emotion"):
        emotion_over_time(chats, taxonomy, {})


@pytest.mark.parametrize("font", ["", None])
def test_pictures_need_no_chinese_font(font, few, taxonomy, monkeypatch):
    if font is not None:
        monkeypatch.setenv("KEFU_FONT", font)
    chinese_font.cache_clear()
    try:
        assert named("angry", "愤怒") == ("愤怒 angry" if chinese_font() else "angry")
        times = emotion_over_time(read_chats(DEMO_SHOP), taxonomy)
        pictures = [
            draw_categories(emotion_counts(few, taxonomy), taxonomy, most=3),
            draw_lengths(few),
            draw_emotions(emotion_by_turn(few, taxonomy), "turn", taxonomy, "turns"),
            draw_emotions(times["day"], "day", taxonomy, "days"),
        ]
        assert all(picture._repr_png_().startswith(PNG) for picture in pictures)
    finally:
        chinese_font.cache_clear()


@pytest.mark.parametrize("font", ["", None])
def test_labels_without_a_font_are_boxes_and_a_word(font, caplog, monkeypatch):
    if font is not None:
        monkeypatch.setenv("KEFU_FONT", font)
    chinese_font.cache_clear()
    try:
        picture = draw(lambda figure: figure.subplots().set_title("退款"))
        assert picture.png.startswith(PNG)
        assert ("fonts-noto-cjk" in caplog.text) == (chinese_font() is None)
    finally:
        chinese_font.cache_clear()


def test_a_picture_is_written_whole(tmp_path):
    path = draw(lambda figure: figure.subplots().plot([0, 1])).save(tmp_path / "deep" / "a.png")
    assert path.read_bytes().startswith(PNG)
    assert [one.name for one in path.parent.iterdir()] == ["a.png"]


def test_tables_are_markdown():
    rows = [{"a": 1, "b": "x|y_z"}, {"a": 0.12345, "b": None}, {"a": True, "b": "[图片]"}]
    text = str(Table(rows, {"b": "text", "a": "value"}, most=2))
    assert text == "| text | value |\n|---|---:|\n| x\\|y\\_z | 1 |\n| – | 0.123 |\n\n… and 1 more.\n"
    assert str(Table([])) == "*no rows*"
    assert "begrüßt" not in str(Table([one for one in read_chats()[:1]], ["id", "agent"]))
    with pytest.raises(TypeError, match="mappings or dataclasses"):
        Table([3])
