"""Sentence vectors of replies and messages, from the champion's encoder and from the encoder as pretrained.

Computed once for a set of texts and kept in `.kefu/replies`, named by what they were made of.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data.files import sha256_file
from data.text import normalise

__all__ = ["CACHE", "Vectors", "champion_embed", "champion_name", "kept_vectors", "pretrained_embed"]

CACHE = Path(".kefu/replies")
Vectors = NDArray[np.float32]
_BATCH = 16


def _unit(values: Vectors) -> Vectors:
    length = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.maximum(length, 1e-9), np.float32)


def champion_name(folder: Path, artefact: str = "float32") -> str:
    """A name for the vectors of an exported model: they change with its network."""
    return f"{artefact}-{sha256_file(folder / 'manifest.json')[:12]}"


def champion_embed(
    folder: Path, artefact: str = "float32", threads: int | None = None
) -> Callable[[Sequence[str]], Vectors]:
    """Unit vectors of texts from an exported model's encoder: an `assist.reading.Embed`."""
    from serving.exported import ExportedModel

    model = ExportedModel(folder, threads, artefact=artefact)
    width = int(model.session.get_outputs()[-1].shape[-1])

    def embed(texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.zeros((0, width), np.float32)
        parts = [
            model.opinions([(text, ()) for text in texts[start : start + 512]]).embedding
            for start in range(0, len(texts), 512)
        ]
        return _unit(np.concatenate(parts))

    return embed


def pretrained_embed(texts: Sequence[str], prefix: str) -> Vectors:
    """Unit vectors [texts, width] from the encoder as pretrained, with the prefix that it was trained with.

    Mean-pooled. It runs exported to ONNX as our models do: three times as fast here as in PyTorch.
    """
    import onnxruntime

    from data.encoding import InputEncoder, InputLimits
    from training.backbone import BUILTIN, load_backbone
    from training.export import export_onnx
    from training.network import ChatNetwork

    plain = [prefix + normalise(text) for text in texts]
    backbone = load_backbone(BUILTIN, plain)
    encoder = InputEncoder(backbone.tokenizer, InputLimits(), backbone.begin, backbone.end, backbone.pad)
    # A network has at least one head; the embedding is read below it.
    network = ChatNetwork(backbone.encoder, {"none": 1})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pretrained.onnx"
        export_onnx(network, encoder, None, path)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    encoded = encoder.encode([(text, ()) for text in plain])
    order = sorted(range(len(encoded)), key=lambda row: len(encoded[row].ids))
    out = np.zeros((len(encoded), backbone.encoder.config.hidden_size), np.float32)
    for start in tqdm(range(0, len(order), _BATCH), desc="pretrained encoder", leave=False):
        rows = order[start : start + _BATCH]
        inputs = encoder.pad([encoded[row] for row in rows]).inputs()
        out[rows] = session.run(["message_embedding"], inputs)[0]
    return _unit(out)


def kept_vectors(name: str, texts: Sequence[str], make: Callable[[Sequence[str]], Vectors]) -> Vectors:
    """Vectors of `texts` from the cache, or else made now and kept; float32 [texts, width]."""
    digest = hashlib.sha256("\x00".join(texts).encode()).hexdigest()[:16]
    path = CACHE / f"{name}-{digest}.npy"
    if path.is_file():
        return np.asarray(np.load(path, allow_pickle=False), np.float32)
    vectors = make(texts)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part.npy")
    np.save(beside, vectors.astype(np.float16), allow_pickle=False)
    beside.replace(path)
    return np.asarray(vectors.astype(np.float16), np.float32)
