"""Linear heads on the embeddings of an encoder as it stands: a probe, or where fine-tuning begins."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import nn
from tqdm import tqdm

from data.encoding import InputEncoder
from data.example import Example
from data.taxonomy import LabelMap
from training.config import TrainingConfig
from training.network import ChatNetwork
from training.precision import pick_precision

__all__ = ["embeddings", "fit_head", "set_heads"]

Floats = NDArray[np.floating[Any]]
_BATCH = 32
_ABSENT = -20.0  # logit of a label that no row has: below every real one
_ITERATIONS = 200


def embeddings(
    network: ChatNetwork,
    encoder: InputEncoder,
    rows: Sequence[Example],
    config: TrainingConfig,
    progress: bool = False,
) -> NDArray[np.float32]:
    """What the heads read of each row, float32 [rows, hidden]; of the network as it stands, which ends up
    on the CPU and in evaluation mode.

    Args:
        rows: at least one.
        config: says the precision and the device.
    """
    on_gpu = torch.cuda.is_available() and config.train.accelerator != "cpu"
    device = "cuda" if on_gpu else "cpu"
    half = pick_precision(config.train.precision, device) == "bf16-mixed"
    encoded = encoder.encode([(row.text, row.context) for row in rows])
    order = sorted(range(len(encoded)), key=lambda row: len(encoded[row].ids))
    network = network.eval().to(device)
    parts: list[NDArray[np.float32]] = []
    bar = tqdm(total=len(order), unit="message", desc="embeddings", disable=not progress)
    with bar, torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=half):
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            inputs = encoder.pad([encoded[row] for row in chosen]).inputs()
            tensors = {name: torch.from_numpy(value).to(device) for name, value in inputs.items()}
            parts.append(network.embed(**tensors).float().cpu().numpy())
            bar.update(len(chosen))
    network.cpu()
    found = np.zeros((len(order), parts[0].shape[1]), np.float32)
    found[order] = np.concatenate(parts)
    return found


def set_heads(
    network: ChatNetwork,
    label_maps: dict[str, LabelMap],
    learnt: dict[str, tuple[Sequence[Example], Floats]],
) -> None:
    """Put a logistic regression into the head of each task.

    Args:
        learnt: by task its training rows and their embeddings [rows, hidden].
    """
    for task, (rows, vectors) in learnt.items():
        labels = label_maps[task]
        target = np.array([labels.label2id[getattr(row, task)] for row in rows])
        weight, bias = fit_head(vectors, target, len(labels.labels))
        head = network.heads[task]
        assert isinstance(head, nn.Linear)
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(weight))
            head.bias.copy_(torch.from_numpy(bias))


def fit_head(
    vectors: Floats, target: NDArray[np.integer[Any]], size: int, strength: float = 1.0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A multinomial logistic regression on standardised embeddings, as one linear layer.

    Args:
        vectors: [rows, hidden].
        target: label indices [rows]; at least two labels occur.
        size: number of labels.
        strength: inverse regularisation (C).

    Returns:
        Weight [size, hidden] and bias [size]; the bias of a label that no row has is very low.
    """
    mean, scale = vectors.mean(0), np.maximum(vectors.std(0), 1e-6)
    with warnings.catch_warnings():
        # The last digits of a regularised optimum change no answer.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=strength, max_iter=_ITERATIONS, tol=1e-3)
        model.fit(((vectors - mean) / scale).astype(np.float32), target)
    coefficients, intercept = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # two labels share one hyperplane
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercept = np.concatenate([-intercept, intercept]) / 2
    coefficients = coefficients / scale
    weight = np.zeros((size, vectors.shape[1]), np.float32)
    bias = np.full(size, _ABSENT, np.float32)
    weight[model.classes_] = coefficients
    bias[model.classes_] = intercept - coefficients @ mean
    return weight, bias
