"""Signals by meaning: messages near to known examples, in whatever words.

Rules on wording are sure and miss what is said in other words. This reads the encoder's vector of a message:
a multinomial logistic regression over examples of the four kinds that one message can show, against clean
ones. It gives hints (level 1), never more. The examples are the written conversations without their `fresh`
part, the clean messages those of data/routing_groups.jsonl and of the demo shop's log as well; vectors are
computed once, when the object is made, by the encoder whose vectors are judged later.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assist.reading import Embed
from assist.routing.schema import Signal, SignalKind
from data.chats import read_chats
from data.files import read_jsonl
from data.pii import mask

__all__ = ["EXAMPLES", "KINDS", "SignalSense"]

_DATA = Path(__file__).resolve().parents[2] / "data"
EXAMPLES = _DATA / "routing_cases.jsonl"
KINDS: tuple[SignalKind, ...] = ("harassment", "threat", "special_channel", "policy_knowledge")
_ZH = {
    "harassment": "像骚扰或辱骂", "threat": "像要挟", "special_channel": "像要求特殊通道",
    "policy_knowledge": "像熟知内部规则",
}  # fmt: skip
_SCALE = 4.0  # of unit vectors, so that the usual penalty fits
_PENALTY = 1e-3
_STEPS = 30
_FOLDS = 3
_CLEAN_ALARMS = 0.005
_LEAST = 0.5
Floats = NDArray[np.floating]


class SignalSense:
    """Judges vectors of messages.

    Args:
        embed: the encoder; about 900 short messages are read once.
        path: conversations with `signals` and `part`; those of the part "fresh" are left out.
    """

    def __init__(self, embed: Embed, path: Path | str = EXAMPLES) -> None:
        texts, labels, folds = _examples(path)
        vectors = np.asarray(embed(texts), dtype=np.float64) * _SCALE
        out_of_fold = np.zeros((len(texts), len(KINDS) + 1))
        for fold in range(_FOLDS):
            there = folds == fold
            out_of_fold[there] = _probabilities(vectors[there], _fit(vectors[~there], labels[~there]))
        clean = out_of_fold[labels == len(KINDS), : len(KINDS)]
        # Measured on messages that the judging model had not seen: at most one clean one in 200 is hinted at.
        self.thresholds = np.maximum(_LEAST, np.quantile(clean, 1 - _CLEAN_ALARMS, axis=0))
        self._weights = _fit(vectors, labels)

    def judge(self, messages: Sequence[tuple[int, str, Floats]]) -> list[Signal]:
        """Hints of a chat, the surest message of each kind.

        Args:
            messages: the customer's turns: position, text, unit vector.
        """
        if not messages:
            return []
        vectors = np.stack([vector for *_, vector in messages]).astype(np.float64) * _SCALE
        scores = _probabilities(vectors, self._weights)
        found = []
        for column, kind in enumerate(KINDS):
            best = int(scores[:, column].argmax())
            score = float(scores[best, column])
            if score >= self.thresholds[column]:
                index, text, _ = messages[best]
                found.append(
                    Signal(
                        kind=kind,
                        name=f"{kind}.meaning",
                        level=1,
                        reason=f"{_ZH[kind]}（{score:.0%}）",
                        turns=[index],
                        words=[mask(text)[:60]],
                    )
                )
        return found


def _examples(path: Path | str) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64]]:
    """Texts, their label (the last: clean) and a fold; a conversation lies in one fold."""
    texts: list[str] = []
    labels: list[int] = []
    folds: list[int] = []

    def add(text: str, label: int, fold: int) -> None:
        texts.append(text)
        labels.append(label)
        folds.append(fold % _FOLDS)

    for number, row in read_jsonl(path):
        signals = row["signals"]
        known = [KINDS.index(kind) for kind in signals if kind in KINDS]
        if row["part"] == "fresh" or (signals and not known):
            continue
        for turn in row["turns"]:
            if turn["role"] == "customer":
                add(turn["text"], known[0] if known else len(KINDS), number)
    for number, row in read_jsonl(_DATA / "routing_groups.jsonl"):
        add(row["text"], len(KINDS), number)
    for number, chat in enumerate(read_chats()):
        for _, turn in chat.messages:
            add(turn.text, len(KINDS), number)
    return texts, np.array(labels), np.array(folds)


def _fit(vectors: Floats, labels: NDArray[np.int64]) -> Floats:
    """Weights [width + 1, kinds + 1] of a multinomial logistic regression.

    Newton steps with the fixed bound of the curvature by Böhning (1992): no step is too long, and one matrix
    is inverted once.
    """
    inputs = np.hstack([vectors, np.ones((len(vectors), 1), dtype=vectors.dtype)])
    wanted = np.eye(len(KINDS) + 1, dtype=vectors.dtype)[labels]
    # Clean examples are many; each label weighs the square root of what balance would give.
    weight = np.sqrt(1.0 / np.maximum(wanted.sum(axis=0), 1))[labels].astype(vectors.dtype)
    weight /= weight.sum()
    penalty = _PENALTY * np.eye(inputs.shape[1])
    step = np.linalg.inv(0.5 * inputs.T @ (inputs * weight[:, None]) + penalty)
    weights = np.zeros((inputs.shape[1], len(KINDS) + 1))
    for _ in range(_STEPS):
        error = (_softmax(inputs @ weights) - wanted) * weight[:, None]
        weights -= step @ (inputs.T @ error + _PENALTY * weights)
    return weights


def _probabilities(vectors: Floats, weights: Floats) -> Floats:
    return _softmax(np.hstack([vectors, np.ones((len(vectors), 1))]) @ weights)


def _softmax(logits: Floats) -> Floats:
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    found: Floats = raised / raised.sum(axis=1, keepdims=True)
    return found
