"""Train and export the reranker of script recommendations, on our own pairs, for one champion's encoder.

    python -m experiments.reply_training --measure docs/reply-training.json

Two kinds of pairs. Judged ones (`data/scripts/pairs.jsonl`): a person said whether a script answers a
message. Assumed ones, many and cheap: a labelled message of the corpus with scripts of its category, which
count as answers, and with scripts of other categories, which do not. The assumed ones weigh less. The
exported reranker learnt from both; `--measure` says by cross-validation over questions what each is worth.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from assist.scripts.library import Library, load_library
from data.example import Example, Turn
from data.files import read_jsonl, write_json
from data.reply_features import code_points, side_of
from data.sources import read_source
from data.text import normalise
from experiments.reply_data import Pairs, query_folds
from experiments.reply_quality import bm25_scores, evaluate
from experiments.reply_vectors import Vectors, champion_name
from experiments.tracking import annotate, git_commit, log_file, start_run
from serving.exported import ExportedModel
from training.replies import PairRows, RerankConfig, best_threshold, logits_of, train_reranker
from training.reply_export import export_reranker

__all__ = ["JUDGED", "OUTPUT", "OwnPairs", "main", "measure_own", "read_own_pairs", "train_and_export"]

JUDGED = Path("data/scripts/pairs.jsonl")
OUTPUT = Path("models/reranker/exported")
Floats = NDArray[np.floating[Any]]
_ASSUMED_WEIGHT = 0.3
_MESSAGES_PER_CATEGORY = 30
_TRACKED = {
    "category + cosine + BM25": "without",
    "reranker on judged and assumed pairs": "alone",
    "category + cosine + BM25 + 0.3 x reranker on judged and assumed pairs": "served",
}
"""Rows of the table that are figures of the run."""
_HELD = 6
"""Every so-manieth question chooses the weight of the wording view and the threshold."""


@dataclass(frozen=True)
class OwnPairs:
    """Judged and assumed pairs over the library's scripts, with the vectors of both sides."""

    pairs: Pairs
    judged: NDArray[np.bool_]
    probability: Floats
    """Of the script's category, as the champion sees the message."""
    query_vectors: Vectors
    reply_vectors: Vectors

    def rows(self) -> PairRows:
        """As the network reads them."""
        pairs = self.pairs
        weight = np.where(self.judged, 1.0, _ASSUMED_WEIGHT).astype(np.float32)
        return PairRows(
            self.query_vectors, self.reply_vectors,
            [side_of(code_points(text)) for text in pairs.queries],
            [side_of(code_points(text)) for text in pairs.replies],
            pairs.query, pairs.reply, pairs.answers, weight,
        )  # fmt: skip


def read_own_pairs(
    path: Path, library: Library, corpus: Sequence[Example], model: ExportedModel, seed: int = 3
) -> OwnPairs:
    """Read the judged pairs, draw the assumed ones, and let the champion read all texts.

    Messages of the corpus that a judged question repeats are left out.

    Raises:
        ValueError: names file, line and field of the first wrong row.
    """
    number = {script.id: index for index, script in enumerate(library.solutions)}
    messages: dict[tuple[str, tuple[Turn, ...]], int] = {}
    rows: list[tuple[int, int, int, int]] = []
    for line, row in read_jsonl(path):
        if row.get("script_id") not in number or row.get("answers") not in (0, 1) or not row.get("query"):
            raise ValueError(f"{path}:{line}: expected query, answers 0 or 1, and script_id of the library")
        context = tuple(Turn(turn["role"], turn["text"]) for turn in row.get("context", []))
        query = messages.setdefault((row["query"], context), len(messages))
        rows.append((query, number[row["script_id"]], row["answers"], query))
    judged = len(rows)
    rows += _assumed(library, corpus, messages, number, seed)
    columns = np.array(rows, np.int64).T
    replies = [script.text for script in library.solutions]
    pairs = Pairs([text for text, _ in messages], replies, *columns)
    said, read = model.opinions(list(messages)), model.opinions([(text, ()) for text in replies])
    place = {key: index for index, key in enumerate(said.labels["category"])}
    column = np.array([place[script.category or ""] for script in library.solutions])
    probability = said.probabilities["category"][pairs.query, column[pairs.reply]]
    return OwnPairs(
        pairs, np.arange(len(rows)) < judged, probability, _unit(said.embedding), _unit(read.embedding)
    )


