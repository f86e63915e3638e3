"""What to label next: the order in which messages go to people, by what the model thinks of them.

- `uncertainty`: where the model wavers between two labels.
- `diverse`: the same, but spread over what customers talk about; for the next big batch.
- `disagreement`: where people have answered and the model, calibrated, believes them least; to look
  at again. A model that learnt from these answers agrees with them: ask one that did not.
- `random`: without the model. Only a random sample says how good the model is.

Messages that say what another in the queue says (in almost the same words) go to its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["STRATEGIES", "order_queue", "uncertainty"]

STRATEGIES = ("uncertainty", "diverse", "disagreement", "random")
# Of centred embeddings, by looking at pairs of shop chats and of Banking77: from here on two messages
# differ in a particle or a mark ("拆了能退不", "拆了还能退不"); at 0.95 in a word that may matter.
_SAME = 0.97
_PRESELECT = 5  # measured: 3 to 10 do about as well, 20 reaches rows that teach little
_ROUNDS = 10
_BLOCK = 512
Floats = NDArray[np.floating[Any]]
Units = NDArray[np.float32]
Ints = NDArray[np.integer[Any]]


def uncertainty(probabilities: Floats) -> NDArray[np.float64]:
    """One less the margin between the two likeliest labels: 0 (sure) to 1 (torn between two); [rows].

    Source: Scheffer, Decomain and Wrobel, "Active Hidden Markov Models for Information Extraction",
    2001. Beats entropy here: with many labels, entropy also counts the long tail that no one means.
    """
    best = np.partition(np.asarray(probabilities, np.float64), -2, axis=1)
    return 1.0 - (best[:, -1] - best[:, -2])


def order_queue(
    strategy: str,
    probabilities: Floats,
    count: int,
    embeddings: Floats | None = None,
    answers: Sequence[int] | Ints | None = None,
    seed: int = 0,
) -> list[int]:
    """Indices of the messages to label, in the order to label them.

    Args:
        strategy: one of `STRATEGIES`.
        probabilities: the model's calibrated opinion, [messages, labels].
        count: how many to choose; fewer come back only if there are fewer messages (`disagreement`:
            fewer answered ones).
        embeddings: [messages, hidden]; needed by `diverse`. `uncertainty` uses them, if given, to
            put repetitions last.
        answers: index of the label that people gave, -1 where they gave none [messages]; needed by
            `disagreement`.
        seed: of `random` and `diverse`; the same seed gives the same order.

    Returns:
        At most `count` distinct indices.

    Raises:
        ValueError: an unknown strategy, a missing input, or inputs that do not fit together.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy: {strategy!r} is unknown; use one of {', '.join(STRATEGIES)}")
    if count < 1:
        raise ValueError(f"count: expected at least 1, got {count}")
    probabilities = _checked(probabilities)
    rows = len(probabilities)
    if rows == 0:
        return []
    if strategy == "random":
        return np.random.default_rng(seed).permutation(rows)[:count].tolist()
    if strategy == "disagreement":
        return _disagreement(probabilities, _answers(answers, probabilities.shape), count)
    doubt = uncertainty(probabilities)
    order = np.argsort(-doubt, kind="stable")
    if embeddings is None:
        if strategy == "diverse":
            raise ValueError("embeddings: the strategy diverse needs them")
        return order[:count].tolist()
    units = _centred(embeddings, rows)
    if strategy == "uncertainty":
        distinct, repeated = _without_repetitions(order, units, count)
        return (distinct + repeated)[:count]
    distinct, repeated = _without_repetitions(order, units, _PRESELECT * count)
    chosen = _representatives(np.array(distinct), doubt, units, count, seed)
    return (chosen + repeated)[:count]


def _checked(probabilities: Floats) -> Floats:
    found = np.asarray(probabilities)
    if found.ndim != 2 or found.shape[1] < 2:
        raise ValueError(f"probabilities: expected [messages, labels], labels at least 2; got {found.shape}")
    # Written so that NaN fails as well.
    if not (found.min(initial=0.0) >= 0 and (np.abs(found.sum(axis=1) - 1) < 1e-3).all()):
        raise ValueError("probabilities: every row must be at least 0 and sum to 1; calibrate logits first")
    return found


