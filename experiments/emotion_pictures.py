"""The emotion report's figures as pictures; every rate with its interval, and counts where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from data.pictures import EMOTION_COLOURS, Picture, draw, named
from data.taxonomy import Taxonomy
from experiments.emotion_reader import HEATED, ReadChat
from experiments.emotion_report import EmotionReport, Rate
from experiments.turning_words import Effect

__all__ = ["draw_causes", "draw_chat", "draw_distribution", "draw_effects", "draw_times"]

_HOT, _COOL, _GREY = "#d9534f", "#9fb8c8", "#8a8a8a"
_VERDICTS = {"better": "#2e7d32", "worse": "#c62828", "cannot tell": "#8a8a8a"}


def draw_distribution(report: EmotionReport, taxonomy: Taxonomy) -> Picture:
    """Share of each emotion among the customers' messages."""

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        names = [named(rate.name, taxonomy.emotion[rate.name].zh) for rate in report.emotions]
        shares = [rate.count / rate.of for rate in report.emotions]
        axes.barh(names, shares, color=[EMOTION_COLOURS.get(rate.name) for rate in report.emotions])
        for place, rate in enumerate(report.emotions):
            if rate.low is not None and rate.high is not None:
                axes.plot([rate.low, rate.high], [place, place], color="#333", linewidth=1.2)
            axes.text((rate.high or shares[place]) + 0.01, place, f"{rate.count}", va="center", color="#555")
        axes.invert_yaxis()
        axes.set(xlabel="share of messages (line: 95 % interval, number: messages)",
                 title=f"emotions of {report.turns} messages in {report.chats} chats")  # fmt: skip

    return draw(paint, 8.0, 2.9)


def draw_times(rates: Sequence[Rate], title: str) -> Picture:
    """Chats by day or hour, those with a heated message in red; rates where there are enough chats."""

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        places = np.arange(len(rates))
        heated = np.array([rate.count for rate in rates])
        axes.bar(places, heated, color=_HOT, label="with a heated message")
        axes.bar(places, [rate.of - rate.count for rate in rates], bottom=heated, color=_COOL, label="calm")
        for place, rate in enumerate(rates):
            if rate.rate is not None and rate.low is not None and rate.high is not None:
                text = f"{rate.rate:.0%}\n{rate.low:.0%}–{rate.high:.0%}"
                axes.text(place, rate.of + 0.3, text, ha="center", va="bottom", fontsize=8)
        names = [rate.name[5:] if len(rate.name) == 10 else rate.name for rate in rates]
        axes.set_xticks(places, names)
        axes.set(ylabel="chats", title=title, ylim=(0, max(rate.of for rate in rates) * 1.25 + 1))
        axes.legend(frameon=False, loc="upper left")

    return draw(paint, 9.0, 3.3)


def draw_causes(report: EmotionReport, taxonomy: Taxonomy, most: int = 10) -> Picture:
    """Share of all heat by category, heaviest first."""

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        causes = report.causes[:most]
        names = [named(one.category, taxonomy.category[one.category].zh) for one in causes]
        axes.barh(names, [one.weight for one in causes], color=_HOT, alpha=0.75)
        for place, one in enumerate(causes):
            axes.plot([one.low, one.high], [place, place], color="#333", linewidth=1.2)
            axes.text(one.high + 0.004, place, f"{one.turns} messages, {one.chats} chats", va="center",
                      color="#555", fontsize=8)  # fmt: skip
        axes.margins(y=0.02)
        axes.invert_yaxis()
        axes.set(xlabel="share of all heat above neutral (line: 95 % interval over chats)")
        axes.set(title="heaviest causes", xlim=(0, max((one.high for one in causes), default=1) * 1.3))

    return draw(paint, 9.0, 0.3 * min(most, len(report.causes)) + 1.2)


def draw_effects(effects: Sequence[Effect], title: str, most: int = 12) -> Picture:
    """Differences with their intervals; green and red only where the verdict says so."""
    shown = [one for one in effects if one.difference is not None][:most]

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        axes.axvline(0, color="#bbb", linewidth=1)
        for place, one in enumerate(shown):
            colour = _VERDICTS[one.verdict]
            axes.plot([one.low, one.high], [place, place], color=colour, linewidth=2)
            axes.plot([one.difference], [place], "o", color=colour)
            with_it, without = one.hits / one.replies, one.hits_without / one.replies_without
            text = f"{with_it:.0%} of {one.replies} / {without:.0%} of {one.replies_without}: {one.verdict}"
            axes.text(1.02, place, text, va="center", color=colour, fontsize=8,
                      transform=axes.get_yaxis_transform())  # fmt: skip
        axes.set_yticks(range(len(shown)), [named(one.name, one.zh) for one in shown])
        axes.set_ylim(max(len(shown), 1) - 0.4, -0.6)
        axes.set(title=title, xlabel="difference of shares, with it less without (95 % interval)")

    return draw(paint, 9.5, 0.36 * max(len(shown), 1) + 1.1)


def draw_chat(one: ReadChat, taxonomy: Taxonomy) -> Picture:
    """One chat: each message's emotion, the smoothed heat, and where the mood turned."""

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        places = np.arange(1, len(one.indices) + 1)
        axes.axhspan(HEATED, 1.05, color=_HOT, alpha=0.08, linewidth=0)
        axes.plot(places, [turn.heat for turn in one.track.turns], color=_GREY, label="heat, smoothed")
        for place, value, answer in zip(places, one.severities, one.answers, strict=True):
            label = answer.emotion.label
            axes.plot([place], [value], "o", color=EMOTION_COLOURS.get(label), markersize=9)
            axes.annotate(named(label, taxonomy.emotion[label].zh), (place, value), xytext=(0, 9),
                          textcoords="offset points", ha="center", fontsize=8)  # fmt: skip
        if one.track.changed_at is not None:
            turned = one.indices.index(one.track.changed_at) + 0.5
            axes.axvline(turned, color="#333", linestyle=":", label=f"mood turned: {one.track.trajectory}")
        axes.set_xlim(0.4, len(places) + 0.6)
        axes.set(ylim=(-0.05, 1.18), xlabel="message of the customer", ylabel="severity", xticks=places,
                 title=f"{one.chat.id}, answered by {one.chat.agent}")  # fmt: skip
        axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)

    return draw(paint, 8.0, 3.4)
