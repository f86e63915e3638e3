"""Does our model hold on another shop's chats? JD.com's intents against the champion's categories.

    KEFU_DATASETS=FOLDER python -m experiments.transfer --record benchmarks/transfer.json --docs docs/transfer.md

`transfer_jddc.yaml` says which of our categories an intent's name covers; intents that none covers are left
out. Agreement is the share of messages whose first category is one of those: an intent is assigned in its
dialogue by other people for another scheme, so full agreement is not to be had. Messages that were missed or
abstained from are listed, masked, in a local file only: the set may not be quoted.
"""

# ruff: noqa: E501  (prose)
from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from tqdm import tqdm

from assist.reports.intervals import wilson
from data.example import Example
from data.files import atomic_write, write_json, write_jsonl
from data.pii import mask
from data.sources.public import read_public
from data.text import normalise
from serving.exported import ExportedModel

__all__ = ["load_mapping", "main", "page", "transfer"]

MAPPING = Path(__file__).with_name("transfer_jddc.yaml")
_BLOCK, _SHOWN = 64, 15


def load_mapping(categories: Sequence[str], path: Path = MAPPING) -> dict[str, list[str]]:
    """Intent to the categories that its name covers.

    Raises:
        ValueError: an intent names no category, or one that the schema does not have.
    """
    found: dict[str, list[str]] = yaml.safe_load(path.read_text(encoding="utf-8"))
    for intent, names in found.items():
        unknown = [name for name in names if name not in categories] if isinstance(names, list) else [names]
        if unknown or not names:
            raise ValueError(f"{path}: {intent}: expected a list of categories, got {names!r}")
    return found


