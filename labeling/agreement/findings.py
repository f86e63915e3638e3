"""What an annotator lead should act on, in words, each with the number of answers that it rests on.

A person is blamed only where all colleagues together do clearly better: a significant difference after
correction for the number of comparisons, and one that training could show in. A class is called unclear
only if those who do not know it by themselves are left out first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labeling.agreement.answers import MISSING, Answers, AnswerTable, count_labels
from labeling.agreement.coefficients import Share, bootstrap_alphas, class_alphas, confused_tasks
from labeling.agreement.compare import Weakness, adjusted, at_most, together, weak_classes, wrong
from labeling.agreement.people import FALLING, Person

__all__ = ["TENTATIVE", "ZH", "Finding", "find_findings"]

ZH = {"category": "类别", "emotion": "情绪"}
TARGET = 0.8
TENTATIVE = 0.667
MIN_GOLD = 20
MIN_OTHERS = 50
MIN_CLASS_TASKS = 20
MIN_UNANIMOUS = 3
PERSON_GAP = 0.1
UNDECIDED_GAP = 0.05
SIGNIFICANCE = 0.01
LISTED = 5


@dataclass(frozen=True)
class Finding:
    """One thing to look at."""

    kind: str
    """training, classes (a person's), drift, undecided, guide, gold, overlap."""
    person: str | None
    answer: str | None
    labels: tuple[str, ...]
    evidence: int
    """Answers (for guide and gold: tasks) that it rests on."""
    text: str
    """In Chinese, for the lead."""


def find_findings(answers: Answers, people: Sequence[Person], seed: int = 1) -> list[Finding]:
    """Findings of a project, the most pressing kind first; none on too few answers.

    Args:
        seed: of the resampling behind the intervals of classes.
    """
    weak = {answer: weak_classes(answers, answer) for answer in answers.tables}
    training = _training(answers, people, weak)
    blamed = {(one.person, one.answer) for one in training}
    findings = [
        *training,
        *_single_classes(answers, weak, blamed),
        *_drifting(people),
        *_undecided(people),
    ]
    for answer, table in answers.tables.items():
        left = [index for index, name in enumerate(answers.people) if (name, answer) not in blamed]
        findings += _unclear(table, left, weak[answer], seed)
        findings += _doubtful_gold(answers, table)
    return [*findings, *_lacking(answers)]


def _training(
    answers: Answers, people: Sequence[Person], weak: dict[str, list[list[Weakness]]]
) -> list[Finding]:
    compared: list[tuple[Person, str, str, Share, Share | None]] = []
    for answer in answers.tables:
        for person in people:
            basis = _basis(person, answer)
            if basis:
                own: Share = getattr(person.answers[answer], basis)
                rest = together([getattr(one.answers[answer], basis) for one in people if one is not person])
                compared.append((person, answer, basis, own, rest))
    p_values = adjusted([at_most(own, rest) if rest else 1.0 for *_, own, rest in compared], "holm")
    found = []
    for (person, answer, basis, own, rest), p in zip(compared, p_values, strict=True):
        behind = rest and p < SIGNIFICANCE and own.rate <= rest.rate - PERSON_GAP
        if behind or (basis == "gold" and own.high < TARGET):
            classes = weak[answer][answers.people.index(person.annotator)][:3]
            words = _training_words(person, answer, basis, own, rest)
            if classes:
                table = answers.tables[answer]
                words += "最需要讲解：" + "；".join(_words(table, one) for one in classes) + "。"
            else:
                words += "错误不集中在某几类。"
            words += _hasty(person, people)
            labels = tuple(answers.tables[answer].labels[one.label] for one in classes)
            finding = Finding("training", person.annotator, answer, labels, own.of, words)
            found.append((own.rate - (rest.rate if rest else 1.0), finding))
    return [finding for _, finding in sorted(found, key=lambda pair: pair[0])]


def _basis(person: Person, answer: str) -> str | None:
    own = person.answers[answer]
    if own.gold and own.gold.of >= MIN_GOLD:
        return "gold"
    if own.others and own.others.of >= MIN_OTHERS and not own.drift.leans_on:
        return "others"
    return None


def _training_words(person: Person, answer: str, basis: str, own: Share, rest: Share | None) -> str:
    what = "金标准确率" if basis == "gold" else "与他人多数意见的一致率"
    return (
        f"{person.annotator} 需要{ZH[answer]}培训：{what} {own.rate:.0%}"
        f"（95% 区间 {own.low:.0%}–{own.high:.0%}，依据 {own.of} 条回答）"
        + (f"，其他人合计 {rest.rate:.0%}。" if rest else "。")
    )


def _hasty(person: Person, people: Sequence[Person]) -> str:
    speeds = [one.seconds for one in people if one is not person and one.seconds is not None]
    if person.seconds is None or not speeds or person.seconds >= 0.5 * np.median(speeds):
        return ""
    return f"每条只用 {person.seconds:.1f} 秒（同事中位数 {np.median(speeds):.1f} 秒），可能没有细读。"


def _words(table: AnswerTable, one: Weakness) -> str:
    mostly = one.times > one.wrong.right / 2
    return (
        f"“{table.zh[one.label]}”{one.wrong.of} 条里错 {one.wrong.right} 条，"
        + (f"多答成“{table.zh[one.instead]}”" if mostly else "错法分散")
        + f"（其他人错 {one.colleagues.rate:.0%}）"
    )


def _single_classes(
    answers: Answers, weak: dict[str, list[list[Weakness]]], blamed: set[tuple[str | None, str | None]]
) -> list[Finding]:
    findings = []
    for answer, table in answers.tables.items():
        for name, own in zip(answers.people, weak[answer], strict=True):
            if own and (name, answer) not in blamed:
                words = "；".join(_words(table, one) for one in own[:LISTED])
                labels = tuple(table.labels[one.label] for one in own)
                evidence = sum(one.wrong.of for one in own)
                text = f"{name} 有 {len(own)} 个{ZH[answer]}需要单独讲解：{words}。"
                findings.append(Finding("classes", name, answer, labels, evidence, text))
    return findings


def _drifting(people: Sequence[Person]) -> list[Finding]:
    findings = []
    for answer, zh in ZH.items():
        falling = [one for one in people if one.answers[answer].drift.verdict == FALLING]
        if len(falling) >= 3 and len(falling) > len(people) / 2:
            scored = sum(one.answers[answer].drift.scored for one in falling)
            text = (
                f"{len(people)} 人中有 {len(falling)} 人的{zh}正确率同时下降（依据 {scored} 条回答）："
                "更可能是任务变难了（例如先标简单的）或规则有变，而不是个人松懈；请先查看近期任务。"
            )
            findings.append(Finding("drift", None, answer, (), scored, text))
            continue
        for person in falling:
            drift = person.answers[answer].drift
            text = (
                f"{person.annotator} 的{zh}正确率在下降：最后三分之一比最初三分之一低 "
                f"{-100 * (drift.change or 0):.0f} 个百分点"
                f"（依据 {drift.scored} 条回答，趋势检验 p={drift.p:.2g}）"
            )
            if drift.leans_on:
                text += f"；这主要是与 {drift.leans_on} 一人相比，不能断定是谁变了，加入金标任务即可分辨。"
            else:
                text += "；建议休息、复训，并抽查近期的回答。"
            findings.append(Finding("drift", person.annotator, answer, (), drift.scored, text))
    return findings


def _undecided(people: Sequence[Person]) -> list[Finding]:
    tested: list[tuple[Person, Share]] = []
    for person in people:
        rest = together([one.undecided for one in people if one is not person])
        if rest and person.undecided.of >= MIN_OTHERS:
            tested.append((person, rest))
    p_values = adjusted([at_most(wrong(one.undecided), wrong(rest)) for one, rest in tested], "holm")
    return [
        Finding(
            "undecided",
            one.annotator,
            None,
            (),
            one.undecided.of,
            f"{one.annotator} 把 {one.undecided.rate:.0%} 的任务标为“无法判断”"
            f"（依据 {one.undecided.of} 个任务），其他人合计 {rest.rate:.0%}："
            "看看是否在回避难题，或不清楚规则。",
        )
        for (one, rest), p in zip(tested, p_values, strict=True)
        if p < SIGNIFICANCE and one.undecided.rate >= rest.rate + UNDECIDED_GAP
    ]


def _unclear(table: AnswerTable, left: list[int], weak: list[list[Weakness]], seed: int) -> list[Finding]:
    counts = count_labels(table.codes[:, left], len(table.labels))
    both, tasks = confused_tasks(counts)
    poor = []
    for label in np.flatnonzero(tasks >= MIN_CLASS_TASKS):
        sure = [index for index in left if all(one.label != label for one in weak[index])]
        each = count_labels(table.codes[:, sure], len(table.labels))
        against_rest = np.column_stack([each[:, label], each.sum(1) - each[:, label]])
        alpha = class_alphas(against_rest)[0]
        if alpha is None or alpha >= TENTATIVE:
            continue
        interval = bootstrap_alphas(against_rest, 400, seed)[0]
        if interval and interval[1] < TENTATIVE:
            poor.append((alpha, int(label)))
    if not poor:
        return []
    poor.sort()
    words = "；".join(
        f"“{table.zh[label]}”（α {alpha:.2f}，{tasks[label]} 个任务，"
        f"常与“{table.zh[both[label].argmax()]}”混淆）"
        for alpha, label in poor[:LISTED]
    )
    note = "（不计已点名的人）" if len(left) < table.codes.shape[1] or any(weak) else ""
    shown = f"最低的 {LISTED} 个是" if len(poor) > LISTED else ""
    text = (
        f"有 {len(poor)} 个{ZH[table.answer]}大家都分不清{note}，"
        f"请先把定义和边界写清楚，再谈个人培训：{shown}{words}。"
    )
    labels = tuple(table.labels[label] for _, label in poor)
    return [Finding("guide", None, table.answer, labels, int(tasks[[one for _, one in poor]].sum()), text)]


def _doubtful_gold(answers: Answers, table: AnswerTable) -> list[Finding]:
    each, said = table.counts.sum(1), table.counts.argmax(1)
    alike = (each >= MIN_UNANIMOUS) & (table.counts.max(1) == each)
    rows = np.flatnonzero(alike & (table.gold != MISSING) & (said != table.gold))
    if not len(rows):
        return []
    listed = "；".join(
        f"任务 {answers.tasks[row].id}（金标“{table.zh[table.gold[row]]}”，"
        f"{each[row]} 人都答“{table.zh[said[row]]}”）"
        for row in rows[:LISTED]
    )
    more = f"；共 {len(rows)} 个" if len(rows) > LISTED else ""
    text = f"金标{ZH[table.answer]}可能有误，请复核：{listed}{more}。"
    return [Finding("gold", None, table.answer, (), len(rows), text)]


def _lacking(answers: Answers) -> list[Finding]:
    findings = []
    tables = answers.tables.values()
    if not any((table.counts.sum(1) >= 2).any() for table in tables):
        text = "没有任务由两人以上回答，无法衡量一致性：请让至少 10% 的任务由两三人各自标注。"
        findings.append(Finding("overlap", None, None, (), 0, text))
    if not any((table.gold != MISSING).any() for table in tables):
        text = "没有隐藏的金标任务：大家一起犯的错看不出来，建议混入 5% 左右答案已知的任务。"
        findings.append(Finding("gold", None, None, (), 0, text))
    return findings
