"""The labelling screen as generated: all labels, nothing that breaks the editor, safe bubbles."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from data.example import Turn
from data.taxonomy import group_name, parse_taxonomy
from labeling.interface import (
    adjudication_config,
    chat_html,
    check_config,
    labeling_config,
    required_data,
    suggestions,
)
from labeling.label_words import boundary_rules, pinyin_initials, search_text


@pytest.fixture(scope="module")
def another():
    """A schema of a kind that ours is not: many groups and moods, names with markup in them."""
    categories = [
        {
            "key": f"topic_{number}",
            "zh": f'类目"{number}"<b>&',
            "group": f"组{number % 12}",
            "nature": "inquiry",
            "definition": f"第{number}种 <script>",
        }
        for number in range(150)
    ]
    moods = [
        {"key": f"mood_{number}", "zh": f"情绪{number}", "polarity": "neutral", "definition": "说明"}
        for number in range(16)
    ]
    alerts = [{"level": 0, "zh": "无", "when": "总是"}]
    return parse_taxonomy({"version": 1, "categories": categories, "emotions": moods, "alerts": alerts})


@pytest.fixture(params=["ours", "another"])
def schema(request, taxonomy, another):
    return taxonomy if request.param == "ours" else another


@pytest.fixture(params=[labeling_config, adjudication_config])
def make(request):
    return request.param


def control(config, name):
    return ElementTree.fromstring(config).find(f".//Choices[@name='{name}']")


def keys(config, name):
    return [choice.get("alias") for choice in control(config, name).iter("Choice")]


def test_every_label_stands_once_under_its_group(schema, make):
    config = make(schema)
    assert sorted(keys(config, "category")) == sorted(schema.category)
    assert keys(config, "emotion") == list(schema.emotion)
    assert keys(config, "undecided") == ["undecided"]
    for row, group in zip(control(config, "category"), schema.groups, strict=True):
        assert row.find("Header").get("value") == group_name(group)
        found = [choice.get("alias") for choice in row.iter("Choice")]
        assert found == [item.key for item in schema.categories if item.group == group]


def test_embedded_groups_have_chinese_names(taxonomy):
    assert all(re.fullmatch(r"[\u4e00-\u9fff]{2,4}", group_name(group)) for group in taxonomy.groups)
    assert group_name("珠宝鉴定") == "珠宝鉴定"


def test_label_studio_takes_answers_in_keys(schema, make):
    from label_studio_sdk.label_interface import LabelInterface

    interface = LabelInterface(make(schema))
    interface.validate()

    def problems(name, key):
        region = {"from_name": name, "to_name": "chat", "type": "choices", "value": {"choices": [key]}}
        return interface.validate_prediction({"model_version": "m", "result": [region]}, return_errors=True)

    for name in ("category", "emotion"):
        for key in schema.label_map(name).labels:
            assert not problems(name, key)
        assert problems(name, "no_such_label")


def test_tasks_need_what_we_say(taxonomy):
    for make, again in ((labeling_config, False), (adjudication_config, True)):
        shown = {
            re.match(r"\$(\w+)", value)[1]
            for element in ElementTree.fromstring(make(taxonomy)).iter()
            for value in (element.get("value", ""), element.get("on", ""))
            if value.startswith("$")
        }
        assert shown == set(required_data(again))


def test_no_hotkey_does_two_things(schema, make):
    root = ElementTree.fromstring(make(schema))
    hotkeys = [element.get("hotkey") for element in root.iter() if element.tag in ("Choice", "Filter")]
    assert all(hotkeys), "the editor gives a choice without a hotkey the next free letter"
    hotkeys += [
        shortcut["hotkey"] for shortcut in suggestions(schema, [(key, 0.1) for key in schema.category])
    ]
    assert len(set(hotkeys)) == len(hotkeys)
    for choice in control(make(schema), "category").iter("Choice"):
        assert ord(choice.get("hotkey")) > 255, "a letter typed by mistake would change the category"


def test_style_survives_the_editor(schema, make):
    """The editor reads the style sheet as markup: these three would come out as entities."""
    style = ElementTree.fromstring(make(schema)).find("Style").text
    assert not set("<>&") & set(style)
    assert style.count("{") == style.count("}")


def test_typing_finds_the_category_that_enter_takes(taxonomy):
    texts = {
        choice.get("alias"): choice.get("value").lower()
        for choice in control(labeling_config(taxonomy), "category").iter("Choice")
    }

    def first(typed):
        return next(key for key, text in texts.items() if typed in text)

    for item in taxonomy.categories:
        for typed in (item.zh, pinyin_initials(item.zh), item.key):
            assert first(typed) == item.key, typed
        for start in range(len(item.zh) - 1):
            for end in range(start + 2, len(item.zh) + 1):
                part = item.zh[start:end]
                assert part in taxonomy.category[first(part)].zh, part
    needed = [
        next(length for length in range(1, 9) if first(pinyin_initials(item.zh)[:length]) == item.key)
        for item in taxonomy.categories
    ]
    assert round(sum(needed) / len(needed), 1) == 2.4, "docs/labeling.md says so"
    assert first("顺丰") == "courier_choice"
    assert first("12315") == "dispute_escalation"


def test_what_a_search_leaves_out(taxonomy):
    text = search_text(taxonomy.category["return_request"], taxonomy)
    assert text.startswith("退货申请 thsq return_request")
    assert "我要退货" in text
    assert "退款" not in text, "would come before the refund categories"


def test_pinyin_initials():
    assert pinyin_initials("催发货") == "cfh"
    assert pinyin_initials("阿波次得鹅佛哥喝") == "abcdefgh"
    assert pinyin_initials("机科乐摸你哦坡七") == "jklmnopq"
    assert pinyin_initials("日思特乌西衣资") == "rstwxyz"
    assert pinyin_initials("A货，花呗") == "ahh"


def test_boundary_rules_speak_chinese(taxonomy):
    rules = boundary_rules(taxonomy)
    assert rules["invoice_problem"] == [
        "开具发票 / 发票问题：没开、催开 → 开具发票；说已开已发却没收到、内容错、重开 → 发票问题"
    ]
    assert len(rules["urge_shipping"]) == 2
    assert any("看语气" in rule for rule in rules["angry"])
    assert len(rules["neutral"]) == len(set(rules["neutral"])) == 1
    assert rules["coupon"], "rules also count for labels that only their text names"
    for rule in (rule for said in rules.values() for rule in said):
        assert not re.search("[a-z]_|->", rule), rule


def test_meaning_stands_beside_each_label(taxonomy):
    config = labeling_config(taxonomy)
    for name, items in (("category", taxonomy.categories), ("emotion", taxonomy.emotions)):
        shown = {choice.get("alias"): choice.get("html") for choice in control(config, name).iter("Choice")}
        assert all(item.definition in shown[item.key] for item in items)


def test_names_with_markup_stay_text(another):
    for choice in control(labeling_config(another), "category").iter("Choice"):
        markup = choice.get("html")
        assert "<script" not in markup
        assert "<b>" not in markup


class Reader(HTMLParser):
    def __init__(self):
        super().__init__()
        self.bubbles = []

    def handle_starttag(self, tag, attrs):
        self.bubbles.append([tag, dict(attrs), ""])

    def handle_data(self, data):
        self.bubbles[-1][2] += data


def test_bubbles_hold_the_texts_and_nothing_else():
    texts = [
        "<script>alert(1)</script>",
        "</p><p class='t'>不是我说的",
        '<img src=x onerror="alert(1)"> &amp; &lt; 😊',
        "第一行\n第二行  空格",
        "长" * 5000,
    ]
    context = [Turn(("customer", "agent")[place % 2], text) for place, text in enumerate(texts)]
    reader = Reader()
    reader.feed(chat_html("<b>最后一句</b> $text {{idx}}", context))
    reader.close()
    assert [tag for tag, _, _ in reader.bubbles] == ["p"] * 6
    assert [attributes for _, attributes, _ in reader.bubbles] == [{"class": kind} for kind in "cacact"]
    assert [text for _, _, text in reader.bubbles] == [*texts, "<b>最后一句</b> $text {{idx}}"]


def test_bubbles_are_small(corpus):
    for row in [row for row in corpus if len(row.context) > 3][:200]:
        said = sum(len(turn.text) for turn in row.context) + len(row.text)
        assert len(chat_html(row.text, row.context)) <= said + 20 * (len(row.context) + 1)


def test_shortcuts(taxonomy):
    ranked = [("urge_shipping", 0.863), ("ship_time", 0.12), ("coupon", 0.004), ("bargain", 0.0)]
    made = suggestions(taxonomy, [*ranked, ("greeting", "2 人"), ("thanks_closing", 0.0)])
    assert made[0] == {"value": "催发货 86%", "alias": "urge_shipping", "hotkey": "1"}
    assert [one["value"] for one in made[2:]] == ["优惠券红包 <1%", "议价 <1%", "问候开场 2 人"]
    assert [one["hotkey"] for one in made] == list("12345")
    assert suggestions(taxonomy, []) == []
    with pytest.raises(ValueError, match="suggested: 'no_such' is not a category"):
        suggestions(taxonomy, [("no_such", 0.5)])


def test_our_own_configs_are_ours(schema, make):
    assert check_config(make(schema), schema) == []


@pytest.mark.parametrize(
    ("pattern", "replacement", "problem"),
    [
        (r'alias="coupon"', 'alias="voucher"', "category: lacks coupon; category: voucher not in the label"),
        (r'name="emotion"', 'name="mood"', "emotion: no Choices control of this name"),
        (r'value="\$suggested"', "", r"category: does not show the shortcuts in \$suggested"),
        (r'value="\$chat"', 'value="$text"', r"chat: no object tag of this name shows \$chat"),
        (
            r'toName="chat" choice',
            'toName="text" choice',
            "category: labels 'text' instead of chat",
        ),
        (
            r'choice="single-radio"',
            'choice="multiple"',
            "category: lets people choose several",
        ),
        (r"</View>\s*$", "", "labelling config: not XML"),
    ],
)
def test_changed_configs_are_named(taxonomy, pattern, replacement, problem):
    config = re.sub(pattern, lambda _: replacement, labeling_config(taxonomy))
    assert re.match(problem, "; ".join(check_config(config, taxonomy)))


def test_a_project_of_another_schema_is_named(taxonomy, another):
    problems = check_config(labeling_config(another), taxonomy)
    assert problems[0] == (
        "category: lacks product_spec, product_material, size_recommendation, color_style, suitability "
        "and 66 more"
    )
    assert problems[1].startswith("category: topic_0, topic_12, ")


def test_a_restyled_screen_is_still_ours(taxonomy):
    root = ElementTree.fromstring(labeling_config(taxonomy))
    root.remove(root.find("Style"))
    category = root.find(".//Choices[@name='category']")
    category[:] = reversed(list(category))
    assert check_config(ElementTree.tostring(root, encoding="unicode"), taxonomy) == []
