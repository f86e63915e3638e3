"""Runs, figures and registered models in MLflow: the only module of the project that knows it.

Without settings everything is kept in `.kefu/` (SQLite and a folder); `MLFLOW_TRACKING_URI` points
to a team's server instead.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, DataType, Schema
from PIL import Image
from pytorch_lightning.loggers import Logger, MLFlowLogger

from data.split import LINEAGE
from experiments.data_summary import COLUMNS, draw_labels, profile, summarise

__all__ = [
    "CHAMPION",
    "EXPERIMENT",
    "SETTINGS",
    "STATE",
    "RegisteredModel",
    "RunDetails",
    "TrackingError",
    "annotate",
    "champion_run",
    "connect",
    "end_run",
    "environment",
    "fetch_artifact",
    "fetch_champion",
    "fetch_model_file",
    "find_run",
    "git_commit",
    "has_run",
    "lightning_logger",
    "log_file",
    "log_report",
    "log_settings",
    "log_snapshot",
    "model_run",
    "package_version",
    "registered_versions",
    "run_details",
    "run_metrics",
    "run_with_tag",
    "runs_by_snapshot",
    "start_run",
    "store_uri",
    "training_time",
]

EXPERIMENT = "kefu"
CHAMPION = "champion"
STATE = Path(".kefu")
SETTINGS = "config.json"
"""Artifact of a run: its settings in full."""
PACKAGES = ("torch", "pytorch-lightning", "transformers", "onnxruntime", "scikit-learn", "numpy")
_log = logging.getLogger(__name__)


class TrackingError(RuntimeError):
    """The registry lacks what was asked for; the message says how to make it."""


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """One version of a registered model, as an exported folder on this machine."""

    name: str
    version: str
    run: str
    folder: Path


@dataclass(frozen=True, slots=True)
class RunDetails:
    """What a run tells of itself."""

    id: str
    parameters: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]
    started: str
    """ISO 8601, UTC."""


def store_uri() -> str:
    """`MLFLOW_TRACKING_URI`, or the SQLite store in `.kefu/`."""
    STATE.mkdir(exist_ok=True)
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{STATE.resolve()}/mlflow.db"


def connect() -> MlflowClient:
    """A client of the configured tracking server, or of the store in `.kefu/`."""
    uri = store_uri()
    mlflow.set_tracking_uri(uri)
    client = MlflowClient()
    if client.get_experiment_by_name(EXPERIMENT) is None:
        local = uri.startswith("sqlite")
        location = (STATE.resolve() / "artifacts").as_uri() if local else None
        try:
            client.create_experiment(EXPERIMENT, artifact_location=location)
        except MlflowException:  # another process was faster
            if client.get_experiment_by_name(EXPERIMENT) is None:
                raise
    mlflow.set_experiment(EXPERIMENT)
    return client


@contextmanager
def start_run(
    name: str,
    parameters: Mapping[str, Any],
    tags: Mapping[str, str],
    run_id: str | None = None,
    parent: str | None = None,
) -> Iterator[str]:
    """Open a run (or go on with `run_id`, or below `parent`); gives its id. A failure marks it as failed."""
    connect()
    with mlflow.start_run(run_id=run_id, run_name=None if run_id else name) as run:
        if run_id is None:
            mlflow.log_params({key: str(value) for key, value in parameters.items()})
        mlflow.set_tags({**tags, **({"mlflow.parentRunId": parent} if parent else {})})
        yield run.info.run_id


def annotate(metrics: Mapping[str, float], tags: Mapping[str, str]) -> None:
    """Add figures and tags to the open run."""
    mlflow.log_metrics(dict(metrics))
    mlflow.set_tags(dict(tags))


def end_run(run_id: str) -> None:
    """Mark a run as killed whose process ended without a word."""
    connect().set_terminated(run_id, "KILLED")


def lightning_logger(run_id: str) -> Logger:
    """A Lightning logger into an open run. Models are logged at their registration, once."""
    return MLFlowLogger(
        experiment_name=EXPERIMENT,
        tracking_uri=mlflow.get_tracking_uri(),
        run_id=run_id,
        log_model=False,
    )


class _SnapshotDataset(MetaDataset):
    """Of a snapshot what MLflow's dataset tab shows: schema and counts, never a row."""

    def __init__(self, summary: dict[str, Any], folder: Path) -> None:
        self.summary = summary
        schema = Schema([ColSpec(DataType.string, name) for name in COLUMNS])
        source = LocalArtifactDatasetSource(str(folder))
        super().__init__(source, name="kefu-messages", digest=summary["id"], schema=schema)

    @property
    def profile(self) -> dict[str, Any]:
        return profile(self.summary)

    def to_dict(self) -> dict[str, str]:
        return {**super().to_dict(), "profile": json.dumps(self.profile, ensure_ascii=False)}


