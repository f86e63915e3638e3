"""How well inspection finds planted faults: precision, recall and F1 of every indicator.

    python -m experiments.inspection_quality --model models/shared/exported

The unit is a conversation and an indicator: is the fault reported where it was planted, and nowhere else?
`turns` says in how many of the right reports the turn is right as well. Rules and limits were set on the even
conversations; the odd ones are held out. Feelings and alert levels come from the emotion model, not from the
labels of the file.

One writer wrote conversations and wordings, so a wording may owe its place to a held-out conversation. The
third table is the lower bound: the held-out half with every wording of the standards struck out that occurs
in held-out conversations and in no other.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from assist.inspection.conformity import ScriptIndex
from assist.inspection.facts import PassageCheck
from assist.inspection.inspector import Inspector
from assist.inspection.schema import Inspection, InspectRequest, InspectTurn
from assist.inspection.standards import DEFAULT_PATH, parse_standards
from assist.inspection.view import plain
from assist.scripts.library import load_library
from data.files import read_jsonl, write_json
from data.tables import Table

__all__ = [
    "FOLDER",
    "Planted",
    "Quality",
    "answers",
    "main",
    "quality",
    "read_planted",
    "shop_check",
    "shop_scripts",
    "struck",
]

FOLDER = Path(__file__).resolve().parent.parent / "data" / "inspection"
WHOLE_UNTIL = "2026-11-30T00:00:00+08:00"
"""The planted log ends before that, and nothing is missing in it."""


@dataclass(frozen=True)
class Planted:
    """A conversation, the faults in it by indicator with their turns, and the look-alikes."""

    request: InspectRequest
    faults: Mapping[str, frozenset[int]]
    clean_for: frozenset[str]
    held_out: bool


@dataclass(frozen=True)
class Quality:
    """Counts of conversations for one indicator."""

    indicator: str
    planted: int
    found: int
    """Reported and planted."""
    false: int
    """Reported and not planted."""
    missed: int
    fooled: int
    """Of the false ones, conversations with a look-alike of this indicator."""
    lookalikes: int
    turns: int
    """Of the found ones, those reported at a planted turn."""
    precision: float | None
    recall: float | None
    f1: float | None


def read_planted(path: Path = FOLDER / "planted.jsonl") -> list[Planted]:
    """The planted conversations, without the emotions that their writer meant."""
    found = []
    for _, row in read_jsonl(path):
        faults: dict[str, set[int]] = defaultdict(set)
        for fault in row["faults"]:
            faults[fault["indicator"]].add(fault["turn"])
        turns = [
            InspectTurn(**{key: turn[key] for key in ("role", "text", "sent_at")}) for turn in row["turns"]
        ]
        request = InspectRequest.model_validate(
            {"id": row["id"], "agent": row["agent"], "turns": turns, "complete_until": WHOLE_UNTIL}
        )
        found.append(
            Planted(
                request,
                {key: frozenset(places) for key, places in faults.items()},
                frozenset(row["clean_for"]),
                held_out=int(row["id"].rsplit("-", 1)[1]) % 2 == 1,
            )
        )
    return found


def shop_check(path: Path = FOLDER / "passages.jsonl") -> PassageCheck:
    """What is true in the shop of the planted conversations."""
    return PassageCheck([row["text"] for _, row in read_jsonl(path)])


def shop_scripts() -> ScriptIndex:
    """The embedded script library."""
    return ScriptIndex([(script.id, script.text) for script in load_library().scripts])


def answers(path: Path = FOLDER / "answers.jsonl") -> dict[str, int]:
    """The check of answers on single questions, on which it was set: counts as `truth -> verdict`."""
    check = shop_check()
    counts: dict[str, int] = defaultdict(int)
    for _, row in read_jsonl(path):
        counts[f"{row['truth']} -> {check(row['question'], row['answer']).kind}"] += 1
    return dict(sorted(counts.items()))


def struck(planted: Sequence[Planted]) -> tuple[dict[str, Any], int]:
    """The embedded standards without wordings that only held-out conversations have, and their number."""
    texts = {
        held: [plain(turn.text) for one in planted if one.held_out == held for turn in one.request.turns]
        for held in (True, False)
    }
    raw = yaml.safe_load(DEFAULT_PATH.read_text(encoding="utf-8"))
    count = 0
    for section in ("words", "also"):
        for name, wordings in raw[section].items():
            kept = []
            for wording in wordings:
                held, tuned = (any(re.search(wording, text) for text in texts[key]) for key in (True, False))
                if tuned or not held:
                    kept.append(wording)
            count += len(wordings) - len(kept)
            raw[section][name] = kept
    return raw, count


def quality(
    planted: Sequence[Planted], inspections: Sequence[Inspection], indicators: Sequence[str]
) -> list[Quality]:
    """Precision, recall and F1 of every indicator, and of all together (`all`)."""
    rows = []
    for indicator in indicators:
        found = false = missed = fooled = turns = lookalikes = 0
        for one, inspection in zip(planted, inspections, strict=True):
            places = {finding.turn for finding in inspection.findings if finding.indicator == indicator}
            truth = one.faults.get(indicator, frozenset())
            lookalikes += indicator in one.clean_for
            if places and truth:
                found += 1
                turns += bool(places & truth)
            elif places:
                false += 1
                fooled += indicator in one.clean_for
            elif truth:
                missed += 1
        rows.append(_row(indicator, found, false, missed, fooled, lookalikes, turns))
    total = [sum(getattr(row, name) for row in rows)
             for name in ("found", "false", "missed", "fooled", "lookalikes", "turns")]  # fmt: skip
    return [*rows, _row("all", *total)]


def _row(
    indicator: str, found: int, false: int, missed: int, fooled: int, lookalikes: int, turns: int
) -> Quality:
    precision = found / (found + false) if found + false else None
    recall = found / (found + missed) if found + missed else None
    f1 = 2 * found / (2 * found + false + missed) if found + false + missed else None
    return Quality(
        indicator, found + missed, found, false, missed, fooled, lookalikes, turns, precision, recall, f1
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Inspect the planted conversations and print a table of both halves."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/shared/exported"), help="exported model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("docs/inspection.json"))
    parser.add_argument("--show", choices=("tuned", "held_out"), help="print the errors of one half")
    options = parser.parse_args(arguments)
    from experiments.inspection_reader import emotion_reader, exported_predictor, with_readings

    planted = read_planted()
    requests = with_readings(
        [one.request for one in planted], exported_predictor(options.model, options.threads)
    )
    scripts = shop_scripts()
    inspector = Inspector(
        library=scripts,
        knowledge=shop_check(),
        read_emotion=emotion_reader(options.model, options.threads),
    )
    inspections = inspector.inspect_many(requests)
    indicators = list(inspector.standards.indicators)
    result: dict[str, Any] = {
        "standards": inspector.standards.version, "model": str(options.model), "scripts": len(scripts),
    }  # fmt: skip
    for name, held in (("tuned", False), ("held_out", True)):
        chosen = [place for place, one in enumerate(planted) if one.held_out == held]
        rows = quality([planted[at] for at in chosen], [inspections[at] for at in chosen], indicators)
        result[name] = {"chats": len(chosen), "indicators": [asdict(row) for row in rows]}
        print(f"{name}: {len(chosen)} conversations\n\n{Table(rows)}\n")
        if options.show == name:
            _show([planted[at] for at in chosen], [inspections[at] for at in chosen])
    result["answers"] = answers()
    print(f"single answers: {result['answers']}\n")
    raw, words = struck(planted)
    inspector = Inspector(
        parse_standards(raw), library=scripts, knowledge=shop_check(), read_emotion=inspector.read_emotion
    )
    chosen = [place for place, one in enumerate(planted) if one.held_out]
    inspections = inspector.inspect_many([requests[at] for at in chosen])
    rows = quality([planted[at] for at in chosen], inspections, indicators)
    result["held_out_struck"] = {
        "chats": len(chosen), "wordings_struck": words, "indicators": [asdict(row) for row in rows],
    }  # fmt: skip
    print(f"held out, {words} wordings struck out:\n\n{Table(rows)}\n")
    if (earlier := options.output).is_file():
        result = json.loads(earlier.read_text(encoding="utf-8")) | {"quality": result}
    else:
        result = {"quality": result}
    write_json(options.output, result)


def _show(planted: Sequence[Planted], inspections: Sequence[Inspection]) -> None:
    for one, inspection in zip(planted, inspections, strict=True):
        found = {finding.indicator for finding in inspection.findings}
        for indicator in sorted(found ^ set(one.faults)):
            kind = "false" if indicator in found else "missed"
            words = [(f.turn, f.words, f.reason) for f in inspection.findings if f.indicator == indicator]
            print(kind, indicator, one.request.id, words)


if __name__ == "__main__":
    main()
