"""Is one model better than another? Two sides on the same test rows, and a verdict with its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.taxonomy import TASKS, Taxonomy
from experiments import tracking
from experiments.compare_tasks import TaskComparison, compare_task, places
from experiments.paired import bootstrap_weights
from experiments.sides import Side, gather, newest_candidate
from experiments.snapshot_difference import SnapshotDifference, snapshot_difference
from experiments.verdict import Verdict, judge

__all__ = ["Comparison", "compare", "compare_models", "compare_sides"]

PAGES = Path(".kefu/compare")
TIMES = 2000


@dataclass(frozen=True)
class Comparison:
    """Everything that the page shows."""

    a: Side
    b: Side
    taxonomy: Taxonomy
    rows: list[dict[str, Any]]
    """The test rows that both were measured on, with B's labels."""
    groups: int
    """Independent groups among them: conversations, and single messages."""
    left_out: dict[str, int]
    """Test rows that are not compared, by reason."""
    tasks: list[TaskComparison]
    verdict: Verdict
    data: SnapshotDifference | None
    """None where a run kept no list of its rows."""


def compare(
    a: str | None = None,
    b: str | None = None,
    tasks: Sequence[str] = TASKS,
    output: Path | None = None,
    snapshot: Path = Path("data/processed"),
) -> tuple[Comparison, Path]:
    """Compare two models, write the page, and log it to the runs of both as `compare/….html`.

    Args:
        a, b: see `experiments.sides.gather`; the champion and the newest candidate if left out.
        output: file of the page; `.kefu/compare/A-B.html` if None.

    Raises:
        TrackingError, ValueError: a side does not exist or kept no predictions, or they share no row.
    """
    from experiments.compare_page import write_page

    one = gather(a or tracking.CHAMPION, tasks, snapshot)
    two = gather(b or str(newest_candidate()), tasks, snapshot)
    found = compare_sides(one, two)
    name = "-".join(side.runs[0][:8] if side.runs else side.name for side in (one, two))
    logged = write_page(found, PAGES / f"{name}.html")
    for run in dict.fromkeys((*one.runs, *two.runs)):
        tracking.log_file(run, logged, "compare")
    return found, write_page(found, output) if output else logged


def compare_models(
    a: str | None, b: str | None, task: str | None, output: Path | None, show: bool = False
) -> None:
    """The command `kefu compare`: write the page and print the verdict in one line.

    Args:
        show: open the page in the default browser.
    """
    found, path = compare(a, b, (task,) if task else TASKS, output)
    print(found.verdict.line)
    print(f"page: {path}")
    if show:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())


def compare_sides(a: Side, b: Side, times: int = TIMES, seed: int = 1) -> Comparison:
    """All figures of a comparison; the same sides give the same figures.

    Args:
        times: resamples of the bootstrap.

    Raises:
        ValueError: the sides have no task, or no test row, in common.
    """
    tasks = [task for task in TASKS if task in a.predictions and task in b.predictions]
    if not tasks:
        raise ValueError(f"{a.name} and {b.name} have no task in common")
    keys, left_out = _common(a, b, tasks)
    if not keys:
        raise ValueError(
            f"{a.name} (snapshot {a.snapshot}) and {b.name} (snapshot {b.snapshot}) "
            "have no test row in common"
        )
    first = b.predictions[tasks[0]]
    rows = [first.rows[place] for place in places(first, keys)]
    groups = [row["conversation"] or row["id"] for row in rows]
    weights = bootstrap_weights(groups, times, seed)
    compared = [compare_task(task, a.predictions[task], b.predictions[task], keys, weights) for task in tasks]
    counted = len(set(groups))
    data = snapshot_difference(a.rows, b.rows) if a.rows and b.rows else None
    figures = {one.task: one.figures for one in compared}
    verdict = judge(a.name, b.name, figures, len(rows), counted, _evidence(compared, data, a, b))
    return Comparison(a, b, first.taxonomy, rows, counted, left_out, compared, verdict, data)


def _common(a: Side, b: Side, tasks: Sequence[str]) -> tuple[list[tuple[str, str]], dict[str, int]]:
    """Rows that every side and task has with the same labels, and how many were left out, by reason."""
    every = [(side, side.predictions[task]) for task in tasks for side in (a, b)]
    labels = [{(row["id"], row["digest"]): [row[task] for task in tasks] for row in found.rows}
              for _, found in every]  # fmt: skip
    shared = set.intersection(*(set(one) for one in labels))
    agreed = {key for key in shared if all(one[key] == labels[0][key] for one in labels)}
    left_out = {
        f"only in the test of {side.name}": len(set(place) - shared)
        for (side, _), place in zip(every[:2], labels[:2], strict=True)
    }
    left_out["labelled differently"] = len(shared - agreed)
    keys = [key for key in every[1][1].keys() if key in agreed]  # noqa: SIM118 (a method, not a dict's)
    return keys, {reason: count for reason, count in left_out.items() if count}


def _evidence(
    tasks: Sequence[TaskComparison], data: SnapshotDifference | None, a: Side, b: Side
) -> list[str]:
    """What a reviewer should know beside the figures, most telling first."""
    found = ["Both are the same run."] if a.runs and a.runs == b.runs else []
    for one in tasks:
        changed, p_value = len(one.fixed) + len(one.broken), one.p_value
        words = "p < 0.0001" if p_value < 0.0001 else f"p = {p_value:.2g}"
        tested = " (McNemar's exact test, {})".format(words.replace(" ", "\N{NO-BREAK SPACE}"))
        found.append(
            f"{one.task.capitalize()}: B answers {len(one.fixed)} messages right that A got wrong, and "
            f"{len(one.broken)} wrong that A got right{tested if changed else ''}."
        )
        signs = [change.f1.sign for change in one.classes]
        if any(signs):
            found.append(
                f"{one.task.capitalize()}: of {len(signs)} labels {signs.count(1)} clearly won and "
                f"{signs.count(-1)} clearly lost."
            )
    if data is not None and not data.same and data.rows_a["train"] != data.rows_b["train"]:
        found.append(
            f"A learnt from {data.rows_a['train']:,} rows, B from {data.rows_b['train']:,} "
            f"({data.rows_b['train'] / max(data.rows_a['train'], 1):.2f} times as many)."
        )
    shared = [name for name in a.parameters.keys() & b.parameters.keys() if not name.startswith("data.")]
    differing = sum(a.parameters[name] != b.parameters[name] for name in shared)
    if differing:
        found.append(f"{differing} of the {len(shared)} settings that both runs recorded differ.")
    elif shared:
        found.append("Every setting of training that both runs recorded is the same.")
    if data is not None and data.leaked:
        found.append(
            f"{data.leaked} rows are test rows of one and training rows of the other: its figures flatter it."
        )
    return found
