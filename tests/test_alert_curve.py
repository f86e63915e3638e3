"""The cost curve of red alerts, by hand; and the policy's own threshold."""

import json

import pytest
import yaml

from data.example import Example, write_examples
from experiments.alert_curve import alert_curve, main, read_answers
from serving.policy import DEFAULT_PATH, AlertPolicy, PolicyError


def turn(key, chat, text="这个怎么回事", emotion="neutral", category="quality_issue"):
    return Example(key, text, category, emotion, "lin", conversation=chat)


def answer(taxonomy, angry):
    others = [key for key in taxonomy.emotion if key != "angry"]
    return {
        "emotion": {**dict.fromkeys(others, (1 - angry) / len(others)), "angry": angry},
        "category": {"quality_issue": 1.0},
    }


@pytest.fixture
def raw():
    return yaml.safe_load(DEFAULT_PATH.read_text(encoding="utf-8"))


@pytest.fixture
def rows():
    return [
        turn("a1", "a"),
        turn("a2", "a", emotion="angry"),
        turn("b1", "b"),
        turn("c1", "c", text="我要打12315", emotion="angry"),
        turn("d1", "d", emotion="angry"),
        turn("s1", None),
    ]


def test_curve_by_hand(rows, raw, taxonomy):
    sure = {"a1": 0.0, "a2": 0.6, "b1": 0.3, "c1": 0.0, "d1": 0.1, "s1": 0.7}
    answers = {key: answer(taxonomy, p) for key, p in sure.items()}
    low, high = alert_curve(rows, answers, raw, taxonomy, thresholds=(0.25, 0.5))
    # 0.25: chats a, b (false) and c (its wording); d is missed.
    assert low.alerts_per_1000_chats == pytest.approx(750)
    assert low.missed_angry_customers == pytest.approx(1 / 3)
    assert low.false_alerts == pytest.approx(1 / 3)
    assert low.message_recall == pytest.approx(2 / 3)
    assert low.message_false_rate == pytest.approx(2 / 3)
    assert high.alerts_per_1000_chats == pytest.approx(500)
    assert high.false_alerts == 0
    assert high.message_false_rate == pytest.approx(1 / 3)


def test_it_needs_angry_customers(raw, taxonomy):
    with pytest.raises(ValueError, match="angry customers"):
        alert_curve([turn("a1", "a")], {"a1": answer(taxonomy, 0.1)}, raw, taxonomy)


def test_command_draws_the_curve(tmp_path, rows, taxonomy, capsys):
    write_examples(tmp_path / "e.jsonl", rows)
    kept = [{"id": row.id, **answer(taxonomy, 0.4)} for row in rows]
    (tmp_path / "whole-0-of-1.json").write_text(json.dumps({"answers": kept}), encoding="utf-8")
    main([str(tmp_path), "--examples", str(tmp_path / "e.jsonl"), "--output", str(tmp_path / "out")])
    assert (tmp_path / "out" / "alerts.png").stat().st_size > 10_000
    assert len(json.loads((tmp_path / "out" / "alerts.json").read_text(encoding="utf-8"))) == 45
    assert "0.40" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match="held_out"):
        read_answers(tmp_path / "out")


def test_the_policy_may_name_its_threshold(raw, taxonomy):
    scores = answer(taxonomy, 0.4)
    named = AlertPolicy({**raw, "red_above": 0.3}, taxonomy)
    assert named.alert("这个怎么回事", scores, 0.5).level == 3
    stored = AlertPolicy({**raw, "red_above": "model"}, taxonomy)
    assert stored.alert("这个怎么回事", scores, 0.5).level == 2
    assert stored.alert("这个怎么回事", scores, 0.3).level == 3
    for wrong in (0, "high", 1.5):
        with pytest.raises(PolicyError, match="red_above"):
            AlertPolicy({**raw, "red_above": wrong}, taxonomy)
