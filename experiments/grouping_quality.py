"""How well open messages that ask the same are grouped, by words, by the encoder, and by both.

Two measurements. On public pairs of questions (AFQMC: same or not) the F1 of "the same", with the threshold
chosen on other pairs. On the written groups of data/routing_groups.jsonl the agreement of the found groups
with the written ones (adjusted Rand index, V-measure, F1 over pairs), each half measured with the settings
that are best on the other half. Best is the F-measure over pairs in which precision counts double (F0.5): a
wrong answer to one of many costs more than a second answer to the same question.

    python -m experiments.grouping_quality --model models/shared/exported --json docs/grouping-quality.json
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assist.reading import Embed
from assist.routing.grouping import cut, linkage, similarity
from assist.routing.rules import Grouping
from data.files import read_jsonl, write_json

__all__ = ["GROUPS", "Written", "champion", "main", "on_groups", "on_pairs", "read_groups"]

GROUPS = Path(__file__).resolve().parents[1] / "data" / "routing_groups.jsonl"
Floats = NDArray[np.float32]
THRESHOLDS = tuple(round(0.02 * step, 2) for step in range(2, 48))
PENALTIES = (0.0, 0.05, 0.1, 0.2)
WEIGHTS = (0.2, 0.4, 0.6, 0.8)
_WORDS, _MEANING = 1.0, 0.0


@dataclass(frozen=True)
class Written:
    """Messages with the group that their writer put them in."""

    texts: list[str]
    groups: list[str]


def read_groups(path: Path | str = GROUPS) -> Written:
    """The written groups.

    Raises:
        ValueError: names file, line and field.
    """
    texts, groups = [], []
    for number, row in read_jsonl(path):
        for name in ("text", "group"):
            if not isinstance(row.get(name), str) or not row[name]:
                raise ValueError(f"{path}:{number}: {name}: expected a text, got {row.get(name)!r}")
        texts.append(row["text"])
        groups.append(row["group"])
    return Written(texts, groups)


def champion(folder: Path | str) -> tuple[Embed, Callable[[Sequence[str]], list[str]]]:
    """The encoder of an exported model as unit vectors, and its category of each message."""
    from serving.exported import open_model

    model = open_model(folder, threads=1)

    def embed(texts: Sequence[str]) -> Floats:
        raw = model.opinions([(text, ()) for text in texts]).embedding
        unit: Floats = raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-9)
        return unit

    def categories(texts: Sequence[str]) -> list[str]:
        said = model.opinions([(text, ()) for text in texts])
        labels = said.labels["category"]
        return [labels[index] for index in said.probabilities["category"].argmax(axis=1)]

    return embed, categories


def on_pairs(pairs: Sequence[tuple[str, str, int]], embed: Embed, weights: Sequence[float]) -> dict[str, Any]:
    """F1 of "the same" on the second half of pairs, thresholds and weight chosen on the first half.

    Rarities of n-grams come from all texts of a half, as they do from the open messages of a desk.
    """
    half = len(pairs) // 2
    parts = [pairs[:half], pairs[half:]]
    scores = [_pair_scores(part, embed) for part in parts]
    truth = [np.array([same for *_, same in part]) for part in parts]
    found: dict[str, Any] = {"chosen_on": half, "tested_on": len(pairs) - half,
                             "same_share": round(float(truth[1].mean()), 3)}  # fmt: skip
    for name, tried in (("words", (_WORDS,)), ("encoder", (_MEANING,)), ("both", tuple(weights))):
        best = max(
            (_f1(_mixed(scores[0], weight) >= threshold, truth[0]), weight, threshold)
            for weight in tried for threshold in THRESHOLDS
        )  # fmt: skip
        f1 = _f1(_mixed(scores[1], best[1]) >= best[2], truth[1])
        found[name] = {"f1": round(f1, 3), "lexical": best[1], "threshold": best[2]}
    found["all_same"] = {"f1": round(_f1(np.ones(len(truth[1]), dtype=bool), truth[1]), 3)}
    return found


def _pair_scores(pairs: Sequence[tuple[str, str, int]], embed: Embed) -> tuple[Floats, Floats]:
    """Of each pair the similarity by words and by the encoder."""
    texts = [text for a, b, _ in pairs for text in (a, b)]
    vectors = embed(texts)
    meaning = np.clip((vectors[0::2] * vectors[1::2]).sum(axis=1), 0.0, 1.0)
    only_words = Grouping(threshold=0.5, lexical=1.0, other_category=0.0)
    words = []
    for start in range(0, len(texts), 1000):
        part = texts[start : start + 1000]
        alike = similarity(part, None, [""] * len(part), only_words)
        words.append(alike[np.arange(0, len(part), 2), np.arange(1, len(part), 2)])
    return np.concatenate(words), meaning.astype(np.float32)


def _mixed(scores: tuple[Floats, Floats], weight: float) -> Floats:
    return weight * scores[0] + (1 - weight) * scores[1]


def _f1(said: NDArray[np.bool_], truth: NDArray[Any]) -> float:
    right = float((said & (truth == 1)).sum())
    return 2 * right / max(float(said.sum() + (truth == 1).sum()), 1.0)


def on_groups(written: Written, vectors: Floats, categories: Sequence[str]) -> dict[str, Any]:
    """Agreement with the written groups, each half measured with what is best on the other half.

    Halves are drawn by group: no group has messages in both.
    """
    names = sorted(set(written.groups))
    order = np.random.default_rng(7).permutation(len(names))
    first = {names[index] for index in order[: len(names) // 2]}
    halves = [
        [index for index, group in enumerate(written.groups) if (group in first) == side]
        for side in (True, False)
    ]
    found: dict[str, Any] = {"messages": len(written.texts), "groups": len(names)}
    for name, weights, penalties in (
        ("words", (_WORDS,), (0.0,)), ("encoder", (_MEANING,), (0.0,)), ("both", WEIGHTS, (0.0,)),
        ("both, categories", WEIGHTS, PENALTIES),
    ):  # fmt: skip
        tables = [_table(written, half, vectors, categories, weights, penalties) for half in halves]
        chosen = [max(table, key=lambda key: table[key]["pair_f05"]) for table in tables]
        tested = [
            {**tables[side][chosen[1 - side]],
             **_indices(written, halves[side], vectors, categories, chosen[1 - side])}
            for side in (0, 1)
        ]  # fmt: skip
        both = {key: tables[0][key]["pair_f05"] + tables[1][key]["pair_f05"] for key in tables[0]}
        found[name] = {key: round(float(np.mean([one[key] for one in tested])), 3) for key in tested[0]}
        found[name]["chosen"] = [_named(key) for key in chosen]
        found[name]["best_of_all"] = _named(max(both, key=lambda key: both[key]))
    return found


Setting = tuple[float, float, float]


def _named(setting: Setting) -> dict[str, float]:
    return dict(zip(("lexical", "other_category", "threshold"), setting, strict=True))


def _table(
    written: Written, half: Sequence[int], vectors: Floats, categories: Sequence[str],
    weights: Sequence[float], penalties: Sequence[float],
) -> dict[Setting, dict[str, float]]:  # fmt: skip
    """By setting, the agreement of the found groups of a half with the written ones."""
    texts = [written.texts[index] for index in half]
    keys = [categories[index] for index in half]
    truth = np.unique([written.groups[index] for index in half], return_inverse=True)[1]
    found = {}
    for weight in weights:
        for penalty in penalties:
            alike = similarity(texts, vectors[list(half)], keys, Grouping(0.5, weight, penalty))
            merges = linkage(alike)
            for threshold in THRESHOLDS:
                groups = _numbers(cut(len(half), merges, threshold))
                found[weight, penalty, threshold] = _agreement(truth, groups)
    return found


def _numbers(groups: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    found = np.zeros(sum(map(len, groups)), dtype=np.int64)
    for number, members in enumerate(groups):
        found[list(members)] = number
    return found


def _indices(
    written: Written, half: Sequence[int], vectors: Floats, categories: Sequence[str], setting: Setting
) -> dict[str, float]:
    """Adjusted Rand index and V-measure of one setting."""
    from sklearn.metrics import adjusted_rand_score, v_measure_score

    weight, penalty, threshold = setting
    texts, keys = [written.texts[index] for index in half], [categories[index] for index in half]
    alike = similarity(texts, vectors[list(half)], keys, Grouping(threshold, weight, penalty))
    groups = _numbers(cut(len(half), linkage(alike), threshold))
    truth = [written.groups[index] for index in half]
    return {
        "ari": float(adjusted_rand_score(truth, groups)),
        "v_measure": float(v_measure_score(truth, groups)),
    }


def _agreement(truth: NDArray[Any], groups: NDArray[Any]) -> dict[str, float]:
    upper = np.triu_indices(len(truth), 1)
    said = (groups[:, None] == groups[None, :])[upper]
    true = (truth[:, None] == truth[None, :])[upper]
    right = float((said & true).sum())
    return {
        "pair_f1": 2 * right / max(float(said.sum() + true.sum()), 1.0),
        "pair_f05": 1.25 * right / max(float(said.sum() + 0.25 * true.sum()), 1.0),
        "pair_precision": right / max(float(said.sum()), 1.0),
        "pair_recall": right / max(float(true.sum()), 1.0),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/shared/exported"))
    parser.add_argument("--pairs", type=int, default=3000, help="rows of AFQMC: half to choose, half to test")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    embed, category_of = champion(options.model)
    written = read_groups()
    found: dict[str, Any] = {"groups": on_groups(written, embed(written.texts), category_of(written.texts))}
    path = Path(os.environ.get("KEFU_DATASETS", "../shared/datasets")) / "afqmc_train.jsonl.gz"
    if path.exists():
        with gzip.open(path, "rt", encoding="utf-8") as handle:
            rows = [json.loads(line) for line in handle]
        chosen = np.random.default_rng(7).permutation(len(rows))[: options.pairs]
        pairs = [(rows[i]["a"], rows[i]["b"], int(rows[i]["same"])) for i in chosen]
        found["pairs"] = on_pairs(pairs, embed, WEIGHTS)
    else:
        print(f"{path} is not there: set KEFU_DATASETS; the public pairs are left out")
    _print(found)
    if options.json:
        write_json(options.json, found)


def _print(found: dict[str, Any]) -> None:
    groups = found["groups"]
    print(f"written groups: {groups['messages']} messages in {groups['groups']} groups, two halves")
    print(f"{'':20}{'pair F1':>9}{'precision':>11}{'recall':>8}{'ARI':>8}{'V':>8}   best of all")
    for name in ("words", "encoder", "both", "both, categories"):
        one = groups[name]
        print(
            f"{name:20}{one['pair_f1']:>9.3f}{one['pair_precision']:>11.3f}{one['pair_recall']:>8.3f}"
            f"{one['ari']:>8.3f}{one['v_measure']:>8.3f}   {one['best_of_all']}"
        )
    if pairs := found.get("pairs"):
        print(f"public pairs: {pairs['tested_on']} tested, {pairs['same_share']:.0%} the same")
        for name in ("all_same", "words", "encoder", "both"):
            one = pairs[name]
            setting = {key: value for key, value in one.items() if key != "f1"}
            print(f"{name:20}{one['f1']:>9.3f}   {setting or ''}")


if __name__ == "__main__":
    main()
