"""The clinic with out-of-fold opinions: a project's answers beside the corpus, and too few labels."""

from __future__ import annotations

import json

import numpy as np
import pytest

from experiments.label_clinic import examine_labels, main
from labeling.task import parse_task


def exported(number, text, answers):
    """A task as Label Studio exports it, answered by several people."""
    annotations = [
        {
            "id": 10 * number + person,
            "completed_by": person,
            "created_at": "2026-11-02T08:00:00Z",
            "result": [
                {"from_name": "category", "type": "choices", "value": {"choices": [category]}},
                {"from_name": "emotion", "type": "choices", "value": {"choices": ["neutral"]}},
            ],
        }
        for person, category in enumerate(answers)
    ]
    return {"id": number, "project": 1, "data": {"text": text}, "annotations": annotations}


def test_too_few_labels_leave_peoples_answers(taxonomy, tmp_path, capsys):
    raw = [exported(number, f"发货{number}", ["ship_time", "urge_shipping"]) for number in range(30)]
    raw += [exported(30 + n, f"券{n}", ["coupon", "coupon"]) for n in range(60)]
    report = examine_labels([parse_task(one) for one in raw], taxonomy)
    assert [(one.kind, one.categories) for one in report.suggestions] == [
        ("clarify", ("ship_time", "urge_shipping"))
    ]
    assert report.with_model == 0
    assert any("无法训练模型" in note for note in report.notes)
    (tmp_path / "tasks.json").write_text(json.dumps(raw), encoding="utf-8")
    main(["--tasks", str(tmp_path / "tasks.json"), "--output", str(tmp_path / "clinic")])
    assert "ship_time" in (tmp_path / "clinic" / "clinic.html").read_text(encoding="utf-8")
    assert "clarify" in capsys.readouterr().out
    (tmp_path / "tasks.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ValueError, match="expected a list of tasks"):
        main(["--tasks", str(tmp_path / "tasks.json")])


@pytest.mark.slow
def test_a_category_torn_in_two_comes_back_together(few, taxonomy, tmp_path, monkeypatch):
    """People throw coins between size_recommendation and a second name for it; so must every model."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    raw, beside = [], []
    for number, row in enumerate(few):
        if row.context:
            continue
        if row.category == "size_recommendation" or number % 2:
            names = [row.category] * 3
            if row.category == "size_recommendation":
                names = [str(rng.choice(["size_recommendation", "suitability"])) for _ in range(3)]
            raw.append(exported(number, row.text, names))
        else:
            beside.append(row)
    report = examine_labels([parse_task(one) for one in raw], taxonomy, beside)
    assert report.with_model > 300
    assert [(one.kind, set(one.categories)) for one in report.suggestions] == [
        ("merge", {"size_recommendation", "suitability"})
    ]
