"""One question about one entity: which cases there are, what is missing, what is taken for granted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from assist.graph.catalogue import Catalogue, Fact, Question, Rule, Value
from assist.graph.decide import Case, Option, Ranked, close, explore, options
from assist.graph.schema import Answer, MissingCase, MissingFact
from assist.graph.store import GraphStore

__all__ = ["Result", "resolve"]

_WORD: dict[bool | None, Answer] = {True: "yes", False: "no", None: "unknown"}


@dataclass(frozen=True, slots=True)
class Result:
    """The answer on one entity."""

    entity: str
    second: str
    answer: Answer
    known: Mapping[str, Value]
    """What was given or follows from it, of the facts that the rules name."""
    deciding: tuple[Rule, ...] = ()
    """Rules that decide in some case: first those that decide in most cases, then the most specific."""
    one_rule: bool = False
    """The answer is certain, and its first rule decides in most cases."""
    fallen: tuple[Rule, ...] = ()
    missing: tuple[MissingFact, ...] = ()
    assumed: tuple[Fact, ...] = ()
    clash: bool = False
    scopes: Mapping[str, int] = field(default_factory=dict)
    """By deciding rule, how specific its scope is."""

    @property
    def signature(self) -> tuple[object, ...]:
        """Equal for entities of which the same is to be said."""
        return (
            self.answer, tuple(rule.id for rule in self.deciding),
            tuple((one.key, tuple((case.when, case.answer) for case in one.cases)) for one in self.missing),
        )  # fmt: skip


def resolve(
    store: GraphStore, catalogue: Catalogue, question: Question, entity: str, second: str,
    facts: Mapping[str, Value], on: date,
) -> Result:  # fmt: skip
    """Answer a question on an entity (or two coupons) as far as the facts go.

    Args:
        facts: without contradictions (`decide.close`).
    """
    found = store.rules_for(question.key, entity, on, second)
    ranked = [Ranked(catalogue.rules[one.rule], one.depth) for one in found]
    named = {condition.fact for one in ranked for condition in one.rule.conditions}
    closed, _ = close(facts, catalogue.implications)
    open_facts = [fact for key, fact in catalogue.facts.items() if key in named and key not in closed]
    assumed = [fact for fact in open_facts if fact.assume is not None and fact.key not in question.asks]
    unknown = [fact for fact in open_facts if fact not in assumed]
    base: dict[str, Value] = {**closed, **{fact.key: bool(fact.assume) for fact in assumed}}
    cases = explore(ranked, base, unknown, catalogue.implications, question.favour)
    outcomes = {case.verdict.outcome for case in cases}
    answer: Answer = _WORD[outcomes.pop()] if len(outcomes) == 1 else "depends" if outcomes else "unknown"
    missing = _missing(cases, unknown, ranked) if answer == "depends" else ()
    rank = {one.rule.id: (-one.rank[0], -one.rank[1]) for one in ranked}
    deciding = {rule.id: rule for case in cases for rule in case.verdict.deciding}
    often = Counter(rule.id for case in cases for rule in case.verdict.deciding)
    ordered = sorted(deciding.values(), key=lambda rule: (-often[rule.id], rank[rule.id], rule.id))
    fallen = {rule.id: rule for case in cases for rule in case.verdict.fallen if rule.id not in deciding}
    return Result(
        entity, second, answer, {key: value for key, value in closed.items() if key in named},
        tuple(ordered), answer in ("yes", "no") and 2 * often[ordered[0].id] > len(cases),
        tuple(fallen.values()), missing,
        tuple(
            fact for fact in assumed
            if _matters(explore(ranked, base | {fact.key: not fact.assume}, unknown, catalogue.implications,
                                question.favour), cases)
        ),
        any(case.verdict.clash for case in cases), {one.rule.id: one.depth for one in ranked},
    )  # fmt: skip


def _key(case: Case, leave_out: str = "") -> tuple[tuple[str, Value], ...]:
    return tuple((key, value) for key, value in case.facts.items() if key != leave_out)


def _matters(changed: Sequence[Case], cases: Sequence[Case]) -> bool:
    before = {_key(case): case.verdict.outcome for case in cases}
    return any(before.get(_key(case), case.verdict.outcome) != case.verdict.outcome for case in changed)


def _missing(
    cases: Sequence[Case], unknown: Sequence[Fact], ranked: Sequence[Ranked]
) -> tuple[MissingFact, ...]:
    """The facts that alone can turn the answer, those that settle most cases first."""
    found: list[tuple[int, MissingFact]] = []
    for fact in unknown:
        others: dict[tuple[tuple[str, Value], ...], set[bool | None]] = {}
        for case in cases:
            others.setdefault(_key(case, fact.key), set()).add(case.verdict.outcome)
        if all(len(outcomes) == 1 for outcomes in others.values()):
            continue
        told: list[tuple[Option, Answer]] = []
        for option in options(fact, ranked):
            outcomes = {case.verdict.outcome for case in cases if case.facts[fact.key] == option.value}
            if not outcomes:
                continue
            word: Answer = _WORD[outcomes.pop()] if len(outcomes) == 1 else "depends"
            if told and fact.type == "number" and told[-1][1] == word:
                told[-1] = (Option(option.value, told[-1][0].low, option.high), word)
            else:
                told.append((option, word))
        told_zh = [MissingCase(when=option.zh(fact), answer=word) for option, word in told]
        settled = sum(word != "depends" for _, word in told)
        found.append((settled, MissingFact(key=fact.key, ask=fact.ask, cases=told_zh)))
    return tuple(one for _, one in sorted(found, key=lambda one: -one[0]))
