"""Rules and exceptions: the semantics, held to properties."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assist.graph.catalogue import Condition, Fact, Rule
from assist.graph.decide import Ranked, close, decide, explore, options

FLAGS = ("a", "b", "c")


def flag(key):
    return Fact(key, key, "flag", "", None, f"{key}?", f"是{key}", f"非{key}", None, None)


def rule(key, outcome, conditions=(), over=(), depth=1):
    return Ranked(Rule(key, "q", "p", "s", "", tuple(conditions), outcome, "", tuple(over), key), depth)


def is_(fact, value=True):
    return Condition(fact, "=", value)


def test_an_exception_overrides_and_its_exception_brings_the_rule_back():
    rules = [
        rule("base", True),
        rule("exception", False, [is_("a")], ["base"]),
        rule("back", True, [is_("b")], ["exception"]),
    ]
    assert decide(rules, {"a": False, "b": False}, True).outcome is True
    fell = decide(rules, {"a": True, "b": False}, True)
    assert (fell.outcome, [one.id for one in fell.fallen]) == (False, ["base"])
    assert decide(rules, {"a": True, "b": True}, True).outcome is True


def test_the_narrower_scope_beats_more_conditions():
    rules = [rule("wide", True, [is_("a"), is_("b")], depth=1), rule("narrow", False, depth=2)]
    assert decide(rules, {"a": True, "b": True}, True).outcome is False
    rules = [rule("plain", True), rule("with condition", False, [is_("a")])]
    assert decide(rules, {"a": True}, True).outcome is False


@pytest.mark.parametrize("favour", [True, False])
def test_a_clash_goes_to_the_customer_and_is_said(favour):
    found = decide([rule("one", True), rule("two", False)], {}, favour)
    assert (found.outcome, found.clash) == (favour, True)
    assert not decide([rule("one", True), rule("two", True)], {}, favour).clash


def test_no_rule_says_nothing():
    assert decide([rule("one", True, [is_("a")])], {"a": False}, True).outcome is None


def test_what_follows_and_what_contradicts():
    implications = [(is_("a", False), is_("b", False))]
    assert close({"a": False}, implications) == ({"a": False, "b": False}, "")
    assert close({"b": True}, implications) == ({"b": True, "a": True}, "")
    assert close({"a": False, "b": True}, implications)[1]


def test_stretches_of_a_number_are_told_apart_where_rules_do():
    days = Fact("days", "签收后天数", "number", "天", None, "几天", "", "", None, None)
    rules = [
        rule("one", True, [Condition("days", "<=", 7.0)]),
        rule("two", False, [Condition("days", ">", 7.0)]),
        rule("three", True, [Condition("days", ">=", 15.0)]),
    ]
    found = options(days, rules)
    assert [one.zh(days) for one in found] == ["签收后不超过7天", "签收后超过7天、不满15天", "签收后满15天"]
    holds = [tuple(c.holds(one.value) for r in rules for c in r.rule.conditions) for one in found]
    assert holds == [(True, False, False), (False, True, False), (False, True, True)]


@settings(max_examples=40, deadline=None)
@given(
    st.sets(st.tuples(st.sampled_from(["<=", "<", ">=", ">"]), st.integers(0, 20)), min_size=1, max_size=5),
    st.floats(0, 25, allow_nan=False),
)
def test_every_number_is_like_one_of_the_options(limits, value):
    fact = Fact("n", "数", "number", "个", None, "几个", "", "", None, None)
    conditions = [Condition("n", operator, float(limit)) for operator, limit in sorted(limits)]
    rules = [rule("one", True, conditions)]
    seen = {tuple(c.holds(one.value) for c in conditions) for one in options(fact, rules)}
    assert tuple(c.holds(value) for c in conditions) in seen


conditions_of = st.dictionaries(st.sampled_from(FLAGS), st.booleans(), max_size=3)


@st.composite
def rule_sets(draw):
    found = []
    for number in range(draw(st.integers(1, 6))):
        over = draw(st.sets(st.integers(0, number - 1), max_size=2)) if number else set()
        conditions = [is_(key, value) for key, value in sorted(draw(conditions_of).items())]
        found.append(
            rule(f"r{number}", draw(st.booleans()), conditions, [f"r{one}" for one in over],
                 draw(st.integers(1, 3)))
        )  # fmt: skip
    return found


@settings(max_examples=40, deadline=None)
@given(rule_sets(), st.permutations(range(6)))
def test_the_order_of_rules_does_not_matter(rules, order):
    shuffled = [rules[one] for one in order if one < len(rules)]
    for values in product([True, False], repeat=3):
        facts = dict(zip(FLAGS, values, strict=True))
        assert decide(rules, facts, True).outcome == decide(shuffled, facts, True).outcome


@settings(max_examples=40, deadline=None)
@given(rule_sets())
def test_exploring_covers_every_way_and_agrees_with_deciding(rules):
    facts = [flag(key) for key in FLAGS]
    cases = explore(rules, {}, facts, [], True)
    assert len(cases) == 8
    for case in cases:
        assert case.verdict == decide(rules, case.facts, True)


@settings(max_examples=40, deadline=None)
@given(rule_sets())
def test_an_applying_exception_that_nothing_overrides_silences_its_rules(rules):
    for values in product([True, False], repeat=3):
        facts = dict(zip(FLAGS, values, strict=True))
        deciding = {one.id for one in decide(rules, facts, True).deciding}
        applying = [r for r in rules if all(c.holds(facts[c.fact]) for c in r.rule.conditions)]
        overridden = {other for r in applying for other in r.rule.exception_of}
        for one in applying:
            if one.rule.id not in overridden:
                assert not deciding & set(one.rule.exception_of)


def test_too_many_unknown_facts_are_refused():
    many = [flag(f"f{number}") for number in range(16)]
    with pytest.raises(ValueError, match="assume"):
        explore([rule("one", True, [is_(one.key) for one in many])], {}, many, [], True)
