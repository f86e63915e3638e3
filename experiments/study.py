"""Studies and their storage: opened anywhere, shared by processes, whole again after a kill.

A study lives in an Optuna journal file (`.kefu/studies/NAME.log`), or in a database by its URL. Which
trial comes next is decided under a lock of this machine, so that processes beside each other neither
exceed the number of trials nor take the same one.
"""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import optuna
from filelock import FileLock
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage, fail_stale_trials
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from experiments.search_space import SearchSpace

__all__ = [
    "DONE",
    "STUDIES",
    "StudyError",
    "beating",
    "claim",
    "counted",
    "fail_lost",
    "give_back",
    "open_storage",
    "open_study",
    "pruner_of",
    "was_lost",
]

STUDIES = Path(".kefu/studies")
DONE = (TrialState.COMPLETE, TrialState.PRUNED)
BEAT = 30
"""Seconds between signs of life of a trial in a database; after five without one it is lost."""


class StudyError(RuntimeError):
    """A study cannot be opened or gone on with; the message says why and what to do."""


def open_storage(url: str | None, name: str) -> BaseStorage:
    """A journal file for this machine (None), or a database by its URL.

    Raises:
        StudyError: the address is neither `postgresql://…` nor `sqlite:///…`, its driver is missing, or
            the database does not answer.
    """
    if url is None:
        STUDIES.mkdir(parents=True, exist_ok=True)
        path = (STUDIES / f"{name}.log").resolve()
        lock = JournalFileOpenLock(str(path), grace_period=15)
        _mend(path, lock)
        return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    if url.startswith("postgresql://"):
        if find_spec("psycopg2") is None:
            if find_spec("psycopg") is None:
                raise StudyError("PostgreSQL needs a driver; install it with: pip install 'psycopg[binary]'")
            url = url.replace("postgresql://", "postgresql+psycopg://", 1)
    elif not url.startswith("sqlite:///"):
        raise StudyError(f"--storage {url}: expected postgresql://… or sqlite:///FILE")
    try:
        with _experimental():
            return RDBStorage(
                url, heartbeat_interval=BEAT, grace_period=5 * BEAT, failed_trial_callback=_enqueue_again
            )
    except Exception as error:  # SQLAlchemy's many kinds; the address may hold a password
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StudyError(f"--storage: the database cannot be opened: {reason}") from None


@contextmanager
def _experimental() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)  # the heartbeat is, since 2021
        yield


def _mend(path: Path, lock: JournalFileOpenLock) -> None:
    """Drop the half of a line that a power cut may leave: Optuna would refuse all that is written after."""
    if not path.exists() or path.stat().st_size == 0:
        return
    lock.acquire()
    try:
        with path.open("rb+") as handle:
            content = handle.read()
            if not content.endswith(b"\n"):
                handle.truncate(content.rfind(b"\n") + 1)
    finally:
        lock.release()


@contextmanager
def _locked(name: str) -> Iterator[None]:
    STUDIES.mkdir(parents=True, exist_ok=True)
    with FileLock(STUDIES / f"{name}.claim"):
        yield


def open_study(
    name: str, url: str | None, about: Mapping[str, Any], first: Mapping[str, Any] | None
) -> Study:
    """The study of this name, made if there is none.

    Args:
        url: as for `open_storage`.
        about: what its scores rest on (snapshot, settings that stay, rows, epochs); a study goes on
            only with the same.
        first: parameters of the first trial; None leaves the choice to the sampler.

    Raises:
        StudyError: the study rests on something else, or the storage cannot be opened.
    """
    with _locked(name):
        study = optuna.create_study(
            storage=open_storage(url, name), study_name=name, direction="maximize", load_if_exists=True
        )
        known = study.user_attrs.get("about")
        if known is None:
            study.set_user_attr("about", dict(about))
            if first is not None:
                study.enqueue_trial(dict(first), user_attrs={"role": "defaults"})
            return study
    for key in sorted({*known, *about}):
        if known.get(key) != about.get(key):
            raise StudyError(
                f"study {name} was made with {key} {known.get(key)!r}, now it is {about.get(key)!r}: "
                "scores would not compare; take another name with --study"
            )
    return study


