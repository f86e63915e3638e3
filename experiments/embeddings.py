"""Vectors of messages by the frozen built-in encoder, kept by message so that only new ones are computed."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.encoding import InputLimits
from data.example import Example
from data.text import normalise

__all__ = ["CACHE", "embed"]

Floats = NDArray[np.floating[Any]]
CACHE = Path(".kefu/embeddings-builtin.npz")
LIMITS = InputLimits(context_turns=8, turn_tokens=24)


def embed(examples: Sequence[Example], cache: Path | None = CACHE, progress: bool = False) -> Floats:
    """Vectors [examples, 384]: the tokens of each message, read in its context, averaged.

    Two processes may use one cache: each writes it whole, and what the other adds is computed again.

    Args:
        cache: file that keeps vectors by message, so that only new ones are computed; None keeps none.
    """
    names = [_name(example) for example in examples]
    kept = _read_cache(cache)
    missing = {name: example for name, example in zip(names, examples, strict=True) if name not in kept}
    if missing:
        computed = _encode(list(missing.values()), progress)
        kept |= dict(zip(missing, computed.astype(np.float16), strict=True))
        if cache is not None:
            _write_cache(cache, kept)
    return np.stack([kept[name] for name in names]).astype(np.float32)


def _name(example: Example) -> str:
    turns = [f"{turn.role}\x01{normalise(turn.text)}" for turn in example.context[-LIMITS.context_turns :]]
    return hashlib.sha256("\x02".join([normalise(example.text), *turns]).encode()).hexdigest()[:32]


def _read_cache(path: Path | None) -> dict[str, NDArray[np.float16]]:
    if path is None or not path.exists():
        return {}
    with np.load(path, allow_pickle=False) as stored:
        return dict(zip(stored["names"].tolist(), stored["vectors"], strict=True))


def _write_cache(path: Path, kept: dict[str, NDArray[np.float16]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, names=np.array(list(kept)), vectors=np.stack(list(kept.values())))
        Path(beside).replace(path)
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise


def _encode(examples: Sequence[Example], progress: bool) -> NDArray[np.float32]:
    from training.config import TrainConfig, TrainingConfig
    from training.linear_heads import embeddings
    from training.train import build_network, training_texts

    config = TrainingConfig(("category",), input=LIMITS, train=TrainConfig(accelerator="cpu"))
    network, encoder = build_network(config, training_texts(examples), {})
    return embeddings(network, encoder, examples, config, progress)
