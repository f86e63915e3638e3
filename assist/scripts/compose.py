"""Complete replies in three parts: 问候 + (安抚) + 解决方案 + 结束.

A solution is given; opening, soothing and closing are chosen so that nothing clashes (`compliance`) and the
tone is one. The choice depends on the seed only, so a reply can be made again from its id. Feelings first:
complaints are soothed by LAMA (listen, apologise, make it right, appreciate), agitated customers by HEAT
(hear, empathise, apologise, take action); most of making it right is the solution's part.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from assist.scripts.compliance import Compliance, Issue, load_compliance
from assist.scripts.library import Library, Script
from assist.scripts.slots import SlotValues, find_slots
from data.example import Turn
from data.taxonomy import Taxonomy, load_taxonomy

__all__ = ["Composer", "Part", "Reply", "soothing_plans"]

_AGITATED = ("angry", "anxious")
# Steps before the solution, by method and by how loud the alert is; a seed chooses among the sequences.
_PLANS: dict[str, dict[int, tuple[tuple[str, ...], ...]]] = {
    "LAMA": {
        1: (("listen",), ("apologise",)),
        2: (("listen", "apologise"), ("apologise", "make_right")),
        3: (("listen", "apologise"), ("apologise", "make_right")),
    },
    "HEAT": {
        1: (("empathise",), ("hear",)),
        2: (("empathise", "apologise"), ("hear", "apologise")),
        3: (("empathise", "apologise"), ("hear", "apologise"), ("apologise", "take_action")),
    },
}
_REMEMBERED = 300_000
"""Judged pairs that are kept: all of a library of some thousand scripts."""
_OCCASION = re.compile(r"时用|才用|才能发|时先|时改用|过才|之后用|后用")
_STOPS = "。！？!?…"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a reply."""

    stage: str
    """opening, soothing, solution or closing."""
    id: str
    """Of its script."""
    text: str
    """With its slots filled."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete reply for the agent to send or to edit."""

    text: str
    """Open slots stand in it as 【订单号】."""
    parts: tuple[Part, ...]
    tone: str
    filled: dict[str, str]
    """Slots that were filled, by name."""
    missing: tuple[str, ...]
    """Names of slots still open, in their order."""
    withheld: tuple[str, ...]
    """Those of them whose value is known but personal data."""
    notes: tuple[str, ...]
    """What to check before sending, in Chinese."""
    issues: tuple[Issue, ...]
    """Why it should not be sent; empty for every solution that suits the alert (`Composer.suits`)."""


def soothing_plans(alert: int, emotion: str, negative: bool) -> tuple[str, tuple[tuple[str, ...], ...]]:
    """Method and possible sequences of steps that an alert asks for; none below level 1.

    Args:
        alert: 0 to 3.
        emotion: key of the feeling.
        negative: whether the label schema calls it negative.

    Returns:
        LAMA or HEAT, and sequences of steps before the solution.
    """
    if alert < 1 or (alert < 2 and not negative):
        return "", ()
    method = "HEAT" if emotion in _AGITATED or alert >= 3 else "LAMA"
    return method, _PLANS[method][min(alert, 3)]


