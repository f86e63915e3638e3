"""A report as one HTML file in Chinese that needs nothing else: light and dark, wide, phone, and paper.

Needs jinja2 (`pip install kefu-lab[train]`). Texts come masked from the report; here they are only escaped.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assist.reports.charts import bars, bullet, day_columns, forest, hour_columns, labelled_days, span, trend
from assist.reports.feelings import TRAJECTORIES
from assist.reports.indicators import GROUP_KEYS
from assist.reports.schema import Behaviour, PeriodReport, TurningPoint
from assist.reports.wordings import (
    OUTCOMES,
    VERDICTS,
    change_zh,
    channel_zh,
    headline,
    met_zh,
    notes,
    value_zh,
)
from data.files import atomic_write
from data.pictures import EMOTION_COLOURS
from data.taxonomy import Taxonomy, load_taxonomy

__all__ = ["render", "write_page"]

TEMPLATE = "page.html.j2"
SHOWN_CAUSES = 14
SHOWN_CATEGORIES = 12
SHOWN_POINTS = 4
SHOWN_FAULTS = 10
_OWN_COLOUR = "#78909c"


def write_page(report: PeriodReport, path: Path, taxonomy: Taxonomy | None = None) -> Path:
    """Write the page atomically; returns its path.

    Raises:
        RuntimeError: jinja2 is not installed; says what to install.
    """
    text = render(report, taxonomy)
    with atomic_write(path) as handle:
        handle.write(text)
    return path


def render(report: PeriodReport, taxonomy: Taxonomy | None = None) -> str:
    """The page as HTML: no script, no font, no address of another host.

    Args:
        taxonomy: names emotions and categories; the embedded schema when None.

    Raises:
        RuntimeError: jinja2 is not installed; says what to install.
    """
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        raise RuntimeError("jinja2: is not installed; pip install 'kefu-lab[train]'") from error
    taxonomy = taxonomy or load_taxonomy()
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pictures = (bars, bullet, day_columns, forest, hour_columns, labelled_days, span, trend)
    environment.globals["charts"] = {one.__name__: one for one in pictures}
    environment.filters |= {"value": value_zh, "percent": _percent}
    figures = {one.key: one for one in report.figures}
    categories = {one.key: one.zh for one in taxonomy.categories}
    return environment.get_template(TEMPLATE).render(
        report=report,
        headline=headline(report),
        notes=notes(report),
        figures=figures,
        standards=[one for one in report.figures if one.standard is not None],
        others=[
            figures[key] for key in ("answer_rate", "first_in_time", "left_open", "negative", "no_return")
        ],
        changes={one.key: one for one in report.changes},
        change_zh=change_zh,
        met_zh=met_zh,
        channel_zh=channel_zh,
        verdicts=VERDICTS,
        emotion={one.key: one.zh for one in taxonomy.emotions},
        colours={one.key: EMOTION_COLOURS.get(one.key, _OWN_COLOUR) for one in taxonomy.emotions},
        negative={one.key for one in taxonomy.emotions if one.polarity == "negative"},
        category=categories,
        trajectories=TRAJECTORIES,
        points=_points(report.turning_points, taxonomy),
        causes=report.causes[:SHOWN_CAUSES],
        cause_top=max(
            (one.share.high or one.share.count / one.share.of for one in report.causes), default=1.0
        ),
        category_top=max((one.high or one.count / one.of for one in report.categories), default=1.0),
        shown=list(report.table.items())[:SHOWN_CATEGORIES],
        most=max((count for row in report.table.values() for count in row.values()), default=1),
        questions=_questions(report.behaviours),
        group_keys=GROUP_KEYS,
        faults=report.inspection.faults[:SHOWN_FAULTS] if report.inspection else [],
        few=SHOWN_POINTS,
        shown_categories=SHOWN_CATEGORIES,
    )


def _percent(value: float | None, digits: int = 0) -> str:
    return "—" if value is None else f"{100 * value:.{digits}f}%"


def _points(points: Sequence[TurningPoint], taxonomy: Taxonomy) -> dict[str, list[TurningPoint]]:
    """By direction, those with the largest change of feeling first."""
    order = {"positive": 0, "neutral": 1, "negative": 2}

    def reach(one: TurningPoint) -> int:
        before, after = (taxonomy.emotion[key] for key in (one.emotion_before, one.emotion_after))
        # An angry customer who is pleased again teaches more than a worried one who is calm.
        angry = "angry" in (before.key, after.key)
        return -2 * abs(order[before.polarity] - order[after.polarity]) - angry

    return {
        name: sorted((one for one in points if one.direction == name), key=reach)
        for name in ("recovering", "escalating")
    }


def _questions(behaviours: Sequence[Behaviour]) -> list[dict[str, Any]]:
    """Both questions with their answers, the stated differences first."""
    found = []
    for outcome, question in OUTCOMES.items():
        own = [one for one in behaviours if one.outcome == outcome]
        told = [one for one in own if one.difference is not None]
        told.sort(key=lambda one: (-(one.difference or 0), one.name), reverse=outcome == "heated")
        found.append({"question": question, "outcome": outcome, "rows": told,
                      "few": [one.zh for one in own if one.difference is None]})  # fmt: skip
    return found if behaviours else []
