"""The measuring of the knowledge base: ranks, sections, refusals."""

from __future__ import annotations

import json

import pytest

from experiments.knowledge_guards import changes
from experiments.knowledge_guards import main as measure_guards
from experiments.knowledge_recall import Asked, evaluate, main, read_questions

ASKED = [
    Asked("一", (("a", "运费"),), "policy", "2026-11-23"),
    Asked("二", (("b", None), ("a", "退货政策 > 运费")), "policy", "2026-11-23"),
    Asked("三", (), "policy", "2026-11-23"),
]


def test_ranks_are_of_the_right_sections():
    found = {
        "一": ([("a", "退货政策 > 谁出运费"), ("a", "退货政策 > 运费")], True),
        "二": ([("c", "x"), ("c", "y"), ("a", "退货政策 > 运费")], False),
        "三": ([("a", "退货政策 > 运费")], False),
    }
    figures = evaluate(ASKED, lambda one: found[one.question], {"a", "b", "c"})
    assert figures["recall@1"] == 0
    assert figures["recall@5"] == 1
    assert figures["mrr"] == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert (figures["answered"], figures["declined"]) == (0.5, 1.0)


def test_an_unknown_document_is_named():
    with pytest.raises(ValueError, match=r"\['b'\] of '二' are not in the base"):
        evaluate(ASKED, lambda one: ([], False), {"a"})


def test_a_wrong_line_is_named(tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text('{"question": "一"}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"questions\.jsonl:1: expected question"):
        read_questions(path)


def test_ours_is_better_than_plain_bm25_on_the_development_questions(tmp_path, capsys):
    output = tmp_path / "figures.json"
    main(["--questions", "data/shop_knowledge/development.jsonl", "--no-dense", "--output", str(output)])
    methods = json.loads(output.read_text(encoding="utf-8"))["methods"]
    assert methods["ours, lexical"]["recall@5"] >= 0.95
    assert methods["ours, lexical"]["mrr"] > methods["plain BM25"]["mrr"] + 0.05
    assert "ours, lexical" in capsys.readouterr().out


def test_changes_make_true_sentences_false():
    assert changes("签收后 7 天内可以退货。") == {
        "another number": "签收后 15 天内可以退货。",
        "negation put in": "签收后 7 天内不可以退货。",
    }
    assert changes("杯身不能进洗碗机。") == {"negation taken out": "杯身可以进洗碗机。"}
    assert changes("看锁扣有没有打开。") == {}


def test_the_guards_catch_plain_errors_and_spare_true_sentences(tmp_path, capsys):
    output = tmp_path / "figures.json"
    measure_guards(["--output", str(output)])
    figures = json.loads(output.read_text(encoding="utf-8"))
    assert figures.pop("true")["flagged"] <= 0.01
    assert all(row["sentences"] > 50 and row["flagged"] >= 0.95 for row in figures.values())
    assert "another number" in capsys.readouterr().out
