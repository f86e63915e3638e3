"""The pictures of a comparison page as inline SVG, coloured by the page's style sheet."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from markupsafe import Markup

from experiments.paired import Difference

__all__ = ["forest", "reliability", "scale_of"]

_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_SIDE, _EDGE = 240, 30


def scale_of(differences: Sequence[Difference]) -> float:
    """Half the width of a forest plot's axis that holds these intervals: a round figure, at most 1."""
    ends = [abs(end) for one in differences for end in (one.low, one.high, one.value) if isfinite(end)]
    largest = max(ends, default=0.0)
    return next((step for step in _STEPS if step >= largest), _STEPS[-1])


def forest(found: Difference, scale: float, more_is_better: bool = True) -> Markup:
    """One line of a forest plot: the interval of a difference, its value as a dot, and 0 in the middle.

    Positions are percentages, so it takes any width without a script; what leaves the axis is cut.

    Args:
        scale: the axis runs from -scale to scale.
        more_is_better: False colours a rise as a loss.
    """

    def at(value: float) -> float:
        return 50 + 48 * max(-1.0, min(1.0, value / scale))

    parts = [
        '<line class="axis" x1="2%" x2="98%" y1="11" y2="11"/>',
        '<line class="zero" x1="50%" x2="50%" y1="1" y2="21"/>',
    ]
    if isfinite(found.low) and isfinite(found.high):
        tone = {1: "up", -1: "down", 0: "level"}[found.sign if more_is_better else -found.sign]
        ends = f'x1="{at(found.low):.2f}%" x2="{at(found.high):.2f}%"'
        parts.append(f'<line class="span {tone}" {ends} y1="11" y2="11"/>')
        parts.append(f'<circle class="dot {tone}" cx="{at(found.value):.2f}%" cy="11" r="4.5"/>')
    return Markup(f'<svg class="forest" height="22" width="100%" aria-hidden="true">{"".join(parts)}</svg>')


def reliability(curves: Sequence[Sequence[dict[str, float]]], rows: int) -> Markup:
    """Confidence against accuracy of two models; the size of a point is its share of the rows.

    Args:
        curves: the bins of A and of B, from `training.metrics.expected_calibration_error`.
        rows: how many they rest on; the line leaves out bins of fewer than ten, which jump about.
    """

    def x(value: float) -> float:
        return _EDGE + value * _SIDE

    def y(value: float) -> float:
        return 8 + (1 - value) * _SIDE

    parts = [f'<line class="zero" x1="{x(0)}" y1="{y(0)}" x2="{x(1)}" y2="{y(1)}" stroke-dasharray="3 4"/>']
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(f'<line class="axis" x1="{x(0)}" x2="{x(1)}" y1="{y(tick)}" y2="{y(tick)}"/>')
        text = f"{tick:g}"
        parts.append(f'<text x="{x(0) - 6}" y="{y(tick) + 4}" text-anchor="end">{text}</text>')
        parts.append(f'<text x="{x(tick)}" y="{y(0) + 16}" text-anchor="middle">{text}</text>')
    for name, bins in zip("ab", curves, strict=True):
        places = [(x(one["confidence"]), y(one["accuracy"]), one["share"]) for one in bins]
        line = " ".join(f"{left:.1f},{top:.1f}" for left, top, share in places if share * rows >= 9.5)
        parts.append(f'<polyline class="curve {name}" points="{line}"/>')
        parts += [
            f'<circle class="point {name}" cx="{left:.1f}" cy="{top:.1f}" r="{2 + 7 * share**0.5:.1f}"/>'
            for left, top, share in places
        ]
    size = f'viewBox="0 0 {_SIDE + _EDGE + 12} {_SIDE + 46}"'
    parts.append(f'<text x="{x(0.5)}" y="{y(0) + 33}" text-anchor="middle">confidence (up: accuracy)</text>')
    return Markup(
        f'<svg class="reliability" {size} role="img" aria-label="Reliability">{"".join(parts)}</svg>'
    )