def transfer(
    model: ExportedModel, rows: Sequence[Example], mapping: Mapping[str, Sequence[str]], progress: bool = True
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Figures, and the messages (masked) that were missed or abstained from, most frequent first.

    Args:
        rows: messages whose `category` is the intent.

    Raises:
        ValueError: no row has a mapped intent.
    """
    known = [row for row in rows if row.category in mapping]
    if not known:
        raise ValueError("none of the rows has an intent of the mapping")
    scores = _scores(model, known, progress)
    labels = model.labels["category"]
    order = np.argsort(-scores, axis=1, kind="stable")
    top = [labels[index] for index in order[:, 0]]
    hit = np.array([guess in mapping[row.category] for guess, row in zip(top, known, strict=True)])
    near = np.array(
        [
            any(labels[index] in mapping[row.category] for index in best)
            for best, row in zip(order[:, :3], known, strict=True)
        ]
    )
    sure = scores.max(axis=1) >= float(model.calibration["category"]["abstain_below"])
    context = np.array([bool(row.context) for row in known])
    figures = {
        "rows": len(rows),
        "mapped": len(known),
        "intents": len({row.category for row in known}),
        "agreement": _share(hit),
        "agreement_top3": _share(near),
        "answered": _share(sure),
        "agreement_of_answered": _share(hit[sure]),
        "agreement_with_context": _share(hit[context]),
        "agreement_without_context": _share(hit[~context]),
        "by_intent": _by_intent(known, top, hit, sure),
    }
    return figures, _missed(known, top, hit, sure)


def _scores(model: ExportedModel, rows: Sequence[Example], progress: bool) -> NDArray[np.floating[Any]]:
    found = []
    with tqdm(total=len(rows), unit="message", disable=not progress) as bar:
        for start in range(0, len(rows), _BLOCK):
            block = [(row.text, row.context) for row in rows[start : start + _BLOCK]]
            found.append(model.probabilities(block)["category"])
            bar.update(len(block))
    return np.concatenate(found)


def _share(hits: NDArray[np.bool_]) -> dict[str, float] | None:
    if not len(hits):
        return None
    low, high = wilson(float(hits.mean()), len(hits))
    return {"value": float(hits.mean()), "low": low, "high": high, "rows": len(hits)}


def _by_intent(
    rows: Sequence[Example], top: Sequence[str], hit: NDArray[np.bool_], sure: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    found = []
    for intent, count in Counter(row.category for row in rows).most_common():
        places = [place for place, row in enumerate(rows) if row.category == intent]
        instead = Counter(top[place] for place in places if not hit[place]).most_common(2)
        found.append(
            {
                "intent": intent,
                "rows": count,
                "agreement": float(hit[places].mean()),
                "answered": float(sure[places].mean()),
                "instead": [name for name, _ in instead],
            }
        )
    return found


def _missed(
    rows: Sequence[Example], top: Sequence[str], hit: NDArray[np.bool_], sure: NDArray[np.bool_]
) -> list[dict[str, Any]]:
    wrong = [place for place in range(len(rows)) if not (hit[place] and sure[place])]
    times = Counter(normalise(rows[place].text) for place in wrong)
    told: dict[str, dict[str, Any]] = {}
    for place in wrong:
        row, key = rows[place], normalise(rows[place].text)
        told.setdefault(
            key,
            {
                "times": times[key],
                "text": mask(row.text),
                "context": [mask(turn.text) for turn in row.context[-2:]],
                "intent": row.category,
                "answer": top[place],
                "abstained": not bool(sure[place]),
            },
        )
    return sorted(told.values(), key=lambda one: -one["times"])


def page(figures: Mapping[str, Any]) -> str:
    """The Markdown page; no message of the set stands in it."""

    def told(name: str) -> str:
        one = figures[name]
        return (
            f"{100 * one['value']:.1f} % [{100 * one['low']:.1f}, {100 * one['high']:.1f}] of {one['rows']:,}"
        )

    lines = [
        "# Does it transfer?",
        "",
        "`KEFU_DATASETS=FOLDER python -m experiments.transfer --record benchmarks/transfer.json --docs docs/transfer.md`",
        "",
        "The champion, trained on the embedded corpus alone, asked about real messages of JD.com's customer service",
        f"(JDDC). {figures['mapped']:,} of {figures['rows']:,} labelled messages have one of {figures['intents']} intents",
        "whose name one or more of our categories cover ([the mapping](../experiments/transfer_jddc.yaml), made by names",
        "before an answer was seen). 95 % intervals over messages.",
        "",
        "| | |",
        "|---|---:|",
        f"| first category agrees | {told('agreement')} |",
        f"| one of the first three agrees | {told('agreement_top3')} |",
        f"| answered (not abstained) | {told('answered')} |",
        f"| agrees, of those answered | {told('agreement_of_answered')} |",
        f"| agrees, with turns before it | {told('agreement_with_context')} |",
        f"| agrees, first of its chat | {told('agreement_without_context')} |",
        "",
        f"The {_SHOWN} commonest intents:",
        "",
        "| intent | messages | agrees | answered | most often instead |",
        "|---|---:|---:|---:|---|",
    ]
    for one in figures["by_intent"][:_SHOWN]:
        instead = ", ".join(f"`{name}`" for name in one["instead"])
        lines.append(
            f"| {one['intent']} | {one['rows']} | {100 * one['agreement']:.0f} % | {100 * one['answered']:.0f} % "
            f"| {instead} |"
        )
    return "\n".join([*lines, ""])


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask an exported model about JDDC's messages and write how far it agrees."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--exported", type=Path, default=Path("models/shared/exported"))
    parser.add_argument("--record", type=Path, help="JSON file of the figures")
    parser.add_argument("--docs", type=Path, help="Markdown page; what follows its `## ` stays")
    parser.add_argument("--missed", type=Path, default=Path(".kefu/transfer/missed.jsonl"))
    options = parser.parse_args(arguments)
    model = ExportedModel(options.exported)
    rows = list(read_public("jddc-intents")["all"])
    figures, missed = transfer(model, rows, load_mapping(model.labels["category"]))
    write_jsonl(options.missed, missed)
    if options.record:
        write_json(options.record, figures)
    if options.docs:
        before = options.docs.read_text(encoding="utf-8") if options.docs.is_file() else ""
        place = before.find("\n## ")
        with atomic_write(options.docs) as handle:
            handle.write(page(figures) + (before[place:] if place >= 0 else ""))
    print(page(figures))
    print(f"missed or abstained, masked, not to be passed on -> {options.missed}")


if __name__ == "__main__":
    main()
