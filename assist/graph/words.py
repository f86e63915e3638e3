"""Answers in Chinese and the path that says so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from assist.graph.catalogue import Catalogue, Question, Rule
from assist.graph.resolve import Result
from assist.graph.schema import Answer, MissingFact, Triple
from assist.graph.store import GraphStore

__all__ = ["answer_text", "answer_word", "path_of", "question_to_ask", "subject_of"]

_MOST_RULES = 4  # of a path where the answer depends


def answer_word(answer: Answer, question: Question) -> str:
    """An answer as a clause: "可以无理由退货"."""
    return {
        "yes": question.yes_zh,
        "no": question.no_zh,
        "depends": "要看其他情况",
        "unknown": "资料里没有写",
    }[answer]


def subject_of(result: Result, catalogue: Catalogue) -> str:
    """The entity's name, of two coupons both; empty for all products."""
    entity = catalogue.entities[result.entity]
    if result.second:
        return f"{entity.zh}和{catalogue.entities[result.second].zh}"
    return entity.zh if entity.type == "product" or entity.parents else ""


def answer_text(result: Result, catalogue: Catalogue, question: Question) -> str:
    """One to three sentences for the customer or the agent."""
    subject = subject_of(result, catalogue)
    if result.answer == "unknown":
        return f"{subject}{'：' if subject else ''}资料里没有写{question.zh}，请转专员核实。"
    lead = f"{subject}：" if subject else ""
    if result.answer == "depends":
        return f"{lead}{_cases(result.missing, question)}。"
    reasons = _join(rule.text for rule in result.deciding[: 1 if result.one_rule else 2])
    text = f"{lead}{answer_word(result.answer, question)}。{reasons}。"
    if result.assumed:
        text += f"前提是{'、'.join(fact.value_zh(bool(fact.assume)) for fact in result.assumed)}。"
    return text


def _cases(missing: Sequence[MissingFact], question: Question) -> str:
    if not missing:
        return "要看订单的其他情况"
    more = "、".join(one.ask for one in missing[1:3]) or "其他情况"
    return "；".join(
        f"{case.when}的，"
        + (f"还要看{more}" if case.answer == "depends" else answer_word(case.answer, question))
        for case in missing[0].cases
    )


def question_to_ask(missing: Sequence[MissingFact]) -> str:
    """The first two things to ask the customer as one question; empty where nothing is missing."""
    return f"请问{'，'.join(one.ask for one in missing[:2])}？" if missing else ""


def _join(texts: Iterable[str]) -> str:
    return "；".join(dict.fromkeys(texts))


def path_of(result: Result, catalogue: Catalogue, question: Question, store: GraphStore) -> list[Triple]:
    """The triples that lead from the entity through its rules to the answer, and what was known."""
    found: list[Triple] = []

    def say(subject: str, predicate: str, thing: str) -> None:
        triple = Triple(subject=subject, predicate=predicate, object=thing)
        if triple not in found:
            found.append(triple)

    rules = result.deciding[: 1 if result.one_rule else _MOST_RULES]
    ids = {rule.id for rule in rules}
    for rule in rules:
        for entity, scope in _ways(result, rule, catalogue):
            _climb(catalogue, store.way_up(entity, scope), say)
        _rule(rule, catalogue, question, say)
        # Only what it overrides here: another exception's rules would be news about other products.
        for other in result.fallen:
            if other.id in rule.exception_of:
                say(_named(rule), "例外于", _named(other))
        for other_id in rule.exception_of:
            if other_id in ids:
                say(_named(rule), "例外于", _named(catalogue.rules[other_id]))
    for key, value in result.known.items():
        say("本次咨询", "已知", catalogue.facts[key].value_zh(value))
    for fact in result.assumed:
        say("本次咨询", "默认", fact.value_zh(bool(fact.assume)))
    return found


def _ways(result: Result, rule: Rule, catalogue: Catalogue) -> list[tuple[str, str]]:
    if not rule.other:
        return [(result.entity, rule.scope)]
    one, two = result.entity, result.second
    straight = rule.scope in catalogue.ancestors(one) and rule.other in catalogue.ancestors(two)
    return [(one, rule.scope), (two, rule.other)] if straight else [(two, rule.scope), (one, rule.other)]


def _climb(catalogue: Catalogue, way: Sequence[str], say: object) -> None:
    assert callable(say)
    for entity in way:
        for condition in catalogue.entities[entity].sets:
            say(
                catalogue.entities[entity].zh,
                "意味着",
                catalogue.facts[condition.fact].condition_zh(condition),
            )
    for lower, upper in pairwise(way):
        one = catalogue.entities[lower]
        say(one.zh, "属于" if one.type == "product" else "上级类目", catalogue.entities[upper].zh)


def _rule(rule: Rule, catalogue: Catalogue, question: Question, say: object) -> None:
    assert callable(say)
    scope = catalogue.entities[rule.scope].zh
    other = f"和{catalogue.entities[rule.other].zh}" if rule.other else ""
    say(_named(rule), "适用于", scope + other)
    for condition in rule.conditions:
        say(_named(rule), "条件", catalogue.facts[condition.fact].condition_zh(condition))
    say(_named(rule), "结论", question.yes_zh if rule.outcome else question.no_zh)
    policy = catalogue.policies[rule.policy]
    say(_named(rule), "出自", f"{policy.zh}（第{policy.version}版）")


def _named(rule: Rule) -> str:
    return f"规则“{rule.text}”"
