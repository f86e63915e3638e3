"""A training run small enough for a notebook: fewer rows, layers and epochs, everything else as it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from data.example import Example
from data.split import load_snapshot, write_snapshot
from experiments.run import evaluate_stage, train_stage
from training.config import TrainingConfig

__all__ = ["SmallModel", "small_config", "train_small"]

FOLDER = Path(".kefu/notebook")


@dataclass(frozen=True, slots=True)
class SmallModel:
    """A small model that was trained, recorded and measured."""

    run: str
    snapshot: str
    rows: dict[str, int]
    metrics: dict[str, float]
    exported: Path

    def figures(self, split: str = "test") -> list[dict[str, Any]]:
        """The figures of one split, by name, as rows."""
        return [
            {"figure": name, "value": value}
            for name, value in sorted(self.metrics.items())
            if name.startswith(f"{split}/")
        ]


def small_config(
    config: TrainingConfig, layers: int = 2, epochs: int = 2, tokens: int = 40
) -> TrainingConfig:
    """The same settings cut down: the lowest `layers` of the encoder, `epochs`, at most `tokens` of a message
    and as many of its context, and no compressed artefacts."""
    kept = layers if config.backbone.layers is None else min(layers, config.backbone.layers)
    limits = config.input
    return replace(
        config,
        backbone=replace(config.backbone, layers=kept),
        input=replace(
            limits,
            message_tokens=min(tokens, limits.message_tokens),
            context_tokens=min(tokens, limits.context_tokens),
        ),
        train=replace(config.train, epochs=epochs),
        artefacts=replace(config.artefacts, make=()),
    )


def train_small(
    config: TrainingConfig,
    snapshot_folder: Path = Path("data/processed"),
    rows: int = 1200,
    callbacks: Sequence[Any] = (),
    folder: Path = FOLDER,
    seed: int = 1,
) -> SmallModel:
    """Train on a part of a snapshot's training rows and measure on all of its test rows.

    Args:
        rows: training rows, dealt evenly over the categories; validation keeps at most as many.
        callbacks: further Lightning callbacks, such as `experiments.live_curves.LiveCurves`.
        folder: where the cut snapshot, the exported model and the report go.

    Returns:
        The recorded run; compare it as any other: `experiments.compare.compare`.
    """
    whole = load_snapshot(snapshot_folder)
    splits = {
        "train": _even(whole.splits["train"], rows, seed),
        "val": _even(whole.splits["val"], rows, seed),
        "test": whole.splits["test"],
    }
    identity = write_snapshot(splits, whole.taxonomy, folder / "snapshot")
    exported = folder / "exported"
    run = train_stage("notebook", config, folder / "snapshot", exported, callbacks=callbacks)
    metrics = evaluate_stage(exported, folder / "snapshot", folder / "report")
    counts = {name: len(part) for name, part in splits.items()}
    return SmallModel(run, identity, counts, metrics, exported)


def _even(examples: Sequence[Example], rows: int, seed: int) -> list[Example]:
    """At most `rows` examples, one of each category after the other; in their old order."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index in np.random.default_rng(seed).permutation(len(examples)).tolist():
        groups[examples[index].category].append(index)
    deepest = max((len(group) for group in groups.values()), default=0)
    dealt = [group[turn] for turn in range(deepest) for group in groups.values() if turn < len(group)]
    return [examples[index] for index in sorted(dealt[:rows])]
