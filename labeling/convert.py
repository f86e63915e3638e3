"""From a Label Studio JSON export to examples.

A task holds one message to label: `data` = `{"text", "context"?, "conversation"?}` with the context as
`[{"role", "text"}]`. Each annotation answers the choices `category` and `emotion`. Point `data.source`
in `params.yaml` at the file this writes, and the pipeline learns from a shop's own labels.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.example import Example, parse_turns, write_examples
from data.split import check_labels
from data.taxonomy import TASKS, load_taxonomy

__all__ = ["Conversion", "convert", "main"]


@dataclass(frozen=True)
class Conversion:
    """Examples, and why other tasks gave none."""

    examples: list[Example]
    left_out: list[str]


def convert(tasks: Iterable[Any]) -> Conversion:
    """Make examples of exported tasks.

    Cancelled annotations do not count. Several annotations of one task are settled by majority, label
    by label; a tie leaves the task out, as does a missing label. The author of an example is the
    annotator, as a pseudonym (`annotator-7`), or `several`.

    Raises:
        ValueError: a task is not of the expected form; names the task and the field.
    """
    examples: list[Example] = []
    left_out: list[str] = []
    for index, task in enumerate(tasks):
        if not isinstance(task, dict) or "id" not in task or not isinstance(task.get("data"), dict):
            raise ValueError(f"task {index}: expected an object with id and data")
        where = f"task {task['id']}"
        data = task["data"]
        if not isinstance(data.get("text"), str) or not data["text"].strip():
            raise ValueError(f"{where}: data.text: expected a text, got {data.get('text')!r}")
        kept = [one for one in task.get("annotations") or () if not one.get("was_cancelled")]
        labels = {}
        for name in TASKS:
            votes = Counter(vote for one in kept for vote in _choices(one, name))
            label = _majority(votes)
            if label is None:
                reason = "annotators disagree evenly" if votes else "has no answer"
                left_out.append(f"{where}: {name}: {reason}")
                break
            labels[name] = label
        if len(labels) < len(TASKS):
            continue
        people = {str(_person(one)) for one in kept}
        examples.append(
            Example(
                id=f"ls-{task['id']}",
                text=data["text"],
                author=f"annotator-{people.pop()}" if len(people) == 1 else "several",
                context=parse_turns(data.get("context") or [], f"{where}: data.context"),
                conversation=data.get("conversation"),
                **labels,
            )
        )
    return Conversion(examples, left_out)


def _choices(annotation: dict[str, Any], name: str) -> list[str]:
    return [
        choice
        for result in annotation.get("result") or ()
        if result.get("from_name") == name
        for choice in (result.get("value") or {}).get("choices") or ()
    ]


def _majority(votes: Counter[str]) -> str | None:
    ranked = votes.most_common(2)
    if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]


def _person(annotation: dict[str, Any]) -> Any:
    # Older exports give an id, newer ones an object.
    person = annotation.get("completed_by")
    return person.get("id") if isinstance(person, dict) else person


def main(arguments: Sequence[str] | None = None) -> None:
    """Convert an export file; tasks that gave no example are listed on standard error."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--export", required=True, type=Path, help="Label Studio's JSON export")
    parser.add_argument("--taxonomy", type=Path)
    parser.add_argument("--output", required=True, type=Path, help="examples.jsonl to write")
    options = parser.parse_args(arguments)
    tasks = json.loads(options.export.read_text(encoding="utf-8"))
    if not isinstance(tasks, list):
        raise ValueError(f"{options.export}: expected a list of tasks (export format JSON)")
    conversion = convert(tasks)
    check_labels(conversion.examples, load_taxonomy(options.taxonomy))
    for reason in conversion.left_out:
        print(reason, file=sys.stderr)
    count = write_examples(options.output, conversion.examples)
    print(f"{count} examples, {len(conversion.left_out)} tasks left out -> {options.output}")


if __name__ == "__main__":
    main()
