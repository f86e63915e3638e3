"""Batches of similar length, encoded as they are needed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.distributed
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from data.arrow_rows import blocks, column, take
from data.encoding import InputEncoder
from data.example import Example
from data.taxonomy import LabelMap

__all__ = [
    "Collator",
    "LengthGroupedSampler",
    "RowNumbers",
    "make_loader",
    "mask_numbers",
    "process_count",
    "process_rank",
]

_AMOUNT = re.compile(r"(?<![\d.])\d+(?:\.\d+)?(?=\s*(?:块|元|¥|rmb))|(?<=[¥￥])\d+(?:\.\d+)?", re.I)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def process_count() -> int:
    """Processes that train together; 1 outside `torch.distributed`."""
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    return torch.distributed.get_world_size() if distributed else 1


def process_rank() -> int:
    """The number of this process among them."""
    return torch.distributed.get_rank() if process_count() > 1 else 0


def mask_numbers(text: str) -> str:
    """Replace amounts and numbers by the placeholders that masked chats have."""
    return _NUMBER.sub("[数字]", _AMOUNT.sub("[金额]", text))


class LengthGroupedSampler(Sampler[list[int]]):
    """Batches of row numbers: shuffled, then sorted by length within pools of many batches.

    Deterministic in `seed` and the epoch, so that a resumed run sees what it would have seen. Keeps
    numbers only, some 20 bytes a row. Among several processes (`torch.distributed`) each takes its
    share of every batch, so `batch_size` is that of all together and a step means the same.

    Args:
        lengths: of each row, in tokens.
        reshuffle: let Lightning tell the epoch, so that each has another order; else all have the first's.
    """

    def __init__(
        self,
        lengths: Sequence[int] | NDArray[np.integer],
        batch_size: int,
        shuffle: bool,
        seed: int,
        reshuffle: bool = False,
    ) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size, self.shuffle, self.seed, self.epoch = batch_size, shuffle, seed, 0
        if reshuffle:
            # Lightning tells the epoch to a loader's sampler, and of a batch sampler to the one within it.
            self.sampler = self

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning at the start of each epoch, if `reshuffle` is on."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        if not self.shuffle:
            order = np.argsort(self.lengths, kind="stable")
            yield from (self._batch(order, index) for index in range(len(self)))
            return
        generator = np.random.default_rng((self.seed, self.epoch))
        order = generator.permutation(len(self.lengths))
        pool = self.batch_size * 24
        for start in range(0, len(order), pool):
            rows = order[start : start + pool]
            order[start : start + pool] = rows[np.argsort(self.lengths[rows], kind="stable")]
        # A pool is a whole number of batches, so the batches of all pools lie end to end.
        for index in generator.permutation(len(self)):
            yield self._batch(order, int(index))

    def _batch(self, order: NDArray[np.integer], index: int) -> list[int]:
        rows: list[int] = order[index * self.batch_size : (index + 1) * self.batch_size].tolist()
        count, rank = process_count(), process_rank()
        # Every process must make every step: where rows are fewer than processes, some see one twice.
        return rows[rank::count] or [rows[rank % len(rows)]]


class RowNumbers(Dataset[int]):
    """The numbers 0 to `count`: samplers choose them, collators make tensors of them."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> int:
        return index


class Collator:
    """Makes tensors of rows; in training with some numbers masked."""

    def __init__(
        self,
        examples: Sequence[Example],
        encoder: InputEncoder,
        label_maps: dict[str, LabelMap],
        mask_share: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.examples, self.encoder = examples, encoder
        self.mask_share = mask_share
        self.generator = np.random.default_rng(seed)
        self.labels = {task: _indices(examples, task, labels) for task, labels in label_maps.items()}

    def __call__(self, rows: list[int]) -> dict[str, Tensor]:
        """Tensors `input_ids`, `attention_mask`, `token_type_ids`, labels by task, `row`."""
        messages = []
        for example in take(self.examples, rows):
            text = example.text
            if self.mask_share and self.generator.random() < self.mask_share:
                text = mask_numbers(text)
            messages.append((text, example.context))
        batch = self.encoder.pad(self.encoder.encode(messages))
        tensors = {name: torch.from_numpy(array) for name, array in batch.inputs().items()}
        for task, labels in self.labels.items():
            tensors[task] = torch.from_numpy(labels[rows].astype(np.int64))
        tensors["row"] = torch.tensor(rows)
        return tensors


def _indices(examples: Sequence[Example], task: str, labels: LabelMap) -> NDArray[np.int32]:
    index = labels.label2id
    return np.fromiter((index[label] for label in column(examples, task)), np.int32, len(examples))


def make_loader(
    collator: Collator, batch_size: int, shuffle: bool, seed: int, reshuffle: bool = False
) -> DataLoader[int]:
    """A loader of length-grouped batches over the collator's examples, which may stay on disk."""
    lengths = np.zeros(len(collator.examples), np.int32)
    start = 0
    for block in blocks(collator.examples):
        encoded = collator.encoder.encode([(example.text, example.context) for example in block])
        lengths[start : start + len(block)] = [len(item.ids) for item in encoded]
        start += len(block)
    sampler = LengthGroupedSampler(lengths, batch_size, shuffle, seed, reshuffle)
    return DataLoader(RowNumbers(len(lengths)), batch_sampler=sampler, collate_fn=collator)
