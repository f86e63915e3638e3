"""How does the cost of training grow with rows and with classes? Seconds and peak memory, on made-up rows.

Each point is a process that trains one epoch, and tells its seconds by part. The exponent is the slope of
log seconds over log rows: 1 is linear. The encoder is cut to a few layers so that 100,000 rows take minutes;
what a layer more costs is the same for every row. The n-gram view, fitted after the encoder, is timed apart.

    python -m benchmarks.training_scaling --output benchmarks/training_scaling.json \\
        --picture docs/training-scaling.png
    python -m benchmarks.training_scaling --quick
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.machine import describe_machine
from benchmarks.training_data import synthetic_snapshot
from benchmarks.training_watch import MemoryWatch
from data.files import write_json

__all__ = ["draw", "exponent", "main", "measure", "summarise"]

ROWS = (1_000, 3_000, 10_000, 30_000, 100_000)
CLASSES = (10, 30, 100, 300, 1_000)


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """One epoch on `rows` rows of `classes` classes; seconds by stage and peaks in MB.

    Args:
        job: `rows`, `classes`, `layers`, `backbone`, `buckets` (of the n-gram view; 0 leaves it out).
    """
    from data.ngrams import NgramView
    from training.config import BackboneConfig, TrainConfig, TrainingConfig
    from training.fit import fit_lexical_views
    from training.train import train

    snapshot = synthetic_snapshot(job["rows"], job["classes"])
    config = TrainingConfig(
        ("category",),
        BackboneConfig(job["backbone"], layers=job["layers"]),
        train=TrainConfig(epochs=1, ngram_buckets=0),
    )
    seconds: dict[str, float] = {}
    with MemoryWatch() as watch, tempfile.TemporaryDirectory() as work:
        began = time.perf_counter()
        with watch.stage("train"):
            result = train(config, snapshot, Path(work), progress=False)
        seconds["train"] = time.perf_counter() - began
        if job["buckets"]:
            began = time.perf_counter()
            with watch.stage("ngrams"):
                view = NgramView(job["buckets"])
                fit_lexical_views(snapshot.splits["train"], result.label_maps, view, 0.5)
            seconds["ngrams"] = time.perf_counter() - began
    peaks = {name: one["allocated"] for name, one in watch.peaks.items()}
    return {**job, "seconds": seconds, "peak_mb": peaks}


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float | None:
    """Slope of log cost over log size (least squares); None for fewer than two sizes."""
    if len(set(sizes)) < 2:
        return None
    return float(np.polyfit(np.log(sizes), np.log(costs), 1)[0])


def summarise(results: Sequence[dict[str, Any]], base_rows: int, base_classes: int) -> dict[str, Any]:
    """Points along both axes in order of size, and the exponent of each stage's seconds."""
    found: dict[str, Any] = {}
    for axis, other, fixed in (("rows", "classes", base_classes), ("classes", "rows", base_rows)):
        points = sorted((one for one in results if one[other] == fixed), key=lambda one: int(one[axis]))
        stages = sorted({stage for one in points for stage in one["seconds"]})
        found[axis] = {
            "sizes": [one[axis] for one in points],
            "seconds": {stage: [one["seconds"].get(stage) for one in points] for stage in stages},
            "peak_mb": {stage: [one["peak_mb"].get(stage) for one in points] for stage in stages},
            "exponents": {
                stage: exponent(*_known([one[axis] for one in points],
                                        [one["seconds"].get(stage) for one in points]))
                for stage in stages
            },
        }  # fmt: skip
        if len(points) >= 2 and axis == "rows":
            # Loading the encoder costs the same for any number of rows: what a further row costs.
            first, last = points[0], points[-1]
            more = last["seconds"]["train"] - first["seconds"]["train"]
            found[axis]["seconds_per_1000_further_rows"] = 1000 * more / (last["rows"] - first["rows"])
            memory = last["peak_mb"]["train"] - first["peak_mb"]["train"]
            found[axis]["kb_per_further_row"] = 1024 * memory / (last["rows"] - first["rows"])
    return found


