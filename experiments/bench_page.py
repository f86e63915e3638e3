"""The benchmark table as Markdown, and its picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from data.pictures import Picture, draw
from experiments.bench_cells import CONTENDERS
from experiments.bench_lines import TIMES, Figure, Line
from experiments.bench_oos import SCORE, SCORES
from experiments.bench_tasks import Target

__all__ = ["markdown", "scope_picture"]


def markdown(lines: Sequence[Line], quick: bool = False) -> str:
    """The table, in percent: TF-IDF, probe and ours, what is published, and the targets (not of a quick one).

    Lines of other seeds than the first say so.
    """
    head = (
        "| task | rows (training, test) | metric | TF-IDF linear | frozen probe | ours | published | target |"
    )
    out = [head, "|---|---|---|---:|---:|---:|---|---|"]
    for line in lines:
        metrics = [line.task.metric, *({target.metric for target in line.task.targets} - {line.task.metric})]
        metrics += [name for name in ("in_scope", "oos_recall") if line.task.oos and name not in metrics]
        for place, metric in enumerate(sorted(metrics, key=lambda one: (one != line.task.metric, one))):
            cells = [_shown(line.figures.get(contender, {}).get(metric)) for contender in CONTENDERS]
            reached = [] if quick else line.targets
            told = [_target(*one) for one in reached if one[0].metric == metric]
            seeds = "" if line.seeds == lines[0].seeds else f"; {_seeds(line)}"
            first = [
                f"{line.task.name}: {line.task.about}{seeds}",
                f"{line.rows['train']:,}, {line.rows['test']:,}",
            ]
            published = line.task.anchor if place == 0 else ""
            row = [*(first if place == 0 else ["", ""]), metric.replace("_", " "), *cells, published]
            out.append("| " + " | ".join([*row, "; ".join(told)]) + " |")
    over = _seeds(lines[0])
    if any(len(line.seeds) > 1 for line in lines):
        over += "; after ± half the 95 % interval over seeds"
    note = f"Percent; in brackets 95 % intervals over test groups ({TIMES:,} bootstrap resamples); {over}."
    if quick:
        note = (
            "Cut-down sets and encoder: this table shows that the way works and says nothing about figures."
        )
    return "\n".join([*out, "", note]) + "\n"


def _seeds(line: Line) -> str:
    named = ", ".join(map(str, line.seeds))
    return (
        f"{len(line.seeds)} seeds of training ({named})"
        if line.seeds[1:]
        else f"one seed of training ({named})"
    )


def _shown(figure: Figure | None) -> str:
    if figure is None:
        return "–"
    text = f"{100 * figure.value:.1f}"
    if not math.isnan(figure.half):
        text += f" ± {100 * figure.half:.1f}"
    return text if math.isnan(figure.low) else f"{text} [{100 * figure.low:.1f}, {100 * figure.high:.1f}]"


def _target(target: Target, value: float, low: float, high: float) -> str:
    met = "met" if value >= target.at_least else "missed"
    if target.over is None:
        return f"≥ {100 * target.at_least:.1f}: {met}"
    interval = "" if math.isnan(low) else f" [{100 * low:+.1f}, {100 * high:+.1f}]"
    return f"≥ {100 * target.at_least:+.0f} over {target.over}: {100 * value:+.1f}{interval}, {met}"


def scope_picture(found: Mapping[str, Mapping[str, Any]]) -> Picture:
    """In-scope accuracy against out-of-scope recall, as the threshold rises; the chosen ones are marked.

    Args:
        found: by contender what `experiments.bench_oos.measure_oos` gave.
    """

    kinds = [kind for kind in SCORES if all(kind in one for one in found.values())]
    lowest = min(one[kind]["in_scope"] for one in found.values() for kind in kinds)

    def paint(figure: Any) -> None:
        panels = figure.subplots(1, len(found), sharey=True, squeeze=False)[0]
        for axes, (contender, one) in zip(panels, found.items(), strict=True):
            for kind in kinds:
                inside, outside = zip(*one[kind]["curve"], strict=True)
                chosen = " (chosen)" if kind == SCORE else ""
                (line,) = axes.plot(
                    outside, inside, label=f"{kind}{chosen}", linewidth=1.8 if chosen else 1.0
                )
                point = one[kind]["oos_recall"], one[kind]["in_scope"]
                axes.plot(*point, "o", color=line.get_color(), markersize=5)
            axes.set_title(contender)
            axes.set_xlabel("out-of-scope recall")
            axes.set_ylim(max(0.0, min(0.8, lowest - 0.05)), 1)
            axes.grid(alpha=0.3)
        panels[0].set_ylabel("in-scope accuracy")
        panels[-1].legend(frameon=False, loc="lower left")

    return draw(paint, width=3.4 * len(found) + 0.6, height=3.6)
