"""The reranker as a folder for inference: ONNX network, card, manifest with hashes; written whole or not at
all."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch

from data.files import sha256_file, write_json
from data.reply_features import EXTRAS, PairView
from training.export import ExportError
from training.replies import ReplyNetwork

__all__ = ["export_reranker"]

_FORMAT = 1
_NAMES = ("query", "reply", "numbers", "grams")


def export_reranker(
    network: ReplyNetwork, folder: Path, threshold: float, provenance: Mapping[str, Any], card: str
) -> Path:
    """Write the folder, after comparing the ONNX network's answers with the trained one's.

    Args:
        threshold: logit from which a reply counts as an answer.
        provenance: what it was made of: encoder, pairs, figures, git commit.
        card: Markdown for people.

    Raises:
        ExportError: a logit differs by more than 1e-3.
    """
    network = network.eval().float().cpu()
    beside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    path = beside / "reranker.onnx"
    example = _inputs(network, 3, 20)
    axes = {name: {0: "pairs"} for name in (*_NAMES, "logit")}
    axes["grams"][1] = "ngrams"
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            tuple(torch.from_numpy(value) for value in example.values()),
            str(path),
            input_names=list(_NAMES),
            output_names=["logit"],
            dynamic_axes=axes,
            dynamo=False,
            opset_version=17,
        )
    _check(network, path)
    (beside / "README.md").write_text(card, encoding="utf-8")
    view = PairView(network.grams.num_embeddings)
    write_json(
        beside / "manifest.json",
        {
            "format": _FORMAT,
            "width": network.query.in_features,
            "numbers": list(EXTRAS),
            "buckets": view.buckets,
            "limit": view.limit,
            "threshold": threshold,
            **provenance,
            "files": {one.name: sha256_file(one) for one in sorted(beside.iterdir())},
        },
    )
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside.rename(folder)
    return folder


def _inputs(network: ReplyNetwork, pairs: int, grams: int) -> dict[str, Any]:
    random = np.random.default_rng(pairs * 100 + grams)
    width = network.query.in_features
    sides = [random.normal(size=(pairs, width)).astype(np.float32) for _ in range(2)]
    unit = [one / np.linalg.norm(one, axis=1, keepdims=True) for one in sides]
    ids = random.integers(0, network.grams.num_embeddings, (pairs, grams))
    return dict(zip(_NAMES, (*unit, random.random((pairs, len(EXTRAS)), np.float32), ids), strict=True))


def _check(network: ReplyNetwork, path: Path) -> None:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for pairs, grams in ((1, 1), (2, 700), (40, 33)):
        inputs = _inputs(network, pairs, grams)
        theirs = session.run(["logit"], inputs)[0]
        with torch.inference_mode():
            ours = network(**{name: torch.from_numpy(value) for name, value in inputs.items()}).numpy()
        gap = float(np.abs(ours - theirs).max())
        if not gap < 1e-3:
            raise ExportError(f"{path.name}: logits differ by {gap:.2g} from training's at {pairs} pairs")
