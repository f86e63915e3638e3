"""The one line on top of a comparison: better, worse, or cannot tell; on how many rows, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.paired import Difference

__all__ = ["MIN_ROWS", "RULE", "Verdict", "judge", "signed"]

MIN_ROWS = 50
"""On fewer rows a bootstrap interval is too narrow to be believed."""

RULE = (
    "B is better if the 95 % interval of its gain in macro-F1 lies above 0 for at least one task and below "
    "0 for none, and its red-alert recall (angry messages above the model's own threshold) is not "
    "significantly lower. B is worse if the same holds with A and B exchanged. Everything else, and any "
    f"comparison on fewer than {MIN_ROWS} rows, cannot be told. Intervals are paired: each resample draws "
    "whole conversations with replacement, and both models are measured on the same rows."
)
_WORDS = {1: "better", -1: "worse", 0: "cannot tell"}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reviewer reads first."""

    word: str
    """"better", "worse" (B against A), or "cannot tell"."""
    headline: str
    """Who beats whom."""
    detail: str
    """The figures, and the number of rows that they rest on."""
    reasons: list[str]

    @property
    def line(self) -> str:
        """All of it in one line."""
        return f"{self.word.capitalize()}: {self.headline}. {self.detail}"


def judge(
    a: str,
    b: str,
    figures: Mapping[str, Mapping[str, Difference]],
    rows: int,
    groups: int,
    evidence: Sequence[str] = (),
) -> Verdict:
    """Decide by `RULE`.

    Args:
        a, b: names of the models; the verdict is on b.
        figures: by task `macro_f1`, and where known `angry_recall`.
        rows, groups: test rows in common, and independent groups among them.
        evidence: further sentences for the reasons.
    """
    signs = {task: found["macro_f1"].sign for task, found in figures.items()}
    red = next((found["angry_recall"] for found in figures.values() if "angry_recall" in found), None)
    decided = 0
    for way in (1, -1):
        agreed = any(sign == way for sign in signs.values()) and not any(
            sign == -way for sign in signs.values()
        )
        if agreed and not (red is not None and red.sign == -way):
            decided = way
    reasons = [_task_reason(task, found["macro_f1"]) for task, found in figures.items()]
    if red is not None and red.sign:
        reasons.append(f"Red-alert recall changed by {_points(red)}: from {red.a:.1%} to {red.b:.1%}.")
    if rows < MIN_ROWS:
        decided = 0
        reasons.insert(0, f"{rows} rows are too few to tell anything; {MIN_ROWS} are needed.")
    elif decided == 0 and any(signs.values()):
        contradicts = "the tasks contradict each other" if len(set(signs.values()) - {0}) == 2 else (
            "red-alert recall contradicts the gain or loss in macro-F1"
        )  # fmt: skip
        reasons.insert(0, f"There are differences, but {contradicts}.")
    word = _WORDS[decided]
    told = ", ".join(f"{task} {_points(found['macro_f1'])}" for task, found in figures.items())
    heads = {1: f"{b} beats {a}", -1: f"{b} loses to {a}"}
    head = heads.get(decided, f"{b} may be as good as {a}, or not")
    counted = f"{rows:,} test rows" + (f" in {groups:,} independent groups" if groups != rows else "")
    detail = f"Macro-F1, in points: {told}; on the same {counted}."
    return Verdict(word, head, detail, [*reasons, *evidence])


def _points(found: Difference) -> str:
    """A difference in percentage points with its interval; a true minus sign."""
    return f"{signed(100 * found.value)} ({signed(100 * found.low)} to {signed(100 * found.high)})"


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign, a true minus; 0 has none."""
    text = f"{value:+.{digits}f}"
    return text[1:] if not float(text) else text.replace("-", "\N{MINUS SIGN}")


def _task_reason(task: str, found: Difference) -> str:
    where = {1: "lies above 0", -1: "lies below 0", 0: "includes 0"}[found.sign]
    return (
        f"{task.capitalize()}: macro-F1 {100 * found.a:.1f} for A and {100 * found.b:.1f} for B; "
        f"the 95 % interval of the difference {where}."
    )
