"""The tables of `data.explore` as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data.example import Example
from data.pictures import EMOTION_COLOURS, Picture, draw, named
from data.taxonomy import Taxonomy

__all__ = ["draw_categories", "draw_emotions", "draw_lengths"]


def draw_categories(table: Mapping[str, Mapping[str, int]], taxonomy: Taxonomy, most: int = 25) -> Picture:
    """The most frequent categories as bars, coloured by emotion.

    Args:
        table: of `data.explore.emotion_counts`.
    """
    keys = list(table)[:most]

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        left = np.zeros(len(keys))
        names = [named(key, taxonomy.category[key].zh) for key in keys]
        for emotion in taxonomy.emotion:
            values = np.array([table[key][emotion] for key in keys])
            axes.barh(names, values, left=left, label=_emotion(emotion, taxonomy),
                      color=EMOTION_COLOURS.get(emotion))  # fmt: skip
            left += values
        axes.margins(y=0.01)
        axes.invert_yaxis()
        axes.set(title=f"messages by category, the {len(keys)} most frequent of {len(table)}")
        figure.legend(loc="outside lower center", ncols=len(taxonomy.emotion), frameon=False)

    return draw(paint, 9.0, 0.24 * len(keys) + 1.2)


def draw_lengths(examples: Sequence[Example]) -> Picture:
    """How long messages are: single messages beside turns of conversations."""

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        groups = {
            "single messages": [len(row.text) for row in examples if row.conversation is None],
            "turns of conversations": [len(row.text) for row in examples if row.conversation],
        }
        bins = np.arange(0, 81, 2)
        for name, values in groups.items():
            if values:
                axes.hist(np.minimum(values, 79), bins=bins, alpha=0.6, label=f"{name} ({len(values)})",
                          density=True)  # fmt: skip
        axes.set(title="length of messages", xlabel="characters (80 and more in the last bar)",
                 ylabel="share of messages per character")  # fmt: skip
        axes.legend(frameon=False)

    return draw(paint, 9.0, 3.0)


def draw_emotions(rows: Sequence[Mapping[str, float]], by: str, taxonomy: Taxonomy, title: str) -> Picture:
    """Shares of emotions as stacked bars over turns, hours or days; the number of messages on top.

    Args:
        rows: of `data.explore.emotion_by_turn` or `emotion_over_time`.
        by: "turn", "hour" or "day".
    """

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        places = np.arange(len(rows))
        bottom = np.zeros(len(rows))
        for emotion in taxonomy.emotion:
            values = np.array([row[emotion] for row in rows])
            axes.bar(places, values, bottom=bottom, label=_emotion(emotion, taxonomy),
                     color=EMOTION_COLOURS.get(emotion), width=0.85)  # fmt: skip
            bottom += values
        for place, row in zip(places, rows, strict=True):
            axes.text(
                place, 1.01, f"{row['messages']:.0f}", ha="center", va="bottom", fontsize=8, color="#555"
            )
        axes.set_xticks(
            places, [_place(row[by], by, index == len(rows) - 1) for index, row in enumerate(rows)]
        )
        axes.set(ylim=(0, 1.08), ylabel="share of messages", xlabel=by)
        axes.set_title(f"{title}; number of messages above each bar", pad=8)
        figure.legend(loc="outside lower center", ncols=len(taxonomy.emotion), frameon=False)

    return draw(paint, 9.0, 3.8)


def _emotion(key: str, taxonomy: Taxonomy) -> str:
    return named(key, taxonomy.emotion[key].zh)


def _place(value: float, by: str, last: bool) -> str:
    if by == "day":
        text = f"{value:.0f}"
        return f"{text[4:6]}-{text[6:]}"
    return f"{value:.0f}+" if by == "turn" and last and value >= 6 else f"{value:.0f}"
