"""The clinic of `labeling.clinic` with opinions of models that did not learn from the labels in question."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from data.example import Example
from data.sources import CORPUS, read_source
from data.taxonomy import Taxonomy, load_taxonomy
from experiments.embeddings import embed
from experiments.out_of_fold import deal_folds, out_of_fold
from labeling.clinic import ClinicReport, examine, print_clinic, write_clinic
from labeling.convert import read_export
from labeling.resolve import resolve
from labeling.task import Task

__all__ = ["examine_labels", "main", "rehearse_splits"]

Floats = NDArray[np.floating[Any]]


def examine_labels(
    tasks: Sequence[Task],
    taxonomy: Taxonomy,
    beside: Sequence[Example] = (),
    folds: int = 5,
    seed: int = 1,
    progress: bool = False,
) -> ClinicReport:
    """Examine a project's labels with out-of-fold probabilities and the built-in encoder's vectors.

    Args:
        tasks: with their annotations.
        beside: further labelled messages (the embedded corpus), to learn from and to look at.

    Raises:
        ValueError: there is nothing to look at, or a label is not in the schema. Where there are too few
            labels for a model, people's answers are examined alone, and the report says so.
    """
    examples = [*(resolve(tasks, taxonomy).examples if tasks else ()), *beside]
    try:
        deal_folds(examples, taxonomy, folds, seed)  # too few labels show before minutes of reading
        vectors = embed(examples, progress=progress)
        answers = out_of_fold(examples, taxonomy, folds, seed, ("category",), vectors, progress)
    except ValueError as error:
        report = examine(tasks, taxonomy, examples=beside, seed=seed)
        return replace(report, notes=(*report.notes, f"无法训练模型：{error}"))
    model = {row.id: said for row, said in zip(examples, answers.probabilities["category"], strict=True)}
    # The vectors of a turn say much of its conversation: only messages that stand alone are clustered.
    alone = {row.id: vector for row, vector in zip(examples, vectors, strict=True) if not row.context}
    return examine(tasks, taxonomy, model, alone, beside, seed=seed)


def rehearse_splits(
    examples: Sequence[Example], taxonomy: Taxonomy, pairs: int, seed: int = 1, progress: bool = False
) -> tuple[list[tuple[str, str, bool]], list[str]]:
    """Put two categories of a skill group under one label, pair by pair: is it suggested to split them?

    Returns:
        (kept label, label put under it, found); and the categories that are suggested to be split as
        they are.
    """
    vectors = embed(examples, progress=progress)
    answers = out_of_fold(
        examples, taxonomy, seed=seed, tasks=("category",), vectors=vectors, progress=progress
    )
    said = answers.probabilities["category"]
    alone = {row.id: vector for row, vector in zip(examples, vectors, strict=True) if not row.context}
    as_they_are = _split(examples, taxonomy, said, alone, seed)
    together = [
        (one.key, other.key)
        for place, one in enumerate(taxonomy.categories)
        for other in taxonomy.categories[place + 1 :]
        if one.group == other.group
    ]
    place = taxonomy.label_map("category").label2id
    chosen = np.random.default_rng(seed).choice(len(together), min(pairs, len(together)), replace=False)
    found = []
    for kept, gone in (together[number] for number in chosen):
        merged = [replace(row, category=kept) if row.category == gone else row for row in examples]
        opinions = said.copy()
        opinions[:, place[kept]] += opinions[:, place[gone]]
        opinions[:, place[gone]] = 0.0
        found.append((kept, gone, kept in _split(merged, taxonomy, opinions, alone, seed)))
    return found, as_they_are


def _split(
    examples: Sequence[Example], taxonomy: Taxonomy, said: Floats, vectors: dict[str, Floats], seed: int
) -> list[str]:
    model = {row.id: opinion for row, opinion in zip(examples, said, strict=True)}
    report = examine([], taxonomy, model, vectors, examples, seed=seed)
    return [one.categories[0] for one in report.suggestions if one.kind == "split"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Examine the categories of an export of tasks, of examples, or of both, and write the suggestions."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--tasks", type=Path, help="Label Studio's JSON export")
    parser.add_argument("--examples", type=Path, help="an examples.jsonl or a corpus folder")
    parser.add_argument("--taxonomy", type=Path, help="label schema; the embedded one if left out")
    parser.add_argument("--output", type=Path, default=Path(".kefu/clinic"), help="folder")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--rehearse-splits", type=int, metavar="PAIRS", help="put so many pairs under one label"
    )
    options = parser.parse_args(arguments)
    taxonomy = load_taxonomy(options.taxonomy)
    if options.rehearse_splits:
        examples = read_source(options.examples or CORPUS)
        found, as_they_are = rehearse_splits(examples, taxonomy, options.rehearse_splits, options.seed, True)
        for kept, gone, right in found:
            print(f"{kept} + {gone}: {'found' if right else 'not found'}")
        print(f"{sum(right for _, _, right in found)} of {len(found)} found")
        print(f"as they are: {', '.join(as_they_are) or 'none'}")
        return
    tasks = read_export(options.tasks) if options.tasks else []
    beside = read_source(options.examples) if options.examples else []
    report = examine_labels(tasks, taxonomy, beside, seed=options.seed, progress=True)
    write_clinic(report, options.output)
    print_clinic(report, Console(highlight=False))
    print(f"page: {options.output / 'clinic.html'}")


if __name__ == "__main__":
    main()
