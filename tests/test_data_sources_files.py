"""A user's own table: every format, and a clear word for what is wrong with it."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from data.example import Turn
from data.sources.cells import context_of, word
from data.sources.files import Columns, read_file
from data.sources.hub import dataset_rows, read_hub

COLUMNS = Columns("question", "intent", "before", "chat")
TABLE = [
    {"question": "where is my parcel", "intent": "Track it", "before": "agent: hello\nhi", "chat": "a"},
    {"question": 'he said "no", twice', "intent": "退款", "before": "", "chat": "a"},
    {"question": "第二行\n还有一行", "intent": "退款", "before": '["客服:您好"]', "chat": "b"},
]


def write(folder, kind):
    path = folder / f"rows{kind}"
    if kind in (".csv", ".tsv", ".csv.gz"):
        import csv
        import io

        text = io.StringIO()
        writer = csv.DictWriter(text, list(TABLE[0]), delimiter="\t" if kind == ".tsv" else ",")
        writer.writeheader()
        writer.writerows(TABLE)
        raw = text.getvalue().encode()
        path.write_bytes(gzip.compress(raw) if kind.endswith(".gz") else raw)
    elif kind == ".jsonl":
        path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in TABLE), encoding="utf-8")
    elif kind == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(TABLE), path)
    else:
        from openpyxl import Workbook

        book = Workbook()
        book.active.append(list(TABLE[0]))
        for row in TABLE:
            book.active.append(list(row.values()))
        book.save(path)
    return path


@pytest.mark.parametrize("kind", [".csv", ".tsv", ".csv.gz", ".jsonl", ".parquet", ".xlsx"])
def test_every_format_gives_the_same_rows(tmp_path, kind):
    rows = read_file(write(tmp_path, kind), COLUMNS)
    assert [row.text for row in rows] == [row["question"] for row in TABLE]
    assert rows.counts() == {"Track it": 1, "退款": 2}
    assert rows[0].context == (Turn("agent", "hello"), Turn("customer", "hi"))
    assert rows[2].context == (Turn("agent", "您好"),)
    assert [row.conversation for row in rows] == ["a", "a", "b"]
    assert rows.groups().tolist() == [0, 0, 1]


@pytest.mark.parametrize("kind", [".csv", ".jsonl", ".parquet", ".xlsx"])
def test_a_wrong_column_names_those_there_are(tmp_path, kind):
    with pytest.raises(ValueError, match=r"label column 'label'.*no such column.*question, intent, before"):
        read_file(write(tmp_path, kind), Columns("question", "label"))


def test_bytes_of_another_encoding_name_the_line_and_the_mend(tmp_path):
    path = tmp_path / "old.csv"
    path.write_bytes("text,label\nplain,a\n退款,b\n".encode("gb18030"))
    with pytest.raises(ValueError, match=r"line 3: bytes that are not utf-8.*gb18030"):
        read_file(path)
    assert read_file(path, encoding="gb18030")[1].text == "退款"
    with pytest.raises(ValueError, match="encoding 'latin-99' is unknown"):
        read_file(path, encoding="latin-99")


def test_a_byte_order_mark_is_no_part_of_a_column(tmp_path):
    path = tmp_path / "excel.csv"
    path.write_bytes(b"\xef\xbb\xbf" + b"text,label\nx,a\n")
    assert read_file(path).counts() == {"a": 1}


@pytest.mark.parametrize(("cells", "column"), [("x,", "label"), ("  ,a", "text")])
def test_an_empty_cell_is_refused_or_left_out(tmp_path, cells, column):
    path = tmp_path / "gaps.csv"
    path.write_text(f"text,label\ny,b\n{cells}\nz,a\n")
    with pytest.raises(ValueError, match=rf"row 2: {column}: is empty.*skip"):
        read_file(path)
    assert [row.text for row in read_file(path, skip_empty=True)] == ["y", "z"]


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("none.csv", b"", "is empty"),
        ("head.csv", b"text,label\n", "holds no rows"),
        ("torn.csv", b"text,label\na,b,c\n", "line 2: 3 fields, but the header has 2"),
        ("twice.csv", b"text,text,label\na,b,c\n", "2 columns have this name"),
        ("bad.jsonl", b'{"text": "a", "label": "b"}\n{"text"\n', "line 2: not JSON"),
        ("list.jsonl", b"[1]\n", "line 1: expected an object"),
        ("deep.jsonl", b'{"text": {"a": 1}, "label": "b"}\n', "row 1: text: expected a text or a number"),
        ("half.jsonl", b'{"text": "\\ud800", "label": "b"}\n', "half of a surrogate pair"),
        ("no.parquet", b"PAR0", "not a Parquet file"),
        ("no.xlsx", b"PK00", "not an XLSX workbook"),
        ("no.csv.gz", b"plain", "not a whole gzip file"),
        ("no.doc", b"", "is none of .csv"),
    ],
)
def test_a_broken_file_says_how(tmp_path, name, content, says):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=says):
        read_file(tmp_path / name)


def test_missing_files_and_sheets_and_columns_named_twice(tmp_path):
    with pytest.raises(ValueError, match="there is no such file"):
        read_file(tmp_path / "nothing.csv")
    with pytest.raises(ValueError, match=r"no sheet 'Blatt'; there are: Sheet"):
        read_file(write(tmp_path, ".xlsx"), COLUMNS, sheet="Blatt")
    with pytest.raises(ValueError, match="must be different columns"):
        Columns("text", "text")


def test_words_of_cells():
    assert [word(value, "here") for value in (None, 1, 2.0, 2.5, True, " a ", float("nan"))] == [
        "", "1", "2", "2.5", "true", "a", "",
    ]  # fmt: skip
    assert context_of("[图片]", "here") == [{"role": "customer", "text": "[图片]"}]
    with pytest.raises(ValueError, match=r"here\[0\]: expected a text, or an object"):
        context_of([{"role": "bot", "text": "a"}], "here")
    with pytest.raises(ValueError, match="here: expected turns"):
        context_of(3, "here")


def test_large_files_are_mapped_and_hold_no_example(tmp_path):
    path = tmp_path / "many.csv"
    path.write_text("text,label\n" + "".join(f"message {n},{n % 3}\n" for n in range(9000)))
    small, mapped = read_file(path), read_file(path, in_memory=1000)
    assert len(mapped) == 9000
    assert mapped.fingerprint() == small.fingerprint()
    assert mapped[8999].text == "message 8999"
    shuffled = np.random.default_rng(1).permutation(9000)[:100]
    assert [row.text for row in mapped.take(shuffled)] == [f"message {n}" for n in shuffled]
    assert [row.text for row in mapped.take([5, 8000])] == ["message 5", "message 8000"]
    part = mapped.take(np.flatnonzero(mapped.label_array() == "1"))
    assert part.counts() == {"1": 3000}
    assert part[1:3][0].text == "message 4"
    assert part.table is mapped.table  # a view: no text is held twice
    assert [row.category for row in part.with_keys({"1": "label_1"})][:2] == ["label_1"] * 2


def test_the_hub_gives_class_names_and_refuses_wrong_columns():
    from datasets import ClassLabel, Dataset, Features, Value

    features = Features({"t": Value("string"), "y": ClassLabel(names=["no", "yes"])})
    found = Dataset.from_dict({"t": ["a", "b"], "y": [1, 0]}, features)
    assert dataset_rows(found, Columns("t", "y"), "x").counts() == {"yes": 1, "no": 1}
    with pytest.raises(ValueError, match=r"x: text column 'text'.*there are: t, y"):
        dataset_rows(found, Columns("text", "y"), "x")


def test_a_set_that_the_hub_does_not_give_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"hub: .*nothing \(train\): cannot be loaded"):
        read_hub(str(tmp_path / "nothing"))
