"""Standards, scores, requests, the summary of a log, and the planted conversations."""

from __future__ import annotations

import json
import time
from copy import deepcopy
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from assist.inspection.inspector import Inspector
from assist.inspection.log import FEWEST, inspect_file, inspect_log, masked, read_requests, summarise
from assist.inspection.schema import InspectRequest, InspectTurn, request_of
from assist.inspection.standards import DEFAULT_PATH, StandardsError, load_standards, parse_standards
from assist.inspection.view import plain
from data.chats import read_chats
from experiments.inspection_quality import quality, read_planted, shop_check

RAW = yaml.safe_load(DEFAULT_PATH.read_text(encoding="utf-8"))


def changed(**parts):
    raw = deepcopy(RAW)
    raw.update(parts)
    return raw


@pytest.fixture(scope="module")
def planted():
    return read_planted()


@pytest.fixture(scope="module")
def judged(planted):
    return Inspector(knowledge=shop_check()).inspect_many([one.request for one in planted])


def test_the_embedded_standards_are_complete():
    standards = load_standards()
    assert standards.version >= 1
    assert len(standards.dimensions) == 4
    assert len(standards.indicators) == 17
    assert standards.limit("first_response", "seconds") == 30
    assert standards.limit("average_response", "seconds") == 120
    assert standards.limit("handling_time", "minutes") == 8
    assert standards.silence == 1800


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ([], "standards: expected an object"),
        (changed(version="1"), "version: expected a whole number"),
        (changed(extra=1), "standards: extra: is unknown"),
        (changed(penalties={"minor": 0.3, "major": 2, "critical": 1}), r"penalties.major: expected a number"),
        (changed(red_line={"indicators": ["rudeness"], "cap": 5}), "'rudeness' is no indicator"),
        (changed(dimensions=[]), "dimensions: expected a list"),
        (changed(dimensions=[RAW["dimensions"][0]] * 2), r"dimensions\[1\]: key: 'attitude' occurs twice"),
        (changed(words=RAW["words"] | {"polite": ["("]}), "words.polite: is no regular expression"),
        (
            changed(words={key: RAW["words"][key] for key in RAW["words"] if key != "away"}),
            "words.away: is missing",
        ),
        (changed(topics={"size": "["}), "topics.size: is no regular expression"),
        (changed(given=[{"key": "a"}]), r"given\[0\]: asked: expected a text"),
        (changed(silence_minutes=0), "silence_minutes: expected a number from 1"),
    ],
)
def test_wrong_standards_are_refused_with_the_field(raw, message):
    with pytest.raises(StandardsError, match=message):
        parse_standards(raw)


def test_wrong_limits_name_the_indicator():
    raw = deepcopy(RAW)
    raw["dimensions"][3]["indicators"][0]["limits"] = {"second": 30}
    with pytest.raises(StandardsError, match=r"dimensions\[3\].indicators\[0\]: limits: second: is unknown"):
        parse_standards(raw)
    raw["dimensions"][3]["indicators"][0]["limits"] = {}
    with pytest.raises(StandardsError, match=r"limits.seconds: expected a number from 1 to 86400, got None"):
        parse_standards(raw)


