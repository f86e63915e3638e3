"""Baselines that show what fine-tuning buys, trained by the same call as a real model (`training.fit`).

`tfidf`: the n-gram view alone; the network has no encoder, only what stands in its place.
`probe`: the encoder as pretrained, and a logistic regression on its embeddings.
`few_shot` is in `training.contrastive`.
"""

from __future__ import annotations

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from transformers import BertConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from data.encoding import ROLE_TOKENS, InputEncoder
from data.ngrams import NgramView
from data.split import Snapshot
from training.config import TrainingConfig
from training.linear_heads import embeddings, set_heads
from training.network import ChatNetwork
from training.train import TrainResult, build_network, training_texts

__all__ = ["NoEncoder", "train_probe", "train_tfidf"]


class NoEncoder(PreTrainedModel):
    """Stands where other networks have an encoder, and gives the same number for every token.

    So a model of n-grams alone has the inputs, the outputs and the files of any other.
    """

    config_class = BertConfig

    def __init__(self, vocabulary: int, positions: int) -> None:
        super().__init__(
            BertConfig(
                vocab_size=vocabulary,
                hidden_size=1,
                num_hidden_layers=0,
                num_attention_heads=1,
                intermediate_size=1,
                max_position_embeddings=positions,
            )
        )

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> BaseModelOutput:
        """`last_hidden_state`: ones, float32 [batch, length, 1]."""
        return BaseModelOutput(last_hidden_state=torch.ones_like(input_ids, dtype=torch.float32)[..., None])


def train_tfidf(config: TrainingConfig, snapshot: Snapshot) -> TrainResult:
    """A network without an encoder; the n-gram view, which is all of the model, is joined later as ever.

    Every character is one token, so that batches of similar length stay that.
    """
    special = ["<pad>", "<s>", "</s>", "<unk>", *ROLE_TOKENS.values()]
    vocabulary = {token: index for index, token in enumerate(special)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    encoder = InputEncoder(tokenizer, config.input, "<s>", "</s>", "<pad>")
    label_maps = {task: snapshot.taxonomy.label_map(task) for task in config.tasks}
    sizes = {task: len(labels.labels) for task, labels in label_maps.items()}
    network = ChatNetwork(NoEncoder(len(special), encoder.max_length), sizes, dropout=0.0)
    for head in network.heads.values():
        assert isinstance(head, nn.Linear)
        nn.init.zeros_(head.weight)
        nn.init.zeros_(head.bias)
    ngrams = NgramView(config.train.ngram_buckets)
    return TrainResult(network.eval(), encoder, ngrams, label_maps, config, {}, 0, resumed=False)


def train_probe(config: TrainingConfig, snapshot: Snapshot, progress: bool = True) -> TrainResult:
    """The encoder as pretrained; the heads are logistic regressions on all training rows.

    Source of the idea: Alain and Bengio, "Understanding intermediate layers using linear classifier
    probes", 2016.
    """
    rows = snapshot.splits["train"]
    label_maps = {task: snapshot.taxonomy.label_map(task) for task in config.tasks}
    network, encoder = build_network(config, training_texts(rows), label_maps)
    vectors = embeddings(network, encoder, rows, config, progress)
    set_heads(network, label_maps, dict.fromkeys(label_maps, (rows, vectors)))
    return TrainResult(network, encoder, None, label_maps, config, {}, 0, resumed=False)
