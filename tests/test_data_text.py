from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.text import PLACEHOLDERS, normalise


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("ＩＰＨＯＮＥ１５　有货吗？", "iphone15 有货吗?"),
        ("請問什麼時候發貨", "请问什么时候发货"),
        ("快点！！！！！！", "快点!!!"),
        ("哈哈哈哈哈哈好看", "哈哈哈好看"),
        ("谢谢😀👍", "谢谢😀👍"),
        ("订单3481234567890123456怎么还没发", "订单[订单号]怎么还没发"),
        ("打我138 0013 8000", "打我[手机]"),
        ("座机0571-88888888", "座机[电话]"),
        ("SF1234567890123到哪了", "[单号]到哪了"),
        ("单号 773012345678901", "单号 [单号]"),
        ("看这个https://item.taobao.com/item.htm?id=1 有吗", "看这个[链接] 有吗"),
        ("[订单x]价保[金额x]元", "[订单号]价保[金额]元"),
        ("有货么? [订单编号:[订单x]，订单金额:[金额x]，下单时间:[日期x] [时间x]]", "有货么? [订单号]"),
        ("咨询订单号:[ORDERID_10]订单金额:[金额x] 商品ID:[数字x]", "[订单号]"),
        ("订单号：3481902277560018834 订单金额:￥59.00 下单时间:2026-01-02 12:00:00 没发", "[订单号] 没发"),
        ("好的#E-s[数字x]", "好的[表情]"),
        ("155 45kg 199元", "155 45kg 199元"),
        ("1​2﻿3", "123"),
        ("  两\n行\t字 ", "两 行 字"),
        ("", ""),
    ],
)
def test_normalise(raw, expected):
    assert normalise(raw) == expected


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_idempotent_on_any_text(text):
    assert normalise(normalise(text)) == normalise(text)


@given(st.text(alphabet="1234567890-+ ０１８[]x订单手机SFsf你好！。", max_size=50))
@settings(max_examples=300, deadline=None)
def test_idempotent_on_numbers(text):
    assert normalise(normalise(text)) == normalise(text)


def test_placeholders_stay():
    for placeholder in PLACEHOLDERS:
        assert normalise(f"我的{placeholder}呢") == f"我的{placeholder}呢"
