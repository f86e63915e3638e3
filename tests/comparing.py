"""Made-up sides of a comparison: answers that are right as often as a test says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from experiments.sides import Side
from training.predictions import Predictions


def rows_of(taxonomy, count=600, seed=0):
    """Test rows over all labels; every third one belongs to a conversation of three."""
    generator = np.random.default_rng(seed)
    categories, emotions = (taxonomy.label_map(task).labels for task in ("category", "emotion"))
    return [
        {
            "split": "test",
            "id": f"row-{number}",
            "digest": f"{number:016x}",
            "conversation": f"chat-{number // 3}" if number % 9 < 3 else None,
            "author": ("chen", "wong", "lin")[int(generator.integers(3))] if number > 5 else "rare",
            "length": int(generator.integers(1, 60)),
            "turns": int(number % 9 < 3),
            "text": ("这个<b>快递</b>怎么还没到", "😂好的", "zfb可以吗", "俺要退货" * 20)[number % 4]
            + str(number),
            "context": [{"role": "agent", "text": "亲，请稍等"}] if number % 9 < 3 else [],
            "category": categories[number % len(categories)],
            "emotion": emotions[number % len(emotions)],
        }
        for number in range(count)
    ]


def side(taxonomy, right, rows=None, name="one", seed=1, snapshot="aaaaaaaaaaaa", angry=None, **change):
    """A side that is right on a share of the rows (by task, or one for both tasks).

    `angry` is the share of angry rows above its threshold; as many as are right if left out.
    """
    rows = rows if rows is not None else rows_of(taxonomy)
    shares = right if isinstance(right, dict) else {"category": right, "emotion": right}
    generator = np.random.default_rng(seed)
    thresholds = {task: {"abstain_below": 0.3, "red_above": 0.5} for task in shares}
    probabilities = {}
    for task, share in shares.items():
        labels = taxonomy.label_map(task)
        truth = np.array([labels.label2id[row[task]] for row in rows])
        wrong = (truth + 1 + generator.integers(len(labels.labels) - 1, size=len(rows))) % len(labels.labels)
        answer = np.where(generator.random(len(rows)) < share, truth, wrong)
        values = np.full((len(rows), len(labels.labels)), 0.2 / (len(labels.labels) - 1), np.float32)
        values[np.arange(len(rows)), answer] = 0.8
        if task == "emotion" and angry is not None:
            column = labels.label2id["angry"]
            seen = generator.random(len(rows)) < angry
            values[:, column] = np.where(truth == column, np.where(seen, 0.6, 0.4), 0.0)
        probabilities[task] = values
    found = Predictions(snapshot, taxonomy, thresholds, rows, probabilities)
    listed = [{**row, "split": split} for split in ("train", "test") for row in rows]
    made = Side(
        name, (), {task: found for task in shares}, {"train.epochs": "2"}, {}, (), "f" * 40, "", listed
    )
    return replace(made, **change)
