"""From tables to a checked catalogue: references are followed, a wrong cell named by file, line, column."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import get_args

from assist.graph.catalogue import Attribute, Catalogue, Condition, Entity, Fact, Policy, Question, Rule
from assist.graph.schema import QuestionKey
from assist.graph.tables import DEMO_SHOP, Row, Tables, read_tables
from data.taxonomy import load_taxonomy

__all__ = ["load_catalogue", "parse_catalogue"]

_CONDITION = re.compile(r"([a-z][a-z0-9_]*)\s*(<=|>=|<|>|=)\s*(yes|no|\d+(?:\.\d+)?)\Z")
_RESERVED = {"product", "coupons", "attribute"}


def load_catalogue(folder: Path | str = DEMO_SHOP) -> Catalogue:
    """Read and check the tables of a folder.

    Raises:
        TableError: names file, line and column of the first wrong cell.
    """
    return parse_catalogue(read_tables(folder))


def parse_catalogue(tables: Tables) -> Catalogue:
    """Check tables against one another.

    Raises:
        TableError: names file, line and column of the first wrong cell.
    """
    facts = {row["key"]: _fact(row) for row in tables["facts"]}
    entities = _entities(tables, facts)
    attributes = {row["key"]: _attribute(row) for row in tables["attributes"]}
    policies = {row["id"]: _policy(row) for row in tables["policies"]}
    categories = _categories()
    questions = {row["key"]: _question(row, facts, categories) for row in tables["questions"]}
    rules = {row["id"]: _rule(row, tables, entities, facts, policies, questions) for row in tables["rules"]}
    catalogue = Catalogue(
        entities,
        attributes,
        _values(tables, entities, attributes),
        facts,
        _implications(tables, facts),
        policies,
        questions,
        rules,
        tables.version,
        {
            rule: tuple(one.id for one in rules.values() if rule in one.exception_of)
            for rule in rules
        },
    )  # fmt: skip
    _check_exceptions(tables, catalogue)
    return catalogue


@lru_cache(maxsize=1)
def _categories() -> frozenset[str]:
    return frozenset(load_taxonomy().category)


def _choice(row: Row, column: str, known: tuple[str, ...]) -> str:
    if row[column] not in known:
        row.fail(column, f"{row[column]!r} is not one of {', '.join(name or '(empty)' for name in known)}")
    return row[column]


def _pattern(row: Row, column: str) -> re.Pattern[str] | None:
    try:
        found = re.compile(row[column]) if row[column] else None
    except re.error as error:
        row.fail(column, f"is no regular expression ({error})")
    if found is not None and found.search(""):
        row.fail(column, "matches the empty text")
    return found


def _condition(row: Row, column: str, text: str, facts: Mapping[str, Fact]) -> Condition:
    match = _CONDITION.match(text.strip())
    if not match:
        row.fail(column, f"{text!r} is no condition such as opened=yes or days_since_signed<=7")
    key, operator, value = match.groups()
    if key not in facts:
        row.fail(column, f"{key!r} is no fact of facts.csv")
    flag = facts[key].type == "flag"
    if flag != (value in ("yes", "no")) or (flag and operator != "="):
        row.fail(column, f"{text!r}: {key} is a {facts[key].type}")
    return Condition(key, operator, value == "yes" if flag else float(value))


def _conditions(row: Row, column: str, facts: Mapping[str, Fact]) -> tuple[Condition, ...]:
    return tuple(_condition(row, column, part, facts) for part in row[column].split(";") if part.strip())


def _implications(tables: Tables, facts: Mapping[str, Fact]) -> tuple[tuple[Condition, Condition], ...]:
    """Those of the table and those that follow: if a implies b and b implies c, a implies c."""
    found: list[tuple[Condition, Condition]] = []
    for row in tables["implications"]:
        pair = (_condition(row, "if", row["if"], facts), _condition(row, "then", row["then"], facts))
        for column, one in zip(("if", "then"), pair, strict=True):
            if facts[one.fact].type != "flag":
                row.fail(column, f"{one}: only flags imply one another")
        found.append(pair)
    for one, then in found:  # grows while it is read
        for other, last in tuple(found):
            if other == then and last != one and (one, last) not in found:
                found.append((one, last))
    return tuple(found)


def _fact(row: Row) -> Fact:
    kind = _choice(row, "type", ("flag", "number"))
    assume = _choice(row, "assume", ("", "yes", "no"))
    if row["key"] in _RESERVED:
        row.fail("key", f"{row['key']!r} has a meaning of its own in answers")
    if kind == "flag" and not (row["yes_zh"] and row["no_zh"]):
        row.fail("yes_zh" if not row["yes_zh"] else "no_zh", "a flag needs words for yes and for no")
    if kind == "number" and (assume or not row["unit"]):
        row.fail("assume" if assume else "unit", "a number has a unit and is never assumed")
    return Fact(
        row["key"], row["zh"], kind, row["unit"], None if not assume else assume == "yes", row["ask"],
        row["yes_zh"], row["no_zh"], _pattern(row, "said_yes"), _pattern(row, "said_no"),
    )  # fmt: skip


def _entities(tables: Tables, facts: Mapping[str, Fact]) -> dict[str, Entity]:
    found: dict[str, Entity] = {}
    where: dict[str, Row] = {}

    def add(row: Row, entity: Entity) -> None:
        if entity.id in found:
            row.fail("id", f"{entity.id!r} is taken in {where[entity.id].file}:{where[entity.id].line}")
        found[entity.id], where[entity.id] = entity, row

    for row in tables["kinds"]:
        sets = _conditions(row, "sets", facts)
        for one in sets:
            if one.operator != "=":
                row.fail("sets", f"{one}: a kind can set yes or no only")
        parents = (row["parent"],) if row["parent"] else ()
        add(row, Entity(row["id"], "kind", row["zh"], tuple(row.parts("aliases")), parents, sets))
    for row in tables["products"]:
        price = _number(row, "price")
        kinds = tuple(row.parts("kinds"))
        add(row, Entity(row["id"], "product", row["zh"], tuple(row.parts("aliases")), kinds, (), price))
    for row in tables["coupons"]:
        parents = (row["parent"],) if row["parent"] else ()
        add(row, Entity(row["id"], "coupon", row["zh"], tuple(row.parts("aliases")), parents))
    for key, entity in found.items():
        column = "kinds" if entity.type == "product" else "parent"
        wanted = "coupon" if entity.type == "coupon" else "kind"
        for parent in entity.parents:
            if parent not in found or found[parent].type != wanted:
                where[key].fail(column, f"{parent!r} is no {wanted} of {wanted}s.csv")
        _no_circle(key, found, where[key], column)
    return found


def _no_circle(key: str, entities: Mapping[str, Entity], row: Row, column: str) -> None:
    waiting, seen = list(entities[key].parents), set[str]()
    while waiting:
        one = waiting.pop()
        if one == key:
            row.fail(column, f"{key!r} is above itself")
        if one not in seen and one in entities:
            seen.add(one)
            waiting.extend(entities[one].parents)


def _number(row: Row, column: str, text: str | None = None) -> float:
    raw = row[column] if text is None else text
    try:
        number = float(raw)
    except ValueError:
        row.fail(column, f"{raw!r} is no number")
    if not math.isfinite(number) or number < 0:
        row.fail(column, f"{raw!r} must be finite and not negative")
    return number


def _attribute(row: Row) -> Attribute:
    kind = _choice(row, "type", ("number", "flag", "set"))
    closed = _choice(row, "closed", ("", "yes", "no"))
    return Attribute(row["key"], row["zh"], kind, row["unit"], closed == "yes", tuple(row.parts("aliases")))


def _values(
    tables: Tables, entities: Mapping[str, Entity], attributes: Mapping[str, Attribute]
) -> dict[str, dict[str, tuple[tuple[str, ...], str]]]:
    found: dict[str, dict[str, tuple[tuple[str, ...], str]]] = {}
    for row in tables["product_attributes"]:
        product, key = row["product"], row["attribute"]
        if product not in entities or entities[product].type != "product":
            row.fail("product", f"{product!r} is no product of products.csv")
        if key not in attributes:
            row.fail("attribute", f"{key!r} is no attribute of attributes.csv")
        if key in found.setdefault(product, {}):
            row.fail("attribute", f"{product} has two rows for {key}; put the values in one, separated by |")
        values = tuple(row.parts("value"))
        if attributes[key].type == "number":
            _number(row, "value")
        elif attributes[key].type == "flag":
            _choice(row, "value", ("yes", "no"))
        found[product][key] = (values, row["note"])
    return found


def _policy(row: Row) -> Policy:
    def day(column: str) -> date:
        try:
            return date.fromisoformat(row[column])
        except ValueError:
            row.fail(column, f"{row[column]!r} is no day such as 2026-11-20")

    begin = day("valid_from")
    until = day("valid_until") if row["valid_until"] else None
    if until is not None and until < begin:
        row.fail("valid_until", "is before valid_from")
    return Policy(row["id"], row["zh"], row["version"], begin, until)


def _question(row: Row, facts: Mapping[str, Fact], categories: frozenset[str]) -> Question:
    _choice(row, "key", get_args(QuestionKey))
    for key in row.parts("asks"):
        if key not in facts:
            row.fail("asks", f"{key!r} is no fact of facts.csv")
    for key in row.parts("categories"):
        if key not in categories:
            row.fail("categories", f"{key!r} is no category of the label schema")
    return Question(
        row["key"], row["zh"], _choice(row, "about", ("product", "coupons", "attribute")),
        _choice(row, "favour", ("yes", "no")) == "yes", frozenset(row.parts("asks")),
        frozenset(row.parts("categories")), row["yes_zh"], row["no_zh"], _pattern(row, "patterns"),
    )  # fmt: skip


def _rule(
    row: Row, tables: Tables, entities: Mapping[str, Entity], facts: Mapping[str, Fact],
    policies: Mapping[str, Policy], questions: Mapping[str, Question],
) -> Rule:  # fmt: skip
    if row["question"] not in questions:
        row.fail("question", f"{row['question']!r} is no question of questions.csv")
    if row["policy"] not in policies:
        row.fail("policy", f"{row['policy']!r} is no policy of policies.csv")
    coupons = questions[row["question"]].about == "coupons"
    for column in ("applies_to", "with"):
        key = row[column]
        if column == "with" and not coupons:
            if key:
                row.fail("with", "is for rules on two coupons only")
            continue
        if key not in entities or (entities[key].type == "coupon") != coupons:
            row.fail(column, f"{key!r} is no {'coupon' if coupons else 'product or kind'} of the tables")
    known = {other["id"] for other in tables["rules"]}
    for other in row.parts("exception_of"):
        if other not in known:
            row.fail("exception_of", f"{other!r} is no rule of rules.csv")
    return Rule(
        row["id"], row["question"], row["policy"], row["applies_to"], row["with"],
        _conditions(row, "when", facts), _choice(row, "outcome", ("yes", "no")) == "yes", row["value"],
        tuple(row.parts("exception_of")), row["text"],
    )  # fmt: skip


def _check_exceptions(tables: Tables, catalogue: Catalogue) -> None:
    """An exception is of the same question, not about something else, and not its own exception."""
    rows = tables.keyed("rules")
    for rule in catalogue.rules.values():
        for other_id in rule.exception_of:
            other = catalogue.rules[other_id]
            if other.question != rule.question:
                rows[rule.id].fail(
                    "exception_of", f"{other_id!r} answers another question ({other.question})"
                )
            if not _meet(catalogue, rule.scope, other.scope):
                rows[rule.id].fail("exception_of", f"{other_id!r} applies to something else ({other.scope})")
        waiting, seen = list(rule.exception_of), set[str]()
        while waiting:
            one = waiting.pop()
            if one == rule.id:
                rows[rule.id].fail("exception_of", "is, step by step, an exception of itself")
            if one not in seen:
                seen.add(one)
                waiting.extend(catalogue.rules[one].exception_of)


def _meet(catalogue: Catalogue, one: str, other: str) -> bool:
    """Whether something falls under both."""
    return any({one, other} <= catalogue.ancestors(key) for key in catalogue.entities)
