from __future__ import annotations

import json

import pytest

from data.example import read_examples
from labeling.convert import main, read_export


def task(identity, category=None):
    choices = [("category", category), ("emotion", "neutral")]
    result = [
        {"from_name": name, "to_name": "chat", "type": "choices", "value": {"choices": [label]}}
        for name, label in choices
    ]
    answer = {"id": identity, "completed_by": 1, "created_at": "2026-11-01T08:00:00Z", "result": result}
    return {"id": identity, "data": {"text": "还没到"}, "annotations": [answer] if category else []}


def test_the_stage_writes_what_the_pipeline_reads(tmp_path, capsys):
    export = tmp_path / "export.json"
    export.write_text(json.dumps([task(1, "greeting"), task(2)]), encoding="utf-8")
    main(["--export", str(export), "--output", str(tmp_path / "e.jsonl")])
    assert len(read_examples(tmp_path / "e.jsonl")) == 1
    assert "task 2" in capsys.readouterr().err
    export.write_text(json.dumps([task(1, "hello")]), encoding="utf-8")
    with pytest.raises(ValueError, match="'hello' is not in the label schema"):
        main(["--export", str(export), "--output", str(tmp_path / "x.jsonl")])
    assert not (tmp_path / "x.jsonl").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [("{}", "expected a list"), ("[", "not JSON"), ("[{}]", "task 0: expected an object")],
)
def test_a_file_that_is_no_export_is_named(tmp_path, text, message):
    path = tmp_path / "export.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as caught:
        read_export(path)
    assert str(path) in str(caught.value)
