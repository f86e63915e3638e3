"""Several models' figures as one: the mean over seeds with its interval, or the pooled answers of folds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.files import read_jsonl, write_json, write_jsonl
from experiments.bench_report import Answers, confusion_picture, figures

__all__ = ["mean_interval", "read_answers", "summarise_parts"]


def mean_interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and half the width of its 95 % interval (Student's t; nan for a single value)."""
    from scipy.stats import t

    mean, count = float(np.mean(values)), len(values)
    if count < 2:
        return mean, math.nan
    return mean, float(t.ppf(0.975, count - 1) * np.std(values, ddof=1) / math.sqrt(count))


def read_answers(paths: Sequence[Path]) -> Answers:
    """The answers of several `predictions.jsonl`, one after the other."""
    rows = [row for path in paths for _, row in read_jsonl(path)]
    names = tuple(sorted({row["label"] for row in rows} | {row["prediction"] for row in rows}))
    number = {name: index for index, name in enumerate(names)}
    return Answers(
        names,
        np.array([number[row["label"]] for row in rows], np.int64),
        np.array([number[row["prediction"]] for row in rows], np.int64),
        np.array([row["score"] for row in rows], np.float64),
    )


def summarise_parts(output: Path, parts: Mapping[str, dict[str, Any]], pooled: bool) -> dict[str, Any]:
    """Write `metrics.json`, `predictions.jsonl` and `confusion.png` over the parts; returns the metrics.

    Args:
        parts: metrics by the name of a part, whose folder lies in `output`.
        pooled: the parts' test rows are different ones (folds), so that their answers together are one
            result; otherwise (seeds) figures are means, with `interval`, half the width at 95 %.
    """
    paths = [output / name / "predictions.jsonl" for name in parts]
    found = read_answers(paths)
    single = {name: {key: one[key] for key in ("accuracy", "macro_f1", "n")} for name, one in parts.items()}
    metrics = figures(found)
    if not pooled:
        metrics["n"] = next(iter(parts.values()))["n"]
        for key in ("accuracy", "macro_f1"):
            metrics[key] = mean_interval([one[key] for one in single.values()])[0]
    spread = {key: mean_interval([one[key] for one in single.values()]) for key in ("accuracy", "macro_f1")}
    metrics |= {
        "interval": {key: None if math.isnan(half) else half for key, (_, half) in spread.items()},
        "pooled": pooled,
        "parts": single,
        "seconds": {
            name: round(sum(one["seconds"][name] for one in parts.values()), 3)
            for name in ("train", "evaluate")
        },
        "rows": {name: one["rows"] for name, one in parts.items()},
        "only_in_test": {name: one["only_in_test"] for name, one in parts.items() if one["only_in_test"]},
        "model": next(iter(parts.values()))["model"],
    }
    write_jsonl(
        output / "predictions.jsonl",
        ({**row, "part": path.parent.name} for path in paths for _, row in read_jsonl(path)),
    )
    confusion_picture(found).save(output / "confusion.png")
    write_json(output / "metrics.json", metrics)
    return metrics
