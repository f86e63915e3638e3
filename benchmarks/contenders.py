"""The services under test: each one child process tree, started, asked, watched and stopped."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from serving.demo import running_service

__all__ = [
    "CONTENDERS",
    "BenchmarkError",
    "Contender",
    "MemoryLog",
    "ask_labels",
    "folder_with_weights",
    "run_json",
    "running",
]

PROJECT = Path(__file__).resolve().parent.parent


class BenchmarkError(RuntimeError):
    """A contender does not answer as it should; the message names it, what it said, and where its log is."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A service under test.

    `command` starts it, without host and port; None is our own service. It answers `POST /analyze`.
    """

    name: str
    command: tuple[str, ...] | None = None


_PYTHON = (sys.executable, "-m")
CONTENDERS: dict[str, Contender] = {
    one.name: one
    for one in (
        Contender(
            "pipeline_bentoml",
            (*_PYTHON, "bentoml", "serve", "benchmarks.rival_bentoml:PipelineService"),
        ),
        Contender(
            "pipeline_fastapi",
            (*_PYTHON, "uvicorn", "--factory", "benchmarks.rivals:create_app"),
        ),
        Contender("ours"),
    )
}


@contextlib.contextmanager
def running(contender: Contender, model: Path) -> Iterator[str]:
    """Start the service, give its address, and leave no process of it behind.

    Args:
        model: exported model folder that the rivals read.

    Raises:
        BenchmarkError: it did not become ready; says where its log is.
    """
    ours = set(_children())
    with contextlib.ExitStack() as stack:
        command = list(contender.command) if contender.command else None
        try:
            variables = {"BENCHMARK_MODEL": str(model.resolve())}
            address = stack.enter_context(running_service(command=command, variables=variables))
        except RuntimeError as error:
            raise BenchmarkError(f"{contender.name}: {error}") from error
        tree = set(_children()) - ours
        try:
            yield address
        finally:
            tree |= set(_children()) - ours
            stack.close()
            for process in tree:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()


def folder_with_weights(packaged: Path) -> Path:
    """The exported folder that a packaged model was copied from, in `models/` or named by BENCHMARK_MODEL:
    it has the weights to rebuild the network from, which a service does not need.

    Raises:
        BenchmarkError: there is none with the same network.
    """
    wanted = _network(packaged)
    named = os.environ.get("BENCHMARK_MODEL")
    for folder in (*([Path(named)] if named else []), *sorted(PROJECT.glob("models/*/exported"))):
        if (folder / "model.safetensors").is_file() and _network(folder) == wanted:
            return folder
    raise BenchmarkError(f"no folder in models/ holds the weights of {packaged}; make them with: make demo")


def _network(folder: Path) -> str:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return str(manifest["files"]["model.onnx"])


def _children() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def ask_labels(name: str, address: str, bodies: Sequence[bytes]) -> list[str]:
    """The category label of each message, asked one by one.

    Raises:
        BenchmarkError: an answer is not a 200 with a category.
    """
    labels = []
    with httpx.Client(timeout=60, headers={"content-type": "application/json"}) as client:
        for body in bodies:
            try:
                response = client.post(f"{address}/analyze", content=body)
                if response.status_code != 200:
                    raise BenchmarkError(
                        f"{name}: answered {response.status_code} to {body.decode()[:80]}…: "
                        f"{response.text[:200]}; see .kefu/service.log"
                    )
                labels.append(str(response.json()["category"]["label"]))
            except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
                raise BenchmarkError(
                    f"{name}: no category in its answer ({type(error).__name__}: {error}); "
                    "see .kefu/service.log"
                ) from error
    return labels


class MemoryLog:
    """Resident memory over time: `samples` of (seconds since the first, MB), summed over processes.

    Args:
        of_child: of the process that `run_json` starts; else of all other children, which are the service.
    """

    def __init__(self, of_child: bool = False) -> None:
        self.of_child = of_child
        self.samples: list[tuple[float, float]] = []
        self._began = time.monotonic()

    def sample(self, child: int) -> None:
        """Add a sample; `child` is the process id of the one started by `run_json`."""
        total = 0
        for process in _children():
            with contextlib.suppress(psutil.Error):
                if (process.pid == child) == self.of_child:
                    total += process.memory_info().rss
        if total:
            self.samples.append((time.monotonic() - self._began, total / 2**20))

    @property
    def peak_mb(self) -> float:
        """The largest sample; 0 without samples."""
        return max((megabytes for _, megabytes in self.samples), default=0.0)


def run_json(
    module: str, arguments: Sequence[str], memory: MemoryLog | None = None, every: float = 0.5
) -> dict[str, Any]:
    """Run a module as a child process; the last line of its output is JSON.

    Args:
        memory: gets a sample each `every` seconds while it runs.

    Raises:
        BenchmarkError: it failed; holds what it said.
    """
    command = [sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=PROJECT
    )
    try:
        while True:
            try:
                output, said = process.communicate(timeout=every)
                break
            except subprocess.TimeoutExpired:
                if memory:
                    memory.sample(process.pid)
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        reason = "\n".join(said.strip().splitlines()[-4:])
        raise BenchmarkError(f"{module}: stopped with {process.returncode}:\n{reason}")
    found: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
    return found
