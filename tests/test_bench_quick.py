"""The whole benchmark table on cut-down sets, by the command that a user types."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from data.sources.public import PUBLIC
from experiments.bench_cells import CONTENDERS
from experiments.bench_tasks import TASKS

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow


def test_every_task_whose_set_is_here_goes_through_every_contender(tmp_path):
    folder = Path(os.environ.get("KEFU_DATASETS") or ROOT.parent / "shared" / "datasets")
    command = [sys.executable, "-m", "kefu", "bench", "table", "--quick"]
    done = subprocess.run(
        [*command, "--folder", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "KEFU_DATASETS": str(folder), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=850,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    here = {
        name
        for name, task in TASKS.items()
        if all((folder / file).is_file() for file in PUBLIC[task.source].files)
    }
    lines = {line["task"]: line for line in json.loads((tmp_path / "quick" / "table.json").read_text())}
    assert set(lines) == {*here, "embedded-corpus"}
    for line in lines.values():
        assert set(line["figures"]) == set(CONTENDERS), line["task"]
        accuracy = {name: found["accuracy"]["value"] for name, found in line["figures"].items()}
        labels = 2 if line["task"] in ("afqmc", "shop-reviews") else 3
        # Of eight labels at most; what learns nothing would be about one over their number.
        assert all(0 < value <= 1 for value in accuracy.values())
        assert max(accuracy.values()) > 1 / labels, line["task"]
    assert "Cut-down sets" in done.stdout
