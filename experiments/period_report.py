"""The report of a period as the champions read the log: a page and an Excel file for supervisors.

    python -m experiments.period_report --chats log.jsonl --output report --since 2026-11-12

The figures are `assist.reports`; here the models run, chats are followed by the rules of `serving.track`, and
ways of answering are counted as in the emotion report (`experiments.turning_words`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from assist.inspection.inspector import Inspector
from assist.inspection.schema import Inspection, request_of
from assist.reports.page import write_page
from assist.reports.period import in_period, period_report
from assist.reports.schema import Behaviour, ChatReading, Group, MessageReading, PeriodReport
from assist.reports.workbook import write_workbook
from data.chats import DEMO_SHOP, read_chats
from data.files import write_json
from data.tables import Table
from data.taxonomy import Taxonomy
from experiments.emotion_reader import ReadChat, as_labelled, read_emotions
from experiments.turning_words import OUTCOMES, manner_effects
from serving.predictor import Predictor
from serving.schema import AnalyzeRequest
from serving.screenshots import BrowserError, browser, save_picture, show_size

__all__ = [
    "behaviours_of",
    "check_report",
    "group_rows",
    "inspections_of",
    "labelled_figures",
    "main",
    "readings_of",
    "report_of",
    "save_report",
    "take_pictures",
    "write_report",
]

PASS = 64
"""Texts in one call of the model."""


def readings_of(read: Sequence[ReadChat]) -> dict[str, ChatReading]:
    """What the champions read, as `assist.reports` takes it."""
    return {
        one.chat.id: ChatReading(
            messages={
                index: MessageReading(
                    category=answer.category.label, emotion=answer.emotion.label, alert=answer.alert.level
                )
                for index, answer in zip(one.indices, one.answers, strict=True)
            },
            trajectory=one.track.trajectory,
            turned_at=one.track.changed_at,
        )
        for one in read
    }


def behaviours_of(read: Sequence[ReadChat]) -> list[Behaviour]:
    """Ways of answering with both outcomes, in the order of `manner_effects`."""
    return [
        Behaviour(
            name=one.name,
            zh=one.zh,
            outcome=outcome,
            hits=one.hits,
            replies=one.replies,
            chats=one.chats,
            hits_without=one.hits_without,
            replies_without=one.replies_without,
            chats_without=one.chats_without,
            difference=one.difference,
            low=one.low,
            high=one.high,
            verdict=one.verdict,  # type: ignore[arg-type]
        )
        for outcome in OUTCOMES
        for one in manner_effects(read, outcome)
    ]


def inspections_of(read: Sequence[ReadChat], predictor: Predictor) -> list[Inspection]:
    """Every chat with a turn of the agent, inspected: customers as they were read, the agents' tone by the
    emotion model. Without knowledge and scripts, accuracy and conformity are not judged."""

    def tones(texts: Sequence[str]) -> list[dict[str, float]]:
        found: list[dict[str, float]] = []
        for start in range(0, len(texts), PASS):
            part = [AnalyzeRequest(text=text) for text in texts[start : start + PASS]]
            found += [answer.emotion.scores for answer in predictor.analyze(part)]
        return found

    requests = []
    ended = max((one.chat.ended for one in read), default=None)
    for one in read:
        if not any(turn.role == "agent" for turn in one.chat.turns):
            continue
        request = request_of(one.chat, ended)
        for index, answer in zip(one.indices, one.answers, strict=True):
            request.turns[index].alert = answer.alert.level
            request.turns[index].emotion = answer.emotion.label  # type: ignore[assignment]
        requests.append(request)
    return Inspector(read_emotion=tones).inspect_many(requests) if requests else []


def report_of(
    read: Sequence[ReadChat],
    taxonomy: Taxonomy,
    since: date | None = None,
    until: date | None = None,
    teams: Mapping[str, str] | None = None,
    inspections: Sequence[Inspection] = (),
) -> PeriodReport:
    """The report of a log that was read.

    Args:
        read: of `experiments.emotion_reader.read_emotions`; the whole log, with the period before.
        since, until: first and last day; of the log where None.
        teams: team of an account.
        inspections: of `inspections_of`.

    Raises:
        ValueError: no chat began in the period.
    """
    chats = [one.chat for one in read]
    # What an agent's words go with is learnt from all that is known by the end of the period.
    known = {one.id for one in in_period(chats, None, until)}
    model = read[0].track.model if read else None
    return period_report(
        chats,
        readings_of(read),
        inspections,
        since=since,
        until=until,
        teams=teams,
        behaviours=behaviours_of([one for one in read if one.chat.id in known]),
        source=" · ".join(dict.fromkeys((model.category, model.emotion))) if model else "",
        taxonomy=taxonomy,
    )


def write_report(
    log: Path,
    output: Path,
    since: date | None = None,
    until: date | None = None,
    teams: Path | None = None,
) -> list[Path]:
    """Let the packaged champions read a log and write `report.html`, `report.xlsx` and `report.json`.

    Args:
        log: a log as in data/demo_shop/README.md.
        output: folder of the report.
        since, until: first and last day; of the log where None.
        teams: a JSON object, team by account.

    Returns:
        The three files.

    Raises:
        ValueError: names file and field of what is wrong; no chat began in the period.
        serving.package.NotPackagedError: there are no champions.
    """
    chats, named = read_chats(log), _teams(teams)
    predictor = _champions()
    read = read_emotions(chats, predictor)
    inspected = inspections_of(read, predictor)
    report = report_of(read, predictor.taxonomy, since, until, named, inspected)
    return save_report(report, output)


def labelled_figures(
    read: Sequence[ReadChat], predictor: Predictor, since: date | None = None, until: date | None = None
) -> list[dict[str, Any]]:
    """The figures that rest on feelings: by the champions, and by the emotions that the log carries.

    Args:
        read: as for `report_of`, of a log whose every customer turn is labelled.

    Returns:
        Rows with figure, value and interval of both, and in how many chats the end is judged alike.

    Raises:
        ValueError: a turn has no label.
    """
    sides = [report_of(one, predictor.taxonomy, since, until) for one in (read, as_labelled(read, predictor))]
    alike = sum(one.outcome == other.outcome for one, other in zip(sides[0].rows, sides[1].rows, strict=True))
    rows = []
    for key in ("satisfaction", "one_contact", "left_open", "negative"):
        one, other = (side.figure(key) for side in sides)
        rows.append({"figure": key, "champions": one.value, "low": one.low, "high": one.high,
                     "labels": other.value, "low of labels": other.low, "high of labels": other.high,
                     "ends judged alike": f"{alike} of {sides[0].chats}"})  # fmt: skip
    return rows


def group_rows(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Accounts, teams or channels as rows of a table: the name, the number of chats, and every figure."""
    return [
        {"name": one.name, "chats": one.chats, **{figure.zh: figure.value for figure in one.figures.values()}}
        for one in groups
    ]


