"""Probable label errors: rows whose label a model that never saw them finds unlikely.

Confident learning (Northcutt, Jiang, Chuang: "Confident Learning: Estimating Uncertainty in Dataset
Labels", JAIR 2021; the cleanlab library) on the probabilities of `experiments.out_of_fold`. The result is
a ranking for people to look at, most suspicious first; nothing is relabelled.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.example import Example
from data.files import write_json, write_jsonl
from data.sources import CORPUS, read_source
from data.taxonomy import TASKS, Taxonomy, load_taxonomy
from experiments.embeddings import embed
from experiments.out_of_fold import out_of_fold, write_answers
from labeling.label_words import boundary_rules

__all__ = ["Suspect", "find_label_errors", "main", "rank_suspects"]

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Suspect:
    """One label of one example, and what speaks against it."""

    id: str
    task: str
    """"category" or "emotion"."""
    label: str
    """As given."""
    label_probability: float
    """Of the given label, by a model that never saw the example: cleanlab's self-confidence score."""
    guess: str
    """The model's most probable label; the given one where the model agrees."""
    guess_probability: float
    quality: float
    """The given label against the best other one, P(given) / (P(given) + P(best other)): 0.5 is even, near
    0 suspicious. The list is in this order; on labels flipped on purpose it did best over all
    (docs/label-errors.md)."""
    probable_error: bool
    """Confident learning counts it among the errors (cleanlab, pruned by noise rate)."""
    reason: str
    """For the annotator who looks again, in Chinese."""


def find_label_errors(
    examples: Sequence[Example],
    taxonomy: Taxonomy,
    folds: int = 5,
    seed: int = 1,
    vectors: Floats | None = None,
    progress: bool = False,
) -> list[Suspect]:
    """Every label of every example, most suspicious first.

    Args:
        vectors: [examples, dims] of `experiments.embeddings.embed`; without them the n-gram view answers
            alone, which is quicker and finds fewer.

    Raises:
        ValueError: too few examples, or a label with too few (as `experiments.out_of_fold.deal_folds`).
    """
    answers = out_of_fold(examples, taxonomy, folds, seed, vectors=vectors, progress=progress)
    return rank_suspects(examples, taxonomy, answers.probabilities)


def rank_suspects(
    examples: Sequence[Example], taxonomy: Taxonomy, probabilities: Mapping[str, Floats]
) -> list[Suspect]:
    """Rank the labels of examples by out-of-fold probabilities.

    Args:
        probabilities: by task [examples, labels of the schema].
    """
    words = _Words(taxonomy)
    suspects: list[Suspect] = []
    for task, values in probabilities.items():
        labels = taxonomy.label_map(task)
        given = np.array([labels.label2id[getattr(example, task)] for example in examples])
        own, best_other = _given_and_best_other(values, given)
        quality = own / (own + best_other)
        errors = _probable_errors(values, given)
        guess = values.argmax(1)
        for row, example in enumerate(examples):
            label, said = labels.labels[given[row]], labels.labels[guess[row]]
            chances = round(float(own[row]), 4), round(float(values[row, guess[row]]), 4)
            suspects.append(
                Suspect(
                    id=example.id,
                    task=task,
                    label=label,
                    label_probability=chances[0],
                    guess=said,
                    guess_probability=chances[1],
                    quality=float(f"{quality[row]:.4g}"),
                    probable_error=bool(errors[row]),
                    reason=words.reason(task, label, chances[0], said, chances[1]),
                )
            )
    return sorted(suspects, key=lambda one: (one.quality, one.id, one.task))


def _given_and_best_other(values: Floats, given: NDArray[np.int64]) -> tuple[Floats, Floats]:
    rows = np.arange(len(given))
    own = np.maximum(values[rows, given], 1e-12)
    others = values.copy()
    others[rows, given] = 0.0
    return own, np.maximum(others.max(1), 1e-12)


def _probable_errors(values: Floats, given: NDArray[np.int64]) -> NDArray[np.bool_]:
    from cleanlab.filter import find_label_issues

    # cleanlab expects every class to have rows.
    present, codes = np.unique(given, return_inverse=True)
    if len(present) < 2:
        return np.zeros(len(given), bool)
    kept = np.maximum(values[:, present], 1e-12)
    with warnings.catch_warnings():
        # It warns of classes with five rows or fewer, of which it flags none: the ranking has them.
        warnings.simplefilter("ignore", UserWarning)
        return np.asarray(find_label_issues(codes, kept / kept.sum(1, keepdims=True), n_jobs=1))


class _Words:
    """Reasons in the annotators' words."""

    def __init__(self, taxonomy: Taxonomy) -> None:
        self.zh = {
            "category": {key: item.zh for key, item in taxonomy.category.items()},
            "emotion": {key: item.zh for key, item in taxonomy.emotion.items()},
        }
        self.rules = boundary_rules(taxonomy)

    def reason(self, task: str, label: str, own: float, guess: str, chance: float) -> str:
        zh = self.zh[task]
        if guess == label:
            return f"标注为「{zh[label]}」，模型在没见过这条的情况下也认为是「{zh[label]}」({own:.2f})"
        given, other = f"「{zh[label]}」({own:.2f})", f"「{zh[guess]}」({chance:.2f})"
        said = f"标注为{given}，模型在没见过这条的情况下认为是{other}"
        shared = [rule for rule in self.rules.get(label, ()) if rule in self.rules.get(guess, ())]
        return f"{said}。界线：{shared[0]}" if task == "category" and shared else said


def _print_suspects(suspects: Sequence[Suspect], output: Path) -> None:
    for task in TASKS:
        own = [one for one in suspects if one.task == task]
        print(f"{task:9} {len(own)} labels, {sum(one.probable_error for one in own)} probably wrong")
    print(f"most suspicious first -> {output}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Rank labels by how probably they are wrong; or flip some on purpose and see whether they are found."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--examples", type=Path, help="an examples.jsonl or a corpus folder")
    parser.add_argument("--taxonomy", type=Path, help="label schema; the embedded one if left out")
    parser.add_argument("--output", type=Path, help="JSON Lines of suspects; of a rehearsal its JSON table")
    parser.add_argument("--limit", type=int, help="write only the most suspicious so many")
    parser.add_argument("--answers", type=Path, help="also write the out-of-fold probabilities here")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-encoder", action="store_true", help="the n-gram view alone: quicker, worse")
    parser.add_argument("--rehearse", type=float, metavar="SHARE", help="flip this share of the labels")
    options = parser.parse_args(arguments)
    if options.output is None and options.rehearse is None:
        parser.error("--output is needed: the file that the suspects are written to")
    taxonomy = load_taxonomy(options.taxonomy)
    examples = read_source(options.examples or CORPUS)
    vectors = None if options.no_encoder else embed(examples, progress=True)
    settings = {"folds": options.folds, "seed": options.seed, "vectors": vectors, "progress": True}
    if options.rehearse is not None:
        from experiments.label_flips import print_recovery, rehearse

        found = rehearse(examples, taxonomy, options.rehearse, **settings)
        print_recovery(found)
        if options.output:
            write_json(options.output, [asdict(row) for row in found])
        return
    answers = out_of_fold(examples, taxonomy, **settings)
    suspects = rank_suspects(examples, taxonomy, answers.probabilities)
    if options.answers:
        write_answers(options.answers, examples, answers, taxonomy)
    write_jsonl(options.output, (asdict(one) for one in suspects[: options.limit]))
    _print_suspects(suspects, options.output)


if __name__ == "__main__":
    main()
