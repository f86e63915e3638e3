"""Any labelled table through the project's own training: `kefu bench run`.

One model for each part of the work: one for a training and a test table, one for each fold of a table, or one
for each seed (of few-shot choices, or of training). A part that is done is kept; a killed run goes on with
the rest.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.files import write_json
from data.sources.files import Columns
from data.sources.labels import check_training_labels, only_in_test
from data.sources.named import read_rows
from data.sources.rows import Rows
from experiments import tracking
from experiments.bench_learn import CHECKPOINTS, Learnt, bench_config, learn
from experiments.bench_parts import choose_few, deal_groups, hold_out
from experiments.bench_report import (
    Answers,
    answers,
    confusion_picture,
    curve_picture,
    figures,
    write_answers,
)
from experiments.bench_summary import summarise_parts
from training.config import TrainingConfig

__all__ = ["Part", "bench_run", "parts_of", "run_part"]

VAL_SHARE, VAL_MOST = 0.1, 3000
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Part:
    """One model's work."""

    name: str
    """Empty where it is the only one; `fold-1`, `seed-7`."""
    train: Rows
    val: Rows
    test: Rows
    seed: int | None
    """Of training; None is the configured one."""


def bench_run(
    train: Path | str,
    test: Path | str | None = None,
    text_column: str = "text",
    label_column: str = "label",
    context_column: str | None = None,
    output: Path | str = Path("bench"),
    *,
    group_column: str | None = None,
    encoding: str = "utf-8",
    sheet: str | None = None,
    skip_empty: bool = False,
    unseen: str = "count",
    model: str = "shared",
    params: Path = Path("params.yaml"),
    config: TrainingConfig | None = None,
    epochs: int | None = None,
    seeds: Sequence[int] = (),
    folds: int = 0,
    shots: int = 0,
    export: bool = False,
    record: bool = True,
    progress: bool = True,
) -> dict[str, Any]:
    """Train with the defaults on a table, evaluate on another (or in folds), and write figures and pictures.

    Args:
        train, test: sources as `data.sources.named.read_rows` takes them; `test` is left out with `folds`.
        text_column, label_column, context_column, group_column: names in files and hub sets.
        output: folder for `metrics.json`, `predictions.jsonl`, `confusion.png` and `learning_curve.png`;
            with several parts (folds, seeds) each has a folder in it.
        unseen: rows of test whose label no training row has: `count` them as errors, `drop` them, or `error`.
        model: an entry of `models` or `baselines` in `params`.
        config: settings instead of those.
        epochs: instead of `epochs_for`.
        seeds: of training, or with `shots` of the choice of rows and of training; one model each.
        folds: cross-validate `train` by groups (rows of no group stand alone).
        shots: learn from so many rows of each label.
        export: also write the model's folder, as serving reads it.
        record: keep each model as an MLflow run (figures and pictures, no texts).

    Returns:
        What `metrics.json` says: `accuracy`, `macro_f1`, `n`, `classes`, `seconds`, `rows`, ….

    Raises:
        ValueError: names the file, column, label or setting that is wrong, and the mend.
    """
    if unseen not in ("count", "drop", "error"):
        raise ValueError(f"unseen: must be count, drop or error, got {unseen!r}")
    columns = Columns(text_column, label_column, context_column, group_column)
    settings: dict[str, Any] = {"encoding": encoding, "sheet": sheet, "skip_empty": skip_empty}
    first = read_rows(train, columns, **settings)
    second = None if test is None else read_rows(test, columns, **settings)
    check_training_labels(first)
    if second is not None:
        second = _known(first, second, unseen)
    output = Path(output)
    found: dict[str, dict[str, Any]] = {}
    for part in parts_of(first, second, seeds, folds, shots):
        chosen = bench_config(model, len(part.train), params, part.seed, epochs, config)
        folder = output / part.name if part.name else output
        found[part.name] = run_part(part, chosen, folder, model, export, record, progress)
    return found[""] if "" in found else summarise_parts(output, found, pooled=bool(folds))


def _known(train: Rows, test: Rows, unseen: str) -> Rows:
    """The test rows to measure on; says which labels training cannot know."""
    strange = only_in_test(train, test)
    if not strange:
        return test
    count = sum(strange.values())
    names = ", ".join(repr(name) for name in list(strange)[:5]) + (" …" if len(strange) > 5 else "")
    said = f"{test.name}: {count} rows carry a label that no training row has: {names}"
    if unseen == "error":
        raise ValueError(f"{said}; add training rows of it, or count or drop these rows (unseen, --unseen)")
    if unseen == "count":
        _log.warning("%s; they count as errors (--unseen drop leaves them out)", said)
        return test
    _log.warning("%s; they are left out", said)
    kept = np.array([label not in strange for label in test.label_array().tolist()])
    if not kept.any():
        raise ValueError(f"{said}; none is left to measure on")
    return test.take(np.flatnonzero(kept))


