"""Baselines that show what fine-tuning buys, trained by the same call as a real model (`training.fit`).

`tfidf`: the n-gram view alone; the network has no encoder, only what stands in its place.
`probe`: the encoder as pretrained, and a logistic regression on its embeddings.
`few_shot` is in `training.contrastive`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from torch import Tensor, nn
from tqdm import tqdm
from transformers import BertConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from data.encoding import ROLE_TOKENS, InputEncoder
from data.example import Example
from data.ngrams import NgramView
from data.split import Snapshot
from data.taxonomy import LabelMap
from training.config import TrainingConfig
from training.network import ChatNetwork
from training.train import TrainResult, build_network, pick_precision, training_texts

__all__ = ["NoEncoder", "embeddings", "fit_head", "set_heads", "train_probe", "train_tfidf"]

Floats = NDArray[np.floating[Any]]
_BATCH = 32
_ABSENT = -20.0  # logit of a label that no row has: below every real one
_ITERATIONS = 200


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


def embeddings(
    network: ChatNetwork,
    encoder: InputEncoder,
    rows: Sequence[Example],
    config: TrainingConfig,
    progress: bool = False,
) -> NDArray[np.float32]:
    """What the heads read of each row, float32 [rows, hidden]; of the network as it stands, which ends up
    on the CPU and in evaluation mode."""
    on_gpu = torch.cuda.is_available() and config.train.accelerator != "cpu"
    device = "cuda" if on_gpu else "cpu"
    half = pick_precision(config.train.precision, device) == "bf16-mixed"
    encoded = encoder.encode([(row.text, row.context) for row in rows])
    order = sorted(range(len(encoded)), key=lambda row: len(encoded[row].ids))
    network = network.eval().to(device)
    found = np.zeros((len(encoded), network.encoder.config.hidden_size), np.float32)
    bar = tqdm(total=len(order), unit="message", desc="embeddings", disable=not progress)
    with bar, torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=half):
        for start in range(0, len(order), _BATCH):
            chosen = order[start : start + _BATCH]
            inputs = encoder.pad([encoded[row] for row in chosen]).inputs()
            tensors = {name: torch.from_numpy(value).to(device) for name, value in inputs.items()}
            found[chosen] = network.with_embedding(**tensors)[-1].cpu().numpy()
            bar.update(len(chosen))
    network.cpu()
    return found


def set_heads(
    network: ChatNetwork,
    label_maps: dict[str, LabelMap],
    learnt: dict[str, tuple[Sequence[Example], Floats]],
) -> None:
    """Put a logistic regression into the head of each task.

    Args:
        learnt: by task its training rows and their embeddings [rows, hidden].
    """
    for task, (rows, vectors) in learnt.items():
        labels = label_maps[task]
        target = np.array([labels.label2id[getattr(row, task)] for row in rows])
        weight, bias = fit_head(vectors, target, len(labels.labels))
        head = network.heads[task]
        assert isinstance(head, nn.Linear)
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(weight))
            head.bias.copy_(torch.from_numpy(bias))


def fit_head(
    vectors: Floats, target: NDArray[np.integer[Any]], size: int, strength: float = 1.0
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A multinomial logistic regression on standardised embeddings, as one linear layer.

    Args:
        vectors: [rows, hidden].
        target: label indices [rows]; at least two labels occur.
        size: number of labels.
        strength: inverse regularisation (C).

    Returns:
        Weight [size, hidden] and bias [size]; the bias of a label that no row has is very low.
    """
    mean, scale = vectors.mean(0), np.maximum(vectors.std(0), 1e-6)
    with warnings.catch_warnings():
        # The last digits of a regularised optimum change no answer.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = LogisticRegression(C=strength, max_iter=_ITERATIONS, tol=1e-3)
        model.fit(((vectors - mean) / scale).astype(np.float32), target)
    coefficients, intercept = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # two labels share one hyperplane
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercept = np.concatenate([-intercept, intercept]) / 2
    coefficients = coefficients / scale
    weight = np.zeros((size, vectors.shape[1]), np.float32)
    bias = np.full(size, _ABSENT, np.float32)
    weight[model.classes_] = coefficients
    bias[model.classes_] = intercept - coefficients @ mean
    return weight, bias
