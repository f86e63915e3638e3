"""What a search has found: a table while it runs, pictures and figures at its end."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator
from optuna.importance import get_param_importances
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from rich.table import Table
from rich.text import Text

from data.files import write_json
from experiments.study import was_lost

__all__ = [
    "best_trial",
    "default_trial",
    "importances",
    "state_of",
    "summary",
    "table",
    "trial_line",
    "write_pictures",
]

COLOURS = {"done": "green", "pruned": "yellow", "failed": "red", "lost": "red", "running": "cyan"}
ROWS = 16
"""Rows of the table at most: the latest trials, and the best."""


def state_of(trial: FrozenTrial) -> str:
    """One word for a trial's state; `lost` is one whose process ended, and which is tried again."""
    if was_lost(trial):
        return "lost"
    names = {TrialState.COMPLETE: "done", TrialState.FAIL: "failed"}
    return names.get(trial.state, trial.state.name.lower())


def best_trial(trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The finished trial of the highest score, the first of equals; None if none has finished."""
    finished = [one for one in trials if one.state == TrialState.COMPLETE]
    return max(finished, key=lambda one: (one.value or 0.0, -one.number)) if finished else None


def default_trial(trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The finished trial that has the configured parameters; None if there is none."""
    same = [one for one in trials if one.user_attrs.get("role") == "defaults"]
    return next((one for one in same if one.state == TrialState.COMPLETE), None)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _parameters(trial: FrozenTrial) -> dict[str, Any]:
    return dict(trial.user_attrs.get("parameters") or trial.params)


def _note(trial: FrozenTrial) -> str:
    if error := trial.user_attrs.get("error"):
        return str(error)
    notes = [str(trial.user_attrs["role"])] if "role" in trial.user_attrs else []
    if "retry_of" in trial.user_attrs:
        notes.append(f"again after {trial.user_attrs['retry_of']}")
    return ", ".join(notes)


def _score(trial: FrozenTrial) -> str:
    if trial.value is not None and trial.state == TrialState.COMPLETE:
        return f"{trial.value:.4f}"
    if trial.intermediate_values:
        step = max(trial.intermediate_values)
        return f"{trial.intermediate_values[step]:.4f} at {step}"
    return ""


def _seconds(trial: FrozenTrial) -> str:
    if trial.datetime_start is None:
        return ""
    end = trial.datetime_complete.timestamp() if trial.datetime_complete else time.time()
    return f"{end - trial.datetime_start.timestamp():.0f}"


def trial_line(trial: FrozenTrial) -> str:
    """A finished trial as one line, for a log."""
    values = " ".join(f"{name}={_number(value)}" for name, value in _parameters(trial).items())
    parts = [
        f"trial {trial.number:3} {state_of(trial):7} {_score(trial):12} {_seconds(trial):>4} s  {values}"
    ]
    return "  ".join([*parts, *filter(None, [_note(trial)])])


def table(trials: Sequence[FrozenTrial], title: str, names: Sequence[str]) -> Table:
    """The trials so far, the best one in bold.

    Args:
        names: the parameters that vary, in the order of their columns.
    """
    best = best_trial(trials)
    begun = [one for one in trials if one.state != TrialState.WAITING]
    shown = begun[-ROWS:]
    if best and best.number < (shown[0].number if shown else 0):
        shown = [best, *shown[1:]]
    found = Table(title=title, title_justify="left", expand=False)
    for heading in ("trial", "state", "val macro-F1", "s"):
        found.add_column(heading, justify="left" if heading == "state" else "right", no_wrap=True)
    for name in names:
        found.add_column(name.partition(".")[2].replace("_", " "), justify="right")
    found.add_column("", overflow="fold", max_width=40)
    for one in shown:
        state = state_of(one)
        values = _parameters(one)
        cells: list[str | Text] = [
            str(one.number),
            Text(state, COLOURS.get(state, "")),
            _score(one),
            _seconds(one),
        ]
        cells += [_number(values[name]) if name in values else "" for name in names]
        # Notes hold messages of errors, whose brackets are no markup.
        found.add_row(*cells, Text(_note(one)), style="bold" if one is best else None)
    return found


def summary(trials: Sequence[FrozenTrial]) -> list[str]:
    """What a search came to, in a few sentences; the score of the winner is that of a choice."""
    states = Counter(state_of(one) for one in trials if one.state != TrialState.WAITING)
    lines = [", ".join(f"{count} {state}" for state, count in states.most_common()) or "no trial yet"]
    best, default = best_trial(trials), default_trial(trials)
    if best is None:
        return lines
    lines.append(f"best: trial {best.number}, macro-F1 {best.value:.4f} on validation, which chose it")
    if default is not None and default.value is not None and best.value is not None:
        if best.number == default.number:
            lines.append("no trial was better than the configured parameters")
        else:
            gain = best.value - default.value
            lines.append(f"the configured parameters: {default.value:.4f}, the best is {gain:+.4f}")
    return lines


def importances(study: Study) -> dict[str, float]:
    """Share of each parameter in the differences of the scores, by name, highest first.

    PED-ANOVA (Watanabe et al., IJCAI 2023, arXiv:2304.10255), as Optuna computes it. Empty before six
    trials have finished with different scores.
    """
    values = {one.value for one in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))}
    if len(values) < 6:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that few trials make it rough
        try:
            return dict(get_param_importances(study))
        except (ValueError, RuntimeError):
            return {}


