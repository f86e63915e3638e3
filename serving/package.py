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
from dataclasses import dataclass
from pathlib import Path

from data.files import sha256_file, write_json
from serving.exported import verify_folder

__all__ = ["PINS", "Champion", "NotPackagedError", "build_bento", "package", "read_pins", "use_local_store"]

PINS = Path(os.environ.get("KEFU_PINS") or Path(__file__).parent / "champions.json")
STORE = Path(".kefu/bentoml")


class NotPackagedError(RuntimeError):
    """No champions have been packaged; the message says how to."""


@dataclass(frozen=True, slots=True)
class Champion:
    """A registered model's exported folder with its registry name and version."""

    task: str
    name: str
    version: str
    folder: Path


def use_local_store() -> None:
    """Keep BentoML's store in `.kefu/` unless `BENTOML_HOME` says otherwise. Before importing bentoml."""
    if "BENTOML_HOME" not in os.environ:
        STORE.mkdir(parents=True, exist_ok=True)
        os.environ["BENTOML_HOME"] = str(STORE.resolve())
    os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")


def package(champions: list[Champion], pins: Path = PINS) -> dict[str, str]:
    """Copy champions into the model store (what is there already stays) and pin them.

    Returns:
        BentoML tag by task.

    Raises:
        serving.exported.BrokenModelError: a champion's folder is damaged; nothing is pinned.
    """
    import bentoml
    from bentoml.exceptions import NotFound

    for champion in champions:
        verify_folder(champion.folder)
    tags: dict[str, str] = {}
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
            with bentoml.models.create(tag, module="serving.exported", metadata=metadata) as model:
                for path in champion.folder.iterdir():
                    shutil.copy2(path, model.path_of(path.name))
        tags[champion.task] = tag
    entries = {
        champion.task: {"tag": tags[champion.task], "name": f"{champion.name}@{champion.version}"}
        for champion in champions
    }
    write_json(pins, entries)
    return tags


def read_pins(pins: Path = PINS) -> dict[str, dict[str, str]]:
    """The packaged champions: by task the BentoML tag and the name that answers cite.

    Raises:
        NotPackagedError: nothing was packaged yet.
    """
    try:
        entries = json.loads(pins.read_text(encoding="utf-8"))
        return {task: {"tag": entries[task]["tag"], "name": entries[task]["name"]} for task in entries}
    except FileNotFoundError as error:
        raise NotPackagedError("no packaged models; make them with: kefu package") from error
    except (ValueError, KeyError, TypeError) as error:
        raise NotPackagedError(f"{pins} is damaged ({error}); make it anew with: kefu package") from error


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
    for path in sources:
        if path.suffix in {".py", ".yaml", ".json", ".txt"}:
            digest.update(f"{path.name}:{sha256_file(path)}\n".encode())
    return digest.hexdigest()[:12]
