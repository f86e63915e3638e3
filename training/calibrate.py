"""Probabilities that mean what they say, and the thresholds that decisions need.

Everything here is fitted on validation rows and stored with the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.taxonomy import Taxonomy
from training.config import ThresholdConfig

__all__ = [
    "Calibration",
    "TaskCalibration",
    "abstain_threshold",
    "calibrate",
    "fit_temperature",
    "fit_views",
    "log_softmax",
    "recalibrate",
    "red_threshold",
]

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]
Bools = NDArray[np.bool_]
_FEWEST_ROWS = 100  # with fewer, figures of their own would be noise


@dataclass(frozen=True)
class TaskCalibration:
    """How raw logits of one task become probabilities and decisions."""

    temperature: float = 1.0
    """Logits of messages without context are divided by this."""
    lexical_weight: float = 0.0
    """Weight of the n-gram view's logits beside the encoder's, without context."""
    context_temperature: float = 1.0
    """The temperature of messages with context: of short answers a model is too sure."""
    context_lexical_weight: float = 0.0
    """The weight for messages with context: what they mean is less in their words."""
    abstain_below: float = 0.0
    """Top probability under which a person should decide."""
    red_above: float = 1.0
    """Probability of the label "angry" from which the alert is red (emotion only)."""

    def probabilities(self, encoder: Floats, lexical: Floats | None, in_context: Bools) -> Floats:
        """Calibrated probabilities [rows, labels] of both views' logits.

        Args:
            encoder, lexical: logits [rows, labels]; the lexical view may be missing.
            in_context: whether a row has turns before it [rows].
        """
        temperature = np.where(in_context, self.context_temperature, self.temperature)[:, None]
        weight = np.where(in_context, self.context_lexical_weight, self.lexical_weight)[:, None]
        logits = encoder if lexical is None else encoder + weight * lexical
        return np.exp(log_softmax(logits / temperature))


@dataclass(frozen=True)
class Calibration:
    """The calibration of every task of a model."""

    tasks: dict[str, TaskCalibration]

    def as_dict(self) -> dict[str, dict[str, float]]:
        """Plain numbers, for `calibration.json`."""
        return {task: asdict(value) for task, value in self.tasks.items()}

    @classmethod
    def from_dict(cls, values: dict[str, dict[str, float]]) -> Calibration:
        """What `as_dict` gave."""
        return cls({task: TaskCalibration(**value) for task, value in values.items()})


def log_softmax(logits: Floats) -> Floats:
    """Log-probabilities [rows, labels], stable for large logits."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _loss(logits: Floats, target: Ints) -> float:
    return float(-log_softmax(logits)[np.arange(len(target)), target].mean())


def fit_temperature(logits: Floats, target: Ints) -> float:
    """The temperature in [0.2, 10] with the least negative log-likelihood.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017.

    Args:
        logits: [rows, labels].
        target: true label indices [rows].

    Raises:
        ValueError: there are no rows.
    """
    from scipy.optimize import minimize_scalar

    if len(target) == 0:
        raise ValueError("temperature: needs at least one validation row")
    found = minimize_scalar(
        lambda log_t: _loss(logits / np.exp(log_t), target),
        bounds=(np.log(0.2), np.log(10.0)),
        method="bounded",
    )
    return float(np.exp(found.x))


def fit_views(encoder: Floats, lexical: Floats, target: Ints) -> tuple[float, float]:
    """Common temperature in [0.02, 10] and weight in [0.02, 20] of the lexical logits, least loss."""
    from scipy.optimize import minimize

    def loss(parameters: Floats) -> float:
        temperature, weight = np.exp(parameters)
        return _loss((encoder + weight * lexical) / temperature, target)

    bounds = [(np.log(0.02), np.log(10.0)), (np.log(0.02), np.log(20.0))]
    found = minimize(loss, np.zeros(2), method="Nelder-Mead", bounds=bounds, options={"maxiter": 300})
    temperature, weight = np.exp(found.x)
    return float(temperature), float(weight)


