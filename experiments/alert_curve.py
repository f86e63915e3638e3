"""What a red alert costs: alerts per 1,000 chats against angry customers missed, over its threshold.

Reads the answers of `experiments.held_out` (authors whom training never met) and asks the alert
policy about every customer turn of every conversation. A chat is alerted if one of its turns is
red; its customer is angry if a careful reader called one of the turns angry, or a wish to escalate.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from data.example import Example, read_examples
from data.files import write_json
from data.taxonomy import Taxonomy, load_taxonomy
from serving.policy import DEFAULT_PATH, AlertPolicy

__all__ = ["CurvePoint", "alert_curve", "main"]

RED = 3
THRESHOLDS = tuple(round(0.02 * step, 2) for step in range(1, 46))
Answers = Mapping[str, Mapping[str, Mapping[str, float]]]


@dataclass(frozen=True)
class CurvePoint:
    """The alerts that a threshold gives."""

    red_above: float
    alerts_per_1000_chats: float
    """Chats with at least one red turn."""
    missed_angry_customers: float
    """Share of the chats with an angry turn in which no turn was red."""
    false_alerts: float
    """Share of the alerted chats without an angry turn."""
    message_recall: float
    """Share of the angry or escalating turns and single messages that were red."""
    message_false_rate: float
    """Share of all other turns and messages that were red."""


def alert_curve(
    examples: Sequence[Example],
    answers: Answers,
    raw_policy: Mapping[str, Any],
    taxonomy: Taxonomy,
    thresholds: Sequence[float] = THRESHOLDS,
) -> list[CurvePoint]:
    """The whole policy (emotion, category and wording) at each threshold of P(angry).

    Args:
        examples: messages with their true labels; those without an answer are left out.
        answers: example id to probabilities by task and label.
        raw_policy: the parsed policy file.

    Raises:
        ValueError: no conversation has an answer, or no customer in them is angry.
    """
    rows = [row for row in examples if row.id in answers]
    angry = {row.id: row.emotion == "angry" or row.category == "dispute_escalation" for row in rows}
    chats: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row.conversation:
            chats[row.conversation].append(row.id)
    angry_chats = {chat for chat, turns in chats.items() if any(angry[turn] for turn in turns)}
    if not angry_chats:
        raise ValueError("answers: need conversations with angry customers among the answered examples")
    points = []
    for threshold in thresholds:
        policy = AlertPolicy({**raw_policy, "red_above": threshold}, taxonomy)
        red = {row.id for row in rows if policy.alert(row.text, answers[row.id], threshold).level >= RED}
        alerted = {chat for chat, turns in chats.items() if any(turn in red for turn in turns)}
        right = sum(angry.values())
        points.append(
            CurvePoint(
                threshold,
                1000 * len(alerted) / len(chats),
                len(angry_chats - alerted) / len(angry_chats),
                len(alerted - angry_chats) / max(len(alerted), 1),
                sum(angry[key] for key in red) / max(right, 1),
                sum(not angry[key] for key in red) / max(len(rows) - right, 1),
            )
        )
    return points


def read_answers(folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """The answers of every group that `experiments.held_out` left in a folder.

    Raises:
        FileNotFoundError: there are none.
    """
    found = {}
    for path in sorted(folder.glob("whole-*-of-*.json")):
        for row in json.loads(path.read_text(encoding="utf-8"))["answers"]:
            found[row.pop("id")] = row
    if not found:
        raise FileNotFoundError(
            f"{folder}: no whole-*-of-*.json; make them with python -m experiments.held_out"
        )
    return found


def picture(points: Sequence[CurvePoint], chosen: float, path: Path) -> None:
    """Draw the curve with the chosen threshold marked."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    across = [point.alerts_per_1000_chats for point in points]
    axes.plot(across, [100 * point.missed_angry_customers for point in points], ".-", color="#c62828")
    mark = min(points, key=lambda point: abs(point.red_above - chosen))
    named = (-100.0, -100.0)
    for point in points:
        spot = (point.alerts_per_1000_chats, 100 * point.missed_angry_customers)
        if abs(spot[0] - named[0]) < 8 and abs(spot[1] - named[1]) < 0.4:
            continue  # its number would lie on the last one
        named = spot
        axes.annotate(f"{point.red_above:.2f}", spot, xytext=(4, 5), textcoords="offset points", fontsize=7,
                      color="grey")  # fmt: skip
    axes.plot(mark.alerts_per_1000_chats, 100 * mark.missed_angry_customers, "o", markersize=11,
              markerfacecolor="none", color="black", label=f"chosen: red_above {chosen:.2f}")  # fmt: skip
    axes.set(
        xlabel="chats with a red alert, of 1,000",
        ylabel="angry customers without an alert, %",
        title="What a red alert costs (grey: threshold of P(angry))",
    )
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw and print the cost curve of red alerts over the answers for left-out authors."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("results", type=Path, help="folder with the results of experiments.held_out")
    parser.add_argument("--examples", type=Path, default=Path("data/interim/examples.jsonl"))
    parser.add_argument("--policy", type=Path, default=DEFAULT_PATH)
    parser.add_argument("--output", type=Path, default=Path(".kefu/alert_curve"), help="folder")
    options = parser.parse_args(arguments)
    raw = yaml.safe_load(options.policy.read_text(encoding="utf-8"))
    points = alert_curve(read_examples(options.examples), read_answers(options.results), raw, load_taxonomy())
    chosen = raw.get("red_above", "model")
    picture(points, 0.5 if chosen == "model" else chosen, options.output / "alerts.png")
    write_json(options.output / "alerts.json", [vars(point) for point in points])
    print("red above  alerts/1000 chats  angry missed  false alerts  message recall  message false rate")
    for point in points:
        print(
            f"{point.red_above:9.2f} {point.alerts_per_1000_chats:18.0f} "
            f"{point.missed_angry_customers:13.3f} "
            f"{point.false_alerts:13.3f} {point.message_recall:15.3f} {point.message_false_rate:19.4f}"
        )


if __name__ == "__main__":
    main()
