"""Training end to end on a tiny encoder: learning, killing, resuming, exporting."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import pytorch_lightning as pl
import torch

from training.backbone import load_backbone
from training.batches import LengthGroupedSampler, mask_numbers
from training.config import TrainConfig
from training.export import ExportError, export_onnx
from training.fit import Views, encoder_logits, fit_lexical_views
from training.module import class_weights
from training.precision import pick_precision
from training.train import build_network, train

ROOT = Path(__file__).resolve().parent.parent


def test_it_learns(fitted, snapshot):
    result, calibration = fitted
    rows = snapshot.splits["test"]
    logits = encoder_logits(result, rows)
    for task, labels in result.label_maps.items():
        target = np.array([labels.label2id[getattr(row, task)] for row in rows])
        common = np.bincount(target).max() / len(target)
        assert (logits[task].argmax(1) == target).mean() > common + 0.05, task
    assert set(calibration.tasks) == {"category", "emotion"}
    assert result.metrics["val/macro_f1"] > 0
    assert not result.resumed


def test_the_joined_view_is_part_of_the_network(fitted):
    result, calibration = fitted
    assert result.network.ngram_rows.shape == (4096, 71 + 6 + 1)
    fitted = calibration.tasks["category"]
    assert fitted.lexical_weight > 0
    scale = result.network.ngram_context_scale
    assert float(scale[0]) == pytest.approx(fitted.context_lexical_weight / fitted.lexical_weight)
    ones = torch.ones(1, 4, dtype=torch.long)
    with pytest.raises(ValueError, match="ngram_ids"):
        result.network(ones, ones, torch.zeros_like(ones))


def test_joining_the_views_changes_no_answer(fitted, snapshot):
    """The table in the network says what encoder and margins, weighted by hand, say."""
    result, calibration = fitted
    rows = snapshot.splits["test"]
    lexical = fit_lexical_views(snapshot.splits["train"], result.label_maps, result.ngrams, 0.5)
    bare = copy.deepcopy(result.network)
    bare.ngram_rows = None
    apart = Views(dataclasses.replace(result, network=bare), lexical)
    in_context = np.array([bool(row.context) for row in rows])
    assert in_context.any()
    assert not in_context.all()
    for task, (encoder, margins) in apart.logits(rows).items():
        fit = calibration.tasks[task]
        weight = np.where(in_context, fit.context_lexical_weight, fit.lexical_weight)[:, None]
        np.testing.assert_allclose(encoder_logits(result, rows)[task], encoder + weight * margins, atol=2e-3)


def test_seeds_make_runs_repeatable(tiny_config, snapshot, tmp_path):
    small = dataclasses.replace(tiny_config, train=dataclasses.replace(tiny_config.train, epochs=1))
    one = train(small, snapshot, tmp_path / "a", progress=False)
    two = train(small, snapshot, tmp_path / "b", progress=False)
    for first, second in zip(one.network.parameters(), two.network.parameters(), strict=True):
        assert torch.equal(first, second)


def test_single_task_models(tiny_config, snapshot, tmp_path):
    config = dataclasses.replace(
        tiny_config, tasks=("emotion",), train=dataclasses.replace(tiny_config.train, epochs=1)
    )
    result = train(config, snapshot, tmp_path, progress=False)
    assert list(result.network.heads) == ["emotion"]
    assert list(tmp_path.iterdir()) == []  # checkpoints are removed at the end


def test_an_encoder_too_short_for_the_input_is_refused(tiny_config, snapshot):
    from data.encoding import InputLimits

    config = dataclasses.replace(tiny_config, input=InputLimits(message_tokens=512))
    maps = {"emotion": snapshot.taxonomy.label_map("emotion")}
    with pytest.raises(ValueError, match="256 positions"):
        build_network(config, [], maps)


KILLED = """
import json, sys
sys.path.insert(0, {root!r})
import pytest
from pathlib import Path
from data.split import load_snapshot
from training.config import *
from training.train import train
import dataclasses, pytorch_lightning as pl, time

