"""The picture of `experiments.inspection_quality`: F1 of every indicator on the three sets.

python -m experiments.inspection_picture docs/inspection.json docs/inspection.png
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assist.inspection.standards import load_standards
from data.pictures import Picture, draw, named

__all__ = ["draw_quality", "main"]

_SETS = (
    ("tuned", "tuned half", "#b0bec5", "o"),
    ("held_out_struck", "held out, its own wordings struck", "#ffb300", "<"),
    ("held_out", "held out", "#1565c0", "D"),
)


def draw_quality(result: Mapping[str, Any]) -> Picture:
    """F1 by indicator; each row says how many faults were planted in the held-out half."""
    zh = {key: one.zh for key, one in load_standards().indicators.items()}
    rows = {name: {row["indicator"]: row for row in result[name]["indicators"]} for name, *_ in _SETS}
    keys = [key for key in rows["held_out"] if key != "all"] + ["all"]

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        places = list(range(len(keys), 0, -1))
        for name, label, colour, mark in _SETS:
            values = [rows[name][key]["f1"] or 0.0 for key in keys]
            axes.plot(values, places, mark, color=colour, label=label, markersize=6)
        labels = [f"{named(key, zh.get(key, '全部'))} ({rows['held_out'][key]['planted']})" for key in keys]
        axes.set_yticks(places, labels)
        axes.set_xlim(0, 1.03)
        axes.grid(axis="x", alpha=0.3)
        axes.set_xlabel("F1 (conversations)")
        axes.set_title("Planted faults found; in brackets how many were planted in the held-out half")
        axes.legend(loc="lower left", frameon=False)

    return draw(paint, 9.0, 5.6)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the measured quality."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("figures", type=Path, help="what experiments.inspection_quality wrote")
    parser.add_argument("picture", type=Path)
    options = parser.parse_args(arguments)
    draw_quality(json.loads(options.figures.read_text(encoding="utf-8"))["quality"]).save(options.picture)


if __name__ == "__main__":
    main()
