"""Which out-of-scope score to use: chosen on intents that training does not see, no out-of-scope row is read.

    KEFU_DATASETS=FOLDER python -m experiments.oos_choice --draws 2 --record benchmarks/oos-choice.json

Of a public set's training and validation rows a fifth of the intents is left out of training; their
validation rows play what belongs to no intent. Half of the other validation rows chooses the thresholds
(`experiments.bench_oos`), the other half is measured.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from data.files import write_json
from data.sources.public import read_public
from data.sources.rows import Rows
from experiments.bench_learn import bench_config, learn
from experiments.bench_oos import SCORES, measure_oos
from experiments.bench_parts import hold_out

__all__ = ["main", "measure_scores", "without_intents"]

LEFT_OUT = 0.2


def without_intents(train: Rows, val: Rows, seed: int) -> tuple[Rows, Rows, Rows, Rows]:
    """Rows to learn from, to choose on, to measure on, and those of intents that are left out.

    Args:
        train, val: rows of the same intents.
        seed: of the intents that are left out.

    Raises:
        ValueError: so few intents that none could be left out, or one alone be learnt.
    """
    labels = sorted(set(train.label_array().tolist()))
    count = round(LEFT_OUT * len(labels))
    if not count or len(labels) - count < 2:
        raise ValueError(f"{train.name}: {len(labels)} intents are too few to leave a fifth of them out")
    drawn = np.random.default_rng(seed).choice(len(labels), count, replace=False)
    left_out = [labels[index] for index in drawn.tolist()]
    kept, _ = _parted(train, left_out)
    inside, outside = _parted(val, left_out)
    choosing, measured = hold_out(inside, 0.5, seed)
    return kept, choosing, measured, outside


def _parted(rows: Rows, left_out: Sequence[str]) -> tuple[Rows, Rows]:
    outside = np.isin(rows.label_array(), left_out)
    return rows.take(np.flatnonzero(~outside)), rows.take(np.flatnonzero(outside))


def measure_scores(train: Rows, val: Rows, seed: int, epochs: int | None = None) -> dict[str, Any]:
    """One training without a fifth of the intents; by score `in_scope`, `oos_recall` and `auroc`."""
    kept, choosing, measured, outside = without_intents(train, val, seed)
    config = bench_config("shared", len(kept), seed=seed, epochs=epochs)
    learnt = learn(kept, choosing, config, progress=True)
    known = [part.with_keys(learnt.labels.keys) for part in (kept, choosing, measured)]
    found = measure_oos(learnt, known[0], known[1], known[2], outside)
    figures = {
        name: {key: found[name][key] for key in ("in_scope", "oos_recall", "auroc")} for name in SCORES
    }
    sizes = {"train": len(kept), "val": len(choosing), "inside": len(measured), "outside": len(outside)}
    return {"seed": seed, "rows": sizes, "scores": figures}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every out-of-scope score on intents that were left out of training."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data", default="clinc150", help="a public set with parts train and val")
    parser.add_argument("--draws", type=int, default=2, help="trainings, each without other intents")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--record", type=Path, help="keep the figures in this JSON file")
    given = parser.parse_args(arguments)
    try:
        parts = read_public(given.data)
    except (FileNotFoundError, ValueError) as error:
        parser.error(str(error))
    if missing := {"train", "val"} - parts.keys():
        parser.error(f"--data {given.data}: has no part {', '.join(sorted(missing))}; clinc150 has both")
    runs = [measure_scores(parts["train"], parts["val"], seed, given.epochs) for seed in range(given.draws)]
    means = {
        name: {key: round(fmean(run["scores"][name][key] for run in runs), 5) for key in one}
        for name, one in runs[0]["scores"].items()
    }
    if given.record:
        write_json(given.record, {"data": given.data, "means": means, "runs": runs})
    print("| score | in scope | left-out recall | AUROC |\n|---|---:|---:|---:|")
    for name, one in sorted(means.items(), key=lambda item: -item[1]["auroc"]):
        print(f"| `{name}` | {one['in_scope']:.1%} | {one['oos_recall']:.1%} | {one['auroc']:.3f} |")
    print(f"means over {given.draws} draws of intents", file=sys.stderr)


if __name__ == "__main__":
    main()
