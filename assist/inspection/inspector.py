"""One conversation judged by the standards: indicators, dimensions, a score, and what could not be judged."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from assist.inspection.ability import accuracy, effectiveness, evasion
from assist.inspection.attitude import forbidden, friendliness, overpromise, politeness, pressure, soothing
from assist.inspection.communication import asks_again, repetition, script, understanding
from assist.inspection.conformity import NearestScript
from assist.inspection.deadlines import broken_promise
from assist.inspection.efficiency import average_response, first_response, handling_time
from assist.inspection.facts import Check
from assist.inspection.schema import (
    DimensionScore,
    IndicatorScore,
    Inspection,
    InspectionFinding,
    InspectRequest,
)
from assist.inspection.standards import Indicator, Standards, load_standards
from assist.inspection.view import Feelings, Outcome, ReadEmotion, View

__all__ = ["Inspector"]


class Inspector:
    """Inspects conversations.

    Args:
        standards: the embedded ones when None.
        library: tells how near a text is to the shop's scripts (`conformity.ScriptIndex`); without one script
            conformity is not judged.
        knowledge: holds an answer against knowledge (`facts.PassageCheck`); without one accuracy is not
            judged.
        read_emotion: texts to the probability of each emotion key; without one friendliness is not judged,
            and soothing only where the turns carry alert levels or emotions.
    """

    def __init__(
        self,
        standards: Standards | None = None,
        library: NearestScript | None = None,
        knowledge: Check | None = None,
        read_emotion: ReadEmotion | None = None,
    ) -> None:
        self.standards = standards or load_standards()
        self.read_emotion = read_emotion
        self._rules: dict[str, Callable[[View], Outcome]] = {
            "politeness": politeness,
            "friendliness": friendliness,
            "soothing": soothing,
            "forbidden": forbidden,
            "accuracy": lambda view: accuracy(view, knowledge),
            "effectiveness": effectiveness,
            "overpromise": overpromise,
            "broken_promise": broken_promise,
            "evasion": evasion,
            "understanding": understanding,
            "script": lambda view: script(view, library),
            "repetition": repetition,
            "asks_again": asks_again,
            "pressure": pressure,
            "first_response": first_response,
            "average_response": average_response,
            "handling_time": handling_time,
        }

    def inspect(self, request: InspectRequest) -> Inspection:
        """Judge one conversation."""
        return self.inspect_many([request])[0]

    def inspect_many(self, requests: Sequence[InspectRequest]) -> list[Inspection]:
        """Judge conversations, in their order; the emotion model reads each text once, in one call.

        Raises:
            ValueError: `read_emotion` did not answer for every text.
        """
        feelings = None if self.read_emotion is None else _feelings(self.read_emotion, requests)
        found = []
        for request in requests:
            own = None if feelings is None else [feelings[turn.text] for turn in request.turns]
            found.append(self._inspect(View(request, self.standards, own)))
        return found

    def _inspect(self, view: View) -> Inspection:
        standards = self.standards
        dimensions: list[DimensionScore] = []
        findings: list[InspectionFinding] = []
        not_judged: dict[str, str] = {}
        for dimension in standards.dimensions:
            scores: list[tuple[float, float]] = []
            rows: list[IndicatorScore] = []
            for indicator in dimension.indicators:
                outcome = self._rules[indicator.key](view)
                if not outcome.judged:
                    not_judged[indicator.key] = outcome.note
                own = [self._finding(view, indicator, outcome, place) for place in range(len(outcome.faults))]
                findings += own
                score = self._score(outcome, own)
                if score is not None:
                    scores.append((indicator.weight, score))
                rows.append(
                    IndicatorScore(
                        indicator=indicator.key,
                        zh=indicator.zh,
                        score=None if score is None else round(100 * score, 1),
                        findings=len(own),
                        note=outcome.note,
                    )
                )
            dimensions.append(
                DimensionScore(dimension=dimension.key, zh=dimension.zh, score=_mean(scores), indicators=rows)
            )
        total = _mean([
            (dimension.weight, row.score / 100)
            for dimension, row in zip(standards.dimensions, dimensions, strict=True)
            if row.score is not None
        ])  # fmt: skip
        red = any(finding.indicator in standards.red_line for finding in findings)
        if red and total is not None:
            total = min(total, standards.cap)
        return Inspection(
            id=view.request.id,
            agent=view.request.agent,
            standards=standards.version,
            score=total,
            red_line=red,
            dimensions=dimensions,
            findings=sorted(findings, key=lambda one: (one.turn, one.start, one.indicator)),
            not_judged=not_judged,
            sessions=len(view.sessions),
        )

    def _finding(self, view: View, indicator: Indicator, outcome: Outcome, place: int) -> InspectionFinding:
        fault = outcome.faults[place]
        return InspectionFinding(
            indicator=indicator.key,
            zh=indicator.zh,
            severity=fault.severity or indicator.severity,  # type: ignore[arg-type]
            turn=fault.turn,
            words=view.turns[fault.turn].text[fault.start : fault.end],
            start=fault.start,
            end=fault.end,
            reason=fault.reason,
            advice=fault.advice,
        )

    def _score(self, outcome: Outcome, findings: Sequence[InspectionFinding]) -> float | None:
        """An indicator's own score, less what its findings take."""
        if not outcome.judged:
            return None
        left = 1.0 - sum(self.standards.penalties[one.severity] for one in findings)
        return max(0.0, min(left, 1.0 if outcome.score is None else outcome.score))


def _feelings(read: ReadEmotion, requests: Sequence[InspectRequest]) -> dict[str, Feelings]:
    # Canned answers come again and again in a log.
    texts = list(dict.fromkeys(turn.text for request in requests for turn in request.turns))
    answers = read(texts) if texts else []
    if len(answers) != len(texts):
        raise ValueError(f"read_emotion: answered {len(answers)} of {len(texts)} texts")
    return dict(zip(texts, answers, strict=True))


def _mean(scores: Sequence[tuple[float, float]]) -> float | None:
    """Weighted mean of shares as 0 to 100; None of nothing."""
    total = sum(weight for weight, _ in scores)
    return round(100 * sum(weight * score for weight, score in scores) / total, 1) if total else None
