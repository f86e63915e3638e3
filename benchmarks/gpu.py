"""Messages a second and p99 by batch size on a GPU: our artefacts against transformers in three precisions.

Both read texts with the same reader and answer category and emotion; ours adds the n-gram view.

    python -m benchmarks.gpu --output benchmarks/gpu.json   # with onnxruntime-gpu and a CUDA build of torch
    python -m benchmarks.gpu --device cpu --batches 1 8 --seconds 2
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks.load import percentile
from benchmarks.machine import describe_machine
from benchmarks.messages import choose_messages, describe_messages
from benchmarks.rivals import load_model
from data.encoding import InputEncoder, Message
from data.example import Turn
from data.files import write_json
from serving.exported import ExportedModel, verify_folder

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
Way = Callable[[Sequence[Message]], Any]


def ours(folder: Path, device: str, artefact: str) -> Way:
    """Logits by an artefact.

    Raises:
        RuntimeError: the device was not taken.
    """
    model = ExportedModel(folder, None, device, artefact)
    if model.device != device:
        raise RuntimeError(f"ONNX Runtime runs on {model.device}; install onnxruntime-gpu for {device}")
    return lambda messages: model.logits(messages, batch_size=len(messages))


def transformers_way(folder: Path, device: str, precision: torch.dtype) -> Way:
    """Logits by the encoder and heads in transformers, read back to the host."""
    model = load_model(folder).to(device=device, dtype=precision)
    reader = InputEncoder.load(folder)

    def answer(messages: Sequence[Message]) -> Any:
        inputs = reader.pad(reader.encode(messages)).inputs()
        with torch.inference_mode():
            found = model(**{name: torch.from_numpy(values).to(device) for name, values in inputs.items()})
        return {task: logits.float().cpu() for task, logits in found.items()}

    return answer


def measure(way: Way, messages: Sequence[Message], batch: int, seconds: float) -> dict[str, float]:
    """Messages a second, and the p99 of a call in milliseconds, over some seconds after a warm-up."""
    position = 0
    latencies: list[float] = []
    for _ in range(3):
        way([messages[index % len(messages)] for index in range(batch)])
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(latencies) < 5:
        part = [messages[(position + index) % len(messages)] for index in range(batch)]
        position += batch
        began = time.perf_counter()
        way(part)
        latencies.append(time.perf_counter() - began)
    return {
        "messages_per_second": round(batch * len(latencies) / sum(latencies), 1),
        "p99_ms": round(percentile(latencies, 99) or 0.0, 2),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--folder", type=Path, default=Path("models/shared/exported"))
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--batches", type=int, nargs="+", default=list(BATCHES))
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args(arguments)
    source, bodies = choose_messages(None, seed=0)
    messages = [(body["text"], tuple(Turn(**turn) for turn in body["context"])) for body in bodies]
    listed = verify_folder(options.folder).get("artefacts", {})
    ways = {"ours float32": ours(options.folder, options.device, "float32")}
    if "float16" in listed and options.device == "cuda":
        ways["ours float16"] = ours(options.folder, options.device, "float16")
    for name, precision in PRECISIONS.items():
        ways[f"transformers {name}"] = transformers_way(options.folder, options.device, precision)
    figures: dict[str, dict[str, dict[str, float]]] = {name: {} for name in ways}
    for batch in options.batches:
        for name, way in ways.items():
            figures[name][str(batch)] = measure(way, messages, batch, options.seconds)
    table = Table("batch", *ways, title="messages/s (p99 of a call, ms)")
    for batch in options.batches:
        cells = [figures[name][str(batch)] for name in ways]
        table.add_row(str(batch), *(f"{c['messages_per_second']:.0f} ({c['p99_ms']:.1f})" for c in cells))
    Console().print(table)
    if options.output:
        gpu = torch.cuda.get_device_name() if options.device == "cuda" else None
        write_json(
            options.output,
            {
                "machine": describe_machine(),
                "gpu": gpu,
                "messages": describe_messages(source, bodies),
                "figures": figures,
            },
        )


if __name__ == "__main__":
    main()
