"""What several tests share: a small corpus, a tiny encoder, and one trained, exported model."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def taxonomy():
    from data.taxonomy import load_taxonomy

    return load_taxonomy()


@pytest.fixture(scope="session")
def corpus():
    """The embedded corpus."""
    from data.sources import CORPUS, read_corpus

    return read_corpus(CORPUS)


@pytest.fixture(scope="session")
def few(corpus):
    """Some hundred examples of a handful of categories, with conversations."""
    wanted = {"size_recommendation", "refund_progress", "invoice_request", "greeting", "thanks_closing"}
    chosen = [row for row in corpus if row.category in wanted]
    single = [row for row in chosen if row.conversation is None][::4]
    turns = [row for row in chosen if row.context][:80]
    return single[:400] + turns


@pytest.fixture(scope="session")
def snapshot(few, taxonomy):
    from data.split import Snapshot, SplitConfig, split_examples

    return Snapshot("test-snapshot", taxonomy, split_examples(few, SplitConfig(val=0.15, test=0.15)))


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory, few):
    """A local folder with a two-layer BERT and a WordPiece tokenizer over the corpus's characters."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    from data.text import normalise

    folder = tmp_path_factory.mktemp("tiny-bert")
    characters = sorted({c for row in few for c in normalise(row.text) if not c.isspace()})
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *characters]
    words += [f"##{c}" for c in characters]
    model = models.WordPiece({word: n for n, word in enumerate(words)}, unk_token="[UNK]")
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    ).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=256,
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_config(tiny_bert):
    from training.config import BackboneConfig, TrainConfig, TrainingConfig

    return TrainingConfig(
        tasks=("category", "emotion"),
        backbone=BackboneConfig(name=str(tiny_bert)),
        train=TrainConfig(
            epochs=2, batch_size=32, encoder_lr=1e-3, ngram_buckets=4096, precision="32", accelerator="cpu"
        ),
    )


@pytest.fixture(scope="session")
def fitted(tiny_config, snapshot, tmp_path_factory):
    """A tiny trained network with its calibration."""
    from training.fit import fit_model

    return fit_model(tiny_config, snapshot, tmp_path_factory.mktemp("checkpoints"), progress=False)


@pytest.fixture(scope="session")
def exported(fitted, snapshot, tmp_path_factory):
    """The exported folder of the tiny model. Tests that damage it copy it first."""
    from training.export import export_model

    result, calibration = fitted
    provenance = {"snapshot": snapshot.id, "run": None, "git_commit": "test"}
    folder = tmp_path_factory.mktemp("exported") / "model"
    return export_model(result, calibration, snapshot.taxonomy, folder, provenance, "card")


@pytest.fixture(scope="session")
def predictor(exported):
    from serving.predictor import ModelSource, load_predictor

    source = ModelSource(exported, "tiny@1")
    return load_predictor(source, source, threads=1)


def script(code, cwd, *arguments, check=True, background=False, **environment):
    """Run Python code in a folder with a tracking store of its own, as another process would."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    environment.pop("MLFLOW_TRACKING_URI", None)
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    if background:
        return subprocess.Popen(
            command, cwd=cwd, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stderr
    return done


TRAIN = """
import sys
from pathlib import Path
from experiments.run import evaluate_stage, train_stage
from training.config import *
config = TrainingConfig(("category", "emotion"), BackboneConfig(sys.argv[1]), train=TrainConfig(
    epochs=1, ngram_buckets=4096, precision="32", accelerator="cpu"))
train_stage("shared", config, Path("snapshot"), Path("models/shared/exported"))
evaluate_stage(Path("models/shared/exported"), Path("snapshot"), Path("models/shared/report"))
"""


PROMOTE = """
import json, sys
from pathlib import Path
from experiments.promote import Approval, promote, show_decisions
from training.config import GateConfig
gate = GateConfig(**{"tolerance": 0.199, **json.loads(sys.argv[1])})
approval = Approval(*sys.argv[2:4])
decisions = promote(Path("models/shared/exported"), Path("models/shared/report"), gate, approval)
for one in decisions:
    print(one.task, one.version, one.promoted, "|".join(one.reasons))
raise SystemExit(not show_decisions(decisions))
"""
"""Promotes in the current folder: settings of the gate as JSON, then reason and reviewer."""


@pytest.fixture(scope="session")
def recorded(tmp_path_factory, snapshot, taxonomy, tiny_bert):
    """A folder with a snapshot, one recorded and evaluated run, and its own tracking store."""
    from data.split import write_snapshot

    folder = tmp_path_factory.mktemp("project")
    write_snapshot(snapshot.splits, taxonomy, folder / "snapshot")
    script(TRAIN, folder, tiny_bert)
    return folder


@pytest.fixture(scope="session")
def label_studio(tmp_path_factory):
    """A real Label Studio server with an empty database: the login of its lead."""
    from labeling.server import running_server

    home = tmp_path_factory.mktemp("label-studio")
    with running_server(home=home, environment=ROOT / ".kefu" / "label_studio") as login:
        yield login
