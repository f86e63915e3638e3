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
from training.batches import process_count
from training.config import TrainConfig
from training.metrics import macro_f1
from training.network import ChatNetwork
from training.objectives import LabelMemory, distillation_loss, divergence, supervised_contrastive
from training.processes import gather_rows
from training.recipe import RecipeConfig

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

    Args:
        weights: by task the classes' weights.
        steps: of the whole run.
        recipe: further losses; the default adds none.
        soft: by task the teachers' probabilities of all training rows [rows, labels], for `recipe.distil`.
    """

    def __init__(
        self,
        network: ChatNetwork,
        weights: dict[str, Tensor],
        config: TrainConfig,
        steps: int,
        recipe: RecipeConfig | None = None,
        soft: dict[str, Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.recipe, self._soft = recipe or RecipeConfig(), soft or {}
        self._memory = {task: LabelMemory(self.recipe.contrastive_memory) for task in weights}
        self.network, self.config, self.steps = network, config, steps
        self.weights = nn.ParameterDict(
            {task: nn.Parameter(weight, requires_grad=False) for task, weight in weights.items()}
        )
        self._validated: dict[str, list[tuple[Tensor, Tensor]]] = {}
        self._validated_rows: list[Tensor] = []

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Logits by task."""
        inputs = {name: batch[name] for name in MODEL_INPUTS}
        return dict(zip(self.network.tasks, self.network(**inputs), strict=True))

    def _loss(self, task: str, logits: Tensor, target: Tensor, smoothing: float) -> Tensor:
        return functional.cross_entropy(logits, target, weight=self.weights[task], label_smoothing=smoothing)

    def training_step(self, batch: dict[str, Tensor], index: int) -> Tensor:
        """Weighted sum of the tasks' losses: cross-entropies, and what the recipe adds."""
        total = torch.zeros((), device=self.device)
        answers, vectors = self._answers(batch)
        for task, logits in answers.items():
            loss = self._task_loss(task, logits, vectors, batch)
            self.log(f"train/{task}_loss", loss, batch_size=len(batch["row"]))
            shared = len(self.network.tasks) > 1
            weight = self.config.emotion_weight if shared and task == "emotion" else 1.0
            total = total + weight * loss
        self.log("train/loss", total, prog_bar=True, batch_size=len(batch["row"]))
        return total

    def _answers(self, batch: dict[str, Tensor]) -> tuple[dict[str, list[Tensor]], Tensor]:
        """By task the logits under each dropout mask, and the embeddings [readings * rows, hidden]."""
        inputs = {name: batch[name] for name in MODEL_INPUTS}
        rows, masks = len(batch["row"]), self.recipe.dropout_samples
        twice = self.recipe.r_drop > 0
        if twice:
            masks = max(2, masks)
        if twice and self.config.encoder_dropout > 0:
            # The encoder drops out, too: two readings of each row.
            inputs = {name: torch.cat([values, values]) for name, values in inputs.items()}
        vectors = self.network.embed(**inputs)
        readings = vectors.split(rows)
        found = [self.network.classify(readings[mask % len(readings)]) for mask in range(masks)]
        return {task: [one[at] for one in found] for at, task in enumerate(self.network.tasks)}, vectors

    def _task_loss(
        self, task: str, answers: list[Tensor], vectors: Tensor, batch: dict[str, Tensor]
    ) -> Tensor:
        recipe, target = self.recipe, batch[task]
        losses = [self._loss(task, logits, target, self.config.label_smoothing) for logits in answers]
        loss = losses[0] if len(losses) == 1 else torch.stack(losses).mean()
        if recipe.distil:
            teacher = self._soft[task][batch["row"].cpu()].to(target.device)
            parts = [distillation_loss(logits, teacher, recipe.distil_temperature) for logits in answers]
            loss = (1 - recipe.distil) * loss + recipe.distil * torch.stack(parts).mean()
        if recipe.contrastive:
            labels = target.repeat(len(vectors) // len(target))
            memory = self._memory[task]
            part = supervised_contrastive(vectors, labels, recipe.contrastive_temperature, memory.rows)
            memory.add(vectors[: len(target)], target)
            loss = (1 - recipe.contrastive) * loss + recipe.contrastive * part
        if recipe.r_drop:
            pairs = [divergence(one, two) for one, two in zip(answers[::2], answers[1::2], strict=False)]
            loss = loss + recipe.r_drop * torch.stack(pairs).mean()
        return loss

    def on_validation_epoch_start(self) -> None:
        """Forget the last epoch's answers."""
        self._validated = {task: [] for task in self.network.tasks}
        self._validated_rows = []

    def validation_step(self, batch: dict[str, Tensor], index: int) -> None:
        """Keep answers; macro-F1 needs all of them."""
        self._validated_rows.append(batch["row"].cpu())
        for task, logits in self(batch).items():
            self._validated[task].append((logits.cpu(), batch[task].cpu()))

    def on_validation_epoch_end(self) -> None:
        """Log loss, accuracy and macro-F1 of each task, and their mean."""
        scores, several = [], process_count() > 1
        for task, parts in self._validated.items():
            logits, target = (
                gather_rows(self._validated_rows, values, self.device) for values in zip(*parts, strict=True)
            )
            guess = logits.argmax(1)
            score = macro_f1(target.numpy(), guess.numpy(), logits.shape[1])
            scores.append(score)
            self.log(f"val/{task}_macro_f1", score, sync_dist=several)
            accuracy = float((guess == target).float().mean())
            self.log(f"val/{task}_accuracy", accuracy, sync_dist=several)
            loss = functional.cross_entropy(logits, target)
            self.log(f"val/{task}_loss", loss, sync_dist=several)
        self.log("val/macro_f1", sum(scores) / len(scores), prog_bar=True, sync_dist=several)

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
