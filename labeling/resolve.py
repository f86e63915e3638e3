"""Several people's answers to one message become one label, by a declared policy.

`dawid_skene`: every person has a reliability, learnt together with the labels from how the answers
of all agree (Dawid and Skene 1979, in the one-coin form of Zhang et al. 2014: with 71 categories a
whole confusion matrix for each person could not be estimated). `majority`: one person, one vote.
Ties by heads, and what remains less certain than the policy asks, go to adjudication, whose outcome is
final: two people who disagree cannot show which of them is the more reliable.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from data.example import Example, Vote
from data.taxonomy import TASKS, Taxonomy
from labeling.task import Annotation, Task

__all__ = ["Conflict", "Resolution", "ResolutionPolicy", "load_resolution_policy", "resolve"]

METHODS = ("dawid_skene", "majority")


@dataclass(frozen=True)
class ResolutionPolicy:
    """See `labeling/policy.yaml`."""

    version: int = 1
    method: str = "dawid_skene"
    min_annotations: int = 1
    min_confidence: float = 0.8

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method: expected one of {', '.join(METHODS)}, got {self.method!r}")
        if not isinstance(self.min_annotations, int) or self.min_annotations < 1:
            raise ValueError(f"min_annotations: expected 1 or more, got {self.min_annotations!r}")
        if not 0 < self.min_confidence <= 1:
            raise ValueError(f"min_confidence: expected a share above 0, got {self.min_confidence!r}")


@dataclass(frozen=True)
class Conflict:
    """A task that people must look at again."""

    task: Task
    reason: str
    """For the one who decides, in Chinese."""


@dataclass(frozen=True)
class Resolution:
    """What the answers of a project amount to."""

    examples: list[Example]
    conflicts: list[Conflict]
    waiting: list[Task]
    """Tasks with fewer answers than the policy asks."""
    reliability: dict[str, dict[str, float]] = field(default_factory=dict)
    """By annotator and kind of answer, the share of answers that are right, as far as agreement shows."""


def load_resolution_policy(path: Path | str | None = None) -> ResolutionPolicy:
    """Read the policy from `path`, `KEFU_LABEL_POLICY`, or `labeling/policy.yaml`.

    Raises:
        ValueError: names the file and the field.
    """
    chosen = Path(path or os.environ.get("KEFU_LABEL_POLICY") or Path(__file__).with_name("policy.yaml"))
    try:
        return ResolutionPolicy(**yaml.safe_load(chosen.read_text(encoding="utf-8")))
    except (TypeError, ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{chosen}: {error}") from error


def resolve(
    tasks: Sequence[Task],
    taxonomy: Taxonomy,
    policy: ResolutionPolicy | None = None,
    verdicts: Mapping[int, Sequence[Annotation]] | None = None,
) -> Resolution:
    """Make examples of tasks.

    Args:
        tasks: of one project, with everybody's answers; of one person's several answers the latest counts.
        verdicts: by task id, the answers given in adjudication or review; the latest decides.

    Raises:
        ValueError: an answer is not in the label schema; names task, annotation and field.
    """
    policy = policy or load_resolution_policy()
    verdicts = verdicts or {}
    latest = {task.id: _latest(task.annotations) for task in tasks}
    for answers in (*latest.values(), *verdicts.values()):
        for answer in answers:
            _check(answer, taxonomy)
    beliefs: dict[str, dict[int, dict[str, float]]] = {}
    reliability: dict[str, dict[str, float]] = {}
    for kind in TASKS:
        votes = [
            (task, answer.annotator, label)
            for task, answers in latest.items()
            for answer in answers
            if (label := getattr(answer, kind)) and not answer.undecided
        ]
        believe = _dawid_skene if policy.method == "dawid_skene" else _majority
        beliefs[kind], skills = believe(votes)
        for annotator, skill in skills.items():
            reliability.setdefault(annotator, {})[kind] = skill
    found = Resolution([], [], [], reliability)
    for task in tasks:
        decided = [answer for answer in verdicts.get(task.id, ()) if _complete(answer)]
        if decided:
            last = max(decided, key=lambda answer: answer.at)
            labels = {kind: getattr(last, kind) for kind in TASKS}
            found.examples.append(_example(task, labels, [*latest[task.id], last], last.annotator))
            continue
        if len(latest[task.id]) < policy.min_annotations:
            found.waiting.append(task)
            continue
        labels, reason = _settle(task.id, latest[task.id], beliefs, policy, taxonomy)
        if reason:
            found.conflicts.append(Conflict(task, reason))
        else:
            people = {answer.annotator for answer in latest[task.id]}
            author = people.pop() if len(people) == 1 else "several"
            found.examples.append(_example(task, labels, latest[task.id], author))
    return found


def _settle(
    task: int,
    answers: Sequence[Annotation],
    beliefs: Mapping[str, Mapping[int, Mapping[str, float]]],
    policy: ResolutionPolicy,
    taxonomy: Taxonomy,
) -> tuple[dict[str, str], str]:
    """The labels, or why there are none."""
    undecided = sum(answer.undecided for answer in answers)
    if 2 * undecided >= len(answers):
        return {}, f"{undecided} 人标了“拿不准”"
    labels = {}
    for kind, name in zip(TASKS, ("类别", "情绪"), strict=True):
        belief = beliefs[kind].get(task)
        if not belief:
            return {}, f"{name}没有人作答"
        heads = Counter(getattr(one, kind) for one in answers if getattr(one, kind) and not one.undecided)
        ranked = heads.most_common()
        tied = len(ranked) > 1 and ranked[0][1] == ranked[1][1]
        best = max(sorted(belief), key=lambda key: belief[key])
        doubtful = policy.method == "dawid_skene" and belief[best] < policy.min_confidence
        if tied or doubtful:
            entries = getattr(taxonomy, kind)
            shown = "，".join(f"{entries[key].zh} {count} 人" for key, count in ranked)
            return {}, f"{name}{'不一致' if len(ranked) > 1 else '把握不足'}：{shown}"
        labels[kind] = best
    return labels, ""


def _dawid_skene(
    votes: Sequence[tuple[int, str, str]],
) -> tuple[dict[int, dict[str, float]], dict[str, float]]:
    """Probability of each label by task, and each person's reliability."""
    if not votes:
        return {}, {}
    import pandas
    from crowdkit.aggregation import OneCoinDawidSkene

    frame = pandas.DataFrame(votes, columns=["task", "worker", "label"])
    model = OneCoinDawidSkene(n_iter=100).fit(frame)
    given: dict[int, set[str]] = {}
    for task, _, label in votes:
        given.setdefault(task, set()).add(label)
    found: Any = model.probas_
    columns = {label: index for index, label in enumerate(found.columns)}
    matrix = found.to_numpy()
    belief = {
        int(task): {label: float(matrix[row, columns[label]]) for label in given[int(task)]}
        for row, task in enumerate(found.index)
    }
    return belief, {str(person): float(skill) for person, skill in model.skills_.items()}


