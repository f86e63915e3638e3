"""Conversations inspected a second, with and without the emotion model.

    python -m benchmarks.inspection --datasets ../shared/datasets --model models/shared/exported

The conversations are those of `jd_sessions_unlabelled.jsonl.gz`: real, without times, so efficiency and kept
promises are not judged. One process; the emotion model on `--threads` threads. On a busy machine the
processor's time tells more than the clock: both are given.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assist.inspection.inspector import Inspector
from assist.inspection.log import summarise
from assist.inspection.schema import InspectRequest, InspectTurn
from benchmarks.machine import describe_machine
from data.files import write_json
from experiments.inspection_quality import shop_check, shop_scripts

__all__ = ["main", "read_sessions", "throughput"]

FILE = "jd_sessions_unlabelled.jsonl.gz"


def read_sessions(path: Path, most: int | None = None) -> list[InspectRequest]:
    """Sessions with at least one turn of the agent."""
    found: list[InspectRequest] = []
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            turns = [
                InspectTurn(role=turn["role"], text=turn["text"][:5000])
                for turn in row["messages"][:500]
                if turn["text"].strip()
            ]
            if any(turn.role == "agent" for turn in turns):
                found.append(InspectRequest(id=row["id"], turns=turns))
            if most is not None and len(found) == most:
                break
    return found


def throughput(inspector: Inspector, requests: Sequence[InspectRequest], repeats: int) -> dict[str, Any]:
    """Conversations and turns a second: the median of some repeats, and what was found."""
    inspections = inspector.inspect_many(requests[:20])  # opens dictionaries
    seconds, own = [], []
    for _ in range(repeats):
        start, busy = time.perf_counter(), time.process_time()
        inspections = inspector.inspect_many(requests)
        seconds.append(time.perf_counter() - start)
        own.append(time.process_time() - busy)
    middle, middle_own = (sorted(times)[len(times) // 2] for times in (seconds, own))
    turns = sum(len(request.turns) for request in requests)
    summary = summarise(inspections)
    return {
        "conversations": len(requests),
        "turns": turns,
        "seconds": round(middle, 3),
        "conversations_per_second": round(len(requests) / middle, 1),
        "turns_per_second": round(turns / middle, 1),
        "cpu_seconds": round(middle_own, 3),
        "conversations_per_cpu_second": round(len(requests) / middle_own, 1),
        "mean_score": summary.score,
        "with_finding": summary.faults,
        "not_judged": summary.not_judged,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure both ways and print a table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    datasets = Path(os.environ.get("KEFU_DATASETS", "../shared/datasets"))
    parser.add_argument("--datasets", type=Path, default=datasets, help="folder with the sessions")
    parser.add_argument("--model", type=Path, default=Path("models/shared/exported"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--read", type=int, default=200, help="conversations with the emotion model")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/inspection.json"))
    options = parser.parse_args(arguments)
    from experiments.inspection_reader import emotion_reader

    requests = read_sessions(options.datasets / FILE)
    parts = {"library": shop_scripts(), "knowledge": shop_check()}
    ways = {
        "rules": (Inspector(**parts), requests, 3),  # type: ignore[arg-type]
        "rules_and_emotion": (
            Inspector(**parts, read_emotion=emotion_reader(options.model, options.threads)),  # type: ignore[arg-type]
            requests[: options.read],
            1,
        ),
    }
    result: dict[str, Any] = {"machine": describe_machine(), "threads": options.threads}
    for name, (inspector, chosen, repeats) in ways.items():
        result[name] = throughput(inspector, chosen, repeats)
        shown = result[name]
        print(
            f"{name:20} {shown['conversations']:5} conversations {shown['turns']:6} turns "
            f"{shown['conversations_per_second']:8.1f} conversations/s "
            f"{shown['conversations_per_cpu_second']:8.1f} per second of CPU"
        )
    write_json(options.output, result)


if __name__ == "__main__":
    main()
