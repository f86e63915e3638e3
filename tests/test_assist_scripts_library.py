"""Reading the script library: what is wrong is named by file, line and field."""

from __future__ import annotations

import json

import pytest

from assist.scripts.library import CONDITIONS, SLOTS, STEPS, load_library, slots_of

SOLUTION = {
    "id": "ship_time-01",
    "category": "ship_time",
    "tone": "warm",
    "when": ["unpaid"],
    "text": "付款后{hours}小时内发出，单号会显示在订单页。",
    "note": "",
}
OPENING = {"id": "open-01", "tone": "warm", "text": "您好，欢迎光临。", "alerts": [0, 1], "after": []}
CLOSING = {"id": "close-01", "tone": "warm", "text": "有需要随时找我。", "alerts": [0, 1], "after": []}
SOOTHING = {
    "id": "lama-01",
    "method": "LAMA",
    "step": "listen",
    "emotions": ["dissatisfied"],
    "alerts": [1, 2],
    "tone": "warm",
    "text": "您说的情况我都记下了。",
    "note": "",
}


def write(folder, solutions=(SOLUTION,), openings=(OPENING,), closings=(CLOSING,), soothing=(SOOTHING,)):
    (folder / "solutions").mkdir(parents=True, exist_ok=True)
    parts = {
        "solutions/logistics": solutions,
        "openings": openings,
        "closings": closings,
        "soothing": soothing,
    }
    for name, rows in parts.items():
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_a_library_is_read_with_its_kinds(tmp_path):
    library = load_library(write(tmp_path))
    assert len(library) == 4
    (solution,) = library.by_category["ship_time"]
    assert solution.slots == ("hours",)
    assert solution.when == ("unpaid",)
    assert library.by_id["lama-01"].step == "listen"
    assert library.sources["ship_time-01"].endswith("logistics.jsonl:1")
    assert (library.openings[0].alerts, library.closings[0].kind) == ((0, 1), "closing")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"category": "shipping"}, r"logistics\.jsonl:1: category: 'shipping' is not one of product_spec"),
        ({"when": ["paid"]}, r":1: when: 'paid' is not one of unpaid"),
        ({"when": ["unpaid", "unpaid"]}, "when: names one twice"),
        ({"when": "unpaid"}, "when: expected a list"),
        ({"text": "请看{order}页。"}, r"text: slot \{order\} is unknown; known are order_id"),
        ({"text": "请看{订单}页。"}, "brace that belongs to no slot"),
        ({"text": "请看}页。"}, "brace"),
        ({"text": "  "}, "text: expected a text"),
        ({"text": "好\n的"}, "line break"),
        ({"text": "好" * 501}, "has 501 characters"),
        ({"tone": "rude"}, "tone: 'rude' is not one of warm, formal, lively"),
        ({"id": "-x"}, "id: expected"),
        ({"id": 3}, "id: expected"),
        ({"note": None}, "note: expected"),
        ({"mood": "x"}, "mood: is unknown for a solution"),
        ({"kind": "opening"}, "kind: 'opening' in a file of solutions"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        load_library(write(tmp_path, solutions=[SOLUTION | change]))


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("openings", {"alerts": [9]}, r"openings\.jsonl:1: alerts: 9 is not one of 0, 1, 2, 3"),
        ("openings", {"alerts": [True]}, "alerts: True"),
        ("closings", {"alerts": []}, "alerts: expected a list of some of"),
        ("closings", {"after": ["nothing"]}, "after: 'nothing'"),
        ("soothing", {"method": "FABE"}, "method: 'FABE' is not one of LAMA, HEAT"),
        ("soothing", {"step": "empathise"}, "step: 'empathise' is not one of listen"),
        ("soothing", {"emotions": ["sad"]}, "emotions: 'sad'"),
    ],
)
def test_wrong_parts_are_named(tmp_path, part, change, message):
    row = {"openings": OPENING, "closings": CLOSING, "soothing": SOOTHING}[part]
    with pytest.raises(ValueError, match=message):
        load_library(write(tmp_path, **{part: [row | change]}))


def test_what_occurs_twice_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r":2: id: 'ship_time-01' is taken by .*:1"):
        load_library(write(tmp_path, solutions=[SOLUTION, SOLUTION | {"text": "另一句话。"}]))
    same = SOLUTION | {"id": "x", "text": SOLUTION["text"].replace("，", ", ")}
    with pytest.raises(ValueError, match=r":2: text: is the text of .*:1"):
        load_library(write(tmp_path, solutions=[SOLUTION, same]))


def test_missing_parts_are_named(tmp_path):
    write(tmp_path)
    (tmp_path / "closings.jsonl").unlink()
    with pytest.raises(ValueError, match=r"closings\.jsonl: is missing"):
        load_library(tmp_path)
    with pytest.raises(ValueError, match="holds no solution"):
        load_library(write(tmp_path, solutions=[]))


def test_a_shops_own_rows_come_besides(tmp_path):
    own = tmp_path / "own.jsonl"
    row = SOLUTION | {"id": "own-1", "kind": "solution", "text": "今天拍下{date}发。"}
    own.write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")
    assert [script.id for script in load_library(write(tmp_path), own=own).by_category["ship_time"]] == [
        "ship_time-01",
        "own-1",
    ]
    own.write_text(json.dumps(SOLUTION | {"id": "own-2"}, ensure_ascii=False), encoding="utf-8")
    with pytest.raises(ValueError, match=r"own\.jsonl:1: kind"):
        load_library(tmp_path, own=own)


def test_slots_are_named_once_and_in_order():
    assert slots_of("{days}天，{order_id}，{days}") == ("days", "order_id")
    assert len(SLOTS) == 26
    assert len(CONDITIONS) == 21
    assert all(len(steps) == 4 for steps in STEPS.values())
