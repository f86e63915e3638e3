"""What a candidate must show before it may become champion: every requirement as one line.

Figures are those of the candidate's report (test rows, after calibration) and of its manifest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.taxonomy import TASKS
from training.config import GateConfig

__all__ = ["Check", "Evidence", "check_gate", "read_evidence"]


@dataclass(frozen=True, slots=True)
class Check:
    """One requirement, what was found, and whether that is enough."""

    metric: str
    found: float | str | None
    wanted: str
    passed: bool
    champion: float | None = None
    """The champion's figure, where there is one."""
    note: str = ""

    def sentence(self) -> str:
        """The check in words."""
        if self.note:
            return f"{self.metric} {self.note}"
        value = f"{self.found:.4f}" if isinstance(self.found, float) else self.found
        return f"{self.metric} is {value}, must be {self.wanted}"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of a candidate."""

    metrics: Mapping[str, float]
    """By name with the split: `test/category_macro_f1`."""
    classes: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)
    """By task its classes: `label`, `f1`, `support`."""
    artefacts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Compressed networks that the manifest lists, each with its figures on validation."""
    refused: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Compressed networks that were refused at the export, with the reasons."""


def read_evidence(report: Path, manifest: Mapping[str, Any]) -> Evidence:
    """The evidence in a report folder and in the manifest of the exported model.

    Raises:
        FileNotFoundError: the model was not measured.
    """
    if not (report / "metrics.json").is_file():
        raise FileNotFoundError(f"{report}: no metrics.json; run: kefu evaluate")
    metrics = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    classes = {}
    for task in TASKS:
        path = report / f"{task}.json"
        if path.is_file():
            classes[task] = json.loads(path.read_text(encoding="utf-8"))["classes"]
    listed = {name: entry.get("validation", {}) for name, entry in manifest.get("artefacts", {}).items()}
    return Evidence(metrics, classes, listed, manifest.get("refused_artefacts", {}))


def check_gate(
    task: str, candidate: Evidence, champion: Mapping[str, float] | None, gate: GateConfig
) -> list[Check]:
    """Every requirement that concerns a task, in the order of `params.yaml`; it passes if all do.

    Args:
        task: `category` or `emotion`; a metric that names neither concerns both.
        champion: metrics of the champion's run; None if there is no champion.
    """
    before = champion or {}
    return [
        *_limits(task, candidate.metrics, before, gate),
        *_not_worse(task, candidate.metrics, champion, gate),
        *_classes(task, candidate, gate),
        *_artefacts(task, candidate, gate),
    ]


def _concerns(task: str, metric: str) -> bool:
    name = metric.split("/")[-1]
    return name.startswith(task) or not name.startswith(TASKS)


def _limits(
    task: str, metrics: Mapping[str, float], before: Mapping[str, float], gate: GateConfig
) -> list[Check]:
    checks = []
    for limits, word in ((gate.minimum, "at least"), (gate.maximum, "at most")):
        for name, limit in limits.items():
            if not _concerns(task, name):
                continue
            wanted, value = f"{word} {limit:g}", metrics.get(name)
            if value is None:
                checks.append(_missing(name, wanted, before.get(name)))
                continue
            passed = value >= limit if word == "at least" else value <= limit
            checks.append(Check(name, value, wanted, passed, before.get(name)))
    return checks


def _missing(name: str, wanted: str, before: float | None) -> Check:
    return Check(name, None, wanted, False, before, "was not measured; run kefu evaluate")


def _not_worse(
    task: str, metrics: Mapping[str, float], champion: Mapping[str, float] | None, gate: GateConfig
) -> list[Check]:
    tolerances = dict.fromkeys([gate.compare[task]] if task in gate.compare else [], gate.tolerance)
    tolerances |= {name: limit for name, limit in gate.not_worse.items() if _concerns(task, name)}
    checks = []
    for name, tolerance in tolerances.items():
        before, value = (champion or {}).get(name), metrics.get(name)
        if before is None:  # nothing to compare with: the first, or a figure that is newer than the champion
            continue
        wanted = f"at least {before - tolerance:.4f} (champion less {tolerance:g})"
        if value is None:
            checks.append(_missing(name, wanted, before))
            continue
        passed = value >= before - tolerance
        note = "" if passed else f"is {value:.4f}, the champion has {before:.4f} (tolerance {tolerance:g})"
        checks.append(Check(name, value, wanted, passed, before, note))
    return checks


def _classes(task: str, candidate: Evidence, gate: GateConfig) -> list[Check]:
    floor, single = gate.class_floor.get(task), gate.class_floors.get(task, {})
    if floor is None and not single:
        return []
    classes = candidate.classes.get(task)
    if classes is None:
        return [_missing(f"{task} F1 by class", "in the report", None)]
    known = {row["label"] for row in classes}
    checks = [
        Check(f"{task} F1 of {label}", None, f"at least {limit:g}", False, None, "is no class of this model")
        for label, limit in single.items()
        if label not in known
    ]
    below, lowest = [], None
    for row in classes:
        limit = single.get(row["label"], floor)
        if limit is None or not row["support"]:  # no test row has this label: nothing was measured
            continue
        check = Check(f"{task} F1 of {row['label']}", row["f1"], f"at least {limit:g}", row["f1"] >= limit)
        if not check.passed:
            below.append(check)
        elif lowest is None or row["f1"] - limit < lowest[0]:
            lowest = (row["f1"] - limit, check)
    # All that fail; of those that pass the one nearest its floor stands for the others.
    return [*checks, *below, *([lowest[1]] if lowest else [])]


def _artefacts(task: str, candidate: Evidence, gate: GateConfig) -> list[Check]:
    checks = []
    for name in dict.fromkeys([*gate.require_artefacts, *candidate.artefacts, *candidate.refused]):
        if name not in candidate.artefacts:
            reasons = "; ".join(candidate.refused.get(name, ())) or "was not made"
            needed = name in gate.require_artefacts
            wanted = "served with the model" if needed else "not required"
            checks.append(Check(f"artefact {name}", "not served", wanted, not needed, None, reasons))
            continue
        checks += _parity(task, name, candidate, gate)
    return checks


def _parity(task: str, name: str, candidate: Evidence, gate: GateConfig) -> list[Check]:
    figures, checks = candidate.artefacts[name], []
    score = figures.get("macro_f1", {}).get(task)
    plain = candidate.metrics.get(f"val_exported/{task}_macro_f1")
    if score is not None and plain is not None:
        lost = float(plain - score)
        limit = gate.max_artefact_loss
        metric = f"artefact {name}: {task} macro-F1 lost"
        checks.append(Check(metric, lost, f"at most {limit:g}", lost <= limit))
    if (distance := gate.max_artefact_distance.get(name)) is not None:
        metric, found = f"artefact {name}: distance from float32", figures.get("parity")
        wanted = f"at most {distance:g}"
        if found is None:
            checks.append(Check(metric, None, wanted, False, None, "was not measured; run kefu train"))
        else:
            checks.append(Check(metric, float(found), wanted, found <= distance))
    return checks
