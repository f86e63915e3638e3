"""Every notebook runs from top to bottom in a folder that looks as after `make demo`."""

from __future__ import annotations

import shutil
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import script

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

CHAMPIONS = """
from pathlib import Path
from serving.package import Champion, package, use_local_store
use_local_store()
from experiments.promote import promote, registered_name
from experiments.tracking import fetch_champion
from training.config import GateConfig
promote(Path("models/shared/exported"), Path("models/shared/report"), GateConfig())
found = {task: fetch_champion(registered_name(task)) for task in ("category", "emotion")}
package([Champion(task, one.name, one.version, one.folder) for task, one in found.items()])
"""


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, recorded, label_studio, tmp_path, monkeypatch):
    folder = shutil.copytree(recorded, tmp_path / "project")
    pins = {"KEFU_PINS": str(folder / "champions.json")}
    script(CHAMPIONS, folder, **pins)
    monkeypatch.setenv("KEFU_PINS", pins["KEFU_PINS"])
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
    client.execute()
    assert sum(bool(cell.get("outputs")) for cell in notebook.cells) >= 5


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stored_without_outputs(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs")
