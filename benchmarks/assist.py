"""What `/assist` costs: everything for a message beside its labels alone, over HTTP, in one run.

The same chats are sent to `/analyze` and to `/assist`, by one client and by eight; each part of `/assist`
says its own time. Chats of the corpus hold no times, so inspection judges without them.

    python -m benchmarks.assist --output benchmarks/assist.json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks.load import offer_load, percentile
from benchmarks.machine import describe_machine
from benchmarks.messages import choose_messages, describe_messages
from data.files import write_json
from serving.demo import running_service
from serving.package import use_local_store

__all__ = ["main", "measure"]

ENDPOINTS = ("analyze", "assist")
WARM_UP = 3.0


def measure(bodies: Sequence[dict[str, Any]], seconds: float, rounds: int) -> dict[str, Any]:
    """Latency and throughput of both endpoints by clients, and the parts' own times.

    Args:
        bodies: `text` and `context` of each message.
        seconds: of one measurement; they alternate, and the median of the rounds counts.
    """
    encoded = [json.dumps(body).encode() for body in bodies]
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, running_service(variables=_stores(Path(folder))) as address:
        own = _parts(address, bodies[:300])
        for _ in range(rounds):
            for clients in (1, 8):
                for endpoint in ENDPOINTS:
                    url = f"{address}/{endpoint}"
                    load = asyncio.run(offer_load(url, encoded, clients, seconds, WARM_UP))
                    found[f"{endpoint}_{clients}"].append(load.as_dict())
    figures: dict[str, Any] = {
        name: {
            "p50_ms": round(statistics.median(one["p50_ms"] for one in runs), 1),
            "p99_ms": round(statistics.median(one["p99_ms"] for one in runs), 1),
            "per_second": round(statistics.median(one["throughput"] for one in runs), 1),
            "errors": sum(sum(one["errors"].values()) for one in runs),
        }
        for name, runs in found.items()
    }
    ratio = figures["assist_1"]["p50_ms"] / figures["analyze_1"]["p50_ms"]
    return {"load": figures, "parts": own, "ratios": {"assist_vs_analyze_p50_1_client": round(ratio, 2)}}


def _stores(folder: Path) -> dict[str, str]:
    """The demo shop's knowledge, and no feedback of others."""
    from assist.knowledge.intake import knowledge_import

    knowledge_import(path=folder / "knowledge.sqlite")
    return {
        "KEFU_KNOWLEDGE": str(folder / "knowledge.sqlite"),
        "KEFU_REPLIES": str(folder / "replies.sqlite"),
    }


def _parts(address: str, bodies: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Own times of the parts, one message at a time."""
    times: dict[str, list[float]] = defaultdict(list)
    with httpx.Client(base_url=address, timeout=60) as client:
        for number, body in enumerate(bodies):
            answer = client.post("/assist", json={**body, "deadline_ms": 10000}).raise_for_status().json()
            if number < 20:
                continue
            times["encoder"].append(answer["encoder_ms"] / 1000)
            times["all"].append(answer["took_ms"] / 1000)
            for part in answer["parts"]:
                if part["state"] == "done":
                    times[part["part"]].append(part["took_ms"] / 1000)
    return {
        name: {
            "p50_ms": round(percentile(taken, 50) or 0, 2),
            "p99_ms": round(percentile(taken, 99) or 0, 2),
            "answers": len(taken),
        }
        for name, taken in times.items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, and write JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.assist", description=main.__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=Path, help="JSON Lines with text and context")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--seed", type=int, default=7, help="of the messages' order")
    options = parser.parse_args(arguments)
    use_local_store()
    source, bodies = choose_messages(options.messages, options.seed)
    machine = describe_machine()
    figures = {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine,
        "messages": describe_messages(source, bodies),
        **measure(bodies, options.seconds, options.rounds),
    }
    console = Console()
    table = Table("endpoint, clients", "p50 ms", "p99 ms", "per second", "errors")
    for name, row in figures["load"].items():
        table.add_row(name.replace("_", ", "), *(str(value) for value in row.values()))
    console.print(table)
    table = Table("part of /assist", "p50 ms", "p99 ms", "answers")
    for name, row in figures["parts"].items():
        table.add_row(name, *(str(value) for value in row.values()))
    console.print(table)
    console.print(f"assist_vs_analyze_p50_1_client {figures['ratios']['assist_vs_analyze_p50_1_client']}")
    if options.output:
        write_json(options.output, figures)


if __name__ == "__main__":
    main()