def _answers(answers: Sequence[int] | Ints | None, shape: tuple[int, ...]) -> Ints:
    if answers is None:
        raise ValueError("answers: the strategy disagreement needs what people answered")
    found = np.asarray(answers)
    if found.shape != shape[:1]:
        raise ValueError(f"answers: expected one for each of {shape[0]} messages, got shape {found.shape}")
    if not np.issubdtype(found.dtype, np.integer) or found.min() < -1 or found.max() >= shape[1]:
        raise ValueError(f"answers: expected label indices from 0 to {shape[1] - 1}, or -1 for no answer")
    return found


def _centred(embeddings: Floats, rows: int) -> Units:
    """Embeddings less their mean, of unit length: what all messages share tells none of them apart."""
    found = np.asarray(embeddings, np.float32)
    if found.ndim != 2 or len(found) != rows:
        raise ValueError(
            f"embeddings: expected [{rows}, hidden], as many as probabilities; got {found.shape}"
        )
    if not np.isfinite(found).all():
        raise ValueError("embeddings: must be finite numbers")
    found = found - found.mean(axis=0, dtype=np.float64).astype(np.float32)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return found / np.maximum(length, np.finfo(np.float32).tiny)


def _disagreement(probabilities: Floats, answers: Ints, count: int) -> list[int]:
    """Source: "self-confidence" of Northcutt, Jiang and Chuang, "Confident Learning", 2021."""
    answered = np.flatnonzero(answers >= 0)
    believed = probabilities[answered, answers[answered]]
    return answered[np.argsort(believed, kind="stable")[:count]].tolist()


def _without_repetitions(order: Ints, units: Units, most: int) -> tuple[list[int], list[int]]:
    """Walk along `order` until `most` messages are found of which none repeats an earlier one.

    Returns:
        Them, and the repetitions met on the way.
    """
    distinct: list[int] = []
    repeated: list[int] = []
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        rows = units[block]
        old = set(np.flatnonzero(_alike(rows, units[distinct]).any(axis=1)).tolist())
        alike = _alike(rows, rows)
        new: list[int] = []
        for place, index in enumerate(block.tolist()):
            if place in old or alike[place, new].any():
                repeated.append(index)
            else:
                new.append(place)
                distinct.append(index)
                if len(distinct) == most:
                    return distinct, repeated
    return distinct, repeated


def _alike(some: Units, others: Units) -> NDArray[np.bool_]:
    # By distance, not cosine: messages that are all the same have no direction, and are alike.
    squares = (some**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)
    return np.asarray(squares - 2 * some @ others.T <= 2 * (1 - _SAME))


def _representatives(candidates: Ints, doubt: Floats, units: Units, count: int, seed: int) -> list[int]:
    """The candidate nearest to the middle of each of `count` clusters, weighted by doubt.

    Clusters with the most doubt in them come first: a queue that is left half-way has done those.

    Source: Zhdanov, "Diverse mini-batch Active Learning", 2019.
    """
    if len(candidates) <= count:
        return candidates.tolist()
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    rows, weight = units[candidates], doubt[candidates] + 1e-6
    means = KMeans(count, n_init=1, max_iter=_ROUNDS, random_state=seed)
    # Threads add up in the order in which they finish, so that two runs would differ in the last bit.
    with threadpool_limits(1):
        cluster = means.fit(rows, sample_weight=weight).labels_
    away = ((rows - means.cluster_centers_[cluster]) ** 2).sum(axis=1)
    mass = np.bincount(cluster, weight, minlength=count)
    order = np.lexsort((away, -mass[cluster]))
    first = np.sort(np.unique(cluster[order], return_index=True)[1])
    rest = np.setdiff1d(np.arange(len(order)), first)  # needed only if a cluster stayed empty
    return candidates[order[np.concatenate([first, rest])[:count]]].tolist()
