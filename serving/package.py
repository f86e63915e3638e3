"""Champions into the BentoML model store by exact version, pinned for the service and the Bento.

The pins stand in `serving/champions.json` (not in git; `KEFU_PINS` names another file): the service
and `bentoml build` read it, so that a Bento holds the very models it was built with, whatever the
store gets later.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from data.files import sha256_file, write_json
from data.taxonomy import TASKS
from serving.exported import DEVICES, verify_folder
from serving.predictor import ModelSource, Predictor, load_predictor

__all__ = [
    "PINS",
    "Champion",
    "NotPackagedError",
    "Pin",
    "build_bento",
    "open_champions",
    "package",
    "pins_version",
    "read_pins",
    "use_local_store",
]

PINS = Path(os.environ.get("KEFU_PINS") or Path(__file__).parent / "champions.json")
STORE = Path(".kefu/bentoml")
_NOT_SERVED = {"model.safetensors"}  # weights to go on training from


class NotPackagedError(RuntimeError):
    """No champions have been packaged; the message says how to."""


@dataclass(frozen=True, slots=True)
class Champion:
    """A registered model's exported folder with its registry name and version."""

    task: str
    name: str
    version: str
    folder: Path


@dataclass(frozen=True, slots=True)
class Pin:
    """A packaged champion."""

    tag: str
    """In the BentoML store."""
    name: str
    """As answers cite it: `name@version`."""
    artefacts: dict[str, str]
    """The artefact to open, by device ("cpu", "cuda")."""


def use_local_store() -> None:
    """Keep BentoML's store in `.kefu/` unless `BENTOML_HOME` says otherwise. Before importing bentoml."""
    if "BENTOML_HOME" not in os.environ:
        STORE.mkdir(parents=True, exist_ok=True)
        os.environ["BENTOML_HOME"] = str(STORE.resolve())
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")


def package(
    champions: list[Champion], pins: Path = PINS, artefacts: Mapping[str, Mapping[str, str]] | None = None
) -> dict[str, Pin]:
    """Copy champions into the model store (what is there already stays) and pin them.

    Args:
        artefacts: by task the artefact for each device, see `serving.choice.choose_artefacts`.

    Returns:
        The pins by task.

    Raises:
        serving.exported.BrokenModelError: a champion's folder is damaged; nothing is pinned.
    """
    import bentoml
    from bentoml.exceptions import NotFound

    for champion in champions:
        verify_folder(champion.folder)
    entries: dict[str, Pin] = {}
    for champion in champions:
        digest = sha256_file(champion.folder / "manifest.json")[:8]
        tag = f"{champion.name}:v{champion.version}-{digest}"
        try:
            bentoml.models.get(tag)
        except NotFound:
            manifest = json.loads((champion.folder / "manifest.json").read_text(encoding="utf-8"))
            metadata = {
                "name": champion.name,
                "version": champion.version,
                "snapshot": str(manifest.get("snapshot")),
                "run": str(manifest.get("run")),
            }
            manifest["files"] = {
                name: manifest["files"][name] for name in manifest["files"] if name not in _NOT_SERVED
            }
            with bentoml.models.create(tag, module="serving.exported", metadata=metadata) as model:
                for name in manifest["files"]:
                    shutil.copy2(champion.folder / name, model.path_of(name))
                write_json(Path(model.path_of("manifest.json")), manifest)
        chosen = dict((artefacts or {}).get(champion.task, {}))
        entries[champion.task] = Pin(tag, f"{champion.name}@{champion.version}", chosen)
    write_json(pins, {task: asdict(pin) for task, pin in entries.items()})
    return entries


def read_pins(pins: Path = PINS) -> dict[str, Pin]:
    """The packaged champions by task.

    Raises:
        NotPackagedError: nothing was packaged yet, or the file is damaged.
    """
    try:
        entries = json.loads(pins.read_text(encoding="utf-8"))
        return {
            task: Pin(entries[task]["tag"], entries[task]["name"], dict(entries[task].get("artefacts", {})))
            for task in TASKS
        }
    except FileNotFoundError as error:
        raise NotPackagedError("no packaged models; make them with: kefu package") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotPackagedError(f"{pins} is damaged ({error}); make it anew with: kefu package") from error


def pins_version(pins: Path = PINS) -> str:
    """Changes when other champions are packaged.

    Raises:
        OSError: the file is not there.
    """
    return sha256_file(pins)


def open_champions(
    folders: Mapping[str, Path] | None = None,
    threads: int | None = None,
    device: str | None = None,
    artefact: str | None = None,
) -> Predictor:
    """The packaged champions, opened in this process.

    Args:
        folders: where a task's model lies, if not in the store under its tag.
        threads, device: see `serving.exported.open_model`.
        artefact: the artefact to open instead of those chosen at packaging.

    Raises:
        NotPackagedError: nothing was packaged yet, or the store lost it.
        serving.exported.BrokenModelError: a model is damaged.
    """
    import bentoml
    from bentoml.exceptions import NotFound

    sources = {}
    for task, pin in read_pins().items():
        folder = (folders or {}).get(task)
        if folder is None:
            try:
                folder = Path(bentoml.models.get(pin.tag).path)
            except NotFound as error:
                raise NotPackagedError(f"{pin.tag} is not in the store; run: kefu package") from error
        chosen = dict.fromkeys(DEVICES, artefact) if artefact else pin.artefacts
        sources[task] = ModelSource(folder, pin.name, chosen)
    return load_predictor(sources["category"], sources["emotion"], threads, device)


def build_bento(project: Path) -> str:
    """Build a Bento of the pinned models, unless this source and these pins are built already.

    Returns:
        The Bento's tag.
    """
    import bentoml
    from bentoml.exceptions import NotFound

    version = _source_version(project)
    tag = f"kefu:{version}"
    try:
        bentoml.bentos.get(tag)
    except NotFound:
        command = [sys.executable, "-m", "bentoml", "build", "--version", version, str(project)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=project)
        if done.returncode:
            raise RuntimeError(f"bentoml build failed:\n{done.stdout}{done.stderr}") from None
    return tag


def _source_version(project: Path) -> str:
    import hashlib

    digest = hashlib.sha256()
    sources = [*sorted((project / "serving").iterdir()), *sorted((project / "data").iterdir())]
    for folder in ("assist", "data/scripts", "data/shop_graph", "data/inspection", "data/shop_knowledge"):
        sources += sorted((project / folder).rglob("*"))
    for path in sources:
        if path.suffix in {".py", ".yaml", ".json", ".jsonl", ".csv", ".txt"}:
            digest.update(f"{path.relative_to(project)}:{sha256_file(path)}\n".encode())
    return digest.hexdigest()[:12]
