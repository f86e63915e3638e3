"""What `kefu label …` does: the parts of this package put together, and their outcome said."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from data.example import Example, read_examples, write_examples
from data.files import read_jsonl, write_jsonl
from data.sources import read_source
from data.split import check_labels
from data.taxonomy import Taxonomy
from labeling.accounts import add_annotator
from labeling.batch import open_batch
from labeling.client import HOME, LabelStudio, find_login
from labeling.project import KINDS, Project, find_project, init_project, kefu_projects
from labeling.pull import RAW, PulledProject, pull_project
from labeling.push import push, read_chats, tasks_with
from labeling.resolve import Resolution, load_resolution_policy, resolve
from labeling.second_look import adjudicate

if TYPE_CHECKING:
    from labeling.suggest import Suggest

__all__ = [
    "EXAMPLES",
    "GOLD",
    "adjudicate_conflicts",
    "connect_backend",
    "events_pulled",
    "init",
    "invite",
    "list_projects",
    "measure",
    "open_desk",
    "pull",
    "push_file",
    "queue",
    "queued_events",
    "read_gold",
    "settle",
    "show_resolution",
    "take_feedback",
]

GOLD = HOME / "gold.jsonl"
EXAMPLES = RAW / "examples.jsonl"
_console = Console(highlight=False, soft_wrap=True)


def open_desk(taxonomy: Taxonomy, project: int | None = None) -> tuple[LabelStudio, Project]:
    """The server that is configured, and the labelling project meant."""
    server = LabelStudio(find_login())
    return server, find_project(server, taxonomy, project)


def init(taxonomy: Taxonomy, title: str, annotators: int, prelabel: bool) -> None:
    """Make the labelling project, or bring its interface up to date."""
    server = LabelStudio(find_login())
    project, new = init_project(server, taxonomy, title, annotators, prelabel=prelabel)
    _console.print(f"project {project.id} ({project.title}): {'made' if new else 'brought up to date'}")
    _console.print(f"{server.login.url}/projects/{project.id}/data")


def list_projects() -> None:
    """Show the projects of this platform on the server."""
    server = LabelStudio(find_login())
    table = Table("project", "title", "kind", "of", "tasks", "schema", title=server.login.url)
    for one in kefu_projects(server):
        table.add_row(
            str(one.id),
            one.title,
            f"{one.kind} {KINDS[one.kind]}",
            str(one.of or ""),
            str(one.tasks),
            one.schema,
        )
    _console.print(table)


def invite(email: str) -> None:
    """Make an account for an annotator and show its password, once."""
    account = add_annotator(find_login(), email)
    _console.print(f"{account.login.url}  user {email}  password {account.login.password}")
    _console.print(f"their answers are kept under {account.annotator}")


def push_file(
    taxonomy: Taxonomy,
    file: Path,
    project: int | None = None,
    gold: bool = False,
    suggestions: bool = True,
    service: str | None = None,
) -> None:
    """Import the messages of a file as tasks, masked, without doubles, with the champion's suggestions.

    Args:
        gold: the rows carry known labels by which annotators are measured. The answers stay on this
            machine; in Label Studio the tasks look like any other.
        service: address of a running inference service; else the packaged champions answer here.

    Raises:
        ValueError: a bad row, or gold rows without labels; nothing is imported.
    """
    chats = read_chats(file)
    known = read_examples(file) if gold else []
    check_labels(known, taxonomy)
    server, target = open_desk(taxonomy, project)
    suggest = _champion(suggestions, service)
    if known:
        _keep_gold(known, [chat.key for chat in chats])
    report = push(server, target.id, chats, tasks_with(suggest, taxonomy))
    _console.print(
        f"project {target.id}: {report.added} tasks added, {report.present} were there, "
        f"{report.doubled} doubles in the file"
    )


def take_feedback(
    taxonomy: Taxonomy,
    project: int | None = None,
    store: Path | None = None,
    suggestions: bool = True,
    service: str | None = None,
) -> None:
    """Make tasks of what agents said of the service's answers, wrong answers first.

    Args:
        store: the feedback store's file; else the one that the service writes.
        suggestions, service: as for `push_file`.
    """
    from labeling.feedback import push_feedback
    from serving.feedback import FeedbackStore, default_path

    feedback = FeedbackStore(store or default_path(), taxonomy)
    if not feedback.counts()["pending"]:
        _console.print(f"{feedback.path}: no feedback waits")
        return
    server, target = open_desk(taxonomy, project)
    report = push_feedback(
        server, target, feedback, taxonomy, tasks_with(_champion(suggestions, service), taxonomy)
    )
    if report:
        _console.print(
            f"project {target.id}: {report.taken} feedback taken, {report.added} tasks added, "
            f"{report.noted} were there and show it now: {report.url}"
        )


def _champion(suggestions: bool, service: str | None) -> Suggest | None:
    if not suggestions:
        return None
    from labeling.suggest import packaged_champion, served_champion

    return served_champion(service) if service else packaged_champion()


def _keep_gold(known: list[Example], keys: list[str]) -> None:
    stored = {key: {"key": key, "category": c, "emotion": e} for key, (c, e) in read_gold().items()}
    for example, key in zip(known, keys, strict=True):
        stored[key] = {"key": key, "category": example.category, "emotion": example.emotion}
    write_jsonl(GOLD, stored.values())


def read_gold(path: Path = GOLD) -> dict[str, tuple[str, str]]:
    """Known answers by task key: (category, emotion); empty where there are none."""
    if not path.exists():
        return {}
    return {row["key"]: (row["category"], row["emotion"]) for _, row in read_jsonl(path)}


def queue(taxonomy: Taxonomy, strategy: str, count: int, project: int | None = None, seed: int = 0) -> None:
    """Open a tab with the tasks that are worth labelling next, in order."""
    from labeling.choose import choose_tasks, open_tasks

    server, target = open_desk(taxonomy, project)
    if strategy == "disagreement":
        pulled, resolution = settle(server, target, taxonomy)
        chosen = choose_tasks(strategy, count, pulled.tasks, resolution, seed)
    else:
        chosen = choose_tasks(strategy, count, open_tasks(server, target), seed=seed)
    if not chosen:
        _console.print(f"project {target.id}: no task is left for {strategy}")
        return
    batch = open_batch(server, target, strategy, chosen)
    _console.print(f"{batch.count} tasks in the tab “{batch.title}”: {batch.url}")


def settle(
    server: LabelStudio, project: Project, taxonomy: Taxonomy, policy: Path | None = None
) -> tuple[PulledProject, Resolution]:
    """Fetch every answer of a project and settle them.

    Gold tasks measure people: their labels are known already, so they are not settled.
    """
    pulled, gold = pull_project(server, project), read_gold()
    tasks = [task for task in pulled.tasks if task.key not in gold]
    return pulled, resolve(tasks, taxonomy, load_resolution_policy(policy), pulled.verdicts)


def pull(
    taxonomy: Taxonomy,
    project: int | None = None,
    output: Path = EXAMPLES,
    beside: str | None = None,
    policy: Path | None = None,
) -> Resolution:
    """Fetch every answer and write the examples they amount to.

    Args:
        beside: another source (`data/corpus`) whose examples are written to the same file.
    """
    server, target = open_desk(taxonomy, project)
    pulled, resolution = settle(server, target, taxonomy, policy)
    others = read_source(beside) if beside else []
    write_examples(output, [*others, *resolution.examples])
    show_resolution(pulled, resolution, output)
    return resolution


def show_resolution(pulled: PulledProject, resolution: Resolution, output: Path) -> None:
    """Say what a pull brought."""
    answers = sum(len(task.annotations) for task in pulled.tasks)
    _console.print(f"{len(pulled.tasks)} tasks, {answers} answers")
    _console.print(f"{len(resolution.examples)} examples of this project -> {output}")
    if resolution.waiting:
        _console.print(f"{len(resolution.waiting)} tasks wait for answers")
    if resolution.conflicts:
        _console.print(f"{len(resolution.conflicts)} in conflict; make them a project: kefu label adjudicate")
    if resolution.reliability:
        table = Table(
            "annotator", "answers", "category", "emotion", title="reliability, as agreement shows it"
        )
        counts = Counter(answer.annotator for task in pulled.tasks for answer in task.annotations)
        for annotator, skills in sorted(resolution.reliability.items()):
            shown = [f"{skills[kind]:.3f}" if kind in skills else "" for kind in ("category", "emotion")]
            table.add_row(annotator, str(counts[annotator]), *shown)
        _console.print(table)


def adjudicate_conflicts(taxonomy: Taxonomy, project: int | None = None) -> None:
    """Make the tasks in conflict into the adjudication project."""
    server, target = open_desk(taxonomy, project)
    _, resolution = settle(server, target, taxonomy)
    look = adjudicate(server, target, taxonomy, resolution.conflicts)
    _console.print(
        f"project {look.project.id} ({look.project.title}): {look.added} tasks added, "
        f"{look.present} waited there already"
    )
    _console.print(f"{server.login.url}/projects/{look.project.id}/data")


def measure(taxonomy: Taxonomy, output: Path, project: int | None = None) -> None:
    """Write the agreement report of a project and show its table."""
    from labeling.agreement import measure_agreement, print_agreement, write_agreement

    server, target = open_desk(taxonomy, project)
    report = measure_agreement(pull_project(server, target).tasks, taxonomy, read_gold())
    write_agreement(report, output)
    print_agreement(report, _console)
    _console.print(f"page: {output / 'agreement.html'}")


def connect_backend(taxonomy: Taxonomy, backend: str, project: int | None = None) -> None:
    """Let Label Studio ask a running backend for suggestions, and tell it of every annotation."""
    from labeling.backend import TOKEN
    from labeling.connect import connect

    server, target = open_desk(taxonomy, project)
    made = connect(server.login, target.id, backend, taxonomy, os.environ.get(TOKEN))
    _console.print(f"project {target.id}: backend {made.backend}, webhook {made.webhook} ({backend})")


def queued_events() -> list[int]:
    """Ids of what webhooks told and no pull has brought yet."""
    from labeling.events import EVENTS, EventQueue

    if not EVENTS.exists():
        return []
    with closing(EventQueue(EVENTS)) as events:
        return [event.id for event in events.pending(limit=1_000_000)]


def events_pulled(ids: Sequence[int]) -> None:
    """Report events as dealt with: a pull that began after them has ended."""
    from labeling.events import EVENTS, EventQueue

    if ids:
        with closing(EventQueue(EVENTS)) as events:
            events.done(ids)
