"""From a Label Studio JSON export, as a file, to examples.

For an export that somebody made by hand in Label Studio; `kefu label pull` asks the server itself. Point
`data.source` in `params.yaml` at the file this writes, and the pipeline learns from a shop's own labels.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from data.example import write_examples
from data.taxonomy import load_taxonomy
from labeling.resolve import load_resolution_policy, resolve
from labeling.task import Task, parse_task

__all__ = ["main", "read_export"]


def read_export(path: Path) -> list[Task]:
    """Read an export of the format JSON, of any version of Label Studio.

    Raises:
        ValueError: names the file, the task and the field.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({error})") from error
    if not isinstance(raw, list):
        raise ValueError(f"{path}: expected a list of tasks (export format JSON)")
    return [parse_task(task, f"{path}: task {index}") for index, task in enumerate(raw)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert an export file; tasks that gave no example are listed on standard error."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--export", required=True, type=Path, help="Label Studio's JSON export")
    parser.add_argument("--taxonomy", type=Path)
    parser.add_argument("--policy", type=Path, help="how several answers become one; labeling/policy.yaml")
    parser.add_argument("--output", required=True, type=Path, help="examples.jsonl to write")
    options = parser.parse_args(arguments)
    resolution = resolve(
        read_export(options.export), load_taxonomy(options.taxonomy), load_resolution_policy(options.policy)
    )
    for conflict in resolution.conflicts:
        print(f"task {conflict.task.id}: {conflict.reason}", file=sys.stderr)
    for task in resolution.waiting:
        print(f"task {task.id}: has no answer", file=sys.stderr)
    count = write_examples(options.output, resolution.examples)
    left_out = len(resolution.conflicts) + len(resolution.waiting)
    print(f"{count} examples, {left_out} tasks left out -> {options.output}")


if __name__ == "__main__":
    main()
