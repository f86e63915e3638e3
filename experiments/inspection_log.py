"""`kefu inspect`: judge a shop's log with the packaged champions, and say what was found."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from assist.inspection.conformity import ScriptIndex
from assist.inspection.facts import PassageCheck
from assist.inspection.inspector import Inspector
from assist.inspection.log import LogSummary, inspect_file
from assist.knowledge.base import KnowledgeBase
from assist.knowledge.intake import default_path
from assist.scripts.library import load_library
from serving.offline import packaged_predictor
from serving.schema import MAX_TEXT, AnalyzeRequest

__all__ = ["inspect_log_file"]

_PASS = 256


def inspect_log_file(log: Path, output: Path) -> LogSummary:
    """Judge every conversation of a log, write `inspections.jsonl` and `summary.json`, print the accounts.

    Args:
        log: chats in the form of data/demo_shop/README.md.
        output: folder.

    Raises:
        ValueError: names line and field of the first wrong row.
        serving.package.NotPackagedError: there are no champions.
    """
    predictor = packaged_predictor()

    def read_emotion(texts: list[str]) -> list[dict[str, float]]:
        found: list[dict[str, float]] = []
        for start in range(0, len(texts), _PASS):
            part = [AnalyzeRequest(text=text[:MAX_TEXT], top=1) for text in texts[start : start + _PASS]]
            found += [answer.emotion.scores for answer in predictor.analyze(part)]
        return found

    passages = KnowledgeBase(default_path()).standing_texts()
    inspector = Inspector(
        library=ScriptIndex((one.id, one.text) for one in load_library().scripts),
        knowledge=PassageCheck(passages) if passages else None,
        read_emotion=read_emotion,  # type: ignore[arg-type]
    )
    summary = inspect_file(log, output, inspector)
    _show(summary, output)
    return summary


def _show(summary: LogSummary, output: Path) -> None:
    console = Console()
    table = Table(title=f"{summary.chats} chats, standards {summary.standards}, mean score {summary.score}")
    for name in ("account", "chats", "score", "95 %", "red lines", "most frequent faults (chats)"):
        table.add_column(name)
    for row in summary.agents:
        interval = "" if row.low is None else f"{row.low:.0f} to {row.high:.0f}"
        faults = ", ".join(f"{key} {count}" for key, count in list(row.faults.items())[:4])
        score = "" if row.score is None else f"{row.score:.1f}"
        table.add_row(row.agent, str(row.chats), score, interval, str(row.red_lines), faults)
    console.print(table)
    console.print(f"findings: {output / 'inspections.jsonl'}")
