"""Which artefact of a model to serve on this machine: the fastest of those that passed their gate."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import onnxruntime

from data.encoding import Message
from data.example import Turn
from serving.demo import CHATS
from serving.exported import DEFAULT_ARTEFACT, DEVICES, ExportedModel, verify_folder

__all__ = ["choose_artefacts", "measure_speed"]

_WORTH = 1.05
"""So many times float32's speed an artefact must have to be worth its small losses."""
_SUITS = {"cpu": ("int8",), "cuda": ("float16",)}


def choose_artefacts(folder: Path, threads: int | None = None, rounds: int = 5) -> dict[str, str]:
    """By device the artefact to serve; measured for devices that are here, else the usual choice.

    Args:
        folder: an exported model.
        threads: of one pass, as the service will use.
        rounds: alternating measurements; the medians are compared.
    """
    listed = verify_folder(folder).get("artefacts", {})
    chosen = {}
    for device in DEVICES:
        candidates = [name for name in _SUITS[device] if name in listed]
        if device == "cpu" or "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            speeds = measure_speed(folder, [DEFAULT_ARTEFACT, *candidates], device, threads, rounds)
            best = max(speeds, key=lambda name: speeds[name])
            worth = speeds[best] >= _WORTH * speeds[DEFAULT_ARTEFACT]
            chosen[device] = best if worth else DEFAULT_ARTEFACT
        else:
            chosen[device] = candidates[0] if candidates else DEFAULT_ARTEFACT
    return chosen


def measure_speed(
    folder: Path, artefacts: list[str], device: str = "cpu", threads: int | None = None, rounds: int = 5
) -> dict[str, float]:
    """Messages a second of each artefact, by turns on the same messages of real length; medians."""
    messages: list[Message] = [
        (chat["text"], tuple(Turn(**turn) for turn in chat.get("context", ())))
        for _ in range(3)
        for chat in CHATS
    ]
    models = {name: ExportedModel(folder, threads, device, name) for name in artefacts}
    took: dict[str, list[float]] = {name: [] for name in artefacts}
    for number in range(rounds + 1):
        for name, model in models.items():
            began = time.perf_counter()
            model.logits(messages)
            if number:  # the first round warms up
                took[name].append(time.perf_counter() - began)
    return {name: len(messages) / statistics.median(seconds) for name, seconds in took.items()}
