"""The page of a comparison: one HTML file that needs nothing else, light and dark, wide and on a phone.

Its texts come masked from the runs (`training.predictions`); here they are only escaped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from data.files import atomic_write
from data.taxonomy import Taxonomy
from experiments.compare import Comparison
from experiments.compare_charts import forest, reliability, scale_of
from experiments.compare_tasks import ClassChange, TaskComparison
from experiments.sides import Side
from experiments.verdict import RULE, signed

__all__ = ["render", "write_page"]

TEMPLATE = "compare.html.j2"
SHOWN_CLASSES = 8
SHOWN_EXAMPLES = 4
SHOWN_CHANGED = 30
SHOWN_LABELS = 12

_FIGURES = {
    "macro_f1": ("Macro-F1", "mean over the labels"),
    "accuracy": ("Accuracy", "share of right answers"),
    "top3": ("Right among the first three", ""),
    "angry_recall": ("Red-alert recall", "angry messages above the threshold"),
    "angry_false_rate": ("False red alerts", "share of the other messages; less is better"),
}
_FOOTPRINT = (
    ("size_mb", "Size, float32", "MB"),
    ("size_mb_int8", "Size, int8", "MB"),
    ("latency_ms", "Latency, float32", "ms"),
    ("latency_ms_int8", "Latency, int8", "ms"),
)


def write_page(found: Comparison, path: Path) -> Path:
    """Write the page atomically; returns its path."""
    with atomic_write(path) as handle:
        handle.write(render(found))
    return path


def render(found: Comparison) -> str:
    """The page as HTML: no script, no font, no address of another host."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    name = _namer(found.taxonomy)
    environment.filters |= {
        "points": _points,
        "percent": _percent,
        "count": "{:,}".format,
        "zh": name,
    }
    environment.globals |= {"forest": forest, "reliability": reliability}
    return environment.get_template(TEMPLATE).render(
        found=found,
        rule=RULE,
        sides=[("A", found.a), ("B", found.b)],
        tasks=[_task(one, found, name) for one in found.tasks],
        footprint=_footprint(found.a, found.b),
        parameters=_parameters(found.a, found.b),
        unshared=_unshared(found.a, found.b),
        shares=_shares(found),
    )


def _points(value: float, digits: int = 1) -> str:
    return signed(100 * value, digits)


def _percent(value: float, digits: int = 1) -> str:
    return f"{100 * value:.{digits}f}"


def _namer(taxonomy: Taxonomy) -> Callable[[str], str]:
    """A label's Chinese name; nothing for one of another schema."""
    names = {item.key: item.zh for item in taxonomy.categories}
    names |= {item.key: item.zh for item in taxonomy.emotions}
    return lambda label: names.get(label, "")


def _task(one: TaskComparison, found: Comparison, name: Callable[[str], str]) -> dict[str, Any]:
    figures = [(*_FIGURES[key], key != "angry_false_rate", value) for key, value in one.figures.items()]
    slices = {kind: list(parts) for kind, parts in groupby(one.slices, key=lambda part: part.kind)}
    lost = [change for change in one.classes if change.f1.value < 0][:SHOWN_CLASSES]
    won = [change for change in reversed(one.classes) if change.f1.value > 0][:SHOWN_CLASSES]
    shown = [change.f1 for change in (*lost, *won)]
    return {
        "task": one.task,
        "rows": len(one.truth),
        "figures": figures,
        "scale": scale_of([value for *_, value in figures]),
        "lost": [_class(change, one, found) for change in lost],
        "won": [_class(change, one, found) for change in won],
        "class_scale": scale_of(shown),
        "clearly": Counter(change.f1.sign for change in one.classes),
        "classes": len(one.classes),
        "slices": slices,
        "slice_scale": scale_of([part.accuracy for part in one.slices if not part.small]),
        "fixed": [_example(row, one, found) for row in one.fixed[:SHOWN_CHANGED]],
        "broken": [_example(row, one, found) for row in one.broken[:SHOWN_CHANGED]],
        "fixed_count": len(one.fixed),
        "broken_count": len(one.broken),
        "other_count": _other_changes(one),
        "p_value": one.p_value,
        "ece": [error for error, _ in one.calibration],
        "curves": [bins for _, bins in one.calibration],
    }


def _other_changes(one: TaskComparison) -> int:
    """Rows with another answer that is wrong as well."""
    return int((one.answers[0] != one.answers[1]).sum()) - len(one.fixed) - len(one.broken)


def _class(change: ClassChange, one: TaskComparison, found: Comparison) -> dict[str, Any]:
    rows = [*change.broken, *change.drawn] if change.f1.value < 0 else change.fixed
    return {
        "change": change,
        "examples": [_example(row, one, found) for row in rows[:SHOWN_EXAMPLES]],
        "more": max(0, len(rows) - SHOWN_EXAMPLES),
    }


def _example(row: int, one: TaskComparison, found: Comparison) -> dict[str, Any]:
    told = found.rows[row]
    truth, labels = int(one.truth[row]), one.labels
    answers = [
        {
            "label": labels[int(guess[row])],
            "score": float(score[row]),
            "right": int(guess[row]) == truth,
        }
        for guess, score in zip(one.answers, one.scores, strict=True)
    ]
    return {
        "text": told["text"],
        "context": told["context"][-1:],
        "turns": told["turns"],
        "truth": labels[truth],
        "answers": answers,
    }


def _footprint(a: Side, b: Side) -> list[dict[str, Any]]:
    rows = []
    for key, title, unit in _FOOTPRINT:
        one, two = a.metrics.get(key), b.metrics.get(key)
        if one is not None or two is not None:
            rows.append({"title": title, "unit": unit, "a": one, "b": two})
    return rows


def _parameters(a: Side, b: Side) -> list[tuple[str, str, str]]:
    """Settings that both runs recorded and that differ, by name; the data has a part of its own."""
    names = sorted(name for name in a.parameters.keys() & b.parameters.keys() if not name.startswith("data."))
    pairs = [(name, a.parameters[name], b.parameters[name]) for name in names]
    return [pair for pair in pairs if pair[1] != pair[2]]


def _unshared(a: Side, b: Side) -> list[tuple[str, list[str]]]:
    """Settings that only one run recorded, because the code of the other did not know them."""
    found = []
    for mark, ours, theirs in (("A", a.parameters, b.parameters), ("B", b.parameters, a.parameters)):
        names = sorted(name for name in ours.keys() - theirs.keys() if not name.startswith("data."))
        if names and theirs:
            found.append((mark, names))
    return found


def _shares(found: Comparison) -> Sequence[Any]:
    if found.data is None or found.data.same:
        return []
    return [one for one in found.data.shares if one.rows_a != one.rows_b][:SHOWN_LABELS]
