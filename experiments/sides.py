"""One side of a comparison: a run, a registered model, the champion or an exported folder."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.split import load_snapshot
from data.taxonomy import TASKS
from experiments import tracking
from experiments.promote import registered_name
from experiments.run import recorded_run
from serving.exported import ExportedModel, verify_folder
from training.config import flatten
from training.predictions import (
    PREDICTIONS,
    ROWS,
    Predictions,
    read_predictions,
    read_rows,
    write_predictions,
    write_rows,
)

__all__ = ["Side", "gather", "newest_candidate"]

_VERSION = re.compile(r"(?P<name>[A-Za-z][\w.-]*)@(?P<version>\d+)\Z")
_EVALUATE = "kefu evaluate (or python -m experiments.run evaluate --model … --exported … --report …)"


@dataclass(frozen=True)
class Side:
    """What is known of one of the two models."""

    name: str
    """As a reader knows it: `kefu-category@3`, `champion`, a run or a folder."""
    runs: tuple[str, ...]
    """MLflow runs behind it; a champion may have one for each task, a folder from elsewhere none."""
    predictions: dict[str, Predictions]
    """By task, on test."""
    parameters: dict[str, str]
    metrics: dict[str, float]
    """Of the first run; size and latency are in here."""
    registered: tuple[str, ...] = ()
    commit: str = "unknown"
    started: str = ""
    """Date of the run, ISO 8601 in UTC; empty without a run."""
    rows: list[dict[str, Any]] | None = field(default=None, repr=False)
    """Every row of its snapshot (`training.predictions.read_rows`), if the run kept them."""

    @property
    def snapshot(self) -> str:
        """Id of the data that it was measured on."""
        return next(iter(self.predictions.values())).snapshot


def newest_candidate(models: Path = Path("models")) -> Path:
    """The exported folder under `models/*/exported` that was written last.

    Raises:
        TrackingError: there is none.
    """
    found = sorted(models.glob("*/exported/manifest.json"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise tracking.TrackingError(f"{models}: holds no exported model; make one with: kefu train")
    return found[-1].parent


def gather(what: str, tasks: Sequence[str] = TASKS, snapshot: Path = Path("data/processed")) -> Side:
    """Find a model by what a person calls it, with its answers on test.

    Args:
        what: `champion`, `kefu-category@3`, an exported folder, a run id or its unique beginning.
        tasks: only these are gathered; a model that has none of them is refused.
        snapshot: rows that an exported folder without a run is measured on.

    Raises:
        TrackingError, ValueError: it does not exist, or no predictions were kept; says the mend.
    """
    folder = Path(what)
    if (folder / "manifest.json").is_file():
        run = recorded_run(folder)
        if run is not None and tracking.fetch_artifact(run, f"report/{PREDICTIONS}") is not None:
            return _of_runs(_folder_name(folder), {task: run for task in tasks}, tasks)
        return _of_folder(folder, tasks, snapshot)
    if what == tracking.CHAMPION:
        champions = {task: tracking.champion_run(registered_name(task)) for task in tasks}
        runs = {task: found[1] for task, found in champions.items() if found}
        if not runs:
            raise tracking.TrackingError(
                "there is no champion yet; make one with: kefu train && kefu promote"
            )
        return _of_runs("champion", runs, tasks)
    if match := _VERSION.match(what):
        run = tracking.model_run(match["name"], match["version"])
        return _of_runs(what, {task: run for task in tasks}, tasks)
    run = tracking.find_run(what)
    return _of_runs(f"run {run[:8]}", {task: run for task in tasks}, tasks)


def _folder_name(folder: Path) -> str:
    """`models/shared/exported` is known as "model shared"."""
    here = folder.resolve()
    return f"model {here.parent.name if here.name == 'exported' else here.name}"


def _of_runs(name: str, runs: dict[str, str], tasks: Sequence[str]) -> Side:
    predictions: dict[str, Predictions] = {}
    for task, run in runs.items():
        path = tracking.fetch_artifact(run, f"report/{PREDICTIONS}")
        if path is None:
            raise tracking.TrackingError(f"run {run}: kept no predictions; measure it anew: {_EVALUATE}")
        found = read_predictions(path)
        if task in found.probabilities:
            predictions[task] = found
    if not predictions:
        raise tracking.TrackingError(f"{name}: answers none of {', '.join(tasks)}")
    used = tuple(dict.fromkeys(runs[task] for task in predictions))
    about = tracking.run_details(used[0])
    listed = tracking.fetch_artifact(used[0], f"report/{ROWS}")
    return Side(
        name,
        used,
        predictions,
        about.parameters,
        about.metrics,
        tuple(one for run in used for one in tracking.registered_versions(run)),
        about.tags.get("git_commit", "unknown"),
        about.started,
        read_rows(listed) if listed else None,
    )


def _of_folder(folder: Path, tasks: Sequence[str], snapshot_folder: Path) -> Side:
    """A model without a recorded report answers the test rows of the snapshot at hand."""
    import tempfile

    model, snapshot = ExportedModel(folder), load_snapshot(snapshot_folder)
    test = snapshot.splits["test"]
    answers = model.probabilities([(row.text, row.context) for row in test])
    with tempfile.TemporaryDirectory() as beside:
        place = Path(beside)
        splits = {"test": (test, answers)}
        path = write_predictions(place, snapshot.id, model.taxonomy, model.calibration, splits)
        found = read_predictions(path)
        rows = read_rows(write_rows(place, snapshot))
    predictions = {task: found for task in tasks if task in found.probabilities}
    if not predictions:
        raise tracking.TrackingError(f"{folder}: answers none of {', '.join(tasks)}")
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    parameters = {key: str(value) for key, value in flatten(settings).items()}
    commit = str(verify_folder(folder).get("git_commit", "unknown"))
    return Side(_folder_name(folder), (), predictions, parameters, {}, (), commit, "", rows)