def abstain_threshold(probabilities: Floats, target: Ints, config: ThresholdConfig) -> float:
    """The lowest score at which answered rows reach the wanted accuracy, within the abstain limit."""
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == target
    order = np.argsort(-confidence, kind="stable")
    accuracy = np.cumsum(correct[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(accuracy >= config.answered_accuracy)
    answered = int(good[-1]) + 1 if len(good) else 0
    answered = max(answered, int(np.ceil(len(order) * (1 - config.max_abstain))))
    if answered >= len(order):
        return 0.0
    return float(confidence[order[answered - 1]])


def red_threshold(
    probabilities: Floats, target: Ints, labels: Sequence[str], config: ThresholdConfig
) -> float:
    """The lowest P(angry) whose false alerts on other rows stay within the configured rate."""
    if "angry" not in labels:
        return 1.0
    index = list(labels).index("angry")
    others = np.sort(probabilities[target != index, index])[::-1]
    allowed = int(len(others) * config.alert_false_rate)
    if len(others) <= allowed:
        return 0.5
    # At 0.5 the label is the answer anyway; a threshold above that would contradict it.
    return float(np.clip(np.nextafter(others[allowed], 1.0), 0.05, 0.5))


def _temperature_and_weight(encoder: Floats, lexical: Floats | None, target: Ints) -> tuple[float, float]:
    if lexical is None:
        return fit_temperature(encoder, target), 0.0
    return fit_views(encoder, lexical, target)


def calibrate(
    logits: Mapping[str, tuple[Floats, Floats | None]],
    target: Mapping[str, Ints],
    in_context: Bools,
    taxonomy: Taxonomy,
    config: ThresholdConfig,
) -> Calibration:
    """Fit temperatures, view weights and thresholds of every task on validation rows.

    Args:
        logits: by task the encoder's logits and the lexical view's (or None), [rows, labels].
        target: by task the true label indices [rows].
        in_context: whether a row has turns before it [rows].
    """
    tasks = {}
    for task, (encoder, lexical) in logits.items():
        truth = target[task]
        common = _temperature_and_weight(encoder, lexical, truth)
        alone, context = (
            _temperature_and_weight(encoder[rows], None if lexical is None else lexical[rows], truth[rows])
            if rows.sum() >= _FEWEST_ROWS
            else common
            for rows in (~in_context, in_context)
        )
        found = TaskCalibration(*alone, *context)
        probabilities = found.probabilities(encoder, lexical, in_context)
        tasks[task] = _with_thresholds(found, probabilities, truth, task, taxonomy, config)
    return Calibration(tasks)


def recalibrate(
    logits: Mapping[str, Floats],
    target: Mapping[str, Ints],
    in_context: Bools,
    taxonomy: Taxonomy,
    config: ThresholdConfig,
    before: Calibration,
) -> Calibration:
    """The same for a compressed network: temperatures and thresholds anew, the view weights are in it.

    Args:
        logits: by task the network's whole logits [rows, labels].
        target, in_context: as for `calibrate`.
        before: the calibration of the network that was compressed.
    """
    tasks = {}
    for task, values in logits.items():
        truth = target[task]
        alone, context = (
            fit_temperature(values[rows], truth[rows])
            if rows.sum() >= _FEWEST_ROWS
            else fit_temperature(values, truth)
            for rows in (~in_context, in_context)
        )
        found = replace(before.tasks[task], temperature=alone, context_temperature=context)
        probabilities = found.probabilities(values, None, in_context)
        tasks[task] = _with_thresholds(found, probabilities, truth, task, taxonomy, config)
    return Calibration(tasks)


def _with_thresholds(
    found: TaskCalibration,
    probabilities: Floats,
    truth: Ints,
    task: str,
    taxonomy: Taxonomy,
    config: ThresholdConfig,
) -> TaskCalibration:
    labels = taxonomy.label_map(task).labels
    red = red_threshold(probabilities, truth, labels, config) if task == "emotion" else 1.0
    return replace(found, abstain_below=abstain_threshold(probabilities, truth, config), red_above=red)
