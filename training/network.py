"""The network: one encoder, one linear head for each task, and optionally a character n-gram view."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

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
    """

    def __init__(
        self,
        encoder: PreTrainedModel,
        tasks: dict[str, int],
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.tasks = dict(tasks)
        hidden = encoder.config.hidden_size
        self.dropout = nn.Dropout(dropout)
        self.heads = nn.ModuleDict({task: nn.Linear(hidden, size) for task, size in tasks.items()})
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
        types = token_type_ids.clamp(max=getattr(self.encoder.config, "type_vocab_size", 1) - 1)
        hidden = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=types
        ).last_hidden_state
        message = (attention_mask * (1 - token_type_ids)).unsqueeze(-1).to(hidden.dtype)
        pooled = (hidden * message).sum(1) / message.sum(1).clamp(min=1.0)
        dropped = self.dropout(pooled)
        logits = [self.heads[task](dropped).float() for task in self.tasks]
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
