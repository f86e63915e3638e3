"""The Excel file, opened again: sheets, headers, formats, widths; no formula and no personal data in it."""

from __future__ import annotations

import builtins
import zipfile
from datetime import date, datetime, timedelta

import pytest

from assist.reports.cells import harmless
from assist.reports.period import period_report
from assist.reports.schema import ChatReading, MessageReading
from assist.reports.workbook import SHEETS, write_workbook
from data.chats import Chat, TimedTurn

openpyxl = pytest.importorskip("openpyxl", reason="needs the extra office: pip install 'kefu-lab[office]'")

EVIL = '=HYPERLINK("http://x","点我")'
MOBILE = "13812345678"


@pytest.fixture(scope="module")
def report():
    chats, readings = [], {}
    for number in range(40):
        at = datetime.fromisoformat("2026-11-05T09:00:00+08:00") + timedelta(hours=9 * number)
        texts = [("customer", f"我电话{MOBILE}，还没到"), ("agent", "+86这边帮您查"), ("customer", EVIL)]
        turns = tuple(
            TimedTurn(role, text, at + timedelta(seconds=25 * place))
            for place, (role, text) in enumerate(texts)
        )
        chats.append(Chat(f"@chat{number}", "=cmd|' /C calc'!A0", "wechat", turns))
        readings[f"@chat{number}"] = ChatReading(
            messages={
                0: MessageReading(category="urge_delivery", emotion="anxious", alert=1),
                2: MessageReading(category="thanks_closing", emotion="positive"),
            },
            trajectory="recovering",
            turned_at=2,
        )
    return period_report(chats, readings, since=date(2026, 11, 12), until=date(2026, 11, 18))


@pytest.fixture(scope="module")
def path(report, tmp_path_factory):
    return write_workbook(report, tmp_path_factory.mktemp("excel") / "deep" / "report.xlsx")


@pytest.fixture(scope="module")
def book(path):
    return openpyxl.load_workbook(path)


def cells(book):
    return [
        (sheet, cell) for sheet in book for row in sheet.iter_rows() for cell in row if cell.value is not None
    ]


def test_all_sheets_in_order(book):
    assert tuple(book.sheetnames) == SHEETS
    assert SHEETS == ("总览", "指标", "按客服", "按天", "类目×情绪", "转折点", "会话明细")


def test_headers_are_chinese_frozen_and_filtered(book):
    for name in SHEETS[1:]:
        sheet = book[name]
        header = [cell.value for cell in sheet[1]]
        assert all(any("\u4e00" <= char <= "\u9fff" for char in text) for text in header), header
        assert sheet.freeze_panes in {"B2", "C2"}
        assert sheet.auto_filter.ref.startswith("A1:")
        assert sheet["A1"].font.bold
        assert all(sheet.column_dimensions[cell.column_letter].width >= 8 for cell in sheet[1])
    assert book["总览"].freeze_panes == "A6"


def test_numbers_are_numbers_with_formats(book, report):
    sheet = book["指标"]
    rows = {row[0].value: row for row in sheet.iter_rows(min_row=2)}
    first = rows["首次响应"]
    assert (first[1].value, first[1].number_format, first[7].value) == (25, "0.0", 30)
    rate = rows["满意度"]
    assert isinstance(rate[1].value, int | float)
    assert rate[1].number_format == "0.0%"
    assert rows["会话数"][1].value == report.chats
    days = book["按天"]
    assert days["A2"].value.date() == report.first_day
    assert days["A2"].number_format == "yyyy-mm-dd"
    assert [row[0].value.date() for row in days.iter_rows(min_row=2)] == [one.day for one in report.days]


def test_every_row_is_there(book, report):
    assert book["会话明细"].max_row == 1 + report.chats
    assert book["转折点"].max_row == 1 + len(report.turning_points)
    assert book["类目×情绪"].max_row == 1 + len(report.table)
    heat = {row[0].value: row for row in book["类目×情绪"].iter_rows(min_row=2)}
    assert heat["催派送"][3].value == report.chats  # 焦急
    assert heat["催派送"][-1].value == 1.0
    assert {row[0].value for row in book["按客服"].iter_rows(min_row=2)} == {"客服", "团队", "渠道"}


def test_no_text_is_a_formula(book, path):
    for sheet, cell in cells(book):
        assert cell.data_type != "f", f"{sheet.title}!{cell.coordinate}"
        if isinstance(cell.value, str):
            assert cell.value[0] not in "=+-@|%", f"{sheet.title}!{cell.coordinate}: {cell.value}"
    assert any(cell.value == f"'{EVIL}" for _, cell in cells(book))
    with zipfile.ZipFile(path) as packed:
        for name in packed.namelist():
            assert b"<f>" not in packed.read(name), name


def test_no_personal_data_is_in_the_file(path, book):
    with zipfile.ZipFile(path) as packed:
        for name in packed.namelist():
            assert MOBILE.encode() not in packed.read(name), name
    assert book["转折点"]["H2"].value == "我电话[手机]，还没到"


def test_the_overview_tells_the_main_things(book, report):
    texts = [cell.value for row in book["总览"].iter_rows() for cell in row if isinstance(cell.value, str)]
    assert texts[0] == "客服周期报告"
    assert any("2026-11-12 至 2026-11-18" in text for text in texts)
    assert any("5 项标准" in text for text in texts)
    assert any(text.startswith("满意度是估算") for text in texts)


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1", "@x", "|x", "%x", "＝1", "＋1", " =1", "\t=1", "\u200b=1", "\n=1", "'=1", '"=1"'],
)
def test_what_looks_like_a_formula_gets_an_apostrophe(text):
    assert harmless(text).startswith("'")


@pytest.mark.parametrize("text", ["", "亲，1+1=2", "3-5天到", "a@b", "100%"])
def test_other_texts_stay(text):
    assert harmless(text) == text


def test_what_excel_cannot_hold_is_left_out():
    assert harmless("快\x00递\x0b到\ufffe了") == "快递到了"
    assert len(harmless("长" * 99_999)) == 2000


def test_a_second_writing_replaces_the_first(report, path):
    before = sorted(path.parent.iterdir())
    write_workbook(report, path)
    assert sorted(path.parent.iterdir()) == before


def test_without_openpyxl_it_says_what_to_install(report, tmp_path, monkeypatch):
    real = builtins.__import__

    def missing(name, *arguments, **more):
        if name.startswith("openpyxl"):
            raise ImportError(name)
        return real(name, *arguments, **more)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(RuntimeError, match=r"pip install 'kefu-lab\[office\]'"):
        write_workbook(report, tmp_path / "report.xlsx")
    assert list(tmp_path.iterdir()) == []
