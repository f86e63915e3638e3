"""One model of one labelled table, with the defaults of the project, and its answers: it writes nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger

from data.example import Example
from data.sources.labels import LabelSet, check_training_labels, label_set
from data.sources.rows import Rows
from data.split import Snapshot
from training.calibrate import Calibration
from training.config import TrainingConfig, load_training_config
from training.fit import encoder_logits, fit_model
from training.train import TrainResult

__all__ = ["CHECKPOINTS", "Learnt", "bench_config", "epochs_for", "learn"]

CHECKPOINTS = Path(".kefu/checkpoints")
STEPS, LONGEST, FEWEST, MOST = 1500, 10_000, 3, 12
SHORTEST, MOST_OF_TINY = 300, 40
ENCODER_DROPOUT = 0.1
"""Inside the encoder: tables are read more often than the project's own corpus, whose setting is 0. Chosen by
the ablation on held-out training rows (docs/benchmarks.md)."""
_BLOCK = 16384
Floats = NDArray[np.floating[Any]]


def epochs_for(rows: int, batch_size: int) -> int:
    """Epochs that make about 1500 steps, between 3 and 12; of huge tables fewer (10,000 steps), of tiny ones
    up to 40 (300 steps).

    The same rule for every table, so that none is tuned on its own test rows. 40 epochs of a few hundred rows
    took longer than 12 and were no better, on rows held out of training rows (docs/benchmarks.md).
    """
    steps = max(1, math.ceil(rows / batch_size))
    return max(
        min(FEWEST, LONGEST // steps),
        min(MOST, math.ceil(STEPS / steps)),
        min(MOST_OF_TINY, math.ceil(SHORTEST / steps)),
    )


def bench_config(
    model: str,
    rows: int,
    params: Path = Path("params.yaml"),
    seed: int | None = None,
    epochs: int | None = None,
    base: TrainingConfig | None = None,
) -> TrainingConfig:
    """The settings of a model or baseline of `params.yaml`, for one task and so many training rows.

    Epochs, patience and dropout inside the encoder (`ENCODER_DROPOUT`) are not those of the file.

    Args:
        epochs: instead of `epochs_for`.
        base: settings to take instead of those of `params.yaml`; their dropout stays.

    Raises:
        ConfigError: the model is unknown or a setting is wrong.
    """
    config = base or load_training_config(model, params)
    count = epochs or epochs_for(rows, config.train.batch_size)
    train = replace(
        config.train,
        epochs=count,
        patience=max(config.train.patience, math.ceil(count / 3)),
        encoder_dropout=config.train.encoder_dropout if base else ENCODER_DROPOUT,
        seed=config.train.seed if seed is None else seed,
    )
    return replace(config, tasks=("category",), train=train, artefacts=replace(config.artefacts, make=()))


@dataclass(frozen=True)
class Learnt:
    """A trained model of one table."""

    result: TrainResult
    calibration: Calibration
    labels: LabelSet
    curve: list[dict[str, float]]
    """By epoch: `epoch`, `train_loss`, `val_loss`, `val_accuracy`, `val_macro_f1`; empty for baselines."""
    seconds: float

    def raw_logits(self, rows: Sequence[Example]) -> Floats:
        """Logits of both views together, before the temperature [rows, labels]."""
        return encoder_logits(self.result, rows)["category"]

    def probabilities(self, rows: Sequence[Example]) -> Floats:
        """Calibrated probabilities [rows, labels], labels in the order of `labels.labels`."""
        in_context = np.array([bool(row.context) for row in rows])
        return self.calibration.tasks["category"].probabilities(self.raw_logits(rows), None, in_context)

    def answer(self, rows: Rows) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Number of the top label and its probability [rows], by blocks: probabilities are not all kept."""
        guess, score = np.zeros(len(rows), np.int64), np.zeros(len(rows))
        for start in range(0, len(rows), _BLOCK):
            found = self.probabilities(rows[start : start + _BLOCK])
            guess[start : start + _BLOCK], score[start : start + _BLOCK] = found.argmax(1), found.max(1)
        return guess, score


@dataclass
class _Curve(Callback):
    points: list[dict[str, float]] = field(default_factory=list)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Keep the figures of this epoch."""
        names = {
            "train_loss": "train/loss",
            "val_loss": "val/category_loss",
            "val_accuracy": "val/category_accuracy",
            "val_macro_f1": "val/macro_f1",
        }
        found = {
            name: float(trainer.callback_metrics[key])
            for name, key in names.items()
            if key in trainer.callback_metrics
        }
        self.points.append({"epoch": float(trainer.current_epoch + 1), **found})


def learn(
    train: Rows,
    val: Rows,
    config: TrainingConfig,
    checkpoints: Path = CHECKPOINTS,
    logger: Logger | None = None,
    progress: bool = False,
) -> Learnt:
    """Train on `train`; choose epoch, weight of the views and temperature on `val`.

    Validation rows whose label has no training row are left out. A killed training goes on from its last
    epoch when it is asked for again.

    Raises:
        ValueError: fewer than two labels.
    """
    began = time.monotonic()
    labels = label_set(check_training_labels(train))
    known = np.array([label in labels.keys for label in val.label_array().tolist()], bool)
    splits = {
        "train": train.with_keys(labels.keys),
        "val": val.take(np.flatnonzero(known)).with_keys(labels.keys),
    }
    identity = f"{train.fingerprint()}{splits['val'].fingerprint()}"
    # Training reads its rows as a sequence; nothing of it needs them to be a list.
    snapshot = Snapshot(identity, labels.taxonomy, cast(Any, splits))
    curve = _Curve()
    result, calibration = fit_model(config, snapshot, checkpoints, logger, [curve], progress)
    return Learnt(result, calibration, labels, curve.points, time.monotonic() - began)
