"""How well signals are found: precision and recall of each on written conversations.

`data/routing_cases.jsonl` holds conversations with planted signals and clean look-alikes, written before the
rules; those of the part `fresh` were written after them, in other words, and no rule was changed for them.
`--chats` counts alarms in chats in which nobody planted anything: {"messages": [{"role", "text"}]} per line.

    python -m assist.routing.measure --chats ../shared/datasets/jd_sessions_unlabelled.jsonl.gz
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from assist.routing.rules import RoutingRules, load_rules
from assist.routing.schema import RouteTurn, SignalKind
from assist.routing.signals import find_signals
from data.files import read_jsonl, write_json

__all__ = ["CASES", "alarms", "main", "measure"]

CASES = Path(__file__).resolve().parents[2] / "data" / "routing_cases.jsonl"
MOST_TURNS = 400
PARTS = ("open", "held_out", "second", "fresh")


def measure(rules: RoutingRules, path: Path | str = CASES) -> dict[str, Any]:
    """Precision, recall and F1 of each signal by part of the cases, and what was missed or wrongly raised.

    Raises:
        ValueError: names file, line and field of a wrong case.
    """
    counts = {part: {kind: [0, 0, 0] for kind in get_args(SignalKind)} for part in PARTS}
    wrong: list[dict[str, str]] = []
    clean = {part: [0, 0] for part in PARTS}
    for number, row in read_jsonl(path):
        part, planted = row.get("part"), set(row.get("signals") or ())
        if part not in PARTS:
            raise ValueError(f"{path}:{number}: part: expected one of {', '.join(PARTS)}, got {part!r}")
        if unknown := planted - set(get_args(SignalKind)):
            raise ValueError(f"{path}:{number}: signals: {sorted(unknown)[0]!r} is no signal")
        turns = [RouteTurn.model_validate(turn) for turn in row["turns"]]
        found = {signal.kind for signal in find_signals(turns, rules).signals}
        for kind in get_args(SignalKind):
            right, raised, there = counts[part][kind]
            counts[part][kind] = [
                right + (kind in found & planted), raised + (kind in found), there + (kind in planted),
            ]  # fmt: skip
            if (kind in found) != (kind in planted):
                what = "missed" if kind in planted else "raised wrongly"
                wrong.append({"case": row["id"], "signal": kind, "what": what})
        if not planted:
            clean[part] = [clean[part][0] + 1, clean[part][1] + (not found)]
    return {
        "version": rules.version,
        "parts": {
            part: {kind: _figures(*counts[part][kind]) for kind in counts[part]}
            | {"all": _figures(*(sum(one[i] for one in counts[part].values()) for i in range(3)))}
            for part in PARTS
        },
        "clean": {part: {"conversations": clean[part][0], "left_alone": clean[part][1]} for part in PARTS},
        "wrong": wrong,
    }


def alarms(rules: RoutingRules, path: Path | str) -> dict[str, Any]:
    """Signals in chats that are as good as all clean, by rule and per 1,000 chats.

    Args:
        path: JSON Lines, also gzipped, with `messages` of role and text.
    """
    chats, with_signal, by_rule, began = 0, 0, Counter[str](), time.process_time()
    opened = gzip.open if str(path).endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8") as handle:
        for line in handle:
            turns = [
                RouteTurn(role=turn["role"], text=turn["text"][:5000])
                for turn in json.loads(line)["messages"]
            ]
            found = find_signals(turns[-MOST_TURNS:], rules).signals
            chats, with_signal = chats + 1, with_signal + bool(found)
            by_rule.update(signal.name for signal in found)
    seconds = time.process_time() - began
    return {
        "chats": chats, "with_signal": with_signal, "per_1000": round(1000 * with_signal / max(chats, 1), 1),
        "by_rule": dict(by_rule.most_common()), "ms_per_chat": round(1000 * seconds / max(chats, 1), 3),
    }  # fmt: skip


def _figures(right: int, raised: int, there: int) -> dict[str, float | int]:
    precision = right / raised if raised else 1.0
    recall = right / there if there else 1.0
    f1 = 2 * right / (raised + there) if raised + there else 1.0
    return {
        "planted": there, "raised": raised, "precision": round(precision, 3), "recall": round(recall, 3),
        "f1": round(f1, 3),
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table and write it as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--wrong", action="store_true", help="name the wrong cases of the open part")
    parser.add_argument("--chats", type=Path, help="count alarms in these chats as well")
    options = parser.parse_args(arguments)
    found = measure(load_rules())
    for part in PARTS:
        print(f"{part:18}{'planted':>9}{'raised':>9}{'precision':>11}{'recall':>9}{'F1':>8}")
        for kind, one in found["parts"][part].items():
            print(
                f"{kind:18}{one['planted']:>9}{one['raised']:>9}{one['precision']:>11.3f}"
                f"{one['recall']:>9.3f}{one['f1']:>8.3f}"
            )
        clean = found["clean"][part]
        print(f"clean look-alikes left alone: {clean['left_alone']} of {clean['conversations']}\n")
    if options.chats:
        found["chats"] = alarms(load_rules(), options.chats)
        print(
            "{chats} chats: {with_signal} with a signal, {per_1000} per 1,000; {by_rule}".format(
                **found["chats"]
            )
        )
    if options.wrong:
        for one in found["wrong"]:
            if one["case"].startswith(("open", "second")):
                print(one["case"], one["signal"], one["what"])
    if options.json:
        write_json(options.json, found)


if __name__ == "__main__":
    main()
