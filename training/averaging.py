"""Averaged weights: validated and kept instead of the last step's."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from pytorch_lightning.callbacks import WeightAveraging

from training.recipe import RecipeConfig

__all__ = ["StepAveraging", "average_share", "averaging"]


def average_share(recipe: RecipeConfig, step: int, steps: int) -> float:
    """What the newest weights weigh in the average after a step; 1 forgets all before them.

    `ema`: 1 - decay, where the decay grows as (1 + step) / (10 + step), so that the pretrained weights do not
    linger. `swa`: 1 / n from the n-th averaged step on; before `recipe.swa_from` the average follows the
    weights, so that validation always sees a trained network.

    Args:
        step: steps done before this one, from 0.
        steps: of the whole run.
    """
    if recipe.average == "ema":
        return 1.0 - min(recipe.ema_decay, (1 + step) / (10 + step))
    first = int(steps * recipe.swa_from)
    return 1.0 / max(1, step - first + 1)


class StepAveraging(WeightAveraging):
    """Averages after every optimizer step; Lightning swaps the average in to validate and to save.

    Sources: Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", 2018;
    Polyak and Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992. Needs a second copy of
    the weights, and checkpoints hold both.
    """

    def __init__(self, recipe: RecipeConfig, steps: int) -> None:
        # No function of this place: with several devices the callback travels to other processes.
        super().__init__(use_buffers=False, multi_avg_fn=partial(_update, recipe=recipe, steps=steps))


def _update(average: Any, current: Any, done: Any, recipe: RecipeConfig, steps: int) -> None:
    torch._foreach_lerp_(average, current, average_share(recipe, int(done), steps))


def averaging(recipe: RecipeConfig, steps: int) -> list[StepAveraging]:
    """The callbacks that `recipe.average` asks for: none, or one."""
    return [] if recipe.average == "none" else [StepAveraging(recipe, steps)]
