"""The measuring of the knowledge base: ranks, sections, refusals."""

from __future__ import annotations

import json

import pytest

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
