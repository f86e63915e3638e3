"""A report as an Excel file: one sheet for each question, numbers as numbers, no formula from a text.

Needs openpyxl (`pip install kefu-lab[office]`).
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assist.reports.feelings import TRAJECTORIES
from assist.reports.indicators import GROUP_KEYS
from assist.reports.schema import Figure, Group, PeriodReport
from assist.reports.wordings import VERDICTS, channel_zh, headline, met_zh, notes
from data.taxonomy import Taxonomy, load_taxonomy

__all__ = ["SHEETS", "harmless", "write_workbook"]

SHEETS = ("总览", "指标", "按客服", "按天", "类目×情绪", "转折点", "会话明细")
"""In this order."""
_LONGEST = 2000
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
# What a spreadsheet, or the CSV file saved from it, would take for a formula; some locales read full width.
_FORMULA = re.compile(r"[\s\u200b-\u200f\ufeff\"']*[=+\-@|%＝＋－＠｜％]|[\t\r\n]")
_SHARE, _ONE, _WHOLE, _SIGNED = "0.0%", "0.0", "#,##0", "+0.0%;-0.0%;0.0%"
_WIDTHS = (8, 60)


@dataclass(frozen=True, slots=True)
class _Column:
    name: str
    form: str | None = None
    width: float | None = None


def write_workbook(report: PeriodReport, path: Path, taxonomy: Taxonomy | None = None) -> Path:
    """Write the file atomically; returns its path.

    Args:
        taxonomy: names the columns of 类目×情绪; the embedded schema when None.

    Raises:
        RuntimeError: openpyxl is not installed; says what to install.
    """
    try:
        from openpyxl import Workbook
    except ImportError as error:
        raise RuntimeError("openpyxl: is not installed; pip install 'kefu-lab[office]'") from error
    taxonomy = taxonomy or load_taxonomy()
    book = Workbook()
    book.remove(book.active)
    _overview(book.create_sheet(SHEETS[0]), report)
    _figures(book.create_sheet(SHEETS[1]), report)
    _groups(book.create_sheet(SHEETS[2]), report)
    _days(book.create_sheet(SHEETS[3]), report)
    _table(book.create_sheet(SHEETS[4]), report, taxonomy)
    _turning_points(book.create_sheet(SHEETS[5]), report, taxonomy)
    _chats(book.create_sheet(SHEETS[6]), report)
    book.properties.title, book.properties.creator = "客服周期报告", "Kefu Lab"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    try:
        book.save(part)
        Path(part).chmod(0o644)
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
    return path


def harmless(text: str) -> str:
    """A text that no spreadsheet takes for a formula: one that looks like it gets an apostrophe before it.

    OWASP, "CSV Injection"; also what XML cannot hold is taken out, and very long texts are cut.
    """
    plain = _CONTROL.sub("", text)
    plain = plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…"
    return f"'{plain}" if _FORMULA.match(plain) else plain


def _put(sheet: Any, row: int, column: int, value: Any, form: str | None = None) -> Any:
    from openpyxl.styles import Alignment

    cell = sheet.cell(row, column)
    if isinstance(value, str):
        cell.value = harmless(value)
        # openpyxl would make a formula of "=…": the type is said, not guessed.
        cell.data_type = "s"
        cell.alignment = Alignment(vertical="top", wrap_text=len(value) > 20)
    else:
        cell.value = value
        cell.alignment = Alignment(vertical="top")
        if form and value is not None:
            cell.number_format = form
    return cell


def _sheet(sheet: Any, columns: Sequence[_Column], rows: Sequence[Sequence[Any]], top: int = 1) -> None:
    """A table with a coloured header that stays in sight, a filter, and columns as wide as their content."""
    from openpyxl.styles import Alignment, Font, PatternFill
    from openpyxl.utils import get_column_letter

    for place, column in enumerate(columns, 1):
        cell = _put(sheet, top, place, column.name)
        cell.font = Font(bold=True, color="FFFFFF")
        cell.fill = PatternFill("solid", fgColor="1D4E89")
        cell.alignment = Alignment(vertical="center", wrap_text=True)
        longest = max([_width(column.name) + 3, *(_width(row[place - 1], column.form) for row in rows)])
        wide = column.width or min(max(longest + 2, _WIDTHS[0]), _WIDTHS[1])
        letter = get_column_letter(place)
        sheet.column_dimensions[letter].width = max(
            wide, sheet.column_dimensions[letter].width if top > 1 else 0
        )
    for number, row in enumerate(rows, top + 1):
        for place, (column, value) in enumerate(zip(columns, row, strict=True), 1):
            _put(sheet, number, place, value, column.form)
    if top == 1:
        sheet.freeze_panes = "B2"
        sheet.auto_filter.ref = f"A1:{get_column_letter(len(columns))}{len(rows) + 1}"
    sheet.sheet_view.zoomScale = 110


def _width(value: Any, form: str | None = None) -> float:
    """Width in characters; a Chinese one takes two."""
    if value is None:
        return 0
    if not isinstance(value, str):
        return 8 if form else len(str(value))
    return sum(2 if ord(char) > 0x2E80 else 1 for char in value)


def _form(unit: str) -> str:
    return {"share": _SHARE, "count": _WHOLE}.get(unit, _ONE)


_UNITS = {"count": "", "share": "占比", "seconds": "秒", "minutes": "分钟", "score": "分"}


def _overview(sheet: Any, report: PeriodReport) -> None:
    from openpyxl.styles import Alignment, Font

    _put(sheet, 1, 1, "客服周期报告").font = Font(bold=True, size=18, color="1D4E89")
    _put(
        sheet,
        2,
        1,
        f"{report.first_day} 至 {report.last_day}，{report.chats} 个会话，{report.messages} 条顾客消息",
    )
    _put(sheet, 3, 1, headline(report)).font = Font(bold=True)
    columns = [
        _Column("指标", width=22),
        _Column("数值", width=14),
        _Column("标准", width=12),
        _Column("结论", width=30),
        _Column("上一周期", width=12),
        _Column("变化", width=24),
    ]
    before = {one.key: one for one in report.changes}
    rows: list[list[Any]] = []
    shown = [one for one in report.figures if one.standard is not None or one.unit == "count"]
    for one in shown:
        past = before.get(one.key)
        standard = None if one.standard is None else one.standard
        rows.append(
            [
                _named(one),
                one.value,
                standard,
                met_zh(one),
                past.now is not None and past.before if past else None,
                VERDICTS[past.verdict] if past else "",
            ]
        )
    _sheet(sheet, columns, rows, top=5)
    for number, one in enumerate(shown, 6):
        for place in (2, 3, 5):
            sheet.cell(number, place).number_format = _form(one.unit)
    row = 7 + len(rows)
    _put(sheet, row, 1, "怎么算的").font = Font(bold=True)
    for number, text in enumerate(notes(report), row + 1):
        _put(sheet, number, 1, text)
        sheet.merge_cells(start_row=number, start_column=1, end_row=number, end_column=6)
        sheet.cell(number, 1).alignment = Alignment(wrap_text=True, vertical="top")
        sheet.row_dimensions[number].height = 16 * (1 + int(_width(text) // 100))
    sheet.freeze_panes = "A6"


def _named(one: Figure) -> str:
    unit = _UNITS[one.unit]
    return f"{one.zh}（{unit}）" if unit and one.unit != "share" else one.zh


def _figures(sheet: Any, report: PeriodReport) -> None:
    columns = [
        _Column("指标"),
        _Column("数值"),
        _Column("下限（95%）"),
        _Column("上限（95%）"),
        _Column("单位"),
        _Column("命中数", _WHOLE),
        _Column("基数", _WHOLE),
        _Column("标准"),
        _Column("要求"),
        _Column("是否达标"),
        _Column("上一周期"),
        _Column("变化"),
        _Column("变化结论"),
        _Column("是否估算"),
        _Column("说明"),
    ]
    before = {one.key: one for one in report.changes}
    rows = []
    for one in report.figures:
        past = before.get(one.key)
        need = "" if one.standard is None else "不超过" if one.at_most else "不低于"
        rows.append(
            [
                one.zh,
                one.value,
                one.low,
                one.high,
                _UNITS[one.unit] or "个",
                one.count,
                one.of,
                one.standard,
                need,
                met_zh(one),
                past and past.before,
                past and past.difference,
                VERDICTS[past.verdict] if past else "",
                "估算" if one.estimated else "",
                one.note,
            ]
        )
    _sheet(sheet, columns, rows)
    for number, one in enumerate(report.figures, 2):
        for place in (2, 3, 4, 8, 11):
            sheet.cell(number, place).number_format = _form(one.unit)
        sheet.cell(number, 12).number_format = _SIGNED if one.unit == "share" else "+0.0;-0.0;0.0"


def _groups(sheet: Any, report: PeriodReport) -> None:
    first = report.figures
    named = {one.key: one for one in first}
    columns = [_Column("分组"), _Column("名称"), _Column("会话数", _WHOLE)]
    for key in GROUP_KEYS:
        columns += [_Column(_named(named[key]), _form(named[key].unit))]
        if named[key].standard is not None:
            columns.append(_Column("达标"))
    columns += [_Column("质检均分", _ONE), _Column("质检问题数", _WHOLE), _Column("红线次数", _WHOLE)]
    inspected = {one.agent: one for one in report.inspection.agents} if report.inspection else {}
    rows: list[list[Any]] = []
    kinds: tuple[tuple[str, list[Group]], ...] = (
        ("客服", report.agents),
        ("团队", report.teams),
        ("渠道", report.channels),
    )
    for kind, groups in kinds:
        for group in groups:
            name = channel_zh(group.name) if kind == "渠道" else group.name
            row: list[Any] = [kind, name, group.chats]
            for key in GROUP_KEYS:
                figure = group.figures[key]
                row.append(figure.value)
                if named[key].standard is not None:
                    row.append(met_zh(figure))
            found = inspected.get(group.name) if kind == "客服" else None
            row += [found.score, found.findings, found.red_lines] if found else [None, None, None]
            rows.append(row)
    _sheet(sheet, columns, rows)
    sheet.freeze_panes = "C2"


def _days(sheet: Any, report: PeriodReport) -> None:
    columns = [
        _Column("日期", "yyyy-mm-dd", 13),
        _Column("会话数", _WHOLE),
        _Column("顾客消息", _WHOLE),
        _Column("负面会话", _WHOLE),
        _Column("近三日负面占比", _SHARE),
        _Column("下限（95%）", _SHARE),
        _Column("上限（95%）", _SHARE),
        _Column("首次响应（秒）", _ONE),
        _Column("平均响应（秒）", _ONE),
        _Column("处理时长（分钟）", _ONE),
        _Column("满意（估算）", _WHOLE),
        _Column("看得出满意与否", _WHOLE),
    ]
    rows = [
        [
            one.day,
            one.chats,
            one.messages,
            one.negative,
            one.three_days.rate,
            one.three_days.low,
            one.three_days.high,
            one.first_answer,
            one.average_answer,
            one.handling,
            one.satisfied,
            one.judged,
        ]
        for one in report.days
    ]
    _sheet(sheet, columns, rows)


def _table(sheet: Any, report: PeriodReport, taxonomy: Taxonomy) -> None:
    columns = [
        _Column("类目"),
        *(_Column(one.zh, _WHOLE) for one in taxonomy.emotions),
        _Column("合计", _WHOLE),
        _Column("负面合计", _WHOLE),
        _Column("占全部负面", _SHARE),
    ]
    negative = {one.key for one in taxonomy.emotions if one.polarity == "negative"}
    heavy = {key: sum(row[name] for name in negative) for key, row in report.table.items()}
    every = sum(heavy.values())
    rows = [
        [
            taxonomy.category[key].zh,
            *(row[one.key] for one in taxonomy.emotions),
            sum(row.values()),
            heavy[key],
            heavy[key] / every if every else None,
        ]
        for key, row in report.table.items()
    ]
    _sheet(sheet, columns, rows)


def _turning_points(sheet: Any, report: PeriodReport, taxonomy: Taxonomy) -> None:
    columns = [
        _Column("会话"),
        _Column("客服"),
        _Column("时间"),
        _Column("方向"),
        _Column("类目"),
        _Column("之前情绪"),
        _Column("之后情绪"),
        _Column("顾客先说", width=36),
        _Column("客服说", width=50),
        _Column("顾客后说", width=36),
    ]
    rows = [
        [
            one.chat,
            one.agent,
            one.at,
            TRAJECTORIES[one.direction],
            one.category_zh,
            taxonomy.emotion[one.emotion_before].zh,
            taxonomy.emotion[one.emotion_after].zh,
            one.before,
            one.agent_said,
            one.after,
        ]
        for one in report.turning_points
    ]
    _sheet(sheet, columns, rows)


def _chats(sheet: Any, report: PeriodReport) -> None:
    columns = [
        _Column("会话"),
        _Column("客服"),
        _Column("渠道"),
        _Column("开始时间"),
        _Column("消息数", _WHOLE),
        _Column("接待次数", _WHOLE),
        _Column("主要类目"),
        _Column("首次响应（秒）", _ONE),
        _Column("平均响应（秒）", _ONE),
        _Column("处理时长（分钟）", _ONE),
        _Column("最重情绪"),
        _Column("最后情绪"),
        _Column("最高预警", _WHOLE),
        _Column("走势"),
        _Column("满意（估算）"),
        _Column("一次解决（估算）"),
        _Column("质检得分", _ONE),
        _Column("最后一句", width=40),
    ]
    rows = [
        [
            one.chat,
            one.agent,
            channel_zh(one.channel),
            one.began,
            one.turns,
            one.contacts,
            one.category_zh,
            one.first_answer,
            one.average_answer,
            one.handling,
            one.worst_zh,
            one.last_zh,
            one.alert,
            one.trajectory,
            one.outcome,
            one.solved,
            one.score,
            one.last_words,
        ]
        for one in report.rows
    ]
    _sheet(sheet, columns, rows)
