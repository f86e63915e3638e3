"""Is our training faster than the usual way? Samples a second, time to the same score, and peak memory.

The other side is Hugging Face's `Trainer`: same encoder, rows, epochs, batch size, longest input, precision
and machine, in one run, contenders by turns, medians over the rounds, each measurement a process. `Trainer`
is measured at its own default learning rate and at ours (`hf_our_rate`); its time to a score is the better.

What differs, and what each difference brings (`--switches` runs ours with one off, or theirs with it):

- Batches of similar length (ours) against random ones; both pad a batch to its longest row.
- The vocabulary cut to what can occur, so that the built-in encoder has a fraction of its parameters.
- Precision: ours takes bfloat16 by itself where the processor has it. All ratios have both in that one, but
  those of `--switches`, which also measures both in float32.
- Encoding: theirs is tokenised once before the first epoch, ours whenever a row is read (it masks numbers at
  random, and keeps no copy); ours also normalises texts, which is counted as tokenising.
- Attention by plain matrix products on a CPU, and no dropout inside the encoder (theirs: fused, and 0.1).
- Learning rates and head: ours by layer, with mean pooling; theirs 5e-5 for all, with BERT's pooler. They
  decide on the score, not on the speed.
- Checkpoints: ours saves one after each epoch, theirs none. Samples a second count the steps alone: neither
  validation nor checkpoints nor what comes before the first step; time to a score counts everything from raw
  texts on. It is read where validation first reaches the lower of the two sides' best scores.

    python -m benchmarks.training --data banking77 --switches \\
        --output benchmarks/training.json --picture docs/training.png
    python -m benchmarks.training --quick

Needs accelerate, which `Trainer` asks for. A run that was stopped goes on where its output file ends.
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

from benchmarks import training_hf, training_ours
from benchmarks.machine import describe_machine
from benchmarks.training_data import read_set
from benchmarks.training_report import draw, summarise, table
from benchmarks.training_watch import MemoryWatch
from data.files import write_json

__all__ = ["contenders", "main", "measure"]

WORK = Path(".kefu/benchmark-training")


def contenders(native: str, switches: bool, builtin: bool = True) -> dict[str, dict[str, Any]]:
    """By name what is measured: side, precision and switches.

    Args:
        native: the precision that ours takes by itself here, "32" or "bf16".
        switches: also each difference by itself.
        builtin: whether the encoder is the built-in one, whose vocabulary can be cut.
    """
    found: dict[str, dict[str, Any]] = {}
    for precision in dict.fromkeys((native, "32") if switches else (native,)):
        for side in ("ours", "hf"):
            found[f"{side}_{precision}"] = {"side": side, "precision": precision, "switches": []}
    found["hf_our_rate"] = {"side": "hf", "precision": native, "switches": ["our_rate"]}
    if switches:
        for side, names in (("ours", training_ours.SWITCHES), ("hf", training_hf.SWITCHES)):
            for name in names:
                if builtin or "vocabulary" not in name:
                    found[f"{side}_{name}"] = {"side": side, "precision": native, "switches": [name]}
    return found


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """One contender in this process: what `run_ours` or `run_hf` give, and peak memory in MB."""
    import datasets
    import transformers

    datasets.disable_progress_bars()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    snapshot = read_set(job["data"], tuple(job["columns"]), job["limit"])
    run = training_ours.run_ours if job["side"] == "ours" else training_hf.run_hf
    with tempfile.TemporaryDirectory() as work, MemoryWatch() as watch:
        found = run({**job, "work": work}, snapshot)
    steps = found["loop_seconds"] - found["parts"]["validation"] - found["parts"]["checkpoint"]
    return {
        **found,
        "samples_per_second": found["samples"] / steps,
        "peak_mb": watch.peak,
        "rows": {name: len(rows) for name, rows in snapshot.splits.items()},
    }


def _folders(setup: dict[str, Any]) -> dict[str, str]:
    """The encoder as Hugging Face folders: whole, and with the vocabulary that ours has."""
    if setup["backbone"] != "builtin":
        return {"whole": setup["backbone"], "cut": setup["backbone"]}
    from training.train import training_texts

    rows = read_set(setup["data"], tuple(setup["columns"]), setup["limit"])
    depth = setup["layers"] or "all"
    whole = training_hf.write_model_folder(WORK / f"whole-{depth}", setup["layers"])
    texts = list(training_texts(rows.splits["train"]))
    cut = training_hf.write_model_folder(WORK / f"cut-{rows.id}-{depth}", setup["layers"], texts)
    return {"whole": str(whole), "cut": str(cut)}


def _job(setup: dict[str, Any], one: dict[str, Any], folders: dict[str, str], seed: int) -> dict[str, Any]:
    cut = "cut_vocabulary" in one["switches"]
    rate = setup["our_rate"] if "our_rate" in one["switches"] else setup["learning_rate"]
    return {**setup, **one, "model": folders["cut" if cut else "whole"], "learning_rate": rate, "seed": seed}


def _run(job: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.training", "--job", json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{job['side']} failed with status {done.returncode}:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="banking77", help="corpus, banking77, smp2020, reviews, or a file")
    parser.add_argument("--columns", nargs=2, default=["text", "label"], help="of a file: text and label")
    parser.add_argument("--limit", type=int, help="rows at most, a seeded sample")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-length", type=int, default=128, help="longest input in tokens")
    parser.add_argument("--learning-rate", type=float, default=5e-5, help="of Trainer; its default")
    parser.add_argument("--our-rate", type=float, default=3e-4, help="of the contender hf_our_rate")
    parser.add_argument("--backbone", default="builtin", help="builtin, or a folder for both")
    parser.add_argument("--layers", type=int, help="of the built-in encoder; all if left out")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--switches", action="store_true", help="also each difference by itself")
    parser.add_argument("--quick", action="store_true", help="the corpus cut down, one round, two layers")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all contenders by turns, print the table, write JSON and picture."""
    options = _options(arguments)
    if options.job:
        print(json.dumps(measure(json.loads(options.job))))
        return
    from training.precision import pick_precision

    if options.quick:
        options.data, options.limit, options.epochs, options.rounds = "corpus", 300, 1, 1
        options.layers = 2 if options.backbone == "builtin" else None
    names = ("data", "columns", "limit", "epochs", "batch_size", "max_length", "learning_rate", "our_rate",
             "backbone", "layers")  # fmt: skip
    setup = {name: getattr(options, name) for name in names}
    native = "32" if pick_precision("auto", "auto") == "32-true" else "bf16"
    wanted = contenders(native, options.switches, options.backbone == "builtin")
    report: dict[str, Any] = {"setup": setup, "native": native, "machine": describe_machine(), "runs": []}
    if options.output and options.output.exists():
        known = json.loads(options.output.read_text(encoding="utf-8"))
        if known["setup"] == setup and known["native"] == native:  # it was stopped: go on
            report = known
    folders = _folders(setup)
    done = {(one["round"], one["contender"]) for one in report["runs"]}
    # By turns, and every second round backwards: a machine that slows down slows all of them down.
    order = [
        (turn, name)
        for turn in range(options.rounds)
        for name in (list(wanted) if turn % 2 == 0 else list(wanted)[::-1])
        if (turn, name) not in done
    ]
    for turn, name in (bar := tqdm(order, desc="training")):
        bar.set_postfix_str(f"round {turn + 1}, {name}")
        found = _run(_job(setup, wanted[name], folders, seed=7 + turn))
        report["runs"].append({"round": turn, "contender": name, **found})
        if options.output:
            write_json(options.output, {**report, **summarise(report)})
    report |= summarise(report)
    print(table(report))
    print(json.dumps(report["ratios"], indent=2))
    if options.output:
        write_json(options.output, report)
    if options.picture:
        draw(report, options.picture)


if __name__ == "__main__":
    main()