def _majority(
    votes: Sequence[tuple[int, str, str]],
) -> tuple[dict[int, dict[str, float]], dict[str, float]]:
    """Share of the votes by task; everybody counts the same."""
    counts: dict[int, Counter[str]] = {}
    for task, _, label in votes:
        counts.setdefault(task, Counter())[label] += 1
    return {
        task: {label: number / count.total() for label, number in count.items()}
        for task, count in counts.items()
    }, {}


def _latest(answers: Sequence[Annotation]) -> list[Annotation]:
    """One answer for each person: the latest."""
    by_person = {answer.annotator: answer for answer in sorted(answers, key=lambda one: (one.at, one.id))}
    return list(by_person.values())


def _complete(answer: Annotation) -> bool:
    return bool(answer.category and answer.emotion) and not answer.undecided


def _check(answer: Annotation, taxonomy: Taxonomy) -> None:
    for kind in TASKS:
        label = getattr(answer, kind)
        if label is not None and label not in getattr(taxonomy, kind):
            raise ValueError(
                f"task {answer.task}: annotation {answer.id}: {kind} {label!r} is not in the label schema; "
                "was the project made with another one?"
            )


def _example(task: Task, labels: dict[str, Any], answers: Sequence[Annotation], author: str) -> Example:
    return Example(
        id=f"ls-{task.project}-{task.id}",
        text=task.text,
        author=author,
        context=task.context,
        conversation=task.conversation,
        votes=tuple(
            Vote(
                project=answer.project,
                task=answer.task,
                annotation=answer.id,
                annotator=answer.annotator,
                category=answer.category,
                emotion=answer.emotion,
                at=answer.at.isoformat(),
            )
            for answer in answers
        ),
        **labels,
    )
