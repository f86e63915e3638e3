"""Candidate against champion: through the gate into the registry, and to the alias `champion`.

One promotion at a time, on this machine (a lock in `.kefu/`) and on the tracking server (a claim in the
registry). Each is repeatable: the same exported model is registered once, however often it is promoted.
Every approval is kept with its reviewer, reason and figures.
"""

from __future__ import annotations

import getpass
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from rich.console import Console
from rich.table import Table

from data.files import sha256_file
from experiments import registry, tracking
from experiments.gate import Check, Evidence, check_gate, read_evidence
from experiments.run import record_report, recorded_run
from serving.exported import ExportedModel
from training.config import GateConfig

__all__ = [
    "Approval",
    "Decision",
    "default_reviewer",
    "one_at_a_time",
    "promote",
    "registered_name",
    "show_decisions",
    "wide_console",
]

LOCK = Path(".kefu/promote.lock")
EXAMPLE = "还是没到，急死了，今天能送到吗"
FIRST = "first champion"


def registered_name(task: str) -> str:
    """Name of a task's model in the registry and in the BentoML store."""
    return f"kefu-{task}"


@dataclass(frozen=True, slots=True)
class Approval:
    """Who wants the promotion, and why."""

    reason: str = ""
    """May be empty only where there is no champion yet."""
    reviewer: str = ""
    """Empty: `default_reviewer`."""

    def __post_init__(self) -> None:
        if len(self.reason) > registry.MAX_REASON:
            raise ValueError(f"reason: has {len(self.reason)} characters, at most {registry.MAX_REASON}")


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a candidate for one task."""

    task: str
    version: str
    promoted: bool
    reasons: tuple[str, ...]
    """Why not, or what it won by."""
    checks: tuple[Check, ...] = ()
    """What the gate looked at; empty where it was not asked."""
    refused: bool = False
    """Neither promoted nor the champion already."""


def default_reviewer() -> str:
    """`git config user.name`, else the user of the operating system."""
    try:
        done = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True)
        if name := done.stdout.strip():
            return name
    except OSError:  # no git here
        pass
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


@contextmanager
def one_at_a_time(wait: float) -> Any:
    """Hold the lock of this machine and the claim on the tracking server; yields the claim's token.

    Raises:
        TrackingError: another promotion did not end within `wait` seconds.
    """
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(LOCK, timeout=wait), registry.promotion_claim(wait) as token:
            yield token
    except Timeout as error:
        raise tracking.TrackingError(
            f"another promotion holds {LOCK} since more than {wait:.0f} s; if none runs, delete it"
        ) from error


def promote(
    exported: Path, report: Path, gate: GateConfig, approval: Approval | None = None, wait: float = 600.0
) -> list[Decision]:
    """Register an exported model for each of its tasks; set `champion` where it passes the gate.

    A champion that changes while this waits for another promotion is not replaced: the approval was for
    another comparison. The candidate is judged against the new one, and the decision says so.

    Args:
        exported, report: what the stages `train` and `evaluate` wrote.
        gate: from `params.yaml`.
        approval: reviewer and reason; needed where another champion is replaced.
        wait: seconds to wait for another promotion to end.

    Raises:
        serving.exported.BrokenModelError: the exported model is damaged; nothing was registered.
        FileNotFoundError: the report is missing.
        TrackingError: another promotion did not end in time, or a reason is missing.
    """
    model = ExportedModel(exported)
    evidence = read_evidence(report, model.manifest)
    seen = _champions(model)
    approval = approval or Approval()
    _need_reason(model, seen, approval)
    with one_at_a_time(wait) as token:
        return _promote(model, report, evidence, gate, approval, seen, token)


def _champions(model: ExportedModel) -> dict[str, tuple[str, str] | None]:
    return {task: tracking.champion_run(registered_name(task)) for task in model.tasks}


def _need_reason(
    model: ExportedModel, champions: Mapping[str, tuple[str, str] | None], approval: Approval
) -> None:
    if approval.reason.strip():
        return
    digest = sha256_file(model.folder / "manifest.json")
    for task, current in champions.items():
        name = registered_name(task)
        if current and current[0] != registry.find_version(name, digest):
            raise tracking.TrackingError(
                f"{name}: this would replace the champion, version {current[0]}; say why: "
                'kefu promote --reason "…"'
            )


def _promote(
    model: ExportedModel,
    report: Path,
    evidence: Evidence,
    gate: GateConfig,
    approval: Approval,
    seen: Mapping[str, tuple[str, str] | None],
    token: str,
) -> list[Decision]:
    run = recorded_run(model.folder)
    if run is None or not tracking.run_metrics(run).keys() >= evidence.metrics.keys():
        run = record_report(model.folder, report)
    names = {task: registered_name(task) for task in model.tasks}
    champions = _champions(model)
    versions = registry.register_model(model.folder, list(names.values()), run, _example(model))
    decisions = []
    for task, name in names.items():
        version, current = versions[name], champions[task]
        if current and current[0] == version.version:
            decisions.append(Decision(task, version.version, False, ("is the champion already",)))
            continue
        before = tracking.run_metrics(current[1]) if current else None
        checks = check_gate(task, evidence, before, gate)
        failing = tuple(check.sentence() for check in checks if not check.passed)
        if current != seen[task]:
            failing = (_overtaken(name, seen[task], current, failing),)
        if failing:
            _keep_refusal(version, failing)
            decisions.append(Decision(task, version.version, False, failing, tuple(checks), refused=True))
            continue
        registry.check_claim(token)
        registry.move_champion(name, version.version, current[0] if current else None)
        _keep_approval(task, version, current, evidence, checks, approval, gate)
        gained = _gained(evidence.metrics, before, gate.compare.get(task, ""))
        decisions.append(Decision(task, version.version, True, (gained,), tuple(checks)))
    return decisions


def _overtaken(
    name: str, seen: tuple[str, str] | None, current: tuple[str, str] | None, failing: Sequence[str]
) -> str:
    """What the loser of two promotions at once is told."""
    was = f"version {seen[0]}" if seen else "none"
    now = f"version {current[0]}" if current else "none"
    history = registry.read_history(name)
    by = f" by {history[-1].reviewer}: {history[-1].reason}" if history else ""
    verdict = f"would be refused: {'; '.join(failing)}" if failing else "would pass: run this again"
    changed = f"the champion changed while this waited, from {was} to {now}{by}"
    return f"{changed}. Judged against that one it {verdict}"


def _gained(metrics: Mapping[str, float], before: Mapping[str, float] | None, compared: str) -> str:
    gained = f"{compared} {metrics.get(compared, 0.0):.4f}"
    return gained + (f", before {before[compared]:.4f}" if before and compared in before else "")


def _keep_approval(
    task: str,
    version: tracking.RegisteredModel,
    current: tuple[str, str] | None,
    evidence: Evidence,
    checks: Sequence[Check],
    approval: Approval,
    gate: GateConfig,
) -> None:
    when = datetime.now(UTC).isoformat(timespec="seconds")
    reviewer = approval.reviewer or default_reviewer()
    reason = approval.reason.strip() or FIRST
    rows = tuple((check.metric, check.found, check.wanted, check.champion) for check in checks)
    previous = current[0] if current else ""
    registry.append_reign(
        version.name,
        registry.Reign(
            task, "promote", version.version, version.run, previous, when, reviewer, reason,
            evidence.metrics.get(f"test/{task}_macro_f1"), rows,
        ),
    )  # fmt: skip
    registry.tag_version(version.name, version.version, {
        "reviewer": reviewer,
        "reason": reason,
        "promoted_at": when,
        "previous_champion": previous or "none",
        "verdict": _gained(evidence.metrics, None, gate.compare.get(task, "")) + ": passed the gate",
        "gate": json.dumps(rows, ensure_ascii=False),
    })  # fmt: skip


def _keep_refusal(version: tracking.RegisteredModel, failing: Sequence[str]) -> None:
    when = datetime.now(UTC).isoformat(timespec="seconds")
    # Names of their own: a version that was champion once keeps its approval.
    registry.tag_version(
        version.name, version.version, {"refused_at": when, "refusal": "; ".join(failing)[:4000]}
    )


def _example(model: ExportedModel) -> dict[str, object]:
    import pandas as pd

    from experiments.pyfunc import AnalysisModel

    frame = pd.DataFrame({"text": [EXAMPLE]})
    return {"input": frame, "output": AnalysisModel(model.folder).predict(frame)}


def wide_console() -> Console:
    """A console for tables: as wide as the terminal, and 120 characters in a pipe or a log."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 120)


