"""How well signals are found by wording, by meaning, and by both: on written cases and on real chats.

Only the part `fresh` of data/routing_cases.jsonl is measured: it was written after the rules, in other words,
and neither rules nor examples know it. Real chats (JD, unlabelled) are as good as all clean: what they raise
are alarms that somebody has to look at.

    python -m experiments.signal_quality --model models/shared/exported --json docs/routing-meaning.json
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assist.reading import Embed
from assist.routing.meaning import EXAMPLES, KINDS, SignalSense
from assist.routing.rules import RoutingRules, load_rules
from assist.routing.schema import RouteTurn
from assist.routing.signals import find_signals
from data.files import read_jsonl, write_json
from experiments.grouping_quality import champion

__all__ = ["main", "on_cases", "on_chats"]

WAYS = ("wording", "meaning", "both")


def _kinds(
    turns: Sequence[RouteTurn], rules: RoutingRules, sense: SignalSense, embed: Embed
) -> dict[str, set[str]]:
    """By way, the kinds of signal found in a chat."""
    customer = [(index, turn.text) for index, turn in enumerate(turns) if turn.role == "customer"]
    said = [(index, text) for index, text in customer if text.strip()]
    vectors = list(embed([text[:2000] for _, text in said])) if said else []
    near = sense.judge([(index, text, vector) for (index, text), vector in zip(said, vectors, strict=True)])
    worded = {str(one.kind) for one in find_signals(turns, rules).signals} & set(KINDS)
    meant = {str(one.kind) for one in near}
    return {"wording": worded, "meaning": meant, "both": worded | meant}


def on_cases(rules: RoutingRules, sense: SignalSense, embed: Embed) -> dict[str, Any]:
    """Precision and recall by kind and way on the fresh cases, and clean conversations left alone."""
    counts = {way: {kind: [0, 0, 0] for kind in KINDS} for way in WAYS}
    clean, alone = 0, Counter[str]()
    for _, row in read_jsonl(EXAMPLES):
        if row["part"] != "fresh":
            continue
        turns = [RouteTurn.model_validate(turn) for turn in row["turns"]]
        planted = set(row["signals"])
        found = _kinds(turns, rules, sense, embed)
        clean += not planted
        for way in WAYS:
            alone[way] += not planted and not found[way]
            for kind in KINDS:
                one = counts[way][kind]
                one[0] += kind in planted & found[way]
                one[1] += kind in found[way]
                one[2] += kind in planted
    return {
        way: {
            **{kind: _figures(*counts[way][kind]) for kind in KINDS},
            "all": _figures(*(sum(one[i] for one in counts[way].values()) for i in range(3))),
            "clean_left_alone": f"{alone[way]} of {clean}",
        }
        for way in WAYS
    }


def _figures(right: int, raised: int, there: int) -> dict[str, float]:
    return {
        "precision": round(right / raised, 3) if raised else 1.0,
        "recall": round(right / there, 3) if there else 1.0,
        "f1": round(2 * right / max(raised + there, 1), 3),
    }


def on_chats(path: Path, most: int, rules: RoutingRules, sense: SignalSense, embed: Embed) -> dict[str, Any]:
    """Real chats with a signal, per 1,000, by way and kind."""
    chats, by_way = 0, {way: Counter[str]() for way in WAYS}
    with gzip.open(path, "rt", encoding="utf-8") as handle:
        for line in handle:
            if chats == most:
                break
            said = json.loads(line)["messages"][-400:]
            turns = [RouteTurn(role=turn["role"], text=turn["text"][:5000]) for turn in said]
            chats += 1
            for way, kinds in _kinds(turns, rules, sense, embed).items():
                by_way[way].update(kinds)
                by_way[way]["any"] += bool(kinds)
    share = {
        way: {kind: round(1000 * count / max(chats, 1), 1) for kind, count in sorted(counts.items())}
        for way, counts in by_way.items()
    }
    return {"chats": chats, "per_1000": share}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/shared/exported"))
    parser.add_argument("--chats", type=int, default=200, help="real chats to read")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    embed, _ = champion(options.model)
    rules, sense = load_rules(), SignalSense(embed)
    found: dict[str, Any] = {"cases": on_cases(rules, sense, embed)}
    print(f"{'fresh cases':18}" + "".join(f"{way:>24}" for way in WAYS))
    for kind in (*KINDS, "all"):
        told = [found["cases"][way][kind] for way in WAYS]
        shown = (f"P {one['precision']:.2f} R {one['recall']:.2f} F1 {one['f1']:.2f}" for one in told)
        print(f"{kind:18}" + "".join(f"{one:>24}" for one in shown))
    print("clean left alone  " + "".join(f"{found['cases'][way]['clean_left_alone']:>24}" for way in WAYS))
    path = Path(os.environ.get("KEFU_DATASETS", "../shared/datasets")) / "jd_sessions_unlabelled.jsonl.gz"
    if path.exists():
        found["chats"] = on_chats(path, options.chats, rules, sense, embed)
        print(f"{found['chats']['chats']} real chats, with a signal per 1,000:")
        for way in WAYS:
            print(f"  {way:10}{found['chats']['per_1000'][way]}")
    else:
        print(f"{path} is not there: set KEFU_DATASETS; real chats are left out")
    if options.json:
        write_json(options.json, found)


if __name__ == "__main__":
    main()