def write_pictures(study: Study, folder: Path) -> dict[str, float]:
    """Write `history.png`, `importance.png` (if there is enough) and `trials.json`.

    Returns:
        The figures of the search: number of trials by state, best score, score of the defaults.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trials = [one for one in study.get_trials(deepcopy=False) if one.state != TrialState.WAITING]
    _history(trials, study.study_name, folder / "history.png")
    shares = importances(study)
    if shares:
        _importance(
            shares, sum(one.state == TrialState.COMPLETE for one in trials), folder / "importance.png"
        )
    rows = [
        {
            "trial": one.number,
            "state": state_of(one),
            "value": one.value if one.state == TrialState.COMPLETE else None,
            "parameters": _parameters(one),
            "checks": {str(step): value for step, value in one.intermediate_values.items()},
            "run": one.user_attrs.get("run"),
            "note": _note(one),
        }
        for one in trials
    ]
    write_json(folder / "trials.json", {"study": study.study_name, "importances": shares, "trials": rows})
    metrics = {f"trials_{state}": float(n) for state, n in Counter(map(state_of, trials)).items()}
    for name, found in (("best", best_trial(trials)), ("defaults", default_trial(trials))):
        if found is not None and found.value is not None:
            metrics[f"val_joined/{name}_macro_f1"] = found.value
    return metrics


def _history(trials: Sequence[FrozenTrial], name: str, path: Path) -> None:
    figure, axes = plt.subplots(figsize=(8, 4.6), layout="constrained")
    done = [one for one in trials if one.state == TrialState.COMPLETE]
    pruned = [one for one in trials if one.state == TrialState.PRUNED and one.intermediate_values]
    if done:
        axes.plot([one.number for one in done], [one.value or 0.0 for one in done], "o", color="tab:blue",
                  label="finished", zorder=3)  # fmt: skip
        best: list[float] = []
        for one in done:
            best.append(max(one.value or 0.0, *best[-1:]) if best else one.value or 0.0)
        numbers = [one.number for one in done] + [trials[-1].number]
        axes.step(numbers, [*best, best[-1]], where="post", color="tab:green", label="best so far")
    if pruned:
        last = [one.intermediate_values[max(one.intermediate_values)] for one in pruned]
        axes.plot([one.number for one in pruned], last, "x", color="tab:orange",
                  label="pruned (the encoder's score, where it was stopped)", zorder=3)  # fmt: skip
    broken = [one.number for one in trials if one.state == TrialState.FAIL]
    for index, number in enumerate(broken):
        axes.axvline(number, color="tab:red", lw=1, ls=":", label=None if index else "failed or lost")
    default = default_trial(trials)
    if default is not None and default.value is not None:
        axes.axhline(default.value, color="grey", ls="--", lw=1, label="configured parameters")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="trial", ylabel="macro-F1 on validation", title=f"Study {name}")
    axes.grid(axis="y", alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _importance(shares: dict[str, float], count: int, path: Path) -> None:
    names = list(shares)[::-1]
    figure, axes = plt.subplots(figsize=(7, 0.42 * len(names) + 1.4), layout="constrained")
    bars = axes.barh(names, [shares[name] for name in names], color="tab:blue")
    axes.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    axes.set(xlim=(0, max(shares.values()) * 1.15), xlabel="importance (PED-ANOVA)",
             title=f"Which parameters made the difference, {count} finished trials")  # fmt: skip
    figure.savefig(path, dpi=130)
    plt.close(figure)