def log_snapshot(snapshot: str, rows: Mapping[str, int], folder: Path) -> None:
    """Record which data the open run reads: as MLflow dataset with its counts, as tags and artifacts."""
    summary = summarise(folder)
    mlflow.log_input(_SnapshotDataset(summary, folder), context="training")
    mlflow.log_params({f"data.rows_{name}": count for name, count in rows.items()})
    mlflow.set_tags({"snapshot.dvc": summary["dvc"] or "none", "snapshot.authors": len(summary["authors"])})
    for name in ("snapshot.json", LINEAGE):
        mlflow.log_artifact(str(folder / name), "snapshot")
    mlflow.log_dict(summary, "snapshot/summary.json")
    with TemporaryDirectory() as scratch:
        draw_labels(summary, Path(scratch, "labels.png"))
        mlflow.log_artifact(str(Path(scratch, "labels.png")), "snapshot")


def log_settings(settings: Mapping[str, Any]) -> None:
    """Keep the full settings with the open run: parameters are cut to text, `config.json` is not."""
    mlflow.log_dict(dict(settings), SETTINGS)


def log_report(metrics: Mapping[str, float], folder: Path) -> None:
    """Log final figures and every file of a report folder to the open run.

    Pictures are logged as images too: MLflow's chart view lays those of several runs side by side.
    """
    mlflow.log_metrics(dict(metrics))
    mlflow.log_artifacts(str(folder), "report")
    for path in sorted(folder.glob("*.png")):
        with Image.open(path) as picture:
            mlflow.log_image(picture.convert("RGB"), key=path.stem, step=0, synchronous=True)


def has_run(run_id: str | None) -> bool:
    """Whether the tracking server knows this run and it was not deleted."""
    if not run_id:
        return False
    client = connect()
    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException:
        return False


def run_with_tag(tag: str, value: str) -> str | None:
    """The newest run of the experiment with this tag, or None."""
    client = connect()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], f"tags.{tag} = '{value}'", max_results=1)
    return str(found[0].info.run_id) if found else None


def run_metrics(run_id: str) -> dict[str, float]:
    """The latest value of each metric of a run."""
    return dict(connect().get_run(run_id).data.metrics)


def run_details(run_id: str) -> RunDetails:
    """Settings, figures and tags of a run."""
    run = connect().get_run(run_id)
    started = datetime.fromtimestamp(run.info.start_time / 1000, UTC).isoformat(timespec="seconds")
    return RunDetails(run_id, dict(run.data.params), dict(run.data.metrics), dict(run.data.tags), started)


def training_time(run_id: str) -> float | None:
    """Seconds from the start of a run to its last figure on validation; None if it logged none."""
    client = connect()
    logged = [one.timestamp for one in client.get_metric_history(run_id, "val/macro_f1")]
    return (max(logged) - client.get_run(run_id).info.start_time) / 1000 if logged else None


def find_run(beginning: str) -> str:
    """The run whose id begins so.

    Raises:
        TrackingError: there is none, or more than one.
    """
    found = [run for runs in _all_runs().values() for run in runs if beginning and run.startswith(beginning)]
    if len(found) != 1:
        which = f"{len(found)} runs begin so; give more of the id" if found else "no run begins so"
        raise TrackingError(f"{beginning!r}: {which} (runs are listed by: make mlflow)")
    return found[0]


