"""The pictures of a report's page as inline SVG and boxes, coloured by its style sheet; no script."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from assist.reports.schema import Behaviour, DayRow, Figure, HourRow, Share
from assist.reports.wordings import value_zh

__all__ = [
    "bars",
    "bullet",
    "day_columns",
    "forest",
    "hour_columns",
    "ink_on",
    "labelled_days",
    "span",
    "trend",
]

MOST_LABELS = 15


def bullet(figure: Figure) -> str:
    """Value, interval and standard on one line, which ends at twice a limit, or beyond where the value is."""
    if figure.value is None or figure.standard is None:
        return ""
    top = 1.0 if figure.unit == "share" else max(2 * figure.standard, 1.1 * (figure.high or figure.value))
    tone = "level" if figure.met is None else "up" if figure.met else "down"

    def at(value: float) -> str:
        return f"{1 + 98 * min(max(value / top, 0.0), 1.0):.2f}%"

    low, high = figure.standard if not figure.at_most else 0.0, top if not figure.at_most else figure.standard
    parts = [
        '<line class="axis" x1="1%" x2="99%" y1="14" y2="14"/>',
        f'<line class="goal" x1="{at(low)}" x2="{at(high)}" y1="14" y2="14"/>',
        f'<line class="limit" x1="{at(figure.standard)}" x2="{at(figure.standard)}" y1="5" y2="23"/>',
    ]
    if figure.low is not None and figure.high is not None:
        parts.append(
            f'<line class="span {tone}" x1="{at(figure.low)}" x2="{at(figure.high)}" y1="14" y2="14"/>'
        )
    parts.append(f'<circle class="dot {tone}" cx="{at(figure.value)}" cy="14" r="5.5"/>')
    return f'<svg class="bullet" height="28" width="100%" aria-hidden="true">{"".join(parts)}</svg>'


def span(share: Share, top: float, tone: str = "hot") -> str:
    """A bar with the share's interval over it, on an axis from 0 to `top`."""
    rate = share.count / share.of if share.of else 0.0

    def at(value: float) -> str:
        return f"{100 * min(value / top, 1.0) if top else 0:.2f}%"

    parts = [f'<rect class="fill {tone}" x="0" y="3" height="14" width="{at(rate)}" rx="2"/>']
    if share.low is not None and share.high is not None:
        parts.append(f'<line class="error" x1="{at(share.low)}" x2="{at(share.high)}" y1="10" y2="10"/>')
    return f'<svg class="bar-line" height="20" width="100%" aria-hidden="true">{"".join(parts)}</svg>'


def bars(parts: Sequence[tuple[float, str, str]]) -> str:
    """One bar cut into parts: (count, colour, label); a part that is too narrow carries no label."""
    total = sum(count for count, _, _ in parts) or 1
    cells = [
        f'<i style="flex:{count:g};background:{escape(colour)};color:{ink_on(colour)}" title="'
        f'{escape(label)} {count:g}">'
        f"{escape(label) if count / total >= 0.09 else ''}</i>"
        for count, colour, label in parts
        if count
    ]
    return f'<div class="stack">{"".join(cells)}</div>'


def ink_on(colour: str) -> str:
    """Dark or white letters, whichever reads better on `#rrggbb`; the paper's colour on the page's own."""
    if not colour.startswith("#"):
        return "var(--paper)"
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return "#1f2328" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "#fff"


def labelled_days(count: int) -> int:
    """Every how many days one is labelled, so that labels do not touch."""
    return max(1, -(-count // MOST_LABELS))


def day_columns(days: Sequence[DayRow]) -> str:
    """Chats by day; the part with a negative message at the foot."""
    step = labelled_days(len(days))
    return _columns([
        (
            one.chats,
            one.negative,
            (f"{one.day.month}/{one.day.day}" if not place % step else ""),
            f"{one.day}：{one.chats} 个会话，{one.negative} 个有负面情绪",
        )
        for place, one in enumerate(days)
    ])  # fmt: skip


def hour_columns(hours: Sequence[HourRow]) -> str:
    """The same by hour of the day."""
    return _columns([
        (
            one.chats,
            one.negative,
            str(one.hour) if not one.hour % 3 else "",
            f"{one.hour} 点：{one.chats} 个会话，{one.negative} 个有负面情绪"
            + (f"，首次响应 {value_zh(one.first_answer, 'seconds')}" if one.first_answer is not None else ""),
        )
        for one in hours
    ])  # fmt: skip


def _columns(rows: Sequence[tuple[int, int, str, str]]) -> str:
    top = max((count for count, *_ in rows), default=0) or 1
    cells = []
    for count, negative, label, title in rows:
        cells.append(
            f'<div class="column" title="{escape(title)}">'
            f'<span class="shaft"><b>{count or ""}</b>'
            f'<u class="cool" style="height:{78 * (count - negative) / top:.2f}%"></u>'
            f'<u class="hot" style="height:{78 * negative / top:.2f}%"></u></span>'
            f"<small>{escape(label)}</small></div>"
        )
    return f'<div class="columns" style="--count:{len(rows)}">{"".join(cells)}</div>'


def trend(days: Sequence[DayRow]) -> str:
    """The share of negative chats over three days as a line in its interval; gaps where chats are few.

    The picture is stretched to its box; labels stand beside it in the page.
    """
    count = len(days)

    def x(place: int) -> float:
        return 100 * (place + 0.5) / count

    parts = [f'<line class="axis" x1="0" x2="100" y1="{y}" y2="{y}"/>' for y in (0, 25, 50, 75, 100)]
    run: list[int] = []
    for place in range(count + 1):
        if place < count and days[place].three_days.rate is not None:
            run.append(place)
            continue
        if run:
            parts += _run(days, run, x)
        run = []
    return (
        '<svg class="trend" viewBox="0 0 100 100" preserveAspectRatio="none" role="img" '
        f'aria-label="近三日负面会话占比">{"".join(parts)}</svg>'
    )


def _run(days: Sequence[DayRow], run: Sequence[int], x: Callable[[int], float]) -> list[str]:
    rates = [days[place].three_days for place in run]
    top = [f"{x(place):.2f},{100 - 100 * (one.high or 0):.2f}" for place, one in zip(run, rates, strict=True)]
    foot = [f"{x(place):.2f},{100 - 100 * (one.low or 0):.2f}" for place, one in zip(run, rates, strict=True)]
    line = [
        f"{x(place):.2f},{100 - 100 * (one.rate or 0):.2f}" for place, one in zip(run, rates, strict=True)
    ]
    return [
        f'<polygon class="band" points="{" ".join([*top, *reversed(foot)])}"/>',
        f'<polyline class="line" points="{" ".join(line)}"/>',
    ]


def forest(one: Behaviour) -> str:
    """A difference of shares with its interval; 0 in the middle."""
    parts = [
        '<line class="axis" x1="1%" x2="99%" y1="11" y2="11"/>',
        '<line class="zero" x1="50%" x2="50%" y1="1" y2="21"/>',
    ]
    if one.difference is not None and one.low is not None and one.high is not None:
        tone = {"better": "up", "worse": "down"}.get(one.verdict, "level")
        low, value, high = (f"{50 + 49 * max(-1.0, min(1.0, end)):.2f}%"
                            for end in (one.low, one.difference, one.high))  # fmt: skip
        parts.append(f'<line class="span {tone}" x1="{low}" x2="{high}" y1="11" y2="11"/>')
        parts.append(f'<circle class="dot {tone}" cx="{value}" cy="11" r="4.5"/>')
    return f'<svg class="forest" height="22" width="100%" aria-hidden="true">{"".join(parts)}</svg>'
