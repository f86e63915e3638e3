"""Questions to the demo shop's graph: answers, what is missing, the path, entity links."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from assist.graph.schema import GraphRequest
from assist.graph.shop import ShopGraph

DAY = date(2026, 11, 23)
PIECES = [
    "退", "换", "保温杯", "台灯", "拆了", "没拆", "三天", "能", "吗", "券", "红包", "叠加", "用过", "包邮",
    "新疆", "㎏", "😀", "ﬃ", "a", "12", "月", "摔", "几档", "电磁炉",
]  # fmt: skip


@pytest.fixture(scope="module")
def shop():
    return ShopGraph(today=lambda: DAY)


def ask(shop, text="", **fields):
    return shop.ask(GraphRequest.model_validate({"text": text, **fields}))


def said(response):
    return [f"{one.subject} {one.predicate} {one.object}" for one in response.path]


@pytest.mark.parametrize(
    ("text", "question", "answer", "rule"),
    [
        ("台灯拆开看了下没用过，昨天刚到的能退吗", "return_no_reason", "yes", "return_look"),
        ("拖把用过了能退吗", "return_no_reason", "no", "return_used"),
        ("纯棉四件套睡过一晚没洗，签收3天，可以退吗", "return_no_reason", "yes", "return_bedding_trial"),
        ("四件套洗过一次了，签收3天，可以退吗", "return_no_reason", "no", "return_used"),
        ("刻字保温杯不想要了，昨天刚收到没拆，能退不", "return_no_reason", "no", "return_custom"),
        ("我定做的那个置物架还能退吗，昨天收到没拆", "return_no_reason", "no", "return_custom"),
        ("内衣密封条撕了还能退吗", "return_no_reason", "no", "return_intimate"),
        ("内衣没撕封条，前天收到的，能退吗", "return_no_reason", "yes", "return_in_time"),
        ("每日坚果开封了能退吗", "return_no_reason", "no", "return_food_opened"),
        ("橙子不想要了能退货吗", "return_no_reason", "no", "return_fresh"),
        ("礼品卡激活了能退吗", "return_no_reason", "no", "return_card"),
        ("收纳箱签收二十天了能退货吗", "return_no_reason", "no", "return_too_late"),
        ("双十一买的炒锅签收10天没拆，能退吗", "return_no_reason", "yes", "return_sale_order"),
        ("双十一买的坚果签收10天没拆，能退吗", "return_no_reason", "no", "return_sale_food"),
        ("水壶漏水了签收20天能退吗", "return_faulty", "yes", "fault_appliance"),
        ("拖把断了签收20天能退吗", "return_faulty", "no", "fault_too_late"),
        ("橙子烂了，收到3天了还能退吗", "return_faulty", "no", "fault_fresh"),
        ("台灯我摔坏了能退吗，刚收到", "return_faulty", "no", "fault_appliance_human"),
        ("刻字杯有质量问题签收5天，能换一个吗", "exchange", "yes", "exchange_fault"),
        ("1.7升电热水壶用了一年半坏了还保修吗", "warranty", "yes", "warranty_kettle_big"),
        ("旅行水壶用了一年半坏了还保修吗", "warranty", "no", "warranty_appliance_over"),
        ("旅行水壶用了一年多坏了还保修吗", "warranty", "no", "warranty_appliance_over"),
        ("旅行水壶用了半年坏了还保修吗", "warranty", "yes", "warranty_appliance"),
        ("拖把有保修吗", "warranty", "no", "warranty_none"),
        ("台灯坏了退回去运费谁出", "return_shipping", "yes", "freight_fault"),
        ("炒锅没毛病就是不想要，没有运费险，退货运费谁出", "return_shipping", "no", "freight_customer"),
        ("店铺券和平台满减能叠加吗", "coupons_combine", "yes", "coupon_shop_platform"),
        ("两张店铺券能一起用吗", "coupons_combine", "no", "coupon_shop_shop"),
        ("会员券和厨具券可以叠加吗", "coupons_combine", "yes", "coupon_member_category"),
        ("新人券和红包可以叠加吗", "coupons_combine", "no", "coupon_newcomer"),
        ("新人券和运费券可以一起用吗", "coupons_combine", "yes", "coupon_newcomer_shipping"),
        ("秒杀的东西店铺券和平台券能叠加吗", "coupons_combine", "no", "coupon_flash"),
        ("晨雾保温杯降价了，付款20天能补差价吗", "price_protection", "yes", "price_in_time"),
        ("橙子降价了，付款2天能补差价吗", "price_protection", "no", "price_food"),
        ("铁锅发新疆259元包邮吗", "free_shipping", "yes", "post_remote_enough"),
        ("四层置物架发西藏259元包邮吗", "free_shipping", "no", "post_remote_furniture"),
        ("晨雾保温杯59块包邮吗", "free_shipping", "yes", "post_enough"),
    ],
)
def test_questions(shop, text, question, answer, rule):
    found = ask(shop, text)
    assert (found.question, found.answer) == (question, answer), found.text
    assert rule in found.rules
    assert found.path
    assert not found.clash


@pytest.mark.parametrize(
    ("text", "answer", "value"),
    [
        ("铁锅能用电磁炉吗", "yes", "燃气灶、电磁炉、电陶炉"),
        ("不粘锅能用电磁炉吗", "no", "燃气灶、电陶炉"),
        ("晨雾保温杯能装500毫升吗", "no", "0.48升"),
        ("晨雾杯能装四百毫升吗", "yes", "0.48升"),
        ("五层置物架单层能放20公斤吗", "yes", "30公斤"),
        ("旋转拖把木地板能用吗", "no", "瓷砖、大理石、水泥地"),
        ("纯棉四件套能机洗吗", "yes", "是"),
        ("护眼台灯有几档", "yes", "5档"),
        ("1.7升电热水壶多少瓦", "yes", "1500瓦"),
        ("纯棉四件套适合1.2米的床吗", "no", "1.5米、1.8米"),
    ],
)
def test_attributes(shop, text, answer, value):
    found = ask(shop, text)
    assert found.question == "attribute"
    assert (found.answer, found.value) == (answer, value), found.text


def test_what_the_answer_depends_on_is_named_with_its_cases(shop):
    found = ask(shop, "床单被套睡过一晚没洗，能退吗")
    assert found.answer == "depends"
    assert [one.key for one in found.missing] == ["days_since_signed"]
    assert [(case.when, case.answer) for case in found.missing[0].cases] == [
        ("签收后不超过7天", "yes"),
        ("签收后超过7天", "no"),
    ]
    assert found.text.endswith("请问签收到现在多少天？")
    assert ask(shop, "床单被套睡过一晚没洗，能退吗", facts={"days_since_signed": 4}).answer == "yes"


def test_given_what_was_missing_the_answer_is_certain(shop):
    """Whatever `missing` names is enough: filled in, step by step, an answer comes."""
    for text in ("拆开了还能退吗", "还能退吗", "台灯能换吗", "坏了能修吗", "夹子灯退货运费谁出"):
        facts = {}
        for _ in range(8):
            found = ask(shop, text, facts=facts, product="lamp_clip")
            if found.answer != "depends":
                break
            key = found.missing[0].key
            facts[key] = 3 if shop.catalogue.facts[key].type == "number" else False
        assert found.answer in ("yes", "no"), (text, found)


def test_products_of_a_kind_are_told_apart_only_where_they_differ(shop):
    whole = ask(shop, "炒锅昨天刚到没拆，能退吗")
    assert (whole.answer, whole.missing) == ("yes", [])
    differ = ask(shop, "炒锅能用电磁炉吗")
    assert differ.answer == "depends"
    assert {case.when: case.answer for case in differ.missing[0].cases} == {
        "精铁炒锅": "yes",
        "不粘炒锅": "no",
    }
    warranty = ask(shop, "电热水壶用了一年半坏了还保修吗")
    assert {case.answer for case in warranty.missing[0].cases} == {"yes", "no"}


def test_without_a_product_the_general_rule_and_a_question(shop):
    found = ask(shop, "退货吗")
    assert (found.answer, found.missing[0].key) == ("depends", "product")
    assert found.text.startswith("一般商品：")


def test_the_path_leads_from_the_product_over_its_kinds_to_the_exception(shop):
    path = said(ask(shop, "每日坚果开封了能退吗"))
    assert "每日坚果 属于 坚果" in path
    assert "坚果 上级类目 食品" in path
    assert "规则“食品拆封以后，不支持无理由退货” 例外于 规则“签收七天内，商品完好的，可以无理由退货”" in path
    assert "本次咨询 已知 已拆封" in path
    custom = said(ask(shop, "刻字保温杯不想要了，昨天刚收到没拆，能退不"))
    assert "定制商品 意味着 按要求定制" in custom or "本次咨询 已知 按要求定制" in custom


def test_what_is_taken_for_granted_is_said_and_would_change_the_answer(shop):
    found = ask(shop, "炒锅昨天刚到没拆，能退吗")
    assert set(found.assumed) == {"非定制", "配件齐全"}
    for fact in ("custom_made", "parts_missing"):
        assert ask(shop, "炒锅昨天刚到没拆，能退吗", facts={fact: True}).answer == "no"


def test_earlier_messages_tell_the_product_and_facts_and_the_latest_word_counts(shop):
    found = ask(shop, "那能退吗", earlier=["我买的平板拖把昨天刚到", "拆了没用过"])
    assert (found.question, found.answer) == ("return_no_reason", "yes")
    assert found.known == {"opened": True, "used": False, "days_since_signed": 1.0}
    assert ask(shop, "我用过了，能退吗", earlier=["平板拖把昨天刚到", "没用过"]).answer == "no"
    assert ask(shop, "炒锅没拆能退吗", earlier=["内衣密封条撕了"]).text.startswith("炒锅")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(PIECES)).map("".join) | st.text(max_size=80))
def test_any_message_gets_an_answer_with_spans_in_it(shop, text):
    found = ask(shop, text)
    assert all(text[one.start : one.end] == one.words for one in found.mentions)
    assert (found.answer == "depends") == bool(found.missing)
    if found.answer in ("yes", "no"):
        assert found.path


def test_an_expired_policy_answers_nothing(shop):
    text = "双十一买的炒锅签收10天没拆，能退吗"
    assert ask(shop, text, on="2026-12-10").answer == "yes"
    assert ask(shop, text, on="2026-12-11").answer == "no"


def test_given_facts_come_before_what_the_message_says(shop):
    assert ask(shop, "拖把拆了没用，昨天到的，能退吗", facts={"used": True}).answer == "no"


def test_what_the_graph_does_not_know_is_not_guessed(shop):
    assert ask(shop, "你好").question is None
    assert ask(shop, "电热水器坏了").mentions == []
    found = ask(shop, "晨雾保温杯的功率多少")
    assert (found.answer, found.path) == ("unknown", [])
    assert ask(shop, "怎么退", category="thanks_closing").question is None


def test_a_category_is_a_hint_where_words_say_nothing(shop):
    found = ask(shop, "内衣密封条撕了呢", category="return_policy")
    assert (found.question, found.answer) == ("return_no_reason", "no")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"product": "car"}, "product: 'car'"),
        ({"product": "red_packet"}, "product: "),
        ({"coupons": ["wok"]}, "coupons: 'wok'"),
        ({"attribute": "colour"}, "attribute: 'colour'"),
        ({"facts": {"broken": True}}, "facts: 'broken' is unknown"),
        ({"facts": {"opened": 3}}, "facts: opened must be true or false"),
        ({"facts": {"amount": True}}, "facts: amount must be a number"),
        ({"facts": {"opened": False, "washed": True}}, "contradicts"),
        ({"on": "2026-02-30"}, "on: "),
    ],
)
def test_bad_input_names_the_field(shop, fields, reason):
    with pytest.raises(ValueError, match=reason):
        ask(shop, "能退吗", **fields)


@pytest.mark.parametrize(
    "fields", [{"size": 3}, {"on": "yesterday"}, {"facts": {"amount": -1}}, {"text": "长" * 2001}]
)
def test_the_request_is_strict(fields):
    with pytest.raises(ValidationError):
        GraphRequest.model_validate({"text": "能退吗", **fields})


@pytest.mark.parametrize(
    ("text", "words", "entity", "how"),
    [
        ("我的晨雾保温杯漏水", "晨雾保温杯", "cup_mist", "exact"),
        ("包温杯漏水", "包温杯", "vacuum_cup", "pinyin"),
        ("护严台灯不亮", "护严台灯", "lamp_read", "pinyin"),
        ("wo de baowenbei 漏了", "baowenbei", "vacuum_cup", "pinyin"),
        ("保溫杯壞了", "保溫杯", "vacuum_cup", "exact"),
        ("ＵＳＢ充电的夹子灯", "夹子灯", "lamp_clip", "exact"),
        ("不绣钢电热水壶", "不绣钢电热水壶", "kettle_big", "pinyin"),
        ("碳钢制物架到了", "碳钢制物架", "shelf_steel", "pinyin"),
        ("折叠的旅行水壶", "折叠的旅行水壶", "kettle_travel", "fuzzy"),
        ("纯棉的四件套", "纯棉的四件套", "bed_cotton", "fuzzy"),
        ("大号的收纳箱", "大号的收纳箱", "box_large", "fuzzy"),
        ("大一点的收纳箱", "收纳箱", "storage_box", "exact"),
    ],
)
def test_links_carry_the_words_and_where_they_stand(shop, text, words, entity, how):
    found = [one for one in shop.link(text) if one.type != "attribute"]
    assert [(one.words, one.id, one.how) for one in found][-1] == (words, entity, how)
    assert all(text[one.start : one.end] == one.words for one in found)


@pytest.mark.parametrize(
    "text", ["电热水器坏了", "保温箱有吗", "天气不错", "", "😀👍", "12345678", "茶几多少钱"]
)
def test_look_alikes_are_not_linked(shop, text):
    assert [one for one in shop.link(text) if one.type != "attribute"] == []


def test_links_stand_in_the_original_even_where_folding_changes_lengths(shop):
    text = "㎏㎏ 晨霧保溫杯 ﬃ 收納箱"
    for one in shop.link(text):
        assert text[one.start : one.end] == one.words
    assert {one.id for one in shop.link(text)} >= {"cup_mist", "storage_box"}


def test_no_clash_and_no_hole_in_the_demo_shop(shop):
    """Each question on each product has an answer with a reason, and no two rules of one rank disagree."""
    for question in shop.catalogue.questions.values():
        if question.about != "product":
            continue
        for entity in shop.catalogue.entities.values():
            if entity.type == "product":
                found = ask(shop, question=question.key, product=entity.id)
                assert found.answer in ("yes", "no", "depends"), (question.key, entity.id)
                assert found.rules, (question.key, entity.id)
                assert not found.clash, (question.key, entity.id)


def test_every_pair_of_coupons_has_an_answer_and_the_order_does_not_matter(shop):
    coupons = [one.id for one in shop.catalogue.entities.values() if one.type == "coupon" and one.parents]
    for one in coupons:
        for other in coupons:
            there = ask(shop, question="coupons_combine", coupons=[one, other])
            back = ask(shop, question="coupons_combine", coupons=[other, one])
            assert there.answer == back.answer != "unknown", (one, other)
            assert not there.clash, (one, other)
