"""Documents of a folder: what each says of itself, and its passages.

Markdown says it in front matter, other formats in the `index.yaml` of their folder; the fields are those of
data/shop_knowledge/README.md.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import yaml

from assist.knowledge.blocks import Block
from assist.knowledge.formats import SUFFIXES, read_blocks
from data.pii import mask_with_counts

__all__ = ["KINDS", "Document", "Passage", "day", "read_document", "read_folder", "sentences_of"]

KINDS = ("商品知识", "服务政策", "操作指南", "故障排除")
_BYTES_LIMIT = 20 * 1024 * 1024
_PASSAGE_LENGTH = 320
_ROWS_PER_PASSAGE = 8
_FRONT = re.compile(rb"\A(?:\xef\xbb\xbf)?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.S)
_FIELDS = {"id", "title", "kind", "version", "valid_from", "valid_until", "products", "reviewed_on"}
_ID = re.compile(r"[\w.\-]{1,80}")
_END = re.compile(r"(?<=[。！？!?])(?![”’」』）)])|\n")


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document that can be cited: one section, or a part of a long one."""

    headings: tuple[str, ...]
    text: str
    """Lines: paragraphs, list items, table rows."""

    @property
    def section(self) -> str:
        """Its headings as a path: "退换货政策 > 运费谁出"."""
        return " > ".join(self.headings)


@dataclass(frozen=True, slots=True)
class Document:
    """One version of one document."""

    id: str
    title: str
    kind: str
    version: str
    valid_from: date | None
    valid_until: date | None
    products: tuple[str, ...]
    reviewed_on: date | None
    passages: tuple[Passage, ...]
    source: str
    """File name below the imported folder."""
    masked: int = 0
    """Pieces of personal data that were masked in it."""

    @property
    def sha256(self) -> str:
        """Hash of everything that an answer could show or rest on."""
        shown = [
            [self.id, self.title, self.kind, self.version, str(self.valid_from), str(self.valid_until)],
            [*self.products],
            [[*passage.headings, passage.text] for passage in self.passages],
        ]
        return hashlib.sha256(json.dumps(shown, ensure_ascii=False).encode()).hexdigest()


def read_folder(folder: Path | str) -> tuple[list[Document], dict[str, str]]:
    """Every document of a folder and its subfolders, and why files were refused.

    Returns:
        (documents by name of file, {file: reason}). Files that begin with a dot, README files and
        `index.yaml` are no documents.

    Raises:
        ValueError: the folder is none, or holds no documents at all.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ValueError(f"folder: {root} is no folder; name one with documents")
    documents: list[Document] = []
    refused: dict[str, str] = {}
    seen: dict[tuple[str, str], str] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if not path.is_file() or path.name.startswith((".", "~$")):
            continue
        if path.name == "index.yaml" or path.stem.lower() == "readme":
            continue
        try:
            document = read_document(path, name)
            if other := seen.get((document.id, document.version)):
                raise ValueError(f"version: {document.version!r} of {document.id!r} is in {other} as well")
        except (ValueError, OSError) as error:
            refused[name] = str(error)
            continue
        seen[document.id, document.version] = name
        documents.append(document)
    if not documents and not refused:
        raise ValueError(f"folder: {root} holds no documents ({', '.join(SUFFIXES)})")
    return documents, refused


def read_document(path: Path | str, source: str | None = None) -> Document:
    """Read one file with what it says of itself.

    Raises:
        ValueError: `field: reason and mend`, or why the file cannot be read.
        OSError: it cannot be opened.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"format {path.suffix!r} is not read; known are {', '.join(SUFFIXES)}")
    if path.stat().st_size > _BYTES_LIMIT:
        raise ValueError(f"is larger than {_BYTES_LIMIT >> 20} MiB; split it")
    data = path.read_bytes()
    told = _index(path)
    if path.suffix.lower() in {".md", ".markdown"} and (front := _FRONT.match(data)):
        told = {**told, **_mapping(front[1].decode("utf-8"), "front matter")}
        data = data[front.end() :]
    if unknown := sorted(set(told) - _FIELDS):
        raise ValueError(f"{unknown[0]}: is unknown; known are {', '.join(sorted(_FIELDS))}")
    blocks = read_blocks(data, path.suffix.lower())
    masked = 0
    passages = []
    for passage in _passages(blocks):
        text, counts = mask_with_counts(passage.text)
        masked += sum(counts.values())
        passages.append(Passage(passage.headings, text))
    return _document(told, path, source or path.name, tuple(passages), masked)


