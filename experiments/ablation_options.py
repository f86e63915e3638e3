"""What an ablation varies: named changes of the settings, each the one that its source recommends or a
common middle, none tuned on a test set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from training.config import TrainingConfig

__all__ = ["ALL", "OPTIONS", "PLAIN", "TOGETHER", "Option", "changed", "choose", "combined"]

PLAIN, ALL = "plain", "all"


@dataclass(frozen=True)
class Option:
    """One row of the table."""

    about: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Dotted setting to value."""
    adapt: str = ""
    """A way of `training.adaptation` by which the encoder is adapted first; needs unlabelled chats."""

    @property
    def needs_chats(self) -> bool:
        """Whether it cannot be tried without unlabelled chats."""
        return bool(self.adapt or self.changes.get("recipe.self_training"))

    @property
    def needs_teachers(self) -> bool:
        """Whether the plain models of all seeds must be there first."""
        return bool(self.changes.get("recipe.distil"))


OPTIONS: dict[str, Option] = {
    PLAIN: Option("the settings as they are"),
    "warm_heads": Option(
        "heads begin as regressions on the pretrained embeddings", {"recipe.warm_heads": True}
    ),
    "multi_sample_dropout": Option(
        "5 dropout masks of 0.3 before the heads", {"train.dropout": 0.3, "recipe.dropout_samples": 5}
    ),
    "encoder_dropout": Option("dropout of 0.1 inside the encoder", {"train.encoder_dropout": 0.1}),
    "r_drop": Option(
        "R-Drop of weight 1, dropout of 0.1 inside the encoder",
        {"train.encoder_dropout": 0.1, "recipe.r_drop": 1.0},
    ),
    "contrastive": Option("supervised contrastive loss, a fifth of the whole", {"recipe.contrastive": 0.2}),
    "no_ngrams": Option("the encoder alone, no n-gram view", {"train.ngram_buckets": 0}),
    "low_rates": Option("a third of both learning rates", {"train.encoder_lr": 1e-4, "train.head_lr": 1e-3}),
    "flat_rates": Option("one learning rate for all layers", {"train.layer_decay": 1.0}),
    "steep_rates": Option("each layer at 0.8 of the one above", {"train.layer_decay": 0.8}),
    "ema": Option("moving average of the weights, 0.99", {"recipe.average": "ema"}),
    "swa": Option("mean of the weights over the last half", {"recipe.average": "swa"}),
    "mean_max": Option("mean and maximum pooled", {"recipe.pooling": "mean_max"}),
    "attention": Option("pooled by attention", {"recipe.pooling": "attention"}),
    "longer_context": Option(
        "16 turns of up to 48 tokens, 224 together",
        {"input.context_turns": 16, "input.turn_tokens": 48, "input.context_tokens": 224},
    ),
    "no_context": Option("the message alone", {"input.context_turns": 0}),
    "reshuffle": Option("another order in each epoch", {"recipe.reshuffle": True}),
    "self_training": Option("one round of pseudo labels at 0.9", {"recipe.self_training": 1}),
    "adapt_masked": Option("encoder adapted by masked words", adapt="masked_words"),
    "adapt_contrastive": Option("encoder adapted by contrast", adapt="contrastive"),
    "distil": Option("taught by the mean of the plain models of all seeds", {"recipe.distil": 0.5}),
}
TOGETHER = (
    "multi_sample_dropout", "r_drop", "contrastive", "ema", "attention", "longer_context", "reshuffle",
    "self_training", "adapt_masked", "distil",
)  # fmt: skip
"""What the row `all` joins: of two ways to the same end the one named here."""


def choose(names: Sequence[str], together: Sequence[str], chats: bool) -> dict[str, Option]:
    """The options to try, `plain` first, and last `all` if it is named.

    Args:
        names: of `OPTIONS`, or `all`; empty for every one that can be tried.
        together: what `all` joins.
        chats: whether there are unlabelled chats; without them a named option that needs them is refused, and
            others are left out.

    Raises:
        ValueError: names an unknown option, or one that needs what is not there.
    """
    for name in (*names, *together):
        if name not in OPTIONS and not (name == ALL and name in names):
            raise ValueError(f"options: {name!r} is unknown; known: {', '.join([*OPTIONS, ALL])}")
        if not chats and name in names and name != ALL and OPTIONS[name].needs_chats:
            raise ValueError(f"options: {name} needs unlabelled chats; name a file: --unlabelled FILE")
    wanted = [name for name in OPTIONS if not names or name in names or name == PLAIN]
    found = {name: OPTIONS[name] for name in wanted if chats or not OPTIONS[name].needs_chats}
    if not names or ALL in names:
        found[ALL] = combined([name for name in together if chats or not OPTIONS[name].needs_chats])
    return found


def combined(names: Sequence[str]) -> Option:
    """Several options as one; where two change one setting the later wins."""
    changes: dict[str, Any] = {}
    for name in names:
        changes |= OPTIONS[name].changes
    ways = [OPTIONS[name].adapt for name in names if OPTIONS[name].adapt]
    return Option(" + ".join(names) or "nothing", changes, ways[-1] if ways else "")


def changed(config: TrainingConfig, changes: Mapping[str, Any]) -> TrainingConfig:
    """The settings with dotted ones changed, checked together.

    Raises:
        ConfigError: a value, or a combination, is refused.
    """
    sections: dict[str, dict[str, Any]] = {}
    for name, value in changes.items():
        section, _, item = name.partition(".")
        sections.setdefault(section, {})[item] = value
    return replace(
        config, **{name: replace(getattr(config, name), **values) for name, values in sections.items()}
    )
