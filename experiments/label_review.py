"""What models that never saw a label say of it: tasks to review, and categories to think about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from data.example import Example
from data.files import write_jsonl
from data.sources import read_source
from data.taxonomy import Taxonomy
from experiments.embeddings import embed
from experiments.label_clinic import examine_labels
from experiments.label_errors import Suspect, find_label_errors
from labeling.clinic import print_clinic, write_clinic
from labeling.commands import open_desk, settle
from labeling.pull import pull_project
from labeling.second_look import ask_again
from labeling.task import Task

__all__ = ["review_cases", "review_categories", "review_errors"]


def review_errors(
    taxonomy: Taxonomy,
    limit: int,
    project: int | None = None,
    output: Path | None = None,
    beside: str | None = None,
) -> None:
    """Rank the labels of a project by how probably they are wrong; the top becomes its review project.

    Args:
        limit: tasks to review at most; only labels that confident learning counts as errors are taken.
        output: where the whole ranking is written.
        beside: another source (`data/corpus`) to learn from, when the project is small.
    """
    server, target = open_desk(taxonomy, project)
    pulled, resolution = settle(server, target, taxonomy)
    # What has been decided in adjudication or review is not asked again.
    decided = {f"ls-{target.id}-{task}" for task in pulled.verdicts}
    own = [example for example in resolution.examples if example.id not in decided]
    examples = [*own, *(read_source(beside) if beside else ())]
    suspects = find_label_errors(examples, taxonomy, vectors=embed(examples, progress=True), progress=True)
    mine = _of(own, suspects)
    if output:
        write_jsonl(output, (asdict(one) for one in mine))
    cases = review_cases(mine, pulled.tasks, limit)
    console = Console(highlight=False)
    if not cases:
        console.print(f"project {target.id}: no label of {len(own)} looks wrong")
        return
    look = ask_again(server, target, taxonomy, "review", cases)
    console.print(
        f"project {look.project.id} ({look.project.title}): {look.added} tasks added, "
        f"{look.present} waited there already"
    )
    console.print(f"{server.login.url}/projects/{look.project.id}/data")


def review_categories(
    taxonomy: Taxonomy, output: Path, project: int | None = None, beside: str | None = None
) -> None:
    """Write and show the categories that people and model confuse, or treat as two.

    Args:
        output: folder of the page.
        beside: another source (`data/corpus`) to learn from and to look at.
    """
    server, target = open_desk(taxonomy, project)
    tasks = pull_project(server, target).tasks
    others = read_source(beside) if beside else ()
    report = examine_labels(tasks, taxonomy, others, progress=True)
    write_clinic(report, output)
    print_clinic(report, Console(highlight=False))
    print(f"page: {output}")


def review_cases(suspects: Sequence[Suspect], tasks: Sequence[Task], limit: int) -> list[tuple[Task, str]]:
    """The most suspicious tasks with everything that speaks against their labels; at most `limit`."""
    by_example = {f"ls-{task.project}-{task.id}": task for task in tasks}
    reasons: dict[str, list[str]] = {}
    for suspect in suspects:
        if suspect.probable_error and (suspect.id in reasons or len(reasons) < limit):
            reasons.setdefault(suspect.id, []).append(suspect.reason)
    return [(by_example[name], "；".join(said)) for name, said in reasons.items()]


def _of(own: Sequence[Example], suspects: Sequence[Suspect]) -> list[Suspect]:
    names = {example.id for example in own}
    return [one for one in suspects if one.id in names]
