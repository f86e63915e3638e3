"""How well messages by people whom training never met are understood: whole authors left out, in turn.

The authors are dealt into groups; each group is left out once, and the others teach the model that
answers it. For every author and view (n-grams alone, encoder alone, both) one row of figures. The
n-gram view is the baseline that a team would build in an afternoon; it takes seconds, the whole
model minutes. Finished groups are kept in the output folder: a killed run goes on where it was, and
two processes may share the groups (`--only`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.example import Example, read_examples
from data.files import sha256_file, write_json
from data.ngrams import NgramView
from data.split import Snapshot, SplitConfig, split_examples
from data.taxonomy import Taxonomy, load_taxonomy
from training.calibrate import calibrate
from training.config import TrainingConfig, load_training_config
from training.evaluate import evaluate_task
from training.fit import Floats, Views, fit_lexical_views, targets, train_views

__all__ = ["author_groups", "confusions", "leave_out", "main", "mean_over_authors"]

CHECKPOINTS = Path(".kefu/checkpoints")
SHOWN = {
    "accuracy_single": "single",
    "accuracy_in_context": "in context",
    "accuracy_context_left_out": "left out",
    "top3": "top 3",
    "polarity_accuracy": "polarity",
    "ece": "ECE",
}
N_GRAMS, ENCODER, BOTH = "n-grams", "encoder", "both views"
Row = dict[str, Any]
Logits = dict[str, tuple[Floats, Floats | None]]


def author_groups(examples: Sequence[Example], count: int) -> list[tuple[str, ...]]:
    """Deal the authors into `count` groups of about as many rows; each by itself if there are fewer."""
    rows: dict[str, int] = {}
    for row in examples:
        rows[row.author] = rows.get(row.author, 0) + 1
    groups: list[list[str]] = [[] for _ in range(min(count, len(rows)))]
    for author in sorted(rows, key=lambda name: (-rows[name], name)):
        min(groups, key=lambda group: sum(rows[name] for name in group)).append(author)
    return [tuple(sorted(group)) for group in groups]


def leave_out(
    authors: Sequence[str],
    examples: Sequence[Example],
    config: TrainingConfig,
    taxonomy: Taxonomy,
    whole: bool,
) -> tuple[list[Row], list[Row]]:
    """Train without `authors`, answer theirs.

    Args:
        whole: train the encoder too, not only the n-gram view.

    Returns:
        A row of figures for each author, view and task; and the answers of the last view, one for
        each of the authors' messages: id, and by task label to probability.
    """
    splits = split_examples(examples, SplitConfig(test_authors=tuple(authors), val=0.06))
    splits["test"] = [row for row in splits["test"] if row.author in authors]
    snapshot = Snapshot("without-" + "-".join(authors), taxonomy, splits)
    sets = {
        "val": splits["val"],
        "full": splits["test"],
        "alone": [replace(row, context=()) for row in splits["test"]],
    }
    logits = _encoder_and_lexical(snapshot, config, sets) if whole else _lexical(snapshot, config, sets)
    figures: list[Row] = []
    answers: list[Row] = []
    for view, chosen in _views(logits, whole):
        target = targets(sets["val"], {task: taxonomy.label_map(task) for task in config.tasks})
        in_context = {name: np.array([bool(row.context) for row in rows]) for name, rows in sets.items()}
        calibration = calibrate(chosen["val"], target, in_context["val"], taxonomy, config.thresholds)
        scores = {
            name: {
                task: calibration.tasks[task].probabilities(*pair, in_context[name])
                for task, pair in chosen[name].items()
            }
            for name in ("full", "alone")
        }
        stored = calibration.as_dict()
        for task in config.tasks:
            figures += _figures(view, task, sets["full"], scores, taxonomy, stored[task])
        answers = list(_answers(sets["full"], scores["full"], taxonomy))
    return figures, answers


def _encoder_and_lexical(
    snapshot: Snapshot, config: TrainingConfig, sets: dict[str, list[Example]]
) -> dict[str, Logits]:
    views: Views = train_views(config, snapshot, CHECKPOINTS)
    return {name: views.logits(rows) for name, rows in sets.items()}


def _lexical(snapshot: Snapshot, config: TrainingConfig, sets: dict[str, list[Example]]) -> dict[str, Logits]:
    label_maps = {task: snapshot.taxonomy.label_map(task) for task in config.tasks}
    ngrams = NgramView(config.train.ngram_buckets)
    models = fit_lexical_views(snapshot.splits["train"], label_maps, ngrams, config.train.ngram_strength)
    return {
        name: {
            task: (model.margins([(row.text, row.context) for row in rows], ngrams), None)
            for task, model in models.items()
        }
        for name, rows in sets.items()
    }


def _views(logits: dict[str, Logits], whole: bool) -> Iterable[tuple[str, dict[str, Logits]]]:
    if not whole:
        yield N_GRAMS, logits
        return
    yield ENCODER, _each(logits, lambda encoder, lexical: (encoder, None))
    if all(lexical is not None for _, lexical in logits["val"].values()):
        yield N_GRAMS, _each(logits, lambda encoder, lexical: (lexical, None))
        yield BOTH, logits


def _each(logits: dict[str, Logits], choose: Any) -> dict[str, Logits]:
    return {name: {task: choose(*pair) for task, pair in tasks.items()} for name, tasks in logits.items()}


def _figures(
    view: str,
    task: str,
    test: Sequence[Example],
    scores: dict[str, dict[str, NDArray[np.floating[Any]]]],
    taxonomy: Taxonomy,
    thresholds: dict[str, float],
) -> Iterable[Row]:
    for author in sorted({row.author for row in test}):
        index = [number for number, row in enumerate(test) if row.author == author]
        rows = [test[number] for number in index]
        full, alone = scores["full"][task][index], scores["alone"][task][index]
        report = evaluate_task(task, rows, full, taxonomy, thresholds, alone)
        metrics = {name.removeprefix(f"{task}_"): value for name, value in report.metrics.items()}
        yield {"author": author, "view": view, "task": task, **metrics, "rows": len(rows)}


def _answers(
    test: Sequence[Example], scores: dict[str, NDArray[np.floating[Any]]], taxonomy: Taxonomy
) -> Iterable[Row]:
    labels = {task: taxonomy.label_map(task).labels for task in scores}
    for number, row in enumerate(test):
        found = {
            task: {label: round(float(p), 5) for label, p in zip(labels[task], values[number], strict=True)}
            for task, values in scores.items()
        }
        yield {"id": row.id, **found}


def confusions(examples: Sequence[Example], answers: Sequence[Row], taxonomy: Taxonomy) -> list[Row]:
    """The 25 commonest confusions of categories, most frequent first, with the messages' ids and texts."""
    by_id = {row.id: row for row in examples}
    labels = taxonomy.label_map("category").labels
    rows = [by_id[answer["id"]] for answer in answers]
    scores = np.array([[answer["category"][label] for label in labels] for answer in answers])
    thresholds = {"abstain_below": 0.0}
    return evaluate_task("category", rows, scores, taxonomy, thresholds).worst


