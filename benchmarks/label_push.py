"""What `kefu label push` costs over the bare calls: the same tasks, the same batches, one run.

The bare way posts finished tasks to Label Studio's import. Ours reads the rows, masks them, asks the
champion for suggestions, leaves out what is there already, and posts them.

    python -m benchmarks.label_push --tasks 10000 --output benchmarks/label_push.json
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx

from data.files import write_json, write_jsonl
from data.taxonomy import load_taxonomy
from labeling.client import LabelStudio, Login
from labeling.project import init_project
from labeling.push import BATCH, push, read_chats, tasks_with
from labeling.rehearsal import choose_chats
from labeling.server import running_server
from labeling.suggest import packaged_champion
from serving.package import use_local_store


def _bare(login: Login, project: int, tasks: Sequence[dict[str, Any]]) -> float:
    began = time.perf_counter()
    with httpx.Client(headers={"Authorization": f"Token {login.token}"}, timeout=60) as http:
        for start in range(0, len(tasks), BATCH):
            url = f"{login.url}/api/projects/{project}/import"
            http.post(url, json=tasks[start : start + BATCH]).raise_for_status()
    return time.perf_counter() - began


def measure(count: int, rounds: int) -> dict[str, Any]:
    """Seconds of both ways, alternating; the median of the rounds."""
    use_local_store()
    taxonomy, suggest = load_taxonomy(), packaged_champion()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "chats.jsonl"
        write_jsonl(file, (asdict(row) for row in choose_chats(count)))
        with running_server(home=Path(folder), environment=Path(".kefu/label_studio")) as login:
            server = LabelStudio(login)
            build = tasks_with(suggest, taxonomy)
            # Doubles within the file are sent once either way.
            prepared = build(list({chat.key: chat for chat in read_chats(file)}.values()))
            bare, ours = [], []
            for number in range(rounds):
                project, _ = init_project(server, taxonomy, f"bare {number}")
                bare.append(_bare(login, project.id, prepared))
                project, _ = init_project(server, taxonomy, f"ours {number}")
                began = time.perf_counter()
                report = push(server, project.id, read_chats(file), build)
                ours.append(time.perf_counter() - began)
                assert report.added == len(prepared)
            began = time.perf_counter()
            push(server, project.id, read_chats(file), build)
            repeated = time.perf_counter() - began
    overhead = statistics.median(ours) - statistics.median(bare)
    return {
        "tasks": len(prepared),
        "rounds": rounds,
        "bare_seconds": round(statistics.median(bare), 1),
        "push_seconds": round(statistics.median(ours), 1),
        "overhead_seconds": round(overhead, 1),
        "overhead_seconds_per_10000": round(overhead / len(prepared) * 10_000, 1),
        "nothing_new_seconds": round(repeated, 1),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args(arguments)
    figures = measure(options.tasks, options.rounds)
    for name, value in figures.items():
        print(f"{name:28} {value}")
    if options.output:
        write_json(options.output, figures)


if __name__ == "__main__":
    main()
