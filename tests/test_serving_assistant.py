"""Help for the agent without a server: the deadline, what is known of the order, a shop's own places."""

from __future__ import annotations

import asyncio
import shutil
import threading
from pathlib import Path

import pytest

from serving.assist import Assistant, _conditions
from serving.desk import DeskSettings, Shelves
from serving.operations import DeskError, NotHereError

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def assistant():
    made = Assistant(engine=None, desk=lambda champion: None)
    yield made
    made.close()


def until(assistant, work, seconds):
    return asyncio.run(assistant._until(work, list(work), seconds))


def test_a_slow_room_is_left_out_and_named(assistant):
    gate = threading.Event()
    work = {"scripts": lambda: gate.wait(20), "graph": lambda: "the path"}
    try:
        found, parts = until(assistant, work, 0.2)
    finally:
        gate.set()
    assert found == {"graph": "the path"}
    slow, quick = parts
    assert (slow.part, slow.state, slow.took_ms) == ("scripts", "late", None)
    assert "200 ms" in slow.reason
    assert (quick.part, quick.state) == ("graph", "done")
    assert quick.took_ms >= 0


def test_a_room_that_fails_takes_no_other_with_it(assistant):
    def broken():
        raise OSError("the file is damaged")

    def missing():
        raise NotHereError("there is no knowledge base")

    found, parts = until(assistant, {"scripts": broken, "knowledge": missing, "graph": lambda: 1}, 10)
    assert found == {"graph": 1}
    assert [(part.state, part.reason) for part in parts[:2]] == [
        ("failed", "the file is damaged"),
        ("off", "there is no knowledge base"),
    ]


@pytest.mark.parametrize(
    ("known", "told", "expected"),
    [
        ({}, None, None),
        ({"days_since_signed": 3.0}, None, ["signed", "within_7_days"]),
        ({"days_since_signed": 9.0}, None, ["signed", "over_7_days"]),
        ({"days_since_signed": 3.0, "custom_made": True}, None, ["custom_made", "signed"]),
        ({"opened": False}, None, ["unopened"]),
        ({"opened": False}, ["opened"], ["opened"]),
        ({"days_since_signed": 3.0}, ["over_7_days"], ["over_7_days", "signed"]),
    ],
)
def test_the_desk_outranks_the_customer_and_an_exception_the_period(known, told, expected):
    assert _conditions(known, told) == expected


def test_a_shop_has_its_own_rules_and_routing(tmp_path, monkeypatch):
    tables, routing = tmp_path / "tables", tmp_path / "routing.yaml"
    shutil.copytree(ROOT / "data" / "shop_graph", tables)
    products = tables / "products.csv"
    words = products.read_text(encoding="utf-8").replace("晨雾保温杯480毫升", "山岚保温杯480毫升")
    products.write_text(words, encoding="utf-8")
    rules = (ROOT / "data" / "routing.yaml").read_text(encoding="utf-8")
    routing.write_text(rules.replace("version: 2", "version: 41", 1), encoding="utf-8")
    monkeypatch.setenv("KEFU_GRAPH", str(tables))
    monkeypatch.setenv("KEFU_ROUTING", str(routing))
    monkeypatch.setenv("KEFU_REPLIES", str(tmp_path / "replies.sqlite"))
    shelves = Shelves()
    assert [mention.id for mention in shelves.graph.link("山岚保温杯480毫升多少钱")] == ["cup_mist"]
    assert shelves.triage.rules.version == 41
    plain = Shelves(DeskSettings(replies=tmp_path / "other.sqlite"))
    assert plain.triage.rules.version == 2
    assert "cup_mist" not in [mention.id for mention in plain.graph.link("山岚保温杯480毫升多少钱")]


@pytest.mark.parametrize(
    ("variable", "file", "text", "named"),
    [
        ("KEFU_ROUTING", "routing.yaml", "version: 2\npriority: 7\n", "routing.yaml"),
        ("KEFU_SCRIPTS", "own.jsonl", '{"id": "x", "kind": "solution"}\n', r"own\.jsonl:1"),
    ],
)
def test_a_wrong_file_of_the_shop_is_named(tmp_path, monkeypatch, variable, file, text, named):
    (tmp_path / file).write_text(text, encoding="utf-8")
    monkeypatch.setenv(variable, str(tmp_path / file))
    monkeypatch.setenv("KEFU_REPLIES", str(tmp_path / "replies.sqlite"))
    with pytest.raises(DeskError, match=named):
        Shelves()
