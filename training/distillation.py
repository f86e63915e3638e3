"""Teachers' answers as a file: what a student of the served size learns from beside the labels.

Source: Hinton et al., "Distilling the Knowledge in a Neural Network", 2015. The teacher is the mean of
several models' probabilities, so that one small model can answer as many do.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.encoding import Message
from data.example import Example
from data.taxonomy import LabelMap

__all__ = [
    "PSEUDO_AUTHOR",
    "Floats",
    "Teacher",
    "mean_probabilities",
    "read_soft_labels",
    "write_soft_labels",
]

PSEUDO_AUTHOR = "model"
"""Author of the rows that self-training adds: no teacher needs to have seen them."""
Floats = NDArray[np.floating[Any]]


class Teacher(Protocol):
    """Anything that answers as an exported model does."""

    def probabilities(self, messages: Sequence[Message]) -> dict[str, NDArray[np.float32]]:
        """By task [messages, labels]."""


def mean_probabilities(teachers: Sequence[Teacher], rows: Sequence[Example]) -> dict[str, Floats]:
    """The mean of the teachers' probabilities by task, float32 [rows, labels].

    Raises:
        ValueError: there are no teachers, or they know different tasks or numbers of labels.
    """
    messages: list[Message] = [(row.text, row.context) for row in rows]
    total: dict[str, Floats] = {}
    for number, teacher in enumerate(teachers):
        found = teacher.probabilities(messages)
        shapes = [{task: part.shape for task, part in one.items()} for one in (found, total)]
        if number and shapes[0] != shapes[1]:
            raise ValueError(f"teachers: the first gives {shapes[1]}, number {number + 1} gives {shapes[0]}")
        total = {task: part + total[task] if number else part for task, part in found.items()}
    if not total:
        raise ValueError("teachers: name at least one exported model")
    return {task: (part / len(teachers)).astype(np.float32) for task, part in total.items()}


def write_soft_labels(
    path: Path,
    rows: Sequence[Example],
    label_maps: Mapping[str, LabelMap],
    probabilities: Mapping[str, Floats],
) -> None:
    """Write the probabilities of rows, with their ids and the labels of the columns, atomically (`.npz`).

    Args:
        probabilities: by task [rows, labels], columns in the order of the label maps.
    """
    arrays: dict[str, Any] = {"id": np.array([row.id for row in rows])}
    for task, values in probabilities.items():
        wanted = (len(rows), len(label_maps[task].labels))
        if values.shape != wanted:
            raise ValueError(f"soft labels of {task}: expected {wanted}, got {values.shape}")
        arrays[f"{task}_labels"] = np.array(label_maps[task].labels)
        arrays[task] = values.astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    with part.open("wb") as handle:
        np.savez_compressed(handle, **arrays)
    part.replace(path)


def read_soft_labels(
    path: Path, rows: Sequence[Example], label_maps: Mapping[str, LabelMap]
) -> dict[str, Tensor]:
    """The probabilities of exactly these rows, by task float32 [rows, labels].

    Rows that self-training added are not in the file; theirs are 1 for the label that they were given.

    Raises:
        ValueError: the file cannot be read, has other labels, or lacks a row or task; says the mend.
    """
    mend = "write it again for this snapshot: python -m experiments.ensemble"
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"recipe.soft_labels: {path}: cannot be read ({error}); {mend}") from error
    place = {identity: at for at, identity in enumerate(arrays.get("id", np.array([])).tolist())}
    told = {at: row.id for at, row in enumerate(rows) if row.author != PSEUDO_AUTHOR}
    if missing := [identity for identity in told.values() if identity not in place]:
        raise ValueError(
            f"recipe.soft_labels: {path}: lacks {len(missing)} of {len(rows)} training rows, "
            f"such as {missing[0]!r}; {mend}"
        )
    order = [place[identity] for identity in told.values()]
    found: dict[str, Tensor] = {}
    for task, labels in label_maps.items():
        if task not in arrays or arrays[f"{task}_labels"].tolist() != list(labels.labels):
            raise ValueError(f"recipe.soft_labels: {path}: has no or other labels of {task}; {mend}")
        own = torch.tensor([labels.label2id[getattr(row, task)] for row in rows])
        found[task] = torch.nn.functional.one_hot(own, len(labels.labels)).float()
        found[task][list(told)] = torch.from_numpy(arrays[task][order])
    return found
