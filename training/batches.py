"""Batches of similar length, encoded as they are needed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from data.encoding import InputEncoder
from data.example import Example
from data.taxonomy import LabelMap

__all__ = ["Collator", "LengthGroupedSampler", "RowNumbers", "make_loader", "mask_numbers"]

_AMOUNT = re.compile(r"(?<![\d.])\d+(?:\.\d+)?(?=\s*(?:块|元|¥|rmb))|(?<=[¥￥])\d+(?:\.\d+)?", re.I)
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def mask_numbers(text: str) -> str:
    """Replace amounts and numbers by the placeholders that masked chats have."""
    return _NUMBER.sub("[数字]", _AMOUNT.sub("[金额]", text))


class LengthGroupedSampler(Sampler[list[int]]):
    """Batches of row numbers: shuffled, then sorted by length within pools of many batches.

    Deterministic in `seed` and the epoch, so that a resumed run sees what it would have seen.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, shuffle: bool, seed: int) -> None:
        self.lengths = np.asarray(lengths)
        self.batch_size, self.shuffle, self.seed, self.epoch = batch_size, shuffle, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning at the start of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        if not self.shuffle:
            order = np.argsort(self.lengths, kind="stable")
            yield from self._cut(order)
            return
        generator = np.random.default_rng((self.seed, self.epoch))
        order = generator.permutation(len(self.lengths))
        pool = self.batch_size * 24
        pools = [order[start : start + pool] for start in range(0, len(order), pool)]
        batches: list[list[int]] = []
        for rows in pools:
            batches += self._cut(rows[np.argsort(self.lengths[rows], kind="stable")])
        for index in generator.permutation(len(batches)):
            yield batches[index]

    def _cut(self, order: np.ndarray) -> list[list[int]]:
        starts = range(0, len(order), self.batch_size)
        return [order[start : start + self.batch_size].tolist() for start in starts]


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
        self.labels = {
            task: [label_map.label2id[getattr(example, task)] for example in examples]
            for task, label_map in label_maps.items()
        }

    def __call__(self, rows: list[int]) -> dict[str, Tensor]:
        """Tensors `input_ids`, `attention_mask`, `token_type_ids`, labels by task, `row`."""
        messages = []
        for row in rows:
            example = self.examples[row]
            text = example.text
            if self.mask_share and self.generator.random() < self.mask_share:
                text = mask_numbers(text)
            messages.append((text, example.context))
        batch = self.encoder.pad(self.encoder.encode(messages))
        tensors = {name: torch.from_numpy(array) for name, array in batch.inputs().items()}
        for task, labels in self.labels.items():
            tensors[task] = torch.tensor([labels[row] for row in rows])
        tensors["row"] = torch.tensor(rows)
        return tensors


def make_loader(collator: Collator, batch_size: int, shuffle: bool, seed: int) -> DataLoader[int]:
    """A loader of length-grouped batches over the collator's examples."""
    messages = [(example.text, example.context) for example in collator.examples]
    lengths = [len(item.ids) for item in collator.encoder.encode(messages)]
    sampler = LengthGroupedSampler(lengths, batch_size, shuffle, seed)
    return DataLoader(RowNumbers(len(messages)), batch_sampler=sampler, collate_fn=collator)
