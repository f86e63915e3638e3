"""The report of a period made by models: from a log to a folder with page, Excel file and figures."""

from __future__ import annotations

import json
from datetime import date

import pytest

from assist.reports.schema import PeriodReport
from data.chats import DEMO_SHOP, read_chats
from experiments import period_report
from experiments.emotion_reader import as_labelled, read_emotions
from experiments.period_report import (
    behaviours_of,
    inspections_of,
    labelled_figures,
    main,
    readings_of,
    report_of,
    write_report,
)

openpyxl = pytest.importorskip("openpyxl", reason="needs the extra office: pip install 'kefu-lab[office]'")


@pytest.fixture(scope="module")
def read(predictor):
    """The demo log with the emotions that its writer gave, so that figures are known."""
    return as_labelled(read_emotions(read_chats(), predictor), predictor)


def test_readings_are_the_models(read):
    found = readings_of(read)
    assert set(found) == {one.chat.id for one in read}
    for one in read[:20]:
        reading = found[one.chat.id]
        assert tuple(reading.messages) == one.indices
        assert [item.emotion for item in reading.messages.values()] == [
            answer.emotion.label for answer in one.answers
        ]
        assert (reading.trajectory, reading.turned_at) == (one.track.trajectory, one.track.changed_at)


def test_the_demo_log_shows_what_was_written_into_it(read, taxonomy):
    report = report_of(read, taxonomy)
    accounts = {one.name: one.figures for one in report.agents}
    slow = {name: figures["average_answer"].met for name, figures in accounts.items()}
    assert slow == {"kefu-01": True, "kefu-02": False, "kefu-03": True}
    assert accounts["kefu-01"]["satisfaction"].low > accounts["kefu-02"]["satisfaction"].high
    verdicts = {(one.outcome, one.name): one.verdict for one in report.behaviours}
    negative = {one.key for one in taxonomy.emotions if one.polarity == "negative"}
    assert verdicts["calmed", "slow"] == "worse"
    assert report.figure("negative").value == pytest.approx(
        sum(any(turn.emotion in negative for turn in one.chat.turns) for one in read) / len(read)
    )  # fmt: skip


def test_ways_of_answering_are_learnt_up_to_the_end_of_the_period(read, taxonomy):
    first_week = report_of(read, taxonomy, until=date(2026, 11, 11))
    known = [one for one in read if one.chat.began.date() <= date(2026, 11, 11)]
    assert first_week.behaviours == behaviours_of(known)
    assert report_of(read, taxonomy, since=date(2026, 11, 12)).behaviours == behaviours_of(read)


def test_every_chat_is_inspected_with_what_was_read(read, predictor, taxonomy):
    inspections = inspections_of(read[:30], predictor)
    assert [one.id for one in inspections] == [one.chat.id for one in read[:30]]
    report = report_of(read[:30], taxonomy, inspections=inspections)
    assert report.inspection.chats == 30
    friendliness = [
        row for one in inspections for part in one.dimensions for row in part.indicators
        if row.indicator == "friendliness"
    ]  # fmt: skip
    assert any(row.score is not None for row in friendliness)
    assert inspections_of([], predictor) == []


def test_labels_against_themselves_agree(read, predictor):
    rows = labelled_figures(read, predictor)
    assert {row["ends judged alike"] for row in rows} == {"88 of 88"}
    assert all(row["champions"] == row["labels"] for row in rows)


def test_a_report_is_a_folder(predictor, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(period_report, "_champions", lambda: predictor)
    teams = tmp_path / "teams.json"
    teams.write_text('{"kefu-01": "早班", "kefu-02": "晚班"}', encoding="utf-8")
    main(["--output", str(tmp_path / "report"), "--since", "2026-11-12", "--teams", str(teams)])
    paths = capsys.readouterr().out.split()
    assert sorted(path.name for path in (tmp_path / "report").iterdir()) == [
        "report.html", "report.json", "report.xlsx",
    ]  # fmt: skip
    report = PeriodReport.model_validate(json.loads((tmp_path / "report" / "report.json").read_text("utf-8")))
    assert report.chats == 44
    assert {one.name for one in report.teams} == {"早班", "晚班", "全部客服"}
    assert openpyxl.load_workbook(paths[1])["会话明细"].max_row == 45
    assert "<h2>质检</h2>" in (tmp_path / "report" / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--since", "2027-01-01"], "no chat began between 2027-01-01"),
        (["--chats", "nowhere.jsonl"], "nowhere.jsonl"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(predictor, tmp_path, monkeypatch, arguments, reason):
    monkeypatch.setattr(period_report, "_champions", lambda: predictor)
    with pytest.raises(SystemExit, match=reason):
        main(["--output", str(tmp_path / "report"), *arguments])
    assert not (tmp_path / "report").exists()


def test_wrong_teams_and_days_are_named(tmp_path, capsys):
    teams = tmp_path / "teams.json"
    for text, reason in (
        ("[1]", "expected an object"),
        ("{", "not JSON"),
        ('{"a": 1}', "expected an object"),
    ):
        teams.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=f"teams.json: {reason}"):
            write_report(DEMO_SHOP, tmp_path, teams=teams)
    with pytest.raises(SystemExit):
        main(["--since", "12.11.2026"])
    assert "write it as 2026-11-12" in capsys.readouterr().err
