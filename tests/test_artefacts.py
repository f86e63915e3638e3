"""Compressed forms of a model: made, measured, refused where they lose, and chosen by device and speed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest

from experiments.artefacts import Measured, add_artefacts, check_artefact, measure_artefact
from serving.choice import choose_artefacts, measure_speed
from serving.exported import BrokenModelError, ExportedModel, open_model, verify_folder
from training.config import ArtefactConfig, ConfigError, ThresholdConfig
from training.export import ExportError, export_onnx

MESSAGES = [("退款什么时候到账", ()), ("在吗", ()), ("我要换大一码的鞋子" * 6, ())]


@pytest.fixture(scope="module")
def folder(exported, few, tmp_path_factory):
    """The tiny model with both artefacts."""
    copy = tmp_path_factory.mktemp("artefacts") / "model"
    shutil.copytree(exported, copy)
    loose = ArtefactConfig(max_macro_f1_loss=0.2, max_red_recall_loss=1.0)
    assert add_artefacts(copy, few[:120], ThresholdConfig(), loose) == {"int8": [], "float16": []}
    return copy


def operators(path):
    return [node.op_type for node in onnx.load(str(path)).graph.node]


def test_attention_and_gelu_are_fused(exported):
    kinds = operators(exported / "model.onnx")
    assert kinds.count("Attention") == 2
    assert kinds.count("BiasGelu") == 2
    assert "Softmax" not in kinds
    assert "SkipLayerNormalization" not in kinds


def test_an_export_that_answers_otherwise_is_refused(fitted, tmp_path, monkeypatch):
    result, _ = fitted

    def spoil(path, heads, hidden):
        model = onnx.load(str(path))
        for item in model.graph.initializer:
            if item.name.endswith("heads.category.bias"):
                values = onnx.numpy_helper.to_array(item) + 0.01
                item.CopyFrom(onnx.numpy_helper.from_array(values, item.name))
        onnx.save(model, str(path))

    monkeypatch.setattr("training.export.fuse", spoil)
    with pytest.raises(ExportError, match="category_logits differs"):
        export_onnx(result.network, result.encoder, result.ngrams, tmp_path / "model.onnx")


def test_artefacts_are_listed_whole_and_answer_nearly_the_same(folder):
    manifest = verify_folder(folder)
    assert set(manifest["artefacts"]) == {"int8", "float16"}
    plain = ExportedModel(folder)
    for name, limit in (("int8", 0.1), ("float16", 0.01)):
        model = ExportedModel(folder, artefact=name)
        for task, ours in model.logits(MESSAGES).items():
            exact = plain.logits(MESSAGES)[task]
            assert np.abs(ours - exact).max() < limit * exact.std(), (name, task)
    assert any("Integer" in kind or kind.startswith("Q") for kind in operators(folder / "model.int8.onnx"))


def test_int8_has_a_calibration_of_its_own(folder):
    plain = json.loads((folder / "calibration.json").read_text(encoding="utf-8"))
    own = json.loads((folder / "calibration.int8.json").read_text(encoding="utf-8"))
    assert own.keys() == plain.keys()
    assert own["category"]["temperature"] != plain["category"]["temperature"]
    assert ExportedModel(folder, artefact="int8").calibration == own


def test_a_changed_artefact_is_not_opened(folder, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    path = copy / "model.int8.onnx"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(BrokenModelError, match=r"model\.int8\.onnx was changed"):
        ExportedModel(copy, artefact="int8")


def test_an_artefact_that_loses_is_not_listed(exported, few, tmp_path):
    copy = tmp_path / "model"
    shutil.copytree(exported, copy)
    strict = ArtefactConfig(max_distance={"int8": 0.0, "float16": 1.0}, max_macro_f1_loss=1.0)
    refused = add_artefacts(copy, few[:60], ThresholdConfig(), strict)
    assert "on the grid" in refused["int8"][0]
    assert refused["float16"] == []
    manifest = verify_folder(copy)
    assert set(manifest["artefacts"]) == {"float16"}
    assert manifest["refused_artefacts"]["int8"] == refused["int8"]
    assert not (copy / "model.int8.onnx").exists()
    with pytest.raises(BrokenModelError, match="no artefact 'int8'"):
        ExportedModel(copy, artefact="int8")


def test_the_gate_names_what_was_lost():
    base = Measured({"category": 0.9, "emotion": 0.9}, 0.95, 400, 0.0, {})
    config = ArtefactConfig()
    assert check_artefact(replace(base, parity=0.1), base, config, "int8") == []
    assert check_artefact(replace(base, parity=0.1), base, config, "float16")
    assert "emotion macro-F1" in check_artefact(
        replace(base, macro_f1={"category": 0.9, "emotion": 0.894}), base, config, "int8"
    )[0]  # fmt: skip
    assert "red-alert recall" in check_artefact(replace(base, red_recall=0.944), base, config, "int8")[0]
    # One angry message of a hundred decides nothing, two do.
    few = replace(base, angry_rows=100)
    assert check_artefact(replace(few, red_recall=0.94), few, config, "int8") == []
    assert check_artefact(replace(few, red_recall=0.93), few, config, "int8")
    assert check_artefact(replace(base, parity=float("nan")), base, config, "int8")


def test_wrong_settings_are_named():
    with pytest.raises(ConfigError, match=r"artefacts\.make"):
        ArtefactConfig(make=["int4"])


def test_float32_measures_as_itself(folder, few):
    plain = ExportedModel(folder)
    found = measure_artefact(plain, plain, few[:50])
    assert found.parity == 0
    assert set(found.agreement.values()) == {1.0}


def test_the_faster_artefact_is_chosen(folder, monkeypatch):
    speeds = {"float32": 100.0, "int8": 103.0}
    monkeypatch.setattr("serving.choice.measure_speed", lambda *arguments: speeds)
    assert choose_artefacts(folder) == {"cpu": "float32", "cuda": "float16"}
    speeds["int8"] = 140.0
    assert choose_artefacts(folder)["cpu"] == "int8"


def test_speed_is_measured_for_each(folder):
    speeds = measure_speed(folder, ["float32", "int8"], threads=1, rounds=2)
    assert set(speeds) == {"float32", "int8"}
    assert all(value > 1 for value in speeds.values())


def test_the_device_decides_the_artefact(folder):
    chosen = {"cpu": "int8", "cuda": "float16"}
    model = open_model(folder, chosen, threads=1)
    assert (model.device, model.artefact) == ("cpu", "int8")
    assert open_model(folder, {}, 1, "cpu").artefact == "float32"
    with pytest.raises(BrokenModelError, match="onnxruntime-gpu"):
        open_model(folder, chosen, threads=1, device="cuda")


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_cuda_that_does_not_work_falls_back_to_the_cpus_artefact(folder, monkeypatch):
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: both)
    model = open_model(folder, {"cpu": "int8", "cuda": "float16"}, threads=1)
    assert (model.device, model.artefact) == ("cpu", "int8")
    with pytest.raises(BrokenModelError, match="libraries do not load"):
        open_model(folder, {}, 1, "cuda")


def test_batches_pad_little_and_run_seldom():
    from serving.exported import _batches

    lengths = [5] * 10 + [6] * 6 + [90, 100]
    parts = _batches(lengths, 16)
    assert [end - start for start, end in parts] == [16, 2]
    assert _batches([], 16) == []
    assert max(end - start for start, end in _batches([7] * 100, 16)) <= 16
    covered = [row for start, end in _batches(sorted(range(3, 60)), 8) for row in range(start, end)]
    assert covered == list(range(57))
