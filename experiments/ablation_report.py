"""The table of an ablation: figures by option, and what each gains over the plain settings, seed by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from data.files import atomic_write, write_json
from experiments.ablation_options import PLAIN
from experiments.bench_summary import mean_interval

__all__ = ["draw_gains", "markdown", "standings", "write_table"]

FIGURES = ("accuracy", "macro_f1", "log_loss")


def standings(summary: Mapping[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """By task and option: means over the seeds, and gains over `plain` with 95 % intervals (paired by seed,
    Student's t; null for a single seed).

    Seconds are those of training, of the runs that were not interrupted (null if all were); those of adapting
    the encoder (`adapting_seconds`, once for all seeds) and of the teachers are not among them.
    """
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for task in summary["tasks"]:
        by_option: dict[str, dict[int, dict[str, Any]]] = {}
        for run in summary["runs"]:
            if run["task"] == task:
                by_option.setdefault(run["option"], {})[run["seed"]] = run
        plain = by_option.get(PLAIN, {})
        found[task] = {}
        for option, runs in by_option.items():
            one: dict[str, Any] = {"seeds": sorted(runs)}
            for name in (*FIGURES, "seconds", "adapting_seconds"):
                known = [run[name] for run in runs.values() if run[name] is not None]
                one[name] = mean_interval(known)[0] if known else None
            both = [seed for seed in sorted(runs) if seed in plain]
            if option != PLAIN and both:
                for name in FIGURES:
                    gains = [runs[seed][name] - plain[seed][name] for seed in both]
                    mean, half = mean_interval(gains)
                    one[f"{name}_gain"] = mean
                    one[f"{name}_gain_half"] = None if math.isnan(half) else half
                timed = [seed for seed in both if plain[seed]["seconds"] and runs[seed]["seconds"]]
                times = sum(plain[seed]["seconds"] for seed in timed)
                spent = sum(runs[seed]["seconds"] for seed in timed)
                one["times_plain"] = spent / times if times else None
            found[task][option] = one
    return found


def markdown(summary: Mapping[str, Any]) -> str:
    """One table for each task; gains are in points, with the half width of their 95 % intervals."""
    lines: list[str] = []
    for task, options in standings(summary).items():
        size = summary["tasks"][task]
        lines += [
            f"**{task}**: {size['labels']} labels, {size['train']:,} rows to learn from, {size['val']:,} to "
            f"choose the epoch, {size['held']:,} held out of the training rows and measured. "
            f"Seeds {', '.join(map(str, summary['seeds']))}.",
            "",
            "| option | accuracy | gain | macro-F1 | gain | log loss | gain | training time |",
            "|---|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for option, about in summary["options"].items():
            one = options.get(option)
            if one is None:
                continue
            cells = [f"`{option}`: {about}"]
            for name, scale in (("accuracy", 100), ("macro_f1", 100), ("log_loss", 1)):
                cells += [f"{one[name] * scale:.{1 if scale > 1 else 3}f}", _gain(one, name, scale)]
            ratio = one.get("times_plain")
            seconds = "" if one["seconds"] is None else f"{one['seconds']:.0f} s"
            cells.append(seconds + (f", {ratio:.2f} times" if ratio else ""))
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
        for one in summary["refused"]:
            if one["task"] == task:
                lines += [f"`{one['option']}` was refused: {one['reason']}", ""]
    return "\n".join(lines)


def _gain(one: Mapping[str, Any], name: str, scale: int) -> str:
    if f"{name}_gain" not in one:
        return ""
    digits = 1 if scale > 1 else 3
    half = one[f"{name}_gain_half"]
    return f"{one[f'{name}_gain'] * scale:+.{digits}f}" + (
        f" ± {half * scale:.{digits}f}" if half is not None else ""
    )


def write_table(output: Path, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Write `ablation.json`, `ablation.md` and `ablation.png`; gives what the JSON holds."""
    told = {**summary, "standings": standings(summary)}
    write_json(output / "ablation.json", told)
    with atomic_write(output / "ablation.md") as handle:
        handle.write(markdown(summary) + "\n")
    draw_gains(told["standings"], output / "ablation.png")
    return told


def draw_gains(found: Mapping[str, Mapping[str, Mapping[str, Any]]], path: Path) -> None:
    """The gains in accuracy with their intervals as a PNG file, from `standings`; none without a gain."""
    panels = {
        task: [(name, one) for name, one in options.items() if "accuracy_gain" in one]
        for task, options in found.items()
    }
    panels = {task: rows for task, rows in panels.items() if rows}
    if not panels:
        return
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    tallest = max(len(rows) for rows in panels.values())
    figure, axes = plt.subplots(
        1, len(panels), figsize=(5.2 * len(panels), 0.38 * tallest + 1.4), layout="constrained", squeeze=False
    )
    for panel, (task, rows) in zip(axes[0], panels.items(), strict=True):
        _panel(panel, task, rows)
    part = path.with_name(f".{path.name}.part")
    figure.savefig(part, dpi=130, format="png")
    part.replace(path)
    plt.close(figure)


def _panel(panel: Any, task: str, rows: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    for place, (_, one) in enumerate(rows):
        gain, known = 100 * one["accuracy_gain"], one["accuracy_gain_half"] is not None
        half = 100 * one["accuracy_gain_half"] if known else 0.0
        # Of a single seed nobody can say whether it is above or below plain.
        settled = known and abs(gain) > half
        colour = "#8a8a8a" if not settled else "#35618f" if gain > 0 else "#b8442f"
        panel.plot([gain - half, gain + half], [place, place], color=colour, linewidth=5, alpha=0.35,
                   solid_capstyle="round")  # fmt: skip
        panel.plot(gain, place, "o", color=colour, markersize=7)
    panel.axvline(0, color="black", linewidth=0.8)
    panel.set_yticks(range(len(rows)), [name for name, _ in rows])
    alone = all(one["accuracy_gain_half"] is None for _, one in rows)
    told = "one seed: no interval" if alone else "95 %"
    panel.set(title=task, xlabel=f"accuracy gained over plain, points ({told})", ylim=(len(rows) - 0.5, -0.5))
    panel.grid(axis="x", alpha=0.3)
    for side in ("top", "right", "left"):
        panel.spines[side].set_visible(False)
    panel.tick_params(axis="y", length=0)
