"""A run trained again: its settings, data, seed and library versions, and how far the figures differ."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from data.files import write_json
from experiments import tracking
from experiments.find_snapshot import DataNotFoundError, find_snapshot
from experiments.promote import wide_console
from experiments.run import evaluate_stage, train_stage
from training.config import ConfigError, TrainingConfig, parse_training_config

__all__ = ["Recipe", "differences", "read_recipe", "reproduce", "show_reproduction", "version_changes"]

OUTPUT = Path("models/reproduced")
_MODEL = re.compile(r"(?P<name>[\w-]+)@(?P<version>\d+)")
_TIMED = ("latency_ms", "size_mb")


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that a run tells of how it was made."""

    run: str
    model: str
    config: TrainingConfig
    snapshot: str
    dvc: str
    """Hash of the snapshot's folder in DVC; empty if unknown."""
    commit: str
    """Of the code; ends in `+changes` where some were not committed."""
    environment: dict[str, str]
    """`version.torch` and others, `machine`, `threads`."""
    metrics: dict[str, float]


def read_recipe(what: str) -> Recipe:
    """The recipe of a run, named by its id (or the beginning of it) or by a registered version.

    Raises:
        TrackingError: there is no such run, or it did not keep its settings.
        ConfigError: its settings are not those of this version of the code.
    """
    found = _MODEL.fullmatch(what)
    run = tracking.model_run(found["name"], found["version"]) if found else tracking.find_run(what)
    about = tracking.run_details(run)
    tags = about.tags
    if "snapshot" not in tags:
        raise tracking.TrackingError(f"run {run}: names no snapshot; it was not made by kefu train")
    names = ("version.", "machine", "threads")
    environment = {key: value for key, value in tags.items() if key.startswith(names)}
    dvc = tags.get("snapshot.dvc", "")
    return Recipe(
        run,
        tags.get("model", "model"),
        _config(run, about.parameters),
        tags["snapshot"],
        "" if dvc == "none" else dvc,
        tags.get("git_commit", "unknown"),
        environment,
        about.metrics,
    )


def _config(run: str, parameters: Mapping[str, str]) -> TrainingConfig:
    path = tracking.fetch_artifact(run, tracking.SETTINGS)
    if path is None:  # runs that are older than this artifact: the folder of their model has it
        path = tracking.fetch_model_file(run, "config.json")
    if path is None:
        raise tracking.TrackingError(
            f"run {run}: kept neither config.json nor a model; its parameters are on MLflow's page, and can "
            "be entered into params.yaml by hand"
        )
    try:
        return parse_training_config(json.loads(path.read_text(encoding="utf-8")))
    except ConfigError as error:
        raise ConfigError(
            f"run {run}: {error}; check out the code of its commit to train it again"
        ) from error


def version_changes(recipe: Recipe) -> list[tuple[str, str, str]]:
    """What differs between the run's surroundings and these: name, then, now."""
    now = {**tracking.environment(), "git commit": tracking.git_commit()}
    then = {**recipe.environment, "git commit": recipe.commit}
    return [(name, value, now.get(name, "none")) for name, value in then.items() if value != now.get(name)]


def differences(old: Mapping[str, float], new: Mapping[str, float]) -> list[tuple[str, float, float]]:
    """Figures of the exported models that both have: name, old, new. Sizes and times stand last."""
    shared = [name for name in old if name in new and name.startswith(("test/", "val_exported/", *_TIMED))]
    shared.sort(key=lambda name: (name.startswith(_TIMED), not name.startswith("test/"), name))
    return [(name, old[name], new[name]) for name in shared]


def reproduce(recipe: Recipe, snapshot: Path, output: Path) -> tuple[str, list[tuple[str, float, float]]]:
    """Train a recipe as a new run, tagged `reproduces`, and keep the comparison with it.

    Args:
        snapshot: a folder with the recipe's data.
        output: gets `exported` and `report`.

    Returns:
        The new run's id, and the figures of both.
    """
    changes = version_changes(recipe)
    # Checkpoints of its own: one that an earlier, killed training left would make this another training.
    with tempfile.TemporaryDirectory(prefix="reproduce-") as scratch:
        run = train_stage(
            recipe.model, recipe.config, snapshot, output / "exported",
            {"reproduces": recipe.run}, Path(scratch),
        )  # fmt: skip
    metrics = evaluate_stage(output / "exported", snapshot, output / "report")
    figures = differences(recipe.metrics, metrics)
    write_json(output / "reproduction.json", {
        "reproduces": recipe.run,
        "run": run,
        "snapshot": recipe.snapshot,
        "largest_difference": _largest(figures),
        "surroundings": [{"name": name, "then": old, "now": new} for name, old, new in changes],
        "figures": [
            {"name": name, "old": old, "new": new, "difference": new - old} for name, old, new in figures
        ],
    })  # fmt: skip
    tracking.log_file(run, output / "reproduction.json", "reproduction")
    return run, figures


def _largest(figures: Sequence[tuple[str, float, float]]) -> float:
    """Times and sizes are the machine's, not the model's."""
    return max((abs(new - old) for name, old, new in figures if not name.startswith(_TIMED)), default=0.0)


def show_reproduction(
    what: str,
    output: Path | None = None,
    snapshot: Path | None = None,
    check_only: bool = False,
    console: Console | None = None,
) -> bool:
    """Say what a run needs and what of it is here, train it again, and print how the figures differ.

    Args:
        what: a run or a registered version.
        output: folder for model and report; `models/reproduced/RUN` if left out.
        snapshot: a folder to look for the data in first.
        check_only: train nothing.

    Returns:
        Whether all that is needed is here.
    """
    console = console or wide_console()
    recipe = read_recipe(what)
    console.print(f"run {recipe.run}: model {recipe.model}, seed {recipe.config.train.seed}", markup=False)
    changes = version_changes(recipe)
    if changes:
        console.print(_table(("differs", "then", "now"), changes))
        console.print("figures may differ for these reasons; going on", markup=False)
    else:
        console.print("library versions, machine and code are the same")
    with tempfile.TemporaryDirectory(prefix="snapshot-") as scratch:
        places = [snapshot] if snapshot else []
        try:
            folder, how = find_snapshot(recipe.snapshot, recipe.dvc, recipe.commit, places, Path(scratch))
        except DataNotFoundError as error:
            console.print(str(error), markup=False, soft_wrap=True)
            return False
        console.print(f"snapshot {recipe.snapshot}: {how}", markup=False, soft_wrap=True)
        if check_only:
            return True
        output = output or OUTPUT / recipe.run[:8]
        run, figures = reproduce(recipe, folder, output)
    rows = [(name, f"{old:.6g}", f"{new:.6g}", f"{new - old:+.6f}") for name, old, new in figures]
    console.print(_table(("figure", recipe.run[:8], run[:8], "difference"), rows))
    console.print(
        f"run {run} reproduces {recipe.run}: largest difference {_largest(figures):.6f} "
        f"(times and sizes aside); model -> {output / 'exported'}",
        markup=False, soft_wrap=True,
    )  # fmt: skip
    return True


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    table = Table(*columns)
    for row in rows:
        table.add_row(*row)
    return table
