"""The configuration for several GPUs, on processes of the CPU: each row once, one run, one report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from data.split import Snapshot, write_snapshot
from tests.conftest import ROOT
from training import batches
from training.batches import LengthGroupedSampler
from training.config import ConfigError, TrainConfig
from training.processes import fitted_state, gather_rows, trainer_settings


@pytest.mark.parametrize(("rows", "shuffle"), [(1000, True), (1000, False), (65, True), (31, False)])
def test_every_row_falls_to_one_process(monkeypatch, rows, shuffle):
    lengths = np.random.default_rng(1).integers(3, 40, rows)
    sampler = LengthGroupedSampler(lengths, 32, shuffle, seed=4)
    whole = list(sampler)
    for count in (2, 3):
        monkeypatch.setattr(batches, "process_count", lambda count=count: count)
        shares = []
        for rank in range(count):
            monkeypatch.setattr(batches, "process_rank", lambda rank=rank: rank)
            shares.append(list(sampler))
        assert {len(share) for share in shares} == {len(whole)} == {len(sampler)}
        assert all(batch for share in shares for batch in share)
        for parts, batch in zip(zip(*shares, strict=True), whole, strict=True):
            dealt = Counter(row for part in parts for row in part)
            assert dealt.keys() == set(batch)
            assert max(dealt.values()) == 1 or len(batch) < count


def test_one_device_needs_no_settings(tiny_config):
    assert trainer_settings(1) == {"devices": 1}
    assert trainer_settings(2)["use_distributed_sampler"] is False
    with pytest.raises(ConfigError, match=r"train\.devices"):
        TrainConfig(devices=0)
    two = replace(tiny_config, train=replace(tiny_config.train, devices=2))
    assert two.fingerprint("x") != tiny_config.fingerprint("x")


def test_one_process_gathers_what_it_has():
    rows, values = [torch.tensor([4, 2]), torch.tensor([1])], [torch.tensor([0.4, 0.2]), torch.tensor([0.1])]
    found = gather_rows(rows, values, torch.device("cpu"))
    assert torch.equal(found, torch.tensor([0.4, 0.2, 0.1]))


def test_score_and_epochs_are_read_from_the_last_checkpoint(tmp_path):
    savers = {
        "ModelCheckpoint{'monitor': 'val/macro_f1'}": {
            "monitor": "val/macro_f1",
            "best_model_score": torch.tensor(0.5),
        },
        "ModelCheckpoint{'monitor': None}": {"monitor": None, "best_model_score": None},
    }
    torch.save({"epoch": 3, "callbacks": {"EarlyStopping{}": {}, **savers}}, tmp_path / "last.ckpt")
    assert fitted_state(tmp_path / "last.ckpt") == (0.5, 4)


TWO = """
import json, sys
from pathlib import Path

from pytorch_lightning.callbacks import Callback


class Seen(Callback):
    def __init__(self):
        self.rows = {"train": [], "val": []}

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        self.rows["train"].append(batch["row"].tolist())

    def on_validation_batch_end(self, trainer, module, outputs, batch, index, loader=0):
        self.rows["val"].append(batch["row"].tolist())

    def on_fit_end(self, trainer, module):
        told = {**self.rows, "score": float(trainer.callback_metrics["val/macro_f1"])}
        Path(f"seen-{sys.argv[1]}-{trainer.global_rank}.json").write_text(json.dumps(told))


def main():
    from experiments import tracking
    from experiments.run import evaluate_stage, train_stage
    from training.config import parse_training_config

    config = parse_training_config(json.loads(Path(f"config-{sys.argv[1]}.json").read_text()))
    output, report = Path("models", sys.argv[1]), Path("reports", sys.argv[1])
    run = train_stage("shared", config, Path("snapshot"), output, callbacks=[Seen()])
    metrics = evaluate_stage(output, Path("snapshot"), report)
    client = tracking.connect()
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
    runs = client.search_runs([experiment.experiment_id])
    history = client.get_metric_history(run, "val/macro_f1")
    manifest = json.loads((output / "manifest.json").read_text())
    told = {"run": run, "runs": [one.info.run_id for one in runs]}
    told["status"] = [one.info.status for one in runs]
    told |= {"epochs": manifest["epochs"], "history": [one.value for one in history], "metrics": metrics}
    told["validation"] = manifest["validation"]
    print(json.dumps(told))


if __name__ == "__main__":
    main()
"""


@pytest.mark.slow
def test_two_processes_train_one_model(tmp_path, snapshot, taxonomy, tiny_config):
    """161 + 1 rows in batches of 32: the last batch has fewer rows than there are processes … and one row."""
    splits = {**snapshot.splits, "train": snapshot.splits["train"][:161]}
    write_snapshot(Snapshot("x", taxonomy, splits).splits, taxonomy, tmp_path / "snapshot")
    (tmp_path / "two.py").write_text(TWO, encoding="utf-8")
    found, seen = {}, {}
    for devices in (1, 2):
        folder_store = f"sqlite:///{tmp_path}/store-{devices}.db"
        config = replace(tiny_config, train=replace(tiny_config.train, devices=devices, mask_numbers=0.0))
        plain = {**asdict(config), "artefacts": {"make": []}}
        (tmp_path / f"config-{devices}.json").write_text(json.dumps(plain), encoding="utf-8")
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": folder_store}
        environment |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        command = [sys.executable, str(tmp_path / "two.py"), str(devices)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr[-3000:]
        found[devices] = json.loads(done.stdout.strip().splitlines()[-1])
        files = sorted(tmp_path.glob(f"seen-{devices}-*.json"))
        assert len(files) == devices
        seen[devices] = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    one, two = found[1], found[2]
    for told in (one, two):
        assert told["runs"] == [told["run"]]
        assert told["status"] == ["FINISHED"]
        assert len(told["history"]) == 2
        assert told["epochs"] == len(told["history"])
        assert told["validation"]["val/macro_f1"] == pytest.approx(max(told["history"]))
        assert told["metrics"].keys() == one["metrics"].keys()
    assert len({share["score"] for share in seen[2]}) == 1
    for split, rows in (("train", 161), ("val", len(splits["val"]))):
        alone = [row for batch in seen[1][0][split] for row in batch]
        both = Counter(row for share in seen[2] for batch in share[split] for row in batch)
        assert both.keys() == set(alone) == set(range(rows))
        assert len(alone) == 2 * rows
        # A batch of a single row is seen by both processes, so that neither waits for the other.
        assert sum(both.values()) - len(alone) == (2 if rows % (32 if split == "train" else 64) == 1 else 0)
    assert [path.name for path in (tmp_path / "reports" / "2").glob("metrics.json")] == ["metrics.json"]
