"""Runs, figures and registered models in MLflow: the only module of the project that knows it.

Without settings everything is kept in `.kefu/` (SQLite and a folder); `MLFLOW_TRACKING_URI` points
to a team's server instead.
"""

from __future__ import annotations

import logging
import os
import platform
import subprocess
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import mlflow
from mlflow.data.meta_dataset import MetaDataset
from mlflow.data.sources import LocalArtifactDatasetSource  # type: ignore[attr-defined]
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from mlflow.tracking import MlflowClient
from PIL import Image
from pytorch_lightning.loggers import Logger, MLFlowLogger

from data.files import sha256_file
from data.split import LINEAGE

__all__ = [
    "CHAMPION",
    "EXPERIMENT",
    "STATE",
    "RegisteredModel",
    "TrackingError",
    "champion_run",
    "connect",
    "environment",
    "fetch_artifact",
    "fetch_champion",
    "git_commit",
    "has_run",
    "lightning_logger",
    "log_report",
    "log_snapshot",
    "model_run",
    "register_model",
    "registered_versions",
    "run_metrics",
    "run_with_tag",
    "runs_by_snapshot",
    "set_champion",
    "start_run",
    "store_uri",
]

EXPERIMENT = "kefu"
CHAMPION = "champion"
STATE = Path(".kefu")
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
    name: str, parameters: Mapping[str, Any], tags: Mapping[str, str], run_id: str | None = None
) -> Iterator[str]:
    """Open a run (or go on with `run_id`); gives its id. A failure marks the run as failed."""
    connect()
    with mlflow.start_run(run_id=run_id, run_name=None if run_id else name) as run:
        if run_id is None:
            mlflow.log_params({key: str(value) for key, value in parameters.items()})
        mlflow.set_tags(dict(tags))
        yield run.info.run_id


def lightning_logger(run_id: str) -> Logger:
    """A Lightning logger into an open run. Models are logged by `register_model`, once."""
    return MLFlowLogger(
        experiment_name=EXPERIMENT,
        tracking_uri=mlflow.get_tracking_uri(),
        run_id=run_id,
        log_model=False,
    )


def log_snapshot(snapshot: str, rows: Mapping[str, int], folder: Path) -> None:
    """Record which data the open run reads: the snapshot's id as the dataset digest."""
    source = LocalArtifactDatasetSource(str(folder))
    dataset = MetaDataset(source, name="kefu-snapshot", digest=snapshot)  # type: ignore[abstract]
    mlflow.log_input(dataset, context="training")
    mlflow.log_params({f"data.rows_{name}": count for name, count in rows.items()})
    for name in ("snapshot.json", LINEAGE):
        mlflow.log_artifact(str(folder / name), "snapshot")


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


def runs_by_snapshot() -> dict[str, list[str]]:
    """Runs by the snapshot they read, newest first."""
    client = connect()
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    found: dict[str, list[str]] = {}
    token: str | None = None
    while True:
        page = client.search_runs([experiment.experiment_id], max_results=1000, page_token=token)
        for run in page:
            if snapshot := run.data.tags.get("snapshot"):
                found.setdefault(snapshot, []).append(run.info.run_id)
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


def register_model(
    folder: Path, names: Sequence[str], run_id: str, example: Mapping[str, Any]
) -> dict[str, RegisteredModel]:
    """Log an exported folder once and register it under each name; nothing if it already is.

    Args:
        folder: the exported model.
        names: registered model names, e.g. "kefu-category".
        run_id: the run that made it.
        example: input and output of one message, for the signature.

    Returns:
        The version under each name.
    """
    client = connect()
    digest = sha256_file(folder / "manifest.json")
    found = {name: _find(client, name, digest) for name in names}
    missing = [name for name in names if found[name] is None]
    if missing:
        with warnings.catch_warnings(), mlflow.start_run(run_id=run_id):
            warnings.simplefilter("ignore")
            signature = infer_signature(example["input"], example["output"])
            info = mlflow.pyfunc.log_model(
                name="exported",
                loader_module="experiments.pyfunc",
                data_path=str(folder),
                signature=signature,
                input_example=example["input"],
                pip_requirements=[f"kefu-lab=={_version('kefu-lab')}"],
            )
        for name in missing:
            made = mlflow.register_model(info.model_uri, name, tags={"manifest": digest})
            found[name] = made
    return {
        name: RegisteredModel(name, str(one.version), run_id, folder)
        for name, one in found.items()
        if one is not None
    }


def _find(client: MlflowClient, name: str, digest: str) -> Any | None:
    try:
        versions = client.search_model_versions(f"name='{name}'")
    except MlflowException:
        return None
    same = [one for one in versions if one.tags.get("manifest") == digest]
    return max(same, key=lambda one: int(one.version)) if same else None


def set_champion(model: RegisteredModel) -> None:
    """Point the alias `champion` of the model's name at this version."""
    connect().set_registered_model_alias(model.name, CHAMPION, model.version)


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


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def environment() -> dict[str, str]:
    """Versions and machine, as tags of a run."""
    tags = {f"version.{name}": _version(name) for name in PACKAGES}
    return {**tags, "version.python": platform.python_version(), "machine": platform.machine()}