def _document(
    told: Mapping[str, Any], path: Path, source: str, passages: tuple[Passage, ...], masked: int
) -> Document:
    identity = str(told.get("id") or path.stem)
    if not _ID.fullmatch(identity):
        raise ValueError(
            f"id: {identity!r} has other characters than letters, digits, '-', '_', '.'; rename it"
        )
    if told.get("kind") not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {told.get('kind')!r}")
    title = told.get("title") or (passages[0].headings[0] if passages[0].headings else "")
    if not isinstance(title, str) or not 0 < len(title) <= 100:
        raise ValueError("title: expected 1 to 100 characters; give it in front matter or index.yaml")
    products = told.get("products") or []
    if not isinstance(products, list) or not all(isinstance(one, str) and one for one in products):
        raise ValueError("products: expected a list of names")
    begins, ends = day(told.get("valid_from"), "valid_from"), day(told.get("valid_until"), "valid_until")
    if begins and ends and ends < begins:
        raise ValueError(f"valid_until: {ends} is before valid_from {begins}")
    return Document(
        id=identity,
        title=title,
        kind=told["kind"],
        version=str(told.get("version") or "1"),
        valid_from=begins,
        valid_until=ends,
        products=tuple(products),
        reviewed_on=day(told.get("reviewed_on"), "reviewed_on"),
        passages=passages,
        source=source,
        masked=masked,
    )


def day(value: Any, field: str) -> date | None:
    """A day from YAML or a request: None, a date, or "2026-11-23".

    Raises:
        ValueError: it is neither; names `field`.
    """
    if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValueError(f"{field}: expected a day as 2026-11-23, got {value!r}") from None


def _index(path: Path) -> dict[str, Any]:
    index = path.parent / "index.yaml"
    if not index.exists():
        return {}
    told = _mapping(index.read_text(encoding="utf-8"), "index.yaml").get(path.name) or {}
    if not isinstance(told, dict):
        raise ValueError(f"index.yaml: {path.name}: expected fields")
    return told


def _mapping(text: str, what: str) -> dict[str, Any]:
    try:
        value = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"{what}: is no YAML ({getattr(error, 'problem', error)})") from error
    if not isinstance(value, dict):
        raise ValueError(f"{what}: expected fields, got {type(value).__name__}")
    return value


def _passages(blocks: list[Block]) -> list[Passage]:
    """Sections, cut between blocks (long paragraphs: between sentences) when they grow too long."""
    passages: list[Passage] = []
    headings: tuple[str, ...] = ()
    lines: list[str] = []
    rows = 0

    def close() -> None:
        nonlocal rows
        if lines:
            passages.append(Passage(headings, "\n".join(lines)))
        lines.clear()
        rows = 0

    for block in blocks:
        for piece in _pieces(block):
            length = sum(map(len, lines)) + len(piece)
            # A list of steps stays whole for as long as it can: half a guide misleads.
            limit = _PASSAGE_LENGTH * (2 if block.kind == "item" else 1)
            if block.headings != headings or (lines and length > limit) or rows >= _ROWS_PER_PASSAGE:
                close()
                headings = block.headings
            lines.append(piece)
            rows += block.kind == "row"
    close()
    return passages


def _pieces(block: Block) -> list[str]:
    if len(block.text) <= _PASSAGE_LENGTH:
        return [block.text]
    pieces = [""]
    for sentence in sentences_of(block.text):
        for start in range(0, len(sentence), _PASSAGE_LENGTH):
            part = sentence[start : start + _PASSAGE_LENGTH]
            if pieces[-1] and len(pieces[-1]) + len(part) > _PASSAGE_LENGTH:
                pieces.append("")
            pieces[-1] += part
    return [piece for piece in pieces if piece]


def sentences_of(text: str) -> list[str]:
    """Sentences and lines of a text, without blanks around them."""
    return [part.strip() for part in _END.split(text) if part and part.strip()]
