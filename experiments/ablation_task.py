"""One task of an ablation: its rows in three parts, and its trainings with all that they need."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.files import sha256_file, write_json
from data.sources import CORPUS, read_corpus
from data.sources.labels import label_set
from data.sources.named import read_rows
from data.sources.rows import Rows, rows_of
from data.taxonomy import TASKS
from experiments.ablation_options import PLAIN, TOGETHER, Option, changed
from experiments.bench_learn import Learnt, bench_config, learn
from experiments.bench_parts import choose_few, hold_out, keep_spread_labels
from training.adaptation import adapt
from training.adaptation_module import AdaptConfig
from training.config import TrainingConfig
from training.distillation import read_soft_labels, write_soft_labels
from training.metrics import macro_f1
from training.train import training_texts
from training.unlabelled import chat_texts, read_unlabelled

__all__ = ["Parts", "Plan", "Task", "read_task"]

_SPLIT_SEED = 20


@dataclass(frozen=True)
class Plan:
    """What is tried, on what, how often."""

    tasks: tuple[str, ...]
    """`corpus:category`, `corpus:emotion`, or a source as `data.sources.named.read_rows` takes it."""
    options: tuple[str, ...] = ()
    """Of `experiments.ablation_options`; empty for all that can be tried."""
    together: tuple[str, ...] = TOGETHER
    """What the row `all` joins."""
    seeds: tuple[int, ...] = (1, 2, 3)
    rows: int | None = None
    """Most labelled rows that a task may use, measured ones included; None for all."""
    epochs: int | None = None
    """None for as many as `experiments.bench_learn.epochs_for` says."""
    unlabelled: Path | None = None
    """Chats for self-training and adapting; None leaves out the options that need them."""
    adapt_epochs: int = 3
    shots: int | None = None
    """Only so many rows of each label to learn from; None for all."""

    def __post_init__(self) -> None:
        if not self.tasks or not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError("ablation: name at least one task, and seeds that differ")
        if self.rows is not None and self.rows < 20:
            raise ValueError(f"ablation: rows: must be at least 20, got {self.rows}")
        if self.shots is not None and self.shots < 1:
            raise ValueError(f"ablation: shots: must be at least 1, got {self.shots}")


@dataclass(frozen=True)
class Parts:
    """The rows of one task: to learn from, to choose the epoch on, and to measure on."""

    train: Rows
    val: Rows
    held: Rows

    def fingerprint(self) -> str:
        """Of all rows and their parts."""
        return "".join(part.fingerprint() for part in (self.train, self.val, self.held))


def read_task(source: str, rows: int | None = None, shots: int | None = None) -> Parts:
    """A task's training rows in three parts; labels of a single group are left out.

    With `shots` so many rows of each label are learnt from, and two more of each choose the epoch.

    Raises:
        ValueError: the source is unknown or too small.
        FileNotFoundError: public sets are not here.
    """
    kind, _, label = source.partition(":")
    if kind == "corpus":
        if label not in TASKS:
            raise ValueError(f"{source}: expected one of {', '.join(f'corpus:{task}' for task in TASKS)}")
        found = rows_of(
            ((row.text, getattr(row, label), row.conversation, [asdict(turn) for turn in row.context])
             for row in read_corpus(CORPUS)), source,
        )  # fmt: skip
    else:
        found = read_rows(source)
    if rows is not None and rows < len(found):
        found = hold_out(found, rows / len(found), _SPLIT_SEED)[1]
    kept, held = hold_out(keep_spread_labels(found), 0.25, _SPLIT_SEED, most=2000)
    learnt = choose_few(kept, shots, _SPLIT_SEED) if shots else hold_out(kept, 0.1, _SPLIT_SEED, most=1000)
    return Parts(*learnt, held)


class Task:
    """One task's trainings, each kept in a file of its own.

    Raises:
        ValueError: the source is unknown or too small.
    """

    def __init__(
        self, name: str, plan: Plan, options: Mapping[str, Option], base: TrainingConfig, folder: Path
    ) -> None:
        self.name, self.plan, self.options = name, plan, options
        self.parts = read_task(name, plan.rows, plan.shots)
        self.folder = folder / name.replace(":", "-").replace("/", "-")
        self.config = bench_config("", len(self.parts.train), epochs=plan.epochs, base=base)
        self.rows = self.parts.fingerprint()
        self.chats = sha256_file(plan.unlabelled)[:12] if plan.unlabelled else ""
        self.teaching = any(option.needs_teachers for option in options.values())

    def run(self, option: str, seed: int) -> dict[str, Any]:
        """The figures of one training; from its file, if the same one was done before."""
        path = self.folder / option / f"seed-{seed}.json"
        config, adapting = self._config(option, seed)
        settings = json.dumps([config.flat(), self.rows, self.chats], sort_keys=True, default=list)
        identity = hashlib.sha256(settings.encode()).hexdigest()[:16]
        soft = self._soft(seed) if option == PLAIN and self.teaching else None
        if path.is_file() and (soft is None or soft.is_file()):
            done: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if done["identity"] == identity:
                return done
        began = time.monotonic()
        learnt = learn(self.parts.train, self.parts.val, config, self.folder / "checkpoints")
        taken = time.monotonic() - began
        if soft is not None:
            values = learnt.probabilities(self.parts.train)
            train = list(self.parts.train.with_keys(learnt.labels.keys))
            write_soft_labels(soft, train, learnt.result.label_maps, {"category": values})
        found = {
            "task": self.name, "option": option, "seed": seed, "identity": identity,
            **_figures(learnt, self.parts.held), "epochs": learnt.result.epochs,
            # A training that was resumed took longer than this call.
            "seconds": None if learnt.result.resumed else round(taken, 2),
            "adapting_seconds": round(adapting, 2),
        }  # fmt: skip
        write_json(path, found)
        return found

    def _config(self, name: str, seed: int) -> tuple[TrainingConfig, float]:
        """The settings of an option, whose encoder and teachers are made where they are missing, and the
        seconds that adapting the encoder took (whenever it was)."""
        option = self.options[name]
        changes = {**option.changes, "train.seed": seed}
        seconds = 0.0
        if option.changes.get("recipe.self_training"):
            changes["recipe.unlabelled"] = str(self.plan.unlabelled)
        if option.needs_teachers:
            changes["recipe.soft_labels"] = str(self._teachers())
        if option.adapt:
            folder, seconds = self._backbone(option.adapt)
            changes["backbone.name"] = str(folder)
        return changed(self.config, changes), seconds

    def _soft(self, seed: int) -> Path:
        return self.folder / PLAIN / f"seed-{seed}.npz"

    def _teachers(self) -> Path:
        """The mean of the plain models' probabilities of the training rows; all plain runs come first."""
        files = [self._soft(seed) for seed in self.plan.seeds]
        mark = hashlib.sha256("".join(sha256_file(file) for file in files).encode()).hexdigest()[:12]
        path = self.folder / f"teachers-{mark}.npz"
        if not path.is_file():
            labels = label_set(self.parts.train.counts())
            rows = list(self.parts.train.with_keys(labels.keys))
            maps = {"category": labels.taxonomy.label_map("category")}
            found = [read_soft_labels(file, rows, maps)["category"].numpy() for file in files]
            write_soft_labels(path, rows, maps, {"category": np.mean(found, axis=0)})
        return path

    def _backbone(self, way: str) -> tuple[Path, float]:
        assert self.plan.unlabelled is not None
        settings = AdaptConfig(way=way, epochs=self.plan.adapt_epochs, margin=self.config.backbone.margin)
        settings = replace(
            settings, precision=self.config.train.precision, accelerator=self.config.train.accelerator
        )
        start = self.config.backbone.name
        made = json.dumps(
            [asdict(settings), asdict(self.config.backbone), self.chats, self.rows], sort_keys=True
        )
        folder = self.folder / f"backbone-{way}-{hashlib.sha256(made.encode()).hexdigest()[:12]}"
        note = folder / "seconds.json"
        if not note.is_file():
            began = time.monotonic()
            texts = chat_texts(read_unlabelled(self.plan.unlabelled))
            keep = list(training_texts(self.parts.train))
            adapt(start, texts, folder, settings, keep, progress=False, layers=self.config.backbone.layers)
            write_json(note, time.monotonic() - began)
        return folder, float(json.loads(note.read_text(encoding="utf-8")))


def _figures(learnt: Learnt, held: Rows) -> dict[str, Any]:
    number = learnt.labels.ids()
    target: NDArray[np.int64] = np.array([number[label] for label in held.label_array().tolist()], np.int64)
    probabilities = learnt.probabilities(held)
    guess = probabilities.argmax(1)
    own = probabilities[np.arange(len(target)), target].astype(np.float64)
    return {
        "accuracy": float((guess == target).mean()),
        "macro_f1": macro_f1(target, guess, len(number)),
        "log_loss": float(-np.log(own.clip(1e-12)).mean()),
    }
