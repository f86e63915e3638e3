"""What may be added to plain fine-tuning: section `recipe` of `params.yaml`, every part off by default.

With all of it off a run gives the very weights that it gave before this section existed. What each part
brings is measured by `experiments.ablation`. Costs below are counted in the work of one training step; they
follow from what is computed and are not timings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["AVERAGES", "POOLINGS", "RecipeConfig"]

POOLINGS = ("mean", "mean_max", "attention")
AVERAGES = ("none", "ema", "swa")


@dataclass(frozen=True)
class RecipeConfig:
    """Losses, pooling, averaging and further teachers of a training run."""

    warm_heads: bool = False
    """Heads begin as logistic regressions on the pretrained encoder's embeddings instead of at random:
    the encoder is not first bent towards heads that know nothing. Source: Kumar et al., "Fine-Tuning can
    Distort Pretrained Features and Underperform Out-of-Distribution", 2022. Costs one reading of the rows."""
    dropout_samples: int = 1
    """Dropout masks before the heads, whose losses are averaged; 1 is plain dropout. Costs only the heads:
    nothing beside the encoder. Source: Inoue, "Multi-Sample Dropout for Accelerated Training and Better
    Generalization", 2019. Wants a higher `train.dropout`, such as 0.3."""
    r_drop: float = 0.0
    """Weight of the symmetric KL divergence between two dropout masks' answers; 0 leaves it out. Source:
    Liang et al., "R-Drop: Regularized Dropout for Neural Networks", 2021. With `train.encoder_dropout` above
    0 each batch is read twice: twice the time and the activations' memory; else only the heads differ, and
    it costs nothing beside the encoder."""
    contrastive: float = 0.0
    """Share of the loss that is supervised contrastive, the rest is cross-entropy; 0 leaves it out. Sources:
    Khosla et al., "Supervised Contrastive Learning", 2020; Gunel et al., "Supervised Contrastive Learning for
    Pre-trained Language Model Fine-tuning", 2021. Costs one product of rows with rows."""
    contrastive_temperature: float = 0.1
    """Cosines are divided by it; Gunel et al. took 0.3, Khosla et al. 0.1."""
    contrastive_memory: int = 512
    """Embeddings of so many earlier rows that are compared with, too: a batch of 32 rows has few pairs of one
    of a hundred labels. Source: Wang et al., "Cross-Batch Memory for Embedding Learning", 2020. It is not
    part of checkpoints: a resumed run begins with an empty one. 0 compares within the batch alone."""
    pooling: str = "mean"
    """What the heads read of the message's tokens: their `mean`; `mean_max`, mean and maximum side by side
    (embeddings and heads get twice as wide; Howard and Ruder, "Universal Language Model Fine-tuning", 2018);
    `attention`, a learnt weighting that starts as the mean (Yang et al., "Hierarchical Attention Networks",
    2016)."""
    average: str = "none"
    """Weights to validate and keep: `none` takes the last step's; `ema` an exponential moving average (Polyak
    and Juditsky, 1992); `swa` the mean over all steps from `swa_from` on (Izmailov et al., "Averaging Weights
    Leads to Wider Optima", 2018). Costs a second copy of the weights and one pass over them in each step."""
    ema_decay: float = 0.99
    """Weight of the past in `ema`; grows to this value from 0.1 in the first steps."""
    swa_from: float = 0.5
    """Share of all steps after which `swa` begins to average."""
    reshuffle: bool = False
    """Another order of the batches in each epoch; off, every epoch repeats the first one's order. Free."""
    distil: float = 0.0
    """Share of the loss against teachers' probabilities instead of labels; 0 leaves it out. Source: Hinton et
    al., "Distilling the Knowledge in a Neural Network", 2015. Free, once they are written."""
    distil_temperature: float = 2.0
    """Both sides' logits are divided by it before they are compared."""
    soft_labels: str = ""
    """The teachers' file: written by `python -m experiments.ensemble`, read by `training.distillation`."""
    self_training: int = 0
    """Rounds in which the model labels unlabelled chats and learns from those it is sure of; 0 leaves it
    out. Sources: Lee, "Pseudo-Label", 2013; Xie et al., "Self-training with Noisy Student", 2020. Each round
    is one more training, on the more rows."""
    unlabelled: str = ""
    """Chats for `self_training`: JSONL, also `.gz` (`training.unlabelled`)."""
    pseudo_threshold: float = 0.9
    """Least probability, in every task, of a label that is taken from the model."""
    pseudo_per_label: int = 50
    """Most rows that one label may get, the surest first: so that common labels do not crowd out the rest."""

    def __post_init__(self) -> None:
        _require(1 <= self.dropout_samples <= 32, "dropout_samples", "must be from 1 (plain) to 32")
        _require(self.r_drop >= 0, "r_drop", "must not be negative")
        for name in ("contrastive", "distil", "swa_from"):
            _require(0 <= getattr(self, name) < 1, name, "must be in [0, 1)")
        for name in ("contrastive_temperature", "distil_temperature"):
            _require(getattr(self, name) > 0, name, "must be positive")
        for name in ("contrastive_memory", "self_training"):
            _require(getattr(self, name) >= 0, name, "must not be negative")
        _require_one(self.pooling, POOLINGS, "pooling")
        _require_one(self.average, AVERAGES, "average")
        _require(0 < self.ema_decay < 1, "ema_decay", "must be between 0 and 1")
        _require(0 < self.pseudo_threshold <= 1, "pseudo_threshold", "must be in (0, 1]")
        _require(self.pseudo_per_label > 0, "pseudo_per_label", "must be positive")
        needs = {"distil": "soft_labels", "self_training": "unlabelled"}
        for name, file in needs.items():
            _require(not getattr(self, name) or bool(getattr(self, file)), file, f"name the file for {name}")

    @property
    def plain(self) -> bool:
        """Whether nothing is switched on."""
        return self == RecipeConfig()


def _require(condition: bool, name: str, reason: str) -> None:
    if not condition:
        raise ValueError(f"recipe.{name}: {reason}")


def _require_one(value: str, known: Sequence[str], name: str) -> None:
    _require(value in known, name, f"{value!r} is not one of {', '.join(known)}")