def mean_over_authors(rows: Sequence[Row], view: str, task: str, name: str) -> tuple[float, float]:
    """Mean of a figure over the authors, and half the width of its 95 % interval (Student's t).

    Authors without that figure (no single messages, no conversations) do not count.

    Raises:
        ValueError: no author has it.
    """
    from scipy.stats import t

    values = [row[name] for row in rows if row["view"] == view and row["task"] == task and name in row]
    if not values:
        raise ValueError(f"{name}: no author has this figure for {view}, {task}")
    if len(values) == 1:
        return float(values[0]), float("nan")
    half = t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return float(np.mean(values)), float(half)


def _print_table(rows: Sequence[Row]) -> None:
    print(
        f"{'author':8} {'view':10} {'task':9} {'rows':>6}" + "".join(f"{name:>12}" for name in SHOWN.values())
    )
    for row in sorted(rows, key=lambda row: (row["task"], row["view"], row["author"])):
        figures = "".join(f"{row.get(name, float('nan')):12.3f}" for name in SHOWN)
        print(f"{row['author']:8} {row['view']:10} {row['task']:9} {row['rows']:6}{figures}")
    for view, task in sorted({(row["view"], row["task"]) for row in rows}):
        cells = ""
        for name in SHOWN:
            if any(name in row for row in rows if row["task"] == task and row["view"] == view):
                mean, half = mean_over_authors(rows, view, task, name)
                cells += f"{mean:6.3f}±{half:.3f}"
            else:
                cells += f"{'':12}"
        print(f"{'mean':8} {view:10} {task:9} {'':6}{cells}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Leave groups of authors out, one after another, and print what the others taught about theirs."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--examples", type=Path, default=Path("data/interim/examples.jsonl"))
    parser.add_argument("--model", default="shared", help="an entry of models in params.yaml")
    parser.add_argument("--groups", type=int, default=4, help="how many groups the authors are dealt into")
    parser.add_argument("--only", type=int, nargs="*", help="numbers of the groups to do now, from 0")
    parser.add_argument("--baseline", action="store_true", help="only the n-gram view (seconds)")
    parser.add_argument("--output", type=Path, default=Path(".kefu/held_out"), help="folder of the results")
    options = parser.parse_args(arguments)
    examples = read_examples(options.examples)
    config, taxonomy = load_training_config(options.model), load_taxonomy()
    groups = author_groups(examples, options.groups)
    # Results of other data or settings are never taken for these.
    folder = options.output / config.fingerprint(sha256_file(options.examples))
    kind = "baseline" if options.baseline else "whole"
    found: list[Row] = []
    answers: list[Row] = []
    for number, authors in enumerate(groups):
        path = folder / f"{kind}-{number}-of-{len(groups)}.json"
        if not path.is_file():
            if options.only is not None and number not in options.only:
                continue
            print(f"group {number}: without {', '.join(authors)}", flush=True)
            result = leave_out(authors, examples, config, taxonomy, not options.baseline)
            write_json(path, {"authors": authors, "figures": result[0], "answers": result[1]})
        kept = json.loads(path.read_text(encoding="utf-8"))
        found += kept["figures"]
        answers += kept["answers"]
    if found:
        write_json(folder / f"{kind}-confusions.json", confusions(examples, answers, taxonomy))
        _print_table(found)
        print(f"answers and confusions -> {folder}")


if __name__ == "__main__":
    main()
