"""A run trained again, and the data of earlier runs found again."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from dataclasses import asdict

import pytest

from data.files import write_json
from experiments.data_summary import dvc_hash, summarise
from experiments.find_snapshot import DataNotFoundError, find_snapshot, from_cache
from experiments.reproduce import differences
from tests.conftest import ROOT, script
from training.config import ConfigError, load_training_config, parse_training_config


def test_settings_survive_the_way_through_json():
    config = load_training_config("shared", ROOT / "params.yaml")
    again = parse_training_config(json.loads(json.dumps(asdict(config))))
    assert again.fingerprint("data") == config.fingerprint("data")
    assert again.tasks == config.tasks
    with pytest.raises(ConfigError, match="momentum"):
        parse_training_config({**asdict(config), "train": {"momentum": 0.9}})
    with pytest.raises(ConfigError, match="optimiser"):
        parse_training_config({**asdict(config), "optimiser": {}})


def test_only_what_both_measured_is_compared():
    old = {"train/loss": 1.0, "test/a": 0.5, "val_exported/a": 0.6, "latency_ms": 4.0, "test/old": 1.0}
    new = {"train/loss": 1.1, "test/a": 0.75, "val_exported/a": 0.6, "latency_ms": 6.0, "test/new": 1.0}
    assert differences(old, new) == [
        ("test/a", 0.5, 0.75),
        ("val_exported/a", 0.6, 0.6),
        ("latency_ms", 4.0, 6.0),
    ]


def cached(folder, cache):
    """Put a folder into a DVC cache, as DVC does; returns its hash."""
    files = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = hashlib.md5(path.read_bytes()).hexdigest()
        (target := cache / "files/md5" / name[:2] / name[2:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        files.append({"md5": name, "relpath": path.relative_to(folder).as_posix()})
    text = json.dumps(files)
    name = hashlib.md5(text.encode()).hexdigest() + ".dir"
    (target := cache / "files/md5" / name[:2] / name[2:]).parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    return name


def test_a_snapshot_is_taken_from_the_cache_or_missed_by_name(tmp_path, monkeypatch):
    (data := tmp_path / "snapshot" / "train").mkdir(parents=True)
    write_json(tmp_path / "snapshot" / "snapshot.json", {"id": "abc"})
    (data / "rows.arrow").write_bytes(b"rows")
    name = cached(tmp_path / "snapshot", tmp_path / "cache")
    assert from_cache(name, tmp_path / "out", tmp_path / "cache") == ""
    assert (tmp_path / "out/train/rows.arrow").read_bytes() == b"rows"
    assert "does not hold 00" in from_cache("00.dir", tmp_path / "none", tmp_path / "cache")
    lost = hashlib.md5(b"rows").hexdigest()
    (tmp_path / "cache/files/md5" / lost[:2] / lost[2:]).unlink()
    assert "lacks 1 files" in from_cache(name, tmp_path / "none", tmp_path / "cache")
    assert not (tmp_path / "none").exists()
    monkeypatch.chdir(tmp_path)
    place = [tmp_path / "snapshot"]
    assert find_snapshot("abc", "", "unknown", place, tmp_path)[0] == tmp_path / "snapshot"
    with pytest.raises(DataNotFoundError) as error:
        find_snapshot("abd", name, "0" * 40, place, tmp_path / "scratch")
    for part in (
        "holds snapshot abc",
        "data/processed holds no snapshot",
        "no DVC project",
        "--snapshot",
        name,
    ):
        assert part in str(error.value)


def test_the_hash_of_dvc_is_that_of_the_folder(tmp_path):
    lock = tmp_path / "dvc.lock"
    lock.write_text("stages:\n  split:\n    outs:\n    - {path: data/processed, md5: 12.dir}\n")
    assert dvc_hash(tmp_path.__class__("data/processed"), lock) == "12.dir"
    assert dvc_hash(tmp_path, lock) == ""
    assert dvc_hash(tmp_path, tmp_path / "none") == ""


@pytest.mark.slow
def test_a_snapshot_is_made_again_from_its_commit(tmp_path):
    """A small DVC project with data in git: the snapshot of the first commit after a second one."""

    def git(*arguments):
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
        return subprocess.run(
            command, cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "-q")
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    analytics = false\n")
    (tmp_path / ".gitignore").write_text("/data/processed\n/.kefu\n")
    (tmp_path / "make.py").write_text(
        "from pathlib import Path; out = Path('data/processed'); out.mkdir(parents=True, exist_ok=True)\n"
        "(out / 'snapshot.json').write_text(Path('source.json').read_text())\n"
    )
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  split: {cmd: python make.py, deps: [source.json], outs: [data/processed]}\n"
    )
    commits = []
    for identity in ("one", "two"):
        write_json(tmp_path / "source.json", {"id": identity})
        git("add", ".")
        git("commit", "-q", "-m", identity)
        commits.append(git("rev-parse", "HEAD"))
    done = script(
        """
        import sys, tempfile
        from pathlib import Path
        from experiments.find_snapshot import find_snapshot
        with tempfile.TemporaryDirectory() as scratch:
            folder, how = find_snapshot("one", "", sys.argv[1], [], Path(scratch))
            print((folder / "snapshot.json").read_text().split(), how)
        """,
        tmp_path,
        commits[0],
    )
    assert f"was made again from commit {commits[0][:12]}" in done.stdout
    assert "one" in done.stdout
    assert git("worktree", "list").count("\n") == 0  # the worktree is gone


@pytest.fixture(scope="module")
def reproduced(recorded, tmp_path_factory):
    folder = shutil.copytree(recorded, tmp_path_factory.mktemp("again") / "copy")
    done = script(
        """
        import json
        from pathlib import Path
        from rich.console import Console
        from experiments.reproduce import show_reproduction
        from experiments.tracking import EXPERIMENT, connect, run_details
        client = connect()
        experiment = client.get_experiment_by_name(EXPERIMENT)
        (first,) = client.search_runs([experiment.experiment_id])
        client.set_tag(first.info.run_id, "version.torch", "1.0.0")
        console, place = Console(width=150), Path("snapshot")
        assert not show_reproduction(first.info.run_id, check_only=True, console=console)
        assert show_reproduction(first.info.run_id[:10], Path("again"), place, True, console)
        assert not Path("again").exists()
        assert show_reproduction(first.info.run_id, Path("again"), place, False, console)
        (second,) = [run for run in client.search_runs([experiment.experiment_id])
                     if run.info.run_id != first.info.run_id]
        print(json.dumps({
            "first": first.info.run_id, "tags": second.data.tags,
            "old": first.data.params, "new": second.data.params,
            "files": [one.path for one in client.list_artifacts(second.info.run_id, "reproduction")],
            "dataset": [json.loads(one.dataset.profile) for one in first.inputs.dataset_inputs],
            "digest": [one.dataset.digest for one in first.inputs.dataset_inputs],
            "data": [one.path for one in client.list_artifacts(first.info.run_id, "snapshot")],
        }))
        """,
        folder,
    )
    *shown, last = done.stdout.strip().splitlines()
    return {**json.loads(last), "folder": folder, "shown": "\n".join(shown)}


@pytest.mark.slow
def test_a_run_trained_again_has_the_same_figures(reproduced):
    """On one machine with one set of libraries training is deterministic: not a digit differs."""
    assert reproduced["tags"]["reproduces"] == reproduced["first"]
    assert reproduced["old"] == reproduced["new"]
    assert reproduced["files"] == ["reproduction/reproduction.json"]
    found = json.loads((reproduced["folder"] / "again/reproduction.json").read_text())
    assert len(found["figures"]) > 20
    assert found["largest_difference"] < 1e-6, found
    assert {"name": "version.torch", "then": "1.0.0"}.items() <= found["surroundings"][0].items()
    assert "not here" in reproduced["shown"]
    assert "figures may differ for these reasons" in reproduced["shown"]
    assert "test/category_macro_f1" in reproduced["shown"]
    assert (reproduced["folder"] / "again/exported/manifest.json").is_file()


@pytest.mark.slow
def test_a_run_shows_its_data(reproduced, snapshot):
    """MLflow's dataset tab has counts and labels; no text of a customer goes there."""
    (profile,) = reproduced["dataset"]
    rows = {name: len(found) for name, found in snapshot.splits.items()}
    assert profile["rows"] == rows
    assert profile["num_rows"] == sum(rows.values())
    for name, found in snapshot.splits.items():
        assert sum(profile["labels"][name]["emotion"].values()) == rows[name]
        angry = sum(row.emotion == "angry" for row in found)
        assert profile["labels"][name]["emotion"].get("angry", 0) == angry
    assert sum(profile["authors"].values()) == sum(rows.values())
    summary = summarise(reproduced["folder"] / "snapshot")
    assert {key: profile[key] for key in ("id", "in_context", "labels")} == {
        key: summary[key] for key in ("id", "in_context", "labels")
    }
    assert (profile["dvc"], profile["path"]) == ("none", "snapshot")
    assert profile["emotions_in_train"].startswith("neutral ")
    assert profile["categories_in_train"].startswith("5, of ")
    assert {"snapshot/summary.json", "snapshot/labels.png", "snapshot/snapshot.json"} <= set(
        reproduced["data"]
    )
    assert reproduced["tags"]["snapshot.dvc"] == "none"
    text = json.dumps(reproduced["dataset"], ensure_ascii=False)
    assert not any(row.text in text for row in snapshot.splits["test"] if len(row.text) > 6)
