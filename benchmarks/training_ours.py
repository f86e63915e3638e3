"""Our side of the training benchmark: `training.train.train` as it stands, or with one of its ways off.

Switches (each replaces one thing in this process, nothing in the project):

`full_vocabulary`  the encoder's whole vocabulary instead of the pieces that can occur
`random_batches`   rows in random batches instead of batches of similar length
`cached_encoding`  every text is tokenised once instead of each time it is read
`encoder_dropout`  0.1 inside the encoder, as Hugging Face's configurations have it, instead of none
`sdpa_attention`   PyTorch's fused attention instead of plain matrix products
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_lightning.callbacks import Callback

from benchmarks.training_clock import Clock
from data.encoding import EncodedInput, InputEncoder, InputLimits, Message
from data.split import Snapshot
from training import train as training
from training.batches import Collator
from training.config import BackboneConfig, TrainConfig, TrainingConfig
from training.module import ChatModule

__all__ = ["SWITCHES", "run_ours"]

SWITCHES = ("full_vocabulary", "random_batches", "cached_encoding", "encoder_dropout", "sdpa_attention")


class _Watch(Callback):
    """Notes samples, scores and the bounds of the loop."""

    def __init__(self, clock: Clock, began: float) -> None:
        self.clock, self.began = clock, began
        self.samples = 0
        self.loop = [0.0, 0.0]
        self.curve: list[dict[str, float]] = []

    def _now(self) -> float:
        return time.perf_counter() - self.began

    def on_train_start(self, trainer: Any, module: Any) -> None:
        self.loop[0] = self._now()
        self.clock.wrap(trainer.strategy, "backward", "backward")
        self.clock.wrap(trainer, "save_checkpoint", "checkpoint")
        for optimizer in trainer.optimizers:
            # Lightning runs forward and backward inside the optimizer's step: what is left is its own.
            self.clock.wrap(optimizer, "step", "optimiser")

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, index: int) -> None:
        self.samples += len(batch["row"])

    def on_train_end(self, trainer: Any, module: Any) -> None:
        self.loop[1] = self._now()

    def on_validation_start(self, trainer: Any, module: Any) -> None:
        self.clock.begin("validation", whole=True)

    def on_validation_end(self, trainer: Any, module: Any) -> None:
        # Before Lightning's own callbacks, which save checkpoints: they come last.
        self.clock.end(whole=True)
        found = trainer.callback_metrics
        self.curve.append({
            "seconds": self._now(),
            "macro_f1": float(found["val/macro_f1"]),
            "accuracy": float(found["val/category_accuracy"]),
        })  # fmt: skip


def run_ours(job: dict[str, Any], snapshot: Snapshot) -> dict[str, Any]:
    """One run; seconds by part, samples, and the scores on validation over time.

    Args:
        job: `precision` ("32", "bf16", "auto"), `switches` (of `SWITCHES`), `epochs`, `batch_size`,
            `max_length`, `layers`, `backbone` (`builtin` or a folder), `model` (the folder with the whole
            vocabulary, for `full_vocabulary`), `work` (a folder).
    """
    switches = set(job["switches"])
    clock = Clock()
    clock.wrap(InputEncoder, "encode", "tokenising")
    clock.wrap(Collator, "__call__", "data")
    clock.wrap(ChatModule, "training_step", "forward")
    if "cached_encoding" in switches:
        _cache_encoding()
    if "random_batches" in switches:
        _forget_lengths()
    if "sdpa_attention" in switches:
        _fused_attention()
    whole = "full_vocabulary" in switches
    config = TrainingConfig(
        tasks=("category",),
        backbone=BackboneConfig(job["model"] if whole else job["backbone"], layers=job["layers"]),
        input=InputLimits(message_tokens=job["max_length"], context_turns=0, context_tokens=0),
        train=TrainConfig(
            epochs=job["epochs"],
            patience=job["epochs"],
            batch_size=job["batch_size"],
            precision=job["precision"],
            encoder_dropout=0.1 if "encoder_dropout" in switches else 0.0,
            ngram_buckets=0,
            seed=job["seed"],
        ),
    )
    began = time.perf_counter()
    watch = _Watch(clock, began)
    result = training.train(config, snapshot, Path(job["work"]), callbacks=[watch], progress=False)
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "loop_seconds": watch.loop[1] - watch.loop[0],
        "samples": watch.samples,
        "parts": dict(clock.shares(seconds)),
        "curve": watch.curve,
        "parameters": sum(value.numel() for value in result.network.parameters()),
        "vocabulary": int(result.encoder.tokenizer.get_vocab_size()),
    }


def _cache_encoding() -> None:
    encode, known = InputEncoder.encode, {}

    def cached(self: InputEncoder, messages: Sequence[Message]) -> list[EncodedInput]:
        missing = [one for one in dict.fromkeys(text for text, _ in messages) if one not in known]
        if missing:
            known.update(zip(missing, encode(self, [(text, ()) for text in missing]), strict=True))
        return [known[text] for text, _ in messages]

    InputEncoder.encode = cached  # type: ignore[method-assign]


def _forget_lengths() -> None:
    make = training.make_loader

    def unsorted(*values: Any, **named: Any) -> Any:
        loader = make(*values, **named)
        sampler: Any = loader.batch_sampler
        if sampler.shuffle:
            sampler.lengths = np.zeros_like(sampler.lengths)
        return loader

    training.make_loader = unsorted


def _fused_attention() -> None:
    build = training.build_network

    def fused(*values: Any, **named: Any) -> Any:
        network, encoder = build(*values, **named)
        network.encoder.set_attn_implementation("sdpa")
        return network, encoder

    training.build_network = fused
