"""The reranker of replies: does this reply answer that message? A small head on frozen sentence vectors.

Two views, as in the classifier: the head reads the encoder's vectors of both sides and a few numbers of their
wording; a linear model reads hashed n-grams of the reply and crosses of the message's with the reply's. Each
is trained by itself, and their logits are added with a weight chosen on questions that neither saw.

Reading two vectors costs microseconds where a cross-encoder would read the pair anew (docs/recommend.md has
both measured).
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from data.reply_features import EXTRAS, PairView, Side
from training.batches import RowNumbers

__all__ = [
    "PairRows",
    "ReplyModule",
    "ReplyNetwork",
    "RerankConfig",
    "best_threshold",
    "logits_of",
    "train_reranker",
]

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class RerankConfig:
    """How the reranker is made and trained."""

    hidden: int = 128
    dropout: float = 0.4
    buckets: int = 1 << 18
    epochs: int = 8
    wording_epochs: int = 6
    batch_size: int = 128
    lr: float = 1.0e-3
    wording_lr: float = 2.0e-2
    weight_decay: float = 0.05
    wording_decay: float = 1.0e-5
    seed: int = 7

    def __post_init__(self) -> None:
        if self.hidden < 1 or self.buckets < 2 or self.batch_size < 1:
            raise ValueError("reranker: hidden, buckets and batch_size must be positive")
        if min(self.epochs, self.wording_epochs) < 1 or not 0 <= self.dropout < 1:
            raise ValueError("reranker: epochs must be at least 1, dropout within 0 and 1")


@dataclass(frozen=True)
class PairRows:
    """Pairs as the network reads them; arrays over the pairs, vectors over distinct texts."""

    query_vectors: Floats
    reply_vectors: Floats
    query_sides: Sequence[Side]
    reply_sides: Sequence[Side]
    query: NDArray[np.int64]
    reply: NDArray[np.int64]
    answers: NDArray[np.int64]
    weight: Floats | None = None
    """What a pair counts in the loss; 1 each when None."""

    def __len__(self) -> int:
        return len(self.query)


class ReplyNetwork(nn.Module):
    """Logits that replies answer messages.

    Args:
        width: of the sentence vectors.
        config: sizes.
    """

    wording_weight: Tensor
    wording_bias: Tensor

    def __init__(self, width: int, config: RerankConfig) -> None:
        super().__init__()
        hidden = config.hidden
        self.query = nn.Linear(width, hidden)
        self.reply = nn.Linear(width, hidden)
        self.joint = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(3 * hidden + len(EXTRAS), hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(hidden, 1),
        )
        self.grams = nn.Embedding(config.buckets, 1, padding_idx=0)
        nn.init.zeros_(self.grams.weight)
        self.register_buffer("wording_weight", torch.ones(()))
        self.register_buffer("wording_bias", torch.zeros(()))

    def vectors_view(self, query: Tensor, reply: Tensor, numbers: Tensor) -> Tensor:
        """Logits [pairs] of the head; arguments as for `forward`."""
        # Unit vectors of width d have entries of about 1 / sqrt(d): brought to about 1 for the layers.
        scale = query.shape[-1] ** 0.5
        left, right = self.query(query * scale), self.reply(reply * scale)
        features = torch.cat([left * right, (left - right).abs(), right, numbers], dim=1)
        return self.joint(features).squeeze(1)

    def wording_view(self, grams: Tensor) -> Tensor:
        """Logits [pairs] of the n-grams; the sum is divided by the root of their number."""
        count = (grams > 0).sum(1).clamp(min=1).to(torch.float32)
        return self.grams(grams).squeeze(-1).sum(1) / count.sqrt()

    def forward(self, query: Tensor, reply: Tensor, numbers: Tensor, grams: Tensor) -> Tensor:
        """Logits [pairs].

        Args:
            query, reply: unit vectors, float32 [pairs, width].
            numbers: float32 [pairs, len(EXTRAS)].
            grams: int64 [pairs, n-grams], 0 is padding.
        """
        wording = self.wording_view(grams) + self.wording_bias
        return self.vectors_view(query, reply, numbers) + self.wording_weight * wording


class ReplyModule(pl.LightningModule):
    """Trains one view of a `ReplyNetwork` with cross-entropy."""

    def __init__(
        self, network: ReplyNetwork, view: str, config: RerankConfig, steps: int, prior: float
    ) -> None:
        super().__init__()
        self.network, self.view, self.config, self.steps = network, view, config, steps
        self.bias = nn.Parameter(torch.tensor(float(np.log(prior / (1 - prior)))))

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        """Weighted binary cross-entropy."""
        if self.view == "wording":
            logits = self.network.wording_view(batch["grams"]) + self.bias
        else:
            logits = self.network.vectors_view(batch["query"], batch["reply"], batch["numbers"])
        loss = functional.binary_cross_entropy_with_logits(logits, batch["answers"], weight=batch["weight"])
        self.log(f"train/{self.view}_loss", loss, batch_size=len(logits))
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW on the view's own weights, linear to zero."""
        config, network = self.config, self.network
        chosen: list[Any]
        if self.view == "wording":
            chosen, rate, decay = [network.grams.weight, self.bias], config.wording_lr, config.wording_decay
        else:
            parts = (network.query, network.reply, network.joint)
            chosen = [weight for part in parts for weight in part.parameters()]
            rate, decay = config.lr, config.weight_decay
        optimizer = torch.optim.AdamW(chosen, lr=rate, weight_decay=decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, 1 - step / self.steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class _Collator:
    """Makes tensors of pair numbers; what a pair's wording gives is computed once."""

    def __init__(self, rows: PairRows, view: PairView) -> None:
        self.rows = rows
        self.numbers = np.zeros((len(rows), len(EXTRAS)), np.float32)
        self.grams: list[NDArray[np.int32]] = []
        cosine = np.einsum("ij,ij->i", rows.query_vectors[rows.query], rows.reply_vectors[rows.reply])
        for index in range(len(rows)):
            query, reply = rows.query_sides[rows.query[index]], rows.reply_sides[rows.reply[index]]
            self.numbers[index] = view.numbers(query, [reply], cosine[index : index + 1])[0]
            self.grams.append(view.grams(query, [reply])[0].astype(np.int32))
        self.weight = np.ones(len(rows), np.float32) if rows.weight is None else rows.weight
        self.with_grams = True

    def __call__(self, chosen: list[int]) -> dict[str, Tensor]:
        rows = self.rows
        longest = max(len(self.grams[index]) for index in chosen) if self.with_grams else 1
        grams = np.zeros((len(chosen), longest), np.int64)
        for place, index in enumerate(chosen if self.with_grams else []):
            grams[place, : len(self.grams[index])] = self.grams[index]
        arrays = {
            "query": rows.query_vectors[rows.query[chosen]],
            "reply": rows.reply_vectors[rows.reply[chosen]],
            "numbers": self.numbers[chosen],
            "grams": grams,
            "answers": rows.answers[chosen].astype(np.float32),
            "weight": self.weight[chosen],
        }
        return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _fit_view(network: ReplyNetwork, view: str, collator: _Collator, config: RerankConfig) -> float:
    """Train one view; returns its own bias."""
    epochs = config.wording_epochs if view == "wording" else config.epochs
    loader: DataLoader[int] = DataLoader(
        RowNumbers(len(collator.rows)),
        batch_size=config.batch_size,
        shuffle=True,
        collate_fn=collator,
        generator=torch.Generator().manual_seed(config.seed),
    )
    collator.with_grams = view == "wording"
    prior = float(np.clip(collator.rows.answers.mean(), 0.01, 0.99))
    module = ReplyModule(network.train(), view, config, epochs * len(loader), prior)
    # A fit takes seconds, and there are many in a cross-validation: what Lightning says of each is noise.
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
        enable_model_summary=False, enable_progress_bar=False, gradient_clip_val=1.0,
    )  # fmt: skip
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the layers are small: several threads would wait for each other
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*LeafSpec.*")
            warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
            trainer.fit(module, loader)
    finally:
        torch.set_num_threads(threads)
    network.eval()
    return float(module.bias.detach())


