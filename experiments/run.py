"""One model from snapshot to figures, recorded as one MLflow run: the stages `train` and `evaluate`."""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Callback

from data.arrow_rows import column
from data.example import Example
from data.files import sha256_file
from data.split import load_snapshot
from experiments import tracking
from experiments.artefacts import add_artefacts
from experiments.footprint import measure_footprint
from serving.exported import ExportedModel, verify_folder
from training.config import TrainingConfig, flatten, load_training_config
from training.evaluate import TaskReport, evaluate_task
from training.export import export_model
from training.fit import fit_model
from training.predictions import write_predictions, write_rows
from training.report import model_card, write_report
from training.streaming import VALIDATION_ROWS, thinned

__all__ = ["evaluate_stage", "main", "record_report", "recorded_run", "task_reports", "train_stage"]

CHECKPOINTS = Path(".kefu/checkpoints")
_log = logging.getLogger(__name__)


def train_stage(
    model: str,
    config: TrainingConfig,
    snapshot_folder: Path,
    output: Path,
    more_tags: Mapping[str, str] | None = None,
    checkpoints: Path = CHECKPOINTS,
    callbacks: Sequence[Callback] = (),
) -> str:
    """Train, calibrate and export one model, recorded as a new run; returns the run's id.

    A run that was killed is resumed from its last checkpoint when the same configuration meets the
    same snapshot again.

    Args:
        more_tags: of the run, beside those of every run.
        checkpoints: where to look for that checkpoint.
        callbacks: further Lightning callbacks.
    """
    snapshot = load_snapshot(snapshot_folder)
    rows = {name: len(examples) for name, examples in snapshot.splits.items()}
    authors = sorted(set(column(snapshot.splits["train"], "author")))
    tags = {
        "model": model,
        "method": config.method,
        "snapshot": snapshot.id,
        "git_commit": tracking.git_commit(),
        **tracking.environment(),
        **(more_tags or {}),
    }
    parameters = {**config.flat(), "data.snapshot": snapshot.id}
    with tracking.start_run(f"{model}-{snapshot.id}", parameters, tags) as run:
        tracking.log_snapshot(snapshot.id, rows, snapshot_folder)
        tracking.log_settings(asdict(config))
        began, worked = time.monotonic(), time.process_time()
        logger = tracking.lightning_logger(run)
        result, calibration = fit_model(config, snapshot, checkpoints, logger, callbacks)
        export_model(
            result,
            calibration,
            snapshot.taxonomy,
            output,
            provenance={
                "snapshot": snapshot.id,
                "rows": rows,
                "run": run,
                "git_commit": tags["git_commit"],
                "validation": result.metrics,
                "epochs": result.epochs,
                "training_seconds": time.monotonic() - began,
                "training_cpu_seconds": time.process_time() - worked,
            },
            card=model_card(config, snapshot.id, rows, authors),
        )
        add_artefacts(
            output, thinned(snapshot.splits["val"], VALIDATION_ROWS), config.thresholds, config.artefacts
        )
    return run


def evaluate_stage(exported: Path, snapshot_folder: Path, report: Path) -> dict[str, float]:
    """Measure the exported model as it will be served, and add the report to its run.

    Raises:
        serving.exported.BrokenModelError: the exported folder is damaged.
    """
    snapshot = load_snapshot(snapshot_folder)
    model = ExportedModel(exported)
    held_out = {
        split: thinned(rows, VALIDATION_ROWS) for split, rows in snapshot.splits.items() if split != "train"
    }
    answers = {
        split: (rows, model.probabilities([(row.text, row.context) for row in rows]))
        for split, rows in held_out.items()
    }
    # `val/…` are the curves of training; the exported, calibrated model gets a name of its own.
    reports = {
        "val_exported" if split == "val" else split: task_reports(model, rows, found)
        for split, (rows, found) in answers.items()
    }
    shutil.rmtree(report, ignore_errors=True)
    metrics = write_report(report, reports, measure_footprint(exported) | _training_time(model))
    write_predictions(report, snapshot.id, model.taxonomy, model.calibration, answers)
    write_rows(report, snapshot)
    record_report(exported, report)
    return metrics


def _training_time(model: ExportedModel) -> dict[str, float]:
    names = ("training_seconds", "training_cpu_seconds")
    return {name: float(model.manifest[name]) for name in names if name in model.manifest}


def record_report(exported: Path, report: Path) -> str:
    """Put a report's figures and pictures into the model's run; returns the run's id.

    A model from the pipeline's cache may have been trained beside another tracking store: then a
    new run takes its configuration and figures.
    """
    manifest = verify_folder(exported)
    run = recorded_run(exported)
    settings = json.loads((exported / "config.json").read_text(encoding="utf-8"))
    metrics = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    tags = {
        "snapshot": str(manifest.get("snapshot")),
        "git_commit": str(manifest.get("git_commit")),
        "exported": sha256_file(exported / "manifest.json"),
    }
    parameters = {**flatten(settings), "data.snapshot": manifest.get("snapshot")}
    name = f"cached-{manifest.get('snapshot')}"
    with tracking.start_run(name, parameters, tags, run) as recorded:
        tracking.log_report(metrics, report)
    return recorded


def recorded_run(exported: Path) -> str | None:
    """The run that holds this exported model on the configured tracking server, or None."""
    manifest = verify_folder(exported)
    if tracking.has_run(manifest.get("run")):
        return str(manifest["run"])
    return tracking.run_with_tag("exported", sha256_file(exported / "manifest.json"))


def task_reports(
    model: ExportedModel, rows: Sequence[Example], full: dict[str, NDArray[np.float32]] | None = None
) -> list[TaskReport]:
    """The figures of each of the model's tasks on any labelled rows.

    Args:
        full: the model's probabilities of these rows by task, if they are known already.
    """
    if full is None:
        full = model.probabilities([(row.text, row.context) for row in rows])
    alone = _without_context(model, rows, full)
    return [
        evaluate_task(task, rows, full[task], model.taxonomy, model.calibration[task], alone[task])
        for task in model.tasks
    ]


def _without_context(
    model: ExportedModel, rows: Sequence[Example], full: dict[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.float32]]:
    in_context = [index for index, row in enumerate(rows) if row.context]
    alone = {task: values.copy() for task, values in full.items()}
    if in_context:
        found = model.probabilities([(rows[index].text, ()) for index in in_context])
        for task, values in found.items():
            alone[task][in_context] = values
    return alone


def main(arguments: Sequence[str] | None = None) -> None:
    """The stages of the pipeline: `train` and `evaluate`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("stage", choices=("train", "evaluate"))
    parser.add_argument("--model", required=True, help="an entry of models in params.yaml")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    parser.add_argument("--snapshot", type=Path, default=Path("data/processed"))
    parser.add_argument("--exported", type=Path, required=True)
    parser.add_argument("--report", type=Path)
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for package in ("torch.onnx", "pytorch_lightning"):
        logging.getLogger(package).setLevel(logging.ERROR)
    for package in ("training", "experiments"):
        logging.getLogger(package).setLevel(logging.INFO)
    if options.stage == "train":
        config = load_training_config(options.model, options.params)
        run = train_stage(options.model, config, options.snapshot, options.exported)
        print(f"run {run}: exported model -> {options.exported}")
        return
    if options.report is None:
        parser.error("evaluate needs --report")
    metrics = evaluate_stage(options.exported, options.snapshot, options.report)
    for name in sorted(metrics):
        if name.startswith("test/") or "/" not in name:
            print(f"{name:36} {metrics[name]:.4f}")


if __name__ == "__main__":
    main()