def _known(sizes: list[int], costs: list[float | None]) -> tuple[list[float], list[float]]:
    pairs = [(float(size), cost) for size, cost in zip(sizes, costs, strict=True) if cost]
    return [size for size, _ in pairs], [cost for _, cost in pairs]


def draw(summary: dict[str, Any], path: Path) -> None:
    """Seconds and peak memory over rows (above) and classes (below)."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    words = {"train": "encoder, one epoch", "ngrams": "n-gram view"}
    figure, axes = plt.subplots(2, 2, figsize=(10, 7))
    for line, axis in zip(axes, ("rows", "classes"), strict=True):
        told = summary[axis]
        for stage in told["seconds"]:
            slope = told["exponents"][stage]
            label = words.get(stage, stage) + (f" (exponent {slope:.2f})" if slope is not None else "")
            line[0].plot(told["sizes"], told["seconds"][stage], marker="o", label=label)
            gigabytes = [None if one is None else one / 1024 for one in told["peak_mb"][stage]]
            line[1].plot(told["sizes"], gigabytes, marker="o", label=words.get(stage, stage))
        line[0].set(xscale="log", yscale="log", xlabel=axis, ylabel="seconds")
        line[1].set(xscale="log", xlabel=axis, ylabel="peak of allocated memory, GB", ylim=(0, None))
        for one in line:
            one.grid(alpha=0.3)
            one.legend()
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=140)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each point in a process of its own, print the figures, write JSON and picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=ROWS)
    parser.add_argument("--classes", type=int, nargs="+", default=CLASSES)
    parser.add_argument("--base-rows", type=int, default=10_000, help="where classes are varied")
    parser.add_argument("--base-classes", type=int, default=100, help="where rows are varied")
    parser.add_argument("--layers", type=int, default=3)
    parser.add_argument("--backbone", default="builtin")
    parser.add_argument("--buckets", type=int, default=131072, help="of the n-gram view; 0 leaves it out")
    parser.add_argument("--quick", action="store_true", help="two small points on each axis, one layer")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.job:
        print(json.dumps(measure(json.loads(options.job))))
        return
    if options.quick:
        options.rows, options.classes, options.base_rows, options.base_classes = (100, 400), (5, 20), 100, 5
        options.buckets = 4096
        options.layers = 1 if options.backbone == "builtin" else None
    common = {name: getattr(options, name) for name in ("layers", "backbone", "buckets")}
    points = [(rows, options.base_classes) for rows in options.rows]
    points += [(options.base_rows, classes) for classes in options.classes]
    jobs = [{"rows": rows, "classes": classes, **common} for rows, classes in dict.fromkeys(points)]
    results: list[dict[str, Any]] = []
    if options.output and options.output.exists():  # it was stopped: go on
        results = json.loads(options.output.read_text(encoding="utf-8"))["results"]
    for job in (bar := tqdm(sorted(jobs, key=lambda one: one["rows"]), desc="points")):
        bar.set_postfix_str(f"{job['rows']} rows, {job['classes']} classes")
        if not any(all(one.get(key) == value for key, value in job.items()) for one in results):
            results.append(_run(job))
            if options.output:
                write_json(options.output, _report(results, jobs, options))
    report = _report(results, jobs, options)
    print(json.dumps({key: value for key, value in report.items() if key != "results"}, indent=2))
    if options.picture:
        draw(report["summary"], options.picture)


def _report(
    results: Sequence[dict[str, Any]], jobs: Sequence[dict[str, Any]], options: argparse.Namespace
) -> dict[str, Any]:
    asked = [one for one in results if any(all(one[key] == job[key] for key in job) for job in jobs)]
    summary = summarise(asked, options.base_rows, options.base_classes)
    return {"machine": describe_machine(), "summary": summary, "results": list(results)}


def _run(job: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.training_scaling", "--job", json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{job} failed with status {done.returncode}:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
