"""Is the off-policy estimate fooled by what was shown? A simulated desk, in which the truth is known.

    python -m experiments.reply_policy_simulation --output docs/reply-policy.json --picture
    docs/reply-policy.png

Everything here is made up, and says nothing of real agents. Scripts have an appeal, messages are easy or
hard, a place has a chance of being looked at; an agent accepts with the product. The first ranking shows poor
scripts for easy messages, so that they look good. Two questions: what would a ranking by appeal have been
worth (estimated from answers that the first one showed), and where does a desk end that learns from
acceptance, with and without correcting for what was shown where?
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from assist.scripts.feedback import EXAMINED, MOST_WEIGHT, Tally, acceptance
from assist.scripts.off_policy import PolicyLog, draw_ranking, estimate, position_propensities
from data.files import write_json
from data.pictures import Picture, draw

__all__ = ["WAYS", "Desk", "K", "estimates", "learning", "main", "naive_value"]

Floats = NDArray[np.float64]
K = 3
WAYS = ("fixed", "rate", "rate by place", "ours")
_PRIOR = 0.3


@dataclass(frozen=True)
class Desk:
    """The simulated truth: eight scripts on three places, for easy and for hard messages."""

    appeal: Floats
    """How probably an agent who looks at a script accepts it; [kinds of message, scripts]."""
    shown_by: Floats
    """Scores of the ranking that shows; poor scripts stand high where messages are easy. [kinds, scripts]"""
    looked: Floats
    """How probably a place is looked at."""
    temperature: float = 0.6

    @classmethod
    def made(cls, seed: int, scripts: int = 8) -> Desk:
        """A desk whose first ranking shows poor scripts for easy messages, and good ones for hard ones."""
        random = np.random.default_rng(seed)
        good = np.sort(random.uniform(0.15, 0.6, scripts))
        standard = (good - good.mean()) / good.std()
        shown_by = np.stack([-0.6 * standard, 0.6 * standard]) + random.normal(0, 0.2, (2, scripts))
        return cls(np.stack([1.4 * good, 0.5 * good]), shown_by, np.array(EXAMINED[:K]))

    def chances(self, scores: Floats) -> Floats:
        """Of a policy with these scores [kinds, scripts]: [kinds, scripts, places]."""
        return np.stack([position_propensities(row.tolist(), self.temperature, K) for row in scores])

    def value(self, chance: Floats) -> float:
        """Accepted replies per answer of a policy with these chances; both kinds are as frequent."""
        return float((chance * self.appeal[:, :, None] * self.looked).sum() / len(chance))

    def show(self, scores: Floats, answers: int, random: np.random.Generator) -> tuple[Any, Any, Floats]:
        """Kind of each message [answers], scripts shown and what became of them [answers, places]."""
        kinds = random.integers(0, len(scores), answers)
        items = np.array([draw_ranking(scores[kind], self.temperature, K, random) for kind in kinds])
        appeal = self.appeal[kinds[:, None], items]
        return kinds, items, (random.random(items.shape) < appeal * self.looked).astype(np.float64)

    def wanted(self) -> Floats:
        """Scores of the ranking to be judged: good scripts first, whatever the message."""
        good = self.appeal[0] / self.appeal[0].max()
        return np.stack([1.5 * good, 1.5 * good])


def naive_value(kinds: Any, items: Any, reward: Floats, target: Floats) -> float:
    """Acceptance rate of each script as it was shown, wherever and for whatever, put on the other's
    places."""
    scripts = target.shape[1]
    shown = np.bincount(items.ravel(), minlength=scripts)
    accepted = np.bincount(items.ravel(), reward.ravel(), minlength=scripts)
    rate = accepted / np.maximum(shown, 1)
    return float((target[kinds].sum(2) * rate).sum(1).mean())


def _log(desk: Desk, kinds: Any, items: Any, reward: Floats, target: Floats) -> PolicyLog:
    places = np.arange(K)
    chance = desk.chances(desk.shown_by)
    # The outcome model: smoothed acceptance of a script over its displays, by the assumed look at places. It
    # knows nothing of easy and hard, as a real one would miss something. Each half is predicted by the other.
    predicted, expected = np.zeros(items.shape), np.zeros(items.shape)
    half = np.arange(len(items)) % 2 == 0
    for mine, others in ((half, ~half), (~half, half)):
        seen = np.broadcast_to(desk.looked, items[others].shape)
        looked = np.bincount(items[others].ravel(), seen.ravel(), minlength=target.shape[1])
        accepted = np.bincount(items[others].ravel(), reward[others].ravel(), minlength=target.shape[1])
        rate = (10 * _PRIOR + accepted) / (10 + looked)
        predicted[mine] = rate[items[mine]] * desk.looked
        expected[mine] = (target[kinds[mine]] * rate[None, :, None] * desk.looked).sum(1)
    where = (kinds[:, None], items, places)
    return PolicyLog(chance[where], reward, target[where], predicted, expected)


def estimates(desks: int, answers: int, seed: int) -> dict[str, Any]:
    """Error of each estimate of a better ranking's worth, over many desks.

    Returns:
        By estimate the mean error and root mean square error in accepted replies per answer, for intervals
        the share that holds the truth, and how often it says rightly that the other ranking is better.
    """
    errors: dict[str, list[float]] = {name: [] for name in ("as shown", "naive", "ips", "snips", "dr")}
    inside: dict[str, list[bool]] = {name: [] for name in ("ips", "snips", "dr")}
    better: dict[str, list[bool]] = {name: [] for name in ("naive", "ips", "snips", "dr")}
    gain, clipped = [], []
    for number in range(desks):
        random = np.random.default_rng((seed, number))
        desk = Desk.made(seed * 1000 + number)
        kinds, items, reward = desk.show(desk.shown_by, answers, random)
        target = desk.chances(desk.wanted())
        truth = desk.value(target)
        found = estimate(_log(desk, kinds, items, reward, target))
        values = {
            "as shown": found.shown,
            "naive": naive_value(kinds, items, reward, target),
            "ips": found.ips,
            "snips": found.snips,
            "dr": found.dr,
        }
        halves = {"ips": found.ips_half, "snips": found.snips_half, "dr": found.dr_half}
        for name, value in values.items():
            errors[name].append(value - truth)
        for name, half in halves.items():
            inside[name].append(abs(values[name] - truth) <= half)
        for name in better:
            better[name].append(values[name] > found.shown)
        gain.append(truth - desk.value(desk.chances(desk.shown_by)))
        clipped.append(found.clipped)
    return {
        "desks": desks,
        "answers": answers,
        "true_gain": round(float(np.mean(gain)), 4),
        "clipped": round(float(np.mean(clipped)), 4),
        "estimates": {
            name: {
                "bias": round(float(np.mean(values)), 4),
                "rmse": round(float(np.sqrt(np.mean(np.square(values)))), 4),
                **({"covered": round(float(np.mean(inside[name])), 3)} if name in inside else {}),
                **({"says_better": round(float(np.mean(better[name])), 3)} if name in better else {}),
            }
            for name, values in errors.items()
        },
        "errors": {name: [round(value, 4) for value in values] for name, values in errors.items()},
    }


def _scores(prior_scores: Floats, tallies: Mapping[int, Tally]) -> Floats:
    lifts = np.zeros(prior_scores.shape[1])
    reward, looked = (sum(getattr(one, name) for one in tallies.values()) for name in ("reward", "looked"))
    mean = (reward + 3.0) / (looked + 10.0)
    for number, tally in tallies.items():
        rate = acceptance(tally, mean, 10.0)
        lifts[number] = np.clip(np.log(rate / (1 - rate)) - np.log(mean / (1 - mean)), -2, 2)
    return prior_scores + lifts


def learning(desks: int, rounds: int, each: int, seed: int) -> dict[str, list[float]]:
    """Worth of the ranking after each round of answers, mean over desks, as a share of the best possible.

    Ways: "fixed" never learns; "rate" divides by displays; "rate by place" by displays that were looked at;
    "ours" besides weighs each display by its inverse propensity. All are smoothed alike, and see what their
    own ranking showed.
    """
    found: dict[str, list[list[float]]] = {name: [] for name in WAYS}
    for number in range(desks):
        desk = Desk.made(seed * 1000 + number)
        best = desk.value(np.stack([position_propensities(row.tolist(), 0.0, K) for row in desk.appeal]))
        for name, curves in found.items():
            random = np.random.default_rng((seed, number, len(name)))
            scores, curve = desk.shown_by.copy(), []
            found_sums = [np.zeros(scores.shape[1]) for _ in range(4)]
            for _ in range(rounds):
                chance = desk.chances(scores)
                curve.append(desk.value(chance) / best)
                kinds, items, reward = desk.show(scores, each, random)
                weight = np.minimum(1 / chance[kinds[:, None], items, np.arange(K)], MOST_WEIGHT)
                seen = np.broadcast_to(desk.looked, items.shape)
                parts = {
                    "rate": (np.ones(items.shape), np.ones(items.shape)),
                    "rate by place": (np.ones(items.shape), seen),
                    "ours": (weight, seen),
                }
                evidence, looked = parts.get(name, parts["rate"])
                for sums, values in zip(
                    found_sums, (evidence, evidence**2, evidence * reward, evidence * looked), strict=True
                ):
                    sums += np.bincount(items.ravel(), values.ravel(), minlength=len(sums))
                if name != "fixed":
                    tallies = {
                        number: Tally.weighted(*(float(sums[number]) for sums in found_sums))
                        for number in np.flatnonzero(found_sums[0]).tolist()
                    }
                    scores = _scores(desk.shown_by, tallies)
            curves.append(curve)
    return {
        name: [round(value, 4) for value in np.mean(curves, axis=0).tolist()]
        for name, curves in found.items()
    }


def picture(figures: Mapping[str, Any], curves: Mapping[str, Sequence[float]], each: int) -> Picture:
    """Errors of the estimates, and what the desk is worth as it learns."""

    def paint(figure: Any) -> None:
        left, right = figure.subplots(1, 2)
        names = list(figures["errors"])
        left.boxplot([figures["errors"][name] for name in names], orientation="horizontal", widths=0.6)
        left.set_yticks(range(1, len(names) + 1), names)
        left.axvline(0, color="#888", lw=0.8)
        left.invert_yaxis()
        left.set_title("Estimate minus truth, accepted replies per answer")
        for name, curve in curves.items():
            right.plot([each * number for number in range(len(curve))], curve, label=name)
        right.set_title("Worth of the ranking, share of the best possible")
        right.set_xlabel("answers")
        right.legend(frameon=False, loc="center right", bbox_to_anchor=(1.0, 0.68))

    return draw(paint, width=10.0, height=3.6)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print both experiments; write figures and picture."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--desks", type=int, default=100)
    parser.add_argument("--answers", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args(arguments)
    figures = estimates(options.desks, options.answers, options.seed)
    rounds, each = 16, 100
    curves = learning(max(2, options.desks // 4), rounds, each, options.seed)
    table = Table("estimate", "bias", "RMSE", "interval holds truth", "says rightly: better")
    for name, row in figures["estimates"].items():
        rest = (f"{row[key]:.0%}" if key in row else "" for key in ("covered", "says_better"))
        table.add_row(name, f"{row['bias']:+.3f}", f"{row['rmse']:.3f}", *rest)
    console = Console()
    console.print(
        f"{figures['desks']} desks, {figures['answers']} answers each; true gain {figures['true_gain']:+.3f}"
    )
    console.print(table)
    worth = Table("way of learning", "at first", f"after {each * (rounds - 1)} answers")
    for name, curve in curves.items():
        worth.add_row(name, f"{curve[0]:.3f}", f"{curve[-1]:.3f}")
    console.print(worth)
    if options.output:
        kept = {key: value for key, value in figures.items() if key != "errors"}
        write_json(options.output, {**kept, "learning": {"answers_each": each, "worth": curves}})
    if options.picture:
        picture(figures, curves, each).save(options.picture)


if __name__ == "__main__":
    main()
