"""How far the tracking of conversations agrees with careful readers: the champion's answers against gold.

Every labelled conversation of the snapshot's validation and test split is followed twice by the same rules
(`serving.track`): with the emotions that a careful reader gave, taken as certain, and with the packaged
champion's answers. The difference is the model's error; whether the rules are right is for people to judge.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from data.example import Example
from data.files import write_json
from data.split import load_snapshot
from serving.offline import packaged_predictor
from serving.predictor import Predictor
from serving.schema import AlertAnswer, Analysis, ContextTurn, EmotionAnswer, TrackResponse
from serving.track import RULES, TrackRules, follow, messages_of, severity

__all__ = ["Followed", "agreement", "answer_conversations", "change_costs", "main", "relapses", "smoothings"]

COSTS = (0.04, 0.06, 0.08, 0.1, 0.12, 0.15)
SMOOTHINGS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)
_DRAWS = 2000
_PASS = 64


@dataclass(frozen=True)
class Followed:
    """A conversation: positions of the customer's turns, and the answers to them, both ways."""

    indices: list[int]
    gold: list[Analysis]
    champion: list[Analysis]


def answer_conversations(predictor: Predictor, examples: Sequence[Example]) -> list[Followed]:
    """Both answers to every conversation of at least two customer turns, all of which are labelled."""
    chats: dict[str, list[Example]] = defaultdict(list)
    for row in examples:
        if row.conversation:
            chats[row.conversation].append(row)
    found = []
    for rows in chats.values():
        rows.sort(key=lambda row: len(row.context))
        last = rows[-1]
        turns = [ContextTurn(role=turn.role, text=turn.text) for turn in last.context]  # type: ignore[arg-type]
        indices, messages = messages_of([*turns, ContextTurn(role="customer", text=last.text)])
        if len(rows) < 2 or indices != [len(row.context) for row in rows]:
            continue
        answers: list[Analysis] = []
        for start in range(0, len(messages), _PASS):
            answers += predictor.analyze(messages[start : start + _PASS])
        gold = [_certain(answer, row, predictor) for answer, row in zip(answers, rows, strict=True)]
        found.append(Followed(indices, gold, answers))
    return found


def _certain(answer: Analysis, row: Example, predictor: Predictor) -> Analysis:
    """The answer of a model that knows the reader's labels and is sure of them."""
    emotion = predictor.taxonomy.emotion[row.emotion]
    # The threshold of the model is not asked: certainty is above any.
    alert = predictor.policy.alert(
        row.text, {"emotion": {row.emotion: 1.0}, "category": {row.category: 1.0}}, 1.0
    )
    return answer.model_copy(
        update={
            "emotion": EmotionAnswer(
                label=row.emotion,
                zh=emotion.zh,
                polarity=emotion.polarity,  # type: ignore[arg-type]
                score=1.0,
                scores={row.emotion: 1.0},
            ),
            "alert": AlertAnswer(
                level=alert.level, zh=predictor.policy.level_name(alert.level), reasons=list(alert.reasons)
            ),
        }
    )


def agreement(chats: Sequence[Followed], predictor: Predictor, rules: TrackRules = RULES) -> dict[str, Any]:
    """Figures of the champion against gold, with 95 % bootstrap intervals over conversations.

    Change turns are counted in customer turns, over the conversations whose mood turns in gold; one that the
    champion calls steady counts as missed.
    """
    gold = [follow(chat.indices, chat.gold, predictor.taxonomy, rules) for chat in chats]
    champion = [follow(chat.indices, chat.champion, predictor.taxonomy, rules) for chat in chats]
    away = [_away(chat, right, answer) for chat, right, answer in zip(chats, gold, champion, strict=True)]
    turned = [distance for right, distance in zip(gold, away, strict=True) if right.changed_at is not None]
    trajectories = [
        (right.trajectory, answer.trajectory) for right, answer in zip(gold, champion, strict=True)
    ]
    levels = [(right.alert.level, answer.alert.level) for right, answer in zip(gold, champion, strict=True)]
    kappa, low, high = _kappa(trajectories)
    return {
        "conversations": len(chats),
        "turns": sum(len(chat.indices) for chat in chats),
        "gold": dict(Counter(right for right, _ in trajectories)),
        "champion": dict(Counter(answer for _, answer in trajectories)),
        "emotion_accuracy": _same([
            (right.emotion.label, answer.emotion.label)
            for chat in chats
            for right, answer in zip(chat.gold, chat.champion, strict=True)
        ]),
        "trajectory_accuracy": _same(trajectories),
        "trajectory_kappa": kappa,
        "trajectory_kappa_95": [low, high],
        "opposite": sum({right, answer} == {"escalating", "recovering"} for right, answer in trajectories),
        "turned": len(turned),
        "change_exact": sum(distance == 0 for distance in turned) / max(len(turned), 1),
        "change_within_one": sum(distance <= 1 for distance in turned) / max(len(turned), 1),
        "alert_accuracy": _same(levels),
        "alert_within_one": sum(abs(right - answer) <= 1 for right, answer in levels) / len(levels),
        "alert_too_low": sum(answer < right for right, answer in levels) / len(levels),
        "heat_mean_difference": float(np.mean([
            abs(one.heat - other.heat)
            for right, answer in zip(gold, champion, strict=True)
            for one, other in zip(right.turns, answer.turns, strict=True)
        ])),
    }  # fmt: skip


