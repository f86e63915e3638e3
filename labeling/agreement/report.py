"""What is known of a project's labels: the shape of the agreement report."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from labeling.agreement.coefficients import Share
from labeling.agreement.findings import Finding
from labeling.agreement.people import Person

__all__ = [
    "AgreementReport",
    "AnswerAgreement",
    "ClassAgreement",
    "Confusion",
    "PairAgreement",
    "TaskExample",
]


FEW_TASKS = 5


@dataclass(frozen=True)
class TaskExample:
    """A task to look at; its text is masked."""

    id: int
    text: str


@dataclass(frozen=True)
class ClassAgreement:
    """One class against all others taken together."""

    label: str
    zh: str
    answers: int
    tasks: int
    """Tasks on which at least one person gave it."""
    alpha: float | None
    """Krippendorff's; None where the class was not used, or no task with two answers has it."""
    interval: tuple[float, float] | None
    fleiss: float | None
    confused_with: str | None
    """The class that is given most often beside it."""


@dataclass(frozen=True)
class PairAgreement:
    """Two people on the tasks that both answered."""

    first: str
    second: str
    shared: int
    kappa: float | None
    """Cohen's; None where both gave one and the same label throughout."""
    same: float
    """Share of the shared tasks with the same answer."""


@dataclass(frozen=True)
class Confusion:
    """Two labels that different people give to the same tasks."""

    first: str
    second: str
    tasks: int
    """Tasks on which both were given."""
    share_first: float
    """Of the tasks with two answers or more on which somebody said `first`."""
    share_second: float
    examples: tuple[TaskExample, ...]


@dataclass(frozen=True)
class AnswerAgreement:
    """Agreement on one of the two questions."""

    answer: str
    verdict: str
    """reliable, tentative, unreliable, unclear (the interval straddles the lower limit), unmeasured."""
    given: int
    """Answers given."""
    shared_tasks: int
    """Tasks with two answers or more: what agreement rests on."""
    alpha: float | None
    interval: tuple[float, float] | None
    """95%, by resampling tasks."""
    without: tuple[str, ...]
    """The people who need training on this question,"""
    alpha_without: float | None
    """and the alpha of all others."""
    pairs_same: Share | None
    """Percent agreement: pairs of answers to one task that are the same. Its interval takes pairs for
    independent, which they are not where tasks have more than two answers."""
    unanimous: Share | None
    """Tasks with two answers or more without dissent."""
    cohen: float | None
    """Mean of the pairs' kappas, weighted by shared tasks."""
    pairs: tuple[PairAgreement, ...]
    fleiss: float | None
    fleiss_tasks: int
    fleiss_answers: int
    """Answers to each of the `fleiss_tasks`."""
    classes: tuple[ClassAgreement, ...]
    """In schema order."""
    confusions: tuple[Confusion, ...]
    """The most frequent first."""

    def worst_first(self) -> list[tuple[float, ClassAgreement]]:
        """The classes that have an alpha, the lowest first; those on hardly any task stand last."""
        known = [(one.alpha, one) for one in self.classes if one.alpha is not None]
        return sorted(known, key=lambda pair: (pair[1].tasks < FEW_TASKS, pair[0]))


@dataclass(frozen=True)
class AgreementReport:
    """Everything that is known of a project's labels. Nobody is named but by pseudonym."""

    tasks: int
    annotated: int
    annotations: int
    """The latest of each person and task."""
    undecided: Share
    gold_tasks: int
    first_at: datetime
    last_at: datetime
    results: dict[str, AnswerAgreement]
    people: tuple[Person, ...]
    findings: tuple[Finding, ...]
    zh: dict[str, dict[str, str]]
    """Chinese names of the labels of both questions."""
    mistakes: dict[int, TaskExample]
    """The tasks that people's mistakes point to, by row."""
    window: int | str

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON can hold it; times in ISO 8601."""
        plain: dict[str, Any] = _plain(asdict(self))
        examples = plain.pop("mistakes")
        for person in plain["people"]:
            for answer in person["answers"].values():
                for mistake in answer["mistakes"]:
                    mistake["examples"] = [examples[str(row)] for row in mistake.pop("rows")]
        return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, datetime) else value
