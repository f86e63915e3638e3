"""Does this reply answer? The reranker beside BM25 and encoders' cosines, cross-validated by question.

    python -m experiments.reply_quality --output docs/reply-quality.json

Pairs are those of the judged set in `KEFU_DATASETS` (docs/recommend.md). A question is in one fold only. F1
is that of "answers", at a threshold chosen on training questions; MRR is the mean reciprocal rank of the
first right reply among the candidates of a question that has one, ties counted at the middle of their places.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from assist.scripts.lexical import LexicalIndex
from data.files import write_json
from data.reply_features import code_points, side_of
from experiments.reply_data import BEIKE, Pairs, datasets_folder, query_folds, read_beike
from experiments.reply_vectors import Vectors, champion_embed, champion_name, kept_vectors, pretrained_embed
from training.replies import PairRows, RerankConfig, best_threshold, logits_of, train_reranker

__all__ = [
    "bm25_scores",
    "cross_validate",
    "evaluate",
    "fixed",
    "main",
    "pair_rows",
    "reciprocal_ranks",
    "view_scores",
]

Floats = NDArray[np.floating[Any]]
Scorer = Callable[[NDArray[np.int64], NDArray[np.int64]], tuple[Floats, float]]
"""Rows to train on and rows to score -> scores of the latter, and the threshold from which they answer."""
_HELD = 8
"""Of the training questions every so-manieth chooses weights and threshold."""


def evaluate(pairs: Pairs, scores: Floats, threshold: float) -> dict[str, float]:
    """F1, precision and recall of "answers", and MRR, of scored pairs."""
    said, right = scores >= threshold, pairs.answers == 1
    hits = float((said & right).sum())
    precision, recall = hits / max(1.0, float(said.sum())), hits / max(1.0, float(right.sum()))
    ranks = reciprocal_ranks(pairs, scores)
    return {
        "f1": 2 * precision * recall / max(1e-9, precision + recall),
        "precision": precision,
        "recall": recall,
        "mrr": float(ranks.mean()) if len(ranks) else 0.0,
    }


def reciprocal_ranks(pairs: Pairs, scores: Floats) -> Floats:
    """1 / place of the first right candidate, for every asking that has one.

    Of equal scores the right one stands in the middle.
    """
    found = []
    order = np.argsort(pairs.group, kind="stable")
    bounds = np.flatnonzero(np.diff(pairs.group[order])) + 1
    for rows in np.split(order, bounds):
        right = pairs.answers[rows] == 1
        if right.any():
            values = scores[rows]
            best = values[right].max()
            above, beside = int((values[~right] > best).sum()), int((values[~right] == best).sum())
            found.append(1.0 / (1 + above + beside / 2))
    return np.array(found)


def bm25_scores(pairs: Pairs) -> Floats:
    """BM25 of each pair over characters and pairs of them; frequencies are those of all replies."""
    index = LexicalIndex(pairs.replies)
    out = np.zeros(len(pairs))
    for query in np.unique(pairs.query):
        rows = np.flatnonzero(pairs.query == query)
        ranges = [(int(reply), int(reply) + 1) for reply in pairs.reply[rows]]
        out[rows] = index.scores(pairs.queries[query], ranges)
    return out


def pair_rows(pairs: Pairs, query_vectors: Vectors, reply_vectors: Vectors) -> PairRows:
    """Pairs as the reranker reads them."""
    return PairRows(
        query_vectors,
        reply_vectors,
        [side_of(code_points(text)) for text in pairs.queries],
        [side_of(code_points(text)) for text in pairs.replies],
        pairs.query,
        pairs.reply,
        pairs.answers,
    )


def _taken(rows: PairRows, chosen: NDArray[np.int64]) -> PairRows:
    return PairRows(
        rows.query_vectors, rows.reply_vectors, rows.query_sides, rows.reply_sides,
        rows.query[chosen], rows.reply[chosen], rows.answers[chosen],
    )  # fmt: skip


def fixed(pairs: Pairs, scores: Floats) -> Scorer:
    """A scorer that learns nothing but its threshold."""
    return lambda train, test: (scores[test], best_threshold(scores[train], pairs.answers[train]))


def learnt(rows: PairRows, config: RerankConfig, groups: NDArray[np.int64]) -> Scorer:
    """The reranker, trained anew on each fold's training questions."""

    def score(train: NDArray[np.int64], test: NDArray[np.int64]) -> tuple[Floats, float]:
        held = train[groups[train] % _HELD == 0]
        rest = train[groups[train] % _HELD != 0]
        network = train_reranker(_taken(rows, rest), _taken(rows, held), config)
        threshold = best_threshold(logits_of(network, _taken(rows, held)), rows.answers[held])
        return logits_of(network, _taken(rows, test)), threshold

    return score


