"""The exported model: a folder with all that inference needs, and hashes that prove it whole.

model.safetensors   weights of the network, to go on training from
model.onnx          the same network for inference
tokenizer.json, input.json, label_map.json, taxonomy.json, calibration.json, config.json
README.md           the model card
manifest.json       format, tasks, snapshot, provenance, SHA-256 of every other file
"""

from __future__ import annotations

import itertools
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from data.encoding import InputEncoder, Message
from data.example import Turn
from data.files import sha256_file, write_json
from data.ngrams import NgramView
from data.taxonomy import Taxonomy
from training.calibrate import Calibration
from training.compress import fuse
from training.network import ChatNetwork
from training.train import TrainResult

__all__ = [
    "FORMAT",
    "PARITY_BATCHES",
    "PARITY_LENGTHS",
    "ExportError",
    "export_model",
    "export_onnx",
    "random_inputs",
]

FORMAT = 4
PARITY_BATCHES = (1, 2, 7, 32)
PARITY_LENGTHS = (2, 16, 128)
PROBES: tuple[Message, ...] = (
    ("在吗", ()),
    ("我要退货，鞋子大了一码，申请之后寄到哪里", ()),
    ("还是没到", (Turn("customer", "快递到哪了"), Turn("agent", "亲，明天就能送到您那里的哦"))),
    ("都五天了还不给我退钱！！！你们是骗子吧？再不处理我打12315" * 4, ()),
)


class ExportError(RuntimeError):
    """The exported network does not answer as the trained one does."""


def export_model(
    result: TrainResult,
    calibration: Calibration,
    taxonomy: Taxonomy,
    folder: Path,
    provenance: dict[str, Any],
    card: str,
) -> Path:
    """Write the exported model folder, complete or not at all.

    Args:
        provenance: what a person needs to walk back: snapshot, git commit, environment, …
        card: the model card in Markdown.

    Raises:
        ExportError: the ONNX network differs from the trained one.
    """
    beside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    state = {name: value.contiguous() for name, value in result.network.state_dict().items()}
    save_file(state, beside / "model.safetensors")
    result.encoder.save(beside)
    export_onnx(result.network, result.encoder, result.ngrams, beside / "model.onnx")
    write_json(beside / "label_map.json", {
        task: list(labels.labels) for task, labels in result.label_maps.items()
    })  # fmt: skip
    write_json(beside / "taxonomy.json", taxonomy.raw)
    write_json(beside / "calibration.json", calibration.as_dict())
    write_json(beside / "config.json", asdict(result.config))
    (beside / "README.md").write_text(card, encoding="utf-8")
    files = {path.name: sha256_file(path) for path in sorted(beside.iterdir())}
    write_json(
        beside / "manifest.json",
        {
            "format": FORMAT,
            "tasks": list(result.network.tasks),
            "ngram_buckets": result.ngrams.buckets if result.ngrams else 0,
            **provenance,
            "files": files,
        },
    )
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside.rename(folder)
    return folder


def export_onnx(network: ChatNetwork, encoder: InputEncoder, ngrams: NgramView | None, path: Path) -> None:
    """Export to ONNX with dynamic batch and length, fuse its operators, and compare the answers.

    ONNX Runtime's transformer optimiser knows the graph that tracing gives, with attention written out;
    of the newer exporter's graph it fuses no attention (onnxruntime 1.32, torch 2.13). An encoder that it
    does not know stays as it was traced.

    Outputs: `<task>_logits` of each task, and `message_embedding` [batch, hidden].

    Raises:
        ExportError: a logit or an embedding differs by more than 1e-3 at some batch and length.
    """
    network = network.eval().float().cpu()
    inputs = _inputs(list(PROBES), encoder, ngrams)
    outputs = [*(f"{task}_logits" for task in network.tasks), "message_embedding"]
    axes = {name: {0: "batch", 1: name if name.endswith("ngram_ids") else "length"} for name in inputs}
    attention = network.encoder.config._attn_implementation
    network.encoder.set_attn_implementation("eager")
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _WithEmbedding(network).eval(),
                tuple(torch.from_numpy(value) for value in inputs.values()),
                str(path),
                input_names=list(inputs),
                output_names=outputs,
                dynamic_axes=axes | {name: {0: "batch"} for name in outputs},
                dynamo=False,
                opset_version=17,
            )
    finally:
        network.encoder.set_attn_implementation(attention)
    fuse(path, network.encoder.config.num_attention_heads, network.encoder.config.hidden_size)
    _check_parity(network, encoder, ngrams, path, outputs)


def _check_parity(
    network: ChatNetwork, encoder: InputEncoder, ngrams: NgramView | None, path: Path, outputs: Sequence[str]
) -> None:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    probes = [_inputs(list(PROBES), encoder, ngrams)]
    probes += [
        random_inputs(encoder, ngrams, batch, length, network.encoder.config.vocab_size)
        for batch, length in itertools.product(PARITY_BATCHES, PARITY_LENGTHS)
    ]
    for inputs in probes:
        got = session.run(list(outputs), inputs)
        with torch.inference_mode():
            want = network.with_embedding(**{name: torch.from_numpy(v) for name, v in inputs.items()})
        for output, ours, theirs in zip(outputs, want, got, strict=True):
            gap = float(np.abs(ours.numpy() - theirs).max())
            if not gap < 1e-3:
                shape = "x".join(map(str, inputs["input_ids"].shape))
                raise ExportError(f"{path.name}: {output} differs by {gap:.2g} from training's at {shape}")


def random_inputs(
    encoder: InputEncoder, ngrams: NgramView | None, batch: int, length: int, vocabulary: int
) -> dict[str, Any]:
    """Inputs [batch, length] of arbitrary tokens, the first row full, others cut short or with context."""
    random = np.random.default_rng(batch * 1000 + length)
    length = min(length, encoder.max_length)
    lengths = random.integers(2, length + 1, batch)
    lengths[0] = length
    message = np.array([random.integers(2, size + 1) for size in lengths])
    place = np.arange(length)[None, :]
    inside = place < lengths[:, None]
    ids = random.integers(0, vocabulary, (batch, length))
    inputs = {
        "input_ids": np.where(inside, ids, encoder.pad_id),
        "attention_mask": inside.astype(np.int64),
        "token_type_ids": (inside & (place >= message[:, None])).astype(np.int64),
    }
    if ngrams:
        inputs["ngram_ids"] = random.integers(0, ngrams.buckets, (batch, 3 * length))
        inputs["context_ngram_ids"] = random.integers(0, ngrams.buckets, (batch, 1 + length))
        inputs["context_ngram_ids"][::2] = 0
    return inputs


class _WithEmbedding(nn.Module):
    """The network as it is exported: the embedding is an answer too."""

    def __init__(self, network: ChatNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor,
        ngram_ids: Tensor | None = None,
        context_ngram_ids: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        return self.network.with_embedding(
            input_ids, attention_mask, token_type_ids, ngram_ids, context_ngram_ids
        )


def _inputs(messages: Sequence[Message], encoder: InputEncoder, ngrams: NgramView | None) -> dict[str, Any]:
    inputs = encoder.pad(encoder.encode(messages)).inputs()
    if ngrams:
        inputs |= ngrams.batch(messages)
    return inputs
