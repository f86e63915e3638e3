"""How far the labels of a project can be trusted, and who needs help.

Label Studio's community edition says nothing of it. `measure_agreement` makes the figures,
`print_agreement` shows them in the terminal; `labeling.agreement.page.write_agreement` writes them as
JSON, page and picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from data.pii import mask
from data.taxonomy import Taxonomy
from labeling.agreement.answers import MISSING, Answers, AnswerTable, count_labels, read_answers
from labeling.agreement.coefficients import (
    PairKappa,
    Share,
    bootstrap_alphas,
    class_alphas,
    cohen_pairs,
    confused_tasks,
    fleiss,
    nominal_alpha,
    pair_agreement,
    share,
)
from labeling.agreement.findings import TENTATIVE, find_findings
from labeling.agreement.people import Drift, measure_people
from labeling.agreement.report import (
    AgreementReport,
    AnswerAgreement,
    ClassAgreement,
    Confusion,
    PairAgreement,
    TaskExample,
)
from labeling.task import Task

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["AgreementReport", "measure_agreement", "print_agreement"]

RELIABLE = 0.8
CONFUSIONS = 15
WORST = 10


def measure_agreement(
    tasks: Sequence[Task],
    taxonomy: Taxonomy,
    gold: Mapping[str, tuple[str, str]] | None = None,
    window: int | str = "auto",
    samples: int = 1000,
    seed: int = 1,
) -> AgreementReport:
    """Measure agreement, people and drift of a project.

    Of several annotations of a task by one person the latest counts; an undecided or missing answer is
    a missing value, not a class.

    Args:
        gold: `Task.key` to (category, emotion) of the tasks whose truth is known and hidden.
        window: answers to a point of a person's curve; "auto", a number, "day" or "week".
        samples: resamples of the tasks for the intervals of alpha.
        seed: of the resampling.

    Raises:
        ValueError: no task has an annotation, a label is not in the schema, or `window` is unknown.
    """
    answers = read_answers(tasks, taxonomy, gold)
    people = measure_people(answers, window)
    annotations = [one for own in answers.latest for _, one in own]
    undecided = share(sum(one.undecided for one in annotations), len(annotations))
    assert undecided is not None  # read_answers refuses a project without annotations
    rows = {
        row
        for person in people
        for one in person.answers.values()
        for mistake in one.mistakes
        for row in mistake.rows
    }
    times = [one.at for one in annotations]
    findings = find_findings(answers, people, seed)
    training = [one for one in findings if one.kind == "training"]
    untrained = {
        answer: [one.person for one in training if one.person and one.answer == answer]
        for answer in answers.tables
    }
    return AgreementReport(
        tasks=len(tasks),
        annotated=len(answers.tasks),
        annotations=len(annotations),
        undecided=undecided,
        gold_tasks=int((answers.tables["category"].gold != MISSING).sum()),
        first_at=min(times),
        last_at=max(times),
        results={
            answer: _agreement(answers, table, untrained[answer], samples, seed)
            for answer, table in answers.tables.items()
        },
        people=tuple(people),
        findings=tuple(findings),
        zh={
            answer: dict(zip(table.labels, table.zh, strict=True)) for answer, table in answers.tables.items()
        },
        mistakes={row: _example(answers, row) for row in sorted(rows)},
        window=window,
    )


def _agreement(
    answers: Answers, table: AnswerTable, untrained: Sequence[str], samples: int, seed: int
) -> AnswerAgreement:
    others = [index for index, name in enumerate(answers.people) if name not in untrained]
    rest = count_labels(table.codes[:, others], len(table.labels))
    alpha = nominal_alpha(table.counts)
    interval, class_intervals = bootstrap_alphas(table.counts, samples, seed)
    pairs_same, unanimous = pair_agreement(table.counts)
    pairs = cohen_pairs(table.codes)
    fleissed = fleiss(table.counts)
    both, _ = confused_tasks(table.counts)
    classes = tuple(
        ClassAgreement(
            label,
            table.zh[index],
            int(table.counts[:, index].sum()),
            int((table.counts[:, index] > 0).sum()),
            class_alpha,
            class_intervals[index] if class_alpha is not None else None,
            fleissed.classes[index] if fleissed else None,
            table.labels[both[index].argmax()] if both[index].any() else None,
        )
        for index, (label, class_alpha) in enumerate(
            zip(table.labels, class_alphas(table.counts), strict=True)
        )
    )
    return AnswerAgreement(
        answer=table.answer,
        verdict=_verdict(alpha, interval),
        given=int(table.counts.sum()),
        shared_tasks=int((table.counts.sum(1) >= 2).sum()),
        alpha=alpha,
        interval=interval if alpha is not None else None,
        without=tuple(untrained),
        alpha_without=nominal_alpha(rest) if untrained else None,
        pairs_same=pairs_same,
        unanimous=unanimous,
        cohen=_mean_kappa(pairs),
        pairs=tuple(
            PairAgreement(
                answers.people[one.first], answers.people[one.second], one.shared, one.kappa, one.same
            )
            for one in pairs
        ),
        fleiss=fleissed.kappa if fleissed else None,
        fleiss_tasks=fleissed.tasks if fleissed else 0,
        fleiss_answers=fleissed.answers if fleissed else 0,
        classes=classes,
        confusions=_confusions(answers, table),
    )


def _verdict(alpha: float | None, interval: tuple[float, float] | None) -> str:
    # K. Krippendorff, Content Analysis (2004), p. 241: rely on 0.8, conclude tentatively from 0.667,
    # and look at the lower end of the interval.
    if alpha is None or interval is None:
        return "unmeasured"
    if interval[0] >= RELIABLE:
        return "reliable"
    if interval[0] >= TENTATIVE:
        return "tentative"
    return "unreliable" if interval[1] < TENTATIVE else "unclear"


def _mean_kappa(pairs: Sequence[PairKappa]) -> float | None:
    known = [(one.kappa, one.shared) for one in pairs if one.kappa is not None]
    if not known:
        return None
    kappas, weights = zip(*known, strict=True)
    return float(np.average(kappas, weights=weights))


def _confusions(answers: Answers, table: AnswerTable) -> tuple[Confusion, ...]:
    both, tasks = confused_tasks(table.counts)
    upper = [
        (int(both[one, other]), one, other) for one, other in zip(*np.nonzero(np.triu(both)), strict=True)
    ]
    upper.sort(key=lambda item: (-item[0], item[1:]))
    found = []
    for number, one, other in upper[:CONFUSIONS]:
        rows = np.flatnonzero((table.counts[:, one] > 0) & (table.counts[:, other] > 0))[:3]
        found.append(
            Confusion(
                table.labels[one],
                table.labels[other],
                number,
                number / float(tasks[one]),
                number / float(tasks[other]),
                tuple(_example(answers, row) for row in rows),
            )
        )
    return tuple(found)


def _example(answers: Answers, row: int) -> TaskExample:
    # The page leaves the project: personal data must not, even if a task was imported unmasked.
    return TaskExample(answers.tasks[row].id, mask(answers.tasks[row].text))


def print_agreement(report: AgreementReport, console: Console) -> None:
    """Show the report in the terminal: agreement, people, the classes that agree least, findings."""
    from rich.box import ASCII
    from rich.markup import escape
    from rich.table import Table

    # ASCII lines: the box characters of Chinese fonts are two columns wide.
    table = Table(title="agreement", box=ASCII)
    for name in ("answer", "alpha", "95% interval", "verdict", "Cohen", "Fleiss", "same pairs", "tasks"):
        table.add_column(name)
    for answer, one in report.results.items():
        interval = f"{one.interval[0]:.3f} to {one.interval[1]:.3f}" if one.interval else ""
        table.add_row(answer, _number(one.alpha), interval, one.verdict, _number(one.cohen),
                      _number(one.fleiss), _rate(one.pairs_same), str(one.shared_tasks))  # fmt: skip
    console.print(table)
    for answer in report.results:
        table = Table(title=f"{answer}: annotators (drift: points from first to last third)", box=ASCII)
        for name in ("annotator", "tasks", "s", "undecided", "gold right", "as most others", "drift"):
            table.add_column(name)
        for person in report.people:
            own = person.answers[answer]
            seconds = "" if person.seconds is None else f"{person.seconds:.1f}"
            undecided = f"{person.undecided.rate:.0%}"
            table.add_row(escape(person.annotator), str(person.tasks), seconds, undecided,
                          _rate(own.gold), _rate(own.others), _drift_words(own.drift))  # fmt: skip
        console.print(table)
    for answer, one in report.results.items():
        known = one.worst_first()
        if known:
            table = Table(title=f"{answer}: classes that agree least", box=ASCII)
            for name in ("class", "alpha", "95% interval", "tasks", "confused with"):
                table.add_column(name)
            for alpha, kind in known[:WORST]:
                interval = f"{kind.interval[0]:.2f} to {kind.interval[1]:.2f}" if kind.interval else ""
                table.add_row(escape(f"{kind.zh} {kind.label}"), f"{alpha:.3f}", interval, str(kind.tasks),
                              escape(kind.confused_with or ""))  # fmt: skip
            console.print(table)
    for number, finding in enumerate(report.findings, 1):
        console.print(f"{number}. {finding.text}", markup=False, highlight=False)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _rate(value: Share | None) -> str:
    return f"{value.rate:.0%} of {value.of}" if value else ""


def _drift_words(drift: Drift) -> str:
    return drift.verdict if drift.change is None else f"{drift.verdict} {100 * drift.change:+.0f}"