def _views(network: ReplyNetwork, collator: _Collator) -> tuple[Floats, Floats]:
    """Both views' logits [pairs], the wording without its bias and weight."""
    one, other = [], []
    with torch.inference_mode():
        for start in range(0, len(collator.rows), 256):
            batch = collator(list(range(start, min(start + 256, len(collator.rows)))))
            one.append(network.vectors_view(batch["query"], batch["reply"], batch["numbers"]).numpy())
            other.append(network.wording_view(batch["grams"]).numpy())
    return np.concatenate(one), np.concatenate(other)


def train_reranker(rows: PairRows, held: PairRows, config: RerankConfig | None = None) -> ReplyNetwork:
    """Train both views on `rows`, and weigh them against each other on `held`.

    Args:
        held: pairs of other questions; they choose the weight of the wording view by cross-entropy.

    Returns:
        The network in evaluation mode.

    Raises:
        ValueError: there are no pairs, or only one kind of answer.
    """
    config = config or RerankConfig()
    for name, part in (("rows", rows), ("held", held)):
        if not len(part) or len(set(part.answers.tolist())) < 2:
            raise ValueError(f"{name}: needs pairs that answer and pairs that do not")
    pl.seed_everything(config.seed, workers=True, verbose=False)
    network = ReplyNetwork(rows.query_vectors.shape[1], config)
    view = PairView(config.buckets)
    collator = _Collator(rows, view)
    _fit_view(network, "vectors", collator, config)
    bias = _fit_view(network, "wording", collator, config)
    head, wording = _views(network, _Collator(held, view))
    target = torch.from_numpy(held.answers.astype(np.float32))
    losses = {
        weight: float(
            functional.binary_cross_entropy_with_logits(
                torch.from_numpy(head + weight * (wording + bias)), target
            )
        )
        for weight in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
    }
    network.wording_weight.fill_(min(losses, key=losses.__getitem__))
    network.wording_bias.fill_(bias)
    return network.eval()


def logits_of(network: ReplyNetwork, rows: PairRows) -> Floats:
    """Logits of pairs, float32 [pairs]."""
    head, wording = _views(network, _Collator(rows, PairView(network.grams.num_embeddings)))
    weight, bias = float(network.wording_weight), float(network.wording_bias)
    return np.asarray(head + weight * (wording + bias), np.float32)


def best_threshold(logits: NDArray[np.floating[Any]], answers: NDArray[np.int64]) -> float:
    """The logit from which calling a pair an answer gives the best F1."""
    order = np.argsort(-logits, kind="stable")
    right = np.cumsum(answers[order])
    f1 = 2 * right / (np.arange(1, len(order) + 1) + max(1, int(answers.sum())))
    best = int(f1.argmax())
    if best + 1 == len(order):
        return float(logits[order[best]])
    return float((logits[order[best]] + logits[order[best + 1]]) / 2)
