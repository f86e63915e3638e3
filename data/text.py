"""The one normalisation of text: what every model reads, in training and in serving alike.

Masking of personal data (`data.pii`) is another matter: it protects people in logs and in other
systems. Normalisation serves the model, and never leaves the process.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any

__all__ = ["PLACEHOLDERS", "normalise"]

PLACEHOLDERS = (
    "[订单号]",
    "[单号]",
    "[手机]",
    "[电话]",
    "[链接]",
    "[数字]",
    "[金额]",
    "[日期]",
    "[时间]",
    "[表情]",
    "[图片]",
    "[地址]",
    "[姓名]",
)
"""What stands in normalised text for things whose exact value says nothing about the wish."""

# Masked data as other systems write it: [订单x], [ORDERID_123], <电话>, #E-s12.
_FOREIGN = (
    (re.compile(r"#E-s(?:\d+|\[数字x?\])", re.I), "[表情]"),
    (re.compile(r"\[(?:订单|订单编号|order_?id)[x_\d]*\]", re.I), "[订单号]"),
    (re.compile(r"\[(?:快递单号|运单号|物流单号)[x_\d]*\]", re.I), "[单号]"),
    (re.compile(r"\[(?:数字|number)[x_\d]*\]", re.I), "[数字]"),
    (re.compile(r"\[(?:金额|价格|money)[x_\d]*\]", re.I), "[金额]"),
    (re.compile(r"\[(?:日期|date)[x_\d]*\]", re.I), "[日期]"),
    (re.compile(r"\[(?:时间|time)[x_\d]*\]", re.I), "[时间]"),
    (re.compile(r"\[(?:电话|固话|座机)[x_\d]*\]", re.I), "[电话]"),
    (re.compile(r"\[(?:手机|手机号|phone)[x_\d]*\]", re.I), "[手机]"),
    (re.compile(r"\[(?:地址|站点|address)[x_\d]*\]", re.I), "[地址]"),
    (re.compile(r"\[(?:姓名|名字|name)[x_\d]*\]", re.I), "[姓名]"),
    (re.compile(r"\[(?:链接|商品链接|url|商品id)[x_\d]*\]", re.I), "[链接]"),
    (re.compile(r"\[(?:图片|商品图片|image|截图)[x_\d]*\]", re.I), "[图片]"),
)
_URL = re.compile(r"(?:https?://|www\.)[^\s一-鿿]+", re.I)
_MOBILE = re.compile(r"(?<![\dA-Za-z])(?:\+?86[- ]?)?1[3-9]\d(?:[- ]?[\d*]{4}){2}(?![\dA-Za-z])")
_LANDLINE = re.compile(r"(?<!\d)0\d{2,3}[- ]?\d{7,8}(?!\d)")
# Parcel carriers' prefixes with their digits; a bare run of 12 to 15 digits is one as well.
_TRACKING = re.compile(
    r"(?<![A-Za-z\d])(?:SF|YT|ZTO|STO|JD[A-Z]{0,2}|EMS|DB|DPK|JT|KY|E[A-Z])\d{9,17}[A-Z]{0,2}(?![A-Za-z\d])",
    re.I,
)
_ORDER = re.compile(r"(?<!\d)\d{16,22}(?!\d)")
# A pasted order card says no more than its number: 咨询订单号:… 订单金额:… 下单时间:… 商品id:…
_ORDER_CARD = re.compile(
    r"\[?(?:咨询)?订单(?:编)?号:? ?\[订单号\]"
    r"(?:[, ]*(?:订单金额:? ?(?:\[金额\]|[¥]?\d+(?:\.\d+)?元?)"
    r"|下单时间:? ?(?:\[日期\]|\d{4}[-/.年]\d{1,2}[-/.月]\d{1,2}日?)"
    r"(?: ?(?:\[时间\]|\d{1,2}:\d{2}(?::\d{2})?))?"
    r"|商品id:? ?(?:\[(?:数字|链接)\]|\d+)))*\]?"
)
_LONG_NUMBER = re.compile(r"(?<!\d)\d{12,15}(?!\d)")
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\ufe0e\ufe0f]"
)
_SPACE = re.compile(r"\s+")
_REPEATED_MARK = re.compile(r"([!?。.,，、~…;:*=_#^-])\1{2,}")
_REPEATED_CHARACTER = re.compile(r"(\D)\1{3,}")


@lru_cache(maxsize=1)
def _to_simplified() -> Any:
    # Imported late: the dictionary takes a moment to load and not every user of this module needs it.
    from opencc import OpenCC

    return OpenCC("t2s")


def normalise(text: str) -> str:
    """Bring a message into the form that models read.

    Full width to half width (NFKC), traditional to simplified characters, lower case, placeholders
    for links, phone, order and tracking numbers and order cards, at most three of a repeated mark or
    character, single spaces. Emoji stay. Idempotent: `normalise(normalise(x)) == normalise(x)`.

    Args:
        text: any text, also empty.

    Returns:
        The normalised text; empty where nothing visible was left.
    """
    # One pass can make a new opportunity for another (NFKC yields digits that form a number), so
    # repeat until nothing changes; two rounds are the rule.
    for _ in range(6):
        changed = _normalise_once(text)
        if changed == text:
            break
        text = changed
    return text


def _normalise_once(text: str) -> str:
    text = _CONTROL.sub("", text.replace("\r", " ").replace("\n", " "))
    text = unicodedata.normalize("NFKC", text)
    if not text.isascii():
        text = _to_simplified().convert(text)
    for pattern, placeholder in _FOREIGN:
        text = pattern.sub(placeholder, text)
    text = _URL.sub("[链接]", text)
    text = _TRACKING.sub("[单号]", text)
    text = _MOBILE.sub("[手机]", text)
    text = _LANDLINE.sub("[电话]", text)
    text = _ORDER.sub("[订单号]", text)
    text = _LONG_NUMBER.sub("[单号]", text)
    text = _ORDER_CARD.sub("[订单号]", _SPACE.sub(" ", text.lower()))
    text = _REPEATED_MARK.sub(r"\1\1\1", text)
    text = _REPEATED_CHARACTER.sub(r"\1\1\1", text)
    return _SPACE.sub(" ", text).strip()
