"""The DVC pipeline, run by one process at a time: a second one waits, then finds the work done."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from training.config import model_names

__all__ = ["PipelineError", "run_pipeline"]

LOCK = Path(".kefu/pipeline.lock")
PER_MODEL = ("train", "evaluate")


class PipelineError(RuntimeError):
    """A stage failed; its own message stands above."""


def run_pipeline(stages: Sequence[str], wait: float = 3600.0) -> None:
    """Run stages, and what they need, where something changed; "train" and "evaluate" for every model.

    Args:
        wait: seconds to wait for another process's pipeline.

    Raises:
        PipelineError: a stage failed, or another pipeline did not end in time.
    """
    targets: list[str] = []
    for stage in stages:
        each = [f"{stage}@{model}" for model in model_names()] if stage in PER_MODEL else [stage]
        targets.extend(each)
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("another process runs the pipeline; waiting for it", file=sys.stderr)
        try:
            lock.acquire(timeout=wait)
        except Timeout as error:
            raise PipelineError(f"{LOCK} is held since more than {wait:.0f} s") from error
    with lock:
        # The stages say `python`: it must be this one, also where the environment is not activated.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        command = [sys.executable, "-m", "dvc", "repro", *targets]
        done = subprocess.run(command, env={**os.environ, "PATH": path})
    if done.returncode:
        raise PipelineError(f"dvc repro {' '.join(targets)} failed (exit {done.returncode}), see above")
