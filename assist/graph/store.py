"""The graph itself: a catalogue as RDF in an embedded Oxigraph store, and the SPARQL questions to it.

The vocabulary is small and our own (`urn:kefu:shop:`), documented in docs/graph.md; names are rdfs:label,
aliases skos:altLabel, and what is above a kind or coupon is skos:broader.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyoxigraph as ox

from assist.graph.catalogue import Catalogue, Condition
from data.files import atomic_write

__all__ = ["NAMESPACE", "PREFIXES", "Candidate", "GraphStore"]

NAMESPACE = "urn:kefu:shop:"
PREFIXES = {
    "": NAMESPACE,
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
_KEY = re.compile(r"[a-z][a-z0-9_]{0,63}\Z")
_TYPE = ox.NamedNode(PREFIXES["rdf"] + "type")
_LABEL = ox.NamedNode(PREFIXES["rdfs"] + "label")
_COMMENT = ox.NamedNode(PREFIXES["rdfs"] + "comment")
_ALIAS = ox.NamedNode(PREFIXES["skos"] + "altLabel")
_BROADER = ox.NamedNode(PREFIXES["skos"] + "broader")

_VALID = """
  ?rule :question :question_{question} ; :policy ?policy .
  ?policy :validFrom ?from . OPTIONAL {{ ?policy :validUntil ?until }}
  FILTER("{on}"^^xsd:date >= ?from && (!BOUND(?until) || "{on}"^^xsd:date <= ?until))
"""
_RULES = (
    "SELECT DISTINCT ?rule ?scope ?depth WHERE {{"
    + _VALID
    + "  ?rule :appliesTo ?scope . ?scope :depth ?depth . :{entity} (:kind?/skos:broader*) ?scope }}"
)
_PAIR_RULES = (
    "SELECT DISTINCT ?rule ?scope ?depth WHERE {{"
    + _VALID
    + """  ?rule :appliesTo ?scope ; :togetherWith ?other .
  ?scope :depth ?one . ?other :depth ?two . BIND(?one + ?two AS ?depth)
  {{ :{entity} skos:broader* ?scope . :{second} skos:broader* ?other }} UNION
  {{ :{second} skos:broader* ?scope . :{entity} skos:broader* ?other }} }}"""
)
_BELOW = """SELECT DISTINCT ?product WHERE {{ ?product a :Product ; :kind/skos:broader* :{entity} }}
ORDER BY ?product"""
_DEPTH = """SELECT ?entity (COUNT(DISTINCT ?above) AS ?depth)
WHERE { ?entity :kind?/skos:broader* ?above } GROUP BY ?entity"""
_OPERATOR = {"=": "is", "<=": "up_to", "<": "below", ">=": "from", ">": "above"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule that concerns an entity, before its conditions are looked at."""

    rule: str
    scope: str
    """What it applies to: the entity itself or something above it."""
    depth: int
    """How specific that is: 1 for what has nothing above it; the sum of both for two coupons."""


