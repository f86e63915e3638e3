"""Which tasks of a project go to people next: its open tasks, seen by the champion, in the queue's order."""

from __future__ import annotations

import numpy as np

from data.example import Example
from labeling.client import LabelStudio
from labeling.project import Project
from labeling.queue import order_queue
from labeling.resolve import Resolution
from labeling.task import Task, parse_task

__all__ = ["choose_tasks", "open_tasks"]


def open_tasks(server: LabelStudio, project: Project) -> list[Task]:
    """Tasks that fewer people have answered than the project asks for."""
    asked = int(server.project(project.id).get("maximum_annotations") or 1)
    tasks = (parse_task(raw) for page in server.tasks(project.id, page_size=500) for raw in page)
    return [task for task in tasks if len({answer.annotator for answer in task.annotations}) < asked]


def choose_tasks(
    strategy: str,
    count: int,
    tasks: list[Task],
    resolution: Resolution | None = None,
    seed: int = 0,
) -> list[int]:
    """Ids of the tasks to label next, the first first.

    Args:
        tasks: to choose from; for `disagreement` those that the resolution has labels of.
        resolution: what people said (`disagreement` only).

    Raises:
        serving.package.NotPackagedError: a strategy that asks the champion, and none is packaged.
    """
    if strategy == "random":
        return [tasks[index].id for index in np.random.default_rng(seed).permutation(len(tasks))[:count]]
    said: dict[str, Example] = {}
    if strategy == "disagreement":
        if resolution is None:
            raise ValueError("resolution: the strategy disagreement needs what people said")
        said = {example.id: example for example in resolution.examples}
        tasks = [task for task in tasks if f"ls-{task.project}-{task.id}" in said]
    if not tasks:
        return []
    from serving.offline import packaged_predictor

    opinions = packaged_predictor().opinions([(task.text, task.context) for task in tasks])
    labels = {key: index for index, key in enumerate(opinions.labels["category"])}
    answers = [labels[said[f"ls-{task.project}-{task.id}"].category] for task in tasks] if said else None
    order = order_queue(
        strategy, opinions.probabilities["category"], count, opinions.embedding, answers, seed
    )
    return [tasks[index].id for index in order]
