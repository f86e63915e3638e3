"""Everything that is learnt, in order: the encoder, the n-gram view, then on validation the weight
of the two views, the temperature and the thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger

from data.encoding import Message
from data.example import Example
from data.ngrams import NgramView
from data.split import Snapshot
from data.taxonomy import LabelMap
from training.calibrate import Calibration, calibrate
from training.config import TrainingConfig
from training.lexical import LexicalModel, fit_lexical
from training.streaming import LEXICAL_ROWS, VALIDATION_ROWS, thinned
from training.train import TrainResult, train

__all__ = ["Floats", "Views", "encoder_logits", "fit_lexical_views", "fit_model", "targets", "train_views"]

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Views:
    """The trained parts before they are joined."""

    result: TrainResult
    lexical: dict[str, LexicalModel]
    """By task; empty if the configuration leaves the n-gram view out."""

    def logits(self, examples: Sequence[Example]) -> dict[str, tuple[Floats, Floats | None]]:
        """By task the encoder's logits and the n-gram view's margins (or None), [examples, labels]."""
        messages = [(row.text, row.context) for row in examples]
        encoder = encoder_logits(self.result, examples)
        return {task: (values, self._margins(task, messages)) for task, values in encoder.items()}

    def _margins(self, task: str, messages: Sequence[Message]) -> Floats | None:
        if self.result.ngrams is None:
            return None
        return self.lexical[task].margins(messages, self.result.ngrams)


def fit_model(
    config: TrainingConfig,
    snapshot: Snapshot,
    checkpoints: Path,
    logger: Logger | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
) -> tuple[TrainResult, Calibration]:
    """Train on `train`, calibrate on `val`; arguments as for `training.train.train`.

    Returns:
        The result, whose network now has both views joined, and its calibration.
    """
    views = train_views(config, snapshot, checkpoints, logger, callbacks, progress)
    result, val = views.result, thinned(snapshot.splits["val"], VALIDATION_ROWS)
    logits, target = views.logits(val), targets(val, result.label_maps)
    in_context = np.array([bool(row.context) for row in val])
    calibration = calibrate(logits, target, in_context, snapshot.taxonomy, config.thresholds)
    if views.lexical:
        _join(result, views.lexical, calibration)
    return result, calibration


def train_views(
    config: TrainingConfig,
    snapshot: Snapshot,
    checkpoints: Path,
    logger: Logger | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
) -> Views:
    """Train both views on `train`, not yet weighted against each other; arguments as for `train`."""
    result = _learn(config, snapshot, checkpoints, logger, callbacks, progress)
    if result.ngrams is None:
        return Views(result, {})
    rows, strength = thinned(snapshot.splits["train"], LEXICAL_ROWS), config.train.ngram_strength
    return Views(result, fit_lexical_views(rows, result.label_maps, result.ngrams, strength))


def _learn(
    config: TrainingConfig,
    snapshot: Snapshot,
    checkpoints: Path,
    logger: Logger | None,
    callbacks: Sequence[Callback],
    progress: bool,
) -> TrainResult:
    """What the method makes of the encoder, before the n-gram view."""
    if config.method == "tfidf":
        from training.baselines import train_tfidf

        return train_tfidf(config, snapshot)
    if config.method == "probe":
        from training.baselines import train_probe

        return train_probe(config, snapshot, progress)
    if config.method == "few_shot":
        from training.contrastive import train_few_shot

        return train_few_shot(config, snapshot, logger, callbacks, progress)
    if config.recipe.self_training:
        from training.self_training import self_train

        def learn(plain: TrainingConfig, rows: Snapshot) -> TrainResult:
            return train(plain, rows, checkpoints, logger, callbacks, progress)

        return self_train(config, snapshot, learn, encoder_logits)
    return train(config, snapshot, checkpoints, logger, callbacks, progress)


def fit_lexical_views(
    rows: Sequence[Example], label_maps: dict[str, LabelMap], ngrams: NgramView, strength: float
) -> dict[str, LexicalModel]:
    """The n-gram view of each task."""
    messages = [(row.text, row.context) for row in rows]
    return {
        task: fit_lexical(messages, target.tolist(), len(label_maps[task].labels), ngrams, strength)
        for task, target in targets(rows, label_maps).items()
    }


def targets(rows: Sequence[Example], label_maps: dict[str, LabelMap]) -> dict[str, NDArray[np.int64]]:
    """By task the index of each row's label."""
    return {
        task: np.array([labels.label2id[getattr(row, task)] for row in rows], np.int64)
        for task, labels in label_maps.items()
    }


def _join(result: TrainResult, lexical: dict[str, LexicalModel], calibration: Calibration) -> None:
    tasks = result.network.tasks
    fitted = {task: calibration.tasks[task] for task in tasks}
    rows = [lexical[task].rows * fitted[task].lexical_weight for task in tasks]
    # Every task saw the same texts, so the document frequencies are the same.
    square = next(iter(lexical.values())).square_idf
    table = np.concatenate([*rows, square[:, None]], axis=1).astype(np.float32)
    bias = np.concatenate([lexical[task].bias * fitted[task].lexical_weight for task in tasks])
    scale = np.concatenate([
        np.full(size, fitted[task].context_lexical_weight / fitted[task].lexical_weight)
        for task, size in tasks.items()
    ])  # fmt: skip
    parts = (torch.from_numpy(values.astype(np.float32)) for values in (table, bias, scale))
    result.network.attach_lexical(*parts)


def encoder_logits(
    result: TrainResult, examples: Sequence[Example], batch_size: int = 64
) -> dict[str, NDArray[np.float64]]:
    """Logits by task, [examples, labels], in order; of the network as it stands."""
    messages: list[Message] = [(row.text, row.context) for row in examples]
    encoded = result.encoder.encode(messages)
    order = sorted(range(len(encoded)), key=lambda row: len(encoded[row].ids))
    out: dict[str, NDArray[np.float64]] = {
        task: np.zeros((len(encoded), size)) for task, size in result.network.tasks.items()
    }
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        inputs = result.encoder.pad([encoded[row] for row in rows]).inputs()
        if result.network.ngram_rows is not None and result.ngrams:
            inputs |= result.ngrams.batch([messages[row] for row in rows])
        with torch.inference_mode():
            logits = result.network(**{k: torch.from_numpy(v) for k, v in inputs.items()})
        for task, values in zip(result.network.tasks, logits, strict=True):
            out[task][rows] = values.numpy()
    return out
