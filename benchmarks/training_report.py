"""From the runs of `benchmarks.training` to medians, ratios, a table and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.training_clock import PARTS

__all__ = ["draw", "seconds_to", "summarise", "table"]

_WORDS = {
    "ours": "ours",
    "hf": "Hugging Face Trainer",
    "full_vocabulary": "whole vocabulary",
    "random_batches": "random batches",
    "cached_encoding": "texts tokenised once",
    "encoder_dropout": "dropout 0.1 inside the encoder",
    "sdpa_attention": "fused attention",
    "grouped": "batches of similar length",
    "cut_vocabulary": "our cut vocabulary",
    "our_rate": "our learning rate",
    "32": "float32",
    "bf16": "bfloat16",
}


def seconds_to(run: dict[str, Any], score: float) -> float | None:
    """Seconds from raw texts to the first validation that reached a macro-F1; None if none did."""
    reached = [point["seconds"] for point in run["curve"] if point["macro_f1"] >= score]
    return min(reached, default=None)


def _best(run: dict[str, Any]) -> float:
    return max((point["macro_f1"] for point in run["curve"]), default=0.0)


def summarise(report: dict[str, Any]) -> dict[str, Any]:
    """`summary` (medians by contender), `ratios` (above 1: ours is better) and `target_macro_f1`.

    Ratios appear once both sides were measured.
    """
    runs: dict[str, list[dict[str, Any]]] = {}
    for run in report["runs"]:
        runs.setdefault(run["contender"], []).append(run)
    ours, *theirs = main = _main(report["native"])
    target = None
    if ours in runs and theirs[0] in runs:
        best = {name: median(_best(run) for run in runs[name]) for name in main if name in runs}
        # A hair below, so that the side whose best it is has reached it.
        target = min(best[ours], max(best[name] for name in theirs if name in best)) - 1e-9
    summary = {name: _medians(found, target) for name, found in runs.items()}
    return {"summary": summary, "target_macro_f1": target, "ratios": _ratios(summary, report["native"])}


def _main(native: str) -> list[str]:
    """Ours, and the `Trainer` at its own learning rate and at ours."""
    return [f"ours_{native}", f"hf_{native}", "hf_our_rate"]


def _medians(runs: Sequence[dict[str, Any]], target: float | None) -> dict[str, Any]:
    told: dict[str, Any] = {
        "rounds": len(runs),
        "samples_per_second": median(run["samples_per_second"] for run in runs),
        "seconds": median(run["seconds"] for run in runs),
        "allocated_mb": median(run["peak_mb"]["allocated"] for run in runs),
        "resident_mb": median(run["peak_mb"]["resident"] for run in runs),
        "macro_f1": median(_best(run) for run in runs),
        "parameters": runs[0]["parameters"],
        "parts": {part: median(run["parts"][part] for run in runs) for part in PARTS},
    }
    reached = [seconds_to(run, target) for run in runs] if target is not None else []
    times = sorted(float("inf") if one is None else one for one in reached)
    middle = times[len(times) // 2] if times else float("inf")
    # A median over rounds that failed to reach it is no time.
    told["seconds_to_target"] = middle if middle < float("inf") else None
    return told


def _ratios(summary: dict[str, dict[str, Any]], native: str) -> dict[str, float]:
    found: dict[str, float] = {}

    def compare(name: str, ours: str, theirs: str, figure: str, more: bool) -> None:
        if ours in summary and theirs in summary:
            one, two = summary[ours][figure], summary[theirs][figure]
            if one and two:
                found[name] = round(one / two if more else two / one, 3)

    speed = "samples_per_second"
    compare(f"{speed}_vs_hf_trainer", f"ours_{native}", f"hf_{native}", speed, True)
    ours, *theirs = _main(native)
    times = [summary[name]["seconds_to_target"] for name in theirs if name in summary]
    fastest = min(filter(None, times), default=None)
    if ours in summary and summary[ours]["seconds_to_target"] and fastest:
        found["time_to_score_vs_hf_trainer"] = round(fastest / summary[ours]["seconds_to_target"], 3)
    compare("peak_memory_vs_hf_trainer", f"ours_{native}", f"hf_{native}", "allocated_mb", False)
    compare(f"{speed}_vs_hf_trainer_32", "ours_32", "hf_32", speed, True)
    if native != "32":
        compare(f"{speed}_vs_hf_trainer_as_written", f"ours_{native}", "hf_32", speed, True)
    for name in summary:
        side, _, switch = name.partition("_")
        if switch not in ("32", "bf16"):
            compare(f"{side}_with_{switch}", name, f"{side}_{native}", speed, True)
    return found


def _word(name: str, native: str) -> str:
    side, _, switch = name.partition("_")
    precise = switch in ("32", "bf16")
    return f"{_WORDS[side]}, {_WORDS[switch if precise else native]}" + (
        "" if precise else f", {_WORDS[switch]}"
    )


def table(report: dict[str, Any]) -> str:
    """The medians as a Markdown table."""
    lines = [
        "| | samples a second | seconds in all | to the target | macro-F1 | peak memory | parameters |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, one in report["summary"].items():
        reached = one["seconds_to_target"]
        cells = (
            _word(name, report["native"]),
            f"{one['samples_per_second']:.1f}",
            f"{one['seconds']:.0f}",
            f"{reached:.0f} s" if reached else "not reached",
            f"{one['macro_f1']:.3f}",
            f"{one['allocated_mb'] / 1024:.2f} GB",
            f"{one['parameters'] / 1e6:.0f} M",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(report: dict[str, Any], path: Path) -> None:
    """Left: seconds of each part by contender. Right: the score on validation over time."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    native, summary = report["native"], report["summary"]
    names = list(summary)
    width, tall = 13, 1.6 + 0.42 * len(names)
    figure, (bars, curves) = plt.subplots(1, 2, figsize=(width, max(3.6, tall)), width_ratios=(3, 2))
    left = [0.0] * len(names)
    colours = plt.get_cmap("tab10")
    for index, part in enumerate(PARTS):
        values = [summary[name]["parts"][part] for name in names]
        bars.barh(range(len(names)), values, left=left, label=part, color=colours(index))
        left = [start + value for start, value in zip(left, values, strict=True)]
    bars.set_yticks(range(len(names)), [_word(name, native) for name in names])
    bars.invert_yaxis()
    bars.set(xlabel="seconds from texts to a trained network", title="Where the time goes")
    bars.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=4, frameon=False)
    for index, contender in enumerate(_main(native)):
        told = False
        for run in report["runs"]:
            if run["contender"] == contender:
                label = None if told else _word(contender, native)
                told = True
                curve = run["curve"]
                curves.plot(
                    [point["seconds"] for point in curve], [point["macro_f1"] for point in curve],
                    marker="o", color=colours(index), label=label, alpha=0.8,
                )  # fmt: skip
    if report["target_macro_f1"] is not None:
        curves.axhline(report["target_macro_f1"], color="grey", linestyle=":", label="target")
    curves.set(xlabel="seconds", ylabel="macro-F1 on validation", title="The score over time", xlim=(0, None))
    curves.grid(alpha=0.3)
    curves.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=140, bbox_inches="tight")
    plt.close(figure)
