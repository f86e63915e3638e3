"""How fast each artefact computes, and what decides it: one run, by turns, medians over rounds.

No HTTP, no reading of texts: encoded messages of real length in, logits out.

    python -m benchmarks.artefacts --output benchmarks/artefacts.json
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import onnxruntime
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe_machine
from benchmarks.messages import choose_messages, describe_messages
from data.encoding import Message
from data.example import Turn
from data.files import write_json
from serving.exported import DEFAULT_ARTEFACT, ExportedModel, verify_folder
from serving.package import use_local_store

BASELINE = "float32, one pass, all threads"


def measure(folder: Path, messages: Sequence[Message], rounds: int) -> dict[str, Any]:
    """Messages a second of every way, and each as a ratio to `BASELINE`."""
    ways = _ways(folder)
    batches = [messages[start : start + 32] for start in range(0, len(messages), 32)]
    took: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way(batches)
            if number:  # the first round warms up
                took[name].append(time.perf_counter() - began)
    speeds = {name: len(messages) / statistics.median(seconds) for name, seconds in took.items()}
    return {
        "messages_per_second": {name: round(speed, 1) for name, speed in speeds.items()},
        "ratios": {name: round(speed / speeds[BASELINE], 2) for name, speed in speeds.items()},
    }


def _ways(folder: Path) -> dict[str, Callable[[Sequence[Sequence[Message]]], None]]:
    listed = [DEFAULT_ARTEFACT, *verify_folder(folder).get("artefacts", {})]
    names = [name for name in ("float32", "int8") if name in listed]
    ways: dict[str, Callable[[Sequence[Sequence[Message]]], None]] = {}
    for name in names:
        wide, narrow = ExportedModel(folder, None, "cpu", name), ExportedModel(folder, 1, "cpu", name)
        ways[f"{name}, one pass, all threads"] = lambda batches, model=wide: _one_by_one(model, batches)
        ways[f"{name}, a pass on each core"] = lambda batches, model=narrow: _side_by_side(model, batches)
        ways[f"{name}, single messages, all threads"] = lambda batches, model=wide: _singles(model, batches)
        ways[f"{name}, single messages, one thread"] = lambda batches, model=narrow: _singles(model, batches)
        fused = ExportedModel(folder, None, "cpu", name)
        fused.session = _with_skip_fusion(folder, fused, name)
        ways[f"{name}, one pass, fused skip-and-normalise"] = lambda batches, model=fused: _one_by_one(
            model, batches
        )
    return ways


def _with_skip_fusion(folder: Path, model: ExportedModel, name: str) -> onnxruntime.InferenceSession:
    """The session as ONNX Runtime would make it by itself."""
    file = verify_folder(folder)["artefacts"][name]["file"] if name != DEFAULT_ARTEFACT else "model.onnx"
    return onnxruntime.InferenceSession(
        str(folder / file), model.session.get_session_options(), providers=["CPUExecutionProvider"]
    )


def _one_by_one(model: ExportedModel, batches: Sequence[Sequence[Message]]) -> None:
    for batch in batches:
        model.logits(batch)


def _singles(model: ExportedModel, batches: Sequence[Sequence[Message]]) -> None:
    for batch in batches:
        for message in batch:
            model.logits([message])


def _side_by_side(model: ExportedModel, batches: Sequence[Sequence[Message]]) -> None:
    from serving.exported import default_threads

    with ThreadPoolExecutor(default_threads()) as pool:
        list(pool.map(model.logits, batches))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--folder", type=Path, default=Path("models/shared/exported"))
    parser.add_argument("--messages", type=int, default=320)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args(arguments)
    use_local_store()
    source, bodies = choose_messages(None, seed=0)
    bodies = bodies[: options.messages]
    messages = [(body["text"], tuple(Turn(**turn) for turn in body["context"])) for body in bodies]
    machine = describe_machine()
    figures = measure(options.folder, messages, options.rounds)
    table = Table("way", "messages/s", f"ratio to {BASELINE}")
    for name, speed in figures["messages_per_second"].items():
        table.add_row(name, f"{speed:.0f}", f"{figures['ratios'][name]:.2f}")
    Console().print(table)
    gate = verify_folder(options.folder).get("artefacts", {})
    if options.output:
        write_json(
            options.output,
            {
                "machine": machine,
                "messages": describe_messages(source, bodies),
                "rounds": options.rounds,
                **figures,
                "gate": {name: entry.get("validation") for name, entry in gate.items()},
            },
        )


if __name__ == "__main__":
    main()
