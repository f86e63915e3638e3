"""Blocks of a document: paragraphs, list items and table rows below their headings, in the order of reading.

Every format becomes blocks first (`assist.knowledge.formats`), so that passages are cut in one way whatever
the format was.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

__all__ = ["Block", "Outline", "clean", "table_lines"]

# Characters of the block "CJK Radicals Supplement" that fonts in PDF files put in the place of the ordinary
# ones and that Unicode's compatibility forms do not resolve.
_RADICALS = str.maketrans(
    "⺟⺠⻄⻅⻆⻉⻋⻓⻔⻘⻙⻚⻛⻜⻝⻢⻣⻤⻥⻦⻧⻨⻩⻬⻮⻰⻳",
    "母民西见角贝车长门青韦页风飞食马骨鬼鱼鸟卤麦黄齐齿龙龟",
)
_KANGXI = re.compile("[⼀-⿕]")
_INVISIBLE = re.compile("[\u200b-\u200f\u2028-\u202e\u2060\ufeff\x00-\x08\x0b\x0c\x0e-\x1f]")
_SPACE = re.compile(r"[ \t\u00a0\u3000]+")


@dataclass(frozen=True, slots=True)
class Block:
    """One paragraph, list item or table row.

    Attributes:
        headings: of the chapters it stands in, outermost first.
        text: one line of plain text.
        kind: "text", "item" or "row".
    """

    headings: tuple[str, ...]
    text: str
    kind: str = "text"


@dataclass(slots=True)
class Outline:
    """Collects blocks below the current headings."""

    blocks: list[Block] = field(default_factory=list)
    _open: list[tuple[int, str]] = field(default_factory=list)

    def heading(self, level: int, text: str) -> None:
        """A heading of `level` (1 is the outermost) begins."""
        if title := clean(text):
            while self._open and self._open[-1][0] >= level:
                self._open.pop()
            self._open.append((level, title))

    def add(self, text: str, kind: str = "text") -> None:
        """A block of text; nothing where it is empty."""
        if line := clean(text):
            self.blocks.append(Block(tuple(title for _, title in self._open), line, kind))

    def table(self, rows: Sequence[Sequence[str]]) -> None:
        """A table whose first row is its head."""
        for line in table_lines(rows):
            self.add(line, "row")


def clean(text: str) -> str:
    """One line: radicals become characters, invisible characters go, spaces are single."""
    text = _KANGXI.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text.translate(_RADICALS))
    return _SPACE.sub(" ", _INVISIBLE.sub("", text).replace("\r", " ").replace("\n", " ")).strip()


def table_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as sentences that can be read alone: "商品：保温杯，规格：350 毫升".

    The first row with two or more filled cells is the head; a row above it is a caption. A table without a
    second row gives its cells as they are.
    """
    filled = [[clean(cell) for cell in row] for row in rows]
    filled = [row for row in filled if any(row)]
    head: list[str] | None = None
    lines: list[str] = []
    for index, row in enumerate(filled):
        if head is None:
            if sum(map(bool, row)) >= 2 and index + 1 < len(filled):
                head = row
            else:
                lines.append("，".join(cell for cell in row if cell))
            continue
        pairs = []
        for column, cell in enumerate(row):
            name = head[column] if column < len(head) else ""
            if cell:
                pairs.append(f"{name}：{cell}" if name else cell)
        lines.append("，".join(pairs))
    return lines
