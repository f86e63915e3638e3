"""How large an exported model is, and how long one message takes: figures of its run."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from data.encoding import Message
from data.example import Turn
from serving.demo import CHATS
from serving.exported import DEFAULT_ARTEFACT, ExportedModel, verify_folder

__all__ = ["measure_footprint"]

_CPU = (DEFAULT_ARTEFACT, "int8")


def measure_footprint(folder: Path, rounds: int = 12) -> dict[str, float]:
    """Size and latency of the networks that serve on a CPU.

    Latency is the median over the demonstration chats of one message at a time on one thread, tokens and
    n-grams included; networks take turns, so that a busy machine slows all alike.

    Args:
        folder: an exported model.
        rounds: passes over the chats; a first one warms up and is not counted.

    Returns:
        `size_mb` (megabytes, 10^6) and `latency_ms` of float32; `size_mb_int8` and `latency_ms_int8` where
        the folder lists that artefact.
    """
    listed = verify_folder(folder).get("artefacts", {})
    messages: list[Message] = [
        (chat["text"], tuple(Turn(**turn) for turn in chat.get("context", ()))) for chat in CHATS
    ]
    names = [name for name in _CPU if name == DEFAULT_ARTEFACT or name in listed]
    models = {name: ExportedModel(folder, threads=1, artefact=name) for name in names}
    took: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        for name, model in models.items():
            for message in messages:
                began = time.perf_counter()
                model.probabilities([message])
                if number:
                    took[name].append(time.perf_counter() - began)
    figures = {}
    for name in names:
        suffix = "" if name == DEFAULT_ARTEFACT else f"_{name}"
        file = listed[name]["file"] if name in listed else "model.onnx"
        figures[f"size_mb{suffix}"] = (folder / file).stat().st_size / 1e6
        figures[f"latency_ms{suffix}"] = 1000 * statistics.median(took[name])
    return figures
