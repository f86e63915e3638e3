"""The service against what a user would pick instead, and against the bare session: one run, one machine.

Contenders: `transformers.pipeline` with the champion's weights behind a plain BentoML API and behind a
plain FastAPI endpoint, our service, and the ONNX session in process. They take turns, in rotating order
over several rounds, one running at a time; figures are medians over the rounds.

    python -m benchmarks.serving --quick
    python -m benchmarks.serving --output benchmarks/serving.json
"""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:
    # Run as a path, this folder stands first and this file would hide the package `serving`.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

import argparse
import os
import signal
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.contenders import (
    CONTENDERS,
    BenchmarkError,
    MemoryLog,
    ask_labels,
    folder_with_weights,
    run_json,
    running,
)
from benchmarks.machine import describe_machine
from benchmarks.messages import choose_messages, describe_messages
from benchmarks.serving_report import BARE, BARE_CALLS, OURS, picture, ratios, summarise, table
from data.files import write_json, write_jsonl
from serving.package import use_local_store

__all__ = ["Settings", "main", "measure"]

ASKED_BEFORE = 16


@dataclass(frozen=True, slots=True)
class Settings:
    """How long, how often, and with how many clients to measure."""

    clients: dict[str, tuple[int, ...]]
    """By contender the numbers of clients; the bare session is measured one by one and in batches."""
    rounds: int = 3
    seconds: float = 12.0
    warm_up: float = 3.0
    budget: float = 19 * 60.0
    """Seconds of the whole run: no round is begun that would probably end later. One is always measured."""


FULL = Settings({name: (1, 8, 32, 128) for name in CONTENDERS})
QUICK = Settings(
    {"pipeline_bentoml": (1, 32), OURS: (1, 32, 128)}, rounds=3, seconds=6.0, warm_up=2.0, budget=285.0
)


