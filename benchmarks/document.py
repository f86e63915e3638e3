"""docs/benchmarks.md out of the figures that the benchmarks wrote: no number in it is typed.

python -m benchmarks.document
"""

# ruff: noqa: E501  (prose)
from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.quality_document import document_ablations, document_tasks
from benchmarks.serving_report import BARE, OURS, TITLES
from benchmarks.training_document import document_training
from data.files import atomic_write
from experiments.bench_table import RECORD

__all__ = ["document", "main", "stored_figures"]

FOLDER = Path("benchmarks")
RIVALS = ("pipeline_bentoml", "pipeline_fastapi")


def document(
    serving: dict[str, Any],
    soak: dict[str, Any],
    artefacts: dict[str, Any],
    training: Sequence[dict[str, Any] | None] = (None, None, None),
    ablations: Mapping[str, dict[str, Any]] | None = None,
    tasks: Sequence[Mapping[str, Any]] = (),
    oos: Mapping[str, Any] | None = None,
) -> str:
    """The page, from the JSON of the benchmarks.

    Args:
        training: of `benchmarks.training`, `training_scaling` and `training_memory`; None where not measured.
        ablations: of `experiments.ablation`, by name.
        tasks: of `kefu bench table`; of those that are not there the page says so.
        oos: of `experiments.oos_choice`; None where not measured.
    """
    return "\n".join([
        "# Benchmarks", "",
        "Made by `python -m benchmarks.document` from the figures of the commands named below. Read the ratios:",
        "each is measured side by side in one run; absolute figures belong to the machine that gave them.", "",
        document_tasks(tasks, oos), document_ablations(ablations or {}), document_training(*training), "",
        *_serving(serving), *_soak(soak), *_artefacts(artefacts), *_gpu(),
    ])  # fmt: skip


def _machine(figures: dict[str, Any]) -> str:
    machine, messages = figures["machine"], figures["messages"]
    wanted = ("onnxruntime", "bentoml", "fastapi", "transformers", "torch")
    named = [f"{name} {machine['versions'][name]}" for name in wanted if name in machine["versions"]]
    return (
        f"{machine['cores']} cores of {machine['cpu']}, Python {machine['python']}, {', '.join(named)}; "
        f"{messages['count']:,} messages ({messages['source']}), "
        f"{messages['mean_characters']:.0f} characters on average, {messages['with_context']:,} with the turns before them."
    )


def _serving(figures: dict[str, Any]) -> list[str]:
    found, rounds = figures["ratios"], figures["settings"]["rounds"]
    lines = [
        "## The service against what one would build in an afternoon", "",
        "`python -m benchmarks.serving --rounds 3 --seconds 6 --output benchmarks/serving.json --picture "
        "docs/serving-benchmark.png`",
        "(`--quick`: the main comparison, in under five minutes)", "",
        "Rivals: `transformers.pipeline` with the same weights behind a plain BentoML API and behind a plain",
        "FastAPI, each answering category and emotion. The floor: the ONNX session called in a loop, with",
        "tokenisation, without HTTP.", "",
        _machine(figures), f"Medians of {rounds} rounds, the contenders by turns.", "",
        "![Throughput and latency at 1 to 128 clients](serving-benchmark.png)", "",
        "| | clients | messages/s | p50 ms | p99 ms | errors | memory MB |",
        "|---|---:|---:|---:|---:|---|---:|",
    ]  # fmt: skip
    for name, title in TITLES.items():
        for clients, entry in sorted(figures["summary"].get(name, {}).items(), key=lambda item: int(item[0])):
            asked = clients if name != BARE else ("one by one" if clients == "1" else f"batches of {clients}")
            errors = ", ".join(f"{kind}: {count}" for kind, count in entry["errors"].items()) or "none"
            cells = (_number(entry[key]) for key in ("throughput", "p50_ms", "p99_ms"))
            lines.append(
                f"| {title} | {asked} | {' | '.join(cells)} | {errors} | {_number(entry['memory_mb'])} |"
            )
    lines += [
        "",
        "Our throughput divided by theirs:",
        "",
        "| clients | BentoML | FastAPI |",
        "|---:|---:|---:|",
    ]
    for clients in sorted(figures["summary"][OURS], key=int):
        count = f"{clients}_client{'' if clients == '1' else 's'}"
        cells = (f"{found[f'throughput_{count}_vs_{rival}']:.2f}" for rival in RIVALS)
        lines.append(f"| {clients} | {' | '.join(cells)} |")
    same = figures["agreement_with_bare_session"]
    most, crowd = max(figures["summary"][OURS].items(), key=lambda item: int(item[0]))
    return [
        *lines, "",
        f"One client waits {found['p50_1_client_vs_bare_session']:.2f} times as long as a loop around the bare "
        f"session would (median). With {most} clients our service makes {sum(crowd['errors'].values())} errors. "
        f"Categories equal the bare session's in {same[OURS]:.0%} of the messages asked before each load "
        f"(rivals, which compute in float32 and without the n-gram view: "
        f"{', '.join(f'{same[rival]:.0%}' for rival in RIVALS if rival in same)}).", "",
    ]  # fmt: skip


