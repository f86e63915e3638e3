"""Losses beside cross-entropy, as functions of logits and embeddings; switched on by `training.recipe`."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["LabelMemory", "distillation_loss", "divergence", "supervised_contrastive"]


def divergence(first: Tensor, second: Tensor) -> Tensor:
    """Mean over the rows of the symmetric KL divergence between two answers, in nats.

    Source: Liang et al., "R-Drop: Regularized Dropout for Neural Networks", 2021, equation 2.

    Args:
        first, second: logits [rows, labels] of the same rows under two dropout masks.
    """
    one, two = functional.log_softmax(first, 1), functional.log_softmax(second, 1)
    return ((one.exp() - two.exp()) * (one - two)).sum(1).mean() / 2


def supervised_contrastive(
    vectors: Tensor,
    target: Tensor,
    temperature: float,
    more: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """How much less alike rows of one label are than all rows: mean over the rows that have a partner.

    Source: Khosla et al., "Supervised Contrastive Learning", 2020, equation 2 (the sum over partners outside
    the logarithm). A row without a partner counts nothing; if there is none at all the loss is 0.

    Args:
        vectors: [rows, hidden], of any length: they are brought to unit length.
        target: label indices [rows].
        temperature: cosines are divided by it.
        more: further vectors and labels to compare with, without a gradient.
    """
    unit = functional.normalize(vectors.float(), dim=1)
    others, labels = unit, target
    if more is not None and len(more[1]):
        others = torch.cat([unit, functional.normalize(more[0].float(), dim=1)])
        labels = torch.cat([target, more[1]])
    own = torch.eye(len(unit), len(others), dtype=torch.bool, device=unit.device)
    scores = (unit @ others.T / temperature).masked_fill(own, -1e9)
    share = scores - scores.logsumexp(1, keepdim=True)
    partner = (target[:, None] == labels[None, :]) & ~own
    count = partner.sum(1)
    each = -(share * partner).sum(1) / count.clamp(min=1)
    return each.sum() / (count > 0).sum().clamp(min=1)


def distillation_loss(logits: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """KL divergence of the student from the teachers at a temperature, times its square, in nats.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015, section 2. The teachers' mean
    is of probabilities; dividing its logarithm by the temperature is what dividing their logits would be for
    one teacher.

    Args:
        logits: of the student [rows, labels].
        teacher: probabilities [rows, labels].
    """
    wanted = functional.softmax(teacher.clamp(min=1e-7).log() / temperature, 1)
    given = functional.log_softmax(logits / temperature, 1)
    return functional.kl_div(given, wanted, reduction="batchmean") * temperature**2


class LabelMemory:
    """The latest embeddings and labels of earlier batches, oldest first; without a gradient.

    Source: Wang et al., "Cross-Batch Memory for Embedding Learning", 2020.

    Args:
        size: most rows that are kept; `size * hidden * 4` bytes.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._rows: tuple[Tensor, Tensor] | None = None

    def __len__(self) -> int:
        return 0 if self._rows is None else len(self._rows[1])

    @property
    def rows(self) -> tuple[Tensor, Tensor] | None:
        """Embeddings [kept, hidden] and labels [kept], or None before the first batch."""
        return self._rows

    def add(self, vectors: Tensor, target: Tensor) -> None:
        """Remember a batch: embeddings [rows, hidden] and labels [rows]; forgets the oldest beyond `size`."""
        if not self.size:
            return
        vectors, target = vectors.detach().float(), target.detach()
        if self._rows is not None:
            vectors = torch.cat([self._rows[0].to(vectors.device), vectors])
            target = torch.cat([self._rows[1].to(target.device), target])
        self._rows = vectors[-self.size :], target[-self.size :]