def measure(settings: Settings, bodies: Sequence[dict[str, Any]], console: Console) -> dict[str, Any]:
    """Measure every contender; the rounds as they were, their medians, and the ratios of these.

    Raises:
        BenchmarkError: a contender cannot be started or does not answer before anything is measured.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "messages.jsonl"
        write_jsonl(file, bodies)
        run = _Run(settings, file, console)
        with run.progress:
            return run.all_rounds()


class _Run:
    def __init__(self, settings: Settings, file: Path, console: Console) -> None:
        self.settings, self.file, self.console = settings, file, console
        self.lines = file.read_bytes().splitlines()
        self.cells: list[dict[str, Any]] = []
        self.failures: list[dict[str, Any]] = []
        self.agreement: dict[str, float] = {}
        self.service: dict[str, Any] = {}
        self.began = time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        cells = settings.rounds * (len(BARE_CALLS) + sum(map(len, settings.clients.values())))
        self.task = self.progress.add_task("", total=cells)

    def all_rounds(self) -> dict[str, Any]:
        self._say("asking the bare session for labels")
        found = self._floor(seconds=0.0)
        self.labels = found["labels"]
        if len(set(found["folders"])) != 1:
            raise BenchmarkError("the packaged champions are two models; the pipeline needs one that is both")
        self.model = folder_with_weights(Path(found["folders"][0]))
        names = [BARE, *self.settings.clients]
        for number in range(self.settings.rounds):
            elapsed = time.monotonic() - self.began
            if number and elapsed * (number + 1) / number > self.settings.budget:
                self.console.print(f"{number} of {self.settings.rounds} rounds: there is no time for another")
                break
            for name in names[number % len(names) :] + names[: number % len(names)]:
                if name == BARE:
                    self._say(f"round {number + 1}: {name}")
                    memory = MemoryLog(of_child=True)
                    found = self._floor(self.settings.seconds, memory)
                    for batch, cell in found["batches"].items():
                        self._record(number, name, int(batch), cell, memory)
                else:
                    self._service(name, number)
        summary = summarise(self.cells)
        return {
            "ratios": ratios(summary),
            "summary": summary,
            "agreement_with_bare_session": self.agreement,
            "failures": self.failures,
            "service": self.service,
            "rounds": self.cells,
        }

    def _floor(self, seconds: float, memory: MemoryLog | None = None) -> dict[str, Any]:
        arguments = ["--messages", str(self.file), "--seconds", str(seconds)]
        arguments += ["--warm-up", str(self.settings.warm_up), "--labels", str(ASKED_BEFORE)]
        return run_json("benchmarks.floor", arguments, memory)

    def _service(self, name: str, number: int) -> None:
        self._say(f"round {number + 1}: starting {name}")
        began = time.monotonic()
        with running(CONTENDERS[name], self.model) as address:
            startup = round(time.monotonic() - began, 1)
            answers = ask_labels(name, address, self.lines[:ASKED_BEFORE])
            same = [ours == theirs for ours, theirs in zip(answers, self.labels, strict=True)]
            self.agreement[name] = sum(same) / len(same)
            if name == OURS:
                self.service = httpx.get(f"{address}/info", timeout=30).json()
            for clients in self.settings.clients[name]:
                self._say(f"round {number + 1}: {name}, {clients} clients")
                if not self._load(name, number, address, clients, startup):
                    break

    def _load(self, name: str, number: int, address: str, clients: int, startup: float) -> bool:
        """One cell; False if nothing more can be asked of this service."""
        arguments = ["--url", f"{address}/analyze", "--messages", str(self.file), "--clients", str(clients)]
        arguments += ["--seconds", str(self.settings.seconds), "--warm-up", str(self.settings.warm_up)]
        memory = MemoryLog()
        found = run_json("benchmarks.load", arguments, memory)
        del found["per_second"]
        self._record(number, name, clients, {**found, "startup_seconds": startup}, memory)
        if found["answers"]:
            return True
        reason = f"no answer in {found['seconds']:g} s, errors {found['errors']}; see .kefu/service.log"
        try:
            alive = httpx.get(f"{address}/readyz", timeout=10).status_code == 200
        except httpx.HTTPError:
            alive = False
        reason = reason if alive else f"the service is dead: {reason}"
        self.failures.append({"round": number, "contender": name, "clients": clients, "reason": reason})
        self.console.print(f"[bold red]{name}, {clients} clients: {reason}[/]")
        return alive

    def _record(self, number: int, name: str, clients: int, cell: dict[str, Any], memory: MemoryLog) -> None:
        entry = {"round": number, "contender": name, "clients": clients, **cell}
        self.cells.append({**entry, "memory_mb": memory.peak_mb})
        self.progress.advance(self.task)

    def _say(self, what: str) -> None:
        self.progress.update(self.task, description=what)
        if not self.console.is_terminal:
            self.console.print(f"{time.monotonic() - self.began:4.0f} s  {what}", highlight=False)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure side by side, print a table, write JSON and a picture; 1 if a service failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=main.__doc__)
    parser.add_argument("--quick", action="store_true", help="the main comparison, in under five minutes")
    parser.add_argument("--messages", type=Path, help="JSON Lines with text and context")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--picture", type=Path, help="PNG file; beside the JSON if left out")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of each measurement, after the warm-up")
    parser.add_argument("--artefact", help="serve this one instead of what was chosen at packaging")
    parser.add_argument("--seed", type=int, default=7, help="of the messages' order")
    options = parser.parse_args(arguments)
    settings = QUICK if options.quick else FULL
    given = {name: getattr(options, name) for name in ("rounds", "seconds") if getattr(options, name)}
    settings = replace(settings, **given)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that children are stopped as well
    use_local_store()
    if options.artefact:
        os.environ["KEFU_ARTEFACT"] = options.artefact  # read by the service and the bare session
    console = Console(width=None if sys.stdout.isatty() else 132)
    source, bodies = choose_messages(options.messages, options.seed)
    machine = describe_machine()
    began = time.monotonic()
    try:
        found = measure(settings, bodies, console)
    except BenchmarkError as error:
        console.print(f"[bold red]{error}[/]")
        return 1
    figures = {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "took_seconds": round(time.monotonic() - began),
        "machine": machine,
        "messages": {**describe_messages(source, bodies), "seed": options.seed},
        "settings": asdict(settings),
        **found,
    }
    console.print(table(figures))
    for name, value in figures["ratios"].items():
        console.print(f"{name:56} {value:8.2f}", highlight=False)
    if options.output:
        write_json(options.output, figures)
    target = options.picture or (options.output.with_suffix(".png") if options.output else None)
    if target:
        picture(figures, target)
    return 1 if figures["failures"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
