"""The emotion report as a folder: `README.md` with its pictures, and `report.json` with every figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from data.files import atomic_write, write_json
from data.tables import Table
from data.taxonomy import Taxonomy
from experiments.emotion_pictures import draw_causes, draw_distribution, draw_effects, draw_times
from experiments.emotion_reader import ReadChat
from experiments.emotion_report import FEWEST, emotion_report
from experiments.turning_words import OUTCOMES, manner_effects, phrase_effects

__all__ = ["QUESTIONS", "write_emotion_report"]

QUESTIONS = {
    "calmed": "after which replies is a heated customer's next message calm?",
    "heated": "after which replies is a calm customer's next message heated?",
}
_COUNTED = (
    "name", "hits", "replies", "hits_without", "replies_without", "difference", "low", "high", "q", "verdict",
)  # fmt: skip
_TURNED = ("chat", "agent", "direction", "change", "before", "agent_said", "after")


def write_emotion_report(read: Sequence[ReadChat], taxonomy: Taxonomy, folder: Path) -> Path:
    """Write the report of a period; returns its page.

    Args:
        read: of `experiments.emotion_reader.read_emotions`.
    """
    report = emotion_report(read, taxonomy)
    pictures = {
        "emotions": draw_distribution(report, taxonomy),
        "days": draw_times(report.days, "chats by day"),
        "hours": draw_times(report.hours, "chats by the hour in which they began"),
        "causes": draw_causes(report, taxonomy),
    }
    effects = {outcome: manner_effects(read, outcome) for outcome in OUTCOMES}
    words = {outcome: phrase_effects(read, outcome) for outcome in OUTCOMES}
    pictures |= {
        f"manners-{outcome}": draw_effects(effects[outcome], QUESTIONS[outcome]) for outcome in OUTCOMES
    }
    for name, picture in pictures.items():
        picture.save(folder / f"{name}.png")
    write_json(
        folder / "report.json",
        {
            **asdict(report),
            "manners": {outcome: [asdict(one) for one in rows] for outcome, rows in effects.items()},
            "phrases": {outcome: [asdict(one) for one in rows] for outcome, rows in words.items()},
        },
    )
    parts = [
        f"# Emotion report, {report.first_day} to {report.last_day}",
        f"{report.chats} chats with {report.turns} messages of customers, read by {report.model['emotion']}. "
        f"Rates come with 95 % intervals; none is stated on fewer than {FEWEST} chats.",
        "![emotions](emotions.png)",
        "## How chats went",
        str(Table(report.trajectories)),
        "![days](days.png)\n\n![hours](hours.png)",
        "## What weighs most",
        "![causes](causes.png)",
        "## Turning points",
        str(Table(report.turning_points, _TURNED, most=12)),
        "## Accounts",
        "Of the chats that were heated, those calm at the end. Accounts meet different customers.",
        str(Table(report.agents)),
        "## What agents said",
        "What goes together, not what causes.",
    ]  # fmt: skip
    for outcome in OUTCOMES:
        question = QUESTIONS[outcome]
        parts += [f"![{question}](manners-{outcome}.png)", str(Table(words[outcome], _COUNTED, most=12))]
    if report.agreement:
        parts += ["## How far the model can be believed here",
                  "Against the labels that this log carries:", str(Table(report.agreement))]  # fmt: skip
    page = folder / "README.md"
    with atomic_write(page) as handle:
        handle.write("\n\n".join(part.strip() for part in parts) + "\n")
    return page
