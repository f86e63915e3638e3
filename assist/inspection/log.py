"""Every conversation of a shop's log inspected, and what that says of agents and of the team."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from assist.inspection.inspector import Inspector
from assist.inspection.schema import Inspection, InspectRequest, InspectTurn
from data.files import read_jsonl, write_json, write_jsonl
from data.pii import mask

__all__ = [
    "FEWEST",
    "AgentSummary",
    "LogSummary",
    "inspect_file",
    "inspect_log",
    "masked",
    "read_requests",
    "summarise",
]

FEWEST = 5
"""Conversations below which an account gets no rank."""
EXAMPLES = 3
_Z = 1.959964


class AgentSummary(BaseModel):
    """One account over all its conversations."""

    agent: str
    rank: int | None
    """By mean score, 1 the best; None below `FEWEST` conversations. Accounts meet different customers."""
    chats: int
    score: float | None
    """Mean of the conversations that have a score."""
    low: float | None
    """95 % interval of the mean (normal approximation); None below `FEWEST`."""
    high: float | None
    dimensions: dict[str, float | None]
    """Mean score by dimension, over the conversations in which it could be judged."""
    faults: dict[str, int]
    """Conversations with a finding, by indicator; most frequent first."""
    red_lines: int
    best: list[str]
    """Ids of the best conversations without any finding, most indicators judged first: to learn from."""
    worst: list[str]
    """Ids of the lowest scores, worst first."""


class LogSummary(BaseModel):
    """A whole log."""

    standards: int
    chats: int
    score: float | None
    faults: dict[str, int]
    not_judged: dict[str, int]
    """Conversations in which an indicator could not be judged."""
    agents: list[AgentSummary]
    """Best first; accounts without a rank last."""


def inspect_log(
    inspector: Inspector, requests: Sequence[InspectRequest]
) -> tuple[list[Inspection], LogSummary]:
    """Judge every conversation and sum up.

    Raises:
        ValueError: there are no conversations.
    """
    if not requests:
        raise ValueError("requests: there are no conversations to inspect")
    inspections = inspector.inspect_many(requests)
    return inspections, summarise(inspections)


def summarise(inspections: Sequence[Inspection]) -> LogSummary:
    """Sum up inspections by account.

    Raises:
        ValueError: there are none.
    """
    if not inspections:
        raise ValueError("inspections: there are none to sum up")
    by_agent: dict[str, list[Inspection]] = defaultdict(list)
    for one in inspections:
        by_agent[one.agent].append(one)
    agents = [_agent(agent, own) for agent, own in by_agent.items()]
    agents.sort(key=lambda one: (one.chats < FEWEST, -(one.score or 0.0), one.agent))
    ranked = [account for account in agents if account.chats >= FEWEST and account.score is not None]
    for place, account in enumerate(ranked, 1):
        account.rank = place
    return LogSummary(
        standards=inspections[0].standards,
        chats=len(inspections),
        score=_mean([one.score for one in inspections]),
        faults=_faults(inspections),
        not_judged=dict(Counter(key for one in inspections for key in one.not_judged).most_common()),
        agents=agents,
    )


def _agent(agent: str, own: Sequence[Inspection]) -> AgentSummary:
    scores = [one.score for one in own if one.score is not None]
    mean = _mean(scores)
    half = None
    if mean is not None and len(scores) >= FEWEST:
        exact = sum(scores) / len(scores)
        spread = math.sqrt(sum((score - exact) ** 2 for score in scores) / (len(scores) - 1))
        half = _Z * spread / math.sqrt(len(scores))
    flawless = sorted(
        (one for one in own if not one.findings and one.score is not None),
        key=lambda one: (len(one.not_judged), -(one.score or 0.0), one.id),
    )
    flawed = sorted(
        (one for one in own if one.findings and one.score is not None),
        key=lambda one: (one.score or 0.0, one.id),
    )
    keys = [dimension.dimension for dimension in own[0].dimensions]
    return AgentSummary(
        agent=agent,
        rank=None,
        chats=len(own),
        score=mean,
        low=None if half is None or mean is None else round(max(0.0, mean - half), 1),
        high=None if half is None or mean is None else round(min(100.0, mean + half), 1),
        dimensions={
            key: _mean([one.dimensions[place].score for one in own]) for place, key in enumerate(keys)
        },
        faults=_faults(own),
        red_lines=sum(one.red_line for one in own),
        best=[one.id for one in flawless[:EXAMPLES]],
        worst=[one.id for one in flawed[:EXAMPLES]],
    )


def _faults(inspections: Sequence[Inspection]) -> dict[str, int]:
    return dict(
        Counter(
            key for one in inspections for key in {found.indicator for found in one.findings}
        ).most_common()
    )


def _mean(scores: Sequence[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return round(sum(known) / len(known), 1) if known else None


def read_requests(path: Path | str, complete_until: datetime | None = None) -> list[InspectRequest]:
    """Conversations of a file, one a line: `{"id", "agent"?, "turns": [{"role", "text", "sent_at"?}]}` as in
    `data/demo_shop`, or `"messages"` in place of `"turns"`. Those without a turn of the agent are left out.

    Raises:
        ValueError: names file, line and field of the first wrong row; the file holds nothing to inspect.
    """
    found = []
    for number, row in read_jsonl(path):
        where = f"{path}:{number}"
        turns = row.get("turns", row.get("messages"))
        if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
            raise ValueError(f"{where}: turns: expected a list of objects with role and text")
        if not any(turn.get("role") == "agent" for turn in turns):
            continue
        try:
            found.append(
                InspectRequest(
                    id=str(row.get("id", number)),
                    agent=row.get("agent", "agent"),
                    turns=[InspectTurn(**_turn(turn)) for turn in turns],
                    complete_until=complete_until,
                )
            )
        except (ValidationError, TypeError) as error:
            raise ValueError(f"{where}: {_reason(error)}") from error
    if not found:
        raise ValueError(f"{path}: holds no conversation with a turn of an agent")
    return found


def _turn(turn: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {name: turn[name] for name in ("role", "text", "sent_at") if name in turn}
    if turn.get("role") == "customer":
        kept |= {name: turn[name] for name in ("emotion", "alert") if name in turn}
    return kept


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"{place}: {first['msg']}" if place else str(first["msg"])
    return str(error)


def masked(inspection: Inspection) -> Inspection:
    """The same without personal data in quoted words; positions are those of the conversation as it was."""
    findings = [
        one.model_copy(update={"words": mask(one.words), "reason": mask(one.reason)})
        for one in inspection.findings
    ]
    return inspection.model_copy(update={"findings": findings})


def inspect_file(
    path: Path | str,
    output: Path | str,
    inspector: Inspector | None = None,
    complete_until: datetime | None = None,
) -> LogSummary:
    """Inspect a log: writes `inspections.jsonl` and `summary.json` into the folder `output`, masked.

    Args:
        path: conversations as `read_requests` takes them.
        inspector: without models when None.
        complete_until: until when the log is whole.

    Raises:
        ValueError: names file, line and field of the first wrong row; nothing is written.
    """
    requests = read_requests(path, complete_until)
    inspections, summary = inspect_log(inspector or Inspector(), requests)
    folder = Path(output)
    write_jsonl(folder / "inspections.jsonl", (masked(one).model_dump(mode="json") for one in inspections))
    write_json(folder / "summary.json", summary.model_dump(mode="json"))
    return summary
