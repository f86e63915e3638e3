"""Words that an agent must not write, and what only looks like them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assist.wording import KINDS, Wording, WordingError, find_wording, load_wording

FOUND = [
    ("forbidden", "这个不关我的事，您找快递", "不关我的事"),
    ("forbidden", "你自己看详情页吧", "你自己看"),
    ("forbidden", "我都说了多少遍了", "说了多少遍"),
    ("forbidden", "那你去投诉吧", "你去投诉吧"),
    ("forbidden", "随便你", "随便你"),
    ("forbidden", "谁让您不看清楚", "谁让您"),
    ("forbidden", "是您自己的问题", "是您自己的问题"),
    ("forbidden", "你有病吧", "有病吧"),
    ("forbidden", "把短信验证码发给我", "验证码发给我"),
    ("forbidden", "收到的验证码给我一下", "验证码给我"),
    ("forbidden", "急什么，等着吧", "急什么"),
    ("promise", "保证明天到", "保证"),
    ("promise", "百分之百正品", "百分之百"),
    ("promise", "您放心，一定退", "一定退"),
    ("promise", "明天肯定能到", "明天肯定能到"),
    ("promise", "绝对不会坏", "绝对"),
    ("promise", "全网最低价", "全网最低"),
    ("promise", "我们是行业第一", "行业第一"),
    ("promise", "这是最好的面料", "最好的"),
    ("promise", "私下转账给您", "私下"),
    ("promise", "您加一下我的微信", "加一下我的微信"),
    ("promise", "退款马上到账", "马上到账"),
    ("promise", "終身保修", "終身保修"),
    ("hedge", "可能明天发货", "可能"),
    ("hedge", "也许是快递慢了", "也许"),
    ("hedge", "大概三天", "大概"),
    ("hedge", "应该是今天发的", "应该是"),
    ("pressure", "五星好评返现三元", "五星好评"),
    ("pressure", "麻烦亲给个好评", "给个好评"),
    ("pressure", "差评会扣我工资的", "差评会扣我工资"),
    ("pressure", "请把差评删掉，删差评就补券", "删差评"),
]

CLEAN = [
    "不能保证明天到，预计后天送达",
    "我们没法给您百分之百的保证",
    "没有可能提前发货",
    "这个日期我不敢跟您保证",
    "您提到的好评返现卡片不是我们放的",
    "对方让您加微信的，请不要理会",
    "请不要向任何人提供验证码",
    "我们不会要求您私下转账",
    "客服不会让您扫码付款",
    "您说“保证明天到”是哪位同事答复的",
    "我第一时间告诉您结果",
    "您最好先拍一张照片",
    "我尽可能今天给您答复",
    "面料是100%棉",
    "保证金会原路退回",
    "我一定会跟进到底",
    "给您添麻烦了，我马上核实",
    "好的，已为您登记，24小时内回复",
    "我帮您算最划算的组合",
    "",
]


@pytest.mark.parametrize(("kind", "text", "words"), FOUND)
def test_words_are_found_where_they_stand(kind, text, words):
    found = [one for one in find_wording(text) if one.kind == kind]
    assert any(words in one.words or one.words in words for one in found), find_wording(text)
    for one in found:
        assert text[one.start : one.end] == one.words
        assert one.reason
        assert one.fix


@pytest.mark.parametrize("text", CLEAN)
def test_what_only_looks_like_it_is_clean(text):
    assert find_wording(text) == []


def test_a_negation_ends_with_its_clause():
    (found,) = find_wording("不能提前，绝对今天发")
    assert found.words == "绝对"


def test_full_width_and_traditional_writing_keep_their_places():
    text = "親，１００％正品，絕對沒錯"
    assert [text[one.start : one.end] for one in find_wording(text)] == ["１００％", "絕對"]


def test_kinds_can_be_chosen_and_overlaps_count_once():
    text = "可能明天一定能到"
    assert {one.kind for one in find_wording(text)} == {"hedge", "promise"}
    assert [one.kind for one in find_wording(text, kinds=["hedge"])] == ["hedge"]
    assert len(find_wording("五星好评返现")) == 1


def test_length_changes_of_characters_do_not_move_positions():
    text = "㎏ﬁ…保证明天到"
    (found,) = find_wording(text)
    assert text[found.start : found.end] == "保证"


def test_every_kind_has_rules_and_chinese_reasons():
    wording = load_wording()
    assert wording.version >= 1
    assert {one.kind for text in FOUND for one in find_wording(text[1])} == set(KINDS)


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=60), planted=st.sampled_from(["保证明天到", "不关我的事", "可能", "給個好評"]))
def test_any_text_is_read_and_places_are_right(text, planted):
    for said in (text, f"{text}\n{planted}"):
        found = find_wording(said)
        assert all(said[one.start : one.end] == one.words for one in found)
    assert any(one.start > len(text) for one in found)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"rules": []}, "version"),
        ({"version": 1, "rules": []}, "rules: expected"),
        ({"version": 1, "rules": [{"name": "x"}]}, r"rules\[0\]: kind"),
        (
            {"version": 1, "rules": [{"name": "x", "kind": "bad", "any": ["a"], "reason": "r", "fix": "f"}]},
            "is not one of forbidden",
        ),
        (
            {
                "version": 1,
                "rules": [{"name": "x", "kind": "hedge", "any": ["("], "reason": "r", "fix": "f"}],
            },
            "no regular expression",
        ),
        (
            {"version": 1, "rules": [{"name": "x", "kind": "hedge", "any": [], "reason": "r", "fix": "f"}]},
            "any: expected a list",
        ),
        ({"version": 1, "rules": [{"nmae": "x"}]}, "nmae: is unknown"),
    ],
)
def test_a_wrong_file_is_refused_by_name(raw, message):
    with pytest.raises(WordingError, match=message):
        Wording(raw, "wording.yaml")


def test_a_shop_may_bring_its_own_rules(tmp_path, monkeypatch):
    path = tmp_path / "own.yaml"
    path.write_text(
        "version: 7\nrules:\n  - {name: dear, kind: forbidden, any: ['亲'], reason: 本店不用, fix: 用您}\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("KEFU_WORDING", str(path))
    assert [one.words for one in find_wording("亲，保证到")] == ["亲"]
    with pytest.raises(WordingError, match=r"missing\.yaml"):
        load_wording(tmp_path / "missing.yaml")
