"""A shop's own table: what fits is taken, what does not is named, nothing is half-written."""

from __future__ import annotations

import csv
import io
import json

import openpyxl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from assist.scripts.importing import ImportReport, import_scripts, main
from assist.scripts.importing_tables import read_table
from assist.scripts.library import Library, load_library

NOTHING = Library(())
HEADER = ["话术内容", "分类", "语气", "备注", "谁写的"]
ROWS = [
    ["订单{订单号}今天装车，单号出来我发到这里。", "发货时间咨询", "亲切", "先看仓库", "a"],
    ["退款原路退回，【天数】天内您看支付页。", "refund_progress", "formal", "", "b"],
]


def as_csv(rows, encoding="utf-8", delimiter=","):
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows([HEADER, *rows])
    return out.getvalue().encode(encoding)


def run(tmp_path, data, name="own.csv", **options):
    source = tmp_path / name
    source.write_bytes(data)
    target = tmp_path / "own.jsonl"
    return import_scripts(source, target, library=NOTHING, **options), target


def texts(target):
    return [json.loads(line)["text"] for line in target.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_a_table_is_taken_in_whatever_wrote_it(tmp_path, encoding, delimiter):
    report, target = run(tmp_path, as_csv(ROWS, encoding, delimiter))
    assert (report.rows, report.accepted, report.refused) == (2, 2, 0)
    assert report.ignored_columns == ["谁写的"]
    library = load_library(own=target)
    (script,) = [one for one in library.by_category["ship_time"] if one.id.startswith("own-")]
    assert script.text == "订单{order_id}今天装车，单号出来我发到这里。"
    assert (script.tone, script.note) == ("warm", "先看仓库")
    assert texts(target)[1] == "退款原路退回，{days}天内您看支付页。"


def test_a_workbook_is_taken_in(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(HEADER)
    for row in ROWS:
        book.active.append(row)
    other = book.create_sheet("开场")
    other.append(["text", "alerts"])
    other.append(["您好，我是本店的客服，我来了。", 0])
    book.save(tmp_path / "own.xlsx")
    target = tmp_path / "own.jsonl"
    report = import_scripts(tmp_path / "own.xlsx", target, library=NOTHING)
    assert (report.format, report.accepted, report.encoding) == ("xlsx", 2, "")
    report = import_scripts(tmp_path / "own.xlsx", target, sheet="开场", kind="opening", library=NOTHING)
    assert (report.accepted, report.total) == (1, 3)
    with pytest.raises(ValueError, match=r"sheet: own.xlsx has no 'x'; it has Sheet, 开场"):
        import_scripts(tmp_path / "own.xlsx", target, sheet="x", library=NOTHING)


def test_json_lines_are_taken_in_and_a_broken_line_is_a_refusal(tmp_path):
    rows = [
        {
            "text": "您的包裹到{city}了，我盯着它往您那里走。",
            "category": "logistics_query",
            "when": ["shipped"],
        },
        {"text": "这张单子我看一下，{hours}小时内回您消息。", "category": "order_status", "tone": 3},
    ]
    lines = [json.dumps(rows[0]), "{broken", "[1]", json.dumps(rows[1])]
    report, target = run(tmp_path, "\n".join(lines).encode(), "own.jsonl.jsonl")
    assert [(one.line, one.field) for one in report.refusals] == [(2, "row"), (3, "row"), (4, "tone")]
    assert json.loads(target.read_text(encoding="utf-8"))["when"] == ["shipped"]


@pytest.mark.parametrize(
    ("text", "category", "field", "reason"),
    [
        ("您的订单保证明天到，您放心等着收。", "delivery_eta", "text", "wording:promise"),
        ("这不关我的事，您去问快递公司好了。", "delivery_eta", "text", "wording:forbidden"),
        ("收到货给五星好评，截图发来返现三元。", "review_issue", "text", "wording:pressure"),
        ("您好，您的订单今天发，单号随后给您。", "ship_time", "text", "foreign:greeting"),
        ("请打13800138000找我，今天六点前在。", "ship_time", "text", "personal data"),
        ("您的{姓名}我记下了，今天给您安排。", "ship_time", "text", "brace"),
        ("您的{coupon_id}我记下了，今天给您补。", "coupon", "text", "slot {coupon_id} is unknown"),
        ("今天下午六点前给您发出去，您留意单号。", "发货", "category", "发货 is no key and no Chinese name"),
        ("", "ship_time", "text", "is empty"),
        ("长" * 501, "ship_time", "text", "at most 500"),
    ],
)
def test_what_is_refused_is_named(tmp_path, text, category, field, reason):
    report, target = run(tmp_path, as_csv([*ROWS, [text, category, "warm", "", ""]]))
    (refusal,) = report.refusals
    assert (refusal.line, refusal.field) == (4, field)
    assert reason in refusal.reason
    assert "13800138000" not in refusal.reason
    assert report.refused_by_field == {field: 1}
    assert len(texts(target)) == 2


def test_duplicates_are_named_and_a_second_import_changes_nothing(tmp_path):
    library = load_library()
    shipped = library.by_category["ship_time"][0]
    rows = [*ROWS, ROWS[0], [shipped.text, "ship_time", "warm", "", ""]]
    source, target = tmp_path / "own.csv", tmp_path / "own.jsonl"
    source.write_bytes(as_csv(rows))
    report = import_scripts(source, target, library=library)
    assert [(one.line, one.reason) for one in report.refusals] == [
        (4, "is the text of line 2"),
        (5, f"is the text of script {shipped.id} of the library"),
    ]
    before = target.read_bytes()
    again = import_scripts(source, target, library=library)
    assert (again.accepted, again.unchanged, again.total) == (0, 3, 2)
    assert target.read_bytes() == before
    source.write_bytes(as_csv(ROWS[1:]))
    assert import_scripts(source, target, keep=False, library=library).total == 1
    assert len(texts(target)) == 1


def test_columns_can_be_named(tmp_path):
    data = "a,b\n今天下午六点前给您发出去。,ship_time\n".encode()
    with pytest.raises(ValueError, match=r"columns\.text: own\.csv has no column for the texts; it has a, b"):
        run(tmp_path, data)
    report, _ = run(tmp_path, data, columns={"text": "a", "category": "b"})
    assert report.accepted == 1
    with pytest.raises(ValueError, match=r"columns\.text: own\.csv has no column 'c'"):
        run(tmp_path, data, columns={"text": "c"})
    with pytest.raises(ValueError, match=r"columns\.colour: is unknown"):
        run(tmp_path, data, columns={"colour": "a"})


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("own.doc", b"x", "expected a .csv, .xlsx or .jsonl file"),
        ("own.csv", b"", "is empty"),
        ("own.csv", b"text\n", "holds no rows"),
        ("own.csv", b"\n\n", "has no header"),
        ("own.csv", b"text,text\na,b\n", "column 'text' occurs twice"),
        ("own.csv", b"\xff\xfftext\na\n", "is not utf-8 or gb18030"),
        ("own.csv", b"text\na\x00b\n", "NUL"),
        ("own.csv", b'text\n"abc"d\n', "quotation marks do not match"),
        ("own.xlsx", b"PK\x03\x04broken", "is no readable .xlsx workbook"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_whole(tmp_path, name, data, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, data, name)
    assert not (tmp_path / "own.jsonl").exists()


def test_a_wrongly_mapped_column_leaks_nothing(tmp_path):
    data = "a,b\n今天下午六点前给您发出去。,打13800138000找我\n今天下午五点前给您发出去。,好\n".encode()
    for field in ("category", "tone", "when"):
        options = {"category": "ship_time"} if field != "category" else {}
        report, _ = run(tmp_path, data, columns={"text": "a", field: "b"}, **options)
        assert [one.field for one in report.refusals] == [field, field]
        assert "13800138000" not in report.model_dump_json()


def test_a_cell_too_many_is_a_refusal(tmp_path):
    report, _ = run(tmp_path, "text,category\n今天发,出去,ship_time\n".encode())
    assert report.refusals[0].field == "row"
    assert "3 cells" in report.refusals[0].reason


def test_lines_are_counted_as_an_editor_counts(tmp_path):
    data = 'text,category\n"今天下午六点前\n给您发出去。",ship_time\n,\n保证到,ship_time\n'.encode()
    report, target = run(tmp_path, data)
    assert texts(target) == ["今天下午六点前 给您发出去。"]
    assert [one.line for one in report.refusals] == [5]


def test_a_failed_write_leaves_the_target_as_it_was(tmp_path, monkeypatch):
    _, target = run(tmp_path, as_csv(ROWS))
    before = target.read_bytes()

    def full(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("data.files.Path.replace", full)
    with pytest.raises(OSError, match="no space"):
        run(tmp_path, as_csv([["明天上午十点前给您发出去，单号随后到。", "ship_time", "warm", "", ""]]))
    assert target.read_bytes() == before
    assert not list(tmp_path.glob(".*.part"))


def test_the_command_says_what_it_did(tmp_path, capsys):
    source = tmp_path / "own.csv"
    source.write_bytes(as_csv([*ROWS, ["您好，今天发出去，单号随后给您。", "ship_time", "warm", "", ""]]))
    out, report = tmp_path / "own.jsonl", tmp_path / "report.json"
    assert main([str(source), str(out), "--json", str(report)]) == 1
    printed = capsys.readouterr().out
    assert "foreign:greeting" in printed
    assert ImportReport.model_validate_json(report.read_text(encoding="utf-8")).accepted == 2
    assert main([str(tmp_path / "missing.csv"), str(out)]) == 2
    assert "cannot be read" in capsys.readouterr().out


FUZZ = settings(
    max_examples=12,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
CELLS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [row[0] for row in ROWS] + ["{", "{订单号}", "【天数】", "保证到", "ship_time", "\u2028", "￥"]
    ),
)


@FUZZ
@given(rows=st.lists(st.lists(CELLS, min_size=1, max_size=5), max_size=4), junk=st.binary(max_size=60))
def test_no_table_breaks_the_import(tmp_path, rows, junk):
    for name, data in (
        ("fuzz.csv", as_csv([[cell.encode("utf-8", "replace").decode() for cell in row] for row in rows])),
        ("fuzz.csv", junk),
        ("fuzz.jsonl", "\n".join(json.dumps({"text": row[0], "category": row[-1]}) for row in rows).encode()),
        ("fuzz.jsonl", junk),
        ("fuzz.xlsx", junk),
    ):
        target = tmp_path / "fuzz-out.jsonl"
        target.unlink(missing_ok=True)
        source = tmp_path / name
        source.write_bytes(data)
        try:
            report = import_scripts(source, target, library=NOTHING)
        except ValueError:
            assert not target.exists()
            continue
        assert report.accepted + report.unchanged + report.refused == report.rows
        if report.accepted:
            assert len(texts(target)) == report.accepted


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = ("text", "category", "kind", "tone", "when", "note", "id", "alerts", "emotions")


@FUZZ
@given(value=VALUES, field=st.sampled_from(FIELDS))
def test_no_value_breaks_a_row(tmp_path, value, field):
    row = {"text": "今天下午六点前给您发出去。", "category": "ship_time", field: value}
    report, _ = run(tmp_path, json.dumps(row).encode(), "row.jsonl", keep=False)
    assert report.accepted + report.refused == 1


def test_a_table_counts_what_it_reads(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(as_csv(ROWS))
    table = read_table(path)
    assert (table.format, table.encoding, table.columns) == ("csv", "utf-8", tuple(HEADER))
    assert [row.line for row in table.rows] == [2, 3]
    with pytest.raises(ValueError, match="encoding: 'latin-1' is not one of"):
        read_table(path, encoding="latin-1")
