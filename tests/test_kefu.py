"""The command line as a person meets it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import kefu

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = (
    "train",
    "evaluate",
    "promote",
    "compare",
    "rollback",
    "champions",
    "reproduce",
    "tune",
    "baselines",
    "package",
    "predict",
    "serve",
    "demo",
    "mask",
    "doctor",
    "keys",
    "tools",
    "mcp",
    "mock",
    "label",
    "lineage",
)


def run(*arguments, **environment):
    return subprocess.run(
        [sys.executable, str(ROOT / "kefu.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


def test_help_explains_every_command_in_a_line(capsys):
    with pytest.raises(SystemExit):
        kefu.main(["--help"])
    printed = capsys.readouterr().out
    for command in COMMANDS:
        # argparse puts the words on the next line where the name is long.
        (words,) = re.findall(rf"^ {{4}}{command}\s+(\S.+)$", printed, re.MULTILINE)
        assert len(words.split()) > 3


def test_mask_writes_masked_rows(tmp_path):
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps({"id": 1, "text": "打我138-0013-8000"}) + "\n", encoding="utf-8")
    assert run("mask", "--input", source, "--output", target).returncode == 0
    assert json.loads(target.read_text(encoding="utf-8")) == {"id": 1, "text": "打我[手机]"}


def test_errors_are_one_line_without_a_traceback(tmp_path):
    (tmp_path / "in.jsonl").write_text("nope\n", encoding="utf-8")
    done = run("mask", "--input", tmp_path / "in.jsonl", "--output", tmp_path / "out.jsonl")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("kefu mask: ")
    done = run("predict", "--input", tmp_path / "missing", "--output", "x", KEFU_PINS=str(tmp_path / "no"))
    assert done.returncode == 1
    assert "missing" in done.stderr


def test_serving_without_models_says_what_to_do(tmp_path):
    done = run("serve", KEFU_PINS=str(tmp_path / "none.json"))
    assert done.returncode == 1
    assert "kefu package" in done.stderr


def test_unknown_command_is_refused():
    assert run("promot").returncode == 2


def test_doctor_finds_and_mends(tmp_path, monkeypatch):
    from serving import doctor

    monkeypatch.setattr(doctor, "DISK_NEEDED", 2**60)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    found = {finding.what: finding for finding in doctor.findings(tmp_path)}
    assert any(item.state == "bad" and "free" in item.mend for item in found.values())
    assert any("no runs are recorded" in what for what in found)
    (tmp_path / ".kefu").mkdir()
    (tmp_path / ".kefu" / "mlflow.db").write_bytes(b"not a database" * 100)
    assert any(item.state == "bad" and "mlflow.db" in item.what for item in doctor.findings(tmp_path))


def test_doctor_names_other_versions(tmp_path):
    from serving import doctor

    (tmp_path / "constraints.txt").write_text("numpy==1.0.0\n", encoding="utf-8")
    found = list(doctor.findings(tmp_path))
    assert any("numpy" in item.what and "pinned 1.0.0" in item.what and item.mend for item in found)
