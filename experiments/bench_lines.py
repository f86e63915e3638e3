"""The lines of the benchmark table: figures with intervals, and what was reached of the targets.

Figures of a contender are means over seeds; folds of one seed are one result. Gains are paired: both sides
are resampled together, so that what makes rows hard for both cancels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.bench_cells import CONTENDERS, cell_answers
from experiments.bench_oos import SCORE
from experiments.bench_summary import mean_interval
from experiments.bench_tasks import TASKS, Target, Task, embedded_task
from experiments.paired import bootstrap_weights, macro_f1_samples, mean_samples
from training.metrics import macro_f1

__all__ = ["TIMES", "Cells", "Figure", "Line", "lines_from", "lines_of", "plain_lines"]

TIMES = 1000
"""Bootstrap resamples of test groups."""
_OURS = CONTENDERS[-1]
Samples = NDArray[np.float64]
Cells = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Figure:
    """One figure of one contender on one task: a mean over seeds."""

    value: float
    half: float
    """Half the 95 % interval over seeds; nan for one seed."""
    low: float
    high: float
    """95 % interval over resampled test groups (nan where a figure has none)."""
    samples: Samples | None = None
    """The figure in each resample, the same resamples for every contender."""


@dataclass(frozen=True)
class Line:
    """One task in the table."""

    task: Task
    figures: dict[str, dict[str, Figure]]
    """By contender and metric."""
    targets: list[tuple[Target, float, float, float]]
    """Each target with what was reached, and the interval's ends."""
    seeds: tuple[int, ...]
    """Of training."""
    rows: dict[str, int]


def lines_of(cells: Mapping[str, Cells], before: Sequence[Line] = ()) -> list[Line]:
    """The figures of measured tasks, and what was reached of their targets.

    Args:
        before: lines of other tasks; a gain over one of them has no interval.
    """
    measured = {name: _figures(own) for name, own in cells.items()}
    figures = {line.task.name: line.figures for line in before} | measured
    lines = []
    for name, own in cells.items():
        task = TASKS.get(name) or embedded_task()
        reached = [(target, *found) for target in task.targets if (found := _reached(target, name, figures))]
        seeds = tuple(dict.fromkeys(cell["seed"] for cell in own))
        rows = dict(own[0]["rows"])
        rows["test"] = sum(cell["n"] for cell in own if (cell["contender"], cell["seed"]) == _first(own))
        lines.append(Line(task, figures[name], reached, seeds, rows))
    return lines


def _first(cells: Cells) -> tuple[str, int]:
    return cells[0]["contender"], cells[0]["seed"]


def _figures(cells: Cells) -> dict[str, dict[str, Figure]]:
    out: dict[str, dict[str, Figure]] = {}
    for contender in dict.fromkeys(cell["contender"] for cell in cells):
        own = [cell for cell in cells if cell["contender"] == contender]
        by_seed = [
            [cell for cell in own if cell["seed"] == seed] for seed in dict.fromkeys(c["seed"] for c in own)
        ]
        accuracy, f1, samples = [], [], []
        for some in by_seed:
            found, groups = cell_answers(some)
            weights = bootstrap_weights(groups, TIMES)
            size = len(found.names)
            accuracy.append(float((found.target == found.guess).mean()))
            f1.append(macro_f1(found.target, found.guess, size))
            samples.append(
                (
                    mean_samples(weights, found.target == found.guess),
                    macro_f1_samples(weights, found.target, found.guess, size),
                )
            )
        out[contender] = {
            "accuracy": _figure(accuracy, np.mean([one[0] for one in samples], axis=0)),
            "macro_f1": _figure(f1, np.mean([one[1] for one in samples], axis=0)),
        }
        if "oos" in own[0]:
            for name in ("in_scope", "oos_recall"):
                out[contender][name] = _figure([cell["oos"][SCORE][name] for cell in own], None)
    return out


def _figure(values: Sequence[float], samples: Samples | None) -> Figure:
    mean, half = mean_interval(values)
    low, high = (math.nan, math.nan) if samples is None else map(float, np.quantile(samples, [0.025, 0.975]))
    return Figure(mean, half, low, high, samples)


def _reached(
    target: Target, name: str, figures: Mapping[str, dict[str, dict[str, Figure]]]
) -> tuple[float, float, float] | None:
    """What was reached, with its interval; None where the other side was not measured."""
    ours = figures[name].get(_OURS, {}).get(target.metric)
    if ours is None or target.over is None:
        return None if ours is None else (ours.value, ours.low, ours.high)
    side = figures[name].get(target.over) or figures.get(target.over, {}).get(_OURS)
    other = (side or {}).get(target.metric)
    if other is None:
        return None
    gain = ours.value - other.value
    if ours.samples is None or other.samples is None:
        return gain, math.nan, math.nan
    low, high = np.quantile(ours.samples - other.samples, [0.025, 0.975])
    return gain, float(low), float(high)


def plain_lines(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The table as JSON: figures without samples; a missing interval is null."""

    def number(value: float) -> float | None:
        return None if math.isnan(value) else round(value, 5)

    return [
        {
            "task": line.task.name,
            "seeds": list(line.seeds),
            "rows": line.rows,
            "figures": {
                contender: {
                    metric: {part: number(getattr(one, part)) for part in ("value", "half", "low", "high")}
                    for metric, one in found.items()
                }
                for contender, found in line.figures.items()
            },
            "targets": [
                {"metric": target.metric, "over": target.over, "at_least": target.at_least,
                 "value": number(value), "low": number(low), "high": number(high)}
                for target, value, low, high in line.targets
            ],
        }
        for line in lines
    ]  # fmt: skip


def lines_from(plain: Sequence[Mapping[str, Any]]) -> list[Line]:
    """Lines that `plain_lines` gave, without samples; of tasks that are no more none."""

    def number(value: float | None) -> float:
        return math.nan if value is None else value

    def figure(one: Mapping[str, float | None]) -> Figure:
        value, half, low, high = (number(one[part]) for part in ("value", "half", "low", "high"))
        return Figure(value, half, low, high)

    def reached(one: Mapping[str, Any]) -> tuple[Target, float, float, float]:
        target = Target(one["metric"], one["at_least"], one["over"])
        return target, number(one["value"]), number(one["low"]), number(one["high"])

    return [
        Line(
            TASKS[line["task"]],
            {
                contender: {metric: figure(one) for metric, one in found.items()}
                for contender, found in line["figures"].items()
            },
            [reached(one) for one in line["targets"]],
            tuple(line["seeds"]),
            dict(line["rows"]),
        )
        for line in plain
        if line["task"] in TASKS
    ]