def counted(study: Study) -> int:
    """Trials that use up the budget: finished, pruned, failed by an error, or running now."""
    return sum(
        one.state in (*DONE, TrialState.RUNNING) or (one.state == TrialState.FAIL and not was_lost(one))
        for one in study.get_trials(deepcopy=False)
    )


def was_lost(trial: FrozenTrial) -> bool:
    """Whether the trial's process ended under it: it failed, but no error of its own is recorded."""
    return trial.state == TrialState.FAIL and "error" not in trial.user_attrs


def claim(study: Study, space: SearchSpace, sampler: str, trials: int, seed: int) -> Trial | None:
    """The next trial, or None when as many as `trials` are counted.

    Its randomness depends on `seed` and on its place in the study only, so that processes beside each
    other and starts after a kill never draw the same again.
    """
    with _locked(study.study_name):
        if counted(study) >= trials:
            return None
        place = len(study.get_trials(deepcopy=False))
        state = int(np.random.SeedSequence([seed, place]).generate_state(1)[0] % 2**31)
        study.sampler = _sampler(sampler, space, state)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*supposed to be used with Study.optimize.*")
            trial = study.ask()  # `beating` does what it is warned of
        trial.set_user_attr("process", _process(os.getpid()))
        return trial


def _sampler(name: str, space: SearchSpace, seed: int) -> BaseSampler:
    if name == "random":
        return RandomSampler(seed=seed)
    return TPESampler(seed=seed, n_startup_trials=space.startup_trials)


def pruner_of(space: SearchSpace, epochs: int) -> BasePruner:
    """The pruner that the search space names; steps are checks, `checks_per_epoch` in each epoch."""
    if space.pruner == "median":
        # The first check falls into the warm-up of the learning rate: it is no ground for an end.
        return MedianPruner(n_startup_trials=space.startup_trials, n_warmup_steps=2)
    if space.pruner == "hyperband":
        return HyperbandPruner(min_resource=1, max_resource=epochs * space.checks_per_epoch)
    return NopPruner()


def give_back(study: Study, trial: Trial | FrozenTrial) -> None:
    """End a trial that was stopped from outside, and queue its parameters again."""
    with _locked(study.study_name):
        study.tell(trial.number, state=TrialState.FAIL)
        frozen = study.get_trials(deepcopy=False)[trial.number]
        _enqueue(study, frozen)


def fail_lost(study: Study) -> list[FrozenTrial]:
    """Mark trials as failed whose process is gone, and queue the parameters of each once more.

    On this machine a process is known by its number and start time; on others, in a database, by the
    signs of life that it no longer gives.
    """
    lost = []
    with _locked(study.study_name):
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            process = trial.user_attrs.get("process")
            if process is None or process["host"] != socket.gethostname():
                continue
            if process != _process(process["pid"]):
                study.tell(trial.number, state=TrialState.FAIL)
                if "retry_of" not in trial.user_attrs:
                    _enqueue(study, trial)
                lost.append(trial)
        with _experimental():
            fail_stale_trials(study)
    return lost


def _enqueue(study: Study, trial: FrozenTrial) -> None:
    if trial.params:
        attributes = {"retry_of": trial.number}
        if role := trial.user_attrs.get("role"):
            attributes["role"] = role
        study.enqueue_trial(trial.params, user_attrs=attributes)


def _enqueue_again(study: Study, trial: FrozenTrial) -> None:
    if "retry_of" not in trial.user_attrs:
        _enqueue(study, trial)


def _process(pid: int) -> dict[str, Any] | None:
    """What tells a process from a later one of the same number; None if there is none."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # another person's, but alive
    started = None
    stat = Path(f"/proc/{pid}/stat")
    if stat.exists():
        state, *rest = stat.read_text().rpartition(")")[2].split()
        if state == "Z":  # killed, and its parent has not looked yet
            return None
        started = int(rest[18])
    return {"host": socket.gethostname(), "pid": pid, "started": started}


@contextmanager
def beating(study: Study, trial: Trial) -> Iterator[None]:
    """Give signs of life of a running trial to a database; a journal needs none."""
    storage = study._storage
    inner = getattr(storage, "_backend", storage)  # Optuna wraps databases in a cache
    if not isinstance(inner, RDBStorage):
        yield
        return
    ended = Event()

    def beat() -> None:
        while True:
            inner.record_heartbeat(trial._trial_id)
            if ended.wait(BEAT):
                return

    thread = Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