class Composer:
    """Makes replies of a library's parts.

    Args:
        library: the scripts.
        compliance: the rules; the embedded ones when None.
        taxonomy: the label schema; the embedded one when None.
    """

    def __init__(
        self, library: Library, compliance: Compliance | None = None, taxonomy: Taxonomy | None = None
    ) -> None:
        self.library = library
        self.compliance = compliance or load_compliance()
        self._taxonomy = taxonomy or load_taxonomy()
        self._clash: dict[tuple[str, str], bool] = {}
        self._accepted: dict[tuple[str, str, int], bool] = {}

    def suits(self, solution: Script, alert: int) -> bool:
        """Whether a solution may be sent at an alert level: nothing lively to an upset customer."""
        return not self.compliance.misfits(solution, None, alert)

    def compose(
        self,
        solution: Script,
        *,
        seed: str | int,
        alert: int = 0,
        emotion: str = "neutral",
        tone: str | None = None,
        context: Sequence[Turn] = (),
        values: SlotValues | None = None,
    ) -> Reply:
        """A complete reply around a solution.

        Args:
            solution: the middle part.
            seed: the same seed, solution and mood give the same reply.
            alert: level of the message, 0 to 3.
            emotion: key of its feeling.
            tone: of the shop; the solution's own when None. It is a wish: parts of another tone stand in
                where none fits, but formal and lively never meet.
            context: the turns before, oldest first. Where the agent spoke already, no opening comes; where
                the agent's latest turn apologised, no second apology.
            values: what fills the slots; nothing when None.

        Raises:
            ValueError: `solution` is no solution, or `alert`, `emotion` are not of the label schema.
        """
        if solution.kind != "solution":
            raise ValueError(f"solution: {solution.id} is of kind {solution.kind}; give a solution")
        if alert not in {level.level for level in self._taxonomy.alerts}:
            raise ValueError(f"alert: {alert!r} is no level of the label schema")
        if emotion not in self._taxonomy.emotion:
            raise ValueError(f"emotion: {emotion!r} is no emotion of the label schema")
        wanted = tone or solution.tone
        running = any(turn.role == "agent" for turn in context)
        last = next((turn.text for turn in reversed(context) if turn.role == "agent"), "")
        sorry = "apology" in self.compliance.says(last)
        order = _Order(f"{seed}\n{solution.id}\n{alert}\n{emotion}", wanted)
        chosen = [solution]
        for choices in self._forms(solution, alert, emotion, running, sorry, order):
            # A stage without any candidate would be noticed only after trying everything before it.
            if not all(
                any(part is solution or self.accepts(part, solution, alert) for part in pool)
                for pool in choices
            ):
                continue
            if (found := self._first_fit([], choices, solution, alert)) is not None:
                chosen = found
                break
        stages = _stages(chosen)
        filled, notes = [], []
        values = values or find_slots(())
        for script in chosen:
            filled.append(values.fill(_ended(script.text)))
            if script.note and script.note not in notes:
                notes.append(script.note)
        text = "".join(one.text for one in filled)
        return Reply(
            text=text,
            parts=tuple(
                Part(stage, script.id, one.text)
                for stage, script, one in zip(stages, chosen, filled, strict=True)
            ),
            tone=wanted,
            filled={name: value for one in filled for name, value in one.filled.items()},
            missing=tuple(dict.fromkeys(name for one in filled for name in one.missing)),
            withheld=tuple(dict.fromkeys(name for one in filled for name in one.withheld)),
            notes=tuple(notes),
            issues=tuple(self.compliance.misfits(solution, None, alert)),
        )

    def plans(self, alert: int, emotion: str, category: str) -> tuple[str, str, tuple[tuple[str, ...], ...]]:
        """Method, the feeling that is answered, and possible steps (`soothing_plans`) before a solution."""
        negative = self._taxonomy.emotion[emotion].polarity == "negative"
        if alert == 0 and emotion == "positive" and category == "thanks_closing":
            return "LAMA", emotion, (("appreciate",),)
        method, plans = soothing_plans(alert, emotion, negative)
        # A calm message may raise an alert by what it says (12315): spoken to as to a dissatisfied customer.
        return method, emotion if negative else "dissatisfied", plans

    def clash(self, one: Script, other: Script) -> bool:
        """Whether two parts cannot stand in one reply."""
        if "solution" in (one.kind, other.kind):
            return bool(self.compliance.clashes(one, other))
        key = (one.id, other.id) if one.id < other.id else (other.id, one.id)
        if key not in self._clash:
            self._clash[key] = bool(self.compliance.clashes(one, other))
        return self._clash[key]

    def accepts(self, part: Script, solution: Script, alert: int) -> bool:
        """Whether an opening, closing or soothing text may stand with a solution at an alert level."""
        # The cheapest questions first: most parts are of another alert level or category.
        if alert not in part.alerts or (part.after and solution.category not in part.after):
            return False
        key = (part.id, solution.id, alert)
        known = self._accepted.get(key)
        if known is None:
            known = not self.compliance.misfits(part, solution, alert) and not self.clash(part, solution)
            if len(self._accepted) < _REMEMBERED:
                self._accepted[key] = known
        return known

    def soothing(self, alert: int, emotion: str, method: str, step: str) -> list[Script]:
        """Texts of one soothing step for a feeling and an alert level."""
        return [
            part
            for part in self.library.soothing
            if (part.method, part.step) == (method, step)
            and emotion in part.emotions
            and alert in part.alerts
        ]

    def closings(self, alert: int, emotion: str, method: str) -> list[Script]:
        """What may end a reply: a closing, or in LAMA, whose last letter it is, thanks for having spoken."""
        ends = [part for part in self.library.closings if alert in part.alerts]
        if method == "LAMA" and alert >= 2:
            ends += self.soothing(alert, emotion, method, "appreciate")
        return ends

    def _forms(
        self, solution: Script, alert: int, emotion: str, running: bool, sorry: bool, order: _Order
    ) -> Iterator[list[list[Script]]]:
        """What to choose from, part by part: the wanted form first, poorer ones after it."""
        method, feeling, plans = self.plans(alert, emotion, solution.category or "")
        soothing: list[list[list[Script]]] = []
        for steps in order.shuffled(plans):
            if sorry:
                steps = tuple(step for step in steps if step != "apologise")
            texts = [order.sorted(self.soothing(alert, feeling, method, step)) for step in steps]
            soothing.append([one for one in texts if one])
        soothing = soothing or [[]]
        opening = (
            [] if running else [order.sorted(one for one in self.library.openings if alert in one.alerts)]
        )
        closing = [order.sorted(self.closings(alert, feeling, method))]
        for before in soothing:
            yield [*opening, *before, [solution], *closing]
        for before in soothing:
            yield [*opening, *before[:1], [solution], *closing]
        for before in soothing:
            yield [*before[:1], [solution], *closing]
        for before in soothing:
            yield [*before[:1], [solution]]

    def _first_fit(
        self, chosen: list[Script], choices: list[list[Script]], solution: Script, alert: int
    ) -> list[Script] | None:
        if not choices:
            return chosen
        for part in choices[0]:
            if part is not solution and (
                not self.accepts(part, solution, alert)
                or any(self.clash(part, other) for other in chosen if other is not solution)
            ):
                continue
            if (found := self._first_fit([*chosen, part], choices[1:], solution, alert)) is not None:
                return found
        return None


