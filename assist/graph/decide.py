"""From rules and known facts to an answer, and to what is missing where there is none.

A rule applies where all its conditions hold. It falls where an exception of it applies and does not fall
itself; so an exception of an exception brings the first rule back. Of the rules that stand, the most specific
decide: first the one for the narrower scope, then the one with more conditions. Where rules of the same rank
disagree, the customer's side wins, and the answer says that they clashed.

Unknown facts are tried in every way that matters: an answer that is the same in all cases needs nobody asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from assist.graph.catalogue import Condition, Fact, Rule, Value, amount_zh

__all__ = ["Case", "Option", "Ranked", "Verdict", "close", "decide", "explore", "options"]

_MOST_CASES = 20_000


@dataclass(frozen=True, slots=True)
class Ranked:
    """A rule that concerns the question's entity."""

    rule: Rule
    depth: int
    """How specific its scope is."""

    @property
    def rank(self) -> tuple[int, int]:
        """The higher, the more specific."""
        return self.depth, len(self.rule.conditions)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What rules say where every fact is known."""

    outcome: bool | None
    """None: no rule applies."""
    deciding: tuple[Rule, ...] = ()
    """The rules of the highest rank with this outcome."""
    fallen: tuple[Rule, ...] = ()
    """Rules that apply and are overridden by an exception."""
    clash: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One way in which the unknown facts may be, and its verdict."""

    facts: Mapping[str, Value]
    verdict: Verdict


def decide(rules: Sequence[Ranked], facts: Mapping[str, Value], favour: bool) -> Verdict:
    """The verdict where the facts of all conditions are known.

    Args:
        rules: those that concern the entity; exceptions that are not among them do not count.
        facts: a value for each fact that a condition names.
        favour: the outcome that wins a clash.

    Raises:
        KeyError: a fact is missing.
    """
    return _judge(_applying(rules, facts), favour)


def _judge(applying: Sequence[Ranked], favour: bool) -> Verdict:
    names = {one.rule.id: one for one in applying}
    over: dict[str, list[str]] = {key: [] for key in names}
    for one in applying:
        for other in one.rule.exception_of:
            if other in over:
                over[other].append(one.rule.id)
    standing: dict[str, bool] = {}

    def stands(key: str) -> bool:
        if key not in standing:
            standing[key] = not any(stands(exception) for exception in over[key])
        return standing[key]

    left = [one for one in applying if stands(one.rule.id)]
    fallen = tuple(one.rule for one in applying if not stands(one.rule.id))
    if not left:
        return Verdict(None, (), fallen)
    best = max(one.rank for one in left)
    top = [one.rule for one in left if one.rank == best]
    outcomes = {rule.outcome for rule in top}
    outcome = favour if len(outcomes) > 1 else outcomes.pop()
    deciding = tuple(rule for rule in top if rule.outcome == outcome)
    return Verdict(outcome, deciding, fallen, clash=len(deciding) < len(top))


def close(
    facts: Mapping[str, Value], implications: Sequence[tuple[Condition, Condition]]
) -> tuple[dict[str, Value], str]:
    """Facts with everything that follows from them.

    "Not opened" implies "not used", and so "used" implies "opened".

    Returns:
        The facts and "", or, where they contradict one another, "used=yes contradicts opened=no".
    """
    found = dict(facts)
    steps = [(one, then) for one, then in implications]
    steps += [(_other(then), _other(one)) for one, then in implications]
    changed = True
    while changed:
        changed = False
        for one, then in steps:
            if one.fact in found and one.holds(found[one.fact]):
                if then.fact not in found:
                    found[then.fact] = then.value
                    changed = True
                elif not then.holds(found[then.fact]):
                    return found, f"{_other(then)} contradicts {one}"
    return found, ""


def _other(condition: Condition) -> Condition:
    return Condition(condition.fact, "=", not condition.value)


Limit = tuple[float, bool]
"""Of a stretch of numbers, and whether the limit belongs to the stretch below it."""


@dataclass(frozen=True, slots=True)
class Option:
    """One value of an unknown fact that stands for all that make the same difference."""

    value: Value
    low: Limit | None = None
    high: Limit | None = None

    def zh(self, fact: Fact) -> str:
        """The case in Chinese: "未拆封", "签收后超过7天、不超过15天"."""
        if fact.type == "flag":
            return fact.value_zh(self.value)
        parts = []
        if self.low is not None:
            parts.append(f"{'超过' if self.low[1] else '满'}{amount_zh(self.low[0])}{fact.unit}")
        if self.high is not None:
            words = "不超过" if self.high[1] else "不满"
            parts.append(f"{words}{amount_zh(self.high[0])}{fact.unit}")
        return f"{fact.zh.removesuffix('天数')}{'、'.join(parts)}"


def options(fact: Fact, rules: Sequence[Ranked]) -> list[Option]:
    """The values of an unknown fact that make a difference.

    Of a number: one value of each stretch between the limits that the rules' conditions name, ascending.
    """
    if fact.type == "flag":
        return [Option(True), Option(False)]
    conditions = [c for one in rules for c in one.rule.conditions if c.fact == fact.key]
    # A limit belongs to the stretch below it (<=, >) or above it (>=, <).
    cuts = sorted({(float(c.value), c.operator in ("<=", ">")) for c in conditions})
    found: list[Option] = []
    for index in range(len(cuts) + 1):
        low = cuts[index - 1] if index else None
        high = cuts[index] if index < len(cuts) else None
        begin = low[0] if low else 0.0
        if high is not None and high[1]:
            value = high[0]
        elif low is not None and not low[1]:
            value = begin
        else:
            value = begin + 0.5 if high is None else (begin + high[0]) / 2
        found.append(Option(value, low, high))
    return found


def explore(
    rules: Sequence[Ranked],
    facts: Mapping[str, Value],
    unknown: Sequence[Fact],
    implications: Sequence[tuple[Condition, Condition]],
    favour: bool,
) -> list[Case]:
    """Every way in which the unknown facts may be that contradicts nothing, with its verdict.

    Args:
        implications: with those that follow from two others.

    Raises:
        ValueError: more than 20,000 cases; the rules ask for too many facts at once.
    """
    choices = [[option.value for option in options(fact, rules)] for fact in unknown]
    count = 1
    for values in choices:
        count *= len(values)
    if count > _MOST_CASES:
        raise ValueError(
            f"rules: {count} cases of {', '.join(f.key for f in unknown)}; assume some of these facts"
        )
    names = [fact.key for fact in unknown]
    known = {*facts, *names}
    checks = [pair for pair in implications if pair[0].fact in known and pair[1].fact in known]
    # Many cases have the same rules apply: each such set is decided once.
    decided: dict[tuple[str, ...], Verdict] = {}
    found: list[Case] = []
    for chosen_values in product(*choices):
        chosen = dict(zip(names, chosen_values, strict=True))
        whole = {**facts, **chosen}
        if any(one.holds(whole[one.fact]) and not then.holds(whole[then.fact]) for one, then in checks):
            continue
        applying = _applying(rules, whole)
        key = tuple(one.rule.id for one in applying)
        if key not in decided:
            decided[key] = _judge(applying, favour)
        found.append(Case(chosen, decided[key]))
    return found


def _applying(rules: Sequence[Ranked], facts: Mapping[str, Value]) -> list[Ranked]:
    return [
        one
        for one in rules
        if all(condition.holds(facts[condition.fact]) for condition in one.rule.conditions)
    ]
