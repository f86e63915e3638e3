"""Every notebook runs from top to bottom in a folder that looks as after `make demo`."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import nbformat
import pytest
import yaml
from nbclient import NotebookClient

from tests.conftest import script

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
NUMBERED = [path for path in NOTEBOOKS if path.stem[0].isdigit()]

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
    names = [path.stem for path in NUMBERED]
    assert [name[:2] for name in names] == ["01", "02", "03", "04", "05", "06"]
    listed = (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in NOTEBOOKS if f"({path.name})" not in listed] == []
    assert [name for name in names if not (ROOT / "docs" / "notebooks" / f"{name}.md").is_file()] == []


def params(backbone):
    """Settings of a project whose encoder is tiny."""
    common = {"ngram_buckets": 4096, "precision": "32", "accelerator": "cpu", "encoder_lr": 1.0e-3}
    models = {"shared": {"tasks": ["category", "emotion"]}}
    return yaml.safe_dump({"models": models, "backbone": {"name": str(backbone)}, "train": common})


@pytest.fixture(scope="module")
def project(recorded, tiny_bert, tmp_path_factory):
    """A project as after `make demo`, with a tiny model; all notebooks run in it, one after the other."""
    folder = shutil.copytree(recorded, tmp_path_factory.mktemp("notebooks") / "project")
    shutil.copytree(folder / "snapshot", folder / "data" / "processed")
    (folder / "params.yaml").write_text(params(tiny_bert), encoding="utf-8")
    script(CHAMPIONS, folder, KEFU_PINS=str(folder / "champions.json"))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, project, request, monkeypatch):
    monkeypatch.setenv("KEFU_PINS", str(project / "champions.json"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    if path.stem == "annotator_lead":
        login = request.getfixturevalue("label_studio")
        monkeypatch.setenv("LABEL_STUDIO_URL", login.url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", login.token)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(project)}})
    client.execute()
    assert sum(bool(cell.get("outputs")) for cell in notebook.cells) >= 5


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_stored_without_outputs(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs")


@pytest.mark.parametrize("path", NUMBERED, ids=lambda path: path.stem)
def test_notebook_owns_no_logic(path):
    """Calls, pictures and tables; what computes is in the packages, with tests."""
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        assert not re.search(r"^\s*(def|class|for|while|with|try)\b|\blambda\b", cell.source, re.M), (
            cell.source
        )
        assert not re.search(r"\b(numpy|pandas|matplotlib|sklearn|torch)\b", cell.source), cell.source


@pytest.mark.parametrize("path", NUMBERED, ids=lambda path: path.stem)
def test_links_lead_somewhere(path):
    copy = ROOT / "docs" / "notebooks" / f"{path.stem}.md"
    for file in (path, copy):
        text = file.read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            if not link.startswith("http"):
                assert (file.parent / link).exists(), f"{file.name}: {link}"


@pytest.mark.parametrize("path", NUMBERED, ids=lambda path: path.stem)
def test_copies_show_what_the_notebook_says(path):
    """A copy that was made before the notebook changed misleads: `make notebooks` makes it anew."""
    copy = (ROOT / "docs" / "notebooks" / f"{path.stem}.md").read_text(encoding="utf-8")
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert cell.source.strip() in copy, cell.source
    assert not re.search(r"/(?:home|root|tmp|Users|work)/", copy)
    pictures = (ROOT / "docs" / "notebooks" / path.stem).glob("*")
    assert len(copy.encode()) + sum(one.stat().st_size for one in pictures) < 1_000_000
