"""More pretraining of an encoder on a shop's unlabelled chats, before any label is seen.

The result is a folder that `backbone.name` may name. Two ways, each with its source:

masked_words  guess 15 % of the words from the rest: Devlin et al., "BERT", 2019; on one domain alone:
              Gururangan et al., "Don't Stop Pretraining", 2020. The built-in encoder comes without the head
              that guesses, so a new one is learnt along and thrown away.
contrastive   two readings of one text under dropout are alike, those of others are not: Gao et al., "SimCSE:
              Simple Contrastive Learning of Sentence Embeddings", 2021. Every text is read twice.
"""

from __future__ import annotations

import argparse
import json
import shutil
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import TQDMProgressBar
from tokenizers import AddedToken, Tokenizer
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast

from data.files import sha256_file, write_json
from data.split import load_snapshot
from data.text import normalise
from training.adaptation_module import WAYS, AdaptConfig, AdaptingModule, TextBatches
from training.backbone import BUILTIN, Backbone, load_backbone
from training.precision import pick_precision
from training.train import training_texts
from training.unlabelled import chat_texts, read_unlabelled

__all__ = ["adapt", "main"]

MASK = "[MASK]"


def adapt(
    name: str,
    texts: Sequence[str],
    output: Path,
    config: AdaptConfig | None = None,
    keep: Sequence[str] = (),
    progress: bool = True,
    layers: int | None = None,
) -> dict[str, Any]:
    """Adapt an encoder to texts and write it as a backbone folder, complete or not at all.

    Time is that of as many epochs of training on as many texts (contrastive twice that); memory that of
    training, and for masked words the product of a batch's hidden tokens with the vocabulary.

    Args:
        name: as `backbone.name`.
        texts: unlabelled, not yet normalised.
        output: the folder; one from before is replaced.
        layers: as `backbone.layers`.
        keep: further normalised texts whose words a cut vocabulary must keep: those of later training rows.

    Returns:
        What `adaptation.json` in the folder says: settings, texts, mean loss of the first and last tenth.

    Raises:
        ValueError: fewer texts than a batch, or the encoder reads fewer tokens than `max_tokens`.
    """
    config = config or AdaptConfig()
    pl.seed_everything(config.seed, workers=True, verbose=False)
    rows = list(dict.fromkeys(filter(None, (normalise(text) for text in texts))))
    if len(rows) < config.batch_size:
        raise ValueError(
            f"adapt: {len(rows)} different texts, but a batch has {config.batch_size}; give more"
        )
    backbone = load_backbone(name, [*rows, *keep], config.margin, layers, config.dropout)
    positions = int(backbone.encoder.config.max_position_embeddings)
    if config.max_tokens > positions:
        raise ValueError(f"adapt.max_tokens: {config.max_tokens}, but {name} has {positions} positions")
    tokenizer, mask = backbone.tokenizer, _with_mask(backbone)
    begin, end, pad = (_id(tokenizer, token) for token in (backbone.begin, backbone.end, backbone.pad))
    bodies = [
        one.ids[: config.max_tokens - 2] for one in tokenizer.encode_batch(rows, add_special_tokens=False)
    ]
    loader = DataLoader(TextBatches([[begin, *ids, end] for ids in bodies], pad, config), batch_size=None)
    steps = config.epochs * len(loader)
    module = AdaptingModule(backbone.encoder.train(), _specials(tokenizer), mask, config, steps)
    trainer = pl.Trainer(
        max_epochs=config.epochs,
        accelerator=config.accelerator,
        devices=1,
        precision=pick_precision(config.precision, config.accelerator),
        callbacks=[TQDMProgressBar(refresh_rate=5)] if progress else [],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=progress,
        gradient_clip_val=1.0,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*LeafSpec.*")
        warnings.filterwarnings("ignore", message=".*IterableDataset.*")
        trainer.fit(module, loader)
    tenth = max(1, len(module.losses) // 10)
    told = {
        "from": name,
        "texts": len(rows),
        "settings": asdict(config),
        "first_loss": float(np.mean(module.losses[:tenth])),
        "last_loss": float(np.mean(module.losses[-tenth:])),
    }
    _write(backbone, output, told)
    return told


def _id(tokenizer: Tokenizer, token: str) -> int:
    found = tokenizer.token_to_id(token)
    if found is None:
        raise ValueError(f"adapt: the tokenizer has no {token!r}")
    return int(found)


def _specials(tokenizer: Tokenizer) -> list[int]:
    return sorted(at for at, token in tokenizer.get_added_tokens_decoder().items() if token.special)


def _with_mask(backbone: Backbone) -> int:
    """The id of the mask token; where there is none it is added, its row the mean of all."""
    tokenizer = backbone.tokenizer
    encoder: Any = backbone.encoder
    for token in (backbone.begin, backbone.end, backbone.pad):
        tokenizer.add_special_tokens([AddedToken(token, normalized=False)])
    if (known := tokenizer.token_to_id(MASK)) is not None:
        return int(known)
    tokenizer.add_special_tokens([AddedToken(MASK, normalized=False)])
    mask = _id(tokenizer, MASK)
    old = encoder.get_input_embeddings().weight.detach().clone()
    encoder.resize_token_embeddings(max(mask + 1, len(old)), mean_resizing=False)
    with torch.no_grad():
        encoder.get_input_embeddings().weight[mask] = old.mean(0)
    return mask


def _write(backbone: Backbone, output: Path, told: dict[str, Any]) -> None:
    beside = output.with_name(f".{output.name}.part")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    backbone.encoder.eval().float().cpu().save_pretrained(beside)
    PreTrainedTokenizerFast(
        tokenizer_object=backbone.tokenizer,
        cls_token=backbone.begin,
        sep_token=backbone.end,
        pad_token=backbone.pad,
        mask_token=MASK,
    ).save_pretrained(beside)
    write_json(beside / "adaptation.json", told)
    shutil.rmtree(output, ignore_errors=True)
    beside.rename(output)


def main(arguments: Sequence[str] | None = None) -> None:
    """Adapt an encoder to unlabelled chats: writes a folder for `backbone.name`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--unlabelled", type=Path, required=True, help="chats as JSONL, also .gz")
    parser.add_argument("--output", type=Path, required=True, help="the backbone folder to write")
    parser.add_argument("--backbone", default=BUILTIN, help="as backbone.name (default: %(default)s)")
    parser.add_argument("--snapshot", type=Path, help="keep the words of its training rows, too")
    for name in ("way", "epochs", "batch_size", "lr", "max_tokens", "dropout", "seed"):
        value = getattr(AdaptConfig(), name)
        choices = WAYS if name == "way" else None
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(
            flag, type=type(value), default=value, choices=choices, help="default: %(default)s"
        )
    options = vars(parser.parse_args(arguments))
    unlabelled, output = options.pop("unlabelled"), options.pop("output")
    backbone, snapshot = options.pop("backbone"), options.pop("snapshot")
    keep = list(training_texts(load_snapshot(snapshot).splits["train"])) if snapshot else []
    told = adapt(backbone, chat_texts(read_unlabelled(unlabelled)), output, AdaptConfig(**options), keep)
    told |= {"unlabelled": unlabelled.name, "unlabelled_sha256": sha256_file(unlabelled)}
    write_json(output / "adaptation.json", told)
    print(json.dumps(told, ensure_ascii=False), f"\nbackbone -> {output}", sep="")


if __name__ == "__main__":
    main()
