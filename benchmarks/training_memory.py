"""Does a file of five million rows train in bounded memory? Peak memory against rows, under a hard limit.

Each size is one process: made-up rows are streamed into a snapshot (`data.stream_snapshot`), which is opened
from disk and trained on for `--steps` steps, after everything that reads all rows (vocabulary, lengths,
labels, class weights) was done for all of them; validation, n-gram view and calibration follow. `--list-rows`
are sizes to hold as lists, as short files are, for comparison. With `--cap` a process may allocate no more
than that many MB.

    python -m benchmarks.training_memory --layers 3 --cap 6000 \\
        --output benchmarks/training_memory.json --picture docs/training-memory.png
    python -m benchmarks.training_memory --quick
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from benchmarks.machine import describe_machine
from benchmarks.training_data import synthetic, taxonomy_of
from benchmarks.training_watch import MemoryWatch, cap_memory
from data.files import write_json

__all__ = ["main", "measure", "per_row"]

WAYS = ("stream", "lists")
_COMMON = ("classes", "steps", "backbone", "layers", "buckets", "cap")


def measure(job: dict[str, Any], scratch: Path) -> dict[str, Any]:
    """Train on one size in this process; peaks in MB by stage, seconds, rows.

    Args:
        job: `rows`, `classes`, `steps`, `way` (`stream`, `lists`), `backbone`, `layers`, `buckets`
            (of the n-gram view; 0 leaves it out), `cap` (MB or None).
        scratch: a folder for the snapshot, of some 300 bytes a row.
    """
    import torch
    from pytorch_lightning.callbacks import Callback

    from data.split import SplitConfig, load_snapshot
    from data.stream_snapshot import stream_snapshot
    from training.config import BackboneConfig, TrainConfig, TrainingConfig
    from training.fit import fit_model

    class Enough(Callback):
        def setup(self, trainer: Any, module: Any, stage: str) -> None:
            trainer.limit_train_batches = job["steps"]

    if job["cap"]:
        cap_memory(job["cap"])
    layers = job["layers"]
    config = TrainingConfig(
        ("category",),
        BackboneConfig(job["backbone"], layers=layers),
        train=TrainConfig(epochs=1, ngram_buckets=job["buckets"], accelerator="cpu", precision="32"),
    )
    taxonomy = taxonomy_of([str(n) for n in range(job["classes"])])
    with MemoryWatch() as watch:
        with watch.stage("write"):
            rows = tqdm(synthetic(job["rows"], job["classes"]), total=job["rows"], disable=None)
            _, counts = stream_snapshot(rows, taxonomy, scratch / "snapshot", SplitConfig())
        with watch.stage("open"):
            above = 0 if job["way"] == "stream" else job["rows"]
            snapshot = load_snapshot(scratch / "snapshot", stream_above=above)
        with watch.stage("train"):
            result, _ = fit_model(config, snapshot, scratch / "run", callbacks=[Enough()], progress=False)
    weights = sum(value.double().abs().sum() for value in result.network.parameters())
    return {
        **job,
        "counts": counts,
        "peaks_mb": watch.peaks,
        "peak_mb": watch.peak,
        "seconds": {name: round(value, 1) for name, value in watch.seconds.items()},
        "weights": float(torch.as_tensor(weights)),
    }


def per_row(results: Sequence[dict[str, Any]], way: str = "stream") -> float | None:
    """Bytes allocated for each further row: peaks of the two largest sizes of a way compared."""
    done = sorted((one for one in results if one["way"] == way and "peak_mb" in one), key=_rows)
    if len(done) < 2 or done[-2]["rows"] == done[-1]["rows"]:
        return None
    more = done[-1]["peak_mb"]["allocated"] - done[-2]["peak_mb"]["allocated"]
    return float(more * 2**20 / (done[-1]["rows"] - done[-2]["rows"]))


def _rows(result: dict[str, Any]) -> int:
    return int(result["rows"])


def _picture(results: Sequence[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4))
    names = {"stream": "from Arrow", "lists": "rows as lists"}
    for way in WAYS:
        done = sorted((one for one in results if one["way"] == way and "peak_mb" in one), key=_rows)
        if done:
            peaks = [one["peak_mb"]["allocated"] / 1024 for one in done]
            axes.plot([one["rows"] for one in done], peaks, marker="o", label=names[way])
    caps = {one["cap"] for one in results if one["cap"]}
    for cap in caps:
        axes.axhline(cap / 1024, color="grey", linestyle=":", label=f"limit {cap / 1024:.1f} GB")
    axes.set(xscale="log", xlabel="rows", ylabel="peak of allocated memory, GB", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=140, bbox_inches="tight")
    plt.close(figure)


def main() -> None:
    """Measure each size in a process of its own, print the table, write JSON and picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[20_000, 200_000, 1_000_000, 5_000_000])
    parser.add_argument("--list-rows", type=int, nargs="*", default=[20_000, 200_000])
    parser.add_argument("--classes", type=int, default=71)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--backbone", default="builtin")
    parser.add_argument("--layers", type=int, help="of the encoder; all if left out")
    parser.add_argument("--buckets", type=int, default=131072, help="of the n-gram view; 0 leaves it out")
    parser.add_argument("--cap", type=float, help="MB that a process may allocate")
    parser.add_argument("--scratch", type=Path, help="folder for the snapshots; the system's if left out")
    parser.add_argument("--quick", action="store_true", help="two small sizes, one layer, three steps")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
            print(json.dumps(measure(json.loads(options.job), Path(scratch))))
        return
    if options.quick:
        options.rows, options.list_rows, options.steps, options.layers = [1000, 4000], [4000], 3, 1
        options.buckets = 4096
    common = {name: getattr(options, name) for name in _COMMON}
    jobs = [{"rows": rows, "way": way, **common}
            for way, sizes in zip(WAYS, (options.rows, options.list_rows), strict=True)
            for rows in sorted(sizes)]  # fmt: skip
    results: list[dict[str, Any]] = []
    if options.output and options.output.exists():  # it was stopped: go on
        results = json.loads(options.output.read_text(encoding="utf-8"))["results"]
    for job in tqdm(jobs, desc="sizes"):
        if not any(all(one.get(key) == value for key, value in job.items()) for one in results):
            results.append(_run(job, options.scratch))
            if options.output:
                write_json(options.output, _report(results))
    for one in results:
        peak = one.get("peak_mb", {}).get("allocated")
        told = f"{peak:8.0f} MB allocated  {one['seconds']}" if peak else one["failed"]
        print(f"{one['way']:7} {one['rows']:>9} rows  {told}")
    print(json.dumps(_report(results)["bytes_per_row"]))
    if options.picture:
        _picture(results, options.picture)


def _report(results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    growth = {way: per_row(results, way) for way in WAYS}
    return {"machine": describe_machine(), "bytes_per_row": growth, "results": list(results)}


def _run(job: dict[str, Any], scratch: Path | None) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.training_memory", "--job", json.dumps(job)]
    command += ["--scratch", str(scratch)] if scratch else []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:  # beyond the limit: a result as well
        return {**job, "failed": f"ended with status {done.returncode} before it was done"}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