def log_file(run_id: str, path: Path, folder: str) -> None:
    """Add a file to a finished run, in a folder of its artifacts; one of the same name is replaced."""
    connect().log_artifact(run_id, str(path), folder)


def runs_by_snapshot() -> dict[str, list[str]]:
    """Runs by the snapshot they read, newest first."""
    return {snapshot: runs for snapshot, runs in _all_runs().items() if snapshot}


def _all_runs() -> dict[str, list[str]]:
    """Every run of the experiment, newest first, by its snapshot ("" if it names none)."""
    client = connect()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    found: dict[str, list[str]] = {}
    token: str | None = None
    while True:
        page = client.search_runs([experiment.experiment_id], max_results=1000, page_token=token)
        for run in page:
            found.setdefault(run.data.tags.get("snapshot", ""), []).append(run.info.run_id)
        token = page.token
        if not token:
            return found


def fetch_artifact(run_id: str, path: str) -> Path | None:
    """A file that was logged to a run, as a local one; None if the run has none of this name."""
    try:
        connect()
        return Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=path))
    except (MlflowException, OSError):
        return None


def fetch_model_file(run_id: str, name: str) -> Path | None:
    """A file of the exported model that was registered from a run; None if there is none."""
    for one in connect().search_model_versions(f"run_id='{run_id}'"):
        local = Path(mlflow.artifacts.download_artifacts(f"models:/{one.name}/{one.version}"))
        if found := next(local.rglob(name), None):
            return found
    return None


def model_run(name: str, version: str) -> str:
    """The run that made a version of a registered model.

    Raises:
        TrackingError: the registry has no such version.
    """
    try:
        return str(connect().get_model_version(name, version).run_id)
    except MlflowException as error:
        raise TrackingError(f"{name}@{version}: is not in the registry") from error


def registered_versions(run_id: str) -> list[str]:
    """What a run became in the registry: `kefu-category@3`, the champion marked by a star."""
    client = connect()
    found = client.search_model_versions(f"run_id='{run_id}'")
    names = []
    for one in found:
        champion = champion_run(one.name)
        star = "*" if champion and champion[0] == str(one.version) else ""
        names.append(f"{one.name}@{one.version}{star}")
    return sorted(names)


def champion_run(name: str) -> tuple[str, str] | None:
    """Version and run of the current champion, or None."""
    try:
        found = connect().get_model_version_by_alias(name, CHAMPION)
    except MlflowException:
        return None
    return str(found.version), str(found.run_id)


def fetch_champion(name: str) -> RegisteredModel:
    """The champion's exported folder, downloaded if it lies elsewhere.

    Raises:
        TrackingError: there is no champion under this name.
    """
    champion = champion_run(name)
    if champion is None:
        raise TrackingError(f"{name}: has no champion yet; make one with: kefu train && kefu promote")
    number, run_id = champion
    local = Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{number}"))
    folders = [path.parent for path in local.rglob("manifest.json")]
    if not folders:
        raise TrackingError(f"{name} version {number}: holds no exported model in {local}")
    return RegisteredModel(name, number, run_id, folders[0])


def git_commit() -> str:
    """Commit of the working tree, with "+changes" if it has uncommitted ones; "unknown" outside git."""
    try:
        commit = _git("rev-parse", "HEAD")
        dirty = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+changes" if dirty else "")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def package_version(package: str) -> str:
    """The installed version, or "unknown"."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def environment() -> dict[str, str]:
    """Versions and machine, as tags of a run."""
    tags = {f"version.{name}": package_version(name) for name in PACKAGES}
    tags |= {"version.python": platform.python_version(), "machine": platform.machine()}
    return {**tags, "threads": os.environ.get("OMP_NUM_THREADS") or str(os.cpu_count())}
