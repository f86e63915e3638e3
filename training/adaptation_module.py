"""What an encoder learns from unlabelled texts: hidden words, or which two readings are of one text.

Sources: Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", 2019, section 3.1; Gao et
al., "SimCSE: Simple Contrastive Learning of Sentence Embeddings", 2021, section 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import IterableDataset
from transformers import PreTrainedModel

from training.batches import LengthGroupedSampler

__all__ = ["WAYS", "AdaptConfig", "AdaptingModule", "TextBatches", "contrast_readings", "mask_words"]

WAYS = ("masked_words", "contrastive")
_IGNORED = -100


@dataclass(frozen=True)
class AdaptConfig:
    """How an encoder is adapted."""

    way: str = "masked_words"
    epochs: int = 3
    batch_size: int = 32
    lr: float = 1.0e-4
    warmup: float = 0.1
    mask_share: float = 0.15
    """Of the tokens; 80 % of them become the mask, 10 % another token, 10 % stay (Devlin et al.)."""
    temperature: float = 0.05
    """Cosines are divided by it (contrastive; Gao et al.)."""
    dropout: float = 0.1
    """Inside the encoder; contrastive has no other difference between two readings."""
    max_tokens: int = 64
    margin: int = 6000
    """As `backbone.margin`."""
    precision: str = "auto"
    accelerator: str = "auto"
    seed: int = 7

    def __post_init__(self) -> None:
        checks = {
            "way": (self.way in WAYS, f"must be one of {', '.join(WAYS)}"),
            "epochs": (self.epochs > 0, "must be positive"),
            "batch_size": (self.batch_size > 1, "must be at least 2"),
            "lr": (0 < self.lr < 1, "must be between 0 and 1"),
            "warmup": (0 <= self.warmup < 1, "must be in [0, 1)"),
            "mask_share": (0 < self.mask_share < 1, "must be between 0 and 1"),
            "temperature": (self.temperature > 0, "must be positive"),
            "dropout": (0 <= self.dropout < 1, "must be in [0, 1)"),
            "max_tokens": (self.max_tokens >= 8, "must be at least 8"),
            "margin": (self.margin >= 0, "must not be negative"),
        }
        for name, (fine, reason) in checks.items():
            if not fine:
                raise ValueError(f"adapt.{name}: {reason}")
        if self.way == "contrastive" and self.dropout == 0:
            raise ValueError("adapt.dropout: must be above 0: it is what tells two readings apart")


def mask_words(ids: Tensor, free: Tensor, share: float, mask: int, vocabulary: int) -> tuple[Tensor, Tensor]:
    """Hide a share of the tokens; gives the ids to read, and what to guess (-100 where nothing).

    Args:
        ids: [batch, length].
        free: bool [batch, length], the tokens that may be hidden.
        mask: id of the mask token.
        vocabulary: ids below it may stand in for a hidden token.
    """
    chosen = (torch.rand(ids.shape) < share) & free
    kind = torch.rand(ids.shape)
    hidden = torch.where(chosen & (kind < 0.8), torch.full_like(ids, mask), ids)
    other = torch.randint(0, vocabulary, ids.shape)
    hidden = torch.where(chosen & (kind >= 0.9), other, hidden)
    return hidden, torch.where(chosen, ids, torch.full_like(ids, _IGNORED))


def contrast_readings(vectors: Tensor, temperature: float) -> Tensor:
    """Cross-entropy of finding each text's second reading among all second readings.

    Args:
        vectors: [2 * texts, hidden], the first readings and then the second ones.
    """
    first, second = functional.normalize(vectors.float(), dim=1).chunk(2)
    return functional.cross_entropy(first @ second.T / temperature, torch.arange(len(first)).to(first.device))


class TextBatches(IterableDataset[dict[str, Tensor]]):
    """Batches of texts of similar length, another order in each epoch."""

    def __init__(self, rows: Sequence[list[int]], pad: int, config: AdaptConfig) -> None:
        self.rows, self.pad, self.epoch = rows, pad, 0
        lengths = [len(row) for row in rows]
        self.sampler = LengthGroupedSampler(lengths, config.batch_size, True, config.seed)

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        self.sampler.set_epoch(self.epoch)
        self.epoch += 1
        for batch in self.sampler:
            width = max(len(self.rows[row]) for row in batch)
            ids = torch.full((len(batch), width), self.pad)
            for at, row in enumerate(batch):
                ids[at, : len(self.rows[row])] = torch.tensor(self.rows[row])
            yield {"input_ids": ids, "attention_mask": (ids != self.pad).long()}


class AdaptingModule(pl.LightningModule):
    """Trains an encoder, and for `masked_words` a head that guesses, thrown away afterwards.

    Args:
        specials: ids that are never hidden.
        mask: id of the mask token.
        steps: of the whole run.
    """

    def __init__(
        self, encoder: PreTrainedModel, specials: list[int], mask: int, config: AdaptConfig, steps: int
    ) -> None:
        super().__init__()
        self.encoder, self.config, self.steps, self.mask = encoder, config, steps, mask
        self.specials = torch.tensor(specials)
        self.losses: list[float] = []
        """Of every step so far."""
        hidden = encoder.config.hidden_size
        self.guess: nn.Module | None = None
        if config.way == "masked_words":
            self.guess = nn.Sequential(nn.Linear(hidden, hidden), nn.GELU(), nn.LayerNorm(hidden))
            self.bias = nn.Parameter(torch.zeros(len(self._words())))

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        """Loss of the chosen way."""
        loss = self._guess(batch) if self.guess is not None else self._contrast(batch)
        self.losses.append(float(loss.detach()))
        self.log("adapt/loss", loss, prog_bar=True, batch_size=len(batch["input_ids"]))
        return loss

    def _words(self) -> Tensor:
        embeddings: Any = self.encoder.get_input_embeddings()
        weight: Tensor = embeddings.weight
        return weight

    def _guess(self, batch: dict[str, Tensor]) -> Tensor:
        words, ids = self._words(), batch["input_ids"].cpu()
        free = ~torch.isin(ids, self.specials)
        hidden_ids, wanted = mask_words(ids, free, self.config.mask_share, self.mask, len(words))
        hidden_ids, wanted = hidden_ids.to(words.device), wanted.to(words.device)
        out = self.encoder(input_ids=hidden_ids, attention_mask=batch["attention_mask"]).last_hidden_state
        asked = wanted != _IGNORED  # the product with all words only where something is asked
        assert self.guess is not None
        logits = functional.linear(self.guess(out[asked]), words, self.bias).float()
        return functional.cross_entropy(logits, wanted[asked]) if len(logits) else logits.sum()

    def _contrast(self, batch: dict[str, Tensor]) -> Tensor:
        twice = {name: torch.cat([values, values]) for name, values in batch.items()}
        out = self.encoder(**twice).last_hidden_state
        inside = twice["attention_mask"].unsqueeze(-1).to(out.dtype)
        return contrast_readings((out * inside).sum(1) / inside.sum(1), self.config.temperature)

    def configure_optimizers(self) -> Any:
        """AdamW, warmed up, then linear to zero."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.config.lr, weight_decay=0.01)
        warmup = max(1, int(self.steps * self.config.warmup))

        def factor(step: int) -> float:
            return max(0.0, min((step + 1) / warmup, (self.steps - step) / max(1, self.steps - warmup)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
