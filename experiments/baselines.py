"""What fine-tuning buys: the baselines of `params.yaml`, trained, measured, and laid beside the champion.

Each is a run like any other (tag `method`), with an exported folder like any other in `models/baselines`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.files import write_json
from experiments import tracking
from experiments.compare import compare_sides
from experiments.paired import Difference, bootstrap_weights, difference
from experiments.run import evaluate_stage, train_stage
from experiments.sides import Side, gather
from training.config import ConfigError, TrainingConfig, baseline_names, load_training_config
from training.metrics import expected_calibration_error
from training.predictions import Predictions

__all__ = [
    "BEGIN",
    "END",
    "MODELS",
    "Standing",
    "baselines",
    "markdown",
    "standings",
    "train_baselines",
    "write_table",
]

MODELS = Path("models/baselines")
SNAPSHOT = Path("data/processed")
BEGIN, END = "<!-- begin: kefu baselines -->", "<!-- end: kefu baselines -->"
_TIMES = 2000
_BINS = 15
_FIGURES = {
    "category macro-F1": ("category", "macro_f1"),
    "category accuracy": ("category", "accuracy"),
    "category top 3": ("category", "top3"),
    "category calibration error": ("category", "ece"),
    "emotion macro-F1": ("emotion", "macro_f1"),
    "emotion accuracy": ("emotion", "accuracy"),
    "emotion calibration error": ("emotion", "ece"),
    "angry messages found": ("emotion", "angry_recall"),
    "others taken for angry": ("emotion", "angry_false_rate"),
}
_COSTS = {
    "size, MB": ("size_mb", "{:.0f}"),
    "one message, ms": ("latency_ms", "{:.1f}"),
    "training, processor seconds": ("training_cpu_seconds", "{:.0f}"),
    "training, seconds by the clock": ("training_seconds", "{:.0f}"),
}


@dataclass(frozen=True)
class Standing:
    """One model in the table."""

    name: str
    run: str
    """Its MLflow run; empty if it has none."""
    snapshot: str
    rows: int
    """Test rows that the figures rest on."""
    figures: dict[str, Difference]
    """By line of the table: this model (a), the champion (b), and the champion's gain, on the same rows."""
    costs: dict[str, float]
    """By metric of the run: `size_mb`, `latency_ms`, `training_seconds`, …; as far as they are known."""


def train_baselines(
    names: Sequence[str] = (),
    shots: int | None = None,
    seed: int | None = None,
    snapshot: Path = SNAPSHOT,
    models: Path = MODELS,
    params: Path = Path("params.yaml"),
) -> dict[str, Path]:
    """Train and measure baselines, each recorded as a run; gives their exported folders by name.

    Args:
        names: entries of `baselines` in `params.yaml`; all of them by default.
        shots, seed: instead of `train.shots` and `train.seed`.

    Raises:
        ConfigError: a name is unknown or a setting wrong; nothing was trained.
    """
    configs: dict[str, TrainingConfig] = {}
    known = baseline_names(params)
    for name in names or known:
        if name not in known:
            raise ConfigError(f"baselines.{name}: unknown; known: {', '.join(known) or 'none'}")
        config = load_training_config(name, params)
        changes: dict[str, Any] = {"shots": shots, "seed": seed}
        changes = {key: value for key, value in changes.items() if value is not None}
        configs[name] = replace(config, train=replace(config.train, **changes))
    if not configs:
        raise ConfigError(f"{params}: baselines: names none")
    for name, config in configs.items():
        exported = models / name / "exported"
        run = train_stage(name, config, snapshot, exported)
        metrics = evaluate_stage(exported, snapshot, models / name / "report")
        scores = ", ".join(f"{task} {metrics[f'test/{task}_macro_f1']:.4f}" for task in config.tasks)
        print(f"{name} ({config.method}): macro-F1 on test {scores}; run {run}")
    return {name: models / name / "exported" for name in configs}


def standings(folders: Mapping[str, Path], snapshot: Path = SNAPSHOT) -> list[Standing]:
    """The figures of exported models, and last of the champion (if there is one), with 95 % intervals.

    Args:
        folders: exported folders by name.
        snapshot: rows that a folder without a recorded report is measured on.
    """
    sides = {name: gather(str(folder), snapshot=snapshot) for name, folder in folders.items()}
    champion = None
    try:
        champion = gather(tracking.CHAMPION)
        sides[tracking.CHAMPION] = champion
    except tracking.TrackingError as error:
        print(f"no champion beside them: {error}", file=sys.stderr)
    return [_standing(name, side, champion or side) for name, side in sides.items()]


def _standing(name: str, side: Side, champion: Side) -> Standing:
    compared = compare_sides(side, champion, _TIMES)
    found = {(task.task, figure): value for task in compared.tasks for figure, value in task.figures.items()}
    for task in compared.tasks:
        # Rows differ where the champion was measured on another snapshot: its error is then its own.
        both = [_calibration(one.predictions[task.task], task.task) for one in (side, champion)]
        found[task.task, "ece"] = difference(both[0][0], both[1][0], both[0][1], both[1][1])
    figures = {line: found[key] for line, key in _FIGURES.items() if key in found}
    names = [metric for metric, _ in _COSTS.values()]
    costs = {metric: side.metrics[metric] for metric in names if metric in side.metrics}
    if side.runs and "training_seconds" not in costs:
        took = tracking.training_time(side.runs[0])
        costs |= {"training_seconds": took} if took else {}
    return Standing(name, (side.runs or ("",))[0], side.snapshot, len(compared.rows), figures, costs)


