"""The history of champions, and the way back to the one before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from data.taxonomy import TASKS
from experiments import registry, tracking
from experiments.promote import Approval, default_reviewer, one_at_a_time, registered_name, wide_console
from experiments.registry import Reign

__all__ = ["champions", "former_champions", "rollback", "show_champions"]


def champions(task: str | None = None) -> list[dict[str, Any]]:
    """Every change of champion, oldest first.

    A champion that was set by hand in MLflow, or before there was a history, stands in it as `unrecorded`.

    Returns:
        The fields of `Reign` and `current`: whether it is the champion now.
    """
    rows: list[dict[str, Any]] = []
    by_hand = []
    for one in [task] if task else TASKS:
        name = registered_name(one)
        history, now = registry.read_history(name), tracking.champion_run(name)
        if history and history[0].previous:
            rows.append(_unrecorded(one, history[0].previous))
        rows += [{**asdict(reign), "current": False} for reign in history]
        if now and history and now[0] == history[-1].version:
            rows[-1]["current"] = True
        elif now:  # nobody noted when
            last = {**_unrecorded(one, now[0]), "current": True}
            by_hand.append({**last, "when": ""} if history else last)
    return sorted(rows, key=lambda row: row["when"]) + by_hand


def _unrecorded(task: str, version: str) -> dict[str, Any]:
    """A champion of which only the registered version is known, and since when that exists."""
    name = registered_name(task)
    try:
        run, when = tracking.model_run(name, version), registry.version_made(name, version)
        metric = tracking.run_metrics(run).get(f"test/{task}_macro_f1") if tracking.has_run(run) else None
    except tracking.TrackingError:  # was deleted from the registry
        run, when, metric = "", "", None
    reign = Reign(task, "unrecorded", version, run, "", when, "", "", metric)
    return {**asdict(reign), "current": False}


def show_champions(task: str | None = None, as_json: bool = False, console: Console | None = None) -> None:
    """Print the history as a table, or as JSON lines for programs."""
    rows = champions(task)
    if as_json:
        for row in rows:
            print(json.dumps(row, ensure_ascii=False))
        return
    console = console or wide_console()
    if not rows:
        console.print("no champion yet; make one with: kefu train && kefu promote")
        return
    table = Table("when (UTC)", "task", "version", "run", "macro-F1", "action", "reviewer", "reason")
    for row in rows:
        score = "" if row["macro_f1"] is None else f"{row['macro_f1']:.4f}"
        when = row["when"][:16].replace("T", " ")
        version = f"{row['version']}{' *' if row['current'] else ''}"
        table.add_row(
            when, row["task"], version, row["run"][:8], score, row["action"], row["reviewer"], row["reason"]
        )
    console.print(table)
    console.print("* champion now", markup=False)


def former_champions(history: Sequence[Reign]) -> list[str]:
    """Versions on the way back from the champion, the nearest first.

    Those that were rolled back are not among them: promoted 1, 2, 3 and back to 2, the way back is 1.
    """
    stack: list[str] = []
    for reign in history:
        if not stack and reign.previous:
            stack.append(reign.previous)
        if reign.action == "rollback" and reign.version in stack:
            del stack[stack.index(reign.version) + 1 :]
            continue
        if stack and stack[-1] != reign.previous and reign.previous:
            stack.append(reign.previous)  # was set by hand in between
        stack.append(reign.version)
    return stack[-2::-1] if len(stack) > 1 else []


def rollback(task: str | None, approval: Approval, to: str | None = None, wait: float = 600.0) -> list[Reign]:
    """Give the alias `champion` back to the champion before; tags and history stay.

    Args:
        task: None for all tasks of the model that is champion now.
        to: a version that was champion before; None for the last one.
        approval: a reason is needed.

    Returns:
        What was added to the history, one entry by task.

    Raises:
        TrackingError: there is no champion before, or the version was none; nothing was changed.
    """
    if not approval.reason.strip():
        raise tracking.TrackingError('say why: kefu rollback --reason "…"')
    with one_at_a_time(wait) as token:
        plans = [_plan(one, to) for one in ([task] if task else _sharing())]
        reviewer = approval.reviewer or default_reviewer()
        when = datetime.now(UTC).isoformat(timespec="seconds")
        done = []
        for one, now, target in plans:
            name = registered_name(one)
            run = tracking.model_run(name, target)
            metric = tracking.run_metrics(run).get(f"test/{one}_macro_f1") if tracking.has_run(run) else None
            registry.check_claim(token)
            registry.move_champion(name, target, now)
            reason = approval.reason.strip()
            reign = Reign(one, "rollback", target, run, now, when, reviewer, reason, metric)
            registry.append_reign(name, reign)
            tags = {"rolled_back_at": when, "rolled_back_by": reviewer, "rolled_back_because": reason}
            registry.tag_version(name, now, tags)
            done.append(reign)
    return done


def _sharing() -> list[str]:
    """The tasks whose champions come from one run; an error if there are several."""
    found = {task: now for task in TASKS if (now := tracking.champion_run(registered_name(task)))}
    if not found:
        raise tracking.TrackingError("there is no champion; make one with: kefu train && kefu promote")
    if len({run for _, run in found.values()}) > 1:
        which = ", ".join(f"{registered_name(task)}@{now[0]}" for task, now in found.items())
        raise tracking.TrackingError(
            f"the champions come from different runs ({which}): say which: kefu rollback {next(iter(found))}"
        )
    return list(found)


def _plan(task: str, to: str | None) -> tuple[str, str, str]:
    """Task, champion now and champion to be; checks before anything is changed."""
    name = registered_name(task)
    now = tracking.champion_run(name)
    if now is None:
        raise tracking.TrackingError(f"{name}: there is no champion")
    history = registry.read_history(name)
    were = {reign.version for reign in history} | {reign.previous for reign in history} - {""}
    if history and history[-1].version != now[0]:  # set by hand: the last recorded one is the one before
        back = [history[-1].version, *former_champions(history)]
    else:
        back = former_champions(history)
    if to is not None and (to not in were or to == now[0]):
        known = ", ".join(sorted(were - {now[0]}, key=int)) or "none"
        raise tracking.TrackingError(f"{name}: version {to} was no champion before; there were: {known}")
    if to is None and not back:
        raise tracking.TrackingError(f"{name}: version {now[0]} has no champion before it")
    target = to or back[0]
    registry.version_made(name, target)  # is still in the registry
    return task, now[0], target
