"""Everything that is learnt, in order: the encoder, the n-gram view, then on validation the weight
of the two views, the temperature and the thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import Logger

from data.encoding import Message
from data.example import Example
from data.split import Snapshot
from training.calibrate import Calibration, calibrate
from training.config import TrainingConfig
from training.lexical import LexicalModel, fit_lexical
from training.train import TrainResult, train

__all__ = ["encoder_logits", "fit_model"]


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
    result = train(config, snapshot, checkpoints, logger, callbacks, progress)
    val = snapshot.splits["val"]
    encoder = encoder_logits(result, val)
    lexical = _fit_lexical_views(result, snapshot)
    margins = {
        task: model.margins([row.text for row in val], result.ngrams)  # type: ignore[arg-type]
        for task, model in lexical.items()
    }
    target = {
        task: np.array([labels.label2id[getattr(row, task)] for row in val])
        for task, labels in result.label_maps.items()
    }
    logits = {task: (values, margins.get(task)) for task, values in encoder.items()}
    calibration = calibrate(logits, target, snapshot.taxonomy, config.thresholds)
    if lexical:
        _join(result, lexical, calibration)
    return result, calibration


def _fit_lexical_views(result: TrainResult, snapshot: Snapshot) -> dict[str, LexicalModel]:
    if result.ngrams is None:
        return {}
    rows = snapshot.splits["train"]
    return {
        task: fit_lexical(
            [row.text for row in rows],
            [labels.label2id[getattr(row, task)] for row in rows],
            len(labels.labels),
            result.ngrams,
            result.config.train.ngram_strength,
        )
        for task, labels in result.label_maps.items()
    }


def _join(result: TrainResult, lexical: dict[str, LexicalModel], calibration: Calibration) -> None:
    weight = {task: calibration.tasks[task].lexical_weight for task in result.network.tasks}
    rows = [lexical[task].rows * weight[task] for task in result.network.tasks]
    # Every task saw the same texts, so the document frequencies are the same.
    square = next(iter(lexical.values())).square_idf
    table = np.concatenate([*rows, square[:, None]], axis=1).astype(np.float32)
    bias = np.concatenate([lexical[task].bias * weight[task] for task in result.network.tasks])
    result.network.attach_lexical(torch.from_numpy(table), torch.from_numpy(bias.astype(np.float32)))


def encoder_logits(
    result: TrainResult, examples: Sequence[Example], batch_size: int = 64
) -> dict[str, NDArray[np.float64]]:
    """Logits by task, [examples, labels], in order; of the network as it stands."""
    messages: list[Message] = [(row.text, row.context) for row in examples]
    encoded = result.encoder.encode(messages)
    order = sorted(range(len(encoded)), key=lambda row: len(encoded[row].ids))
    out = {task: np.zeros((len(encoded), size)) for task, size in result.network.tasks.items()}
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        inputs = result.encoder.pad([encoded[row] for row in rows]).inputs()
        if result.network.ngram_rows is not None and result.ngrams:
            inputs["ngram_ids"] = result.ngrams.batch([messages[row][0] for row in rows])
        with torch.inference_mode():
            logits = result.network(**{k: torch.from_numpy(v) for k, v in inputs.items()})
        for task, values in zip(result.network.tasks, logits, strict=True):
            out[task][rows] = values.numpy()
    return out
