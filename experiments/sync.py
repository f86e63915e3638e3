"""Labels to models in one go: pull, snapshot, and on demand train and compare with the champion."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from data.taxonomy import TASKS, Taxonomy
from experiments import tracking
from experiments.pipeline import run_pipeline
from experiments.promote import registered_name
from labeling.commands import EXAMPLES, events_pulled, pull, queued_events
from training.config import model_names, read_section

__all__ = ["SyncError", "compare_with_champion", "sync"]

SNAPSHOT = Path("data/processed/snapshot.json")
SHOWN = ("macro_f1", "top3", "polarity_accuracy", "ece")


class SyncError(RuntimeError):
    """The pipeline would not read what was pulled."""


def sync(
    taxonomy: Taxonomy, project: int | None = None, beside: str | None = None, train: bool = False
) -> str:
    """Fetch every answer, make the snapshot, and with `train` the models; returns the snapshot's id.

    Nothing is promoted: that stays a decision (`kefu promote`).

    Raises:
        SyncError: `data.source` in `params.yaml` is not the file that a pull writes.
    """
    source = read_section("data").get("source")
    if source is None or Path(source) != EXAMPLES:
        raise SyncError(
            f"params.yaml: data.source is {source}, so the snapshot would not hold what is pulled; "
            f"set it to {EXAMPLES} (with --beside data/corpus the embedded corpus is in that file too)"
        )
    before = _snapshot()
    queued = queued_events()  # one that comes during the pull waits for the next
    pull(taxonomy, project, beside=beside)
    events_pulled(queued)
    run_pipeline(("evaluate",) if train else ("split",))
    now = _snapshot()
    console = Console(highlight=False)
    if queued:
        console.print(f"{len(queued)} events of Label Studio are in this pull")
    console.print(f"snapshot {now}" + (" (unchanged)" if now == before else f", before: {before or 'none'}"))
    if train:
        for model in model_names():
            console.print(compare_with_champion(Path("models") / model / "report"))
        console.print('to make it the champion: kefu promote --reason "…"')
    return now


def compare_with_champion(report: Path) -> Table:
    """Test figures of a measured model beside those of the champion.

    The two may have been measured on different test rows: their snapshots stand above them.
    """
    candidate = json.loads((report / "metrics.json").read_text(encoding="utf-8"))
    table = Table("figure", f"this one ({_snapshot()})", "champion", "difference")
    for task in TASKS:
        champion = tracking.champion_run(registered_name(task))
        before = tracking.run_metrics(champion[1]) if champion else {}
        for name in SHOWN:
            key = f"test/{task}_{name}"
            if key not in candidate:
                continue
            old = before.get(key)
            cells = ("", "") if old is None else (f"{old:.4f}", f"{candidate[key] - old:+.4f}")
            table.add_row(key, f"{candidate[key]:.4f}", *cells)
    return table


def _snapshot() -> str:
    return str(json.loads(SNAPSHOT.read_text(encoding="utf-8"))["id"]) if SNAPSHOT.exists() else ""
