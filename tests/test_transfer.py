"""Another scheme's labels in our categories: the mapping, the figures, and what stays on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from data.example import Example, Turn
from data.taxonomy import load_taxonomy
from experiments.transfer import load_mapping, page, transfer

ROOT = Path(__file__).resolve().parent.parent
LABELS = ["refund_progress", "order_cancel", "greeting", "coupon"]
MAPPING = {"退款周期": ["refund_progress"], "取消": ["order_cancel", "coupon"]}
PHONE = "13812345678"


def row(number, text, intent, context=()):
    return Example(
        id=str(number), text=text, category=intent, emotion="none", author="public", context=context
    )


class Model:
    """Answers by a table: text to probabilities."""

    labels = {"category": LABELS}  # noqa: RUF012
    calibration = {"category": {"abstain_below": 0.5}}  # noqa: RUF012
    table = {  # noqa: RUF012
        "钱呢": [0.9, 0.05, 0.03, 0.02],
        "取消": [0.1, 0.2, 0.3, 0.4],
        f"我的号码{PHONE}": [0.05, 0.05, 0.85, 0.05],
    }

    def probabilities(self, messages):
        return {"category": np.array([self.table[text] for text, _ in messages])}


ROWS = [
    row(1, "钱呢", "退款周期"),
    row(2, "取消", "取消", (Turn(role="agent", text="您好"),)),
    row(3, f"我的号码{PHONE}", "取消"),
    row(4, f"我的号码{PHONE}", "取消"),
    row(5, "钱呢", "没有对应"),
]


def test_agreement_is_counted_over_mapped_intents():
    figures, _ = transfer(Model(), ROWS, MAPPING, progress=False)
    assert (figures["rows"], figures["mapped"], figures["intents"]) == (5, 4, 2)
    assert figures["agreement"]["value"] == 0.5
    assert figures["agreement_top3"]["value"] == 1.0
    assert figures["answered"]["value"] == 0.75
    assert figures["agreement_of_answered"]["value"] == pytest.approx(1 / 3)
    assert figures["agreement_with_context"]["value"] == 1.0
    assert figures["agreement"]["low"] < 0.5 < figures["agreement"]["high"]
    first = figures["by_intent"][0]
    assert first == {
        "intent": "取消", "rows": 3, "agreement": pytest.approx(1 / 3), "answered": pytest.approx(2 / 3),
        "instead": ["greeting"],
    }  # fmt: skip


def test_missed_messages_are_masked_and_never_on_the_page():
    figures, missed = transfer(Model(), ROWS, MAPPING, progress=False)
    assert [(one["times"], one["abstained"]) for one in missed] == [(2, False), (1, True)]
    assert PHONE not in json.dumps(missed, ensure_ascii=False)
    told = page(figures)
    assert "| 取消 | 3 | 33 % | 67 % | `greeting` |" in told
    assert all(text not in told for text in ("钱呢", PHONE, "我的号码"))


def test_rows_without_a_mapped_intent_are_refused():
    with pytest.raises(ValueError, match="intent of the mapping"):
        transfer(Model(), ROWS[-1:], MAPPING, progress=False)


def test_the_mapping_names_categories_of_the_schema(tmp_path):
    categories = [category.key for category in load_taxonomy().categories]
    assert len(load_mapping(categories)) > 90
    wrong = tmp_path / "mapping.yaml"
    for text in ("取消: [order_cancell]\n", "取消: order_cancel\n", "取消: []\n"):
        wrong.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match="取消"):
            load_mapping(categories, wrong)


def test_the_page_of_the_project_holds_the_stored_figures():
    figures = json.loads((ROOT / "benchmarks/transfer.json").read_text(encoding="utf-8"))
    assert (ROOT / "docs/transfer.md").read_text(encoding="utf-8").startswith(page(figures))
    assert figures["mapped"] > 2000