def save_report(report: PeriodReport, folder: Path) -> list[Path]:
    """Write a report as a page, an Excel file and figures; returns the three files."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = folder / "report.json"
    write_json(figures, report.model_dump(mode="json"))
    return [
        write_page(report, folder / "report.html"),
        write_workbook(report, folder / "report.xlsx"),
        figures,
    ]


def check_report(log: Path, since: date | None = None, until: date | None = None) -> Table:
    """How far the estimated figures depend on the model's errors: `labelled_figures` of a labelled log."""
    predictor = _champions()
    return Table(labelled_figures(read_emotions(read_chats(log), predictor), predictor, since, until))


def _champions() -> Predictor:
    from serving.offline import packaged_predictor
    from serving.package import use_local_store

    use_local_store()
    return packaged_predictor()


def take_pictures(page: Path, folder: Path) -> list[Path]:
    """Save `report-wide.png` and `report-phone.png`: the page's beginning in a real browser.

    Raises:
        serving.screenshots.BrowserError: there is no browser.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    with browser() as window:
        for name, size, scale in (("wide", (1280, 1480), 1), ("phone", (390, 1480), 2)):
            show_size(window, size, scale)
            window.get(page.resolve().as_uri())
            pictures.append(folder / f"report-{name}.png")
            save_picture(window, pictures[-1], whole=False)
    return pictures


def _teams(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not JSON ({error.msg})") from error
    if not isinstance(raw, dict) or not all(isinstance(one, str) and one.strip() for one in raw.values()):
        raise ValueError(f"{path}: expected an object of accounts and their teams")
    return raw


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no day; write it as 2026-11-12") from None


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the report of a period of a log: a page, an Excel file, and the figures as JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--chats", type=Path, default=DEMO_SHOP, help="a log as in data/demo_shop/README.md")
    parser.add_argument("--output", type=Path, default=Path(".kefu/report"), help="folder of the report")
    parser.add_argument("--since", type=_day, help="first day (default: the log's first)")
    parser.add_argument("--until", type=_day, help="last day (default: the log's last)")
    parser.add_argument("--check", action="store_true", help="compare with the emotions that the log carries")
    parser.add_argument("--pictures", type=Path, help="folder for pictures of the page; needs a browser")
    parser.add_argument("--teams", type=Path, help='JSON: {"kefu-01": "售前组", …}')
    options = parser.parse_args(arguments)
    try:
        if options.check:
            print(check_report(options.chats, options.since, options.until))
            return
        paths = write_report(options.chats, options.output, options.since, options.until, options.teams)
        if options.pictures:
            paths += take_pictures(paths[0], options.pictures)
        print(*paths, sep="\n")
    except (OSError, ValueError, BrowserError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
