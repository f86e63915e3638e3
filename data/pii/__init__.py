"""Masking of personal data in Chinese shop chats.

Personal data is replaced by typed placeholders such as `[手机]` or `[地址]`; order and parcel
numbers, prices, sizes, hotlines, brands and already masked data stay as they are. The detectors
are in the `data.pii.*` modules; this one, the only public one, ranks what they find, resolves
overlaps and masks files. Nothing is logged: neither texts nor finds leave the process.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from data.files import atomic_write, read_jsonl
from data.pii.accounts import accounts, mails
from data.pii.addresses import addresses
from data.pii.documents import bank_cards, id_cards, passports, plates
from data.pii.name_forms import name_end
from data.pii.names import names
from data.pii.numbers import landlines, mobiles
from data.pii.text import CONTACT, OTHER, PHONE, PLACE, Hit, View, normalise

__all__ = ["MASKS", "PiiSpan", "find", "mask", "mask_file", "mask_with_counts"]

MASKS: dict[str, str] = {
    "mobile": "[手机]",
    "landline": "[电话]",
    "id_card": "[身份证]",
    "bank_card": "[银行卡]",
    "passport": "[护照]",
    "address": "[地址]",
    "name": "[姓名]",
    "email": "[邮箱]",
    "plate": "[车牌]",
    "wechat": "[微信]",
    "qq": "[QQ]",
    "alipay": "[支付宝]",
}
"""The placeholder of each kind of personal data."""

_NUMBERS = ("mobile", "landline", "id_card", "bank_card", "passport")
_ACCOUNTS = ("email", "plate", "wechat", "qq", "alipay")
# A name beside one of these needs no label; a placeholder from an earlier masking counts as well.
_BLANKS = dict.fromkeys(_NUMBERS, PHONE) | dict.fromkeys(_ACCOUNTS, CONTACT) | {"address": PLACE}
_PLACEHOLDER_BLANKS = {MASKS[kind]: blank for kind, blank in _BLANKS.items()}
_NO_BLANKS = str.maketrans(dict.fromkeys((PHONE, PLACE, OTHER, CONTACT), " "))

# What is never personal.
_KEEP = re.compile(
    r"\[[^\W\d_]{1,10}[\dx_]{0,6}\]"  # placeholders and platform emoji: [地址], [数字x], [微笑]
    r"|(?<!\d)\d++\*+[\dxX]*|\*{2,}[\dxX]*"  # already starred numbers
    r"|(?<!\d)[48]00(?:[ -]?\d){7}(?![ -]?\d)"  # service hotlines
    r"|(?<!\d)(?:19|20)\d\d[-/.年]\d{1,2}[-/.月]\d{1,2}日?(?: {0,2}\d{1,2}:\d\d(?::\d\d)?)?(?!\d)"
    r"|(?<![A-Za-z])(?:SF|YT|YD|JD[A-Z]{0,3}|JT|ZTO?|STO?|DPK|DB|HT|UC|TT|LP)"  # parcel numbers
    r"[ -]?\d(?:[ -]?\d){10,}",
    re.I,
)

# The most specific first: an earlier find wins.
_NUMBER_DETECTORS: tuple[Callable[[View], Iterator[Hit]], ...] = (
    mails,
    id_cards,
    bank_cards,
    mobiles,
    landlines,
    plates,
    passports,
    accounts,
)


@dataclass(frozen=True)
class PiiSpan:
    """One piece of personal data: `text` is the original text's `[start:end]`."""

    start: int
    end: int
    kind: str
    text: str


class _Board:
    """The normalised text with everything already decided blanked out; the first find wins."""

    def __init__(self, text: str) -> None:
        # the blanks are control characters; the text's own must not pose as one
        self.chars = list(text.translate(_NO_BLANKS))
        self.taken = bytearray(len(text))
        self.hits: list[Hit] = []

    def text(self) -> str:
        return "".join(self.chars)

    def blank(self, start: int, end: int, char: str) -> None:
        self.chars[start:end] = char * (end - start)
        self.taken[start:end] = b"\x01" * (end - start)

    def add(self, found: Iterable[Hit]) -> None:
        for start, end, kind in found:
            if start < end and not any(self.taken[start:end]):
                self.blank(start, end, _BLANKS.get(kind, OTHER))
                self.hits.append((start, end, kind))