def cross_validate(
    pairs: Pairs,
    scorers: Mapping[str, Scorer],
    folds: int,
    seed: int,
    after: Callable[[dict[str, Any], int], None] | None = None,
) -> dict[str, Any]:
    """Figures of each method: mean over folds, and their standard deviation.

    Args:
        after: called after each fold with the figures so far and the number of folds they rest on.
    """
    found: dict[str, list[dict[str, float]]] = {name: [] for name in scorers}
    for number, test in enumerate(query_folds(pairs, folds, seed), 1):
        train = np.setdiff1d(np.arange(len(pairs)), test)
        for name, scorer in scorers.items():
            scores, threshold = scorer(train, test)
            found[name].append(evaluate(pairs.take(test), scores, threshold))
        if after:
            after(_summary(found), number)
    return _summary(found)


def _summary(found: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, Any]:
    return {
        name: {
            **{key: round(float(np.mean([row[key] for row in rows])), 4) for key in rows[0]},
            **{f"{key}_sd": round(float(np.std([row[key] for row in rows])), 4) for key in ("f1", "mrr")},
        }
        for name, rows in found.items()
    }


def view_scores(pairs: Pairs, exported: Path) -> tuple[dict[str, tuple[Vectors, Vectors]], dict[str, Floats]]:
    """Vectors of both sides by encoder, and the scores of what learns nothing of the pairs."""
    name = champion_name(exported)
    vectors = {
        "untrained": (
            kept_vectors("pretrained-q", pairs.queries, lambda texts: pretrained_embed(texts, "query: ")),
            kept_vectors("pretrained-r", pairs.replies, lambda texts: pretrained_embed(texts, "passage: ")),
        ),
        "champion": (
            kept_vectors(f"{name}-q", pairs.queries, lambda texts: champion_embed(exported)(texts)),
            kept_vectors(f"{name}-r", pairs.replies, lambda texts: champion_embed(exported)(texts)),
        ),
    }
    scores: dict[str, Floats] = {"BM25": bm25_scores(pairs)}
    for encoder, (query, reply) in vectors.items():
        scores[f"{encoder} encoder, cosine"] = np.einsum("ij,ij->i", query[pairs.query], reply[pairs.reply])
    return vectors, scores


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table of all methods and write it as JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--pairs", type=Path, default=datasets_folder() / BEIKE)
    parser.add_argument("--exported", type=Path, default=Path("models/shared/exported"))
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--limit", type=int, help="read so many questions only")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args(arguments)
    pairs = read_beike(options.pairs, options.limit)
    vectors, scores = view_scores(pairs, options.exported)
    scorers: dict[str, Scorer] = {"all answer": fixed(pairs, np.zeros(len(pairs)))}
    scorers |= {name: fixed(pairs, values) for name, values in scores.items()}
    config = RerankConfig()
    for encoder, (query, reply) in vectors.items():
        scorers[f"reranker on the {encoder} encoder"] = learnt(
            pair_rows(pairs, query, reply), config, pairs.query
        )

    def report(figures: dict[str, Any], done: int) -> None:
        table = Table("method", "F1", "± sd", "precision", "recall", "MRR", "± sd")
        for name, row in figures.items():
            keys = ("f1", "f1_sd", "precision", "recall", "mrr", "mrr_sd")
            table.add_row(name, *(f"{row[key]:.3f}" for key in keys))
        Console().print(f"{done} of {options.folds} folds", table)
        if options.output:
            write_json(
                options.output,
                {
                    "pairs": len(pairs), "questions": len(np.unique(pairs.group)),
                    "answering": round(float(pairs.answers.mean()), 4), "folds": options.folds,
                    "folds_measured": done, "seed": options.seed,
                    "champion": champion_name(options.exported), "methods": figures,
                },
            )  # fmt: skip

    cross_validate(pairs, scorers, options.folds, options.seed, report)


if __name__ == "__main__":
    main()
