"""The agreement report as one picture, with the keys of the label schema: fonts need no Chinese."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from labeling.agreement.findings import TENTATIVE
from labeling.agreement.people import FALLING, RISING, STEADY, TOO_FEW, Person
from labeling.agreement.report import AgreementReport

__all__ = ["draw_agreement"]

RELIABLE = 0.8
COLOURS = {"category": "#1f6feb", "emotion": "#b4540a"}
MARKS = {STEADY: "steady", FALLING: "FALLING", RISING: "rising", TOO_FEW: "too few"}
MOST_CLASSES = 80
MOST_PEOPLE = 20
MOST_NAMED = 10


def draw_agreement(report: AgreementReport, path: Path) -> None:
    """Draw alpha by class (worst first), the people's accuracy and the course of their accuracy."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = sum(min(MOST_CLASSES, len(result.worst_first())) for result in report.results.values())
    figure = plt.figure(figsize=(13, max(11.0, 0.17 * shown + 2.5)), layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=[1, 1.15])
    left, right = halves
    rows = [max(3, min(MOST_CLASSES, len(result.worst_first()))) for result in report.results.values()]
    columns = left.subplots(2, 1, gridspec_kw={"height_ratios": [number + 4 for number in rows]})
    for axes, answer in zip(columns, report.results, strict=True):
        _classes(axes, report, answer)
    columns[-1].set_xlabel("Krippendorff's alpha, class against rest; dotted: 0.667 and 0.8", fontsize=9)
    panels = right.subplots(4, 1)
    for place, answer in enumerate(report.results):
        _accuracy(panels[place], report, answer)
        _drift(panels[place + 2], report.people, answer)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    figure.savefig(temporary, dpi=130, format="png")
    plt.close(figure)
    temporary.replace(path)


def _classes(axes: Any, report: AgreementReport, answer: str) -> None:
    result = report.results[answer]
    known = result.worst_first()
    cut = f", {MOST_CLASSES} of {len(known)}" if len(known) > MOST_CLASSES else ""
    known = known[:MOST_CLASSES]
    overall = "not measured" if result.alpha is None else f"{result.alpha:.2f}"
    axes.set_title(f"{answer}: alpha {overall}; by class{cut}", loc="left", fontsize=10)
    for limit in (TENTATIVE, RELIABLE):
        axes.axvline(limit, color="grey", linewidth=0.8, linestyle=":")
    lows = [0.0]
    for place, (alpha, kind) in enumerate(known):
        lows.append(alpha)
        if kind.interval:
            lows.append(kind.interval[0])
            axes.plot(kind.interval, [place, place], color=COLOURS[answer], linewidth=3, alpha=0.35)
        axes.plot(alpha, place, "o", color=COLOURS[answer], markersize=4)
    axes.set_yticks(range(len(known)), [kind.label for _, kind in known])
    axes.tick_params(axis="y", labelsize=6.5 if len(known) > 20 else 9)
    axes.set_ylim(len(known) - 0.4, -0.6)
    axes.set_xlim(min(lows) - 0.02, 1.02)
    axes.grid(axis="x", alpha=0.25)


def _accuracy(axes: Any, report: AgreementReport, answer: str) -> None:
    people = sorted(report.people, key=_lowest_rate)[:MOST_PEOPLE]
    people.sort(key=report.people.index)
    bottom = 1.0
    for place, person in enumerate(people):
        own = person.answers[answer]
        for held, shift, mark, face in (
            (own.gold, -0.14, "o", COLOURS[answer]),
            (own.others, 0.14, "s", "white"),
        ):
            if held:
                bottom = min(bottom, held.low)
                axes.plot([held.low, held.high], [place + shift] * 2, color=COLOURS[answer], alpha=0.45)
                axes.plot(held.rate, place + shift, mark, color=COLOURS[answer], markerfacecolor=face)
    axes.plot([], [], "o", color=COLOURS[answer], label="right on gold")
    axes.plot([], [], "s", color=COLOURS[answer], markerfacecolor="white", label="as most others")
    axes.set_yticks(range(len(people)), [person.annotator for person in people], fontsize=8)
    axes.set_ylim(len(people) - 0.4, -0.6)
    axes.set_xlim(bottom - 0.05, 1.02)
    cut = f", {MOST_PEOPLE} lowest of {len(report.people)}" if len(report.people) > MOST_PEOPLE else ""
    axes.set_title(f"{answer}: annotators{cut}, 95% intervals", loc="left", fontsize=10)
    axes.grid(axis="x", alpha=0.25)
    axes.xaxis.set_major_formatter("{x:.0%}")
    _legend(axes)


def _lowest_rate(person: Person) -> float:
    held = [share for own in person.answers.values() for share in (own.gold, own.others) if share]
    return min((share.rate for share in held), default=1.0)


def _drift(axes: Any, people: tuple[Person, ...], answer: str) -> None:
    import matplotlib

    colours = matplotlib.colormaps["tab10"]
    crowd = len(people) > MOST_NAMED
    named = 0
    for index, person in enumerate(people):
        drift = person.answers[answer].drift
        if len(drift.windows) < 2:
            continue
        loud = drift.verdict in (FALLING, RISING)
        across = [(place + 0.5) / len(drift.windows) for place in range(len(drift.windows))]
        rates = [window.right.rate for window in drift.windows]
        if crowd and not loud:  # so many curves say nothing one by one
            axes.plot(across, rates, color="lightgrey", linewidth=0.8, zorder=1)
            continue
        colour = colours(named if crowd else index)
        named += 1
        axes.plot(across, rates, ".-", color=colour, linewidth=2.4 if loud else 1.1,
                  alpha=1 if loud else 0.6, label=f"{person.annotator} ({MARKS[drift.verdict]})")  # fmt: skip
    if crowd:
        axes.plot([], [], color="lightgrey", label="all others")
    axes.set_title(f"{answer}: right answers over time", loc="left", fontsize=10)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["first", "a person's answers", "last"], fontsize=8)
    axes.yaxis.set_major_formatter("{x:.0%}")
    axes.grid(alpha=0.25)
    if named or crowd:
        _legend(axes)


def _legend(axes: Any) -> None:
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0)
