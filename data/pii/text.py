"""The text as the detectors of personal data see it, and what stands around a number in it.

`normalise` folds a message into a `View` and keeps the original offsets; every detector yields its
finds as offsets into that view. Also here: the questions that several detectors ask, such as
whether a word like 订单号 or 电话 labels a number.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = [
    "CALL",
    "CONTACT",
    "HAN",
    "ORDER",
    "OTHER",
    "PHONE",
    "PLACE",
    "Hit",
    "View",
    "group_lengths",
    "near",
    "nearest",
    "normalise",
    "order_label",
    "scan",
]

# What a found span is blanked with, so that later detectors see a hard boundary there and still
# know that a number of a person (phone, identity card...), an address or an account stood there.
PHONE, PLACE, OTHER, CONTACT = "\x00", "\x01", "\x02", "\x04"

Hit = tuple[int, int, str]
"""Start, end and kind of a find."""

HAN = r"[\u4e00-\u9fff]"
"""Pattern of one Chinese character."""


@dataclass(frozen=True)
class View:
    """The text as detectors see it; `plain` and `digits` have the same length.

    `plain` is width-folded; `digits` also has Chinese numerals turned into 0-9; `starts[i]` is the
    original offset of character `i`, with one more entry for the end.
    """

    plain: str
    digits: str
    starts: tuple[int, ...]

    @property
    def readings(self) -> tuple[str, ...]:
        """The forms in which to look for digits: `digits` too where it differs."""
        return (self.plain,) if self.plain == self.digits else (self.plain, self.digits)


_CN_DIGITS = str.maketrans(
    "零〇○洞一壹幺二贰两三叁四肆五伍六陆七柒拐八捌九玖勾", "00001112223344556677788999"
)
_DASHES = "‐‑‒–—―−－﹣─ー"
# "…零零零一下": the last numeral belongs to the next word, not to the number before it.
_WORD_NUMERAL = re.compile(
    "[一二两三四五六七八九](?=[个下定样起直般些点次位名楼栋天周月年日块件单层组百千万斤双套条箱包瓶盒份只张])"
)
# 138oo138ooo, l38...: look-alike letters count as digits when no other letter touches them.
_LOOKALIKE = re.compile(r"(?<![A-Za-z])(?:(?:(?<=\d)|(?<=\d[ -]))[oOlI]+(?![A-Za-z])|[lI](?=\d[\doO]))")
_LETTER_DIGITS = str.maketrans("oOlI", "0011")


def _fold(char: str) -> str:
    """Return the one-character folded form of `char`, or "" for an invisible mark."""
    if char < "\x7f":
        return char
    if char in _DASHES:
        return "-"
    if char == "×":
        return "x"
    if unicodedata.category(char) in {"Mn", "Me", "Cf"}:
        return ""  # also takes the frame off keycap digits
    digit = unicodedata.digit(char, None)
    if digit is not None:
        return str(digit)
    folded = unicodedata.normalize("NFKC", char)
    return folded if len(folded) == 1 else char


def normalise(text: str) -> View:
    """Fold widths, circled and keycap digits, dashes and invisible marks, keeping offsets."""
    chars: list[str] = []
    starts: list[int] = []
    for offset, char in enumerate(text):
        if folded := _fold(char):
            chars.append(folded)
            starts.append(offset)
    starts.append(len(text))
    plain = "".join(chars)
    digits = _WORD_NUMERAL.sub("\x03", plain).translate(_CN_DIGITS)
    digits = _LOOKALIKE.sub(lambda match: match.group().translate(_LETTER_DIGITS), digits)
    return View(plain, digits, tuple(starts))


# Labels of numbers that are not a person's, and of telephone numbers.
ORDER = re.compile(
    r"单号|订单|运单|编号|货号|款号|型号|条码|条形码|批号|批次|流水|序列号|交易号|取件码|取货码|券码|优惠码"
    r"|优惠券|兑换码|邀请码|口令|发票号|税号|信用代码|注册号|备案|许可证|[准特备健食]字|文号|批准|编码|链接"
    r"|sku|s/n|(?<![a-z])sn|(?:商品|宝贝)id|id=|积分|充值|物流号|快递号|面单",
    re.I,
)
CALL = re.compile(
    r"电话|手机|号码|联系|[打拨]|电联|联络|短信|致电|座机|固话|机主|微信|tel|phone|mobile|call|[vw]x|加我",
    re.I,
)


def nearest(text: str, end: int, wanted: re.Pattern[str], rival: re.Pattern[str], far: int) -> bool:
    """Say whether `wanted` occurs in the `far` characters before `end`, after any `rival`."""
    head = text[max(0, end - far) : end].rpartition("\n")[2]
    last = max((m.end() for m in wanted.finditer(head)), default=-1)
    return last >= 0 and last >= max((m.end() for m in rival.finditer(head)), default=-1)


def near(text: str, start: int, end: int, wanted: re.Pattern[str]) -> bool:
    """Say whether `wanted` stands close to a number, before or after it."""
    return nearest(text, start, wanted, ORDER, 14) or bool(wanted.search(text[end : end + 8]))


def order_label(text: str, start: int, far: int = 12) -> bool:
    """Say whether an order-like word is the nearest label before `start`."""
    return nearest(text, start, ORDER, CALL, far)


def scan(pattern: re.Pattern[str], text: str) -> Iterator[re.Match[str]]:
    """Yield all matches, overlapping ones too: a refused candidate must not hide the next one."""
    pos = 0
    while match := pattern.search(text, pos):
        yield match
        pos = match.start() + 1


def group_lengths(number: str) -> tuple[int, ...]:
    """Lengths of the groups in which the digits of a number are written."""
    return tuple(len(group) for group in re.findall(r"\d+", number))
