"""Candidate against champion: through the gate into the registry, and to the alias `champion`.

Promotions of several processes are taken one after another (a lock in `.kefu/`), and each is
repeatable: the same exported model is registered once, however often it is promoted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from experiments import tracking
from experiments.run import record_report, recorded_run
from serving.exported import ExportedModel
from training.config import GateConfig

__all__ = ["Decision", "check_gate", "promote", "registered_name"]

LOCK = Path(".kefu/promote.lock")
EXAMPLE = "还是没到，急死了，今天能送到吗"


def registered_name(task: str) -> str:
    """Name of a task's model in the registry and in the BentoML store."""
    return f"kefu-{task}"


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a candidate for one task."""

    task: str
    version: str
    promoted: bool
    reasons: tuple[str, ...]
    """Why not, or what it won by."""


def check_gate(
    task: str,
    candidate: Mapping[str, float],
    champion: Mapping[str, float] | None,
    gate: GateConfig,
) -> list[str]:
    """Reasons why the candidate may not become champion; empty if it may.

    Args:
        candidate, champion: metrics by name (`test/category_macro_f1`); None if there is no champion.
    """
    reasons = []
    for limits, below in ((gate.minimum, True), (gate.maximum, False)):
        for name, limit in limits.items():
            if not name.split("/")[-1].startswith(task):
                continue
            value = candidate.get(name)
            if value is None:
                reasons.append(f"{name} was not measured")
            elif (value < limit) if below else (value > limit):
                sign = "at least" if below else "at most"
                reasons.append(f"{name} is {value:.4f}, must be {sign} {limit}")
    compared = gate.compare.get(task)
    if compared and champion is not None and compared in champion:
        value = candidate.get(compared, 0.0)
        if value < champion[compared] - gate.tolerance:
            reasons.append(f"{compared} is {value:.4f}, the champion has {champion[compared]:.4f}")
    return reasons


def promote(exported: Path, report: Path, gate: GateConfig, wait: float = 600.0) -> list[Decision]:
    """Register an exported model for each of its tasks; set `champion` where it passes the gate.

    Args:
        exported, report: what the stages `train` and `evaluate` wrote.
        gate: from `params.yaml`.
        wait: seconds to wait for another promotion to end.

    Raises:
        serving.exported.BrokenModelError: the exported model is damaged; nothing was registered.
        TrackingError: another promotion did not end in time, or the report is missing.
    """
    model = ExportedModel(exported)
    if not (report / "metrics.json").is_file():
        raise tracking.TrackingError(f"{report}: no metrics.json; run: kefu evaluate")
    metrics = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(LOCK, timeout=wait):
            return _promote(model, report, metrics, gate)
    except Timeout as error:
        raise tracking.TrackingError(
            f"another promotion holds {LOCK} since more than {wait:.0f} s; if none runs, delete it"
        ) from error


def _promote(
    model: ExportedModel, report: Path, metrics: Mapping[str, float], gate: GateConfig
) -> list[Decision]:
    run = recorded_run(model.folder)
    if run is None or not tracking.run_metrics(run).keys() >= metrics.keys():
        run = record_report(model.folder, report)
    names = {task: registered_name(task) for task in model.tasks}
    champions = {task: tracking.champion_run(name) for task, name in names.items()}
    versions = tracking.register_model(model.folder, list(names.values()), run, _example(model))
    decisions = []
    for task, name in names.items():
        version = versions[name]
        current = champions[task]
        if current and current[0] == version.version:
            reason = "is the champion already"
            decisions.append(Decision(task, version.version, False, (reason,)))
            continue
        before = tracking.run_metrics(current[1]) if current else None
        reasons = check_gate(task, metrics, before, gate)
        if not reasons:
            tracking.set_champion(version)
            compared = gate.compare.get(task, "")
            gained = f"{compared} {metrics.get(compared, 0.0):.4f}"
            gained += f", before {before[compared]:.4f}" if before and compared in before else ""
            decisions.append(Decision(task, version.version, True, (gained,)))
        else:
            decisions.append(Decision(task, version.version, False, tuple(reasons)))
    return decisions


def _example(model: ExportedModel) -> dict[str, object]:
    import pandas as pd

    from experiments.pyfunc import AnalysisModel

    frame = pd.DataFrame({"text": [EXAMPLE]})
    return {"input": frame, "output": AnalysisModel(model.folder).predict(frame)}