def _assumed(
    library: Library,
    corpus: Sequence[Example],
    messages: dict[tuple[str, tuple[Turn, ...]], int],
    number: dict[str, int],
    seed: int,
) -> list[tuple[int, int, int, int]]:
    random = np.random.default_rng(seed)
    known = {normalise(text) for text, _ in messages}
    taken: dict[str, int] = {}
    rows = []
    for index in random.permutation(len(corpus)).tolist():
        example = corpus[index]
        own = library.by_category.get(example.category, ())
        if not own or taken.get(example.category, 0) >= _MESSAGES_PER_CATEGORY:
            continue
        if normalise(example.text) in known:
            continue
        taken[example.category] = taken.get(example.category, 0) + 1
        query = messages.setdefault((example.text, example.context), len(messages))
        near = library.by_category.get(example.neighbour or "", ())
        for script in random.choice(len(own), min(2, len(own)), replace=False).tolist():
            rows.append((query, number[own[script].id], 1, query))
        others = [near[int(random.integers(len(near)))]] if near else []
        while len(others) < 3:
            other = library.solutions[int(random.integers(len(library.solutions)))]
            if other.category != example.category:
                others.append(other)
        rows += [(query, number[other.id], 0, query) for other in others]
    return rows


def _unit(values: Vectors) -> Vectors:
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-9), np.float32)


def _taken(rows: PairRows, chosen: NDArray[np.int64]) -> PairRows:
    weight = None if rows.weight is None else rows.weight[chosen]
    return replace(
        rows, query=rows.query[chosen], reply=rows.reply[chosen], answers=rows.answers[chosen], weight=weight
    )


def _fit(rows: PairRows, train: NDArray[np.int64], judged: NDArray[np.bool_], config: RerankConfig) -> Any:
    """Network and threshold, learnt from `train`; judged questions choose weight and threshold."""
    kept = judged[train] if judged[train].any() else np.ones(len(train), bool)
    held = train[kept & (rows.query[train] % _HELD == 0)]
    rest = np.setdiff1d(train, held)
    network = train_reranker(_taken(rows, rest), _taken(rows, held), config)
    return network, best_threshold(logits_of(network, _taken(rows, held)), rows.answers[held])


def measure_own(own: OwnPairs, config: RerankConfig, folds: int = 5, seed: int = 1) -> dict[str, Any]:
    """Figures on judged pairs of questions that were left out: mean over folds, by method.

    "category" is the champion's probability of the script's category; "+ category" adds its logarithm, as the
    ranking does.
    """
    pairs, rows = own.pairs, own.rows()
    everything = np.arange(len(pairs))
    judged, assumed = everything[own.judged], everything[~own.judged]
    category = np.log(np.maximum(own.probability, 1e-3))
    cosine = np.einsum("ij,ij->i", own.query_vectors[pairs.query], own.reply_vectors[pairs.reply])
    bm25 = np.zeros(len(pairs))
    bm25[judged] = bm25_scores(pairs.take(judged))
    found: dict[str, list[dict[str, float]]] = {}
    # It has seen no judged pair, so one network serves all folds.
    first = _fit(rows, assumed, own.judged, config)[0]

    def note(name: str, scores: Floats, train: NDArray[np.int64], test: NDArray[np.int64]) -> None:
        threshold = best_threshold(scores[train], pairs.answers[train])
        found.setdefault(name, []).append(evaluate(pairs.take(test), scores[test], threshold))

    learners: dict[str, Callable[[NDArray[np.int64]], NDArray[np.int64]]] = {
        "assumed pairs": lambda train: assumed,
        "judged pairs": lambda train: train,
        "judged and assumed pairs": lambda train: np.concatenate([train, assumed]),
    }
    for part in query_folds(pairs.take(judged), folds, seed):
        test = judged[part]
        train = np.setdiff1d(judged, test)
        note("BM25", bm25, train, test)
        note("cosine", cosine, train, test)
        note("category", category, train, test)
        note("category + cosine + BM25", category + 3.0 * cosine + 0.15 * bm25, train, test)
        for name, choose in learners.items():
            learnt = choose(train)
            network = first if learnt is assumed else _fit(rows, learnt, own.judged, config)[0]
            logits = np.zeros(len(pairs))
            logits[judged] = logits_of(network, _taken(rows, judged))
            # Pairs that were learnt have better logits than new ones: a threshold comes from held questions.
            held = train[pairs.query[train] % _HELD == 0]
            note(f"reranker on {name}", logits, held, test)
            note(f"reranker on {name} + category", logits + category, held, test)
            for weight in (0.15, 0.3, 0.6):
                every = category + 3.0 * cosine + 0.15 * bm25 + weight * logits
                note(f"category + cosine + BM25 + {weight} x reranker on {name}", every, held, test)
    return {
        "judged": len(judged),
        "assumed": len(assumed),
        "questions": len(np.unique(pairs.query[judged])),
        "answering": round(float(pairs.answers[judged].mean()), 4),
        "folds": folds,
        "methods": {
            name: {key: round(float(np.mean([row[key] for row in values])), 4) for key in values[0]}
            for name, values in found.items()
        },
    }


