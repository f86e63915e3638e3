"""Does the order of the labelling queue save work? Labelling Banking77 again, with its own labels as people.

Two questions about `labeling.queue`. How many labels does each strategy need until the model is as good
as random labels make it? And how early in the queue `disagreement` do answers stand that are wrong?

Finished runs are kept in the work folder: a killed simulation goes on where it was.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from data.files import sha256_file, write_json
from experiments import relabelling
from experiments.relabelling import KINDS, Plan, Pool, Step, find_wrong, prepare, read_banking77, simulate
from labeling import queue

__all__ = ["labels_needed", "main", "savings"]

WORK = Path(".kefu/queue_simulation")
COLOURS = {"random": "#757575", "entropy": "#8d6e63", "uncertainty": "#1565c0", "diverse": "#c62828"}
LABEL_MARKS, QUEUE_MARKS = (1000, 2000, 3000), (5, 10, 20, 30)
Floats = NDArray[np.floating[Any]]
Curves = Mapping[str, Mapping[int, Sequence[Step]]]
"""By strategy and seed."""
Found = Mapping[str, Sequence[Sequence[float]]]
"""By kind of wrong answers, for each seed what `find_wrong` gives."""


def labels_needed(steps: Sequence[Step], accuracy: float) -> float | None:
    """Labels at which the curve, made monotone (isotonic regression), reaches an accuracy; None: never."""
    labels, level = _monotone(steps)
    above = np.flatnonzero(level >= accuracy)
    if not len(above):
        return None
    first = int(above[0])
    if first == 0:
        return float(labels[0])
    return float(np.interp(accuracy, level[first - 1 : first + 1], labels[first - 1 : first + 1]))


def _monotone(steps: Sequence[Step]) -> tuple[Floats, Floats]:
    from sklearn.isotonic import IsotonicRegression

    labels = np.array([step["labels"] for step in steps], float)
    return labels, IsotonicRegression().fit_transform(labels, [step["accuracy"] for step in steps])


def savings(curves: Curves) -> dict[str, dict[str, Any]]:
    """By strategy: labels needed for the accuracy that random order ends with, each seed for itself.

    Args:
        curves: "random" must be among the strategies.

    Returns:
        `labels` and `saved` (share of random's labels), each as mean and half of its 95 % interval
        (Student's t), or None if some seed never gets there; `last`, the mean accuracy at the end.
    """
    found: dict[str, dict[str, Any]] = {}
    for strategy, runs in curves.items():
        needed, saved = [], []
        for seed, steps in runs.items():
            labels, level = _monotone(curves["random"][seed])
            count = labels_needed(steps, float(level[-1]))
            needed.append(count)
            saved.append(None if count is None else 1 - count / labels[-1])
        found[strategy] = {
            "labels": _interval(needed),
            "saved": _interval(saved),
            "last": float(np.mean([steps[-1]["accuracy"] for steps in runs.values()])),
        }
    return found


def _interval(values: Sequence[float | None]) -> tuple[float, float] | None:
    from scipy.stats import t

    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return None
    if len(known) == 1:
        return float(known[0]), float("nan")
    half = t.ppf(0.975, len(known) - 1) * np.std(known, ddof=1) / np.sqrt(len(known))
    return float(np.mean(known)), float(half)


def picture(curves: Curves, found: Found, path: Path) -> None:
    """Draw accuracy against labels, and wrong answers found against answers looked at."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    for strategy, runs in curves.items():
        labels = [step["labels"] for step in next(iter(runs.values()))]
        accuracy = 100 * np.array([[step["accuracy"] for step in steps] for steps in runs.values()])
        left.plot(labels, accuracy.mean(0), ".-", color=COLOURS[strategy], label=strategy)
        left.fill_between(labels, accuracy.min(0), accuracy.max(0), color=COLOURS[strategy], alpha=0.15, lw=0)
    goal = 100 * float(np.mean([_monotone(steps)[1][-1] for steps in curves["random"].values()]))
    left.axhline(goal, color="black", lw=0.8, ls=":", label=f"where random ends: {goal:.1f} %")
    left.set(xlabel="labels", ylabel="accuracy on the test rows, %", title="What to label next")
    part = np.arange(1, 101)
    for number, (name, lines) in enumerate(found.items()):
        style = "-" if number % len(KINDS) == 0 else "--"
        right.plot(part, 100 * np.mean(lines, axis=0), style, color=f"C{number // len(KINDS)}", label=name)
    right.plot(part, part, color="#757575", ls=":", label="random order")
    right.set(xlabel="answers looked at, %", ylabel="wrong answers found, %", title="Where people err")
    right.set(xlim=(0, 50), ylim=(0, 101))
    for axes, height in ((left, 0.0), (right, 0.5)):
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right", bbox_to_anchor=(1, height), fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate labelling with each strategy, print what it saves and draw the picture."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--datasets", type=Path, default=os.environ.get("KEFU_DATASETS"),
                        help="folder with Banking77's csv files (default: KEFU_DATASETS)")  # fmt: skip
    parser.add_argument("--output", type=Path, default=WORK / "labeling-queue.png", help="the picture")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of finished runs")
    parser.add_argument("--strategies", nargs="+", default=list(COLOURS), choices=list(COLOURS))
    parser.add_argument("--seeds", type=int, default=5, help="how many times")
    parser.add_argument("--per-class", type=int, default=Plan.per_class, help="first labels of each class")
    parser.add_argument(
        "--share", type=float, default=Plan.share, help="share of the pool labelled in the end"
    )
    parser.add_argument("--batch", type=int, default=Plan.batch, help="labels between two trainings")
    parser.add_argument("--wrong", type=float, nargs="*", default=[0.05, 0.2], help="shares of wrong answers")
    options = parser.parse_args(arguments)
    if options.datasets is None:
        parser.error("datasets: name the folder with banking77_train.csv, or set KEFU_DATASETS")
    if "random" not in options.strategies or options.seeds < 1:
        parser.error("strategies: random must be among them, and seeds at least 1")
    try:
        plan = Plan(options.per_class, options.share, options.batch)
        train, test = read_banking77(Path(options.datasets))
        pool = prepare(train, test, options.work / "embeddings.npz", progress=True)
    except ValueError as error:
        parser.error(str(error))
    # Results of other data, settings or code are never taken for these.
    texts = [(row.text, row.category) for row in (*train, *test)]
    code = [sha256_file(str(module.__file__)) for module in (queue, relabelling)]
    identity = json.dumps([texts, len(train), asdict(plan), code]).encode()
    folder = options.work / hashlib.sha256(identity).hexdigest()[:12]
    curves, found = _run(pool, plan, options.strategies, range(options.seeds), options.wrong, folder)
    result = savings(curves)
    write_json(folder / "result.json", {"savings": result, "curves": curves, "wrong_found": found})
    picture(curves, found, options.output)
    _print(result, curves, found)
    print(f"picture -> {options.output}, figures -> {folder / 'result.json'}")


def _run(
    pool: Pool, plan: Plan, strategies: Sequence[str], seeds: range, shares: Sequence[float], folder: Path
) -> tuple[Curves, Found]:
    curves: dict[str, dict[int, list[Step]]] = {strategy: {} for strategy in strategies}
    found: dict[str, list[list[float]]] = {}
    steps, done = len(plan.counts(pool.target)), 0
    total = (steps * len(strategies) + len(shares) * len(KINDS)) * len(seeds)
    with tqdm(total=total, unit="model", desc="labelling") as bar:
        for seed in seeds:
            for strategy in strategies:
                label = partial(simulate, pool, strategy, seed, plan, bar.update)
                curves[strategy][seed] = _kept(folder / f"{strategy}-{seed}.json", label)
                done += steps
                bar.update(done - bar.n)
            for share in shares:
                for kind, name in KINDS.items():
                    look = partial(find_wrong, pool, share, kind, seed)
                    line = _kept(folder / f"wrong-{share:g}-{kind}-{seed}.json", look)
                    found.setdefault(f"{100 * share:.0f} % wrong: {name}", []).append(line)
                    done += 1
                    bar.update(done - bar.n)
    return curves, found


def _kept(path: Path, compute: Callable[[], Any]) -> Any:
    """What an earlier simulation left at `path`; else compute it and leave it there."""
    if not path.is_file():
        write_json(path, compute())
    return json.loads(path.read_text(encoding="utf-8"))


def _print(result: Mapping[str, Mapping[str, Any]], curves: Curves, found: Found) -> None:
    heads = ["strategy", "labels needed", "saved", *(f"at {mark:,}" for mark in LABEL_MARKS), "at the end"]
    print("| " + " | ".join(heads) + " |\n|" + "---|" * len(heads))
    for strategy, row in result.items():
        needed, saved, cells = row["labels"], row["saved"], ["never", "–"]
        if needed is not None:
            cells = [f"{needed[0]:,.0f} ± {needed[1]:,.0f}", f"{100 * saved[0]:.0f} ± {100 * saved[1]:.0f} %"]
        for mark in LABEL_MARKS:
            runs = curves[strategy].values()
            at = [np.interp(mark, [s["labels"] for s in run], [s["accuracy"] for s in run]) for run in runs]
            cells.append(f"{np.mean(at):.3f}")
        print(f"| {strategy} | " + " | ".join([*cells, f"{row['last']:.3f}"]) + " |")
    every = [run for runs in curves.values() for run in runs.values()]
    errors = ", ".join(
        f"{np.mean([steps[number]['ece'] for steps in every]):.3f} with {every[0][number]['labels']:,}"
        for number in (0, len(every[0]) // 4, -1)
    )
    print(f"calibration error of the model, by labels: {errors}")
    if not found:
        return
    print("| wrong answers | " + " | ".join(f"first {mark} %" for mark in QUEUE_MARKS) + " |")
    for name, lines in found.items():
        mean = 100 * np.mean(lines, axis=0)
        print(f"| {name} | " + " | ".join(f"{mean[mark - 1]:.0f} %" for mark in QUEUE_MARKS) + " |")


if __name__ == "__main__":
    main()
