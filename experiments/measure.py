"""The figures of an exported model on any file of labelled messages, beside the alerts of the policy."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.example import Example, read_examples
from data.files import write_json
from data.split import check_labels
from experiments.run import task_reports
from serving.exported import ExportedModel
from serving.policy import load_policy

__all__ = ["main", "measure"]

RED = 3


def measure(model: ExportedModel, rows: list[Example]) -> dict[str, float]:
    """Figures by name as in a run's report, and `red_recall` and `red_false_rate` of the alert policy.

    A message should be red if it is angry or wishes to escalate.

    Raises:
        ValueError: there are no rows, or a label is not in the model's schema.
    """
    check_labels(rows, model.taxonomy)
    metrics: dict[str, float] = {}
    for report in task_reports(model, rows):
        metrics |= report.metrics
    if set(model.tasks) >= {"category", "emotion"}:
        metrics |= _alerts(model, rows)
    return metrics


def _alerts(model: ExportedModel, rows: list[Example]) -> dict[str, float]:
    policy = load_policy(model.taxonomy)
    scores = model.probabilities([(row.text, row.context) for row in rows])
    red = []
    for index, row in enumerate(rows):
        by_label = {
            task: dict(zip(model.labels[task], scores[task][index].tolist(), strict=True))
            for task in model.tasks
        }
        red.append(policy.alert(row.text, by_label, model.calibration["emotion"]["red_above"]).level >= RED)
    wanted = np.array([row.emotion == "angry" or row.category == "dispute_escalation" for row in rows])
    found = np.array(red)
    return {
        "red_recall": float(found[wanted].mean()) if wanted.any() else 0.0,
        "red_false_rate": float(found[~wanted].mean()) if (~wanted).any() else 0.0,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures of an exported model on labelled messages, each author by themselves and all."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("examples", type=Path, help="JSON Lines as in docs/own-data.md")
    parser.add_argument("--exported", type=Path, default=Path("models/shared/exported"))
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    options = parser.parse_args(arguments)
    rows = read_examples(options.examples)
    model = ExportedModel(options.exported)
    authors = sorted({row.author for row in rows})
    groups = {name: [row for row in rows if row.author == name] for name in authors}
    figures = {name: measure(model, group) for name, group in [*groups.items(), ("all", rows)]}
    names = list(figures["all"])
    width = max(map(len, names))
    print(f"{'':{width}}" + "".join(f"{name:>12.12}" for name in figures))
    for name in names:
        print(f"{name:{width}}" + "".join(f"{one.get(name, float('nan')):12.3f}" for one in figures.values()))
    if options.output:
        write_json(options.output, figures)


if __name__ == "__main__":
    main()
