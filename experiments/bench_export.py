"""A benchmark's model as a folder that serving reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from experiments.bench_learn import Learnt
from training.export import export_model
from training.report import model_card

__all__ = ["export_learnt"]


def export_learnt(learnt: Learnt, folder: Path, about: Mapping[str, Any]) -> Path:
    """Write the exported folder; its label schema carries the table's own labels as names.

    Args:
        about: what `metrics.json` says of the part: `key`, `rows`, `run`.
    """
    rows = dict(about["rows"])
    provenance = {
        "snapshot": about["key"],
        "rows": rows,
        "run": about.get("run"),
        "validation": learnt.result.metrics,
    }
    card = model_card(learnt.result.config, str(about["key"]), rows, [])
    return Path(
        export_model(learnt.result, learnt.calibration, learnt.labels.taxonomy, folder, provenance, card)
    )
