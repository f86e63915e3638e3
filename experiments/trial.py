"""One trial after another: each the real training with other settings, recorded, pruned, or marked failed.

Run as a module it is one worker process of a search (`experiments.tune` starts them).
"""

from __future__ import annotations

import json
import logging
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import optuna
import torch
from optuna.study import Study
from optuna.trial import Trial, TrialState

from data.example import Example
from data.pii import mask
from data.split import Snapshot, load_snapshot
from experiments import tracking
from experiments.pruning import MetricMissingError, PruningCallback, TrialStopped
from experiments.search_space import SearchSpace, Value, load_search_space
from experiments.study import beating, claim, give_back, open_storage, pruner_of
from training.config import TrainingConfig, load_training_config
from training.fit import encoder_logits, fit_model, targets
from training.metrics import macro_f1
from training.train import TrainResult

__all__ = [
    "Job",
    "Setting",
    "checkpoint_folder",
    "job_text",
    "load_setting",
    "main",
    "quiet",
    "run_trials",
    "scores_on",
    "stratified",
]

CHECKPOINTS = Path(".kefu/checkpoints")


@dataclass(frozen=True)
class Setting:
    """What all trials of a study share."""

    model: str
    config: TrainingConfig
    snapshot: Snapshot
    space: SearchSpace

    def about(self) -> dict[str, Any]:
        """What the scores rest on, by name: data, and every setting that does not vary."""
        varied = {one.name for one in self.space.parameters}
        fixed = {name: value for name, value in self.config.flat().items() if name not in varied}
        rows = {f"rows_{name}": len(rows) for name, rows in self.snapshot.splits.items()}
        varies = sorted(varied)
        values = {"model": self.model, "snapshot": self.snapshot.id, **rows, **fixed, "varies": varies}
        known: dict[str, Any] = json.loads(json.dumps(values))
        return known


@dataclass(frozen=True)
class Job:
    """What a worker process is told."""

    model: str
    params: str
    snapshot: str
    study: str
    storage: str | None
    sampler: str
    trials: int
    seed: int
    rows: int | None
    epochs: int | None
    deadline: float | None
    """Seconds since 1970: no trial begins after it …"""
    limit: float | None
    """… and a running one is stopped at this."""
    parent: str | None
    """The MLflow run above the trials' runs."""
    threads: int


def load_setting(
    model: str, params: Path, snapshot: Path, rows: int | None = None, epochs: int | None = None
) -> Setting:
    """The setting of a search, perhaps on a cut-down budget.

    Args:
        rows: train on so many rows, spread over the categories as the whole; None takes all.
        epochs: instead of the configured number.

    Raises:
        training.config.ConfigError: a setting is missing, unknown or out of range.
        ValueError: `rows` is not positive.
    """
    config = load_training_config(model, params)
    if epochs is not None:
        config = replace(config, train=replace(config.train, epochs=epochs))
    loaded = load_snapshot(snapshot)
    if rows is not None:
        kept = stratified(loaded.splits["train"], rows, config.train.seed)
        loaded = replace(loaded, splits={**loaded.splits, "train": kept})
    return Setting(model, config, loaded, load_search_space(config, params))


def stratified(rows: Sequence[Example], count: int, seed: int) -> list[Example]:
    """So many rows at random, each category with the share it has in the whole."""
    if count < 1:
        raise ValueError(f"--rows: must be positive, got {count}")
    by_category: dict[str, list[int]] = defaultdict(list)
    order = np.random.default_rng(seed).permutation(len(rows)).tolist()
    for index in order:
        by_category[rows[index].category].append(index)
    place = {
        index: (rank + 0.5) / len(members)
        for members in by_category.values()
        for rank, index in enumerate(members)
    }
    chosen = sorted(order, key=lambda index: place[index])[:count]
    return [rows[index] for index in sorted(chosen)]


def scores_on(result: TrainResult, rows: Sequence[Example]) -> dict[str, float]:
    """Macro-F1 of each task on labelled rows, of the joined network that would be exported."""
    target = targets(rows, result.label_maps)
    return {
        task: macro_f1(target[task], logits.argmax(1), logits.shape[1])
        for task, logits in encoder_logits(result, rows).items()
    }


def checkpoint_folder(study: str, number: int) -> Path:
    """Where a trial keeps its checkpoints while it runs."""
    return CHECKPOINTS / f"tune-{study}-{number}"