class Marker(pl.Callback):
    def on_train_epoch_start(self, trainer, module):
        Path({marker!r}).write_text(str(trainer.current_epoch))
        if trainer.current_epoch == 2 and not Path({second!r}).exists():
            time.sleep(120)

config = TrainingConfig(
    tasks=("category",),
    backbone=BackboneConfig(name={bert!r}),
    train=TrainConfig(epochs=4, patience=9, ngram_buckets=0, precision="32", accelerator="cpu"),
)
folder = Path({checkpoints!r})
result = train(config, load_snapshot({snapshot!r}), folder, callbacks=[Marker()], progress=False)
print(json.dumps({{"resumed": result.resumed, "epochs": result.epochs}}))
"""


@pytest.mark.slow
def test_a_killed_training_resumes(tmp_path, snapshot, taxonomy, tiny_bert):
    from data.split import write_snapshot

    write_snapshot(snapshot.splits, taxonomy, tmp_path / "snapshot")
    marker, second = tmp_path / "epoch", tmp_path / "second"
    script = tmp_path / "run.py"
    script.write_text(
        KILLED.format(
            root=str(ROOT),
            marker=str(marker),
            second=str(second),
            bert=str(tiny_bert),
            snapshot=str(tmp_path / "snapshot"),
            checkpoints=str(tmp_path / "checkpoints"),
        ),
        encoding="utf-8",
    )
    process = subprocess.Popen([sys.executable, str(script)], cwd=tmp_path, start_new_session=True)
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and not (marker.exists() and marker.read_text() == "2"):
        assert process.poll() is None, "ended before it could be killed"
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert list((tmp_path / "checkpoints").rglob("last.ckpt"))
    marker.unlink()
    second.touch()
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300
    )
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    assert answer == {"resumed": True, "epochs": 4}
    assert not list((tmp_path / "checkpoints").rglob("*.ckpt"))


def test_a_run_that_stopped_improving_resumes_after_its_last_epoch(tiny_config, snapshot, tmp_path):
    """With rates of next to nothing no epoch is better than the first."""
    settings = dataclasses.replace(tiny_config.train, epochs=4, patience=9, encoder_lr=1e-12, head_lr=1e-12)
    config = dataclasses.replace(tiny_config, train=settings)
    begun: list[int] = []

    class Stopped(pl.Callback):
        def on_train_epoch_start(self, trainer, module):
            begun.append(trainer.current_epoch)
            if begun == [0, 1, 2]:
                raise ConnectionError("the machine is gone")

    with pytest.raises(ConnectionError):
        train(config, snapshot, tmp_path, callbacks=[Stopped()], progress=False)
    folder = tmp_path / config.fingerprint(snapshot.id)
    assert {
        name: torch.load(folder / name, weights_only=False)["epoch"] for name in ("best.ckpt", "last.ckpt")
    } == {
        "best.ckpt": 0,
        "last.ckpt": 1,
    }
    result = train(config, snapshot, tmp_path, callbacks=[Stopped()], progress=False)
    assert begun == [0, 1, 2, 2, 3]
    assert (result.resumed, result.epochs) == (True, 4)


def test_the_exported_network_answers_as_the_trained_one(exported, fitted, snapshot):
    from serving.exported import ExportedModel

    result, calibration = fitted
    rows = snapshot.splits["test"][:40]
    model = ExportedModel(exported, threads=1)
    got = model.logits([(row.text, row.context) for row in rows], batch_size=7)
    for task, want in encoder_logits(result, rows).items():
        assert np.abs(got[task] - want).max() < 1e-3
    found = model.probabilities([(row.text, row.context) for row in rows])
    assert found["emotion"].sum(1) == pytest.approx(1, abs=1e-5)
    assert model.calibration == calibration.as_dict()


def test_the_exported_embedding_is_what_the_heads_read(exported, fitted, snapshot):
    from serving.exported import ExportedModel

    result, _ = fitted
    messages = [(row.text, row.context) for row in snapshot.splits["test"][:40]]
    model = ExportedModel(exported, threads=1)
    found = model.opinions(messages, batch_size=7)
    assert found.labels == model.labels
    for task, want in model.probabilities(messages, batch_size=7).items():
        np.testing.assert_allclose(found.probabilities[task], want, atol=1e-5)
    inputs = result.encoder.pad(result.encoder.encode(messages)).inputs() | result.ngrams.batch(messages)
    with torch.inference_mode():
        network = result.network.eval()
        *logits, embedding = network.with_embedding(**{k: torch.from_numpy(v) for k, v in inputs.items()})
        heads = network.heads["category"](embedding)
        bare = copy.deepcopy(network)
        bare.ngram_rows = None
        alone = bare(**{k: torch.from_numpy(v) for k, v in inputs.items()})
    np.testing.assert_allclose(found.embedding, embedding.numpy(), atol=1e-3)
    assert len(logits) == 2
    torch.testing.assert_close(heads, alone[0])
    assert found.embedding.std(0).min() > 1e-3


@pytest.mark.parametrize("wrong", [0, -1])
def test_a_differing_network_is_not_exported(fitted, tmp_path, monkeypatch, wrong):
    result, _ = fitted

    class Other:
        def __init__(self, path, providers):
            self.real = onnxruntime.InferenceSession(path, providers=providers)

        def run(self, names, inputs):
            values = self.real.run(names, inputs)
            values[wrong] = values[wrong] + 0.5
            return values

    real = onnxruntime.InferenceSession

    class Fake(Other):
        def __init__(self, path, providers):
            self.real = real(path, providers=providers)

    monkeypatch.setattr("training.export.onnxruntime.InferenceSession", Fake)
    name = "message_embedding" if wrong else "category_logits"
    with pytest.raises(ExportError, match=f"{name} differs by"):
        export_onnx(result.network, result.encoder, result.ngrams, tmp_path / "model.onnx")


def test_batches_are_of_similar_length_and_complete():
    lengths = list(range(1, 301)) * 2
    sampler = LengthGroupedSampler(lengths, 16, shuffle=True, seed=1)
    batches = list(sampler)
    assert sorted(row for batch in batches for row in batch) == list(range(600))
    assert len(sampler) == len(batches)
    spread = np.mean([np.ptp([lengths[row] for row in batch]) for batch in batches])
    assert spread < 30
    assert list(sampler) == batches
    sampler.set_epoch(1)
    assert list(sampler) != batches


def test_rare_classes_weigh_more(few, taxonomy):
    labels = taxonomy.label_map("category")
    weights = class_weights(few, "category", labels, 0.5)
    assert (weights > 0).all()
    assert torch.equal(class_weights(few, "category", labels, 0.0), torch.ones(71))


def test_masked_numbers():
    assert mask_numbers("19.9元买的 2件 ¥5") == "[金额]元买的 [数字]件 ¥[金额]"


def test_precision_choice(monkeypatch):
    assert pick_precision("32", "cpu") == "32-true"
    assert pick_precision("bf16", "cpu") == "bf16-mixed"
    monkeypatch.setattr(Path, "read_text", lambda self, **_: "flags: avx2")
    assert pick_precision("auto", "cpu") == "32-true"
    assert TrainConfig().precision == "auto"


def test_frozen_layers_stay_as_pretrained(tiny_config, tiny_bert, snapshot, tmp_path):
    one_epoch = dataclasses.replace(tiny_config.train, epochs=1)
    backbone = dataclasses.replace(tiny_config.backbone, frozen_layers=1)
    config = dataclasses.replace(tiny_config, train=one_epoch, backbone=backbone)
    trained = train(config, snapshot, tmp_path, progress=False).network.encoder.encoder.layer
    start = load_backbone(str(tiny_bert)).encoder.encoder.layer
    same = [
        all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
        for one, two in zip(trained, start, strict=True)
    ]
    assert same == [True, False]
    too_many = dataclasses.replace(config, backbone=dataclasses.replace(backbone, frozen_layers=3))
    with pytest.raises(ValueError, match="frozen_layers: 3, but the encoder has 2"):
        train(too_many, snapshot, tmp_path, progress=False)
