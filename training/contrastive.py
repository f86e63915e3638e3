"""The baseline `few_shot`: an encoder tuned on pairs of a few rows of each label, then linear heads.

Source: Tunstall et al., "Efficient Few-Shot Learning Without Prompts" (SetFit), 2022. Differences: one
encoder serves both tasks, so that they fit one exported model; it learns from pairs of each task in turn.
And the pairs are all those within a batch instead of drawn ones, so that a row is read once for many pairs.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from pytorch_lightning.callbacks import Callback, TQDMProgressBar
from pytorch_lightning.loggers import Logger
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Sampler

from data.encoding import InputEncoder
from data.example import Example
from data.split import Snapshot
from training.batches import RowNumbers
from training.config import TrainConfig, TrainingConfig
from training.linear_heads import embeddings, set_heads
from training.network import ChatNetwork
from training.precision import pick_precision
from training.train import TrainResult, build_network, training_texts

__all__ = ["Batch", "ContrastiveModule", "GroupSampler", "choose_shots", "pair_loss", "train_few_shot"]

Batch = tuple[list[dict[str, Tensor]], Tensor]
"""Inputs of the encoder in parts, and the label indices of all rows in the parts' order [rows]."""
_TOGETHER = 4
"""Rows of one label that enter a batch together: every batch needs pairs of the same label."""
_PART = 8
"""Rows of similar length that the encoder reads at once: a batch mixes lengths, and padding costs time."""


def choose_shots(rows: Sequence[Example], task: str, shots: int, seed: int) -> list[int]:
    """Numbers of the rows to learn a task from: `shots` of every label that occurs, drawn at random.

    Raises:
        ValueError: a label has fewer rows.
    """
    by_label: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        by_label[getattr(row, task)].append(index)
    generator = np.random.default_rng((seed, *task.encode()))
    chosen: list[int] = []
    for label, members in sorted(by_label.items()):
        if len(members) < shots:
            raise ValueError(
                f"train.shots: {shots}, but {task} {label!r} has {len(members)} training rows; lower it, or "
                "label more"
            )
        chosen += sorted(generator.choice(members, shots, replace=False).tolist())
    return chosen


def pair_loss(vectors: Tensor, target: Tensor) -> Tensor:
    """Squared distance of each pair's cosine from 1 (same label) or 0 (another), over all pairs of a batch.

    Both kinds of pairs weigh the same, however many there are.

    Args:
        vectors: [rows, hidden].
        target: label indices [rows].
    """
    unit = functional.normalize(vectors.float(), dim=1)
    first, second = torch.triu_indices(len(unit), len(unit), offset=1, device=unit.device)
    cosine = (unit @ unit.T)[first, second]
    same = target[first] == target[second]
    error = (cosine - same.float()).square()
    parts = [error[kind].mean() for kind in (same, ~same) if bool(kind.any())]
    return torch.stack(parts).mean()


class GroupSampler(Sampler[list[int]]):
    """Batches of one task each, in which rows of a label come together; every row once in an epoch.

    Args:
        labels: by task the label of each of its entries; entries are numbered through all tasks.
        batch_size: entries of one batch.
        seed: of the order, which is another one in each epoch.
    """

    def __init__(self, labels: Mapping[str, Sequence[str]], batch_size: int, seed: int) -> None:
        self.batch_size, self._generator = batch_size, np.random.default_rng(seed)
        self.entries: list[dict[str, list[int]]] = []
        start = 0
        for named in labels.values():
            groups: dict[str, list[int]] = defaultdict(list)
            for offset, label in enumerate(named):
                groups[label].append(start + offset)
            self.entries.append(dict(groups))
            start += len(named)

    def __len__(self) -> int:
        return sum(len(self._cut(groups, shuffle=False)) for groups in self.entries)

    def __iter__(self) -> Iterator[list[int]]:
        batches = [batch for groups in self.entries for batch in self._cut(groups, shuffle=True)]
        for index in self._generator.permutation(len(batches)):
            yield batches[index]

    def _cut(self, groups: dict[str, list[int]], shuffle: bool) -> list[list[int]]:
        together: list[list[int]] = []
        for members in groups.values():
            order = self._generator.permutation(members).tolist() if shuffle else members
            together += [order[start : start + _TOGETHER] for start in range(0, len(order), _TOGETHER)]
        if shuffle:
            together = [together[index] for index in self._generator.permutation(len(together))]
        batches: list[list[int]] = [[]]
        for group in together:
            if batches[-1] and len(batches[-1]) + len(group) > self.batch_size:
                batches.append([])
            batches[-1] += group
        return batches


