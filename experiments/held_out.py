"""How well messages by people whom training never met are understood: whole authors left out, in turn.

Prints one row for each author and view, and writes them as JSON. The n-gram view alone is the
baseline that a team would build in an afternoon; it takes seconds, the whole model minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.example import Example, read_examples
from data.files import write_json
from data.ngrams import NgramView
from data.split import Snapshot, SplitConfig, split_examples
from data.taxonomy import TASKS, Taxonomy, load_taxonomy
from training.calibrate import log_softmax
from training.config import TrainingConfig, load_training_config
from training.evaluate import evaluate_task
from training.fit import encoder_logits, fit_model
from training.lexical import fit_lexical

__all__ = ["held_out", "main"]

CHECKPOINTS = Path(".kefu/checkpoints")
SHOWN = ("accuracy_single", "accuracy_in_context", "accuracy_context_left_out", "top3", "ece")


def held_out(
    author: str, examples: Sequence[Example], config: TrainingConfig, taxonomy: Taxonomy, whole: bool
) -> list[dict[str, Any]]:
    """Train without `author`, answer theirs.

    Args:
        whole: train the whole model too, not only the n-gram view.

    Returns:
        A row for each view and task with the metrics of `training.evaluate`.
    """
    splits = split_examples(examples, SplitConfig(test_authors=(author,)))
    test = [row for row in splits["test"] if row.author == author]
    rows = [_lexical(author, task, splits["train"] + splits["val"], test, config, taxonomy) for task in TASKS]
    if whole:
        snapshot = Snapshot(f"without-{author}", taxonomy, {**splits, "test": test})
        rows += _whole(author, snapshot, config)
    return rows


def _lexical(
    author: str,
    task: str,
    train: Sequence[Example],
    test: Sequence[Example],
    config: TrainingConfig,
    taxonomy: Taxonomy,
) -> dict[str, Any]:
    labels = taxonomy.label_map(task)
    view = NgramView(config.train.ngram_buckets or 131072)
    targets = [labels.label2id[getattr(row, task)] for row in train]
    strength = config.train.ngram_strength
    model = fit_lexical([row.text for row in train], targets, len(labels.labels), view, strength)
    scores = np.exp(log_softmax(model.margins([row.text for row in test], view)))
    return _row(author, "n-grams", task, test, scores, taxonomy, scores)


def _whole(author: str, snapshot: Snapshot, config: TrainingConfig) -> list[dict[str, Any]]:
    result, calibration = fit_model(config, snapshot, CHECKPOINTS)
    test = snapshot.splits["test"]
    alone = [Example(row.id, row.text, row.category, row.emotion, row.author) for row in test]
    full, bare = encoder_logits(result, test), encoder_logits(result, alone)
    rows = []
    for task in config.tasks:
        temperature = calibration.tasks[task].temperature
        scores = [np.exp(log_softmax(logits[task] / temperature)) for logits in (full, bare)]
        rows.append(_row(author, "both views", task, test, scores[0], snapshot.taxonomy, scores[1]))
    return rows


def _row(
    author: str,
    view: str,
    task: str,
    test: Sequence[Example],
    scores: np.ndarray,
    taxonomy: Taxonomy,
    alone: np.ndarray,
) -> dict[str, Any]:
    report = evaluate_task(task, test, scores, taxonomy, {"abstain_below": 0.0, "red_above": 0.5}, alone)
    return {"author": author, "view": view, "task": task, "rows": len(test), **report.metrics}


def main(arguments: Sequence[str] | None = None) -> None:
    """Leave authors out, one after another, and print what the others taught about theirs."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--examples", type=Path, default=Path("data/interim/examples.jsonl"))
    parser.add_argument("--model", default="shared", help="an entry of models in params.yaml")
    parser.add_argument("--authors", nargs="*", help="default: everyone who wrote single messages")
    parser.add_argument("--baseline", action="store_true", help="only the n-gram view (seconds)")
    parser.add_argument("--output", type=Path, help="write the rows as JSON")
    options = parser.parse_args(arguments)
    examples = read_examples(options.examples)
    writers = sorted({row.author for row in examples if row.conversation is None})
    config, taxonomy = load_training_config(options.model), load_taxonomy()
    print(f"{'author':10} {'view':11} {'task':9} {'rows':>5} " + " ".join(f"{name:>12.12}" for name in SHOWN))
    found: list[dict[str, Any]] = []
    for author in options.authors or writers:
        for row in held_out(author, examples, config, taxonomy, whole=not options.baseline):
            found.append(row)
            names = [f"{row['task']}_{name}" for name in SHOWN]
            figures = " ".join(f"{row.get(name, float('nan')):12.3f}" for name in names)
            print(f"{author:10} {row['view']:11} {row['task']:9} {row['rows']:5} {figures}", flush=True)
    if options.output:
        write_json(options.output, found)


if __name__ == "__main__":
    main()
