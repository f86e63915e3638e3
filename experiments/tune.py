"""A search for better settings: worker processes on one study, watched, recorded, ended cleanly."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from optuna.study import Study
from optuna.trial import FrozenTrial
from rich.console import Console
from rich.live import Live

from experiments import tracking
from experiments.study import StudyError, counted, fail_lost, open_study
from experiments.trial import Job, Setting, checkpoint_folder, job_text, load_setting, quiet
from experiments.tune_report import best_trial, summary, table, trial_line, write_pictures
from experiments.tune_write import write_best
from training.config import ConfigError, load_training_config, model_names

__all__ = ["SAMPLERS", "TuneOptions", "model_of", "tune"]

SAMPLERS = ("tpe", "random")
TRIALS = 20
PATIENCE = 90.0
"""Seconds that a stopped worker has to end its trial, before it is killed."""
RESTARTS = 3
"""Workers that died under a trial and are replaced, in one search."""


@dataclass(frozen=True)
class TuneOptions:
    """How long to search, where, and with how much."""

    trials: int | None = None
    """Of the study, over all its starts and processes; 20 if neither this nor `best` is said."""
    minutes: float | None = None
    """Of this start: no trial begins after them; one that runs a tenth longer is stopped and queued."""
    workers: int = 1
    study: str | None = None
    """Its name; by default made of the model, the data and the settings that do not vary."""
    storage: str | None = None
    """`postgresql://…` or `sqlite:///…`; a journal file in `.kefu/studies` if left out."""
    sampler: str = "tpe"
    rows: int | None = None
    epochs: int | None = None
    seed: int = 0
    best: bool = False
    """Write the winner's parameters; without `trials` and `minutes` nothing is searched."""
    params: Path = Path("params.yaml")
    snapshot: Path = Path("data/processed")

    def __post_init__(self) -> None:
        for name in ("trials", "minutes", "workers", "rows", "epochs"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"--{name}: must be positive, got {value}")
        if self.sampler not in SAMPLERS:
            raise ConfigError(f"--sampler: must be one of {SAMPLERS}, got {self.sampler!r}")
        if self.study is not None and not self.study.replace("-", "").replace("_", "").isalnum():
            raise ConfigError(f"--study: letters, digits, - and _ only, got {self.study!r}")


def model_of(name: str, params: Path = Path("params.yaml")) -> str:
    """The entry of `models` of this name, or else the one that learns this task.

    Raises:
        ConfigError: there is neither, or several learn the task.
    """
    models = model_names(params)
    if name in models:
        return name
    found = [model for model in models if name in load_training_config(model, params).tasks]
    if len(found) != 1:
        several = f"several models learn it: {', '.join(found)}" if found else "no such model or task"
        raise ConfigError(f"{name}: {several}; known models: {', '.join(models)}")
    return found[0]


def tune(name: str, options: TuneOptions | None = None, console: Console | None = None) -> Study:
    """Search, and on demand write the winner's parameters.

    Args:
        name: a model of `params.yaml`, or a task.

    Raises:
        ConfigError: a setting or option is wrong.
        StudyError: the study cannot be opened or gone on with, or a worker cannot work.
        KeyboardInterrupt: after everything was left in order.
    """
    options, console = options or TuneOptions(), console or Console()
    quiet()
    model = model_of(name, options.params)
    setting = load_setting(model, options.params, options.snapshot, options.rows, options.epochs)
    about = setting.about()
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
    study = open_study(
        options.study or f"{model}-{digest[:6]}", options.storage, about, _first(setting, console)
    )
    _clear_lost(study, console)
    if options.trials or options.minutes or not options.best:
        trials = options.trials or (TRIALS if options.minutes is None else sys.maxsize)
        if counted(study) < trials:
            _Search(study, setting, options, trials, console).run()
        else:
            console.print(f"study {study.study_name}: has its {trials} trials; ask for more with --trials")
    errors = [one.user_attrs["error"] for one in study.get_trials() if "error" in one.user_attrs]
    if errors and best_trial(study.get_trials()) is None:
        raise StudyError(f"study {study.study_name}: every trial failed; the last with {errors[-1]}")
    console.print("\n".join(summary(study.get_trials(deepcopy=False))), highlight=False)
    if options.best:
        diff = write_best(study, model, options.params)
        console.print(
            diff or f"{options.params}: has these parameters already", markup=False, highlight=False
        )
    return study


def _first(setting: Setting, console: Console) -> dict[str, object] | None:
    """The configured parameters, which are every study's first trial."""
    values = setting.space.current(setting.config)
    if outside := setting.space.outside(values):
        console.print(
            f"the configured {outside[0]} ({values[outside[0]]}) lies outside its range in tune.parameters: "
            "the study has no trial of the configured parameters to compare with",
            highlight=False,
        )
        return None
    return dict(values)


def _clear_lost(study: Study, console: Console) -> None:
    for trial in fail_lost(study):
        if run := trial.user_attrs.get("run"):
            tracking.end_run(run)
        shutil.rmtree(checkpoint_folder(study.study_name, trial.number), ignore_errors=True)
        more = "" if "retry_of" in trial.user_attrs else ", queued once more"
        console.print(f"trial {trial.number}: its process ended; marked as failed{more}")


