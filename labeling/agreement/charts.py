"""Small drawings for the agreement page, as inline SVG; colours come from the page's style."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from html import escape

from labeling.agreement.findings import TENTATIVE
from labeling.agreement.people import CHINA, Drift, Person

__all__ = ["alpha_scale", "drift_chart", "interval_bar", "lowest"]

RELIABLE = 0.8


def interval_bar(
    value: float, interval: tuple[float, float] | None, tone: str, start: float = 0.0, width: int = 70
) -> str:
    """A value as a dot with its interval, beside others of its kind in a table.

    Args:
        tone: "category" or "emotion", which have a colour each.
        start: the value at the left end, below 1; the right end is 1.
        width: of the line, in pixels.
    """

    def across(at: float) -> float:
        return width * _clip((at - start) / (1 - start))

    line = ""
    if interval:
        left, right = (across(end) for end in interval)
        line = f'<line class="{tone}" x1="{left:.1f}" x2="{right:.1f}" y1="7" y2="7" stroke-width="4"/>'
    return (
        f'<svg class="bar" width="{width + 10}" viewBox="-5 0 {width + 10} 14" aria-hidden="true">'
        f'<line class="track" x1="0" x2="{width}" y1="7" y2="7"/>{line}'
        f'<circle class="{tone}" cx="{across(value):.1f}" cy="7" r="4"/></svg>'
    )


def alpha_scale(alpha: float, interval: tuple[float, float] | None, without: float | None) -> str:
    """Alpha on a scale with Krippendorff's limits; a hollow dot is alpha without those who need training."""
    zones = "".join(
        f'<rect class="{name}" x="{300 * start:.0f}" y="14" width="{300 * (end - start):.0f}" height="10"/>'
        for name, start, end in (
            ("low", 0, TENTATIVE),
            ("middle", TENTATIVE, RELIABLE),
            ("high", RELIABLE, 1),
        )
    )
    ticks = "".join(
        f'<text x="{300 * at:.0f}" y="40" text-anchor="middle">{at:g}</text>'
        for at in (0, TENTATIVE, RELIABLE, 1)
    )
    marks = ""
    if interval:
        left, right = (300 * _clip(end) for end in interval)
        marks = f'<line class="mark" x1="{left:.1f}" x2="{right:.1f}" y1="19" y2="19" stroke-width="3"/>'
    marks += f'<circle class="mark" cx="{300 * _clip(alpha):.1f}" cy="19" r="6"/>'
    if without is not None:
        marks += f'<circle class="hollow" cx="{300 * _clip(without):.1f}" cy="19" r="6"/>'
    words = f"α {alpha:.2f}，刻度 0 到 1，界限 0.667 与 0.8"
    head = f'<svg class="scale" viewBox="-12 8 324 36" role="img" aria-label="{words}">'
    return f"{head}{zones}{ticks}{marks}</svg>"


def lowest(intervals: Iterable[tuple[float, float] | None]) -> float:
    """Where drawings that are to be compared begin: the tenth below the lowest interval, 0 to 0.9."""
    low = min((interval[0] for interval in intervals if interval), default=0.0)
    return min(9, max(0, int(10 * low))) / 10


def drift_chart(person: Person, bottom: float) -> str:
    """The share of right answers over a person's time, category and emotion, with Wilson intervals.

    Args:
        bottom: the share at the lower edge, below 1.
    """
    left, top, width, height = 34, 8, 250, 96

    def across(place: float) -> float:
        return left + width * place

    def down(value: float) -> float:
        return top + height * (1 - value) / (1 - bottom)

    levels = [bottom + (1 - bottom) * step / 2 for step in range(3)]
    grid = "".join(
        f'<line class="grid" x1="{left}" x2="{left + width}" y1="{down(level):.1f}" y2="{down(level):.1f}"/>'
        f'<text x="{left - 5}" y="{down(level) + 4:.1f}" text-anchor="end">{level:.0%}</text>'
        for level in levels
    )
    curves = ""
    for answer, own in person.answers.items():
        points = own.drift.windows
        places = [across((index + 0.5) / len(points)) for index in range(len(points))]
        if len(points) < 2:
            continue
        drawn = list(zip(places, [point.right for point in points], points, strict=True))
        band = [f"{at:.1f},{down(one.high):.1f}" for at, one, _ in drawn]
        band += [f"{at:.1f},{down(one.low):.1f}" for at, one, _ in reversed(drawn)]
        line = [f"{at:.1f},{down(one.rate):.1f}" for at, one, _ in drawn]
        curves += f'<polygon class="{answer} band" points="{" ".join(band)}"/>'
        curves += f'<polyline class="{answer} curve" points="{" ".join(line)}"/>'
        curves += "".join(
            f'<circle class="{answer}" cx="{at:.1f}" cy="{down(one.rate):.1f}" r="3">'
            f"<title>{_china(point.start)} – {_china(point.end)}："
            f"{one.rate:.0%}（{one.right}/{one.of}）</title></circle>"
            for at, one, point in drawn
        )
    ends = _ends([own.drift for own in person.answers.values()])
    dates = "".join(
        f'<text x="{place}" y="{top + height + 16}" text-anchor="{anchor}">{escape(words)}</text>'
        for place, anchor, words in zip((left, left + width), ("start", "end"), ends, strict=True)
    )
    return (
        f'<svg class="drift" viewBox="0 0 {left + width + 8} {top + height + 22}" role="img" '
        f'aria-label="{escape(person.annotator)} 的正确率走势">{grid}{curves}{dates}</svg>'
    )


def _ends(drifts: list[Drift]) -> tuple[str, str]:
    starts = [drift.windows[0].start for drift in drifts if drift.windows]
    ends = [drift.windows[-1].end for drift in drifts if drift.windows]
    return (_china(min(starts))[:10], _china(max(ends))[:10]) if starts else ("", "")


def _china(at: datetime) -> str:
    return f"{at.astimezone(CHINA):%Y-%m-%d %H:%M}"


def _clip(value: float) -> float:
    return min(1.0, max(0.0, value))
