"""From a message and its context to the token ids that an encoder reads, in training and serving.

Layout of one input, the message first so that a cut never loses it, then the latest turns backwards:

    <s> message </s> [客服] latest turn </s> [客户] the turn before </s> …

Token type 0 is the message, 1 the context. The reader belongs to a model: it is saved in the exported
folder (`tokenizer.json`, `input.json`) and loaded from there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from data.example import Turn
from data.files import write_json
from data.text import normalise

__all__ = ["ROLE_TOKENS", "Batch", "EncodedInput", "InputEncoder", "InputLimits", "Message"]

ROLE_TOKENS = {"customer": "[客户]", "agent": "[客服]"}
Message = tuple[str, Sequence[Turn]]
"""Text and the turns before it, oldest first."""


@dataclass(frozen=True, slots=True)
class InputLimits:
    """How much of a message and of its past an encoder reads, in tokens."""

    message_tokens: int = 128
    """Longer messages keep their first and last half: the wish often stands at the end."""
    context_turns: int = 6
    turn_tokens: int = 32
    context_tokens: int = 96
    """All context turns together; the oldest go first."""

    def __post_init__(self) -> None:
        if self.message_tokens < 4 or self.turn_tokens < 2:
            raise ValueError("input: message_tokens must be at least 4 and turn_tokens at least 2")
        if self.context_turns < 0 or self.context_tokens < 0:
            raise ValueError("input: context_turns and context_tokens must not be negative")


@dataclass(frozen=True, slots=True)
class EncodedInput:
    """Token ids of one input and, for each, 0 (message) or 1 (context)."""

    ids: list[int]
    types: list[int]


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded int64 arrays [batch, length], named as the encoder's inputs are."""

    input_ids: NDArray[np.int64]
    attention_mask: NDArray[np.int64]
    token_type_ids: NDArray[np.int64]

    def inputs(self) -> dict[str, NDArray[np.int64]]:
        """The arrays by input name."""
        return {
            "input_ids": self.input_ids,
            "attention_mask": self.attention_mask,
            "token_type_ids": self.token_type_ids,
        }


class InputEncoder:
    """Turns messages into token ids; safe to share between threads.

    Args:
        tokenizer: knows the special tokens below and `ROLE_TOKENS`; adds none by itself.
        limits: lengths in tokens.
        begin, end, pad: special tokens of the encoder ("<s>", "[CLS]", …).

    Raises:
        ValueError: a special token is not in the tokenizer's vocabulary.
    """

    def __init__(self, tokenizer: Tokenizer, limits: InputLimits, begin: str, end: str, pad: str) -> None:
        self.tokenizer, self.limits = tokenizer, limits
        self.specials = {"begin": begin, "end": end, "pad": pad}
        self._ids: dict[str, int] = {}
        for name, token in {**self.specials, **ROLE_TOKENS}.items():
            identity = tokenizer.token_to_id(token)
            if identity is None:
                raise ValueError(f"tokenizer: special token {token!r} is not in its vocabulary")
            self._ids[name] = identity
        tokenizer.no_padding()
        tokenizer.no_truncation()

    @property
    def pad_id(self) -> int:
        """Token id of the padding."""
        return self._ids["pad"]

    @property
    def max_length(self) -> int:
        """Longest input in tokens that `encode` makes."""
        return self.limits.message_tokens + self.limits.context_tokens

    def encode(self, messages: Sequence[Message]) -> list[EncodedInput]:
        """Normalise and encode messages, in order."""
        limits = self.limits
        texts: list[str] = []
        for text, context in messages:
            texts.append(normalise(text))
            texts.extend(normalise(turn.text) for turn in self._recent(context))
        pieces = [item.ids for item in self.tokenizer.encode_batch(texts, add_special_tokens=False)]
        encoded, position = [], 0
        for _, context in messages:
            recent = self._recent(context)
            body = _keep_ends(pieces[position], limits.message_tokens - 2)
            ids = [self._ids["begin"], *body, self._ids["end"]]
            message_length = len(ids)
            room = limits.context_tokens
            turns = zip(recent, pieces[position + 1 : position + 1 + len(recent)], strict=True)
            for turn, turn_ids in reversed(list(turns)):
                kept = _keep_ends(turn_ids, min(limits.turn_tokens, room - 2))
                if room < 4 or not kept:
                    break
                ids += [self._ids[turn.role], *kept, self._ids["end"]]
                room -= len(kept) + 2
            position += 1 + len(recent)
            encoded.append(EncodedInput(ids, [0] * message_length + [1] * (len(ids) - message_length)))
        return encoded

    def _recent(self, context: Sequence[Turn]) -> Sequence[Turn]:
        return context[-self.limits.context_turns :] if self.limits.context_turns else ()

    def pad(self, encoded: Sequence[EncodedInput]) -> Batch:
        """Pad inputs to the longest of them."""
        shape = (len(encoded), max((len(item.ids) for item in encoded), default=0))
        batch = Batch(
            np.full(shape, self.pad_id, np.int64), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        )
        for row, item in enumerate(encoded):
            length = len(item.ids)
            batch.input_ids[row, :length] = item.ids
            batch.attention_mask[row, :length] = 1
            batch.token_type_ids[row, :length] = item.types
        return batch

    def save(self, folder: Path) -> None:
        """Write `tokenizer.json` and `input.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.tokenizer.save(str(folder / "tokenizer.json"))
        write_json(folder / "input.json", {"limits": asdict(self.limits), **self.specials})

    @classmethod
    def load(cls, folder: Path) -> InputEncoder:
        """Read what `save` wrote."""
        settings = json.loads((folder / "input.json").read_text(encoding="utf-8"))
        limits = InputLimits(**settings.pop("limits"))
        return cls(Tokenizer.from_file(str(folder / "tokenizer.json")), limits, **settings)


def _keep_ends(ids: list[int], length: int) -> list[int]:
    if length <= 0:
        return []
    if len(ids) <= length:
        return ids
    head = (length + 1) // 2
    return ids[:head] + ids[len(ids) - (length - head) :]
