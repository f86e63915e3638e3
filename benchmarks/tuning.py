"""Does tuning help? TPE, random search and the configured parameters, on a cut-down budget, over seeds.

Each seed draws its own training rows. The searches get the same number of trials and both begin with the
configured parameters; test rows are seen only by the winner, and once.

    python -m benchmarks.tuning --output benchmarks/tuning.json --docs docs
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from benchmarks.machine import describe_machine
from data.files import write_json

METHODS = ("tpe", "random", "defaults")
MARK = "<!-- made by: python -m benchmarks.tuning -->"
END = "<!-- end of the table -->"


def setting_of(seed: int, rows: int, epochs: int) -> Any:
    """The shared model on few rows and layers; a draw of rows and a training seed of its own."""
    from data.split import load_snapshot
    from experiments.search_space import load_search_space
    from experiments.trial import Setting, stratified
    from training.config import load_training_config

    config = load_training_config("shared")
    config = replace(
        config,
        backbone=replace(config.backbone, layers=3, frozen_layers=1, margin=0),
        input=replace(config.input, message_tokens=48, context_turns=2, context_tokens=32),
        train=replace(config.train, epochs=epochs, seed=seed),
    )
    whole = load_snapshot("data/processed")
    space = replace(load_search_space(config), startup_trials=4)
    splits = {
        "train": stratified(whole.splits["train"], rows, seed),
        "val": stratified(whole.splits["val"], 400, seed),
        "test": whole.splits["test"],
    }
    return Setting("shared", config, replace(whole, splits=splits), space)


def measure(job: dict[str, Any]) -> dict[str, Any]:
    """One study, or the configured parameters alone, and the figures of what it chose."""
    import torch

    from experiments.study import fail_lost, open_study, pruner_of
    from experiments.trial import quiet, run_trials, scores_on
    from experiments.tune_report import best_trial, default_trial, state_of
    from training.fit import fit_model

    quiet()
    torch.set_num_threads(1)
    began = time.perf_counter()
    setting = setting_of(job["seed"], job["rows"], job["epochs"])
    values = setting.space.current(setting.config)
    found: dict[str, Any] = {"seed": job["seed"], "method": job["method"], "trials": {}}
    # Out of the way of a person's studies; kept until the end, so that what was stopped goes on.
    work, here = _folder(job), Path.cwd()
    work.mkdir(parents=True, exist_ok=True)
    if job["method"] != "defaults":
        os.chdir(work)
        study = open_study(f"{job['method']}-{job['seed']}", None, setting.about(), values)
        study.pruner = pruner_of(setting.space, setting.config.train.epochs)
        fail_lost(study)
        run_trials(setting, study, job["method"], job["trials"], seed=job["seed"])
        os.chdir(here)
        trials = study.get_trials(deepcopy=False)
        best, default = best_trial(trials), default_trial(trials)
        assert best is not None
        assert default is not None
        values = best.user_attrs["parameters"]
        states = [state_of(one) for one in trials]
        found["trials"] = {state: states.count(state) for state in sorted(set(states))}
        found |= {"val": best.value, "val_defaults": default.value, "best_trial": best.number}
        found["search_seconds"] = round(_spent(trials), 1)
    config = setting.space.apply(setting.config, values)
    result, _ = fit_model(config, setting.snapshot, work / "winner", progress=False)
    scores = scores_on(result, setting.snapshot.splits["test"])
    found |= {"parameters": values, "test": {**scores, "mean": float(np.mean(list(scores.values())))}}
    shutil.rmtree(work / "winner", ignore_errors=True)
    return {**found, "seconds": round(time.perf_counter() - began, 1)}


def _folder(job: dict[str, Any]) -> Path:
    name = "-".join(str(job[key]) for key in ("method", "seed", "rows", "epochs", "trials"))
    return Path(".kefu/benchmark-tuning").resolve() / name


def _spent(trials: Any) -> float:
    """Seconds of all trials together, over all starts."""
    ended = [one for one in trials if one.datetime_start and one.datetime_complete]
    return float(sum((one.datetime_complete - one.datetime_start).total_seconds() for one in ended))


def interval(differences: list[float]) -> dict[str, float]:
    """Mean of paired differences over seeds with its 95 % interval (Student's t)."""
    values = np.array(differences)
    mean = float(values.mean())
    if len(values) < 2:
        return {"mean": mean, "low": float("nan"), "high": float("nan")}
    half = float(student.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
    return {"mean": mean, "low": mean - half, "high": mean + half}


def compare(results: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Differences in test macro-F1 (mean of the tasks), paired by seed."""
    by = {(one["method"], one["seed"]): one["test"]["mean"] for one in results}
    seeds = sorted({seed for _, seed in by if all((method, seed) in by for method in METHODS)})
    pairs = (("tpe", "defaults"), ("random", "defaults"), ("tpe", "random"))
    return {f"{a} - {b}": interval([by[a, seed] - by[b, seed] for seed in seeds]) for a, b in pairs}


def as_markdown(report: dict[str, Any]) -> str:
    """The table of docs/tuning.md."""
    names = {"defaults": "configured parameters", "random": "random search", "tpe": "TPE"}
    setup, lines = report["setup"], []
    lines.append("| | category | emotion | mean of both | trials finished / pruned | search |")
    lines.append("|---|---|---|---|---|---|")
    for method, name in names.items():
        rows = [one for one in report["results"] if one["method"] == method]
        cells = [f"{np.mean([one['test'][task] for one in rows]):.3f}"
                 for task in ("category", "emotion", "mean")]  # fmt: skip
        done = [sum(one["trials"].get(state, 0) for one in rows) for state in ("done", "pruned")]
        minutes = np.mean([one.get("search_seconds", 0.0) for one in rows]) / 60
        cells += [f"{done[0]} / {done[1]}", f"{minutes:.1f} min"] if sum(done) else ["–", "–"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines.append("")
    lines.append("| difference in the mean, on test | | 95 % interval |")
    lines.append("|---|---|---|")
    for pair, found in report["differences"].items():
        a, b = (names[part] for part in pair.split(" - "))
        lines.append(
            f"| {a} against {b} | {found['mean']:+.3f} | {found['low']:+.3f} to {found['high']:+.3f} |"
        )
    seeds = len({one["seed"] for one in report["results"]})
    lines.append("")
    lines.append(
        f"Test macro-F1, {seeds} seeds, {setup['trials']} trials each, {setup['rows']} training rows, "
        f"{setup['epochs']} epochs, 3 layers; Student's t over the seeds, paired. "
        f"One thread each on {report['machine']['cpu']}."
    )
    return "\n".join(lines)


def write_docs(report: dict[str, Any], folder: Path) -> None:
    """Put the table between its marks in tuning.md."""
    page = folder / "tuning.md"
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(MARK)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{MARK}\n{as_markdown(report)}\n{END}{after}", encoding="utf-8")


def draw(job: dict[str, Any], folder: Path) -> None:
    """The history of one study as tuning-history.png."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    from experiments.tune_report import write_pictures

    name = f"{job['method']}-{job['seed']}"
    path = str(_folder(job) / ".kefu" / "studies" / f"{name}.log")
    backend = JournalFileBackend(path, lock_obj=JournalFileOpenLock(path))
    study = optuna.load_study(study_name=name, storage=JournalStorage(backend))
    with tempfile.TemporaryDirectory() as beside:
        write_pictures(study, Path(beside))
        shutil.copyfile(Path(beside) / "history.png", folder / "tuning-history.png")


def main() -> None:
    """Run the studies in processes of one thread, print the table, write JSON, table and pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--rows", type=int, default=800)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="two seeds, three trials, few rows")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--docs", type=Path, help="write table and pictures into this folder's tuning.md")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        print(json.dumps(measure(json.loads(options.job))))
        return
    setup = {name: getattr(options, name) for name in ("trials", "rows", "epochs")}
    seeds = range(options.seeds)
    if options.quick:
        setup, seeds = {"trials": 3, "rows": 300, "epochs": 1}, range(2)
    jobs = [{**setup, "seed": seed, "method": method} for seed in seeds for method in METHODS]
    report = {"setup": setup, "machine": describe_machine(), "results": []}
    if options.output and options.output.exists():
        known = json.loads(options.output.read_text(encoding="utf-8"))
        if known["setup"] == setup:  # it was stopped: go on
            report = known
    results = _run(jobs, options.processes, report, options.output)
    report = {**report, "results": results, "differences": compare(results)}
    print(as_markdown(report))
    if options.output:
        write_json(options.output, report)
    if options.docs:
        write_docs(report, options.docs)
        draw(jobs[-len(METHODS)], options.docs)


def _run(
    jobs: list[dict[str, Any]], processes: int, report: dict[str, Any], output: Path | None
) -> list[dict[str, Any]]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    results = report["results"]
    done_before = {(one["seed"], one["method"]) for one in results}
    waiting = [job for job in jobs if (job["seed"], job["method"]) not in done_before]
    running: list[subprocess.Popen[str]] = []
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                command = [sys.executable, "-W", "ignore", "-m", "benchmarks.tuning"]
                command += ["--job", json.dumps(waiting.pop(0))]
                running.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
            done = next((one for one in running if one.poll() is not None), None)
            if done is None:
                time.sleep(0.5)
                continue
            running.remove(done)
            if done.returncode:
                raise SystemExit(f"a study failed with status {done.returncode}")
            results.append(json.loads(done.communicate()[0].splitlines()[-1]))
            if output:
                write_json(output, report)
            one = results[-1]
            print(f"seed {one['seed']} {one['method']:8} {one['test']['mean']:.4f} {one['seconds']:.0f} s "
                  f"{one['trials']}", file=sys.stderr)  # fmt: skip
    finally:
        for process in running:
            process.kill()
    wanted = {(job["seed"], job["method"]) for job in jobs}
    kept = [one for one in results if (one["seed"], one["method"]) in wanted]
    return sorted(kept, key=lambda one: (one["seed"], one["method"]))


if __name__ == "__main__":
    main()
