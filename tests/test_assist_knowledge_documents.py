"""Reading documents: five formats, what they say of themselves, passages."""

from __future__ import annotations

import zipfile
from datetime import date

import pytest
from openpyxl import Workbook

from assist.knowledge.blocks import clean, table_lines
from assist.knowledge.documents import read_document, read_folder, sentences_of
from assist.knowledge.formats import read_blocks
from assist.knowledge.intake import DEMO_DOCUMENTS

FRONT = "---\ntitle: 测试\nkind: 商品知识\n{more}---\n\n"


@pytest.fixture(scope="module")
def demo():
    documents, refused = read_folder(DEMO_DOCUMENTS)
    assert refused == {}
    return {(document.id, document.version): document for document in documents}


def write(folder, name, text, more=""):
    path = folder / name
    path.write_text(FRONT.format(more=more) + text, encoding="utf-8")
    return path


def test_the_demo_base_is_whole(demo):
    assert 16 <= len({identity for identity, _ in demo}) <= 24
    assert {document.kind for document in demo.values()} == {"商品知识", "服务政策", "操作指南", "故障排除"}
    assert {document.source.rsplit(".")[-1] for document in demo.values()} == {
        "md", "html", "docx", "xlsx", "pdf",
    }  # fmt: skip
    assert all(document.reviewed_on for document in demo.values())
    # The masking of personal data must not eat shop texts.
    assert sum(document.masked for document in demo.values()) == 0


def test_pdf_keeps_headings_tables_and_wrapped_lines(demo):
    passages = {one.headings[-1]: one.text for one in demo["shelf-assembly", "1"].passages}
    assert list(passages) == [
        "开箱先点件", "需要多久、几个人", "安装步骤", "五层款固定到墙上", "拆开重装", "常用尺寸",
    ]  # fmt: skip
    assert "内六角扳手 1 把" in passages["开箱先点件"]
    assert len(passages["安装步骤"].splitlines()) == 6
    assert "用途：放书，建议层间距：32 厘米" in passages["常用尺寸"].splitlines()


def test_word_tables_keep_their_head(demo):
    passages = demo["warranty", "1"].passages
    assert passages[0].section == "保修政策 > 保修多久"
    assert "商品：台灯，整机保修：两年，配件保修：电池一年，灯臂两年" in passages[0].text.splitlines()


def test_sheets_are_sections_and_rows_are_sentences(demo):
    passages = demo["product-table", "5"].passages
    assert {one.headings for one in passages} == {("在售商品",), ("包装尺寸",), ("企业团购",)}
    row = next(line for one in passages for line in one.text.splitlines() if "SH17H" in line)
    assert row == (
        "货号：SH17H，商品：电热水壶，规格：1.7 升 恒温款，颜色：白、墨绿，日常价（元）：189，库存状态：现货"
    )


def test_pages_lose_their_menus(demo):
    text = "\n".join(one.text for one in demo["shipping", "2"].passages)
    assert "全部商品" not in text
    assert "本页由店铺编写" not in text
    assert "地区：江浙沪皖，包邮门槛：满 39 元，不够门槛的运费：6 元，一般几天到：1 到 2 天" in text


def test_merged_cells_and_dates_of_a_sheet(tmp_path):
    book = Workbook()
    sheet = book.active
    sheet.title = "价格"
    for row in (["商品", "规格", "到货"], ["收纳箱", "大", date(2026, 12, 5)], [None, "小", 3.0]):
        sheet.append(row)
    sheet.merge_cells("A2:A3")
    hidden = book.create_sheet("成本")
    hidden.append(["秘密", "进价"])
    hidden.sheet_state = "hidden"
    path = tmp_path / "book.xlsx"
    book.save(path)
    lines = [block.text for block in read_blocks(path.read_bytes(), ".xlsx")]
    assert lines == ["商品：收纳箱，规格：大，到货：2026-12-05", "商品：收纳箱，规格：小，到货：3"]


