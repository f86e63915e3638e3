"""Several exported models as one teacher: their mean answers to training rows, as a file.

The file is what `recipe.soft_labels` names; a student of the served size learns from it (`recipe.distil`).
Writing it costs each teacher one reading of the training rows.

    python -m experiments.ensemble --teacher A/exported --teacher B/exported --snapshot data/processed \\
        --output .kefu/soft_labels.npz
    python -m experiments.ensemble --teacher A/exported --teacher B/exported --source public:smp2020/train \\
        --output .kefu/smp2020.npz
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from data.example import Example
from data.sources.labels import check_training_labels, label_set
from data.sources.named import read_rows
from data.split import load_snapshot
from data.taxonomy import LabelMap
from serving.exported import ExportedModel
from training.distillation import mean_probabilities, write_soft_labels

__all__ = ["main", "write_teachers"]


def write_teachers(
    teachers: Sequence[Path], rows: Sequence[Example], label_maps: Mapping[str, LabelMap], output: Path
) -> None:
    """Write the mean of exported models' probabilities of training rows.

    Args:
        label_maps: of the student; each task of the teachers needs one.

    Raises:
        ValueError: no teacher, or one whose tasks or labels are not the student's.
        serving.exported.BrokenModelError: an exported folder is damaged.
    """
    models = [ExportedModel(folder) for folder in teachers]
    for folder, model in zip(teachers, models, strict=True):
        for task in model.tasks:
            if task not in label_maps or list(model.labels[task]) != list(label_maps[task].labels):
                raise ValueError(f"{folder}: its labels of {task} are not those of the rows")
    write_soft_labels(output, rows, label_maps, mean_probabilities(models, rows))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write teachers' mean answers to the training rows of a snapshot or of a labelled table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--teacher", type=Path, action="append", required=True, help="an exported folder")
    data = parser.add_mutually_exclusive_group()
    data.add_argument("--snapshot", type=Path, default=Path("data/processed"))
    data.add_argument("--source", help="a table, as data.sources.named reads it: public:smp2020/train, …")
    parser.add_argument("--output", type=Path, required=True, help="the file for recipe.soft_labels (.npz)")
    options = parser.parse_args(arguments)
    rows: Sequence[Example]
    if options.source:
        table = read_rows(options.source)
        labels = label_set(check_training_labels(table))
        rows, taxonomy, tasks = table.with_keys(labels.keys), labels.taxonomy, ["category"]
    else:
        snapshot = load_snapshot(options.snapshot)
        rows, taxonomy, tasks = snapshot.splits["train"], snapshot.taxonomy, ["category", "emotion"]
    write_teachers(options.teacher, rows, {task: taxonomy.label_map(task) for task in tasks}, options.output)
    print(f"{len(rows)} rows, {len(options.teacher)} teachers -> {options.output}")


if __name__ == "__main__":
    main()
