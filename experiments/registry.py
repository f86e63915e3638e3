"""Registered models: their versions, tags of approval, the history of champions, and whose turn it is.

Beside `tracking` the only user of MLflow. Everything is kept on the tracking server, so that every
machine which asks it sees the same.
"""

from __future__ import annotations

import getpass
import json
import os
import socket
import time
import uuid
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.models import infer_signature
from mlflow.tracking import MlflowClient

from data.files import sha256_file
from experiments.tracking import (
    CHAMPION,
    RegisteredModel,
    TrackingError,
    champion_run,
    connect,
    package_version,
)

__all__ = [
    "MAX_REASON",
    "Reign",
    "append_reign",
    "check_claim",
    "find_version",
    "move_champion",
    "promotion_claim",
    "read_history",
    "register_model",
    "tag_version",
    "version_made",
    "version_tags",
]

CLAIM = "kefu-promotion-in-progress"
"""A registered model that exists while somebody promotes: the one thing on an MLflow server that only one of
two can make."""
STALE = 900.0
"""Seconds after which a claim on another machine counts as left behind; a promotion takes less than 60."""
HISTORY = "champion."
MAX_REASON = 1000
"""Characters of a reason: MLflow's databases hold 5000 in a tag, and the gate's figures stand beside it."""


@dataclass(frozen=True, slots=True)
class Reign:
    """One entry of a model's history of champions; entries are added, never changed."""

    task: str
    action: str
    """`promote` or `rollback`."""
    version: str
    run: str
    previous: str
    """Version of the champion before; empty for the first."""
    when: str
    """UTC, ISO 8601, to the second."""
    reviewer: str
    reason: str
    macro_f1: float | None = None
    """Of the task, on the run's test rows."""
    gate: tuple[tuple[Any, ...], ...] = ()
    """What was checked: metric, found, wanted, champion."""


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
                pip_requirements=[f"kefu-lab=={package_version('kefu-lab')}"],
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


def find_version(name: str, digest: str) -> str | None:
    """The newest version whose exported folder has this manifest digest, or None."""
    found = _find(connect(), name, digest)
    return str(found.version) if found else None


def version_made(name: str, version: str) -> str:
    """When a version was registered: UTC, ISO 8601.

    Raises:
        TrackingError: the registry has no such version.
    """
    try:
        made = connect().get_model_version(name, version).creation_timestamp
    except MlflowException as error:
        raise TrackingError(f"{name}@{version}: is not in the registry") from error
    return datetime.fromtimestamp(made / 1000, UTC).isoformat(timespec="seconds")


def version_tags(name: str, version: str) -> dict[str, str]:
    """The tags of a registered version."""
    return dict(connect().get_model_version(name, version).tags)


def tag_version(name: str, version: str, tags: Mapping[str, str]) -> None:
    """Add tags to a registered version; others stay."""
    client = connect()
    for key, value in tags.items():
        client.set_model_version_tag(name, version, key, value)


def move_champion(name: str, version: str, before: str | None) -> None:
    """Point `champion` at a version, if it still points where the caller saw it.

    MLflow has no conditional write: between the last look and the write some milliseconds remain in which
    a person who sets the alias by hand in MLflow's page is overruled. Promotions are kept apart by
    `promotion_claim`.

    Raises:
        TrackingError: the alias was moved by something else, before or just after.
    """
    now = champion_run(name)
    if (now[0] if now else None) != before:
        raise TrackingError(
            f"{name}: the champion changed meanwhile from version {before} to {now[0] if now else None}; "
            "nothing was promoted. Look at it with kefu champions, and run this again"
        )
    connect().set_registered_model_alias(name, CHAMPION, version)
    now = champion_run(name)
    if now is None or now[0] != version:
        raise TrackingError(
            f"{name}: something else moved the champion to version {now[0] if now else None} at the same "
            "moment; it stays there. Look at it with kefu champions"
        )


def read_history(name: str) -> list[Reign]:
    """A model's champions, oldest first; empty if none was recorded."""
    try:
        tags = connect().get_registered_model(name).tags
    except MlflowException:
        return []
    known = {item.name for item in fields(Reign)}
    entries = []
    for key in sorted(key for key in tags if key.startswith(HISTORY)):
        value = {field: item for field, item in json.loads(tags[key]).items() if field in known}
        value["gate"] = tuple(tuple(row) for row in value.get("gate", ()))
        entries.append(Reign(**value))
    return entries


def append_reign(name: str, reign: Reign) -> None:
    """Add an entry to a model's history. Only the holder of the claim may."""
    number = len(read_history(name)) + 1
    text = json.dumps(asdict(reign), ensure_ascii=False, separators=(",", ":"))
    if len(text) > 4900:  # rather without figures, which the version's tags have too, than not at all
        slim = {**asdict(reign), "gate": []}
        text = json.dumps(slim, ensure_ascii=False, separators=(",", ":"))
    connect().set_registered_model_tag(name, f"{HISTORY}{number:04}", text)


@contextmanager
def promotion_claim(wait: float) -> Iterator[str]:
    """Only one promotion or rollback at a time on a tracking server, whatever machine it runs on.

    Args:
        wait: seconds to wait for the one that is going on.

    Yields:
        The claim's token, for `check_claim`.

    Raises:
        TrackingError: the other did not end in time; says whose it is.
    """
    client, token = connect(), uuid.uuid4().hex
    tags = {"token": token, "owner": _owner(), "host": socket.gethostname(), "process": str(os.getpid())}
    until = time.monotonic() + wait
    while not _make_claim(client, {**tags, "since": f"{time.time():.0f}"}):
        other = _claim(client)
        if other and _left_behind(other):
            _remove_claim(client, other["token"])
            continue
        if time.monotonic() > until:
            whose = f" by {other['owner']}" if other else ""
            raise TrackingError(
                f"another promotion is going on{whose} since more than {wait:.0f} s; if it was killed, "
                f"delete the registered model {CLAIM} on MLflow's page"
            )
        time.sleep(0.2)
    try:
        yield token
    finally:
        _remove_claim(client, token)


def check_claim(token: str) -> None:
    """Assert that the claim is still ours, as the last thing before the champion is moved.

    Raises:
        TrackingError: another machine took it over because it seemed left behind.
    """
    found = _claim(connect())
    if not found or found["token"] != token:
        raise TrackingError(
            "this promotion took so long that another one went ahead; nothing was promoted. Run it again"
        )


def _make_claim(client: MlflowClient, tags: Mapping[str, str]) -> bool:
    try:
        client.create_registered_model(CLAIM, tags=dict(tags), description="a promotion is going on")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return False
    return True


def _claim(client: MlflowClient) -> dict[str, str] | None:
    try:
        return dict(client.get_registered_model(CLAIM).tags)
    except MlflowException:
        return None


def _remove_claim(client: MlflowClient, token: str) -> None:
    found = _claim(client)
    if found and found["token"] == token:
        try:
            client.delete_registered_model(CLAIM)
        except MlflowException:  # another process found it left behind as well
            return


def _left_behind(claim: Mapping[str, str]) -> bool:
    if claim["host"] == socket.gethostname() and not _alive(int(claim["process"])):
        return True
    return time.time() - float(claim["since"]) > STALE


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _owner() -> str:
    try:
        return f"{getpass.getuser()} on {socket.gethostname()}"
    except (KeyError, OSError):  # a container whose user has no name
        return socket.gethostname()
