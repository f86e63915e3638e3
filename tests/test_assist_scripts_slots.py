"""Gaps are filled with what was said, where it means what the gap means, and with nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assist.scripts.library import SLOTS
from assist.scripts.slots import find_slots, load_slots, placeholder
from data.example import Turn

ORDER = "2026110500123456789"


def fill(script, *turns, known=None):
    said = [Turn(role, text) for role, text in turns]
    return find_slots(said, known).fill(script)


@pytest.mark.parametrize(
    ("turns", "script", "text"),
    [
        ([("customer", f"订单号{ORDER}还没发")], "订单{order_id}今天出库。", f"订单{ORDER}今天出库。"),
        ([("agent", "付款后48小时内发货")], "付款后{hours}小时内发出。", "付款后48小时内发出。"),
        ([("agent", "预计11月8日送达")], "{date}前送到您那里。", "11月8日前送到您那里。"),
        ([("customer", "中通yt1234567890123怎么不动")], "{tracking_no}在路上。", "yt1234567890123在路上。"),
        ([("customer", "中通显示签收了")], "我联系{courier}核实。", "我联系中通核实。"),
        ([("customer", "寄到成都要几天")], "发往{city}的快递照常走。", "发往成都的快递照常走。"),
        ([("customer", "想换成红色")], "给您改成{color}。", "给您改成红色。"),
        ([("customer", "我拍的是XL码")], "您拍的是{size}码。", "您拍的是XL码。"),
        ([("customer", "我要换M码")], "包裹拦下来换成{size}。", "包裹拦下来换成M。"),
        ([("customer", "买了3件")], "按您要的{quantity}件算。", "按您要的3件算。"),
        ([("agent", "这次退款30元")], "登记退款{amount}元。", "登记退款30元。"),
        (
            [("customer", "满200减30的优惠券用不了")],
            "{coupon}的条件在券面上。",
            "满200减30的优惠券的条件在券面上。",
        ),
        ([("customer", "抬头是四川云川贸易公司")], "抬头“{invoice_title}”。", "抬头“四川云川贸易公司”。"),
        ([("agent", "今天下午6点前回复您")], "{time}前给您答复。", "今天下午6点前给您答复。"),
        ([("agent", "已转售后专员")], "由{specialist}看。", "由售后专员看。"),
        ([("customer", "宝贝：羊毛围巾，规格：厚款")], "{product}{spec}。", "羊毛围巾厚款。"),
        ([("customer", "双十一的价格")], "{activity}的规则在首页。", "双十一的规则在首页。"),
        ([("customer", "放菜鸟驿站了")], "包裹在{station}。", "包裹在菜鸟驿站。"),
        ([("customer", "售后单号TS20261108")], "售后单{ticket_id}在审。", "售后单TS20261108在审。"),
    ],
)
def test_what_was_said_fills_the_gap(turns, script, text):
    filling = fill(script, *turns)
    assert filling.text == text
    assert filling.missing == ()
    assert set(filling.filled) == {name for name in SLOTS if f"{{{name}}}" in script}


@pytest.mark.parametrize(
    ("turns", "script", "open_gap"),
    [
        ([("customer", "都5天了，3天内必须发货")], "{days}天内发货。", "days"),
        ([("customer", "赔我200元")], "补偿{amount}元。", "amount"),
        ([("customer", "20日前能到吗，11月20日要用")], "{date}前送达。", "date"),
        ([("agent", "付款后2天内发货")], "退款{days}天内到账。", "days"),
        ([("agent", "回复您3点建议")], "{time}前回复您。", "time"),
        ([("agent", "已经5天没更新")], "发货要{days}天。", "days"),
        ([("customer", "能发顺丰吗")], "默认发{courier}，今天走。", "courier"),
        ([("customer", "寄到成都要几天")], "包裹现在{city}转运中心。", "city"),
        ([("customer", "我平时穿L码")], "按您的情况建议{size}码。", "size"),
        ([("customer", "买3件")], "满{quantity}件有优惠。", "quantity"),
        ([("customer", f"{ORDER}和2026110600123456780都没到")], "订单{order_id}在路上。", "order_id"),
        ([("customer", "打我电话13800138000")], "我打{phone}。", "phone"),
        ([("customer", "用http://example.com/x这个")], "链接：{link}。", "link"),
    ],
)
def test_what_means_something_else_leaves_it_open(turns, script, open_gap):
    filling = fill(script, *turns)
    assert filling.missing == (open_gap,)
    assert placeholder(open_gap) in filling.text
    assert filling.filled == {}


def test_the_latest_turn_wins():
    other = "2026110600123456780"
    turns = [("customer", f"订单{ORDER}"), ("agent", "好"), ("customer", f"看错了，订单{other}")]
    assert fill("{order_id}", *turns).filled == {"order_id": other}


def test_the_caller_knows_better_and_units_are_not_doubled():
    filling = fill(
        "{days}天，{amount}元，{color}色，{quantity}",
        ("agent", "3天内发货"),
        known={"days": "7天", "amount": "¥30", "color": "红色", "quantity": "2"},
    )
    assert filling.text == "7天，30元，红色，2件"


def test_personal_data_never_enters_a_reply():
    filling = fill("{phone}，{specialist}", known={"phone": "13800138000", "specialist": "物流专员"})
    assert filling.text == "【联系电话】，物流专员"
    assert (filling.missing, filling.withheld) == (("phone",), ("phone",))
    assert fill("{phone}", known={"phone": "400-820-8820"}).text == "400-820-8820"
    # An identity card number looks like an order number.
    filling = fill("订单{order_id}", ("customer", "我的身份证110105194912310011"))
    assert (filling.text, filling.withheld) == ("订单【订单号】", ("order_id",))


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"order": "1"}, r"slots\.order: is unknown; known are order_id"),
        ({"days": " "}, r"slots\.days: expected a text"),
        ({"days": "3" * 201}, r"slots\.days: expected a text of 1 to 200"),
        ({"product": "a\nb"}, r"slots\.product: has a line break"),
        ({"product": "{days}"}, r"slots\.product: .*brace"),
    ],
)
def test_wrong_values_of_the_caller_are_named(known, message):
    with pytest.raises(ValueError, match=message):
        find_slots([], known)


TURNS = st.lists(
    st.builds(
        Turn,
        st.sampled_from(["customer", "agent"]),
        st.text(max_size=40)
        | st.sampled_from(["3天内发货", ORDER, "中通YT1234567890123", "退款30元", "我叫张三"]),
    ),
    max_size=5,
)


@settings(max_examples=60, deadline=None)
@given(turns=TURNS, names=st.lists(st.sampled_from(sorted(SLOTS)), min_size=1, max_size=4))
def test_any_conversation_fills_or_names_every_gap(turns, names):
    filling = find_slots(turns).fill("，".join(f"发货{{{name}}}" for name in names))
    assert set(filling.filled).isdisjoint(filling.missing)
    assert set(filling.filled) | set(filling.missing) == set(names)
    assert set(filling.withheld) <= set(filling.missing)
    for name in filling.missing:
        assert placeholder(name) in filling.text


def test_a_wrong_file_is_named(tmp_path):
    path = tmp_path / "slots.yaml"
    path.write_text("slots: {order: {zh: 订单号}}", encoding="utf-8")
    with pytest.raises(ValueError, match=r"slots\.(order|activity): is"):
        load_slots(path)
    assert set(load_slots()) == set(SLOTS)
