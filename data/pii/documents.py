"""Identity cards, bank cards, passports and number plates.

A valid check digit vouches for a long number, and so does a label such as 身份证 or 卡号 beside it;
an order-like label speaks against it.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator

from data.pii.text import ORDER, Hit, View, group_lengths, near, nearest, order_label, scan

__all__ = ["bank_cards", "id_cards", "passports", "plates"]

_ID = re.compile(r"身份|证件|实名|公民|居民|清关|sfz|id ?card|idno|证号", re.I)
_ID18 = re.compile(r"(?<![\dA-Za-z])\d(?:[ -]{0,2}\d){16}[ -]{0,2}[\dxX](?![\dA-Za-z*])")
_ID15 = re.compile(r"(?<!\d)\d{8}(?:0[1-9]|1[0-2])(?:[0-2]\d|3[01])\d{3}(?!\d)")
_ID_OTHER = re.compile(  # Hong Kong, Taiwan
    r"(?<![A-Za-z\d])(?:[A-Z]{1,2}\d{6}\(?[\dA]\)?|[A-Z][12]\d{8})(?!\d)"
)
_ID_LABEL = re.compile(r"(?:身份证|证件)(?:号码?|[是: ])*$")
_PROVINCE_CODES = {
    *(*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55)),
    *(*range(61, 66), 71, 81, 82, 83, 91),
}
_ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def _birth_ok(number: str) -> bool:
    try:
        born = datetime.date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    return 1900 <= born.year <= 2030 and int(number[:2]) in _PROVINCE_CODES


def _id_checksum_ok(number: str) -> bool:
    total = sum(int(d) * w for d, w in zip(number[:17], _ID_WEIGHTS, strict=True))
    return "10X98765432"[total % 11] == number[17].upper()


def id_cards(view: View) -> Iterator[Hit]:
    """Yield identity card numbers of the mainland, Hong Kong and Taiwan."""
    for text in view.readings:
        for match in scan(_ID18, text):
            start, end = match.span()
            number = re.sub(r"[ -]", "", match.group())
            told = near(view.plain, start, end, _ID)
            trusted = told or (_id_checksum_ok(number) and not order_label(view.plain, start))
            labelled = _ID_LABEL.search(view.plain[max(0, start - 12) : start])
            if labelled or (trusted and _birth_ok(number)):
                yield start, end, "id_card"
        for pattern in (_ID15, _ID_OTHER):
            for match in pattern.finditer(text):
                if nearest(view.plain, match.start(), _ID, ORDER, 12):
                    yield match.start(), match.end(), "id_card"


_CARD = re.compile(
    r"卡号|银行卡|储蓄卡|信用卡|借记卡|存折|[工农建中招交]行|邮储|邮政卡|银行|支行|账号|帐号|账户|帐户|打款"
    r"|转账|汇款|打到|退到|[的张]卡"
)
_CARD_NUMBER = re.compile(r"(?<![\dA-Za-z])\d(?:[ -]{0,2}\d){11,18}(?![ -]?\d|[A-Za-z*])")
_CARD_PREFIX = re.compile(r"62\d{14,17}$|9558\d{12,15}$|60[13]\d{13,16}$|(?:4\d|5[1-5]|35)\d{14}$")
_CARD_LABEL = re.compile(r"(?:卡号|账号|帐号|账户|帐户|银行卡)(?:号码?|[是为: ])*$")


def _luhn_ok(number: str) -> bool:
    total = 0
    for place, char in enumerate(reversed(number)):
        digit = int(char) * (1 + place % 2)
        total += digit - 9 if digit > 9 else digit
    return total % 10 == 0


def bank_cards(view: View) -> Iterator[Hit]:
    """Yield bank card numbers."""
    for text in view.readings:
        for match in scan(_CARD_NUMBER, text):
            start, end = match.span()
            number = re.sub(r"\D", "", match.group())
            even = set(group_lengths(match.group())[:-1]) <= {4}
            if _CARD_LABEL.search(view.plain[max(0, start - 10) : start]):
                yield start, end, "bank_card"
            elif len(number) < 16 or order_label(view.plain, start):
                continue
            elif near(view.plain, start, end, _CARD):
                if even or _luhn_ok(number):
                    yield start, end, "bank_card"
            elif even and _CARD_PREFIX.match(number) and _luhn_ok(number):
                yield start, end, "bank_card"


_PASSPORT = re.compile(
    r"(?<![A-Za-z\d])(?:[A-Z]{1,2}[ -]?\d(?:[ -]?\d){6,9}|\d{8}|\d{10})(?![A-Za-z\d])", re.I
)
_PASSPORT_WORD = re.compile(r"护照|通行证|台胞证|回乡证|passport|港澳证|台湾证", re.I)
_PASSPORT_BARE = re.compile(r"E(?:\d|[A-HJ-NP-Z])\d{7}$|G\d{8}$")
_GOODS = re.compile(r" ?(?:有货|这[款个]|款|型|码|号|多少|还有|什么|怎么|尺|颜色|的)")


def passports(view: View) -> Iterator[Hit]:
    """Yield passport and travel permit numbers."""
    text = view.plain
    for match in _PASSPORT.finditer(text):
        start, end = match.span()
        named = nearest(text, start, _PASSPORT_WORD, ORDER, 14)
        coded = nearest(text, start, ORDER, _PASSPORT_WORD, 12) or _GOODS.match(text, end)
        if named or (_PASSPORT_BARE.match(match.group()) and not coded):
            yield start, end, "passport"


_PLATE = re.compile(
    r"(?<![全最更超])[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼] ?[A-HJ-NP-Z]"
    r"[ .·•\-]{0,2}(?=[A-Z ]{0,3}\d)(?:[A-HJ-NP-Z\d] ?){4}(?:[A-HJ-NP-Z\d]{1,2}|[警学挂港澳领])"
    r"(?![A-Za-z\d])",
    re.I,
)


def plates(view: View) -> Iterator[Hit]:
    """Yield car number plates."""
    for match in _PLATE.finditer(view.plain):
        if sum(char.isdigit() for char in match.group()) >= 3:
            yield match.start(), match.end(), "plate"
