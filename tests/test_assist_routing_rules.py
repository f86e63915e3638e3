"""The routing file: versioned, and refused by field where it is wrong."""

from __future__ import annotations

import copy

import pytest
import yaml

from assist.routing.rules import DEFAULT_PATH, RoutingError, load_rules, parse_rules
from data.taxonomy import load_taxonomy

RAW = yaml.safe_load(DEFAULT_PATH.read_text(encoding="utf-8"))
TAXONOMY = load_taxonomy()


def put(raw, path, value):
    raw = copy.deepcopy(raw)
    place = raw
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return raw


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (["version"], "one", "version: expected an integer"),
        (["priority"], None, "priority: is missing"),
        (["priority", "alert"], [0, 15, 10, 60], "priority.alert: must not fall"),
        (["priority", "alert"], [0, 15, 35], "priority.alert: expected 4"),
        (["priority", "customer_value"], [0, 1, 2, 3, 80], "sum to more than 100"),
        (["priority", "waiting", "full_after"], 0, "priority.waiting.full_after: 0 must be"),
        (["strategy", "default"], "random", "strategy.default: 'random'"),
        (["strategy", "groups"], {"sport": "in_turn"}, "strategy.groups: 'sport'"),
        (["not_return_when"], ["rudeness"], "not_return_when: 'rudeness'"),
        (["escalation", "alert"], 4, "escalation.alert: 4 must be"),
        (["escalation", "groups"], [], "escalation.groups: expected a list"),
        (["overflow", "groups", "presale"], ["sales"], "overflow.groups.presale: 'sales'"),
        (["flooding", "repeats"], 1, "flooding.repeats: 1 must be"),
        (["grouping", "threshold"], 1.5, "grouping.threshold: 1.5 must be"),
        (["signals", 0, "any"], ["(open"], r"signals\[0\]\.any: is no regular expression"),
        (["signals", 0, "any"], ["x*"], r"signals\[0\]\.any: matches the empty text"),
        (["signals", 0, "kind"], "boredom", r"signals\[0\]\.kind: 'boredom'"),
        (["signals", 1, "unless"], "x", r"signals\[1\]\.unless: expected a list"),
        (["contradictions", 0, "second"], ["{thing}坏"], r"contradictions\[0\]\.second: names \{thing\}"),
        (["correction"], ["("], "correction: is no regular"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named(path, value, reason):
    with pytest.raises(RoutingError, match=reason):
        parse_rules(put(RAW, path, value), TAXONOMY)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(RoutingError, match=r"none\.yaml"):
        load_rules(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("version: [", encoding="utf-8")
    with pytest.raises(RoutingError, match=r"broken\.yaml"):
        load_rules(broken)
    broken.write_text("- 1", encoding="utf-8")
    with pytest.raises(RoutingError, match="version: is missing"):
        load_rules(broken)


def test_every_group_of_the_schema_can_overflow_or_is_meant_to_stay():
    rules = load_rules()
    groups = {category.group for category in TAXONOMY.categories}
    assert groups - set(rules.escalation.overflow) == {"complaint"}
    assert all(key not in beside for key, beside in rules.escalation.overflow.items())
