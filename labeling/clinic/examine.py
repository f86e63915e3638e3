"""Categories that should perhaps be merged, split, or told apart by a clearer text, with the messages.

The owner of the label schema decides; the clinic only suggests, and where it has too few messages it is
silent. `merge`: people confuse the two among themselves, and the model against people. `clarify`: only one of
them does. `split`: one category lies in two places (`labeling.clinic.split`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.example import Example
from data.taxonomy import Taxonomy
from labeling.clinic.messages import Messages, gather, show_case
from labeling.clinic.pairs import CLEAR, CONFUSED, Evidence, PairRules, model_evidence, people_evidence
from labeling.clinic.report import KINDS, ClinicReport, Side, Suggestion
from labeling.clinic.split import Halves, SplitRules, halve, reduced
from labeling.label_words import boundary_rules
from labeling.task import Task

__all__ = ["examine"]

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.int64]
SHOWN = 5


def examine(
    tasks: Sequence[Task],
    taxonomy: Taxonomy,
    model: Mapping[str, Mapping[str, float] | Sequence[float] | Floats] | None = None,
    vectors: Mapping[str, Sequence[float] | Floats] | None = None,
    examples: Sequence[Example] = (),
    pair_rules: PairRules | None = None,
    split_rules: SplitRules | None = None,
    seed: int = 1,
) -> ClinicReport:
    """Look for categories to merge, split or clarify.

    Args:
        tasks: with any number of annotations; of several by one person the latest counts.
        model: probabilities of the categories, by label or in schema order, of a model that did not learn
            from these very labels (`experiments.out_of_fold`); keyed by `Task.key`, `Task.source`, the
            id of the example a task became (`ls-PROJECT-TASK`), or the id of an example.
        vectors: embeddings, keyed likewise; without them nothing is said of splits.
        examples: further messages with one answer each, such as the embedded corpus.
        seed: of samples and clusters.

    Raises:
        ValueError: there is no annotation and no example, a label is not in the schema, or the model's
            categories are not those of the schema.
    """
    pair_rules, split_rules = pair_rules or PairRules(), split_rules or SplitRules()
    messages = gather(tasks, examples, taxonomy, model or {}, vectors or {})
    labelled = messages.label >= 0
    twice = int((messages.counts.sum(1) >= 2).sum())
    with_vectors = 0 if messages.vectors is None else int((np.abs(messages.vectors).sum(1) > 0).sum())
    found = [
        *_pairs(messages, taxonomy, pair_rules),
        *_splits(messages, taxonomy, pair_rules, split_rules, seed),
    ]
    kinds = list(KINDS)
    found.sort(key=lambda one: (kinds.index(one.kind), -sum(side.messages for side in one.sides)))
    notes = []
    if not twice:
        notes.append("没有消息得到两人以上的回答，人与人之间的混淆无法衡量。")
    if not messages.asked.any():
        notes.append("没有模型的意见，只能看人与人之间的混淆，无法建议合并。")
    if not with_vectors:
        notes.append("没有消息的向量，无法建议拆分。")
    zh = {item.key: item.zh for item in taxonomy.categories}
    return ClinicReport(
        messages=int(labelled.sum()),
        twice=twice,
        with_model=int((messages.asked & labelled).sum()),
        with_vectors=with_vectors,
        suggestions=tuple(found),
        notes=tuple(notes),
        zh=zh,
        pair_rules=pair_rules,
        split_rules=split_rules,
    )


def _pairs(messages: Messages, taxonomy: Taxonomy, rules: PairRules) -> list[Suggestion]:
    size = messages.counts.shape[1]
    answer = messages.said.argmax(1)
    known = messages.asked & (messages.label >= 0)
    confusion = np.zeros((size, size), np.int64)
    np.add.at(confusion, (messages.label[known], answer[known]), 1)
    several = messages.counts[messages.counts.sum(1) >= 2] > 0
    torn = several.T.astype(np.int64) @ several.astype(np.int64)
    used = np.flatnonzero((messages.counts.sum(0) > 0) | (confusion.sum(0) > 0))
    pairs = len(used) * (len(used) - 1) // 2
    found = []
    for first, second in combinations(used.tolist(), 2):
        # Nothing can be said of a pair below the minimum: the tests are spared.
        if max(torn[first, second], confusion[first, second] + confusion[second, first]) < rules.fewest:
            continue
        people = people_evidence(messages.counts, first, second, pairs, rules) if len(several) else None
        model = model_evidence(confusion, first, second, pairs, rules) if known.any() else None
        if kind := _pair_kind(people, model):
            found.append(_pair_suggestion(kind, messages, taxonomy, first, second, people, model))
    return found


def _pair_kind(people: Evidence | None, model: Evidence | None) -> str | None:
    by_people = people is not None and people.verdict == CONFUSED
    by_model = model is not None and model.verdict == CONFUSED
    if by_people and by_model:
        return "merge"
    return "clarify" if by_people or by_model else None


def _pair_suggestion(
    kind: str,
    messages: Messages,
    taxonomy: Taxonomy,
    first: int,
    second: int,
    people: Evidence | None,
    model: Evidence | None,
) -> Suggestion:
    keys = taxonomy.categories[first], taxonomy.categories[second]
    answer = messages.said.argmax(1)
    one, other = messages.counts[:, first] > 0, messages.counts[:, second] > 0
    torn = one & other
    sides = []
    for own, foreign, item in ((first, second, keys[0]), (second, first, keys[1])):
        crossed = messages.asked & (messages.label == own) & (answer == foreign)
        # Torn messages without a majority stand on the side that the model leans to.
        leaning = messages.said[:, own] > messages.said[:, foreign]
        tie = torn & (messages.label != first) & (messages.label != second)
        mine = torn & ((messages.label == own) | (tie & (leaning | (~messages.asked & (own == first)))))
        rows = np.flatnonzero(crossed | mine)
        surest = np.argsort(-messages.said[rows, foreign] - torn[rows], kind="stable")
        texts = tuple(show_case(messages, taxonomy, row) for row in rows[surest][:SHOWN])
        sides.append(Side(item.zh, len(rows), (), texts))
    return Suggestion(
        kind,
        tuple(item.key for item in keys),
        tuple(item.zh for item in keys),
        _pair_reason(kind, people, model),
        people,
        model,
        _boundaries(taxonomy, *(item.key for item in keys)),
        (sides[0], sides[1]),
    )


def _pair_reason(kind: str, people: Evidence | None, model: Evidence | None) -> str:
    parts = []
    if people is not None and people.messages:
        parts.append(
            f"{people.messages} 条有两份以上回答的消息里，{people.confused} 条两类都有人选"
            f"（按类别大小应约 {people.expected:.1f} 条）"
        )
    if model is not None and model.messages:
        parts.append(
            f"{model.messages} 条里模型与人选反了 {model.confused} 条"
            f"（按类别大小应约 {model.expected:.1f} 条）"
        )
    text = "；".join(parts) + "。"
    if kind == "merge":
        return text + "人和模型都分不清，可以考虑合并，或重新划分这两类。"
    if people is not None and people.verdict == CONFUSED:
        if model is None:
            return text + "人之间分不清，模型的意见未知：先把界线写清楚。"
        clear = "模型却分得清：多数意见里有规律" if model.verdict == CLEAR else "模型没有同样混淆"
        return text + f"人之间分不清，{clear}，先把界线写清楚。"
    if people is not None and people.verdict == CLEAR:
        return text + "人分得清，模型分不清：给界线配上例句，或补充这两类的标注。"
    return text + "模型分不清，人之间是否分得清还不知道：安排多人标注这两类，并检查界线。"


def _boundaries(taxonomy: Taxonomy, *keys: str) -> tuple[str, ...]:
    rules = boundary_rules(taxonomy)
    shared = [rule for rule in rules.get(keys[0], ()) if all(rule in rules.get(key, ()) for key in keys)]
    definitions = [f"{taxonomy.category[key].zh}：{taxonomy.category[key].definition}" for key in keys]
    return (*shared, *definitions)


def _splits(
    messages: Messages, taxonomy: Taxonomy, pair_rules: PairRules, rules: SplitRules, seed: int
) -> list[Suggestion]:
    if messages.vectors is None:
        return []
    usable = messages.asked & (messages.label >= 0) & (np.abs(messages.vectors).sum(1) > 0)
    if usable.sum() < rules.fewest:
        return []
    space = np.zeros((len(usable), min(rules.dimensions, messages.vectors.shape[1], int(usable.sum()))))
    space[usable] = reduced(messages.vectors[usable], rules)
    others = messages.said.copy()
    rows = np.flatnonzero(messages.label >= 0)
    others[rows, messages.label[rows]] = -1.0
    neighbours = others.argmax(1)
    sizes = np.bincount(messages.label[usable], minlength=messages.counts.shape[1])
    categories = np.flatnonzero(sizes >= rules.fewest)
    found = []
    for category in categories.tolist():
        agreement = _agreement(messages.counts, category)
        if agreement is not None and agreement < rules.agreement:
            continue
        own = np.flatnonzero(usable & (messages.label == category))
        halves = halve(space, neighbours, own, len(categories), rules, seed)
        if halves:
            found.append(_split_suggestion(messages, taxonomy, category, halves, neighbours))
    return found


def _agreement(counts: Ints, category: int) -> float | None:
    """Specific agreement: where one person gave the category, how often another person did so too."""
    several = counts[(counts.sum(1) >= 2) & (counts[:, category] > 0)]
    if len(several) < SHOWN:
        return None
    own, all_answers = several[:, category], several.sum(1)
    return float((own * (own - 1) / (all_answers - 1)).sum() / own.sum())


def _split_suggestion(
    messages: Messages, taxonomy: Taxonomy, category: int, halves: Halves, neighbours: Ints
) -> Suggestion:
    item = taxonomy.categories[category]
    zh = [one.zh for one in taxonomy.categories]
    sides = []
    for letter, rows in zip("甲乙", halves.rows, strict=True):
        near = np.bincount(neighbours[rows], minlength=len(zh))
        top = tuple(
            (zh[place], int(near[place])) for place in np.argsort(-near, kind="stable")[:3] if near[place]
        )
        texts = tuple(show_case(messages, taxonomy, row) for row in rows[:SHOWN])
        sides.append(Side(f"{item.zh}·{letter}", len(rows), top, texts))
    total = sum(side.messages for side in sides)
    lie = "，".join(f"{side.messages} 条挨着「{side.neighbours[0][0]}」" for side in sides)
    undecided = float(messages.undecided[np.concatenate(halves.rows)].mean())
    return Suggestion(
        "split",
        (item.key,),
        (item.zh,),
        f"{total} 条消息分成两团：{lie}。重抽样后分法几乎不变，两团的邻类明显不同，可以考虑拆成两类。",
        None,
        None,
        _boundaries(taxonomy, item.key),
        (sides[0], sides[1]),
        {
            "messages": total,
            "stability": halves.stability,
            "p": halves.p,
            "difference": halves.difference,
            "undecided": undecided,
        },
    )