class GraphStore:
    """A catalogue in an Oxigraph store in memory.

    Args:
        catalogue: checked tables.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._store = ox.Store()
        self._store.extend(_quads(catalogue))
        depths = [(row["entity"], row["depth"]) for row in self._rows(_DEPTH)]
        self._store.extend(
            ox.Quad(entity, _node("depth"), depth)
            for entity, depth in depths
            if entity in _entities(catalogue)
        )

    def __len__(self) -> int:
        """Triples."""
        return len(self._store)

    def query(self, sparql: str) -> ox.QuerySolutions | ox.QueryBoolean | ox.QueryTriples:
        """Ask the store in SPARQL 1.1; the prefixes of `PREFIXES` are known.

        Raises:
            ValueError: it is no SPARQL query.
        """
        try:
            return self._store.query(sparql, prefixes=PREFIXES)
        except SyntaxError as error:
            raise ValueError(f"sparql: {error}") from None

    def _rows(self, sparql: str) -> ox.QuerySolutions:
        found = self.query(sparql)
        assert isinstance(found, ox.QuerySolutions)  # these are SELECT queries
        return found

    def rules_for(self, question: str, entity: str, on: date, second: str = "") -> list[Candidate]:
        """Rules of valid policies that concern an entity (or two coupons), in the order of their ids."""
        for key in (question, entity, *filter(None, [second])):
            if not _KEY.match(key):
                raise ValueError(f"{key!r}: is no key of the graph")
        sparql = (_PAIR_RULES if second else _RULES).format(
            question=question, entity=entity, second=second, on=on.isoformat()
        )
        # A rule for two coupons may fit both ways round.
        found: dict[str, Candidate] = {}
        for row in self._rows(sparql):
            rule = _name(row["rule"]).removeprefix("rule_")
            depth = int(row["depth"].value)
            if rule not in found or depth > found[rule].depth:
                found[rule] = Candidate(rule, _name(row["scope"]), depth)
        return [found[key] for key in sorted(found)]

    def products_below(self, entity: str) -> list[str]:
        """Products of a kind and of the kinds below it; of a product itself, none."""
        if not _KEY.match(entity):
            raise ValueError(f"{entity!r}: is no key of the graph")
        return [_name(row["product"]) for row in self._rows(_BELOW.format(entity=entity))]

    def way_up(self, entity: str, scope: str) -> list[str]:
        """The shortest way from an entity up to one above it, both included; [] where there is none."""
        waiting, ways = [entity], {entity: [entity]}
        while waiting:
            one = waiting.pop(0)
            if one == scope:
                return ways[one]
            for parent in self._catalogue.entities[one].parents:
                if parent not in ways:
                    ways[parent] = [*ways[one], parent]
                    waiting.append(parent)
        return []

    def save(self, path: Path | str) -> None:
        """Write the graph as N-Triples, sorted, so that two versions can be compared line by line."""
        lines = sorted(f"{quad.subject} {quad.predicate} {quad.object} ." for quad in self._store)
        with atomic_write(path) as handle:
            handle.write("\n".join(lines) + "\n")


def _node(key: str) -> ox.NamedNode:
    return ox.NamedNode(NAMESPACE + key)


def _name(term: object) -> str:
    assert isinstance(term, ox.NamedNode)  # the queries ask for nodes
    return term.value.removeprefix(NAMESPACE)


def _zh(text: str) -> ox.Literal:
    return ox.Literal(text, language="zh")


def _entities(catalogue: Catalogue) -> set[ox.NamedNode]:
    return {_node(key) for key in catalogue.entities}


def _quads(catalogue: Catalogue) -> Iterator[ox.Quad]:
    for subject, predicate, value in _triples(catalogue):
        yield ox.Quad(subject, predicate, value)


def _triples(catalogue: Catalogue) -> Iterator[tuple[ox.NamedNode, ox.NamedNode, ox.NamedNode | ox.Literal]]:
    conditions: dict[str, Condition] = {}

    def condition(one: Condition) -> ox.NamedNode:
        value = str(one).removeprefix(one.fact + one.operator).replace(".", "_")
        key = f"{one.fact}_{_OPERATOR[one.operator]}_{value}"
        conditions[key] = one
        return _node(f"condition_{key}")

    for entity in catalogue.entities.values():
        node = _node(entity.id)
        yield node, _TYPE, _node(entity.type.capitalize())
        yield node, _LABEL, _zh(entity.zh)
        for alias in entity.aliases:
            yield node, _ALIAS, _zh(alias)
        for parent in entity.parents:
            yield node, _node("kind") if entity.type == "product" else _BROADER, _node(parent)
        for one in entity.sets:
            yield node, _node("sets"), condition(one)
        if entity.price is not None:
            yield node, _node("price"), ox.Literal(entity.price)
    for attribute in catalogue.attributes.values():
        node = _node(f"attribute_{attribute.key}")
        yield node, _TYPE, _node("Attribute")
        yield node, _LABEL, _zh(attribute.zh)
        if attribute.unit:
            yield node, _node("unit"), _zh(attribute.unit)
    for product, has in catalogue.values.items():
        for key, (values, _) in has.items():
            for value in values:
                kind = catalogue.attributes[key].type
                literal = (
                    ox.Literal(float(value)) if kind == "number"
                    else ox.Literal(value == "yes") if kind == "flag" else _zh(value)
                )  # fmt: skip
                yield _node(product), _node(f"attribute_{key}"), literal
    for fact in catalogue.facts.values():
        node = _node(f"fact_{fact.key}")
        yield node, _TYPE, _node("Fact")
        yield node, _LABEL, _zh(fact.zh)
    for policy in catalogue.policies.values():
        node = _node(f"policy_{policy.id}")
        yield node, _TYPE, _node("Policy")
        yield node, _LABEL, _zh(policy.zh)
        yield node, _node("version"), ox.Literal(policy.version)
        for key, day in (("validFrom", policy.valid_from), ("validUntil", policy.valid_until)):
            if day is not None:
                yield (
                    node,
                    _node(key),
                    ox.Literal(day.isoformat(), datatype=ox.NamedNode(PREFIXES["xsd"] + "date")),
                )
    for question in catalogue.questions.values():
        yield _node(f"question_{question.key}"), _TYPE, _node("Question")
        yield _node(f"question_{question.key}"), _LABEL, _zh(question.zh)
    for rule in catalogue.rules.values():
        node = _node(f"rule_{rule.id}")
        yield node, _TYPE, _node("Rule")
        yield node, _COMMENT, _zh(rule.text)
        yield node, _node("question"), _node(f"question_{rule.question}")
        yield node, _node("policy"), _node(f"policy_{rule.policy}")
        yield node, _node("appliesTo"), _node(rule.scope)
        if rule.other:
            yield node, _node("togetherWith"), _node(rule.other)
        for one in rule.conditions:
            yield node, _node("condition"), condition(one)
        yield node, _node("outcome"), ox.Literal(rule.outcome)
        if rule.value:
            yield node, _node("value"), _zh(rule.value)
        for other in rule.exception_of:
            yield node, _node("exceptionOf"), _node(f"rule_{other}")
    for one, then in catalogue.implications:
        yield condition(one), _node("implies"), condition(then)
    for key, one in conditions.items():
        node = _node(f"condition_{key}")
        yield node, _TYPE, _node("Condition")
        yield node, _node("fact"), _node(f"fact_{one.fact}")
        yield node, _node("operator"), ox.Literal(one.operator)
        yield node, _node("operand"), ox.Literal(one.value)
        yield node, _LABEL, _zh(catalogue.facts[one.fact].condition_zh(one))
