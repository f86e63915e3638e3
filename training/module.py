"""The Lightning module: losses, learning rates and the metrics that decide when to stop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional

from data.arrow_rows import column
from data.example import Example
from data.taxonomy import LabelMap
from training.config import TrainConfig
from training.metrics import macro_f1
from training.network import ChatNetwork

__all__ = ["ChatModule", "class_weights"]

MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def class_weights(examples: Sequence[Example], task: str, labels: LabelMap, power: float) -> Tensor:
    """Weights (1 / frequency) ** power with mean 1 over the examples; float32 [labels]."""
    counts = Counter(column(examples, task))
    frequency = torch.tensor([float(max(counts[label], 1)) for label in labels.labels])
    weights = frequency.pow(-power)
    return weights * frequency.sum() / (weights * frequency).sum()


class ChatModule(pl.LightningModule):
    """Trains a `ChatNetwork` on one or both tasks.

    `val/macro_f1` is the mean over the tasks of macro-F1 on validation.
    """

    def __init__(
        self, network: ChatNetwork, weights: dict[str, Tensor], config: TrainConfig, steps: int
    ) -> None:
        super().__init__()
        self.network, self.config, self.steps = network, config, steps
        self.weights = nn.ParameterDict(
            {task: nn.Parameter(weight, requires_grad=False) for task, weight in weights.items()}
        )
        self._validated: dict[str, list[tuple[Tensor, Tensor]]] = {}

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Logits by task."""
        inputs = {name: batch[name] for name in MODEL_INPUTS}
        return dict(zip(self.network.tasks, self.network(**inputs), strict=True))

    def _loss(self, task: str, logits: Tensor, target: Tensor, smoothing: float) -> Tensor:
        return functional.cross_entropy(logits, target, weight=self.weights[task], label_smoothing=smoothing)

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        """Weighted sum of the tasks' cross-entropies."""
        total = torch.zeros((), device=self.device)
        for task, logits in self(batch).items():
            loss = self._loss(task, logits, batch[task], self.config.label_smoothing)
            self.log(f"train/{task}_loss", loss, batch_size=len(logits))
            shared = len(self.network.tasks) > 1
            weight = self.config.emotion_weight if shared and task == "emotion" else 1.0
            total = total + weight * loss
        self.log("train/loss", total, prog_bar=True, batch_size=len(batch["row"]))
        return total

    def on_validation_epoch_start(self) -> None:
        """Forget the last epoch's answers."""
        self._validated = {task: [] for task in self.network.tasks}

    def validation_step(self, batch: dict[str, Tensor], index: int) -> None:
        """Keep answers; macro-F1 needs all of them."""
        for task, logits in self(batch).items():
            self._validated[task].append((logits.cpu(), batch[task].cpu()))

    def on_validation_epoch_end(self) -> None:
        """Log loss, accuracy and macro-F1 of each task, and their mean."""
        scores = []
        for task, parts in self._validated.items():
            logits = torch.cat([part[0] for part in parts])
            target = torch.cat([part[1] for part in parts])
            guess = logits.argmax(1)
            score = macro_f1(target.numpy(), guess.numpy(), logits.shape[1])
            scores.append(score)
            self.log(f"val/{task}_macro_f1", score)
            self.log(f"val/{task}_accuracy", float((guess == target).float().mean()))
            self.log(f"val/{task}_loss", functional.cross_entropy(logits, target))
        self.log("val/macro_f1", sum(scores) / len(scores), prog_bar=True)

    def configure_optimizers(self) -> Any:
        """AdamW with layer-wise learning rates for the encoder and one for the heads."""
        config = self.config
        optimizer = torch.optim.AdamW(
            self._parameter_groups(), lr=config.head_lr, betas=(0.9, 0.98), fused=True
        )
        warmup = max(1, int(self.steps * config.warmup))

        def factor(step: int) -> float:
            if step < warmup:
                return (step + 1) / warmup
            return max(0.0, (self.steps - step) / max(1, self.steps - warmup))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip by norm. Lightning refuses to beside a fused optimizer, for gradient scaling's sake;
        bfloat16 and float32 scale nothing."""
        if gradient_clip_val:
            nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    def _parameter_groups(self) -> list[dict[str, Any]]:
        config = self.config
        encoder: Any = self.network.encoder
        layers = list(encoder.encoder.layer)
        depth = {id(p): n + 1 for n, layer in enumerate(layers) for p in layer.parameters()}
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.network.named_parameters():
            if not parameter.requires_grad:
                continue
            if name.startswith("encoder."):
                below_top = len(layers) - depth.get(id(parameter), 0)
                rate = config.encoder_lr * config.layer_decay**below_top
            else:
                rate = config.head_lr
            decay = config.weight_decay if parameter.ndim >= 2 else 0.0
            groups.setdefault((rate, decay), []).append(parameter)
        return [
            {"params": parameters, "lr": rate, "weight_decay": decay}
            for (rate, decay), parameters in groups.items()
        ]
