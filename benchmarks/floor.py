"""The floor: the bare ONNX session of the packaged model, in process, without HTTP, alert or answer.

Tokenisation and one pass of the session for each message, and for batches of 32. What the service takes
beyond this is its own.

    python -m benchmarks.floor --messages messages.jsonl --seconds 10
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.load import percentile
from data.encoding import Message
from data.example import Turn
from serving.exported import ExportedModel
from serving.offline import packaged_predictor
from serving.package import use_local_store

__all__ = ["BATCH", "category_labels", "main", "measure_session", "packaged_models", "read_messages"]

BATCH = 32


def packaged_models() -> list[ExportedModel]:
    """The packaged champions as the service opens them; one where it answers both tasks."""
    predictor = packaged_predictor()
    return list({id(model): model for model, _ in predictor._models.values()}.values())


def read_messages(path: Path) -> list[Message]:
    """Messages from JSON Lines of request bodies."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [
        (row["text"], tuple(Turn(turn["role"], turn["text"]) for turn in row.get("context", ())))
        for row in rows
    ]


def measure_session(
    models: Sequence[ExportedModel], messages: Sequence[Message], batch: int, seconds: float, warm_up: float
) -> dict[str, Any]:
    """Logits of `batch` messages at a time, one call after another; figures as `benchmarks.load` gives them.

    A latency is that of a whole call. The model may split a call into passes as it does in the service.
    """
    latencies: list[float] = []
    began = time.perf_counter() + warm_up
    ended, position, now = began + seconds, 0, 0.0
    while now < ended:
        part = [messages[(position + n) % len(messages)] for n in range(batch)]
        position += batch
        asked = time.perf_counter()
        for model in models:
            model.logits(part)
        now = time.perf_counter()
        if began <= now < ended:
            latencies.append(now - asked)
    return {
        "answers": len(latencies) * batch,
        "seconds": seconds,
        "throughput": len(latencies) * batch / seconds,
        "p50_ms": percentile(latencies, 50),
        "p99_ms": percentile(latencies, 99),
        "errors": {},
    }


def category_labels(models: Sequence[ExportedModel], messages: Sequence[Message]) -> list[str]:
    """The most probable category of each message."""
    model = next(model for model in models if "category" in model.tasks)
    best = model.logits(messages)["category"].argmax(axis=1)
    return [model.labels["category"][int(index)] for index in best]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure one by one and in batches; print this, the models' folders and the first labels as JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--messages", required=True, type=Path, help="JSON Lines of request bodies")
    parser.add_argument("--seconds", type=float, default=10.0, help="0: labels only")
    parser.add_argument("--warm-up", type=float, default=2.0)
    parser.add_argument("--labels", type=int, default=16, help="how many messages to give labels of")
    options = parser.parse_args(arguments)
    use_local_store()
    models, messages = packaged_models(), read_messages(options.messages)
    found: dict[str, Any] = {
        "folders": [str(model.folder) for model in models],
        "labels": category_labels(models, messages[: options.labels]),
        "batches": {},
    }
    if options.seconds > 0:
        for batch in (1, BATCH):
            found["batches"][batch] = measure_session(
                models, messages, batch, options.seconds, options.warm_up
            )
    json.dump(found, sys.stdout)
    print()


if __name__ == "__main__":
    main()
