"""One training run: a snapshot and a configuration in, a trained network and its figures out."""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback, EarlyStopping, ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.loggers import Logger

from data.encoding import InputEncoder
from data.example import Example
from data.ngrams import NgramView
from data.split import Snapshot
from data.taxonomy import LabelMap
from data.text import normalise
from training.averaging import averaging
from training.backbone import freeze_layers, load_backbone
from training.batches import Collator, make_loader
from training.config import TrainingConfig
from training.distillation import read_soft_labels
from training.linear_heads import embeddings, set_heads
from training.module import ChatModule, class_weights
from training.network import ChatNetwork
from training.precision import pick_precision
from training.processes import fitted_state, trainer_settings
from training.streaming import LEXICAL_ROWS, VALIDATION_ROWS, thinned

__all__ = ["TrainResult", "build_network", "train", "training_texts"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainResult:
    """A trained network with all that belongs to its input and output."""

    network: ChatNetwork
    encoder: InputEncoder
    ngrams: NgramView | None
    label_maps: dict[str, LabelMap]
    config: TrainingConfig
    metrics: dict[str, float]
    """Validation metrics of the best epoch."""
    epochs: int
    """Done in all, those after the best one and those before a resumption included."""
    resumed: bool


def training_texts(rows: Sequence[Example]) -> Iterable[str]:
    """Normalised messages and turns of training rows: what the vocabulary must know."""
    for row in rows:
        yield normalise(row.text)
        yield from (normalise(turn.text) for turn in row.context)


def build_network(
    config: TrainingConfig, texts: Iterable[str], label_maps: dict[str, LabelMap]
) -> tuple[ChatNetwork, InputEncoder]:
    """A fresh network and its input encoder; `texts` are normalised training texts."""
    settings = config.backbone
    backbone = load_backbone(
        settings.name, texts, settings.margin, settings.layers, config.train.encoder_dropout
    )
    freeze_layers(backbone.encoder, settings.frozen_layers)
    positions = backbone.encoder.config.max_position_embeddings
    encoder = InputEncoder(backbone.tokenizer, config.input, backbone.begin, backbone.end, backbone.pad)
    if encoder.max_length > positions:
        raise ValueError(
            f"input: message_tokens + context_tokens is {encoder.max_length}, but backbone "
            f"{settings.name} has {positions} positions"
        )
    network = ChatNetwork(
        backbone.encoder,
        {task: len(labels.labels) for task, labels in label_maps.items()},
        config.train.dropout,
        config.recipe.pooling,
    )
    return network, encoder


def train(
    config: TrainingConfig,
    snapshot: Snapshot,
    checkpoints: Path,
    logger: Logger | None = None,
    callbacks: Sequence[Callback] = (),
    progress: bool = True,
) -> TrainResult:
    """Train on `snapshot.splits["train"]`, stop early on `val`, give back the best epoch's network.

    Args:
        checkpoints: folder of this run's checkpoints. Where it holds `last.ckpt` of the same
            configuration and snapshot the run goes on from there; it is removed at the end.
        logger: any Lightning logger; None logs nowhere.
        callbacks: further Lightning callbacks (pruning, tests).
        progress: show a progress bar.

    Raises:
        ValueError: the input is longer than the backbone allows, or a file that the recipe names is wrong.
    """
    settings = config.train
    pl.seed_everything(settings.seed, workers=True, verbose=False)
    rows, val_rows = snapshot.splits["train"], thinned(snapshot.splits["val"], VALIDATION_ROWS)
    label_maps = {task: snapshot.taxonomy.label_map(task) for task in config.tasks}
    network, encoder = build_network(config, training_texts(rows), label_maps)
    ngrams = NgramView(settings.ngram_buckets) if settings.ngram_buckets else None
    train_loader = make_loader(
        Collator(rows, encoder, label_maps, settings.mask_numbers, settings.seed),
        settings.batch_size,
        shuffle=True,
        seed=settings.seed,
        reshuffle=config.recipe.reshuffle,
    )
    val_loader = make_loader(Collator(val_rows, encoder, label_maps), settings.batch_size * 2, False, 0)
    weights = {
        task: class_weights(rows, task, labels, settings.class_balance) for task, labels in label_maps.items()
    }
    folder = checkpoints / config.fingerprint(snapshot.id)
    last = folder / "last.ckpt"
    if config.recipe.warm_heads and not last.is_file():
        seen = thinned(rows, LEXICAL_ROWS)
        vectors = embeddings(network, encoder, seen, config, progress)
        set_heads(network, label_maps, dict.fromkeys(label_maps, (seen, vectors)))
    network.train()  # pretrained models arrive in evaluation mode, without dropout
    steps = settings.epochs * len(train_loader)
    soft = read_soft_labels(Path(config.recipe.soft_labels), rows, label_maps) if config.recipe.distil else {}
    module = ChatModule(network, weights, settings, steps, config.recipe, soft)
    saver = ModelCheckpoint(
        dirpath=folder,
        filename="best",
        monitor="val/macro_f1",
        mode="max",
        enable_version_counter=False,
    )
    # Lightning's own `save_last` writes in epochs alone that were better than all before.
    latest = ModelCheckpoint(dirpath=folder, filename=last.stem, enable_version_counter=False)
    stopper = EarlyStopping("val/macro_f1", mode="max", patience=settings.patience)
    bar = [TQDMProgressBar(refresh_rate=10)] if progress else []
    trainer = pl.Trainer(
        max_epochs=settings.epochs,
        accelerator=settings.accelerator,
        **trainer_settings(settings.devices),
        precision=pick_precision(settings.precision, settings.accelerator),
        callbacks=[saver, latest, stopper, *averaging(config.recipe, steps), *bar, *callbacks],
        logger=logger or False,
        enable_model_summary=False,
        enable_progress_bar=progress,
        gradient_clip_val=1.0,
        num_sanity_val_steps=0,
        log_every_n_steps=min(20, len(train_loader)),
    )
    resume = last if last.is_file() else None
    if resume:
        _log.info("resuming from %s", resume)
    with warnings.catch_warnings():
        # Rows are a list in memory: worker processes would only copy it.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*Checkpoint directory .* exists.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        trainer.fit(module, train_loader, val_loader, ckpt_path=resume, weights_only=False)
    best = torch.load(saver.best_model_path, map_location="cpu", weights_only=False)
    module.load_state_dict(best["state_dict"])
    score, epochs = float(saver.best_model_score or 0.0), int(trainer.current_epoch)
    if settings.devices > 1:
        score, epochs = fitted_state(last)
    metrics = {"val/macro_f1": score}
    shutil.rmtree(folder, ignore_errors=True)
    return TrainResult(
        network.eval().float().cpu(),
        encoder,
        ngrams,
        label_maps,
        config,
        metrics,
        epochs,
        resumed=resume is not None,
    )
