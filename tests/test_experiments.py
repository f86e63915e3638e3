"""Runs, the gate, promotion and the pipeline lock, on a real SQLite store."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest

from experiments.promote import check_gate
from tests.conftest import script
from training.config import GateConfig

GATE = GateConfig(
    minimum={"test/category_macro_f1": 0.7, "test/emotion_macro_f1": 0.7},
    maximum={"test/category_ece": 0.1},
    tolerance=0.01,
)
GOOD = {"test/category_macro_f1": 0.8, "test/emotion_macro_f1": 0.9, "test/category_ece": 0.05}


def test_a_good_first_candidate_passes():
    assert check_gate("category", GOOD, None, GATE) == []
    assert check_gate("emotion", GOOD, None, GATE) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"test/category_macro_f1": 0.6}, "must be at least 0.7"),
        ({"test/category_ece": 0.2}, "must be at most 0.1"),
        ({"test/category_ece": None}, "was not measured"),
    ],
)
def test_the_gate_says_why_not(change, reason):
    candidate = {name: value for name, value in {**GOOD, **change}.items() if value is not None}
    assert reason in check_gate("category", candidate, None, GATE)[0]


def test_a_worse_candidate_does_not_replace_the_champion():
    champion = {**GOOD, "test/category_macro_f1": 0.85}
    assert "the champion has 0.8500" in check_gate("category", GOOD, champion, GATE)[0]
    assert check_gate("emotion", GOOD, champion, GATE) == []
    assert check_gate("category", GOOD, {**GOOD, "test/category_macro_f1": 0.805}, GATE) == []


PROMOTE = """
import json, sys
from pathlib import Path
from experiments.promote import promote
from training.config import GateConfig
gate = GateConfig(minimum=json.loads(sys.argv[1]), tolerance=0.199)
for decision in promote(Path("models/shared/exported"), Path("models/shared/report"), gate):
    print(decision.task, decision.version, decision.promoted, "|".join(decision.reasons))
"""


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
def test_promotion_from_gate_to_champion(recorded, tmp_path):
    folder = shutil.copytree(recorded, tmp_path / "copy")
    refused = script(PROMOTE, folder, '{"test/category_macro_f1": 1.1}').stdout
    assert "category 1 False test/category_macro_f1" in refused
    assert "emotion 1 True" in refused
    accepted = script(PROMOTE, folder, "{}").stdout
    assert "category 1 True" in accepted
    assert "emotion 1 False is the champion already" in accepted
    again = script(PROMOTE, folder, "{}").stdout
    assert again.count("is the champion already") == 2
    loaded = (
        script(
            """
        import mlflow, pandas as pd
        from experiments.tracking import connect, fetch_champion
        from serving.exported import verify_folder
        connect()
        model = mlflow.pyfunc.load_model("models:/kefu-category@champion")
        print(list(model.predict(pd.DataFrame({"text": ["退款多久"]})).columns))
        one, two = fetch_champion("kefu-category"), fetch_champion("kefu-emotion")
        verify_folder(one.folder)
        print(one.version, two.version, (one.folder / "manifest.json").samefile(two.folder / "manifest.json"))
        """,
            folder,
        )
        .stdout.strip()
        .splitlines()
    )
    assert "category_score" in loaded[-2]
    assert loaded[-1] == "1 1 True"  # registered under both names, stored once


@pytest.mark.slow
def test_a_damaged_candidate_is_refused_before_anything_is_registered(recorded, tmp_path):
    folder = shutil.copytree(recorded, tmp_path / "copy")
    model = folder / "models/shared/exported/model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"!")
    done = script(PROMOTE, folder, "{}", check=False)
    assert done.returncode != 0
    assert "model.onnx was changed after export" in done.stderr
    names = script(
        "from experiments.tracking import connect; print(list(connect().search_registered_models()))", folder
    )
    assert names.stdout.strip().splitlines()[-1] == "[]"


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
def test_two_promotions_at_once_register_once(recorded, tmp_path):
    folder = shutil.copytree(recorded, tmp_path / "copy")
    both = [script(PROMOTE, folder, "{}", background=True) for _ in range(2)]
    outputs = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    text = "".join(out for out, _ in outputs)
    assert text.count("category 1 True") == 1
    assert text.count("category 1 False is the champion already") == 1


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