def show_decisions(decisions: Sequence[Decision], console: Console | None = None) -> bool:
    """Print what became of a candidate, a refusal with its failing lines; whether nothing was refused."""
    console = console or wide_console()
    for one in decisions:
        failing = [check for check in one.checks if not check.passed]
        verdict = "champion" if one.promoted else "refused" if one.refused else "kept"
        why = f"{len(failing)} of {len(one.checks)} checks failed" if failing else "; ".join(one.reasons)
        console.print(f"{one.task:9} version {one.version}: {verdict} ({why})", markup=False, soft_wrap=True)
        if failing:
            console.print(_failing_table(failing))
            if "the champion changed" in one.reasons[0]:
                console.print(one.reasons[0], markup=False)
        for check in one.checks:
            if one.promoted and check.found == "not served":
                console.print(f"  {check.metric} is not served: {check.note}", markup=False, soft_wrap=True)
    return not any(one.refused for one in decisions)


def _failing_table(failing: Sequence[Check]) -> Table:
    # The columns say already what most notes say in words.
    notes = ["" if isinstance(check.found, float) else check.note for check in failing]
    table = Table("metric", "found", "wanted", "champion", *(["why"] if any(notes) else []))
    for check, note in zip(failing, notes, strict=True):
        found = f"{check.found:.4f}" if isinstance(check.found, float) else check.found or "–"
        champion = "" if check.champion is None else f"{check.champion:.4f}"
        table.add_row(check.metric, found, check.wanted, champion, *([note] if any(notes) else []))
    return table