def train_and_export(
    exported: Path, encoder: str, output: Path = OUTPUT, own: OwnPairs | None = None, figures: Any = None
) -> Path:
    """Train on all our pairs for the encoder of an exported model, track the run, and write the folder.

    Args:
        encoder: name under which the service knows this encoder; the reranker is refused beside another.
        own: read before; read here when None.
        figures: of `measure_own`, for the manifest.

    The run in MLflow keeps the settings, the figures and the exported folder; the manifest names the run.
    """
    own = own or _read_all(exported)
    config = RerankConfig()
    with start_run("reranker", asdict(config), {"stage": "reranker", "encoder": encoder}) as run:
        folder = _train(exported, encoder, output, own, config, {"run": run, "measured": figures})
        annotate(_metrics(own, figures), {"git_commit": git_commit()})
        for path in sorted(folder.iterdir()):
            log_file(run, path, "reranker")
    return folder


def _metrics(own: OwnPairs, figures: Any) -> dict[str, float]:
    found = {"pairs/judged": float(own.judged.sum()), "pairs/assumed": float((~own.judged).sum())}
    for name, row in (figures or {"methods": {}})["methods"].items():
        if name in _TRACKED:
            found |= {f"{_TRACKED[name]}/{figure}": float(row[figure]) for figure in ("f1", "mrr")}
    return found


def _train(
    exported: Path, encoder: str, output: Path, own: OwnPairs, config: RerankConfig, told: dict[str, Any]
) -> Path:
    network, threshold = _fit(own.rows(), np.arange(len(own.pairs)), own.judged, config)
    provenance = {
        "encoder": encoder,
        "vectors": champion_name(exported),
        "pairs": {"judged": int(own.judged.sum()), "assumed": int((~own.judged).sum())},
        "wording_weight": float(network.wording_weight),
        **told,
    }
    card = (
        "# Reranker of script recommendations\n\nDoes a script answer a message? A head on the sentence "
        f"vectors of `{encoder}`, trained by `python -m experiments.reply_training` on "
        f"{int(own.judged.sum())} judged and {int((~own.judged).sum())} assumed pairs of the embedded "
        "library and corpus. For another encoder, or after the champion changed, it must be trained anew. "
        "Figures and limits: docs/recommend.md.\n"
    )
    return export_reranker(network, output, threshold, provenance, card)


def _read_all(exported: Path) -> OwnPairs:
    corpus = read_source("data/corpus")
    return read_own_pairs(JUDGED, load_library(), corpus, ExportedModel(exported))


def _champion() -> str:
    path = Path("serving/champions.json")
    if not path.is_file():
        return champion_name(Path("models/shared/exported"))
    return str(json.loads(path.read_text(encoding="utf-8"))["category"]["name"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the reranker for a champion's encoder and export it; with --measure cross-validate before."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--exported", type=Path, default=Path("models/shared/exported"), help="whose encoder")
    parser.add_argument("--encoder", help="its name in the service; the category champion's when left out")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument(
        "--measure", type=Path, help="cross-validate on the judged pairs, and write JSON there"
    )
    options = parser.parse_args(arguments)
    own = _read_all(options.exported)
    figures = None
    if options.measure:
        figures = measure_own(own, RerankConfig())
        table = Table("method", "F1", "precision", "recall", "MRR")
        for name, row in figures["methods"].items():
            table.add_row(name, *(f"{row[key]:.3f}" for key in ("f1", "precision", "recall", "mrr")))
        Console().print(table)
        write_json(options.measure, figures)
    folder = train_and_export(options.exported, options.encoder or _champion(), options.output, own, figures)
    print(f"exported to {folder}")


if __name__ == "__main__":
    main()