def _soak(figures: dict[str, Any]) -> list[str]:
    slope = figures["slope"]
    minutes = len(figures["per_minute"])
    errors = ", ".join(f"{kind}: {count}" for kind, count in figures["errors"].items()) or "none"
    text = "too few samples"
    if slope:
        text = f"{slope['mb_per_hour']:+.1f} MB an hour (95 %: {slope['low']:+.1f} to {slope['high']:+.1f})"
    return [
        "## The service at full load for ten minutes", "",
        "`python -m benchmarks.soak --minutes 10 --output benchmarks/soak.json --picture docs/soak.png`", "",
        f"{figures['clients']} clients that never pause, {minutes} minutes: {figures['answers']:,} answers, "
        f"{figures['throughput']:.0f} a second; errors: {errors}; p50 {figures['p50_ms']:.0f} ms, "
        f"p99 {figures['p99_ms']:.0f} ms. "
        f"Memory: {text}, the Theil-Sen slope after the first minute.", "",
        "![Memory and throughput over ten minutes](soak.png)", "",
        "What breaks, and what callers then see: [faults.md](faults.md).", "",
    ]  # fmt: skip


def _artefacts(figures: dict[str, Any]) -> list[str]:
    lines = [
        "## Artefacts", "",
        "`python -m benchmarks.artefacts --rounds 3 --output benchmarks/artefacts.json`: encoded messages of real",
        f"length, in batches of 32, no HTTP; medians of {figures['rounds']} rounds.", "",
        "| way | messages/s | ratio |", "|---|---:|---:|",
    ]  # fmt: skip
    for name, speed in figures["messages_per_second"].items():
        lines.append(f"| {name} | {_number(speed)} | {figures['ratios'][name]:.2f} |")
    lines += [
        "", "What the gate measured on the validation rows before it let them into the exported folder:", "",
        "| artefact | category macro-F1 | emotion macro-F1 | red-alert recall | same category | same emotion "
        "| distance |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for name, entry in figures["gate"].items():
        cells = [
            *entry["macro_f1"].values(),
            entry["red_recall"],
            *entry["agreement"].values(),
            entry["parity"],
        ]
        lines.append(f"| {name} | {' | '.join(f'{value:.4f}' for value in cells)} |")
    return [
        *lines, "",
        "int8 computes the input channels that lose most exactly; temperatures, weights of the views and",
        "thresholds are fitted again for it. Distance: mean total variation from float32's probabilities at the",
        "worst batch and length. Answers of int8 depend slightly on a message's company in the batch: activations",
        "are quantised per tensor.", "",
    ]  # fmt: skip


def _gpu() -> list[str]:
    return [
        "## On a GPU", "",
        "Not measured: none was at hand. `python -m benchmarks.gpu --output benchmarks/gpu.json` measures batches of",
        "1 to 512 in float32, bfloat16 and float16 against `transformers` on the same card; it was run with",
        "`--device cpu` only.", "",
    ]  # fmt: skip


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def stored_figures(folder: Path) -> dict[str, Any]:
    """What `document` needs, from the JSON files of a folder.

    Raises:
        SystemExit: a benchmark of the service has no file; names the command that makes it.
    """
    found: dict[str, Any] = {}
    for name in ("serving", "soak", "artefacts"):
        file = folder / f"{name}.json"
        if not file.is_file():
            raise SystemExit(f"{file} is missing; make it with: python -m benchmarks.{name} --output {file}")
        found[name] = _read(file)
    found["training"] = [
        _read(file) if (file := folder / f"{name}.json").is_file() else None
        for name in ("training", "training_scaling", "training_memory")
    ]
    found["ablations"] = {
        file.stem.removeprefix("ablation-"): _read(file) for file in sorted(folder.glob("ablation-*.json"))
    }
    choice = folder / "oos-choice.json"
    found["oos"] = _read(choice) if choice.is_file() else None
    found["tasks"] = _read(lines) if (lines := folder / RECORD.name).is_file() else []
    return found


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks.md"))
    options = parser.parse_args(arguments)
    with atomic_write(options.output) as handle:
        handle.write(document(**stored_figures(FOLDER)))
    print(f"-> {options.output}")


if __name__ == "__main__":
    main()
