"""Figures on any labelled file; and the rows kept apart from the corpus stay apart."""

import json
from pathlib import Path

import pytest

from data.checks import CheckConfig, check_examples
from data.example import Example, read_examples, write_examples
from data.text import normalise
from experiments.measure import main, measure
from serving.exported import ExportedModel

FRESH = Path(__file__).resolve().parent.parent / "data" / "fresh_hands" / "examples.jsonl"


def test_figures_of_any_file(exported, few, tmp_path, capsys):
    write_examples(tmp_path / "e.jsonl", few[:40])
    main([str(tmp_path / "e.jsonl"), "--exported", str(exported), "--output", str(tmp_path / "f.json")])
    figures = json.loads((tmp_path / "f.json").read_text(encoding="utf-8"))
    assert set(figures) == {*(row.author for row in few[:40]), "all"}
    assert figures["all"]["category_rows"] == 40
    assert 0 <= figures["all"]["red_recall"] <= 1
    assert "category_accuracy" in capsys.readouterr().out


def test_red_counts_anger_and_the_wish_to_escalate(exported):
    texts = {"angry": "我要打12315", "neutral": "几天到", "dissatisfied": "去法院起诉你们"}
    rows = [Example(key, text, "greeting", key, "lin") for key, text in texts.items()]
    figures = measure(ExportedModel(exported), rows)
    assert figures["red_recall"] == 1.0
    assert figures["red_false_rate"] >= 0.5
    with pytest.raises(ValueError, match="gift"):
        measure(ExportedModel(exported), [Example("1", "礼物", "gift", "neutral", "lin")])


def test_fresh_hands_are_no_part_of_the_corpus(corpus, taxonomy):
    fresh = read_examples(FRESH)
    known = {normalise(row.text) for row in corpus if not row.context}
    assert not [row.id for row in fresh if not row.context and normalise(row.text) in known]
    assert not {row.author for row in fresh} & {row.author for row in corpus}
    anything = CheckConfig(0, 0, 0, 0, 0, 0, 0, max_template_share=1)
    assert check_examples(fresh, taxonomy, anything) == []
    assert {row.category for row in fresh} == set(taxonomy.category)