class ContrastiveModule(pl.LightningModule):
    """Tunes the encoder of a network so that messages of one label point the same way."""

    def __init__(self, network: ChatNetwork, config: TrainConfig, steps: int) -> None:
        super().__init__()
        self.network, self.config, self.steps = network, config, steps

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """`pair_loss` of the batch."""
        parts, target = batch
        vectors = torch.cat([self.network.with_embedding(**part)[-1] for part in parts])
        loss = pair_loss(vectors, target)
        self.log("train/pair_loss", loss, prog_bar=True, batch_size=len(target))
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW on the encoder alone, warmed up, then linear to zero."""
        config = self.config
        parameters = [one for one in self.network.encoder.parameters() if one.requires_grad]
        optimizer = torch.optim.AdamW(parameters, lr=config.encoder_lr, weight_decay=config.weight_decay)
        warmup = max(1, int(self.steps * config.warmup))

        def factor(step: int) -> float:
            return min((step + 1) / warmup, (self.steps - step) / max(1, self.steps - warmup))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: max(0.0, factor(step)))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _loader(
    chosen: dict[str, list[Example]], encoder: InputEncoder, batch_size: int, seed: int
) -> DataLoader[int]:
    entries = [(row, getattr(row, task)) for task, rows in chosen.items() for row in rows]
    names = {name: number for number, name in enumerate(sorted({label for _, label in entries}))}

    encoded = encoder.encode([(row.text, row.context) for row, _ in entries])

    def collate(indices: list[int]) -> Batch:
        order = sorted(indices, key=lambda index: len(encoded[index].ids))
        parts = [order[start : start + _PART] for start in range(0, len(order), _PART)]
        inputs = [encoder.pad([encoded[index] for index in part]).inputs() for part in parts]
        tensors = [{name: torch.from_numpy(array) for name, array in part.items()} for part in inputs]
        return tensors, torch.tensor([names[entries[index][1]] for index in order])

    labels = {task: [getattr(row, task) for row in rows] for task, rows in chosen.items()}
    sampler = GroupSampler(labels, batch_size, seed)
    return DataLoader(RowNumbers(len(entries)), batch_sampler=sampler, collate_fn=collate)


def train_few_shot(
    config: TrainingConfig,
    snapshot: Snapshot,
    logger: Logger | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
) -> TrainResult:
    """Tune the encoder on pairs, then fit the heads, on `train.shots` rows of each label of each task.

    The cut vocabulary is that of all training texts: it costs no label.

    Raises:
        ValueError: a label has too few rows.
    """
    settings, rows = config.train, snapshot.splits["train"]
    pl.seed_everything(settings.seed, workers=True, verbose=False)
    label_maps = {task: snapshot.taxonomy.label_map(task) for task in config.tasks}
    chosen = {
        task: [rows[index] for index in choose_shots(rows, task, settings.shots, settings.seed)]
        for task in config.tasks
    }
    network, encoder = build_network(config, training_texts(rows), label_maps)
    loader = _loader(chosen, encoder, settings.batch_size, settings.seed)
    module = ContrastiveModule(network.train(), settings, settings.epochs * len(loader))
    trainer = pl.Trainer(
        max_epochs=settings.epochs,
        accelerator=settings.accelerator,
        devices=1,
        precision=pick_precision(settings.precision, settings.accelerator),
        callbacks=[*([TQDMProgressBar(refresh_rate=5)] if progress else []), *callbacks],
        logger=logger or False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=progress,
        gradient_clip_val=1.0,
        log_every_n_steps=1,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        trainer.fit(module, loader)
    network = network.eval().float().cpu()
    vectors: dict[str, tuple[Sequence[Example], NDArray[np.float32]]] = {
        task: (shots, embeddings(network, encoder, shots, config)) for task, shots in chosen.items()
    }
    set_heads(network, label_maps, vectors)
    return TrainResult(network, encoder, None, label_maps, config, {}, settings.epochs, resumed=False)
