"""A Lightning callback that tells Optuna how a trial goes, and ends those that are not worth going on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pytorch_lightning as pl
import torch
from optuna.trial import Trial
from pytorch_lightning.callbacks import Callback
from torch import Tensor

from training.metrics import macro_f1

__all__ = ["MONITOR", "MetricMissingError", "PruningCallback", "TrialStopped"]

MONITOR = "val/macro_f1"


class MetricMissingError(RuntimeError):
    """The monitored metric does not exist: without it nothing would ever be pruned."""


class TrialStopped(Exception):  # noqa: N818 - an order, not an error
    """The trial was ended from outside (Ctrl-C, end of the budget), through no fault of its own."""


class PruningCallback(Callback):
    """Reports a score several times per epoch and raises `optuna.TrialPruned` when the pruner says so.

    At the end of each epoch the score is the metric that training logs. Between, it is the same figure
    measured here, on no more validation rows than were trained on since the last check. Neither
    checkpoints nor patience nor any random number of the training changes by it: a trial and a later
    training with its parameters give the same model.

    Args:
        trial: the running trial.
        checks: reports per epoch, the last at its end.
        stopped: asked after every batch; true ends the trial with `TrialStopped`.
        monitor: the metric that training logs.
    """

    def __init__(
        self, trial: Trial, checks: int, stopped: Callable[[], bool] = lambda: False, monitor: str = MONITOR
    ) -> None:
        self.trial, self.checks, self.stopped, self.monitor = trial, checks, stopped, monitor

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Stop, or report at one of the points between two ends of epochs."""
        if self.stopped():
            raise TrialStopped
        batches = int(trainer.num_training_batches)
        points = {math.ceil(batches * n / self.checks): n for n in range(1, self.checks)}
        number = points.get(batch_idx + 1)
        if number is not None and batch_idx + 1 < batches:
            rows = len(batch["row"]) * batches // self.checks
            self._report(trainer, number, _score(trainer, module, rows))

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Report what training has logged.

        Raises:
            MetricMissingError: the metric is not there.
        """
        if trainer.sanity_checking:
            return
        found = trainer.callback_metrics
        if self.monitor not in found:
            known = ", ".join(sorted(found)) or "none"
            raise MetricMissingError(
                f"{self.monitor}: training logs no such metric, so that no trial could be pruned; "
                f"known: {known}"
            )
        self._report(trainer, self.checks, float(found[self.monitor]))

    def _report(self, trainer: pl.Trainer, number: int, score: float) -> None:
        step = trainer.current_epoch * self.checks + number
        self.trial.report(score, step)
        if self.trial.should_prune():
            raise optuna.TrialPruned(f"{self.monitor} {score:.4f} at check {step}")


def _score(trainer: pl.Trainer, module: pl.LightningModule, rows: int) -> float:
    """Mean over the tasks of macro-F1 on about so many validation rows, at most all."""
    loader: Any = trainer.val_dataloaders
    allowed = max(1, rows * len(loader) // len(loader.dataset))
    chosen = set(np.linspace(0, len(loader) - 1, min(allowed, len(loader))).astype(int).tolist())
    answers: dict[str, list[tuple[Tensor, Tensor]]] = {}
    module.eval()
    # Loaders draw a number from the global generator, which the dropout of training must not miss.
    with torch.random.fork_rng(), torch.no_grad(), trainer.precision_plugin.forward_context():
        for index, batch in enumerate(loader):
            if index in chosen:
                batch = trainer.strategy.batch_to_device(batch)
                for task, logits in module(batch).items():
                    answers.setdefault(task, []).append((batch[task].cpu(), logits.float().cpu()))
    module.train()
    scores = []
    for parts in answers.values():
        target, logits = (torch.cat(part) for part in zip(*parts, strict=True))
        scores.append(macro_f1(target.numpy(), logits.argmax(1).numpy(), logits.shape[1]))
    return float(np.mean(scores))