@dataclass
class _Worker:
    process: subprocess.Popen[bytes]
    errors: IO[bytes]

    def last_line(self) -> str:
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"ended with status {self.process.returncode}"

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.errors.close()


@dataclass
class _Search:
    study: Study
    setting: Setting
    options: TuneOptions
    trials: int
    console: Console
    workers: list[_Worker] = field(default_factory=list)
    told: set[int] = field(default_factory=set)
    restarts: int = 0

    def run(self) -> None:
        began = time.time()
        self.told = {one.number for one in self._all() if one.state.is_finished()}
        job_of = self._job
        known = self.study.user_attrs.get("run")
        parent = known if tracking.has_run(known) else None
        about = {f"study.{key}": value for key, value in self.setting.about().items()}
        tags = {"study": self.study.study_name, "model": self.setting.model, "kind": "tuning",
                "git_commit": tracking.git_commit()}  # fmt: skip
        interrupted = False
        with tracking.start_run(f"tune-{self.study.study_name}", about, tags, parent) as run:
            self.study.set_user_attr("run", run)
            job = job_of(run, began)
            try:
                with self._shown():
                    self._start(job)
                    self._watch(job)
            except KeyboardInterrupt:
                interrupted = True
                self.console.print("stopping: running trials are queued again …")
            finally:
                self._end()
                _clear_lost(self.study, self.console)
            self._tell()
            with tempfile.TemporaryDirectory() as folder:
                tracking.log_report(write_pictures(self.study, Path(folder)), Path(folder))
            best = best_trial(self._all())
            tracking.annotate({}, {"best_trial": str(best.number) if best else "none"})
        if interrupted:
            self.console.print("stopped; the same command goes on")
            raise KeyboardInterrupt

    def _job(self, run: str, began: float) -> Job:
        options, minutes = self.options, self.options.minutes
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = max(1, cores // options.workers)
        if allowed := os.environ.get("OMP_NUM_THREADS"):
            threads = min(threads, int(allowed))
        return Job(
            self.setting.model, str(options.params), str(options.snapshot), self.study.study_name,
            options.storage, options.sampler, self.trials, options.seed, options.rows, options.epochs,
            deadline=began + 60 * minutes if minutes else None,
            limit=began + 66 * minutes if minutes else None,
            parent=run, threads=threads,
        )  # fmt: skip

    def _start(self, job: Job) -> None:
        for _ in range(self.options.workers):
            self.workers.append(_start_worker(job))

    def _watch(self, job: Job) -> None:
        while self.workers:
            time.sleep(0.5)
            self._tell()
            for worker in list(self.workers):
                code = worker.process.poll()
                if code is None:
                    continue
                self.workers.remove(worker)
                reason = worker.last_line()
                worker.close()
                if code > 0:
                    raise StudyError(f"a worker of study {self.study.study_name} failed: {reason}")
                if code < 0:  # killed, perhaps for its memory; its trial is not lost
                    _clear_lost(self.study, self.console)
                    self.restarts += 1
                    if self.restarts > RESTARTS:
                        raise StudyError(f"workers were killed {self.restarts} times; try fewer: --workers 1")
                    self.workers.append(_start_worker(job))
        self._tell()

    def _end(self) -> None:
        """Workers see their standard input close, end the trial and themselves."""
        for worker in self.workers:
            assert worker.process.stdin
            worker.process.stdin.close()
        patience = time.monotonic() + PATIENCE
        for worker in self.workers:
            try:
                worker.process.wait(max(0.0, patience - time.monotonic()))
            except (subprocess.TimeoutExpired, KeyboardInterrupt):  # a second Ctrl-C: at once
                worker.process.kill()
                worker.process.wait()
            worker.close()
        self.workers = []

    def _all(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _title(self) -> str:
        done = min(counted(self.study), self.trials)
        most = "" if self.trials == sys.maxsize else f" of {self.trials}"
        return f"study {self.study.study_name}: {done}{most} trials"

    @contextmanager
    def _shown(self) -> Iterator[None]:
        self._live: Live | None = None
        if not self.console.is_terminal:
            self.console.print(self._title(), highlight=False)
            yield
            return
        with Live(console=self.console, auto_refresh=False) as self._live:
            yield

    def _tell(self) -> None:
        """Refresh the table; where there is no terminal, a line for each trial that has ended."""
        live: Live | None = self._live
        if live is not None:
            names = [one.name for one in self.setting.space.parameters]
            live.update(table(self._all(), self._title(), names), refresh=live.is_started)
            return
        for trial in self._all():
            if trial.state.is_finished() and trial.number not in self.told:
                self.told.add(trial.number)
                self.console.print(trial_line(trial), markup=False, highlight=False, soft_wrap=True)


def _start_worker(job: Job) -> _Worker:
    """A process of its own session: Ctrl-C reaches only the starter, which ends it in order."""
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - read when the worker has ended
    threads = {name: str(job.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    # From any folder it finds the code that its starter runs.
    path = os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "experiments.trial", job_text(job)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        env={**os.environ, **threads, "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": path},
        start_new_session=True,
    )
    return _Worker(process, errors)
