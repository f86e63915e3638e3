"""Compressed forms of an exported model, each through a gate before the folder lists it.

An artefact is the same network in another arithmetic: `int8` for CPUs, `float16` for GPUs. It is
measured on the validation rows against float32, with temperatures and thresholds refitted; one that
loses more than the gate allows is not listed, and the manifest says why.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.example import Example
from data.files import sha256_file, write_json
from data.taxonomy import Taxonomy
from serving.exported import ExportedModel
from serving.policy import load_policy
from training.calibrate import Calibration, recalibrate
from training.compress import to_float16, to_int8
from training.config import ArtefactConfig, ThresholdConfig
from training.export import PARITY_BATCHES, PARITY_LENGTHS, random_inputs
from training.metrics import macro_f1

__all__ = ["Measured", "add_artefacts", "check_artefact", "measure_artefact"]

SPLITS = (12, 24, 36)
"""Matrix products of int8 whose outlying channels are computed exactly: the fewest with which it passes."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Measured:
    """An artefact on the validation rows."""

    macro_f1: dict[str, float]
    """By task."""
    red_recall: float | None
    """Share of the angry rows that raise a red alert by the policy; None without the task or such rows."""
    angry_rows: int
    """Rows that this share rests on."""
    parity: float
    """Largest mean distance (total variation) of its probabilities from float32's over the grid of batch
    and length, on arbitrary tokens."""
    agreement: dict[str, float]
    """By task the share of validation rows with float32's label."""


def add_artefacts(
    folder: Path, rows: Sequence[Example], thresholds: ThresholdConfig, config: ArtefactConfig
) -> dict[str, list[str]]:
    """Make the configured artefacts of an exported model; list those that pass in its manifest.

    Args:
        folder: an exported model; gains `model.NAME.onnx` and `calibration.NAME.json`.
        rows: labelled validation rows.

    Returns:
        By artefact why it was not listed; empty if it was.
    """
    plain = ExportedModel(folder)
    base = measure_artefact(plain, plain, rows)
    refused: dict[str, list[str]] = {}
    for name in config.make:
        for write in _ways(name, plain, rows):
            reasons = refused[name] = _add(folder, name, write, plain, base, rows, thresholds, config)
            if not reasons:
                break
    return refused


def _ways(name: str, plain: ExportedModel, rows: Sequence[Example]) -> list[Callable[[Path, Path], None]]:
    """How an artefact can be made, the fastest first: the first that passes is taken."""
    if name == "float16":
        return [to_float16]
    probes = _probes(plain, rows)
    return [partial(to_int8, probes=probes, split=split) for split in SPLITS]


