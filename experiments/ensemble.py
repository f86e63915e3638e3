"""Several exported models as one teacher: their mean answers to a snapshot's training rows, as a file.

The file is what `recipe.soft_labels` names; a student of the served size learns from it (`recipe.distil`).
Writing it costs each teacher one reading of the training rows.

    python -m experiments.ensemble --teacher A/exported --teacher B/exported --snapshot data/processed \\
        --output .kefu/soft_labels.npz
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from data.split import load_snapshot
from serving.exported import ExportedModel
from training.distillation import mean_probabilities, write_soft_labels

__all__ = ["main", "write_teachers"]


def write_teachers(teachers: Sequence[Path], snapshot: Path, output: Path) -> int:
    """Write the mean of exported models' probabilities of the training rows; returns the number of rows.

    Raises:
        ValueError: no teacher, or one whose labels are not those of the snapshot or of the first.
        serving.exported.BrokenModelError: an exported folder is damaged.
    """
    loaded = load_snapshot(snapshot)
    rows = loaded.splits["train"]
    models = [ExportedModel(folder) for folder in teachers]
    for folder, model in zip(teachers, models, strict=True):
        for task in model.tasks:
            if list(model.labels[task]) != list(loaded.taxonomy.label_map(task).labels):
                raise ValueError(f"{folder}: its labels of {task} are not those of the snapshot {loaded.id}")
    found = mean_probabilities(models, rows)
    maps = {task: loaded.taxonomy.label_map(task) for task in found}
    write_soft_labels(output, rows, maps, found)
    return len(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write teachers' mean answers to the training rows of a snapshot."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--teacher", type=Path, action="append", required=True, help="an exported folder")
    parser.add_argument("--snapshot", type=Path, default=Path("data/processed"))
    parser.add_argument("--output", type=Path, required=True, help="the file for recipe.soft_labels (.npz)")
    options = parser.parse_args(arguments)
    count = write_teachers(options.teacher, options.snapshot, options.output)
    print(f"{count} rows, {len(options.teacher)} teachers -> {options.output}")


if __name__ == "__main__":
    main()
