"""The measuring commands of the inspection: lower bound, real sessions, picture."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from assist.inspection.inspector import Inspector
from assist.inspection.standards import load_standards, parse_standards
from benchmarks.inspection import FILE, read_sessions, throughput
from experiments.inspection_picture import draw_quality
from experiments.inspection_quality import answers, read_planted, struck

ROOT = Path(__file__).resolve().parent.parent


def test_wordings_that_only_held_out_chats_have_are_struck():
    planted = read_planted()
    raw, count = struck(planted)
    kept = parse_standards(raw)
    assert count > 0
    before = load_standards().words
    assert sum(len(one.pattern) for one in kept.words.values()) < sum(
        len(one.pattern) for one in before.values()
    )
    # What the tuned half has stays.
    tuned = [turn.text for one in planted if not one.held_out for turn in one.request.turns]
    assert all(kept.words["polite"].search(text) for text in tuned if before["polite"].search(text))


def test_single_answers_are_told_apart():
    counts = answers()
    wrong = {key: count for key, count in counts.items() if key.split(" -> ")[0] != key.split(" -> ")[1]}
    assert counts["contradiction -> contradiction"] >= 30
    assert counts["support -> support"] >= 40
    # It may say nothing, but it must not accuse.
    assert not wrong.get("support -> contradiction", 0)
    assert not wrong.get("unknown -> contradiction", 0)


def test_the_measured_figures_are_the_ones_that_are_drawn():
    figures = json.loads((ROOT / "docs" / "inspection.json").read_text(encoding="utf-8"))["quality"]
    assert figures["tuned"]["chats"] + figures["held_out"]["chats"] == len(read_planted())
    assert figures["standards"] == load_standards().version
    assert draw_quality(figures).png.startswith(b"\x89PNG")


def test_real_sessions_are_inspected_without_times():
    folder = Path(os.environ.get("KEFU_DATASETS", "../shared/datasets"))
    if not (folder / FILE).is_file():
        pytest.skip(f"{folder / FILE} is not there; set KEFU_DATASETS")
    requests = read_sessions(folder / FILE, most=40)
    assert len(requests) == 40
    shown = throughput(Inspector(), requests, 1)
    assert shown["conversations_per_second"] > 5
    assert shown["not_judged"]["first_response"] == 40
    assert 0 < shown["mean_score"] <= 100
