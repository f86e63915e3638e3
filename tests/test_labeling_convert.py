from __future__ import annotations

import json

import pytest

from data.example import Turn, read_examples
from labeling.convert import convert, main


def annotation(category, emotion, person=1, **more):
    result = [
        {"from_name": name, "to_name": "chat", "type": "choices", "value": {"choices": [label]}}
        for name, label in (("category", category), ("emotion", emotion))
        if label
    ]
    return {"completed_by": person, "result": result, **more}


def task(identity, *annotations, **data):
    return {"id": identity, "data": {"text": "还没到", **data}, "annotations": list(annotations)}


def test_a_labelled_task_becomes_an_example():
    context = [{"role": "agent", "text": "已发货"}]
    made = convert([task(7, annotation("urge_delivery", "anxious"), context=context, conversation="c1")])
    (example,) = made.examples
    assert (example.id, example.category, example.emotion) == ("ls-7", "urge_delivery", "anxious")
    assert example.context == (Turn("agent", "已发货"),)
    assert (example.author, example.conversation) == ("annotator-1", "c1")


def test_majority_cancelled_and_both_shapes_of_annotator():
    made = convert(
        [
            task(
                1,
                annotation("urge_delivery", "anxious", {"id": 1, "email": "a@example.com"}),
                annotation("urge_delivery", "neutral", 2),
                annotation("logistics_query", "neutral", 3),
                annotation("greeting", "angry", 4, was_cancelled=True),
            )
        ]
    )
    (example,) = made.examples
    assert (example.category, example.emotion, example.author) == ("urge_delivery", "neutral", "several")


def test_ties_and_missing_labels_are_listed():
    made = convert(
        [
            task(1, annotation("greeting", "neutral", 1), annotation("human_agent", "neutral", 2)),
            task(2),
            task(3, annotation("greeting", None)),
        ]
    )
    assert not made.examples
    assert made.left_out == [
        "task 1: category: annotators disagree evenly",
        "task 2: category: has no answer",
        "task 3: emotion: has no answer",
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [([{"id": 1}], "task 0"), ([{"id": 5, "data": {"text": ""}}], "task 5: data.text"), ([3], "task 0")],
)
def test_other_shapes_are_named(value, message):
    with pytest.raises(ValueError, match=message):
        convert(value)


def test_the_stage_writes_what_the_pipeline_reads(tmp_path, capsys):
    export = tmp_path / "export.json"
    export.write_text(json.dumps([task(1, annotation("greeting", "neutral")), task(2)]), encoding="utf-8")
    main(["--export", str(export), "--output", str(tmp_path / "e.jsonl")])
    assert len(read_examples(tmp_path / "e.jsonl")) == 1
    assert "task 2" in capsys.readouterr().err
    export.write_text(json.dumps([task(1, annotation("hello", "neutral"))]), encoding="utf-8")
    with pytest.raises(ValueError, match="'hello' is not in the schema"):
        main(["--export", str(export), "--output", str(tmp_path / "x.jsonl")])
    assert not (tmp_path / "x.jsonl").exists()
