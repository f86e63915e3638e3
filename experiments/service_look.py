"""A first look at a running service: its metrics as a table, and how it takes a little load.

For figures to rely on use `benchmarks/serving.py`: here client and service share the processor.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np

from data.pictures import Picture, draw
from serving.client import KefuClient
from serving.schema import Analysis, TrackResponse

__all__ = ["LoadLook", "answer_rows", "draw_load", "look_at_metrics", "offer", "track_rows"]

_TOLD = (
    "kefu_requests_total",
    "kefu_request_seconds_count",
    "kefu_request_seconds_sum",
    "kefu_pass_messages_count",
    "kefu_pass_messages_sum",
    "kefu_alerts_total",
    "kefu_abstentions_total",
)


@dataclass(frozen=True)
class LoadLook:
    """What clients saw who asked one message after the other."""

    clients: int
    answers: int
    per_second: float
    p50_ms: float
    p95_ms: float
    worst_ms: float
    latencies_ms: tuple[float, ...]
    """Of all answers, ascending."""


def offer(address: str, texts: Sequence[str], clients: int = 8, requests: int = 200) -> LoadLook:
    """Let `clients` threads ask `/analyze` until `requests` messages are answered.

    Args:
        texts: asked in turn, from the first again when they run out.

    Raises:
        ValueError: no texts, clients or requests.
        serving.client.KefuError: the service refused or did not answer.
    """
    if not texts or clients < 1 or requests < 1:
        raise ValueError("texts, clients, requests: need at least one each")
    with KefuClient(address) as kefu, ThreadPoolExecutor(clients) as pool:

        def ask(number: int) -> float:
            began = time.perf_counter()
            kefu.analyze(texts[number % len(texts)])
            return 1000 * (time.perf_counter() - began)

        kefu.analyze(texts[0])
        began = time.perf_counter()
        seen = sorted(pool.map(ask, range(requests)))
        took = time.perf_counter() - began
    p50, p95 = (float(value) for value in np.percentile(seen, (50, 95)))
    return LoadLook(clients, requests, requests / took, p50, p95, seen[-1], tuple(seen))


def draw_load(looks: Sequence[LoadLook]) -> Picture:
    """Distribution of the time to answer, by number of clients, and throughput beside it."""

    def paint(figure: Any) -> None:
        left, right = figure.subplots(1, 2, width_ratios=[2, 1])
        for look in looks:
            share = np.arange(1, look.answers + 1) / look.answers
            left.plot(
                look.latencies_ms, share, label=f"{look.clients} clients" if look.clients > 1 else "1 client"
            )
        left.set(
            title="time to answer", xlabel="milliseconds", ylabel="share of answers within it", ylim=(0, 1.02)
        )
        left.set_xscale("log")
        left.grid(alpha=0.3)
        left.legend(frameon=False, loc="lower right")
        names = [str(look.clients) for look in looks]
        bars = right.bar(names, [look.per_second for look in looks], color="#607d8b")
        right.bar_label(bars, [f"{look.per_second:.0f}" for look in looks])
        right.set(title="answers per second", xlabel="clients")

    return draw(paint, 9.0, 3.2)


def answer_rows(
    messages: Sequence[str | Mapping[str, Any]], answers: Sequence[Analysis]
) -> list[dict[str, Any]]:
    """Messages beside their answers, as an agent's desk would show them."""
    return [
        {
            "message": message if isinstance(message, str) else message["text"],
            "wants": answer.category.zh,
            "score": answer.category.score,
            "to a person": answer.category.abstain,
            "feels": answer.emotion.zh,
            "alert": f"{answer.alert.level} {answer.alert.zh}",
            "why": "；".join(answer.alert.reasons),
        }
        for message, answer in zip(messages, answers, strict=True)
    ]


def track_rows(turns: Sequence[tuple[str, str]], found: TrackResponse) -> list[dict[str, Any]]:
    """A chat turn by turn; emotion, heat and alert stand beside the customer's turns."""
    tracked = {turn.index: turn for turn in found.turns}
    return [
        {
            "turn": index,
            "role": role,
            "text": text,
            "feels": turn.emotion.zh if (turn := tracked.get(index)) else "",
            "heat": turn.heat if turn else "",
            "alert": turn.alert.level if turn else "",
        }
        for index, (role, text) in enumerate(turns)
    ]


def look_at_metrics(address: str) -> list[dict[str, Any]]:
    """The totals of `/metrics` that a person asks for first: name, labels, value.

    Raises:
        httpx.HTTPError: the service does not answer.
    """
    from prometheus_client.parser import text_string_to_metric_families

    answer = httpx.get(f"{address}/metrics", timeout=10).raise_for_status()
    rows = []
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            if sample.name in _TOLD:
                labels = ", ".join(f"{name} {value}" for name, value in sorted(sample.labels.items()))
                rows.append({"metric": sample.name, "labels": labels, "value": round(float(sample.value), 3)})
    return sorted(rows, key=lambda row: (_TOLD.index(row["metric"]), row["labels"]))
