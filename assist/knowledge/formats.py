"""Markdown, HTML, DOCX, XLSX and PDF files as blocks.

Own readers on top of the libraries that markitdown brings (mammoth, openpyxl, pdfplumber, Beautiful Soup),
because its Markdown loses what search needs: headings and tables of PDF files, the head of Word tables; and
it keeps a page's menus (docs/knowledge.md). They are imported late: who only searches needs none of them.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
import zipfile
from collections import Counter
from typing import Any

from assist.knowledge.blocks import Block, Outline, clean

__all__ = ["SUFFIXES", "read_blocks"]

_UNPACKED_LIMIT = 64 * 1024 * 1024
_PAGES_LIMIT = 500
_ROWS_LIMIT = 20_000
_HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*$")
_ITEM = re.compile(r"\s*(?:[-*+]|\d{1,3}[.)、])\s+(.*)")
_RULE = re.compile(r"\s*\|?\s*:?-{2,}:?\s*(?:\|\s*:?-{2,}:?\s*)*\|?\s*$")
_INLINE = (
    (re.compile(r"!\[([^\]]*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"\[([^\]]+)\]\([^)]*\)"), r"\1"),
    (re.compile(r"(\*\*|__|`)(.+?)\1"), r"\2"),
)
_NUMBERED = re.compile(r"\s*(?:\d{1,3}[.、)）]|[•·●\-*])\s*")
_NOT_CONTENT = ["nav", "header", "footer", "script", "style", "aside", "form", "noscript", "template", "head"]


def _markdown(data: bytes) -> list[Block]:
    outline, paragraph, rows = Outline(), [], []  # type: Outline, list[str], list[list[str]]

    def close() -> None:
        outline.add(" ".join(paragraph))
        outline.table(rows)
        paragraph.clear()
        rows.clear()

    fenced = False
    for line in data.decode("utf-8-sig").splitlines():
        for pattern, plain in _INLINE:
            line = pattern.sub(plain, line)
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
            close()
        elif fenced:
            outline.add(line)
        elif found := _HEADING.match(line):
            close()
            outline.heading(len(found[1]), found[2])
        elif line.lstrip().startswith("|"):
            if not _RULE.match(line):
                rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
        elif found := _ITEM.match(line):
            close()
            outline.add(found[1], "item")
        elif not line.strip():
            close()
        else:
            if rows:
                close()
            paragraph.append(line.strip().lstrip("> "))
    close()
    return outline.blocks


def _html(data: bytes | str) -> list[Block]:
    from bs4 import BeautifulSoup, NavigableString, Tag
    from bs4.element import PreformattedString

    page = BeautifulSoup(data, "html.parser")
    for tag in page.find_all(_NOT_CONTENT):
        tag.decompose()
    outline, inline = Outline(), []  # type: Outline, list[str]

    def close(kind: str = "text") -> None:
        outline.add(" ".join(inline), kind)
        inline.clear()

    def walk(node: Any) -> None:
        for child in list(node.children):
            if isinstance(child, NavigableString):
                if not isinstance(child, PreformattedString):  # comments, doctypes
                    inline.append(str(child))
                continue
            if not isinstance(child, Tag):
                continue
            name = child.name
            if re.fullmatch(r"h[1-6]", name):
                close()
                outline.heading(int(name[1]), child.get_text(" "))
            elif name == "table":
                close()
                outline.table(
                    [
                        [cell.get_text(" ") for cell in row.find_all(["td", "th"], recursive=False)]
                        for row in child.find_all("tr")
                    ]
                )
            elif name == "br":
                close()
            elif name in {
                "p",
                "div",
                "section",
                "article",
                "ul",
                "ol",
                "li",
                "dl",
                "dt",
                "dd",
                "main",
                "pre",
            }:
                close()
                walk(child)
                close("item" if name == "li" else "text")
            else:
                walk(child)

    walk(page.find("main") or page.find("article") or page.body or page)
    close()
    return outline.blocks


def _docx(data: bytes) -> list[Block]:
    import mammoth

    _unpacked(data)
    names = "\n".join(f"p[style-name='标题 {level}'] => h{level}:fresh" for level in range(1, 7))
    return _html(
        mammoth.convert_to_html(
            io.BytesIO(data), style_map=names, convert_image=mammoth.images.img_element(lambda image: {})
        ).value
    )


def _xlsx(data: bytes) -> list[Block]:
    from openpyxl import load_workbook

    _unpacked(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of styles and extensions that hold no text
        book = load_workbook(io.BytesIO(data), data_only=True)
    outline = Outline()
    for sheet in book.worksheets:
        if sheet.sheet_state != "visible":
            continue
        if sheet.max_row > _ROWS_LIMIT or sheet.max_column > 200:
            raise ValueError(
                f"sheet {sheet.title!r} has more than {_ROWS_LIMIT} rows or 200 columns; split it"
            )
        cells = [[_cell(value) for value in row] for row in sheet.iter_rows(values_only=True)]
        for area in sheet.merged_cells.ranges:  # what stands in a merged area holds for each of its cells
            for row in range(area.min_row - 1, min(area.max_row, len(cells))):
                for column in range(area.min_col - 1, min(area.max_col, len(cells[row]))):
                    cells[row][column] = cells[area.min_row - 1][area.min_col - 1]
        outline.heading(1, sheet.title)
        outline.table(cells)
    return outline.blocks


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if hasattr(value, "strftime"):
        return str(value).removesuffix(" 00:00:00")
    return str(value)


def _pdf(data: bytes) -> list[Block]:
    import pdfplumber

    # It says of every second font that a box is missing; the text is not touched by that.
    logging.getLogger("pdfminer").setLevel(logging.ERROR)
    outline = Outline()
    with pdfplumber.open(io.BytesIO(data)) as book:
        if len(book.pages) > _PAGES_LIMIT:
            raise ValueError(f"has more than {_PAGES_LIMIT} pages; split it")
        pages = []
        for page in book.pages:
            tables = page.find_tables()
            lines = [
                line
                for line in page.extract_text_lines()
                if not any(t.bbox[1] <= (line["top"] + line["bottom"]) / 2 <= t.bbox[3] for t in tables)
            ]
            pages.append((lines, [(area.bbox[1], area.extract()) for area in tables]))
    sizes: Counter[float] = Counter()
    for lines, _ in pages:
        for line in lines:
            sizes[_size(line)] += len(line["text"])
    if not sizes:
        raise ValueError("holds no text, perhaps scanned pictures; run text recognition (OCR) first")
    body = sizes.most_common(1)[0][0]
    levels = {size: n for n, size in enumerate(sorted((s for s in sizes if s > body * 1.1), reverse=True), 1)}
    margin = max(line["x1"] for lines, _ in pages for line in lines)
    paragraph, full = "", False
    for lines, grids in pages:
        items: list[tuple[float, Any]] = [(line["top"], line) for line in lines]
        for _, item in sorted([*items, *grids], key=lambda pair: pair[0]):
            if isinstance(item, list):
                outline.add(paragraph)
                paragraph, full = "", False
                outline.table([[cell or "" for cell in row] for row in item])
                continue
            text = clean(item["text"])
            if _size(item) in levels:
                outline.add(paragraph)
                paragraph, full = "", False
                outline.heading(min(levels[_size(item)], 6), text)
                continue
            if paragraph and (not full or _NUMBERED.match(text)):
                outline.add(paragraph)
                paragraph = ""
            latin = paragraph[-1:].isascii() and text[:1].isascii() and paragraph
            paragraph += (" " if latin else "") + text
            full = item["x1"] > margin * 0.9
    outline.add(paragraph)
    return outline.blocks


def _size(line: dict[str, Any]) -> float:
    return round(Counter(char["size"] for char in line["chars"]).most_common(1)[0][0], 1)


def _unpacked(data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if sum(item.file_size for item in archive.infolist()) > _UNPACKED_LIMIT:
            raise ValueError(f"unpacks to more than {_UNPACKED_LIMIT >> 20} MiB; split it")


_READERS = {
    ".md": _markdown,
    ".markdown": _markdown,
    ".html": _html,
    ".htm": _html,
    ".docx": _docx,
    ".xlsx": _xlsx,
    ".pdf": _pdf,
}
SUFFIXES = tuple(_READERS)
"""Endings of the files that can be read."""


def read_blocks(data: bytes, suffix: str) -> list[Block]:
    """The blocks of a file.

    Args:
        data: its bytes; Markdown without front matter.
        suffix: its ending in lower case, one of `SUFFIXES`.

    Raises:
        ValueError: the file is damaged, too large, holds no text or is of no known format; says which.
    """
    if suffix not in _READERS:
        raise ValueError(f"format {suffix!r} is not read; known are {', '.join(SUFFIXES)}")
    try:
        blocks = _READERS[suffix](data)
    except ValueError as error:
        if isinstance(error, UnicodeDecodeError):
            raise ValueError("is not UTF-8; save it as UTF-8") from error
        raise
    except Exception as error:  # each library has its own; whatever it is, this file cannot be read
        raise ValueError(f"is damaged or no {suffix[1:].upper()} file ({type(error).__name__})") from error
    if not any(block.text for block in blocks):
        raise ValueError("holds no text")
    return blocks
