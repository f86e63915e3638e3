"""Everybody's answers to a project as tables that can be counted: tasks down, people across."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data.taxonomy import TASKS, Taxonomy
from labeling.task import Annotation, Task

__all__ = ["MISSING", "AnswerTable", "Answers", "count_labels", "read_answers"]

MISSING = -1


@dataclass(frozen=True)
class AnswerTable:
    """The answers to one of the two questions, category or emotion."""

    answer: str
    labels: tuple[str, ...]
    """All labels of the schema, used or not; codes are places in it."""
    zh: tuple[str, ...]
    codes: np.ndarray
    """(tasks, people), int16; `MISSING` where a person said nothing, or could not decide."""
    counts: np.ndarray
    """(tasks, labels): how many people gave the label."""
    gold: np.ndarray
    """(tasks,), int16: the hidden gold label, `MISSING` where there is none."""

    def others_majority(self, person: int) -> tuple[np.ndarray, np.ndarray]:
        """What most of the others said, for each task that a person answered.

        Returns:
            (tasks,) codes, `MISSING` where the person or everybody else gave no answer, or the others
            are split evenly; and (tasks,) the number of votes that the majority has.
        """
        expected = np.full(len(self.codes), MISSING, np.int16)
        votes = np.zeros(len(self.codes), np.int64)
        own = self.codes[:, person]
        rows = np.flatnonzero(own != MISSING)
        others = self.counts[rows].copy()
        others[np.arange(len(rows)), own[rows]] -= 1
        best = others.max(1, initial=0)
        clear = (best > 0) & ((others == best[:, None]).sum(1) == 1)
        expected[rows[clear]] = others[clear].argmax(1)
        votes[rows[clear]] = best[clear]
        return expected, votes


@dataclass(frozen=True)
class Answers:
    """The annotated tasks of a project, each person's latest answer to each of them."""

    tasks: tuple[Task, ...]
    """Tasks with at least one annotation: the rows of the tables."""
    people: tuple[str, ...]
    """Pseudonyms in the order of their numbers: the columns of the tables."""
    latest: tuple[tuple[tuple[int, Annotation], ...], ...]
    """For each person (row, annotation), oldest first."""
    tables: dict[str, AnswerTable]


def count_labels(codes: np.ndarray, labels: int) -> np.ndarray:
    """Count each label in each row of (tasks, people) codes: (tasks, labels), int32."""
    rows, columns = np.nonzero(codes != MISSING)
    flat = rows * labels + codes[rows, columns]
    counted = np.bincount(flat, minlength=len(codes) * labels)
    return counted.reshape(len(codes), labels).astype(np.int32)


def read_answers(
    tasks: Sequence[Task], taxonomy: Taxonomy, gold: Mapping[str, tuple[str, str]] | None = None
) -> Answers:
    """Arrange the annotations of a project.

    Of several annotations of a task by one person the latest counts. An annotation that is flagged
    undecided gives no answer, whatever else it says.

    Args:
        gold: `Task.key` to (category, emotion) of the tasks whose truth is known and hidden.

    Raises:
        ValueError: there is no annotation, or a label is not in the schema; names task and field.
    """
    kept = [task for task in tasks if task.annotations]
    if not kept:
        raise ValueError(
            f"tasks: none of {len(tasks)} has an annotation; label some in Label Studio, then pull again"
        )
    newest: dict[tuple[str, int], Annotation] = {}
    for row, task in enumerate(kept):
        for one in sorted(task.annotations, key=lambda one: (one.at, one.id)):
            newest[one.annotator, row] = one
    people = tuple(sorted({person for person, _ in newest}, key=_by_number))
    column = {person: index for index, person in enumerate(people)}
    gold = gold or {}
    zh = {
        "category": tuple(one.zh for one in taxonomy.categories),
        "emotion": tuple(one.zh for one in taxonomy.emotions),
    }
    tables = {}
    for place, answer in enumerate(TASKS):
        code = taxonomy.label_map(answer).label2id
        codes = np.full((len(kept), len(people)), MISSING, np.int16)
        for (person, row), one in newest.items():
            label = None if one.undecided else getattr(one, answer)
            if label is not None:
                where = f"task {kept[row].id}: annotation {one.id}: {answer}"
                codes[row, column[person]] = _code(label, code, where)
        truth = [
            _code(gold[task.key][place], code, f"gold {task.key}: {answer}") if task.key in gold else MISSING
            for task in kept
        ]
        tables[answer] = AnswerTable(
            answer,
            tuple(code),
            zh[answer],
            codes,
            count_labels(codes, len(code)),
            np.array(truth, np.int16),
        )
    by_person: list[list[tuple[int, Annotation]]] = [[] for _ in people]
    for (person, row), one in newest.items():
        by_person[column[person]].append((row, one))
    latest = tuple(tuple(sorted(own, key=lambda pair: (pair[1].at, pair[1].id))) for own in by_person)
    return Answers(tuple(kept), people, latest, tables)


def _by_number(name: str) -> tuple[str, int, str]:
    # annotator-2 before annotator-10
    found = re.search(r"\d+$", name)
    return (name[: found.start()], int(found.group()), name) if found else (name, -1, name)


def _code(label: str, code: Mapping[str, int], where: str) -> int:
    if label not in code:
        raise ValueError(
            f"{where}: {label!r} is not in the label schema; "
            "use the schema that the project was labelled with, or relabel the task"
        )
    return code[label]
