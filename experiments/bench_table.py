"""`kefu bench table`: public tasks beside published figures and baselines, as one Markdown table.

Each cell is kept when it is done (`experiments.bench_cells`); a killed table goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from data.files import write_json
from experiments.bench_cells import Plan, kept_cells, task_cells
from experiments.bench_lines import Cells, Line, lines_of, plain_lines
from experiments.bench_page import markdown, scope_picture, write_table
from experiments.bench_tasks import TASKS, embedded_task

__all__ = ["PICTURE", "bench_table"]

PICTURE = "bench-out-of-scope.png"
"""Beside the document: the curves of in-scope accuracy against out-of-scope recall."""


def bench_table(
    only: Sequence[str] = (), plan: Plan | None = None, document: Path | None = Path("docs/benchmarks.md")
) -> list[Line]:
    """Measure the tasks (all of them by default), print the table, and write it into a document.

    Args:
        only: names of tasks to measure (the others keep their lines); with `plan.quick` also
            `embedded-corpus`, which needs no public set.
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
            write_json(plan.place / "table.json", plain_lines(lines_of(cells)))
    if not cells:
        raise FileNotFoundError(
            "bench table: no set of these tasks is here; set KEFU_DATASETS to their folder"
        )
    if only and not plan.quick:  # what was measured before stays in the table
        every = {name: cells.get(name) or kept_cells(task, plan) for name, task in TASKS.items()}
        cells = {name: own for name, own in every.items() if own}
    lines = lines_of(cells)
    write_json(plan.place / "table.json", plain_lines(lines))
    text = markdown(lines, plan)
    print(text)
    pictured = {cell["contender"]: cell["oos"] for own in cells.values() for cell in own if "oos" in cell}
    if pictured:
        picture = scope_picture(pictured)
        picture.save(plan.place / PICTURE)
    if document is not None and not plan.quick:
        if pictured:
            picture.save(document.parent / PICTURE)
            text += f"\n![In-scope accuracy against out-of-scope recall]({PICTURE})\n"
        write_table(document, text)
    return lines
