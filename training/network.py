"""The network: one encoder, one linear head for each task, and optionally a character n-gram view."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from training.recipe import POOLINGS

__all__ = ["ChatNetwork"]


class ChatNetwork(nn.Module):
    """Logits of every task for a batch of messages.

    The message's tokens (type 0) are averaged after they have attended to the context; context tokens
    (type 1) inform but do not dilute. The n-gram view is a linear model on hashed character n-grams,
    fitted apart (`training.lexical`) and joined by `attach_lexical`.

    Args:
        encoder: gives `last_hidden_state` [batch, length, hidden].
        tasks: task name to number of labels.
        dropout: before the heads.
        pooling: one of `training.recipe.POOLINGS`; `mean` is what the first paragraph says.

    Raises:
        ValueError: the pooling is unknown.
    """

    def __init__(
        self,
        encoder: PreTrainedModel,
        tasks: dict[str, int],
        dropout: float = 0.1,
        pooling: str = "mean",
    ) -> None:
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"pooling: {pooling!r} is not one of {POOLINGS}")
        self.pooling = pooling
        self.encoder = encoder
        self.tasks = dict(tasks)
        hidden = encoder.config.hidden_size * (2 if pooling == "mean_max" else 1)
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleDict({task: nn.Linear(hidden, size) for task, size in tasks.items()})
        # From zero: all tokens weigh the same at first.
        self.pool_query = nn.Parameter(torch.zeros(hidden)) if pooling == "attention" else None
        self.ngram_rows: Tensor | None = None
        self.ngram_bias: Tensor | None = None
        self.ngram_context_scale: Tensor | None = None

    def attach_lexical(self, rows: Tensor, bias: Tensor, context_scale: Tensor) -> None:
        """Join the n-gram view, already weighted against the encoder's logits.

        Args:
            rows: float32 [buckets, labels of all tasks + 1]; the last column is the squared inverse
                document frequency; row 0 (padding) is zero.
            bias: float32 [labels of all tasks].
            context_scale: float32 [labels of all tasks]; what the view weighs where there is context, as
                a multiple of its weight elsewhere.
        """
        size = sum(self.tasks.values())
        if rows.ndim != 2 or rows.shape[1] != size + 1 or not bias.shape == context_scale.shape == (size,):
            raise ValueError(f"rows: expected [buckets, {size + 1}], got {tuple(rows.shape)}")
        del self.ngram_rows, self.ngram_bias, self.ngram_context_scale
        self.register_buffer("ngram_rows", rows)
        self.register_buffer("ngram_bias", bias)
        self.register_buffer("ngram_context_scale", context_scale)

    def embed(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """What the heads read, [batch, hidden], or [batch, 2 * hidden] of pooling `mean_max`.

        The arguments are those of `with_embedding`.
        """
        types = token_type_ids.clamp(max=getattr(self.encoder.config, "type_vocab_size", 1) - 1)
        hidden = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=types
        ).last_hidden_state
        message = (attention_mask * (1 - token_type_ids)).unsqueeze(-1).to(hidden.dtype)
        if self.pool_query is not None:
            scores = (hidden * self.pool_query).sum(-1, keepdim=True).float() - 1e4 * (1 - message.float())
            return (hidden * scores.softmax(1).to(hidden.dtype)).sum(1)
        pooled = (hidden * message).sum(1) / message.sum(1).clamp(min=1.0)
        if self.pooling == "mean_max":
            pooled = torch.cat([pooled, (hidden - 1e4 * (1 - message)).amax(1)], dim=1)
        return pooled

    def classify(self, pooled: Tensor) -> list[Tensor]:
        """The heads' logits [batch, labels] of each task; with a dropout mask of its own in training."""
        dropped = self.dropout(pooled)
        return [self.heads[task](dropped).float() for task in self.tasks]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor,
        ngram_ids: Tensor | None = None,
        context_ngram_ids: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Logits [batch, labels] of each task, in the order of `tasks`.

        The arguments are those of `with_embedding`.
        """
        answers = self.with_embedding(input_ids, attention_mask, token_type_ids, ngram_ids, context_ngram_ids)
        return answers[:-1]

    def with_embedding(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        token_type_ids: Tensor,
        ngram_ids: Tensor | None = None,
        context_ngram_ids: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Logits [batch, labels] of each task, and last what the heads read: the message's
        embedding, float32 [batch, hidden].

        Args:
            input_ids, attention_mask, token_type_ids: int64 [batch, length].
            ngram_ids, context_ngram_ids: int64 [batch, n-grams] of the message and of the turns before
                it, 0 is padding; needed if the network has that view.
        """
        pooled = self.embed(input_ids, attention_mask, token_type_ids)
        logits = self.classify(pooled)
        if self.ngram_rows is not None:
            if ngram_ids is None or context_ngram_ids is None:
                raise ValueError("ngram_ids: this network has an n-gram view and needs both groups of them")
            assert self.ngram_bias is not None
            assert self.ngram_context_scale is not None
            lexical = self.ngram_bias
            for ids in (ngram_ids, context_ngram_ids):
                summed = nn.functional.embedding(ids, self.ngram_rows).float().sum(1)
                lexical = lexical + summed[:, :-1] / summed[:, -1:].clamp(min=1e-6).sqrt()
            in_context = context_ngram_ids.amax(1, keepdim=True) > 0
            lexical = torch.where(in_context, lexical * self.ngram_context_scale, lexical)
            parts = lexical.split(list(self.tasks.values()), dim=1)
            logits = [own + part for own, part in zip(logits, parts, strict=True)]
        return (*logits, pooled.float())
