"""The cells of the benchmark table: one contender on one part of one task with one seed, kept as it is done.

A cell's file holds numbers only (which label was true, which was answered), no text of any set.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from data.files import write_json
from data.sources.rows import Rows
from experiments.bench_learn import CHECKPOINTS, bench_config, learn
from experiments.bench_oos import measure_oos
from experiments.bench_report import Answers, answers, figures
from experiments.bench_run import Part
from experiments.bench_tasks import Task, cut, task_parts
from experiments.small_training import small_config
from training.config import TrainingConfig

__all__ = ["CONTENDERS", "Plan", "cell_answers", "measure_cell", "task_cells"]

CONTENDERS = ("tfidf", "probe", "shared")
"""Entries of `baselines` and `models`; the last one is ours."""
_FORMAT = 1
_QUICK_LAYERS, _QUICK_EPOCHS, _QUICK_TOKENS, _QUICK_OOS = 2, 2, 24, 80


@dataclass(frozen=True)
class Plan:
    """How cells are measured."""

    folder: Path = Path(".kefu/bench")
    """Where their files lie."""
    quick: bool = False
    """Cut-down sets and encoder, one fold: shows that the way works, says nothing about figures."""
    seeds: Sequence[int] = (7,)
    """Of training, and with few shots of their choice. What learns without chance gets the first only."""
    params: Path = Path("params.yaml")
    base: TrainingConfig | None = None
    """Settings of the backbone and of training instead of those in `params`."""
    fresh: bool = False
    """Measure cells anew that are there."""
    progress: bool = True
    checkpoints: Path = CHECKPOINTS

    @property
    def place(self) -> Path:
        """Where the cells of this kind of table lie."""
        return self.folder / ("quick" if self.quick else "full")

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: expected at least one, each once, got {list(self.seeds)}")


def task_cells(task: Task, plan: Plan) -> list[dict[str, Any]]:
    """Every cell of a task: measured now, or read where it was measured with the same rows and settings.

    Raises:
        FileNotFoundError: the set is not here.
    """
    found = []
    for place, seed in enumerate(plan.seeds[:1] if plan.quick else plan.seeds):
        for part, oos in task_parts(task, seed):
            for contender in CONTENDERS:
                # Without chance a further seed would give the same figures again.
                if place == 0 or task.shots or contender == CONTENDERS[-1]:
                    found.append(measure_cell(task, contender, part, oos, seed, plan))
            if plan.quick:
                break
    return found


def _config(contender: str, rows: int, seed: int, plan: Plan) -> TrainingConfig:
    config = bench_config(contender, rows, plan.params, seed)
    if plan.base is not None:
        backbone, train = plan.base.backbone, plan.base.train
        train = replace(train, ngram_buckets=config.train.ngram_buckets and train.ngram_buckets)
        config = bench_config(
            contender, rows, seed=seed, base=replace(config, backbone=backbone, train=train)
        )
    return small_config(config, _QUICK_LAYERS, _QUICK_EPOCHS, _QUICK_TOKENS) if plan.quick else config


def measure_cell(
    task: Task, contender: str, part: Part, oos: Rows | None, seed: int, plan: Plan
) -> dict[str, Any]:
    """One cell: `accuracy`, `macro_f1`, `n`, `seconds`, `rows`, and by test row truth, answer, group."""
    part = cut(part) if plan.quick else part
    if oos is not None and plan.quick:
        oos = oos[:_QUICK_OOS]
    config = _config(contender, len(part.train), seed, plan)
    data = [rows.fingerprint() for rows in (part.train, part.val, part.test, *([] if oos is None else [oos]))]
    key = hashlib.sha256(json.dumps([_FORMAT, config.fingerprint(""), *data]).encode()).hexdigest()[:12]
    path = plan.place / task.name / f"{contender}-seed-{seed}-{part.name}.json"
    if not plan.fresh and path.is_file():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept.get("key") == key:
            return dict(kept)
    learnt = learn(part.train, part.val, config, plan.checkpoints, None, plan.progress)
    guess, score = learnt.answer(part.test)
    found = answers(guess, score, learnt.labels.labels, part.test.label_array().tolist())
    whole = figures(found)
    cell: dict[str, Any] = {
        "key": key,
        "task": task.name,
        "contender": contender,
        "seed": seed,
        "part": part.name,
        "test": data[2],
        **{name: whole[name] for name in ("accuracy", "macro_f1", "n")},
        "seconds": round(learnt.seconds, 2),
        "rows": {"train": len(part.train), "val": len(part.val), "test": len(part.test)},
        "epochs": learnt.result.epochs,
        "names": list(found.names),
        "target": found.target.tolist(),
        "guess": found.guess.tolist(),
        "group": part.test.groups().tolist(),
    }
    if oos is not None:
        keys = learnt.labels.keys
        train, val = part.train.with_keys(keys), part.val.with_keys(keys)
        test = part.test.with_keys(keys)
        cell["oos"] = measure_oos(learnt, train, val, test, oos)
    write_json(path, cell)
    return cell


def cell_answers(cells: Sequence[dict[str, Any]]) -> tuple[Answers, list[str]]:
    """The answers of one contender's cells with one seed as one, and each row's group.

    Args:
        cells: of different parts (folds), in one order for all contenders.
    """
    names = tuple(sorted({name for cell in cells for name in cell["names"]}))
    number = {name: index for index, name in enumerate(names)}
    target, guess, groups = [], [], []
    for cell in cells:
        own = np.array([number[name] for name in cell["names"]])
        target.append(own[cell["target"]])
        guess.append(own[cell["guess"]])
        groups += [f"{cell['part']}-{group}" for group in cell["group"]]
    whole = np.concatenate(target), np.concatenate(guess)
    return Answers(names, *whole, np.ones(len(groups))), groups
