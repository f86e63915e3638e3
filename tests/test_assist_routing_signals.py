"""Signals: what raises them, what takes them back, and the words that they rest on."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from pydantic import ValidationError

from assist.routing.desk import Desk
from assist.routing.meaning import KINDS, SignalSense
from assist.routing.measure import CASES, alarms, measure
from assist.routing.rules import load_rules
from assist.routing.schema import SignalRequest
from data.files import read_jsonl, write_jsonl
from experiments.signal_quality import on_cases, on_chats

RULES = load_rules()


@pytest.fixture(scope="module")
def desk():
    return Desk()


def chat(*turns, every=30.0):
    """Turns as `c text` or `a text`."""
    return SignalRequest.model_validate(
        {
            "turns": [
                {"role": "customer" if turn[0] == "c" else "agent", "text": turn[2:], "at": every * index}
                if every is not None
                else {"role": "customer" if turn[0] == "c" else "agent", "text": turn[2:]}
                for index, turn in enumerate(turns)
            ]
        }
    )


def kinds(desk, *turns, **fields):
    return {one.kind for one in desk.signals(chat(*turns, **fields)).signals}


@pytest.mark.parametrize(
    ("turns", "kind", "words"),
    [
        (["c 你们客服都是废物吗"], "harassment", "客服都是废物"),
        (["c 不退我就天天给差评"], "threat", "不退我就天天给差评"),
        (["c 直接转我支付宝就行"], "special_channel", "转我支付宝"),
        (["c 按广告法第九条你们要赔"], "policy_knowledge", "广告法第九条"),
    ],
)
def test_a_signal_carries_its_words_and_its_turn(desk, turns, kind, words):
    found = desk.signals(chat("c 你好", "a 在的", *turns))
    one = next(signal for signal in found.signals if signal.kind == kind)
    assert one.turns == [2]
    assert words in one.words[0]
    assert one.words[0] in one.reason
    assert found.level >= one.level > 0
    assert found.version == RULES.version


@pytest.mark.parametrize(
    "text",
    [
        "这垃圾炒锅一用就粘", "我真是个傻子又填错地址", "送女朋友的", "有没有去死皮的搓澡巾",
        "评价里有人给差评，是真的吗", "可以用支付宝付款吗", "能改一下地址吗", "七天无理由包括拆封的吗",
    ],
)  # fmt: skip
def test_look_alikes_raise_nothing(desk, text):
    assert desk.signals(chat("c " + text)).signals == []


def test_what_the_agent_says_raises_nothing(desk):
    assert (
        kinds(desk, "c 你好", "a 不要加微信私下转账，有人这样骗钱", "a 按广告法第九条我们不能这样写") == set()
    )


def test_flooding_by_rate_and_by_repeats_within_the_window(desk):
    many = [f"c 第{number}句话" for number in range(RULES.flooding.messages)]
    assert kinds(desk, *many, every=2.0) == {"flooding"}
    assert kinds(desk, *many, every=30.0) == set()
    assert kinds(desk, *many[:-1], every=2.0) == set()
    same = ["c 发货！", "c 发货", "c 发 货。", "c 发货！！！"]
    assert kinds(desk, *same, every=3.0) == {"flooding"}
    assert kinds(desk, *same, every=100.0) == set()
    assert kinds(desk, *same[:3], every=3.0) == set()


def test_without_times_only_unanswered_messages_in_a_row_count(desk):
    same = ["c 发货"] * RULES.flooding.repeats
    assert kinds(desk, *same, every=None) == {"flooding"}
    answered = [turn for one in same for turn in (one, "a 在查")]
    assert kinds(desk, *answered, every=None) == set()


def test_a_contradiction_names_both_turns_in_order(desk):
    found = desk.signals(chat("c 东西一直没收到", "a 查一下", "c 收到的时候就裂了"))
    one = found.signals[0]
    assert (one.kind, one.name, one.turns) == ("contradiction", "contradiction.received", [0, 2])
    assert one.words == ["没收到", "收到的时候"]
    assert "没收到" in one.reason


@pytest.mark.parametrize(
    "turns",
    [
        ["c 还没收到", "a 今天到", "c 刚收到了"],
        ["c 还没收到", "c 说错了，收到的是坏的"],
        ["c 没收到退款", "c 收到的时候就是坏的我才退的"],
        ["c 没拆，能退吗", "c 那拆了用了一次还能退吗"],
        ["c 如果没收到怎么办", "a 补发", "c 好"],
    ],
)
def test_news_corrections_and_questions_contradict_nothing(desk, turns):
    assert "contradiction" not in kinds(desk, *turns)


def test_a_thing_said_to_be_missing_and_then_described(desk):
    turns = ["c 少了一个杯盖", "a 补发", "c 杯盖太紧拧不开"]
    assert "contradiction" in kinds(desk, *turns)
    assert "contradiction" not in kinds(desk, "c 少了一个杯盖", "a 补发", "c 杯刷太硬")
    assert "contradiction" not in kinds(desk, "c 杯盖太紧", "c 少了一个杯盖")


def test_quotations_are_masked(desk):
    found = desk.signals(chat("c 加我微信13800138000私下转给我"))
    assert "13800138000" not in str(found.model_dump())


def test_the_written_cases_hold_and_clean_ones_are_left_alone():
    """A floor under the figures of docs/routing.md: a rule that breaks others is noticed."""
    found = measure(RULES)
    for part in ("open", "held_out", "second"):
        assert found["parts"][part]["all"]["recall"] >= 0.95
        assert found["parts"][part]["all"]["precision"] >= 0.9
    assert found["clean"]["fresh"]["left_alone"] >= 0.9 * found["clean"]["fresh"]["conversations"]


def test_the_cases_are_balanced_between_planted_and_clean():
    rows = [row for _, row in read_jsonl(CASES)]
    assert len({row["id"] for row in rows}) == len(rows) >= 250
    for part in ("open", "held_out", "second", "fresh"):
        clean = sum(not row["signals"] for row in rows if row["part"] == part)
        assert clean >= 20


def test_a_wrong_case_is_named(tmp_path):
    path = tmp_path / "cases.jsonl"
    write_jsonl(path, [{"id": "x", "part": "open", "signals": ["boredom"], "turns": []}])
    with pytest.raises(ValueError, match=r"cases\.jsonl:1: signals: 'boredom'"):
        measure(RULES, path)
    write_jsonl(path, [{"id": "x", "part": "old", "signals": [], "turns": []}])
    with pytest.raises(ValueError, match=r"cases\.jsonl:1: part"):
        measure(RULES, path)


def test_alarms_are_counted_by_chat(tmp_path):
    path = tmp_path / "chats.jsonl"
    rude, calm = ({"messages": [{"role": "customer", "text": text}]} for text in ("你们都是废物", "你好"))
    write_jsonl(path, [rude, calm, calm, calm])
    found = alarms(RULES, path)
    assert (found["chats"], found["with_signal"], found["per_1000"]) == (4, 1, 250.0)
    assert found["by_rule"] == {"harassment.insult": 1}


def test_times_must_not_go_back():
    with pytest.raises(ValidationError, match="must not go back"):
        SignalRequest.model_validate(
            {
                "turns": [
                    {"role": "customer", "text": "a", "at": 9.0},
                    {"role": "customer", "text": "b", "at": 3.0},
                ]
            }
        )


def lexical(texts):
    """An encoder that reads characters: enough for examples to be near to themselves."""
    found = np.zeros((len(texts), 384), dtype=np.float32)
    for row, text in enumerate(texts):
        for one, two in zip("^" + text, text + "$", strict=True):
            found[row, (ord(one) * 31 + ord(two)) % 384] += 1
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def sense():
    return SignalSense(lexical)


def test_meaning_hints_at_examples_and_leaves_clean_messages_alone(sense):
    texts = ["直接转我支付宝就行，别走平台退款了", "你好", "快递到哪了", "四件套是纯棉的吗"]
    found = sense.judge(list(zip(range(4), texts, lexical(texts), strict=True)))
    assert [(one.kind, one.turns, one.level) for one in found] == [("special_channel", [0], 1)]
    assert sense.judge([]) == []
    assert (sense.thresholds >= 0.5).all()
    assert len(sense.thresholds) == len(KINDS)


def test_the_desk_adds_hints_only_where_wording_found_nothing(sense):
    desk = Desk(sense=sense)
    text = "别走平台退款了，直接转我支付宝就行"
    request = chat("c " + text)
    found = desk.signals(request, {0: lexical([text])[0]})
    assert [one.name for one in found.signals] == ["special_channel.off_platform"]
    clean = chat("c 你好", "a 在的")
    assert desk.signals(clean, {0: lexical(["你好"])[0]}).signals == []
    with pytest.raises(ValueError, match="vectors: 1 is no turn of the customer"):
        desk.signals(clean, {1: lexical(["在的"])[0]})


def test_the_measurement_counts_both_ways_apart_and_together(sense, tmp_path):
    found = on_cases(RULES, sense, lexical)
    for kind in KINDS:
        assert found["both"][kind]["recall"] >= max(
            found[way][kind]["recall"] for way in ("wording", "meaning")
        )
    assert found["wording"]["all"]["precision"] == 1.0
    path = tmp_path / "chats.jsonl.gz"
    rude, calm = ({"messages": [{"role": "customer", "text": text}]} for text in ("你们都是废物", "好的"))
    with gzip.open(path, "wt", encoding="utf-8") as handle:
        handle.writelines(json.dumps(row) + "\n" for row in (rude, calm, calm, calm))
    told = on_chats(path, 4, RULES, sense, lexical)
    assert told["chats"] == 4
    assert told["per_1000"]["wording"] == {"any": 250.0, "harassment": 250.0}
    assert on_chats(path, 1, RULES, sense, lexical)["chats"] == 1
