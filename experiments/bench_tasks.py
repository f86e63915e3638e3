"""The public tasks of the benchmark table: which rows, which published figure, and what is aimed at.

Published figures are those of the sets' papers and of the comparisons that the project's issue names; each is
measured elsewhere, with other encoders. Test parts: those published where there are some, else dealt here,
by a fixed seed, and said in the table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from data.sources.corpus import CORPUS, read_corpus
from data.sources.public import read_public
from data.sources.rows import Rows, rows_of
from experiments.bench_parts import choose_few, hold_out, hold_out_tail, keep_spread_labels
from experiments.bench_run import Part, parts_of

__all__ = ["FOLDS", "TASKS", "Target", "Task", "cut", "embedded_task", "task_parts"]

FOLDS, TEST_SHARE, SPLIT_SEED = 5, 0.1, 1
EMBEDDED = "embedded-corpus"


@dataclass(frozen=True, slots=True)
class Target:
    """What is aimed at."""

    metric: str
    """`accuracy`, `macro_f1`, `in_scope` (accuracy at the out-of-scope threshold) or `oos_recall`."""
    at_least: float
    over: str | None = None
    """None: the figure itself. Else the gain over `tfidf` (the contender) or over another task's figure."""


@dataclass(frozen=True, slots=True)
class Task:
    """One row of the table."""

    name: str
    source: str
    """Name of the public set."""
    split: str
    """`published`, `folds` (by group), `share` (a random tenth) or `tail` (the last fifth)."""
    about: str
    anchor: str
    """What is published, as text."""
    metric: str = "accuracy"
    """The one that the table shows first."""
    targets: tuple[Target, ...] = ()
    shots: int = 0
    context: bool = True
    oos: bool = False
    """Also out-of-scope rows, which are never learnt from, nor chosen on."""


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "banking77", "banking77", "published", "77 intents, English; published test",
            "93.1 (BERT-base)", targets=(Target("accuracy", 0.935),),
        ),
        Task(
            "banking77-10-shot", "banking77", "published", "10 rows of each intent; published test",
            "84.3 (RoBERTa), 87.2 (best)", targets=(Target("accuracy", 0.875),), shots=10,
        ),
        Task(
            "clinc150", "clinc150", "published", "150 intents, English; published test, out-of-scope apart",
            "in-scope 96, out-of-scope recall 66", oos=True,
            targets=(Target("in_scope", 0.965), Target("oos_recall", 0.75)),
        ),
        Task(
            "jddc-intents", "jddc-intents", "folds", "intents of at least 2 dialogues; 5 folds by dialogue",
            "43.7 (TF-IDF), 52 (plain fine-tuning), one split",
            targets=(Target("accuracy", 0.11, "tfidf"), Target("accuracy", 0.05, "jddc-intents-alone")),
        ),
        Task(
            "jddc-intents-alone", "jddc-intents", "folds", "the same without the turns before",
            "40.5 (TF-IDF), 45 (plain fine-tuning), one split", context=False,
        ),
        Task(
            "jddc-satisfaction", "jddc-satisfaction", "folds", "3 classes; 5 folds by dialogue",
            "60.3 (TF-IDF, one split); annotators agree at kappa 0.57", "macro_f1",
            targets=(Target("macro_f1", 0.03, "tfidf"),),
        ),
        Task(
            "smp2020", "smp2020", "published", "6 emotions of Weibo posts; train part, eval part",
            "about 77 accuracy, 74 macro-F1 (BERT)",
            targets=(Target("accuracy", 0.79), Target("macro_f1", 0.76)),
        ),
        Task(
            "shop-reviews", "shop-reviews", "share", "positive or negative; a random tenth is the test",
            "–", targets=(Target("accuracy", 0.945),),
        ),
        Task("cped", "cped", "tail", "3 sentiments of lines; the last fifth is the test", "–", "macro_f1"),
        Task("afqmc", "afqmc", "share", "same question or not; a random tenth is the test", "–"),
    )
}  # fmt: skip
_EMBEDDED = Task(
    EMBEDDED, "", "share", "the project's own corpus; a random tenth of its chats is the test", "–"
)


def task_parts(task: Task, seed: int) -> Iterator[tuple[Part, Rows | None]]:
    """The models of a task and a seed, and the out-of-scope rows that each is also asked about (or None).

    Raises:
        FileNotFoundError: the set is not in the folder of public sets.
    """
    if task.split == "folds":
        rows = keep_spread_labels(read_public(task.source)["all"])
        for part in parts_of(rows if task.context else rows.without_context(), None, [seed], FOLDS, 0):
            yield part, None
        return
    oos = None
    if task.source == "":
        train, test = hold_out(_corpus(), TEST_SHARE, SPLIT_SEED)
    elif task.split == "published":
        published = read_public(task.source)
        train, test = published["train"], published["test"]
        if task.oos:
            oos = published["oos_test"]
        if "val" in published and not task.shots:
            yield Part("test", train, published["val"], test, seed), oos
            return
    else:
        every = read_public(task.source)["all"]
        share = (
            hold_out(every, TEST_SHARE, SPLIT_SEED) if task.split == "share" else hold_out_tail(every, 0.2)
        )
        train, test = share
    if task.shots:
        yield Part("test", *choose_few(train, task.shots, seed), test, seed), oos
        return
    for part in parts_of(train, test, [seed], 0, 0):
        yield Part("test", part.train, part.val, part.test, seed), oos


def embedded_task() -> Task:
    """The project's own corpus as a task: what `--quick` measures where no public set is at hand."""
    return _EMBEDDED


def _corpus() -> Rows:
    return rows_of(
        (
            (
                row.text,
                row.category,
                row.conversation,
                [{"role": one.role, "text": one.text} for one in row.context],
            )
            for row in read_corpus(CORPUS)
        ),
        EMBEDDED,
    )


def cut(part: Part, labels: int = 8, train: int = 256, test: int = 128) -> Part:
    """A part small enough to try the way: its commonest labels, and a few rows of each side."""
    common = {label for label, _ in part.train.counts().most_common(labels)}
    return Part(
        part.name,
        _few(part.train, common, train),
        _few(part.val, common, test),
        _few(part.test, common, test),
        part.seed,
    )


def _few(rows: Rows, labels: set[str], most: int) -> Rows:
    inside = [index for index, label in enumerate(rows.label_array().tolist()) if label in labels]
    order: Sequence[int] = np.random.default_rng(1).permutation(inside)[:most].tolist()
    return rows.take(np.sort(np.asarray(order, np.int64)))