class _Order:
    """A shuffling that depends on a key only; texts of the wanted tone and for every occasion come first."""

    def __init__(self, key: str, tone: str) -> None:
        self._key = key
        self._tone = tone

    def sorted(self, parts: Iterable[Script]) -> list[Script]:
        return sorted(
            parts, key=lambda part: (part.tone != self._tone, _is_special(part), self._rank(part.id))
        )

    def shuffled(self, plans: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
        return sorted(plans, key=lambda plan: self._rank(" ".join(plan)))

    def _rank(self, name: str) -> bytes:
        return hashlib.blake2b(f"{self._key}\n{name}".encode(), digest_size=8).digest()


def _is_special(part: Script) -> bool:
    # Such a note names an occasion (顾客夸奖时用), which a composer cannot see; others name a duty.
    return _OCCASION.search(part.note) is not None


def _stages(parts: Sequence[Script]) -> list[str]:
    """Stages of parts in their order: what soothes after the solution closes the reply."""
    stages: list[str] = []
    for part in parts:
        ends = part.kind == "soothing" and "solution" in stages
        stages.append("closing" if ends else part.kind)
    return stages


def _ended(text: str) -> str:
    last = text[-1]
    return text if last in _STOPS or not (last.isalnum() or last in "”’）)}") else text + "。"
