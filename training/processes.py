"""Training in several processes, one a GPU (or two on a CPU, to try it): what differs from one.

Only the loop itself runs in them (`torch.distributed` data parallelism, processes started for `Trainer.fit`).
Reading, the n-gram view, calibration, export, the report and the tracked run stay in the one process that
called `train`, so nothing is written twice. `train.batch_size` is that of all processes together: each takes
its share of every batch, and learning rates mean the same on any number of devices. Gradients are means over
processes; with class weights, or a last batch that does not divide evenly, that is close to the mean over the
batch but not equal to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed
from torch import Tensor

from training.batches import process_count

__all__ = ["fitted_state", "gather_rows", "trainer_settings"]


def trainer_settings(devices: int) -> dict[str, Any]:
    """Lightning's settings for so many devices; for one they are its defaults."""
    if devices == 1:
        return {"devices": 1}
    from pytorch_lightning.strategies import DDPStrategy

    # Our sampler deals the rows out; Lightning cannot make another of its kind.
    strategy = DDPStrategy(start_method="spawn", gradient_as_bucket_view=True)
    return {"devices": devices, "strategy": strategy, "use_distributed_sampler": False}


def gather_rows(rows: Sequence[Tensor], values: Sequence[Tensor], device: torch.device) -> Tensor:
    """The values of all processes, each row once, in the order of row numbers; of one process: as they are.

    Args:
        rows: of each batch the row numbers, int64 [batch].
        values: of each batch one value a row, [batch, …].
        device: where processes exchange tensors.
    """
    joined = torch.cat(list(values))
    if process_count() == 1:
        return joined
    numbers = _from_all(torch.cat(list(rows)), device)
    everything = _from_all(joined, device)
    first = np.unique(numbers.numpy(), return_index=True)[1]
    return everything[torch.from_numpy(first)]


def _from_all(own: Tensor, device: torch.device) -> Tensor:
    """The tensors of all processes, one below the other, on the CPU; they may differ in length."""
    count = process_count()
    length = torch.tensor([len(own)], device=device)
    lengths = [torch.zeros_like(length) for _ in range(count)]
    torch.distributed.all_gather(lengths, length)
    longest = int(max(int(one) for one in lengths))
    padded = torch.zeros((longest, *own.shape[1:]), dtype=own.dtype, device=device)
    padded[: len(own)] = own.to(device)
    parts = [torch.zeros_like(padded) for _ in range(count)]
    torch.distributed.all_gather(parts, padded)
    return torch.cat([part[: int(one)].cpu() for part, one in zip(parts, lengths, strict=True)])


def fitted_state(last: Path) -> tuple[float, int]:
    """Best score and epochs done, which the processes leave in their checkpoints alone.

    Args:
        last: the checkpoint of the last epoch.
    """
    ended = torch.load(last, map_location="cpu", weights_only=False)
    savers = [state for name, state in ended["callbacks"].items() if name.startswith("ModelCheckpoint")]
    (best,) = (state["best_model_score"] for state in savers if state["monitor"] is not None)
    return float(best), int(ended["epoch"]) + 1