def test_html_ignores_scripts_comments_and_joins_inline():
    page = (
        "<body><h1>退换</h1><!-- 内部 --><script>x()</script><p>七天<b>无理由</b>退</p><ul><li>一</li></ul>"
    )
    blocks = read_blocks(page.encode(), ".html")
    assert [(block.headings, "".join(block.text.split()), block.kind) for block in blocks] == [
        (("退换",), "七天无理由退", "text"),
        (("退换",), "一", "item"),
    ]


def test_radicals_of_pdf_fonts_become_characters():
    assert clean("⼀把六⻆扳⼿　㎡") == "一把六角扳手 ㎡"


def test_a_caption_above_a_table_is_no_head():
    rows = [["价目表", ""], ["商品", "价"], ["锅", "9"]]
    assert table_lines(rows) == ["价目表", "商品：锅，价：9"]


def test_long_sections_are_cut_between_sentences(tmp_path):
    text = "# 说明\n\n" + "这是一句不长也不短的话。" * 60
    passages = read_document(write(tmp_path, "a.md", text)).passages
    assert len(passages) > 1
    assert all(len(one.text) <= 320 and one.text.endswith("。") for one in passages)
    assert "".join(one.text for one in passages) == "这是一句不长也不短的话。" * 60


def test_sentences_keep_their_quotes_together():
    assert sentences_of("他说“好。”就走。\n第二行") == ["他说“好。”就走。", "第二行"]


def test_personal_data_is_masked(tmp_path):
    document = read_document(write(tmp_path, "a.md", "# 退货\n\n有问题打 13812345678 找我们"))
    assert document.masked == 1
    assert "13812345678" not in document.passages[0].text


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.md", "没有前置说明", "kind: expected one of"),
        ("a.md", "---\nkind: 别的\n---\n# 题\n\n内容", "kind: expected one of"),
        ("a.md", "---\nkind: 商品知识\nvalid_from: 明天\n---\n# 题\n\n内容", "valid_from: expected a day"),
        (
            "a.md",
            "---\nkind: 商品知识\nvalid_from: 2026-02-01\nvalid_until: 2026-01-01\n---\n# 题\n\n内容",
            "valid_until: 2026-01-01 is before",
        ),
        ("a.md", "---\nkind: 商品知识\ncolour: 红\n---\n# 题\n\n内容", "colour: is unknown"),
        ("a.md", "---\nkind: [\n---\n# 题\n\n内容", "front matter: is no YAML"),
        ("a.md", "---\nkind: 商品知识\nproducts: 锅\n---\n# 题\n\n内容", "products: expected a list"),
        ("a.md", "---\nkind: 商品知识\n---\n", "holds no text"),
        ("a.md", "---\nkind: 商品知识\n---\n没有标题", "title: expected"),
        ("a b.md", "---\nkind: 商品知识\n---\n# 题\n\n内容", "id: 'a b' has other characters"),
        ("a.txt", "内容", "format '.txt' is not read"),
        ("a.pdf", "not a pdf", "is damaged or no PDF file"),
        ("a.docx", "not a zip", "is damaged or no DOCX file"),
        ("a.xlsx", "not a zip", "is damaged or no XLSX file"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, name, text, reason):
    (tmp_path / name).write_text(text, encoding="utf-8")
    documents, refused = read_folder(tmp_path)
    assert documents == []
    assert reason in refused[name]


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "a.md").write_bytes("标题".encode("gbk"))
    assert "is not UTF-8" in read_folder(tmp_path)[1]["a.md"]


def test_a_packed_bomb_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b"0" * (65 << 20))
    assert "unpacks to more than 64 MiB" in read_folder(tmp_path)[1]["a.xlsx"]


def test_two_files_with_one_version_are_refused(tmp_path):
    write(tmp_path, "a.md", "# 题\n\n内容", "id: same\n")
    write(tmp_path, "b.md", "# 题\n\n别的", "id: same\n")
    documents, refused = read_folder(tmp_path)
    assert [document.source for document in documents] == ["a.md"]
    assert "version: '1' of 'same' is in a.md" in refused["b.md"]


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no documents"):
        read_folder(tmp_path)
    with pytest.raises(ValueError, match="is no folder"):
        read_folder(tmp_path / "none")
