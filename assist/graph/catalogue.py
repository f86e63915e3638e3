"""What a shop's tables say, typed: entities, attributes, facts, policies, questions, rules."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

__all__ = [
    "Attribute",
    "Catalogue",
    "Condition",
    "Entity",
    "Fact",
    "Policy",
    "Question",
    "Rule",
    "Value",
    "amount_zh",
]

Value = bool | float
"""Of a fact: yes or no, or a number in the fact's unit."""


def amount_zh(number: float) -> str:
    """A number as people write it: 7, 1.7."""
    return f"{number:g}"


@dataclass(frozen=True, slots=True)
class Condition:
    """What must hold of one fact: `opened=yes`, `days_since_signed<=7`."""

    fact: str
    operator: str
    """One of = <= < >= >."""
    value: Value

    def holds(self, value: Value) -> bool:
        """Whether the condition holds where the fact has this value."""
        if self.operator == "=":
            return value == self.value
        number, limit = float(value), float(self.value)
        if self.operator == "<=":
            return number <= limit
        if self.operator == "<":
            return number < limit
        return number >= limit if self.operator == ">=" else number > limit

    def __str__(self) -> str:
        if isinstance(self.value, bool):
            return f"{self.fact}={'yes' if self.value else 'no'}"
        return f"{self.fact}{self.operator}{amount_zh(self.value)}"


@dataclass(frozen=True, slots=True)
class Fact:
    """Something about an order that rules may ask for."""

    key: str
    zh: str
    type: str
    """"flag" or "number"."""
    unit: str
    assume: bool | None
    """What is taken for granted while nobody speaks of it; None: it must be known."""
    ask: str
    """The question to the customer."""
    yes_zh: str
    no_zh: str
    said_yes: re.Pattern[str] | None
    said_no: re.Pattern[str] | None

    def value_zh(self, value: Value) -> str:
        """The fact with a value, readable: "已拆封", "签收后天数是3天"."""
        if self.type == "flag":
            return self.yes_zh if value else self.no_zh
        return f"{self.zh}是{amount_zh(float(value))}{self.unit}"

    def condition_zh(self, condition: Condition) -> str:
        """A condition on this fact, readable: "签收后天数 ≤ 7天"."""
        if self.type == "flag":
            return self.yes_zh if condition.value else self.no_zh
        sign = {"<=": "≤", ">=": "≥"}.get(condition.operator, condition.operator)
        return f"{self.zh} {sign} {amount_zh(float(condition.value))}{self.unit}"


@dataclass(frozen=True, slots=True)
class Entity:
    """A product, a kind of products, or a coupon."""

    id: str
    type: str
    """"product", "kind" or "coupon"."""
    zh: str
    aliases: tuple[str, ...]
    parents: tuple[str, ...]
    sets: tuple[Condition, ...] = ()
    """Facts that hold of everything of this kind."""
    price: float | None = None


@dataclass(frozen=True, slots=True)
class Attribute:
    """Something that a product has, with its way of being asked for."""

    key: str
    zh: str
    type: str
    """"number", "flag" or "set"."""
    unit: str
    closed: bool
    """Of a set: what is not listed does not fit; otherwise nobody knows."""
    aliases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy of the shop with its version and the days for which it is valid, both included."""

    id: str
    zh: str
    version: str
    valid_from: date
    valid_until: date | None


@dataclass(frozen=True, slots=True)
class Question:
    """A kind of question."""

    key: str
    zh: str
    about: str
    """"product", "coupons" or "attribute"."""
    favour: bool
    """The outcome that is in the customer's favour."""
    asks: frozenset[str]
    """Facts that must be known here although they are usually assumed."""
    categories: frozenset[str]
    """Message categories that ask it."""
    yes_zh: str
    no_zh: str
    pattern: re.Pattern[str] | None


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; an exception is a rule that names the rules it overrides."""

    id: str
    question: str
    policy: str
    scope: str
    """The product, kind or coupon it applies to, with everything below."""
    other: str
    """The second coupon; empty elsewhere."""
    conditions: tuple[Condition, ...]
    outcome: bool
    value: str
    exception_of: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Catalogue:
    """All of it, checked by `assist.graph.load`."""

    entities: Mapping[str, Entity]
    attributes: Mapping[str, Attribute]
    values: Mapping[str, Mapping[str, tuple[tuple[str, ...], str]]]
    """By product and attribute: the values and a note."""
    facts: Mapping[str, Fact]
    implications: tuple[tuple[Condition, Condition], ...]
    policies: Mapping[str, Policy]
    questions: Mapping[str, Question]
    rules: Mapping[str, Rule]
    version: str
    exceptions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By rule, the ids of the rules that override it."""

    def ancestors(self, entity: str) -> set[str]:
        """The entity and everything above it."""
        found: set[str] = set()
        waiting = [entity]
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting.extend(self.entities[one].parents)
        return found
