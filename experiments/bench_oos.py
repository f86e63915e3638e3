"""Messages that belong to none of the intents: scores that fall for them, and a threshold that never saw one.

The threshold is chosen on validation rows that all belong to an intent: it may cost a fixed share of
them, whatever there may be outside. Which score is used (`SCORE`) was chosen on intents that training did not
see (`experiments.oos_choice`), not by out-of-scope rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.example import Example
from experiments.bench_learn import Learnt
from training.linear_heads import embeddings

__all__ = ["SCORE", "SCORES", "choose_threshold", "in_scope_scores", "measure_oos", "scope_curve"]

SCORES = ("probability", "max_logit", "energy", "mahalanobis", "neighbour", "combined")
SCORE = "energy"
ALLOWED_LOSS = 0.005
"""Accuracy on validation, as a share of all its rows, that the threshold may cost."""
_POINTS, _BATCH, _SHRINK, _NEIGHBOUR = 101, 64, 1e-3, 10
Floats = NDArray[np.floating[Any]]


def measure_oos(
    learnt: Learnt,
    train: Sequence[Example],
    val: Sequence[Example],
    test: Sequence[Example],
    oos: Sequence[Example],
) -> dict[str, Any]:
    """In-scope accuracy and out-of-scope recall of every score, at the threshold and along its curve.

    A test row counts in scope where it is not rejected and its label is right; an out-of-scope row where it
    is rejected. (Larson et al., "An Evaluation Dataset for Intent Classification and Out-of-Scope
    Prediction", 2019.)

    Returns:
        By score: `threshold`, `in_scope`, `oos_recall`, `curve` (pairs of both), and `auroc`.
    """
    number = learnt.labels.taxonomy.label_map("category").label2id
    sides = {"val": val, "test": test, "oos": oos}
    logits = {name: learnt.raw_logits(rows) for name, rows in sides.items()}
    temperature = learnt.calibration.tasks["category"].temperature
    vectors = {name: _vectors(learnt, rows) for name, rows in {"train": train, **sides}.items()}
    target = np.array([number[row.category] for row in train])
    scores = {
        name: in_scope_scores(logits[name] / temperature, vectors[name], vectors["train"], target)
        for name in sides
    }
    _combine(scores)
    right = {
        name: logits[name].argmax(1) == np.array([number.get(row.category, -1) for row in sides[name]])
        for name in ("val", "test")
    }
    found: dict[str, Any] = {}
    for kind in SCORES:
        threshold = choose_threshold(scores["val"][kind], right["val"])
        inside, outside = scores["test"][kind], scores["oos"][kind]
        found[kind] = {
            "threshold": threshold,
            "in_scope": float((right["test"] & (inside >= threshold)).mean()),
            "oos_recall": float((outside < threshold).mean()),
            "auroc": _auroc(inside, outside),
            "curve": scope_curve(inside, right["test"], outside),
        }
    return found


def in_scope_scores(
    logits: Floats, vectors: Floats, known: Floats, target: NDArray[Any]
) -> dict[str, Floats]:
    """Scores [rows] that are high for rows of a known intent.

    `probability`: of the top label (Hendrycks and Gimpel, 2017). `energy`: the logarithm of the summed
    exponents of the logits (Liu et al., 2020). `max_logit`: the top one (Hendrycks et al., 2022).
    `mahalanobis`: minus the distance of the embedding to the nearest mean of a label (Lee et al., 2018; for
    intents Podolskiy et al., 2021). `neighbour`: the cosine to the tenth nearest training row (Sun et al.,
    2022).

    Args:
        logits: [rows, labels], divided by the temperature.
        vectors: embeddings [rows, dims].
        known, target: embeddings and label numbers of training rows.
    """
    top = logits.max(1)
    energy = top + np.log(np.exp(logits - top[:, None]).sum(1))
    labels = np.unique(target)
    means = np.stack([known[target == label].mean(0) for label in labels])
    spread = known - means[np.searchsorted(labels, target)]
    covariance = spread.T @ spread / len(known)
    covariance += _SHRINK * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    covariance += 1e-9 * np.eye(len(covariance))  # a model of n-grams has one constant there
    root = np.linalg.cholesky(np.linalg.inv(covariance))
    rows, centres = vectors @ root, means @ root
    distance = (rows**2).sum(1)[:, None] - 2 * rows @ centres.T + (centres**2).sum(1)
    return {
        "probability": np.exp(top - energy),
        "max_logit": top,
        "energy": energy,
        "mahalanobis": -distance.min(1),
        "neighbour": _cosine_to_neighbour(vectors, known),
    }


def _cosine_to_neighbour(vectors: Floats, known: Floats) -> Floats:
    unit, others = (one / np.linalg.norm(one, axis=1, keepdims=True).clip(1e-9) for one in (vectors, known))
    last = max(0, len(others) - _NEIGHBOUR)
    starts = range(0, len(unit), _BATCH)
    return np.concatenate(
        [np.partition(unit[start : start + _BATCH] @ others.T, last, axis=1)[:, last] for start in starts]
    )


def _combine(scores: Mapping[str, dict[str, Floats]]) -> None:
    """Add `combined`: energy and distance, each in standard deviations of the validation rows."""
    parts = ("energy", "mahalanobis")
    scale = {part: (scores["val"][part].mean(), scores["val"][part].std() + 1e-9) for part in parts}
    for side in scores.values():
        side["combined"] = np.mean([(side[part] - scale[part][0]) / scale[part][1] for part in parts], axis=0)


def choose_threshold(score: Floats, right: NDArray[np.bool_], loss: float = ALLOWED_LOSS) -> float:
    """The highest threshold that rejects at most `loss` of all rows among those answered rightly.

    Args:
        score: [rows] of validation rows, all of them in scope.
        right: [rows] whether each is answered rightly.
    """
    kept = np.sort(score[right])
    allowed = int(loss * len(score))
    return float(kept[min(allowed, len(kept) - 1)]) if len(kept) else float(score.min())


def scope_curve(inside: Floats, right: NDArray[np.bool_], outside: Floats) -> list[tuple[float, float]]:
    """Pairs (in-scope accuracy, out-of-scope recall) from rejecting nothing to rejecting everything."""
    levels = np.quantile(np.concatenate([inside, outside]), np.linspace(0, 1, _POINTS))
    return [
        (round(float((right & (inside >= level)).mean()), 5), round(float((outside < level).mean()), 5))
        for level in levels
    ]


def _auroc(inside: Floats, outside: Floats) -> float:
    from sklearn.metrics import roc_auc_score

    truth = np.concatenate([np.ones(len(inside)), np.zeros(len(outside))])
    return float(roc_auc_score(truth, np.concatenate([inside, outside])))


def _vectors(learnt: Learnt, rows: Sequence[Example]) -> Floats:
    config = learnt.result.config
    # Distances to means cancel what bfloat16 keeps.
    exact = replace(config, train=replace(config.train, precision="32"))
    return embeddings(learnt.result.network, learnt.result.encoder, rows, exact).astype(np.float64)
