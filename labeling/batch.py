"""The next batch to label, as a tab of the project: its tasks in the order of their worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tqdm import tqdm

from labeling.client import LabelStudio
from labeling.project import READABLE, Project

__all__ = ["TITLES", "Batch", "open_batch"]

TITLES = {
    "uncertainty": "下一批 · 模型最没把握",
    "diverse": "下一批 · 没把握且各不相同",
    "disagreement": "复看 · 人与模型不一致",
    "random": "下一批 · 随机",
}


@dataclass(frozen=True, slots=True)
class Batch:
    """A tab that shows some tasks in a chosen order."""

    tab: int
    title: str
    url: str
    count: int


def open_batch(server: LabelStudio, project: Project, strategy: str, tasks: Sequence[int]) -> Batch:
    """Show `tasks` in their order in the tab of this strategy; an earlier batch of it leaves the tab.

    The community edition cannot order by uncertainty. It can order by a field of the task's data, so the
    place in the batch is written there: `batch` (the strategy) and `rank`.

    Args:
        tasks: ids, the first to label first. Those deleted meanwhile are left out.
    """
    wanted = {number: rank for rank, number in enumerate(tasks, 1)}
    written = 0
    with tqdm(
        total=len(wanted), unit="task", desc="queue", disable=None if len(wanted) >= 100 else True
    ) as progress:
        for page in server.tasks(project.id, page_size=1000, answers=False):
            for task in page:
                number, data = int(task["id"]), dict(task["data"])
                rank = wanted.get(number)
                if rank is None and data.get("batch") != strategy:
                    continue
                place = {"batch": strategy, "rank": f"{rank:06}"} if rank else {"batch": "", "rank": ""}
                if {name: data.get(name) for name in place} != place:
                    server.set_task_data(number, data | place)
                if rank:
                    written += 1
                    progress.update()
    title = TITLES[strategy]
    shown = {
        "type": "list",
        "target": "tasks",
        "filters": {
            "conjunction": "and",
            "items": [
                {
                    "filter": "filter:tasks:data.batch",
                    "operator": "equal",
                    "type": "String",
                    "value": strategy,
                }
            ],
        },
        "ordering": ["tasks:data.rank"],
        **READABLE,
    }
    tab = server.show_tab(project.id, title, shown)
    return Batch(tab, title, f"{server.login.url}/projects/{project.id}/data?tab={tab}", written)
