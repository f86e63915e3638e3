"""`kefu bench table`: public tasks beside published figures and baselines, as one Markdown table.

Each cell is kept when it is done (`experiments.bench_cells`); a killed table goes on where it stopped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data.files import atomic_write, write_json
from experiments.bench_cells import CONTENDERS, Plan, cell_answers, task_cells
from experiments.bench_summary import mean_interval
from experiments.bench_tasks import TASKS, Target, Task, embedded_task
from experiments.paired import bootstrap_weights, macro_f1_samples, mean_samples
from training.metrics import macro_f1

__all__ = ["BEGIN", "END", "Line", "bench_table", "lines_of", "markdown", "write_table"]

BEGIN, END = "<!-- begin: kefu bench table -->", "<!-- end: kefu bench table -->"
_TIMES = 1000
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
    seeds: int
    rows: dict[str, int]


def bench_table(
    only: Sequence[str] = (), plan: Plan | None = None, document: Path | None = Path("docs/benchmarks.md")
) -> list[Line]:
    """Measure the tasks (all of them by default), print the table, and write it into a document.

    Args:
        only: names of tasks; with `plan.quick` also `embedded-corpus`, which needs no public set.
        plan: how to measure.
        document: gets the table between its marks; None, or a quick table, writes none.

    Raises:
        ValueError: a task is unknown (lists those that are known).
        FileNotFoundError: none of the tasks' sets is here.
    """
    plan = plan or Plan()
    known = TASKS | ({embedded_task().name: embedded_task()} if plan.quick else {})
    for name in only:
        if name not in known:
            raise ValueError(f"bench table: {name!r} is unknown; known: {', '.join(known)}")
    tasks = [known[name] for name in only or known]
    cells: dict[str, Cells] = {}
    with tqdm(tasks, unit="task", disable=not plan.progress) as bar:
        for task in bar:
            bar.set_description(task.name)
            try:
                cells[task.name] = task_cells(task, plan)
            except FileNotFoundError as error:
                tqdm.write(f"{task.name}: left out: {error}")
                continue
            lines = lines_of(cells)
            write_json(plan.folder / ("quick" if plan.quick else "full") / "table.json", _plain(lines))
    if not cells:
        raise FileNotFoundError(
            "bench table: no set of these tasks is here; set KEFU_DATASETS to their folder"
        )
    lines = lines_of(cells)
    text = markdown(lines, plan)
    print(text)
    if document is not None and not plan.quick:
        write_table(document, text)
    return lines


def lines_of(cells: Mapping[str, Cells]) -> list[Line]:
    """The figures of measured tasks, and what was reached of their targets."""
    figures = {name: _figures(own) for name, own in cells.items()}
    lines = []
    for name, own in cells.items():
        task = TASKS.get(name) or embedded_task()
        reached = [(target, *found) for target in task.targets if (found := _reached(target, name, figures))]
        seeds = len({cell["seed"] for cell in own})
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
            weights = bootstrap_weights(groups, _TIMES)
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
        for name in ("in_scope", "oos_recall"):
            if name in own[0]:
                out[contender][name] = _figure([cell[name] for cell in own], None)
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


def _plain(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """The table as JSON: figures without samples; a missing interval is null."""

    def number(value: float) -> float | None:
        return None if math.isnan(value) else round(value, 5)

    return [
        {
            "task": line.task.name,
            "seeds": line.seeds,
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


def markdown(lines: Sequence[Line], plan: Plan) -> str:
    """The table, in percent: TF-IDF, probe and ours, what is published, and the targets."""
    head = (
        "| task | rows (training, test) | metric | TF-IDF linear | frozen probe | ours | published | target |"
    )
    out = [head, "|---|---|---|---:|---:|---:|---|---|"]
    for line in lines:
        metrics = [line.task.metric, *({target.metric for target in line.task.targets} - {line.task.metric})]
        metrics += [name for name in ("in_scope", "oos_recall") if line.task.oos and name not in metrics]
        for place, metric in enumerate(sorted(metrics, key=lambda one: (one != line.task.metric, one))):
            cells = [_shown(line.figures.get(contender, {}).get(metric)) for contender in CONTENDERS]
            told = [_target(*one) for one in line.targets if one[0].metric == metric]
            first = [f"{line.task.name}: {line.task.about}", f"{line.rows['train']:,}, {line.rows['test']:,}"]
            published = line.task.anchor if place == 0 else ""
            row = [*(first if place == 0 else ["", ""]), metric.replace("_", " "), *cells, published]
            out.append("| " + " | ".join([*row, "; ".join(told)]) + " |")
    seeds = max((line.seeds for line in lines), default=1)
    note = (
        f"Percent; in brackets 95 % intervals over test groups ({_TIMES:,} bootstrap resamples), after ± "
        f"over {seeds} seeds of training ({', '.join(map(str, plan.seeds[:seeds]))})."
    )
    if plan.quick:
        note = (
            "Cut-down sets and encoder: this table shows that the way works and says nothing about figures."
        )
    return "\n".join([*out, "", note]) + "\n"


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


def write_table(document: Path, text: str) -> None:
    """Put the table between its marks, or with them at the end of the document; makes the document."""
    before = document.read_text(encoding="utf-8") if document.is_file() else "# Benchmarks\n"
    block = f"{BEGIN}\n{text}{END}"
    if BEGIN in before and END in before:
        head, rest = before.split(BEGIN, 1)
        after = head + block + rest.split(END, 1)[1]
    else:
        after = f"{before.rstrip()}\n\n{block}\n"
    with atomic_write(document) as handle:
        handle.write(after)
