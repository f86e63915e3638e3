"""From a row of a shop's table to a script: columns by name, Chinese names, slots, and every check.

A row is refused by field and reason; nothing of its text stands in an error but the words that a rule found.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from assist.scripts.compliance import load_compliance
from assist.scripts.importing_tables import Row, TableFile
from assist.scripts.library import SLOTS, Script, parse_script
from data.pii import find, mask
from data.taxonomy import Taxonomy

__all__ = ["COLUMNS", "RowError", "map_columns", "row_to_script"]

MAX_REASON = 160
COLUMNS: Mapping[str, tuple[str, ...]] = {
    "text": (
        "text",
        "话术",
        "话术内容",
        "内容",
        "回复",
        "回复内容",
        "答案",
        "文本",
        "content",
        "reply",
        "answer",
    ),
    "category": ("category", "分类", "类别", "类目", "场景", "意图", "问题类型"),
    "kind": ("kind", "类型", "部分", "环节", "阶段", "stage"),
    "tone": ("tone", "语气", "风格"),
    "when": ("when", "条件", "适用条件"),
    "note": ("note", "备注", "说明", "注意"),
    "id": ("id", "话术编号"),
    "alerts": ("alerts", "预警", "预警级别"),
    "after": ("after", "适用分类"),
    "method": ("method", "方法"),
    "step": ("step", "步骤"),
    "emotions": ("emotions", "情绪"),
}
"""Names by which a column is known when nobody maps it."""
_LISTS = ("when", "after", "alerts", "emotions")
_KIND_NAMES = {
    "方案": "solution", "解决方案": "solution", "正文": "solution",
    "问候": "opening", "开场": "opening", "开场白": "opening", "问候语": "opening",
    "结束": "closing", "结束语": "closing", "结尾": "closing", "安抚": "soothing",
}  # fmt: skip
_TONE_NAMES = {"亲切": "warm", "温和": "warm", "正式": "formal", "活泼": "lively"}
_SEPARATOR = re.compile(r"[,，、;；|/\s]+")
_ZH_SLOT = re.compile(r"[{【\[]\s*([^{}【】\[\]]{1,12}?)\s*[}】\]]")
_SLOT_NAMES = {zh: name for name, zh in SLOTS.items()} | {name: name for name in SLOTS} | {"驿站": "station"}
# Shorter or longer than ours is the shop's own affair; everything else is refused.
_TOLERATED = {"length"}


class RowError(ValueError):
    """One field of a row cannot be taken."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field
        self.reason = reason


def map_columns(table: TableFile, columns: Mapping[str, str], name: str) -> dict[str, str]:
    """Which column holds which field of a script: as told, else by its name.

    Raises:
        ValueError: a told column is not there, or none holds the texts; names the file's columns.
    """
    there = {column.lower(): column for column in table.columns}
    found = {}
    for field, known in COLUMNS.items():
        if field in columns:
            if columns[field] not in table.columns:
                raise ValueError(
                    f"columns.{field}: {name} has no column {columns[field]!r}; "
                    f"it has {', '.join(table.columns)[:500]}"
                )
            found[field] = columns[field]
        elif column := next((there[one] for one in known if one in there), None):
            found[field] = column
    if "text" not in found:
        raise ValueError(
            f"columns.text: {name} has no column for the texts; it has {', '.join(table.columns)[:500]}; "
            "name it (--text-column)"
        )
    return found


def row_to_script(
    row: Row, mapping: Mapping[str, str], defaults: Mapping[str, str | None], taxonomy: Taxonomy
) -> Script:
    """Make a script of a row and check it like one of the shipped library.

    Args:
        row: cells by column.
        mapping: field to column.
        defaults: kind, category and tone of rows that do not say.
        taxonomy: the label schema.

    Raises:
        RowError: names the field and the reason.
    """
    if row.error:
        raise RowError("row", row.error)
    cells = {field: row.cells[column] for field, column in mapping.items() if column in row.cells}
    values: dict[str, Any] = {field: _cell(field, cell) for field, cell in cells.items()}
    kind = _name(values.get("kind") or defaults["kind"], _KIND_NAMES)
    values["kind"] = kind
    values["tone"] = _name(values.get("tone") or defaults["tone"], _TONE_NAMES)
    if kind == "solution":
        zh = {one.zh: one.key for one in taxonomy.categories}
        values["category"] = _name(values.get("category") or defaults["category"], zh)
        wanted = {"id", "kind", "category", "tone", "when", "text", "note"}
    else:
        if kind in ("opening", "closing"):
            values.setdefault("alerts", [0, 1])
            wanted = {"id", "kind", "tone", "text", "note", "alerts", "after"}
        else:
            wanted = {"id", "kind", "tone", "text", "note", "alerts", "method", "step", "emotions"}
    values = {field: value for field, value in values.items() if field in wanted}
    values["text"] = _text(values.get("text"))
    digest = hashlib.sha256(f"{kind}\n{values.get('category')}\n{values['text']}".encode()).hexdigest()[:12]
    values["id"] = str(values.get("id") or f"own-{digest}")
    try:
        script = parse_script(values, str(kind), taxonomy, "row")
    except ValueError as error:
        _, field, reason = str(error).split(": ", 2)
        if field == "category":
            named = f"{_short(values['category'])} is no key and no Chinese name of a category"
            raise RowError(field, named) from error
        raise RowError(field, _short(reason)) from error
    if spans := find(script.text) or find(script.note):
        raise RowError("text", f"holds personal data ({spans[0].kind}); write a slot or leave it out")
    for issue in load_compliance().check_script(script):
        if issue.rule not in _TOLERATED:
            words = f" ({issue.words})" if issue.words else ""
            raise RowError(
                "when" if issue.rule == "exclusive" else "text", f"{issue.rule}: {issue.reason}{words}"
            )
    return script


def _short(value: Any) -> str:
    # A wrongly mapped column may hold anything, also personal data.
    text = mask(str(value))
    return text if len(text) <= MAX_REASON else text[:MAX_REASON] + "…"


def _cell(field: str, cell: Any) -> Any:
    if field in _LISTS:
        parts = cell if isinstance(cell, list) else [one for one in _SEPARATOR.split(str(cell)) if one]
        if field == "alerts":
            return [
                int(one) if isinstance(one, str) and one.isascii() and one.isdigit() else one for one in parts
            ]
        return parts
    if isinstance(cell, str) or (field == "text" and not isinstance(cell, int | float)):
        return cell
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        raise RowError(field, f"expected a text, got {type(cell).__name__}")
    return str(cell)


def _name(value: Any, names: Mapping[str, str]) -> Any:
    return names.get(value.strip(), value.strip()) if isinstance(value, str) else value


def _text(value: Any) -> Any:
    """A text in one line, with slots as ours; 【订单号】 and {订单号} are {order_id}."""
    if not isinstance(value, str):
        raise RowError(
            "text", "is empty" if value is None else f"expected a text, got {type(value).__name__}"
        )
    text = re.sub(r"\s*[\r\n]+\s*", " ", value.strip())
    return _ZH_SLOT.sub(
        lambda match: f"{{{name}}}" if (name := _SLOT_NAMES.get(match[1])) else match[0], text
    )
