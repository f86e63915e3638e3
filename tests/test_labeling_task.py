"""Tasks and annotations as different versions of Label Studio export them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from data.example import Turn
from labeling.convert import read_export
from labeling.resolve import resolve
from labeling.task import parse_task, task_key


def result(name, *labels):
    return {"from_name": name, "to_name": "chat", "type": "choices", "value": {"choices": list(labels)}}


def annotation(number, *results, person=1, **more):
    made = {"id": number, "completed_by": person, "created_at": "2026-11-01T08:00:00Z", "lead_time": 4.5}
    return {**made, "result": list(results), **more}


def raw(*annotations, **data):
    return {"id": 7, "project": 3, "data": {"text": "还没到", **data}, "annotations": list(annotations)}


def test_a_task_with_its_answers():
    answer = annotation(5, result("category", "urge_delivery"), result("emotion", "anxious"), person=9)
    task = parse_task(
        raw(answer, context=[{"role": "agent", "text": "已发货"}], conversation="c1", source="r-1")
    )
    assert (task.id, task.project, task.conversation, task.source) == (7, 3, "c1", "r-1")
    assert task.context == (Turn("agent", "已发货"),)
    (one,) = task.annotations
    assert (one.id, one.task, one.project, one.annotator) == (5, 7, 3, "annotator-9")
    assert (one.category, one.emotion, one.undecided, one.seconds) == ("urge_delivery", "anxious", False, 4.5)
    assert one.at == datetime(2026, 11, 1, 8, tzinfo=UTC)


def test_cancelled_and_skipped_answers_are_dropped():
    kept = annotation(2, result("category", "greeting"))
    task = parse_task(raw(annotation(1, was_cancelled=True), kept, annotation(3, skipped=True)))
    assert [one.id for one in task.annotations] == [2]


def test_older_and_newer_shapes_of_the_same_answer():
    answer = result("category", "greeting")
    new = parse_task(raw(annotation(1, answer, person={"id": 4, "email": "a@example.com"})))
    old = {"id": 7, "project": {"id": 3}, "data": {"text": "还没到"}}
    old["completions"] = [annotation(1, answer, person=4, created_at=1793520000)]
    older = parse_task(old)
    assert new.annotations[0].annotator == older.annotations[0].annotator == "annotator-4"
    assert new.annotations[0].at == older.annotations[0].at
    assert older.project == 3


def test_a_taxonomy_answer_is_its_last_step():
    path = {"from_name": "category", "type": "taxonomy", "value": {"taxonomy": [["售前", "greeting"]]}}
    assert parse_task(raw(annotation(1, path))).annotations[0].category == "greeting"


def test_the_key_ignores_what_normalisation_ignores():
    context = (Turn("agent", "您好"),)
    assert task_key("还没到！", context) == task_key("还没到!", context)
    assert task_key("还没到", context) != task_key("还没到", ())
    assert task_key("还没到", context) != task_key("还没到", (Turn("customer", "您好"),))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"id": 1}, "task: expected an object"),
        ({"id": 5, "data": {"text": ""}}, r"task 5: data\.text"),
        (3, "task: expected an object"),
        (raw(context="hello"), r"task 7: data\.context"),
        (raw({"id": 1, "result": "x"}), "annotation 1: result"),
        (raw({"result": []}), "annotation: id"),
        (raw(annotation(1, result("category", "a", "b"))), "category: expected one answer"),
        (raw(annotation(1, created_at="yesterday")), "created_at"),
    ],
)
def test_other_shapes_are_named(value, message):
    with pytest.raises(ValueError, match=message):
        parse_task(value)


RECORDED = sorted((Path(__file__).parent / "fixtures" / "label_studio").glob("*.json"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_exports_of_old_and_new_sdks_say_the_same(path, taxonomy):
    """Recorded from Label Studio 1.23.2 by both lines of its SDK: task lists and JSON exports."""
    first, second = read_export(path)
    assert (first.text, first.conversation, first.source) == ("还要多久", "c1", "r-1")
    assert first.context == (Turn("customer", "快递到哪了"), Turn("agent", "亲，到杭州了"))
    assert first.key == task_key(first.text, first.context)
    said = {(one.annotator, one.category, one.emotion, one.seconds) for one in first.annotations}
    assert said == {
        ("annotator-8", "delivery_eta", "neutral", 5.5),
        ("annotator-9", "delivery_eta", "anxious", 4),
    }
    (kept,) = second.annotations  # the other was cancelled
    assert (kept.annotator, kept.undecided, kept.category) == ("annotator-8", True, None)
    resolution = resolve([first, second], taxonomy)
    assert len(resolution.conflicts) == 2


def test_both_sdks_are_recorded():
    assert len(RECORDED) == 4