def test_a_shops_own_standards(tmp_path, monkeypatch):
    raw = deepcopy(RAW)
    raw["version"] = 7
    raw["dimensions"] = [raw["dimensions"][3]]
    raw["dimensions"][0]["indicators"][0]["limits"]["seconds"] = 5
    raw["red_line"] = {"indicators": [], "cap": 100}
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(raw, allow_unicode=True), encoding="utf-8")
    monkeypatch.setenv("KEFU_STANDARDS", str(path))
    turns = [
        {"role": "customer", "text": "在吗", "sent_at": "2026-11-05T09:00:00+08:00"},
        {"role": "agent", "text": "闭嘴", "sent_at": "2026-11-05T09:00:10+08:00"},
    ]
    inspection = Inspector().inspect(InspectRequest.model_validate({"turns": turns}))
    assert inspection.standards == 7
    assert [one.indicator for one in inspection.findings] == ["first_response"]
    with pytest.raises(StandardsError, match=r"nowhere.yaml"):
        load_standards(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([{"role": "customer", "text": "在吗"}], "need at least one turn of the agent"),
        ([{"role": "agent", "text": "  "}], "must not be empty"),
        ([{"role": "robot", "text": "在"}], "role"),
        ([{"role": "agent", "text": "在", "sent_at": "yesterday"}], "expected a time as"),
        ([{"role": "agent", "text": "在", "sent_at": "2026-11-05T09:00:00"}], "has no offset"),
        (
            [
                {"role": "agent", "text": "在", "sent_at": "2026-11-05T09:00:00+08:00"},
                {"role": "agent", "text": "在"},
            ],
            r"turns\[1\].sent_at: is missing",
        ),
        (
            [
                {"role": "agent", "text": "在", "sent_at": "2026-11-05T09:00:00+08:00"},
                {"role": "agent", "text": "在", "sent_at": "2026-11-05T08:00:00+08:00"},
            ],
            r"turns\[1\].sent_at: is before",
        ),
        ([{"role": "agent", "text": "在", "mood": 1}], "Extra inputs"),
        ([], "at least 1 item"),
    ],
)
def test_wrong_requests_are_refused(turns, message):
    with pytest.raises(ValidationError, match=message):
        InspectRequest.model_validate({"turns": turns})


def test_scores_leave_out_what_was_not_judged():
    turns = [InspectTurn(role="customer", text="有货吗"), InspectTurn(role="agent", text="您好，有的")]
    inspection = Inspector().inspect(InspectRequest(turns=turns))
    assert inspection.score == 100
    named = {row.indicator for part in inspection.dimensions for row in part.indicators if row.score is None}
    assert named == set(inspection.not_judged)
    assert all(inspection.not_judged.values())


def test_findings_quote_the_conversation(planted, judged):
    for one, inspection in zip(planted, judged, strict=True):
        for finding in inspection.findings:
            text = one.request.turns[finding.turn].text
            assert finding.words == text[finding.start : finding.end]
            assert finding.reason
            assert finding.advice
        assert 0 <= inspection.score <= 100
        if inspection.red_line:
            assert inspection.score <= 59


def test_a_reader_that_answers_too_few_is_named():
    turns = [InspectTurn(role="customer", text="有货吗"), InspectTurn(role="agent", text="有的")]
    with pytest.raises(ValueError, match="read_emotion: answered 1 of 2 texts"):
        Inspector(read_emotion=lambda texts: [{"neutral": 1.0}]).inspect(InspectRequest(turns=turns))


def test_planted_file_is_sound(planted):
    assert len(planted) >= 120
    assert abs(sum(one.held_out for one in planted) * 2 - len(planted)) <= 1
    known = set(load_standards().indicators)
    rows = [json.loads(line) for line in
            (DEFAULT_PATH.parent / "planted.jsonl").read_text(encoding="utf-8").splitlines()]  # fmt: skip
    for half in (0, 1):
        faults = {
            fault["indicator"]
            for place, row in enumerate(rows)
            if place % 2 == half
            for fault in row["faults"]
        }
        assert faults == known
    for row in rows:
        for fault in row["faults"]:
            assert fault["words"] in row["turns"][fault["turn"]]["text"]
            assert fault["note"]
        assert not set(row["clean_for"]) & {fault["indicator"] for fault in row["faults"]}


def test_rules_without_models_still_find_most_planted_faults(planted, judged):
    modelled = {"friendliness", "soothing", "script", "effectiveness"}
    rules = [key for key in load_standards().indicators if key not in modelled]
    for half in (False, True):
        places = [place for place, one in enumerate(planted) if one.held_out == half]
        rows = quality([planted[at] for at in places], [judged[at] for at in places], rules)
        assert rows[-1].indicator == "all"
        assert rows[-1].recall > 0.8
        assert rows[-1].precision > 0.75
        timed = {row.indicator: row for row in rows}
        for key in ("first_response", "average_response", "handling_time"):
            assert (timed[key].precision, timed[key].recall) == (1, 1)


