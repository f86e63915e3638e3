"""Runs and the pipeline lock, on a real SQLite store."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from tests.conftest import PROMOTE, script


@pytest.mark.slow
def test_a_run_holds_what_a_reviewer_needs(recorded):
    done = script(
        """
        import json
        from experiments.tracking import connect, EXPERIMENT
        client = connect()
        experiment = client.get_experiment_by_name(EXPERIMENT)
        (run,) = client.search_runs([experiment.experiment_id])
        names = lambda folder: [f.path for f in client.list_artifacts(run.info.run_id, folder)]
        print(json.dumps({
            "params": run.data.params, "metrics": run.data.metrics, "tags": run.data.tags,
            "status": run.info.status, "files": names("report"),
            "dataset": [d.dataset.digest for d in run.inputs.dataset_inputs],
            "epochs": len(client.get_metric_history(run.info.run_id, "val/macro_f1")),
        }))
        """,
        recorded,
    )
    run = json.loads(done.stdout.strip().splitlines()[-1])
    identity = json.loads((recorded / "snapshot" / "snapshot.json").read_text())["id"]
    assert run["status"] == "FINISHED"
    assert run["dataset"] == [identity]
    assert run["params"]["train.epochs"] == "1"
    assert {"test/category_macro_f1", "val_exported/emotion_ece", "val/macro_f1", "train/loss"} <= set(
        run["metrics"]
    )
    assert {"git_commit", "version.torch", "version.python", "snapshot"} <= set(run["tags"])
    assert "report/category_confusion.png" in run["files"]
    assert "report/emotion_reliability.png" in run["files"]
    manifest = json.loads((recorded / "models/shared/exported/manifest.json").read_text())
    assert manifest["snapshot"] == identity
    assert manifest["run"]


@pytest.mark.slow
def test_a_model_from_the_cache_gets_one_run_in_a_new_store(recorded, tmp_path):
    """As after `make clean` of the tracking store only, or on another machine's server."""
    folder = shutil.copytree(recorded, tmp_path / "copy")
    shutil.rmtree(folder / ".kefu")
    assert "category 1 True" in script(PROMOTE, folder, "{}").stdout
    assert "is the champion already" in script(PROMOTE, folder, "{}").stdout
    done = script(
        """
        from experiments.tracking import EXPERIMENT, champion_run, connect
        client = connect()
        runs = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
        (version, champion), epochs = champion_run("kefu-category"), runs[0].data.params["train.epochs"]
        print(len(runs), runs[0].info.run_id == champion, epochs)
        """,
        folder,
    )
    assert done.stdout.strip().splitlines()[-1] == "1 True 1"


@pytest.mark.slow
def test_no_champion_says_how_to_make_one(tmp_path):
    code = "from experiments.tracking import fetch_champion; fetch_champion('kefu-category')"
    done = script(code, tmp_path, check=False)
    assert "kefu train && kefu promote" in done.stderr


@pytest.mark.slow
def test_a_second_pipeline_waits_and_finds_the_work_done(tmp_path):
    """Two processes start the same DVC pipeline; its stage counts how often it ran."""
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "params.yaml").write_text("models: {tiny: {tasks: [emotion]}}\n")
    (tmp_path / "stage.py").write_text(
        "import opencc, time; open('count', 'a').write('x'); time.sleep(5); open('out', 'w').write('made')\n"
    )
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  train:\n    foreach: ${models}\n    do:\n"
        "      cmd: python stage.py\n      deps: [stage.py]\n      outs: [out]\n"
    )
    code = "from experiments.pipeline import run_pipeline; run_pipeline(['train'])"
    both = [script(code, tmp_path, background=True) for _ in range(2)]
    outputs = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert (tmp_path / "count").read_text() == "x"
    assert (tmp_path / "out").read_text() == "made"
    assert sum("waiting for it" in error for _, error in outputs) == 1


@pytest.mark.slow
def test_a_failing_stage_is_an_error(tmp_path):
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "params.yaml").write_text("models: {tiny: {tasks: [emotion]}}\n")
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n  train:\n    foreach: ${models}\n    do: {cmd: exit 3, outs: [o]}\n"
    )
    code = "from experiments.pipeline import run_pipeline; run_pipeline(['train'])"
    done = script(code, tmp_path, check=False)
    assert "train@tiny failed" in done.stderr
