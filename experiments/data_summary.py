"""What a run says of its data: counts, labels, authors, where it lies. Never a text."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from data.split import SPLITS
from data.taxonomy import TASKS

__all__ = ["COLUMNS", "draw_labels", "dvc_hash", "profile", "summarise"]

COLUMNS = ("id", "text", "context", "category", "emotion", "author", "conversation", "split")
"""What a row of a snapshot has, for the schema of the dataset."""
LOCK = Path("dvc.lock")


def summarise(folder: Path) -> dict[str, Any]:
    """Counts of a snapshot by split, label and author; its id and its DVC hash.

    Reads label columns only.

    Raises:
        FileNotFoundError: the folder holds no snapshot.
    """
    from datasets import load_from_disk

    about = json.loads((folder / "snapshot.json").read_text(encoding="utf-8"))
    tables = load_from_disk(str(folder))
    labels: dict[str, dict[str, dict[str, int]]] = {}
    in_context = {}
    for split in SPLITS:
        table = tables[split]
        labels[split] = {task: dict(Counter(table[task]).most_common()) for task in TASKS}
        in_context[split] = sum(bool(turns) for turns in table["context"])
    authors: Counter[str] = Counter()
    for counts in about["authors"].values():
        authors.update(counts)
    return {
        "id": about["id"],
        "rows": about["rows"],
        "in_context": in_context,
        "labels": labels,
        "authors": dict(authors.most_common()),
        "dvc": dvc_hash(folder),
        "path": folder.as_posix(),
    }


def profile(summary: dict[str, Any]) -> dict[str, Any]:
    """The summary as MLflow's page shows it: it cuts every value after some 80 characters, so the gist of the
    labels stands before them as words."""
    labels = summary["labels"]["train"]
    total = sum(summary["rows"].values())
    train = max(1, summary["rows"]["train"])
    counts = labels["category"].values()
    return {
        "num_rows": total,
        "num_elements": total * len(COLUMNS),
        "rows": summary["rows"],
        "in_context": summary["in_context"],
        "categories_in_train": f"{len(counts)}, of {min(counts)} to {max(counts)} rows",
        "emotions_in_train": ", ".join(
            f"{name} {count / train:.0%}" for name, count in labels["emotion"].items()
        ),
        "dvc": summary["dvc"] or "none",
        "path": summary["path"],
        "authors": summary["authors"],
        "labels": summary["labels"],
        "id": summary["id"],
    }


def dvc_hash(folder: Path, lock: Path = LOCK) -> str:
    """The hash under which DVC keeps this folder (`….dir`); empty if the lock file does not name it."""
    try:
        stages = (yaml.safe_load(lock.read_text(encoding="utf-8")) or {}).get("stages", {})
    except (OSError, yaml.YAMLError):
        return ""
    for stage in stages.values():
        for out in stage.get("outs", ()):
            if Path(out.get("path", "")) == folder:
                return str(out.get("md5", ""))
    return ""


def draw_labels(summary: dict[str, Any], path: Path) -> None:
    """A picture of the labels: emotions by split as shares, categories of the training rows as counts."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    train = summary["labels"]["train"]["category"]
    names = sorted(train, key=lambda name: train[name])
    size: dict[str, Any] = {"figsize": (11, max(3.5, 0.13 * len(names) + 1.2)), "layout": "constrained"}
    figure, (left, right) = plt.subplots(1, 2, width_ratios=(2, 3), **size)
    emotions = list(summary["labels"]["train"]["emotion"])
    for number, split in enumerate(SPLITS):
        counts = summary["labels"][split]["emotion"]
        total = max(1, sum(counts.values()))
        places = [index + 0.27 * (number - 1) for index in range(len(emotions))]
        shares = [counts.get(name, 0) / total for name in emotions]
        left.barh(places, shares, height=0.25, label=f"{split} ({total:,} rows)")
    left.set_yticks(range(len(emotions)), emotions)
    left.set(xlabel="share of rows", title=f"emotions of snapshot {summary['id']}")
    left.invert_yaxis()
    left.legend(fontsize=8)
    right.barh(names, [train[name] for name in names], color="tab:blue")
    right.tick_params(axis="y", labelsize=5 if len(names) > 20 else 9)
    right.set(xlabel="training rows", title=f"{len(names)} categories", ylim=(-1, len(names)))
    figure.savefig(path, dpi=110)
    plt.close(figure)