def _calibration(found: Predictions, task: str) -> tuple[float, NDArray[np.float64]]:
    """Expected calibration error on the rows, and in each resample [times]."""
    probabilities, truth = found.probabilities[task], found.truth(task)
    weights = bootstrap_weights([row["conversation"] or row["id"] for row in found.rows], _TIMES)
    surplus = (probabilities.argmax(1) == truth) - probabilities.max(1)
    bins = np.clip((probabilities.max(1) * _BINS).astype(int), 0, _BINS - 1)
    parts = [np.abs(weights[:, bins == one] @ surplus[bins == one]) for one in np.unique(bins)]
    samples = np.sum(parts, axis=0) / weights.sum(1)
    return expected_calibration_error(truth, probabilities, _BINS)[0], samples.astype(np.float64)


def markdown(found: Sequence[Standing]) -> str:
    """Two tables: every model's figures, and what the champion gains over each."""
    names = [one.name for one in found]
    lines = [f"| | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
    for line in _FIGURES:
        values = [one.figures.get(line) for one in found]
        if any(values):
            cells = [f"{v.a:.3f} [{v.a_low:.3f}, {v.a_high:.3f}]" if v else "–" for v in values]
            lines.append(f"| {line} | {' | '.join(cells)} |")
    for line, (metric, form) in _COSTS.items():
        costs = [one.costs.get(metric) for one in found]
        cells = [form.format(cost) if cost is not None else "–" for cost in costs]
        lines.append(f"| {line} | {' | '.join(cells)} |")
    others = [one for one in found if one.name != tracking.CHAMPION]
    if len(others) < len(found) and others:
        lines += ["", f"| the champion's figure minus that of | {' | '.join(o.name for o in others)} |"]
        lines += [f"|---|{'---:|' * len(others)}"]
        for line in _FIGURES:
            values = [one.figures.get(line) for one in others]
            if any(values):
                cells = [f"{v.value:+.3f} [{v.low:+.3f}, {v.high:+.3f}]" if v else "–" for v in values]
                lines.append(f"| {line} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write_table(found: Sequence[Standing], page: Path) -> None:
    """Write the tables between the marks of a page (made if it is missing), JSON and a picture beside it.

    Raises:
        ValueError: the page has no marks.
    """
    tables = f"{BEGIN}\n{_caption(found)}\n\n{markdown(found)}\n{END}"
    text = page.read_text(encoding="utf-8") if page.exists() else f"# Baselines\n\n{BEGIN}\n{END}\n"
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"{page}: has no place for the table; put these two lines there: {BEGIN} {END}")
    before, rest = text.split(BEGIN)
    part = page.with_name(f".{page.name}.part")
    part.write_text(before + tables + rest.split(END)[1], encoding="utf-8")
    part.replace(page)
    write_json(page.with_suffix(".json"), {"standings": [asdict(one) for one in found]})
    _picture(found, page.with_suffix(".png"))


def _caption(found: Sequence[Standing]) -> str:
    snapshots = " and ".join(f"`{name}`" for name in dict.fromkeys(one.snapshot for one in found))
    rows = " and ".join(f"{count:,}" for count in dict.fromkeys(one.rows for one in found))
    return (
        f"Snapshot {snapshots}, {rows} test rows; in brackets 95 % intervals "
        f"({_TIMES:,} bootstrap resamples of whole conversations)."
    )


def _picture(found: Sequence[Standing], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    lines = [line for line in ("category macro-F1", "emotion macro-F1") if line in found[0].figures]
    figure, axes = plt.subplots(
        1, len(lines), figsize=(9, 0.45 * len(found) + 1.2), layout="constrained", squeeze=False, sharey=True
    )
    for panel, line in zip(axes[0], lines, strict=True):
        for place, one in enumerate(found):
            if (value := one.figures.get(line)) is None:
                continue
            colour = "#b8442f" if one.name == tracking.CHAMPION else "#35618f"
            panel.plot([value.a_low, value.a_high], [place, place], color=colour, linewidth=5, alpha=0.35,
                       solid_capstyle="round")  # fmt: skip
            panel.plot(value.a, place, "o", color=colour, markersize=8)
            panel.annotate(f"{value.a:.3f}", (value.a, place), xytext=(0, 8), textcoords="offset points",
                           ha="center", fontsize=9, color=colour)  # fmt: skip
        panel.set_yticks(range(len(found)), [one.name for one in found])
        panel.set(title=f"{line} on test, with 95 % interval", ylim=(len(found) - 0.5, -0.7))
        panel.set_xlim(0, 1)
        panel.grid(axis="x", alpha=0.3)
        for side in ("top", "right", "left"):
            panel.spines[side].set_visible(False)
        panel.tick_params(axis="y", length=0)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def baselines(
    names: Sequence[str] = (),
    shots: int | None = None,
    seed: int | None = None,
    table: Path | None = None,
    train: bool = True,
) -> None:
    """Train baselines (or take those trained before) and print them beside the champion.

    Args:
        names, shots, seed: as for `train_baselines`.
        table: a Markdown page whose table is written anew, with `.json` and `.png` beside it.
        train: False takes the folders of the last time.

    Raises:
        ConfigError: a name or setting is wrong.
        ValueError: nothing was trained before.
    """
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    if train:
        folders = train_baselines(names, shots, seed)
    else:
        folders = {name: MODELS / name / "exported" for name in names or baseline_names()}
        missing = [name for name, folder in folders.items() if not folder.is_dir()]
        if missing:
            raise ValueError(f"{missing[0]}: was not trained yet; run: kefu baselines {missing[0]}")
    found = standings(folders)
    print(f"\n{_caption(found)}\n\n{markdown(found)}")
    if table is not None:
        write_table(found, table)
        print(f"\ntable -> {table}", file=sys.stderr)
