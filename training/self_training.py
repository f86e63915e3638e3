"""Self-training: the model labels unlabelled chats, and a fresh one learns from the rows it was sure of, too.

Sources: Lee, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method", 2013; Xie et al.,
"Self-training with Noisy Student improves ImageNet classification", 2020 (a fresh student that learns under
noise, and as many rows of each label). The n-gram view is fitted on people's labels alone.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from data.encoding import Message
from data.example import Example, Turn
from data.split import Snapshot
from data.taxonomy import LabelMap
from data.text import normalise
from training.config import TrainingConfig
from training.distillation import PSEUDO_AUTHOR
from training.train import TrainResult
from training.unlabelled import customer_messages, read_unlabelled

__all__ = ["choose_sure", "pseudo_examples", "self_train"]

_log = logging.getLogger(__name__)
Learn = Callable[[TrainingConfig, Snapshot], TrainResult]
Answer = Callable[[TrainResult, Sequence[Example]], Mapping[str, NDArray[np.float64]]]


def choose_sure(
    probabilities: Mapping[str, NDArray[np.floating]], threshold: float, per_label: int
) -> list[int]:
    """Numbers of the rows to learn from, in order: those whose least sure task reaches the threshold.

    Args:
        probabilities: by task [rows, labels].
        per_label: at most so many of one label of the first task, the surest first.
    """
    sure = np.min([part.max(1) for part in probabilities.values()], axis=0)
    label = next(iter(probabilities.values())).argmax(1)
    taken: dict[int, int] = {}
    chosen = []
    for row in np.argsort(-sure, kind="stable").tolist():
        if sure[row] < threshold:
            break
        count = taken.get(int(label[row]), 0)
        if count < per_label:
            taken[int(label[row])] = count + 1
            chosen.append(row)
    return sorted(chosen)


def pseudo_examples(
    messages: Sequence[Message],
    probabilities: Mapping[str, NDArray[np.floating]],
    label_maps: Mapping[str, LabelMap],
    rows: Sequence[int],
) -> list[Example]:
    """Chosen messages as examples with the model's labels; tasks that it does not know have an empty one."""
    examples = []
    for row in rows:
        text, context = messages[row]
        labels = {
            task: label_maps[task].labels[int(part[row].argmax())] for task, part in probabilities.items()
        }
        category, emotion = labels.get("category", ""), labels.get("emotion", "")
        found = Example(f"pseudo-{row}", text, category, emotion, PSEUDO_AUTHOR, tuple(context))
        examples.append(found)
    return examples


def self_train(config: TrainingConfig, snapshot: Snapshot, learn: Learn, answer: Answer) -> TrainResult:
    """Train, then `recipe.self_training` times label, add and train anew.

    Messages whose normalised text and turns before it are those of a row of the snapshot, in any split, are
    left out: neither may a test row be learnt from, nor a label given twice.

    Args:
        learn: one ordinary training of a configuration without self-training.
        answer: logits by task [rows, labels] of a result.

    Raises:
        ValueError: the file of unlabelled chats is wrong.
    """
    recipe = config.recipe
    known = {_key(row.text, row.context) for part in snapshot.splits.values() for row in part}
    found = customer_messages(read_unlabelled(recipe.unlabelled))
    messages = [one for one in found if _key(*one) not in known]
    plain = replace(config, recipe=replace(recipe, self_training=0, unlabelled=""))
    blank = [Example(str(at), text, "", "", "", tuple(past)) for at, (text, past) in enumerate(messages)]
    result = learn(plain, snapshot)
    for number in range(recipe.self_training):
        probabilities = {task: _softmax(part) for task, part in answer(result, blank).items()}
        chosen = choose_sure(probabilities, recipe.pseudo_threshold, recipe.pseudo_per_label)
        _log.info("self-training %d: %d of %d messages are sure", number + 1, len(chosen), len(messages))
        if not chosen:
            break
        more = pseudo_examples(messages, probabilities, result.label_maps, chosen)
        rows = [*snapshot.splits["train"], *more]
        text = repr([snapshot.id, number, more])
        identity = hashlib.sha256(text.encode()).hexdigest()[:12]
        result = learn(plain, Snapshot(identity, snapshot.taxonomy, {**snapshot.splits, "train": rows}))
    return replace(result, config=config)


def _key(text: str, context: Sequence[Turn]) -> tuple[str, ...]:
    return (normalise(text), *(normalise(turn.text) for turn in context))


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(shifted / shifted.sum(1, keepdims=True))