def run_trials(
    setting: Setting,
    study: Study,
    sampler: str,
    trials: int,
    seed: int,
    stopped: Callable[[], bool] = lambda: False,
    deadline: float | None = None,
    parent: str | None = None,
) -> None:
    """Run trials until the study has `trials` of them, the time is over, or `stopped()` says so.

    Raises:
        MetricMissingError: training does not log the monitored metric, so that nothing could be pruned.
    """
    while not stopped() and (deadline is None or time.time() < deadline):
        trial = claim(study, setting.space, sampler, trials, seed)
        if trial is None:
            return
        try:
            with beating(study, trial):
                value = _run(setting, study, trial, stopped, parent)
        except optuna.TrialPruned:
            study.tell(trial, state=TrialState.PRUNED)
        except TrialStopped:
            give_back(study, trial)
        except Exception as error:
            # Recorded before the state: a failed trial with an error is not one whose process died.
            reason = mask(f"{type(error).__name__}: {error}")[:500]
            trial.set_user_attr("error", reason)
            study.tell(trial, state=TrialState.FAIL)
            if isinstance(error, MetricMissingError):
                raise
        else:
            study.tell(trial, value)
        finally:
            shutil.rmtree(checkpoint_folder(study.study_name, trial.number), ignore_errors=True)


def _run(
    setting: Setting, study: Study, trial: Trial, stopped: Callable[[], bool], parent: str | None
) -> float:
    """One training, recorded under the parent run; its mean macro-F1 on validation."""
    values: dict[str, Value] = setting.space.suggest(trial)
    trial.set_user_attr("parameters", values)
    config = setting.space.apply(setting.config, values)
    ended: optuna.TrialPruned | TrialStopped | None = None
    value = 0.0
    with ExitStack() as stack:
        logger = None
        if parent:
            tags = {"study": study.study_name, "trial": str(trial.number), "model": setting.model}
            parameters = {**config.flat(), "data.snapshot": setting.snapshot.id}
            name = f"{study.study_name}-{trial.number}"
            run = stack.enter_context(tracking.start_run(name, parameters, tags, parent=parent))
            trial.set_user_attr("run", run)
            logger = tracking.lightning_logger(run)
        callback = PruningCallback(trial, setting.space.checks_per_epoch, stopped)
        folder = checkpoint_folder(study.study_name, trial.number)
        try:
            result, _ = fit_model(config, setting.snapshot, folder, logger, [callback], progress=False)
            scores = scores_on(result, setting.snapshot.splits["val"])
            value = float(np.mean(list(scores.values())))
            trial.set_user_attr("scores", scores)
            metrics = {f"val_joined/{task}_macro_f1": score for task, score in scores.items()}
            found = {**metrics, "val_joined/macro_f1": value}
            state = "complete"
        except (optuna.TrialPruned, TrialStopped) as caught:
            # Neither is a failure, so that the run's status must not say so.
            ended, found = caught, {}
            state = "pruned" if isinstance(caught, optuna.TrialPruned) else "stopped"
        if parent:
            tracking.annotate(found, {"trial.state": state})
    if ended:
        raise ended
    return value


def quiet() -> None:
    """No log lines of the libraries between the rows of the table."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for package in ("pytorch_lightning", "lightning", "mlflow", "alembic"):
        logging.getLogger(package).setLevel(logging.ERROR)


def _ended_with_starter() -> Event:
    """An event that is set when the starter closes our standard input, or is no more."""
    ended = Event()

    def wait() -> None:
        sys.stdin.read()
        ended.set()

    Thread(target=wait, daemon=True).start()
    return ended


def main(arguments: Sequence[str] | None = None) -> None:
    """A worker process: one argument, a `Job` as JSON."""
    (text,) = arguments if arguments is not None else sys.argv[1:]
    job = Job(**json.loads(text))
    ended = _ended_with_starter()
    quiet()
    torch.set_num_threads(job.threads)
    setting = load_setting(job.model, Path(job.params), Path(job.snapshot), job.rows, job.epochs)
    study = optuna.load_study(
        study_name=job.study,
        storage=open_storage(job.storage, job.study),
        pruner=pruner_of(setting.space, setting.config.train.epochs),
    )

    def stopped() -> bool:
        return ended.is_set() or (job.limit is not None and time.time() > job.limit)

    try:
        run_trials(setting, study, job.sampler, job.trials, job.seed, stopped, job.deadline, job.parent)
    except MetricMissingError as error:
        raise SystemExit(str(error)) from None


def job_text(job: Job) -> str:
    """A job as the argument of a worker."""
    return json.dumps(asdict(job))


if __name__ == "__main__":
    main()
