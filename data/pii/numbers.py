"""Telephone numbers in chats: mobiles and landlines, of the mainland and abroad.

A number counts by its form and by how its digits are grouped; labels such as 电话 admit odder
groupings, while order-like labels, codes and sums of money refuse it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from data.pii.text import CALL, ORDER, Hit, View, group_lengths, nearest, order_label, scan

__all__ = ["landlines", "mobiles"]

_GAP = r"[ \t]{0,2}[-._·•/~、,*()|【】]?[ \t]{0,2}"
_MOBILE = re.compile(
    rf"(?<!\d)(?P<prefix>\(?(?:\+|00)? ?86\)?[ -]{{0,2}}\(?|0)?"
    rf"(?P<core>1{_GAP}[3-9](?:{_GAP}\d){{9}})(?!\d)"
)
_MOBILE_TAIL = re.compile(r"-\d{4}(?![\d-])|(?:转|分机|#)\d{1,6}(?!\d)")
_EXTENSION = re.compile(r" ?(?:转|分机|ext\.?|-|#)[ :]?(?:分机)?\d{1,6}(?![\d-])", re.I)
_ABROAD = re.compile(
    r"(?:\(?(?:\+|(?<!\d)00) ?85[23]|\(85[23]\)|(?<!\d)85[23](?=[ -]))[ )-]{0,2}"
    r"[2-9]\d{3}[ -]?\d{4}(?!\d)"
    r"|(?:\(?(?:\+|(?<!\d)00) ?886|\(886\)|(?<!\d)886(?=[ -]))[ )-]{0,2}"
    r"0?9\d{2}[ -]?\d{3}[ -]?\d{3}(?!\d)"
    r"|\+(?!86)\d{1,3}(?:[ -.()]{0,2}\d){7,12}(?!\d)"
)
_LOCAL_ABROAD = re.compile(r"(?<!\d)(?:[4-9]\d{3}[ -]?\d{4}|09\d{2}[ -]?\d{3}[ -]?\d{3})(?!\d)")
_TAIWAN = re.compile(r"(?<![\d-])09\d{2}-\d{3}-\d{3}(?![\d-])")
_OVERSEAS = re.compile(r"香港|澳门|台湾|台北|高雄|台中|台南|新竹|港澳|hk", re.I)
# Ways people group eleven digits: the plain ones need no proof, the other usual ones must not stand in
# a list of figures; odd ones need a word such as 电话 before them, or to be written with spaces only.
_PLAIN_GROUPS = {(11,), (3, 4, 4)}
_USUAL_GROUPS = {
    *((3, 3, 5), (4, 4, 3), (4, 3, 4), (3, 8), (7, 4), (5, 6), (6, 5)),
    *((3, 2, 3, 3), (3, 2, 2, 2, 2), (3, 4, 2, 2), (1, 2, 2, 2, 2, 2), (2, 2, 2, 2, 2, 1)),
    (1,) * 11,
}
# Letters that may touch a number, as in tel138...
_CALL_LETTERS = re.compile(
    "tel|phone|mobile|mob|v|vx|wx|wechat|weixin|call|dh|sj|sjh|hm|p|t|m|q|qq|no|ph|cell|dianhua|zfb|alipay|x|to",
    re.I,
)


def _letters_ok(text: str, start: int, end: int) -> bool:
    """Refuse numbers glued to a code (SF138..., ABC138..., 138...B7) and sums of money."""
    before = re.search(r"[A-Za-z]+$", text[max(0, start - 10) : start])
    if before and not _CALL_LETTERS.fullmatch(before.group()):
        return False
    if start and text[start - 1] in "¥$":
        return False
    return not re.match(r"[A-Z]|[a-z]{1,3}\d|\.\d{1,2}(?!\d)|元|块钱", text[end : end + 4])


def _mobile_ok(text: str, match: re.Match[str], called: bool) -> bool:
    """Judge by its grouping and surroundings whether eleven digits are a mobile number."""
    start, end = match.span()
    core, prefix = match.group("core"), match.group("prefix") or ""
    groups = group_lengths(core)
    if not prefix and text[max(0, start - 1) : start] == "+":  # +1 415...: another country's
        return False
    if called:
        return True
    if prefix == "0" or (prefix.startswith("86") and len(groups) > 1):
        return False
    if groups in _PLAIN_GROUPS:
        return True
    if groups not in _USUAL_GROUPS:
        listed = len(groups) > 2 and len(set(groups[:-1])) == 1  # sizes: 165 170 175 18
        if listed or not re.fullmatch(r"[\d ]+", core):
            return False
    # a loosely split number must not be cut out of a longer list of figures
    return not (
        re.search(r"\d[ .,/-]{1,2}$", text[max(0, start - 3) : start])
        or re.match(r"[ .,/-]{1,2}\d", text[end : end + 3])
    )


def mobiles(view: View) -> Iterator[Hit]:
    """Yield mobile numbers with their country code and extension."""
    for text in view.readings:
        for match in scan(_MOBILE, text):
            start, end = match.span()
            called = nearest(view.plain, start, CALL, ORDER, 12)
            if not _mobile_ok(text, match, called) or not _letters_ok(view.plain, start, end):
                continue
            if order_label(view.plain, start, 8):
                continue
            core = match.group("core")
            if ")" in core and "(" not in core and text[max(0, start - 1) : start] == "(":
                start -= 1
            tail = _MOBILE_TAIL.match(text, end)
            yield start, tail.end() if tail else end, "mobile"
    for match in _ABROAD.finditer(view.plain):
        yield match.start(), match.end(), "mobile"
    for match in _TAIWAN.finditer(view.plain):
        if not order_label(view.plain, match.start()):
            yield match.start(), match.end(), "mobile"
    for match in _LOCAL_ABROAD.finditer(view.plain):
        around = view.plain[max(0, match.start() - 12) : match.end() + 8]
        told = bool(_OVERSEAS.search(around)) + bool(CALL.search(around))
        taiwan = match.group().startswith("09") and not order_label(view.plain, match.start())
        if told > (0 if taiwan else 1):
            yield match.start(), match.end(), "mobile"


_LANDLINE = re.compile(
    r"(?<![\d+.])(?:\(?(?:\+|00)86\)?[ -]?0?|86[ -]0?|\(?0)(?:10|2\d|[3-9]\d{2})"
    r"(?:\)|[ -]{0,3}\)?|[,/、])[ -]?[1-9]\d{2,3}[ -]?\d{4}(?!\d)"
)
_LOCAL = re.compile(r"(?<![\d.-])[2-8]\d{2,3}[ -]?\d{4}(?![\d.-])")
_DESK = re.compile(r"座机|固话|固定电话|[家宅]电|电话|(?<![a-z])tel", re.I)


def landlines(view: View) -> Iterator[Hit]:
    """Yield landline numbers with their area code and extension."""
    for text in view.readings:
        found: list[tuple[int, int]] = []
        for match in scan(_LANDLINE, text):
            if not order_label(view.plain, match.start()):
                found.append(match.span())
        for match in _LOCAL.finditer(text):
            # without an area code only straight after a word such as 座机
            head = view.plain[max(0, match.start() - 12) : match.start()]
            head = re.sub(r"[ :是为(号码]+$", "", head)
            desk = [m.end() for m in _DESK.finditer(head)]
            if desk and len(head) - desk[-1] <= 2:
                found.append(match.span())
        for start, end in found:
            if _letters_ok(view.plain, start, end):
                tail = _EXTENSION.match(text, end)
                yield start, tail.end() if tail else end, "landline"
