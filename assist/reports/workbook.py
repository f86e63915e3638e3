"""A report as an Excel file: one sheet for each question, numbers as numbers, no formula from a text.

Needs openpyxl (`pip install kefu-lab[office]`).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from assist.reports.cells import ONE, SHARE, SIGNED, UNITS, WHOLE, Column, form_of, put, sheet_of, width_of
from assist.reports.feelings import TRAJECTORIES
from assist.reports.indicators import GROUP_KEYS
from assist.reports.schema import Figure, Group, PeriodReport
from assist.reports.wordings import VERDICTS, channel_zh, headline, met_zh, notes
from data.taxonomy import Taxonomy, load_taxonomy

__all__ = ["SHEETS", "write_workbook"]

SHEETS = ("总览", "指标", "按客服", "按天", "类目×情绪", "转折点", "会话明细")
"""In this order."""


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


def _overview(sheet: Any, report: PeriodReport) -> None:
    from openpyxl.styles import Alignment, Font

    put(sheet, 1, 1, "客服周期报告").font = Font(bold=True, size=18, color="1D4E89")
    put(
        sheet,
        2,
        1,
        f"{report.first_day} 至 {report.last_day}，{report.chats} 个会话，{report.messages} 条顾客消息",
    )
    put(sheet, 3, 1, headline(report)).font = Font(bold=True)
    columns = [
        Column("指标", width=22),
        Column("数值", width=14),
        Column("标准", width=12),
        Column("结论", width=30),
        Column("上一周期", width=12),
        Column("变化", width=24),
    ]
    before = {one.key: one for one in report.changes}
    rows: list[list[Any]] = []
    shown = [one for one in report.figures if one.standard is not None or one.unit == "count"]
    for one in shown:
        past = before.get(one.key)
        rows.append(
            [
                _named(one),
                one.value,
                one.standard,
                met_zh(one),
                past.before if past else None,
                VERDICTS[past.verdict] if past else "",
            ]
        )
    sheet_of(sheet, columns, rows, top=5)
    for number, one in enumerate(shown, 6):
        for place in (2, 3, 5):
            sheet.cell(number, place).number_format = form_of(one.unit)
    row = 7 + len(rows)
    put(sheet, row, 1, "怎么算的").font = Font(bold=True)
    for number, text in enumerate(notes(report), row + 1):
        put(sheet, number, 1, text)
        sheet.merge_cells(start_row=number, start_column=1, end_row=number, end_column=6)
        sheet.cell(number, 1).alignment = Alignment(wrap_text=True, vertical="top")
        sheet.row_dimensions[number].height = 16 * (1 + int(width_of(text) // 100))
    sheet.freeze_panes = "A6"


def _named(one: Figure) -> str:
    unit = UNITS[one.unit]
    return f"{one.zh}（{unit}）" if unit and one.unit != "share" else one.zh


def _figures(sheet: Any, report: PeriodReport) -> None:
    columns = [
        Column("指标"),
        Column("数值"),
        Column("下限（95%）"),
        Column("上限（95%）"),
        Column("单位"),
        Column("命中数", WHOLE),
        Column("基数", WHOLE),
        Column("标准"),
        Column("要求"),
        Column("是否达标"),
        Column("上一周期"),
        Column("变化"),
        Column("变化结论"),
        Column("是否估算"),
        Column("说明"),
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
                UNITS[one.unit] or "个",
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
    sheet_of(sheet, columns, rows)
    for number, one in enumerate(report.figures, 2):
        for place in (2, 3, 4, 8, 11):
            sheet.cell(number, place).number_format = form_of(one.unit)
        sheet.cell(number, 12).number_format = SIGNED if one.unit == "share" else "+0.0;-0.0;0.0"


def _groups(sheet: Any, report: PeriodReport) -> None:
    first = report.figures
    named = {one.key: one for one in first}
    columns = [Column("分组"), Column("名称"), Column("会话数", WHOLE)]
    for key in GROUP_KEYS:
        columns += [Column(_named(named[key]), form_of(named[key].unit))]
        if named[key].standard is not None:
            columns.append(Column("达标"))
    columns += [Column("质检均分", ONE), Column("质检问题数", WHOLE), Column("红线次数", WHOLE)]
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
    sheet_of(sheet, columns, rows)
    sheet.freeze_panes = "C2"


def _days(sheet: Any, report: PeriodReport) -> None:
    columns = [
        Column("日期", "yyyy-mm-dd", 13),
        Column("会话数", WHOLE),
        Column("顾客消息", WHOLE),
        Column("负面会话", WHOLE),
        Column("近三日负面占比", SHARE),
        Column("下限（95%）", SHARE),
        Column("上限（95%）", SHARE),
        Column("首次响应（秒）", ONE),
        Column("平均响应（秒）", ONE),
        Column("处理时长（分钟）", ONE),
        Column("满意（估算）", WHOLE),
        Column("看得出满意与否", WHOLE),
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
    sheet_of(sheet, columns, rows)


def _table(sheet: Any, report: PeriodReport, taxonomy: Taxonomy) -> None:
    columns = [
        Column("类目"),
        *(Column(one.zh, WHOLE) for one in taxonomy.emotions),
        Column("合计", WHOLE),
        Column("负面合计", WHOLE),
        Column("占全部负面", SHARE),
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
    sheet_of(sheet, columns, rows)


def _turning_points(sheet: Any, report: PeriodReport, taxonomy: Taxonomy) -> None:
    columns = [
        Column("会话"),
        Column("客服"),
        Column("时间"),
        Column("方向"),
        Column("类目"),
        Column("之前情绪"),
        Column("之后情绪"),
        Column("顾客先说", width=36),
        Column("客服说", width=50),
        Column("顾客后说", width=36),
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
    sheet_of(sheet, columns, rows)


def _chats(sheet: Any, report: PeriodReport) -> None:
    columns = [
        Column("会话"),
        Column("客服"),
        Column("渠道"),
        Column("开始时间"),
        Column("消息数", WHOLE),
        Column("接待次数", WHOLE),
        Column("主要类目"),
        Column("首次响应（秒）", ONE),
        Column("平均响应（秒）", ONE),
        Column("处理时长（分钟）", ONE),
        Column("最重情绪"),
        Column("最后情绪"),
        Column("最高预警", WHOLE),
        Column("走势"),
        Column("满意（估算）"),
        Column("一次解决（估算）"),
        Column("质检得分", ONE),
        Column("最后一句", width=40),
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
    sheet_of(sheet, columns, rows)
