"""`kefu bench table`: public tasks beside published figures and baselines, as one Markdown table.

Each cell is kept when it is done (`experiments.bench_cells`); a killed table goes on where it stopped. Each
task's line goes to a record, which keeps the lines of the tasks that were not asked for.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from data.files import write_json
from experiments.bench_cells import Plan, task_cells
from experiments.bench_lines import Cells, Line, lines_from, lines_of, plain_lines
from experiments.bench_page import markdown, scope_picture
from experiments.bench_tasks import TASKS, embedded_task

__all__ = ["PICTURE", "RECORD", "bench_table"]

RECORD = Path("benchmarks/tasks.json")
PICTURE = Path("docs/bench-out-of-scope.png")
"""The curves of in-scope accuracy against out-of-scope recall."""


def bench_table(
    only: Sequence[str] = (),
    plan: Plan | None = None,
    record: Path | None = RECORD,
    picture: Path | None = PICTURE,
) -> list[Line]:
    """Measure the tasks (all of them by default), record and print the table.

    Args:
        only: names of tasks to measure (the others keep their recorded lines); with `plan.quick` also
            `embedded-corpus`, which needs no public set.
        plan: how to measure.
        record: JSON file of the lines; None keeps none, a quick table has its own beside the cells.
        picture: PNG of the out-of-scope curves, likewise.

    Returns:
        The lines of the tasks that were asked for and whose sets are here.

    Raises:
        ValueError: a task is unknown (lists those that are known).
        FileNotFoundError: none of the tasks' sets is here.
    """
    plan = plan or Plan()
    known = TASKS | ({embedded_task().name: embedded_task()} if plan.quick else {})
    for name in only:
        if name not in known:
            raise ValueError(f"bench table: {name!r} is unknown; known: {', '.join(known)}")
    if plan.quick:
        record, picture = plan.place / "table.json", plan.place / PICTURE.name
    before = [] if plan.quick else _recorded(record)
    cells: dict[str, Cells] = {}
    lines: list[Line] = []
    with tqdm([known[name] for name in only or known], unit="task", disable=not plan.progress) as bar:
        for task in bar:
            bar.set_description(task.name)
            try:
                cells[task.name] = task_cells(task, plan)
            except FileNotFoundError as error:
                tqdm.write(f"{task.name}: left out: {error}")
                continue
            lines = lines_of(cells, before)
            if record is not None:
                write_json(record, plain_lines(_merged(before, lines)))
    if not cells:
        raise FileNotFoundError(
            "bench table: no set of these tasks is here; set KEFU_DATASETS to their folder"
        )
    print(markdown(_merged(before, lines), plan.quick))
    curves = {cell["contender"]: cell["oos"] for own in cells.values() for cell in own if "oos" in cell}
    if curves and picture is not None:
        scope_picture(curves).save(picture)
    return lines


def _recorded(record: Path | None) -> list[Line]:
    if record is None or not record.is_file():
        return []
    return lines_from(json.loads(record.read_text(encoding="utf-8")))


def _merged(before: Sequence[Line], lines: Sequence[Line]) -> list[Line]:
    found = {line.task.name: line for line in (*before, *lines)}
    order = [*TASKS, embedded_task().name]
    return sorted(found.values(), key=lambda line: order.index(line.task.name))
