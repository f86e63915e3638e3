"""Any set of labels as the label schema that training, export and serving know.

A schema's keys are lower_snake_case; a stranger's labels ("Card arrival", "退款") keep their own words as the
name and get a key where they are none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from data.sources.rows import EMOTION, Rows
from data.taxonomy import Taxonomy, parse_taxonomy

__all__ = ["LabelSet", "check_training_labels", "label_set", "only_in_test"]

_KEY = re.compile(r"[a-z][a-z0-9_]*\Z")
_SHOWN = 5


@dataclass(frozen=True)
class LabelSet:
    """Labels in their order (sorted), their keys, and the schema of one task that they make."""

    labels: tuple[str, ...]
    keys: dict[str, str]
    """Label to key."""
    taxonomy: Taxonomy

    def ids(self) -> dict[str, int]:
        """Label to its number, which is that of its logit."""
        return {label: index for index, label in enumerate(self.labels)}


def label_set(labels: Iterable[str]) -> LabelSet:
    """The schema of these labels, as categories.

    Raises:
        ValueError: fewer than two labels.
    """
    names = tuple(sorted(set(labels)))
    if len(names) < 2:
        raise ValueError(f"labels: a classifier needs at least two, there is {list(names)}")
    own = {name for name in names if _KEY.match(name)}
    keys, number = {}, 0
    for name in names:
        if name in own:
            keys[name] = name
            continue
        number += 1
        while f"label_{number}" in own:
            number += 1
        keys[name] = f"label_{number}"
    raw: dict[str, Any] = {
        "version": 1,
        "categories": [
            {"key": keys[name], "zh": name, "group": "all", "nature": "inquiry", "definition": name}
            for name in names
        ],
        "emotions": [{"key": EMOTION, "zh": EMOTION, "polarity": "neutral", "definition": "not labelled"}],
        "alerts": [{"level": 0, "zh": EMOTION, "when": "never"}],
    }
    return LabelSet(names, keys, parse_taxonomy(raw, "labels"))


def check_training_labels(train: Rows, expected: Iterable[str] = ()) -> tuple[str, ...]:
    """The labels that training rows have, sorted.

    Args:
        expected: labels that were announced (a hub's class names, a previous table).

    Raises:
        ValueError: fewer than two, or an announced label has no row.
    """
    found = train.counts()
    if empty := sorted(set(expected) - set(found)):
        raise ValueError(
            f"{train.name}: class {_some(empty)} has no training row; add rows of it or take it off the list"
        )
    if len(found) < 2:
        raise ValueError(f"{train.name}: all rows carry the label {next(iter(found), '')!r}; two are needed")
    return tuple(sorted(found))


def only_in_test(train: Rows, test: Rows) -> dict[str, int]:
    """Labels of test rows that no training row has, with their numbers of test rows."""
    known = set(train.counts())
    return {label: count for label, count in sorted(test.counts().items()) if label not in known}


def _some(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
