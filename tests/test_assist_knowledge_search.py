"""Search: words, typing errors, pinyin, synonyms, days, products, and when it rather asks."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from pydantic import ValidationError

from assist.knowledge.base import FOUND, UNSURE, KnowledgeBase
from assist.knowledge.intake import knowledge_import
from assist.knowledge.pinyin import initials, split_letters, syllables
from assist.knowledge.schema import KnowledgeSearchRequest, KnowledgeSearchResponse
from assist.knowledge.terms import Synonyms, fold, strip_talk

TODAY = "2026-11-23"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp("knowledge") / "knowledge.sqlite"
    assert knowledge_import(path=path).refused == {}
    return KnowledgeBase(path, record=False)


def search(base, question, at=TODAY, **more):
    return base.search(KnowledgeSearchRequest(question=question, at=at, **more))


def first(base, question, **more):
    found = search(base, question, **more).passages
    return (found[0].document, found[0].section.split(" > ")[-1]) if found else None


@pytest.mark.parametrize(
    ("question", "document", "section"),
    [
        ("退货运费谁出", "returns", "运费谁出"),
        ("tuihuo运费谁出", "returns", "运费谁出"),  # a word in letters
        ("推货的运费谁出", "returns", "运费谁出"),  # a character of the same sound
        ("退货的邮费谁承担", "returns", "运费谁出"),  # another word
        ("保文杯盖子拧不开", "household-trouble", "盖子拧不开"),
        ("保湿杯盖子拧不开", "household-trouble", "盖子拧不开"),  # a wrong character
        ("bwb盖子拧不开", "household-trouble", "盖子拧不开"),  # first letters
        ("baowenbei gaizi拧不开", "household-trouble", "盖子拧不开"),
        ("水壶插上就跳闸", "appliance-trouble", "一通电就跳闸"),
        ("SH17H多少钱", "product-table", "在售商品"),
        ("sh17多少钱", "product-table", "在售商品"),  # a code cut short is close to another one
        ("積分會不會過期", "member", "积分会不会过期"),  # traditional characters
        ("青海包邮吗", "shipping", "运费和到货时间"),
        ("台灯保修几年", "warranty", "保修多久"),
        ("石膏板墙能用胀管吗", "shelf-assembly", "五层款固定到墙上"),
    ],
)
def test_the_right_section_is_first(base, question, document, section):
    assert first(base, question) == (document, section)


def test_what_was_read_otherwise_is_said(base):
    readings = {one.written: one.read for one in search(base, "bwb多重").readings}
    assert readings == {"bwb": "保温杯"}


def test_passages_say_where_they_stand(base):
    found = search(base, "买恒温款电热水壶送什么赠品").passages[0]
    assert (found.document, found.version, found.kind) == ("winter-warm", "1", "服务政策")
    assert found.section == "冬季暖家活动 > 赠品"
    assert (found.valid_from, found.valid_until) == ("2026-11-18", "2026-12-05")
    assert FOUND <= found.score <= 1


def test_an_ended_promotion_is_not_answered(base):
    found = search(base, "双十一满300减多少")
    assert found.status != "found"
    assert {one.document for one in found.passages}.isdisjoint({"promotion-double11"})
    assert [(one.document, one.reason, one.valid_until) for one in found.not_valid][:1] == [
        ("promotion-double11", "expired", "2026-11-14")
    ]
    assert "50" not in found.model_dump_json(include={"not_valid", "clarify"})


def test_the_promotion_is_answered_on_its_days(base):
    assert search(base, "双十一满300减多少", at="2026-11-14").status == "found"
    assert first(base, "双十一满300减多少", at="2026-11-14") == ("promotion-double11", "满减")
    assert first(base, "双十一满300减多少", at="2026-11-15") != ("promotion-double11", "满减")


def test_a_promotion_to_come_is_named_not_answered(base):
    found = search(base, "双十二满减怎么减")
    assert "promotion-double12" not in {one.document for one in found.passages}
    assert ("promotion-double12", "future") in {(one.document, one.reason) for one in found.not_valid}
    assert first(base, "双十二满减怎么减", at="2026-12-08") == ("promotion-double12", "满减")


def test_an_earlier_day_gets_the_earlier_text(base):
    question = "拆开包装还能七天无理由退货吗"
    now, before = search(base, question).passages[0], search(base, question, at="2026-09-30").passages[0]
    assert (now.document, now.version) == (before.document, "3") == ("returns", "3")
    assert before.version == "2"
    assert "打开包装看一眼不算使用" in now.text
    assert "拆开包装的不能按无理由退" in before.text


def test_a_product_that_was_not_named_is_asked_for(base):
    found = search(base, "漏水")
    assert found.status == "unsure"
    assert found.clarify is not None
    assert "「保温杯」" in found.clarify
    assert "「电热水壶」" in found.clarify
    assert search(base, "保温杯漏水").clarify is None


def test_the_conversations_product_narrows(base):
    assert first(base, "漏水了怎么办", products=["电热水壶"]) == ("appliance-trouble", "壶底漏水")
    documents = {one.document for one in search(base, "漏水", products=["台灯"]).passages}
    assert not documents & {"thermos", "household-trouble"}


def test_kinds_narrow(base):
    found = search(base, "置物架晃", kinds=["操作指南"]).passages
    assert {one.kind for one in found} <= {"操作指南"}


@pytest.mark.parametrize(
    "question", ["你们招人吗", "今天北京下雨没", "asdfgh", "？？？", "😀", "能帮我写首诗吗"]
)
def test_what_nobody_wrote_is_not_answered(base, question):
    assert search(base, question).status != "found"


def test_one_section_stands_once(base):
    found = search(base, "现货多少钱", k=20).passages
    places = [(one.document, one.section) for one in found]
    assert len(places) == len(set(places))
    assert [one.number for one in found] == list(range(1, len(found) + 1))
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)


def test_scores_and_thresholds_agree(base):
    for question in ("退货运费谁出", "漏水", "你们招人吗"):
        found = search(base, question)
        assert (found.status == "none") == (found.score < UNSURE)
        assert found.threshold == FOUND


def test_vectors_lift_what_words_miss(base, tmp_path):
    """An encoder that knows that two texts mean one thing makes the passage the first."""

    def embed(texts):
        return np.array(
            [[1, 0] if "蒸汽" in text or "呜呜" in text else [0, 1] for text in texts], np.float32
        )

    path = tmp_path / "knowledge.sqlite"
    knowledge_import(path=path)
    dense = KnowledgeBase(path, embed=embed, encoder="test", record=False)
    question = "呜呜叫"
    assert first(base, question) is None
    assert "蒸汽" in dense.nearest(KnowledgeSearchRequest(question=question, at=TODAY))[0].text


def test_threads_share_a_base(tmp_path):
    path = tmp_path / "knowledge.sqlite"
    knowledge_import(path=path)
    base = KnowledgeBase(path)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: first(base, "退货运费谁出"), range(40)))
    assert set(found) == {("returns", "运费谁出")}
    assert max(row.shown for row in base.usage()) == 40


def test_requests_are_strict():
    with pytest.raises(ValidationError):
        KnowledgeSearchRequest(question="")
    with pytest.raises(ValidationError):
        KnowledgeSearchRequest(question="好", k=0)
    with pytest.raises(ValidationError):
        KnowledgeSearchRequest.model_validate({"question": "好", "extra": 1})
    with pytest.raises(ValidationError):
        KnowledgeSearchRequest(question="好", at="23.11.2026")


def test_a_day_that_is_none_is_refused(base):
    with pytest.raises(ValueError, match="at: expected a day"):
        search(base, "退货", at="2026-02-30")


def test_answers_go_through_json(base):
    found = search(base, "漏水")
    assert KnowledgeSearchResponse.model_validate(json.loads(found.model_dump_json())) == found


def test_numbers_are_folded():
    assert fold("七天无理由，两件八折") == "7天无理由,2件8折"
    assert fold("十二个月 二十五公斤 一百五十度") == "12个月 25公斤 150度"
    assert fold("我床1米8的") == "我床1.8米的"
    assert fold("双十二") == "双十二"


def test_talk_leaves_no_new_pairs():
    assert strip_talk("请问杯子的盖子") == "  杯子 盖子"
    assert strip_talk("怎么") == "怎么"  # nothing would be left


def test_pinyin():
    assert syllables("保温杯") == ["bao", "wen", "bei"]
    assert syllables("牛") == syllables("刘")  # n and l
    assert syllables("双") == ["suan"]
    assert initials("保温杯") == "bwb"
    assert split_letters("baowenbei") == ("bao", "wen", "bei")
    assert split_letters("xian") == ()  # one syllable may be any word
    assert split_letters("tv2") == ()


def test_synonyms_of_a_shop(tmp_path):
    path = tmp_path / "synonyms.yaml"
    path.write_text("version: 3\ngroups:\n  - [保温杯, 焖烧罐]\nwrong:\n  温宝杯: 保温杯\n", encoding="utf-8")
    synonyms = Synonyms.read(path)
    assert synonyms.version == 3
    assert synonyms.correct("温宝杯") == "保温杯"
    assert synonyms.spans("买个焖烧罐") == [(0, 2, 5)]
    path.write_text("version: 3\ngroups:\n  - [保温杯]\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"groups\[1\]: expected two or more words"):
        Synonyms.read(path)