def test_quality_counts(planted, judged):
    one = next(
        place for place, chat in enumerate(planted) if not chat.faults and judged[place].findings == []
    )
    [row, _] = quality([planted[one]], [judged[one]], ["accuracy"])
    assert (row.planted, row.found, row.false, row.missed) == (0, 0, 0, 0)
    assert row.precision is None


def test_summary_ranks_accounts_with_enough_chats(judged):
    summary = summarise(judged)
    assert summary.chats == len(judged)
    ranked = [one for one in summary.agents if one.rank]
    assert [one.rank for one in ranked] == list(range(1, len(ranked) + 1))
    assert [one.score for one in ranked] == sorted((one.score for one in ranked), reverse=True)
    assert ranked[0].agent == "kefu-01"
    assert ranked[-1].agent == "kefu-06"
    assert ranked[0].low <= ranked[0].score <= ranked[0].high
    by_id = {one.id: one for one in judged}
    assert ranked[0].best
    assert all(not by_id[key].findings for one in ranked for key in one.best)
    few = summarise(judged[: FEWEST - 1])
    assert all(one.rank is None and one.low is None for one in few.agents)
    with pytest.raises(ValueError, match="inspections: there are none"):
        summarise([])
    with pytest.raises(ValueError, match="requests: there are no conversations"):
        inspect_log(Inspector(), [])


def test_the_demo_shops_log_can_be_inspected():
    requests = [request_of(chat, labels=True) for chat in read_chats()]
    inspections, summary = inspect_log(Inspector(), requests)
    assert len(inspections) == 88
    assert {one.agent for one in summary.agents} == {"kefu-01", "kefu-02", "kefu-03"}
    assert summary.agents[-1].agent == "kefu-02"  # slow, points to rules


def test_a_file_is_inspected_and_masked(tmp_path):
    log = tmp_path / "log.jsonl"
    rows = [
        {"id": "a", "messages": [{"role": "customer", "text": "在吗"},
                                 {"role": "agent", "text": "闭嘴，打13812345678去"}]},
        {"id": "b", "messages": [{"role": "customer", "text": "没人吗"}]},
    ]  # fmt: skip
    log.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    summary = inspect_file(log, tmp_path / "out")
    assert summary.chats == 1
    text = (tmp_path / "out" / "inspections.jsonl").read_text(encoding="utf-8")
    assert "13812345678" not in text
    assert json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))["chats"] == 1
    inspection = Inspector().inspect(read_requests(log)[0])
    finding = inspection.findings[0].model_copy(update={"words": "打13812345678"})
    assert masked(inspection.model_copy(update={"findings": [finding]})).findings[0].words == "打[手机]"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "a"}', r"log.jsonl:1: turns: expected a list"),
        ('{"turns": [{"role": "agent", "text": ""}]}', r"log.jsonl:1: text"),
        ('{"turns": [{"role": "customer", "text": "在"}]}', "holds no conversation"),
    ],
)
def test_wrong_files_are_refused(tmp_path, line, message):
    log = tmp_path / "log.jsonl"
    log.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        inspect_file(log, tmp_path / "out")
    assert not Path(tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["您好！ＡＢＣ，繁體字㎏…🙂", "", "İstanbul", "①②㍿"])
def test_plain_texts_keep_positions(text):
    assert len(plain(text)) == len(text)


@pytest.mark.parametrize(
    "text", ["嗯" * 4990 + "x", "亲" * 4990 + "x", "一" * 5000, "1" * 5000, "今天明天10分钟3点前" * 400]
)
def test_long_odd_texts_take_no_time(text):
    turns = [
        {
            "role": ("customer", "agent")[place % 2],
            "text": text,
            "sent_at": f"2026-11-05T09:00:0{place}+08:00",
        }
        for place in range(4)
    ]
    inspector = Inspector(knowledge=shop_check())
    start = time.process_time()
    inspector.inspect(InspectRequest.model_validate({"turns": turns}))
    assert time.process_time() - start < 3
