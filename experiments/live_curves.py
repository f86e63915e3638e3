"""Curves that grow while a model trains: a Lightning callback that redraws one picture in a notebook."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from data.pictures import Picture, draw

__all__ = ["LiveCurves"]

_SHOWN = {"val/category_macro_f1": "category", "val/emotion_macro_f1": "emotion", "val/macro_f1": "mean"}


class LiveCurves(Callback):
    """Training loss by step and validation macro-F1 by epoch, redrawn as they come.

    Args:
        show: what to do with each new picture; None replaces one picture in the notebook's output, and does
            nothing where there is no notebook.
        seconds: time between two pictures, so that drawing does not slow training; ends of epochs are always
            drawn.
    """

    def __init__(self, show: Callable[[Picture], None] | None = None, seconds: float = 4.0) -> None:
        self.losses: list[tuple[int, float]] = []
        """(step, training loss)."""
        self.scores: dict[str, list[tuple[int, float]]] = {name: [] for name in _SHOWN}
        """By metric (epoch from 1, value)."""
        self._show, self._seconds, self._drawn = show or _NotebookOutput(), seconds, 0.0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the loss of the step."""
        value = outputs["loss"] if isinstance(outputs, dict) else outputs
        self.losses.append((trainer.global_step, float(value)))
        if time.monotonic() - self._drawn > self._seconds:
            self._redraw()

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep the figures of the epoch."""
        for name, values in self.scores.items():
            if name in trainer.callback_metrics:
                values.append((trainer.current_epoch + 1, float(trainer.callback_metrics[name])))
        self._redraw()

    def picture(self) -> Picture:
        """The curves as they are now."""

        def paint(figure: Any) -> None:
            left, right = figure.subplots(1, 2)
            if self.losses:
                steps, losses = zip(*self.losses, strict=True)
                left.plot(steps, losses, color="#b0bec5", linewidth=0.8)
                left.plot(steps, _smoothed(losses), color="#1565c0")
            left.set(title="training loss", xlabel="step")
            for name, values in self.scores.items():
                if values:
                    epochs, scores = zip(*values, strict=True)
                    right.plot(epochs, scores, "o-", label=_SHOWN[name])
            right.set(title="macro-F1 on validation", xlabel="epoch", ylim=(0, 1.2))
            right.xaxis.get_major_locator().set_params(integer=True)
            if any(self.scores.values()):
                right.legend(frameon=False, loc="upper left", ncols=3)

        return draw(paint, 9.0, 3.0)

    def _redraw(self) -> None:
        self._show(self.picture())
        self._drawn = time.monotonic()


def _smoothed(values: tuple[float, ...], share: float = 0.1) -> list[float]:
    smooth, found = values[0], []
    for value in values:
        smooth += share * (value - smooth)
        found.append(smooth)
    return found


class _NotebookOutput:
    """One output of the cell, replaced by each new picture."""

    def __init__(self) -> None:
        self._handle: Any = None

    def __call__(self, picture: Picture) -> None:
        try:
            from IPython import get_ipython
            from IPython.display import display
        except ImportError:
            return
        if get_ipython() is None:
            return
        if self._handle is None:
            self._handle = display(picture, display_id=True)
        else:
            self._handle.update(picture)