def parts_of(train: Rows, test: Rows | None, seeds: Sequence[int], folds: int, shots: int) -> Iterator[Part]:
    """The models to train, one after the other.

    Raises:
        ValueError: neither `test` nor `folds`, or both; or rows are too few for what is asked.
    """
    if (test is None) == (not folds) or (folds and shots):
        raise ValueError("test: give a test table, or folds without one (shots want a test table)")
    if test is None:
        fold = deal_groups(train, folds, seed=1)
        for number in range(folds):
            rest, asked = (
                train.take(np.flatnonzero(fold != number)),
                train.take(np.flatnonzero(fold == number)),
            )
            yield Part(f"fold-{number + 1}", *_validation(rest, 1), asked, seeds[0] if seeds else None)
        return
    every: Sequence[int | None] = list(dict.fromkeys(seeds)) or [None]
    for seed in every:
        name = "" if len(every) == 1 else f"seed-{seed}"
        chosen = choose_few(train, shots, 1 if seed is None else seed) if shots else _validation(train, 1)
        yield Part(name, *chosen, test, seed)


def _validation(rows: Rows, seed: int) -> tuple[Rows, Rows]:
    return hold_out(rows, VAL_SHARE, seed, VAL_MOST)


def run_part(
    part: Part,
    config: TrainingConfig,
    folder: Path,
    model: str = "shared",
    export: bool = False,
    record: bool = True,
    progress: bool = True,
    checkpoints: Path = CHECKPOINTS,
) -> dict[str, Any]:
    """Train and measure one model, or read what an earlier call with the same data and settings wrote."""
    data = [rows.fingerprint() for rows in (part.train, part.val, part.test)]
    key = hashlib.sha256(json.dumps([1, config.fingerprint(""), *data]).encode()).hexdigest()[:12]
    done = folder / "metrics.json"
    if done.is_file() and (kept := json.loads(done.read_text(encoding="utf-8"))).get("key") == key:
        return dict(kept)
    sizes = {"train": len(part.train), "val": len(part.val), "test": len(part.test)}
    about = {"key": key, "model": model, "method": config.method, "seed": config.train.seed, "rows": sizes}
    if not record:
        learnt = learn(part.train, part.val, config, checkpoints, None, progress)
        return _measured(part, learnt, config, folder, about, export)
    tags = {
        "model": model,
        "method": config.method,
        "bench": part.test.name,
        "git_commit": tracking.git_commit(),
    }
    parameters = {**config.flat(), **{f"data.rows_{name}": count for name, count in sizes.items()}}
    with tracking.start_run(f"bench-{key}", parameters, {**tags, **tracking.environment()}) as run:
        logger = tracking.lightning_logger(run)
        learnt = learn(part.train, part.val, config, checkpoints, logger, progress)
        metrics = _measured(part, learnt, config, folder, {**about, "run": run}, export)
        tracking.annotate({f"test/{name}": metrics[name] for name in ("accuracy", "macro_f1", "n")}, {})
        # Predictions hold texts: those stay here.
        for name in ("metrics.json", "confusion.png", "learning_curve.png"):
            if (folder / name).is_file():
                tracking.log_file(run, folder / name, "report")
    return metrics


def _measured(
    part: Part, learnt: Learnt, config: TrainingConfig, folder: Path, about: dict[str, Any], export: bool
) -> dict[str, Any]:
    began = time.monotonic()
    guess, score = learnt.answer(part.test)
    found: Answers = answers(guess, score, learnt.labels.labels, part.test.label_array().tolist())
    seconds = {"train": learnt.seconds, "evaluate": time.monotonic() - began}
    write_answers(folder / "predictions.jsonl", part.test, found)
    confusion_picture(found).save(folder / "confusion.png")
    if learnt.curve:
        curve_picture(learnt.curve).save(folder / "learning_curve.png")
    if export:
        from experiments.bench_export import export_learnt

        export_learnt(learnt, folder / "model", about)
    metrics = {
        **figures(found),
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "only_in_test": only_in_test(part.train, part.test),
        "epochs": learnt.result.epochs,
        "curve": learnt.curve,
        **about,
    }
    write_json(folder / "metrics.json", metrics)  # last: it says that the part is done
    return metrics