def _away(chat: Followed, gold: TrackResponse, champion: TrackResponse) -> float:
    if gold.changed_at is None or champion.changed_at is None:
        return float("inf")
    return abs(chat.indices.index(gold.changed_at) - chat.indices.index(champion.changed_at))


def _same(pairs: Sequence[tuple[Any, Any]]) -> float:
    return sum(one == other for one, other in pairs) / len(pairs)


def _kappa(pairs: Sequence[tuple[str, str]]) -> tuple[float, float, float]:
    """Cohen's kappa with its percentile interval (Efron and Tibshirani, 1993)."""
    names = {name: place for place, name in enumerate(dict.fromkeys(name for pair in pairs for name in pair))}
    codes = np.array([[names[one], names[other]] for one, other in pairs])

    def kappa(rows: np.ndarray) -> float:
        observed = np.mean(rows[:, 0] == rows[:, 1])
        shares = [np.bincount(rows[:, side], minlength=len(names)) / len(rows) for side in (0, 1)]
        chance = float(shares[0] @ shares[1])
        return float((observed - chance) / (1 - chance)) if chance < 1 else 1.0

    generator = np.random.default_rng(0)
    draws = [kappa(codes[generator.integers(len(codes), size=len(codes))]) for _ in range(_DRAWS)]
    low, high = np.percentile(draws, (2.5, 97.5))
    return kappa(codes), float(low), float(high)


def change_costs(chats: Sequence[Followed], predictor: Predictor) -> list[dict[str, Any]]:
    """The figures for each of `COSTS`: for choosing it, on validation."""
    return [
        {"change_cost": cost, **agreement(chats, predictor, replace(RULES, change_cost=cost))}
        for cost in COSTS
    ]


def smoothings(chats: Sequence[Followed], predictor: Predictor) -> dict[str, float]:
    """How far gold heat is from the severity of the next turn, root mean square, by smoothing.

    The one-step forecast is by what exponential smoothing is fitted: Hyndman and Athanasopoulos,
    "Forecasting: Principles and Practice", 3rd edition, 8.1.
    """
    found = {}
    for smoothing in SMOOTHINGS:
        errors = []
        for chat in chats:
            rules = replace(RULES, smoothing=smoothing)
            heats = [turn.heat for turn in follow(chat.indices, chat.gold, predictor.taxonomy, rules).turns]
            truth = [severity(answer, predictor.taxonomy) for answer in chat.gold]
            errors += [(heat - later) ** 2 for heat, later in zip(heats, truth[1:], strict=False)]
        found[str(smoothing)] = float(np.sqrt(np.mean(errors)))
    return found


def relapses(chats: Sequence[Followed], level: int = 2) -> list[dict[str, float]]:
    """Gold: after a turn of `level` or more and so many calmer ones, how often such a turn comes again."""
    found = []
    for calm in (1, 2, 3):
        again = []
        for chat in chats:
            levels = [answer.alert.level for answer in chat.gold]
            for place, here in enumerate(levels):
                rest = levels[place + 1 + calm :]
                if here >= level and rest and max(levels[place + 1 : place + 1 + calm]) < level:
                    again.append(max(rest) >= level)
        found.append({"calm_turns": calm, "cases": len(again), "again": sum(again) / max(len(again), 1)})
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Print how far tracking agrees with gold on validation and test, and how the constants were chosen."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--snapshot", type=Path, default=Path("data/processed"))
    parser.add_argument("--output", type=Path, help="write the figures as JSON")
    options = parser.parse_args(arguments)
    from serving.package import use_local_store

    use_local_store()
    predictor, snapshot = packaged_predictor(), load_snapshot(options.snapshot)
    chats = {name: answer_conversations(predictor, snapshot.splits[name]) for name in ("val", "test")}
    figures = {
        "snapshot": snapshot.id,
        "model": predictor.model.model_dump(),
        "rules": {name: getattr(RULES, name) for name in RULES.__dataclass_fields__},
        **{name: agreement(part, predictor) for name, part in chats.items()},
        "val_change_costs": change_costs(chats["val"], predictor),
        "val_smoothings": smoothings(chats["val"], predictor),
        "val_relapses": relapses(chats["val"]),
    }
    _show(figures)
    if options.output:
        write_json(options.output, figures)


def _show(figures: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table("figure", "val", "test", title=f"tracking against gold, snapshot {figures['snapshot']}")
    for name, value in figures["val"].items():
        table.add_row(name, _shown(value), _shown(figures["test"][name]))
    console.print(table)
    table = Table("change_cost", "gold", "champion", "kappa", "within one", title="chosen on val")
    for row in figures["val_change_costs"]:
        shown = ("change_cost", "gold", "champion", "trajectory_kappa", "change_within_one")
        table.add_row(*(_shown(row[name]) for name in shown))
    console.print(table)
    console.print("smoothing, error of the next turn:", _shown(figures["val_smoothings"]))
    for row in figures["val_relapses"]:
        console.print(
            f"heated again after {row['calm_turns']} calm turns: {row['again']:.0%} of {row['cases']}"
        )


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(one)}" for name, one in value.items())
    return " to ".join(map(_shown, value)) if isinstance(value, list) else str(value)


if __name__ == "__main__":
    main()