def _keep_spans(view: View) -> Iterator[Hit]:
    """Yield what must stay: placeholders, starred data, hotlines, dates, parcel numbers.

    The third member is the text itself, since a placeholder is context for what stands beside it.
    """
    for match in _KEEP.finditer(view.plain):
        word = match.group()
        if word[0] == "[" and name_end(word[1:-1], 0, 2) == len(word) - 2:
            continue  # somebody put a name in brackets
        yield match.start(), match.end(), word


def _find_once(text: str) -> list[tuple[int, int, str]]:
    """Return what one pass over `text` finds, in order: start, end, kind."""
    view = normalise(text)
    board = _Board(view.plain)
    for start, end, word in _keep_spans(view):
        board.blank(start, end, _PLACEHOLDER_BLANKS.get(word, OTHER))
    for detector in _NUMBER_DETECTORS:
        board.add(detector(view))
    board.add(addresses(board.text()))
    board.add(names(board.text()))
    return sorted((view.starts[start], view.starts[end], kind) for start, end, kind in board.hits)


def find(text: str) -> list[PiiSpan]:
    """Return the personal data in `text`, in order and without overlaps.

    Passes are repeated on the masked text until one finds nothing: a placeholder is context too (a
    name beside `[手机]`), and only so is masking idempotent by construction.
    """
    spans: list[PiiSpan] = []
    # the offset in `text` of each character of the text searched; -1 inside placeholders
    current, origin = text, list(range(len(text)))
    while found := _find_once(current):
        pieces: list[str] = []
        offsets: list[int] = []
        pos = 0
        for start, end, kind in found:
            left, right = origin[start], origin[end - 1] + 1
            spans.append(PiiSpan(left, right, kind, text[left:right]))
            pieces += [current[pos:start], MASKS[kind]]
            offsets += origin[pos:start] + [-1] * len(MASKS[kind])
            pos = end
        current = "".join(pieces) + current[pos:]
        origin = offsets + origin[pos:]
    return sorted(spans, key=lambda span: span.start)


def mask_with_counts(text: str) -> tuple[str, dict[str, int]]:
    """Return `text` with its personal data replaced, and how many finds of each kind it had."""
    pieces: list[str] = []
    counts: dict[str, int] = {}
    pos = 0
    for span in find(text):
        pieces += [text[pos : span.start], MASKS[span.kind]]
        counts[span.kind] = counts.get(span.kind, 0) + 1
        pos = span.end
    return "".join(pieces) + text[pos:], counts


def mask(text: str) -> str:
    """Return `text` with its personal data replaced by placeholders; idempotent."""
    return mask_with_counts(text)[0]


def mask_file(input_path: str | os.PathLike[str], output_path: str | os.PathLike[str]) -> None:
    """Mask the `text` of every row `{"id", "text"}` of a JSONL file.

    Other fields and the order of rows stay. The result is written beside `output_path` and moved
    into place only when complete, so a failed run leaves any earlier output untouched; both paths
    may be the same file.

    Raises:
        ValueError: a bad row or invalid UTF-8; names the line and the field, never their content.
    """
    source = Path(input_path)
    with atomic_write(Path(output_path)) as sink:
        for number, row in read_jsonl(source):
            if isinstance(row.get("id"), bool) or not isinstance(row.get("id"), str | int):
                raise ValueError(f"{source}:{number}: id: missing, or neither a text nor a number")
            if not isinstance(row.get("text"), str):
                raise ValueError(f"{source}:{number}: text: missing, or not a text")
            sink.write(json.dumps(row | {"text": mask(row["text"])}, ensure_ascii=False) + "\n")