def _probes(plain: ExportedModel, rows: Sequence[Example], count: int = 64) -> list[dict[str, Any]]:
    """Inputs of some rows, eight to a batch, of similar length."""
    chosen = sorted(rows[:: max(1, len(rows) // count)], key=lambda row: len(row.text))
    messages = [(row.text, row.context) for row in chosen]
    return [plain.inputs(messages[start : start + 8]) for start in range(0, len(messages), 8)]


def _add(
    folder: Path,
    name: str,
    write: Callable[[Path, Path], None],
    plain: ExportedModel,
    base: Measured,
    rows: Sequence[Example],
    thresholds: ThresholdConfig,
    config: ArtefactConfig,
) -> list[str]:
    """Make one artefact and list it, or remove it again; returns why it was not listed."""
    network, calibration = f"model.{name}.onnx", f"calibration.{name}.json"
    write(folder / "model.onnx", folder / network)
    write_json(folder / calibration, plain.calibration)
    _list(folder, name, network, calibration, {})
    fitted = _refit(ExportedModel(folder, artefact=name), rows, plain.taxonomy, thresholds)
    write_json(folder / calibration, fitted.as_dict())
    _list(folder, name, network, calibration, {})
    found = measure_artefact(ExportedModel(folder, artefact=name), plain, rows)
    reasons = check_artefact(found, base, config, name)
    if reasons:
        _unlist(folder, name, network, calibration, reasons)
        _log.warning("artefact %s is not used: %s", name, "; ".join(reasons))
    else:
        _list(folder, name, network, calibration, asdict(found))
        _log.info("artefact %s: %s", name, json.dumps(asdict(found)))
    return reasons


def measure_artefact(model: ExportedModel, plain: ExportedModel, rows: Sequence[Example]) -> Measured:
    """Compare an artefact with float32 on labelled rows and on the grid of shapes."""
    messages = [(row.text, row.context) for row in rows]
    ours, theirs = model.probabilities(messages), plain.probabilities(messages)
    truth = _targets(rows, model.taxonomy, model.tasks)
    scores = {task: macro_f1(truth[task], ours[task].argmax(1), ours[task].shape[1]) for task in model.tasks}
    same = {task: float(np.mean(ours[task].argmax(1) == theirs[task].argmax(1))) for task in model.tasks}
    angry = sum(row.emotion == "angry" for row in rows)
    return Measured(scores, _red_recall(model, ours, rows), angry, _parity(model, plain), same)


def check_artefact(found: Measured, base: Measured, config: ArtefactConfig, name: str) -> list[str]:
    """Why an artefact may not be served; empty if it may."""
    reasons = []
    for task, score in found.macro_f1.items():
        lost = base.macro_f1[task] - score
        if lost > config.max_macro_f1_loss:
            limit = config.max_macro_f1_loss
            reasons.append(f"{task} macro-F1 is {lost:.4f} lower than float32's, allowed {limit}")
    if found.red_recall is not None and base.red_recall is not None:
        lost = base.red_recall - found.red_recall
        # A single message among fewer than 200 is more than half a point: it cannot decide.
        limit = max(config.max_red_recall_loss, 1.001 / found.angry_rows)
        if lost > limit:
            reasons.append(f"red-alert recall is {lost:.4f} lower than float32's, allowed {limit:.4f}")
    limit = config.max_distance[name]
    if not found.parity <= limit:
        reasons.append(f"probabilities are {found.parity:.4f} from float32's on the grid, allowed {limit}")
    return reasons


def _targets(rows: Sequence[Example], taxonomy: Taxonomy, tasks: Sequence[str]) -> dict[str, NDArray[Any]]:
    return {
        task: np.array([taxonomy.label_map(task).label2id[getattr(row, task)] for row in rows])
        for task in tasks
    }


def _red_recall(
    model: ExportedModel, probabilities: Mapping[str, NDArray[Any]], rows: Sequence[Example]
) -> float | None:
    """Share of the angry rows for which the alert policy raises the highest level."""
    if "emotion" not in model.tasks:
        return None
    angry = [index for index, row in enumerate(rows) if row.emotion == "angry"]
    if not angry:
        return None
    policy = load_policy(model.taxonomy)
    highest = max(alert.level for alert in model.taxonomy.alerts)
    threshold = model.calibration["emotion"]["red_above"]

    def alerted(index: int) -> bool:
        scores = {
            task: dict(zip(model.labels[task], probabilities[task][index].tolist(), strict=True))
            for task in model.tasks
        }
        return policy.alert(rows[index].text, scores, threshold).level == highest

    return float(np.mean([alerted(index) for index in angry]))


def _parity(model: ExportedModel, plain: ExportedModel) -> float:
    if model is plain:
        return 0.0
    vocabulary = model.encoder.tokenizer.get_vocab_size()
    worst = 0.0
    for batch, length in product(PARITY_BATCHES, PARITY_LENGTHS):
        inputs = random_inputs(model.encoder, model.ngrams, batch, length, vocabulary)
        names = [f"{task}_logits" for task in model.tasks]
        for ours, theirs in zip(
            model.session.run(names, inputs), plain.session.run(names, inputs), strict=True
        ):
            distance = 0.5 * np.abs(_softmax(ours) - _softmax(theirs)).sum(axis=1).mean()
            worst = max(worst, float(distance) if np.isfinite(distance) else 1.0)
    return worst


def _softmax(logits: NDArray[Any]) -> NDArray[Any]:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)


def _refit(
    model: ExportedModel, rows: Sequence[Example], taxonomy: Taxonomy, thresholds: ThresholdConfig
) -> Calibration:
    logits = model.logits([(row.text, row.context) for row in rows])
    in_context = np.array([bool(row.context) for row in rows])
    before = Calibration.from_dict(model.calibration)
    truth = _targets(rows, taxonomy, model.tasks)
    return recalibrate(logits, truth, in_context, taxonomy, thresholds, before)


def _list(folder: Path, name: str, network: str, calibration: str, figures: Mapping[str, Any]) -> None:
    manifest = _manifest(folder)
    manifest["files"] |= {file: sha256_file(folder / file) for file in (network, calibration)}
    entry = {"file": network, "calibration": calibration, "validation": dict(figures)}
    manifest.setdefault("artefacts", {})[name] = entry
    manifest.get("refused_artefacts", {}).pop(name, None)
    write_json(folder / "manifest.json", manifest)


def _unlist(folder: Path, name: str, network: str, calibration: str, reasons: Sequence[str]) -> None:
    manifest = _manifest(folder)
    manifest["artefacts"].pop(name)
    manifest.setdefault("refused_artefacts", {})[name] = list(reasons)
    for file in (network, calibration):
        manifest["files"].pop(file)
    write_json(folder / "manifest.json", manifest)
    for file in (network, calibration):
        (folder / file).unlink()


def _manifest(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return found
