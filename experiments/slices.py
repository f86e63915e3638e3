"""Parts of the test rows that a reviewer asks about, and how two models do on each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.taxonomy import Taxonomy, group_name
from experiments.paired import Difference, difference, mean_samples

__all__ = ["SMALL", "Slice", "SliceResult", "compare_slices", "find_slices"]

SMALL = 30
"""Below so many rows, a difference of accuracies says little whatever its interval."""

# Placeholders of masked data are no emoji; [图片] stands for a picture that the customer sent.
_EMOJI = re.compile(
    "[\U0001f300-\U0001faff\u2600-\u27bf\u2b50\u2b55]|\\[(?:图片|表情|视频|语音|笑脸|微笑|[\u4e00-\u9fff]{1,2}哭)\\]"
    r"|#E-s|\^_?\^|T_T|QAQ|qwq|orz",
    re.I,
)
# Frequent input-method slips of shop chats, and pinyin initials typed instead of a word.
_SLIPS = re.compile(
    "以经|己经|因该|在也不|在来[一买]|在次|的时后|优惠卷|优会|快第|快弟|订担|退宽|付宽|发或|收或|退或|换或|发贷|收贷|地只|帐号"
    "|木有|肿么|神马|灰常|酱紫|为神马|啥米|造吗|可以嘛|可一吗|做么"
    r"|(?<![a-z])(?:zfb|kf|hb|yhq|kd|tk|yyds|xdm|qian|dd|bb|plz|pls|okk|emo|jio)(?![a-z])",
    re.I,
)
_DIALECT = re.compile("俺|咋|啥子|侬|冇|咩|唔|嘅|佢|俾|咯|忒|整不|搞撒|莫得|么子|嘞|嘎|撒子")
_LENGTHS = ((1, 6), (7, 12), (13, 24), (25, 10**9))


@dataclass(frozen=True)
class Slice:
    """A named part of the rows."""

    kind: str
    """What rows are divided by: "Author voice", "Length", …"""
    name: str
    inside: NDArray[np.bool_]
    """[rows]"""


@dataclass(frozen=True)
class SliceResult:
    """Accuracy of two models on a slice."""

    kind: str
    name: str
    rows: int
    accuracy: Difference
    fixed: int
    broken: int

    @property
    def small(self) -> bool:
        """Whether the slice has too few rows to say anything."""
        return self.rows < SMALL


def find_slices(rows: Sequence[Mapping[str, Any]], taxonomy: Taxonomy) -> list[Slice]:
    """Every slice that has a row.

    Args:
        rows: as `training.predictions.Predictions.rows`. Slips, emoji and dialect are found by short lists of
            words: who is in them is surely so, and some rows are missed.
    """
    found: list[Slice] = []

    def add(kind: str, named: Sequence[str | None], order: Sequence[str]) -> None:
        values = np.array([name or "" for name in named])
        for name in order:
            inside = values == name
            if inside.any():
                found.append(Slice(kind, name, inside))

    voices = Counter(str(row["author"]) for row in rows)
    rare = [name for name, count in voices.items() if count < SMALL]
    others = f"{len(rare)} others" if len(rare) > 1 else "".join(rare)
    authors = [others if row["author"] in rare else str(row["author"]) for row in rows]
    add("Author voice", authors, [*(name for name, _ in voices.most_common() if name not in rare), others])
    groups = {key: item.group for key, item in taxonomy.category.items()}
    shown = {group: f"{group} {group_name(group)}" for group in taxonomy.groups}
    add("Category group", [shown.get(groups.get(row["category"], "")) for row in rows], list(shown.values()))
    emotions = {key: f"{key} {item.zh}" for key, item in taxonomy.emotion.items()}
    add("Emotion", [emotions.get(row["emotion"]) for row in rows], list(emotions.values()))
    context = ["alone", "after other turns"]
    add("Context", [context[bool(row["turns"])] for row in rows], context)
    names = [f"{low} to {high} characters" for low, high in _LENGTHS[:-1]]
    names.append(f"{_LENGTHS[-1][0]} characters or more")
    add("Length", [names[_length(int(row["length"]))] for row in rows], names)
    wording = {
        "emoji, sticker or picture": _EMOJI,
        "typing slips or pinyin": _SLIPS,
        "dialect words": _DIALECT,
    }
    hits = {
        name: np.array([bool(pattern.search(row["text"])) for row in rows], bool)
        for name, pattern in wording.items()
    }
    plain = ~np.any(list(hits.values()), axis=0)
    hits["none of these"] = np.asarray(plain, bool)
    found += [Slice("Wording", name, inside) for name, inside in hits.items() if inside.any()]
    return found


def _length(characters: int) -> int:
    return next(place for place, (_, high) in enumerate(_LENGTHS) if characters <= high)


def compare_slices(
    slices: Sequence[Slice], hit_a: NDArray[np.bool_], hit_b: NDArray[np.bool_], weights: NDArray[np.float32]
) -> list[SliceResult]:
    """Accuracy of both models on each slice, with paired intervals.

    Args:
        hit_a, hit_b: [rows] whether each model's answer was right.
        weights: [times, rows], from `experiments.paired.bootstrap_weights`.
    """
    results = []
    for part in slices:
        inside = part.inside
        accuracy = difference(
            float(hit_a[inside].mean()),
            float(hit_b[inside].mean()),
            mean_samples(weights, hit_a, inside),
            mean_samples(weights, hit_b, inside),
        )
        fixed = int((inside & ~hit_a & hit_b).sum())
        broken = int((inside & hit_a & ~hit_b).sum())
        results.append(SliceResult(part.kind, part.name, int(inside.sum()), accuracy, fixed, broken))
    return results
