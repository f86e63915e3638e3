"""Our service at full load for ten minutes: does its memory grow, and does it make errors?

The slope of the memory is the Theil-Sen estimator (Sen 1968: the median of the slopes between all pairs
of samples) after the first minute, with its 95 % interval. Samples two seconds apart are not
independent, so medians of blocks of ten seconds are compared instead.

    python -m benchmarks.soak --minutes 10 --output benchmarks/soak.json --picture docs/soak.png
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from rich.console import Console

from benchmarks.contenders import CONTENDERS, BenchmarkError, MemoryLog, ask_labels, run_json, running
from benchmarks.machine import describe_machine
from benchmarks.messages import choose_messages, describe_messages
from data.files import write_json, write_jsonl
from serving.package import use_local_store

__all__ = ["Slope", "main", "memory_slope", "soak"]

EVERY = 2.0
BLOCK = 10.0


@dataclass(frozen=True, slots=True)
class Slope:
    """Growth of memory in MB per hour, with the ends of its 95 % interval."""

    mb_per_hour: float
    low: float
    high: float


def memory_slope(
    samples: Sequence[tuple[float, float]], skip: float = 60.0, block: float = BLOCK
) -> Slope | None:
    """Robust slope of (seconds, MB) samples; None with fewer than three blocks.

    Args:
        skip: seconds at the beginning to leave out.
        block: seconds of which the median is one point of the fit.
    """
    from scipy.stats import theilslopes

    blocks: dict[int, list[tuple[float, float]]] = {}
    for second, megabytes in samples:
        if second >= skip:
            blocks.setdefault(int((second - skip) // block), []).append((second, megabytes))
    if len(blocks) < 3:
        return None
    points = np.array([np.median(rows, axis=0) for _, rows in sorted(blocks.items())])
    fit = theilslopes(points[:, 1], points[:, 0] / 3600, alpha=0.95)
    return Slope(*(round(float(value), 2) for value in (fit.slope, fit.low_slope, fit.high_slope)))


def soak(
    bodies: Sequence[dict[str, Any]], clients: int, minutes: float, skip: float = 60.0, block: float = BLOCK
) -> dict[str, Any]:
    """Load our service and watch it.

    Args:
        skip, block: see `memory_slope`.

    Returns:
        Throughput, percentiles, errors, `memory` as [seconds, MB], `slope`, messages per second of each
        minute, and what the service says of itself.

    Raises:
        BenchmarkError: it does not start, or does not answer before the load begins.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "messages.jsonl"
        write_jsonl(file, bodies)
        with running(CONTENDERS["ours"], Path(folder)) as address:
            ask_labels("ours", address, file.read_bytes().splitlines()[:8])
            arguments = ["--url", f"{address}/analyze", "--messages", str(file), "--clients", str(clients)]
            arguments += ["--seconds", str(minutes * 60), "--warm-up", "2"]
            memory = MemoryLog()
            found = run_json("benchmarks.load", arguments, memory, EVERY)
            try:
                alive = httpx.get(f"{address}/readyz", timeout=10).status_code == 200
                service = httpx.get(f"{address}/info", timeout=10).json()
            except (httpx.HTTPError, ValueError):
                alive, service = False, {}
    counts = found.pop("per_second")
    parts = [counts[start : start + 60] for start in range(0, len(counts), 60)]
    slope = memory_slope(memory.samples, skip, block)
    return {
        **found,
        "clients": clients,
        "alive_at_the_end": alive,
        "slope": {"mb_per_hour": slope.mb_per_hour, "low": slope.low, "high": slope.high} if slope else None,
        "per_minute": [round(sum(part) / len(part), 1) for part in parts],
        "memory": [[round(second, 1), round(megabytes, 1)] for second, megabytes in memory.samples],
        "service": service,
    }


def picture(figures: dict[str, Any], path: Path) -> None:
    """Draw memory and throughput over time."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    seconds, megabytes = np.array(figures["memory"]).T
    axes.plot(seconds / 60, megabytes, color="#1565c0")
    axes.set(xlabel="minutes", ylabel="resident memory of the service, MB")
    axes.set_ylim(0, 1.15 * megabytes.max())
    axes.grid(alpha=0.3)
    right = axes.twinx()
    middles = np.arange(len(figures["per_minute"])) + 0.5
    right.plot(middles, figures["per_minute"], "o--", color="#ef6c00")
    right.set_ylabel("messages per second", color="#ef6c00")
    right.set_ylim(0, 1.15 * max(*figures["per_minute"], 1))
    errors = sum(figures["errors"].values())
    axes.set_title(f"{figures['clients']} clients, {errors} errors; memory {_slope_text(figures['slope'])}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _slope_text(slope: dict[str, float] | None) -> str:
    if slope is None:
        return "slope: too few samples"
    return "{mb_per_hour:+.1f} MB/hour (95 %: {low:+.1f} to {high:+.1f})".format(**slope)


def main(arguments: Sequence[str] | None = None) -> int:
    """Soak the service, print the outcome, write JSON and a picture; 1 if it erred or died."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=main.__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--messages", type=Path, help="JSON Lines with text and context")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    parser.add_argument("--picture", type=Path, help="PNG file to write")
    parser.add_argument("--seed", type=int, default=7, help="of the messages' order")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that children are stopped as well
    use_local_store()
    console = Console()
    source, bodies = choose_messages(options.messages, options.seed)
    machine = describe_machine()
    with console.status(f"{options.clients} clients for {options.minutes:g} minutes"):
        try:
            found = soak(bodies, options.clients, options.minutes)
        except BenchmarkError as error:
            console.print(f"[bold red]{error}[/]")
            return 1
    figures = {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine,
        "messages": describe_messages(source, bodies),
        **found,
    }
    console.print(f"answers      {found['answers']:,} ({found['throughput']:.1f} messages/s)")
    console.print(f"latency      p50 {found['p50_ms'] or 0:.0f} ms, p99 {found['p99_ms'] or 0:.0f} ms")
    console.print(f"per minute   {found['per_minute']}")
    console.print(f"errors       {found['errors'] or 'none'}")
    console.print(f"memory       {_slope_text(found['slope'])}")
    if options.output:
        write_json(options.output, figures)
    if options.picture:
        picture(figures, options.picture)
    if not found["alive_at_the_end"]:
        console.print("[bold red]the service is dead; see .kefu/service.log[/]")
    return int(bool(found["errors"]) or not found["alive_at_the_end"] or not found["answers"])


if __name__ == "__main__":
    raise SystemExit(main())
