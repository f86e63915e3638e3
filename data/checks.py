"""Checks that examples are fit to learn from, and the data card that shows what they are.

Fails (exit status 1) with every finding listed; the card is written either way.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from data import pii
from data.example import Example, read_examples
from data.files import atomic_write, write_json
from data.split import near_duplicates
from data.taxonomy import Taxonomy, load_taxonomy
from data.text import normalise

__all__ = ["CheckConfig", "check_examples", "data_card", "main"]

# Names and addresses are found by wording and may be invented; these kinds are numbers that ring.
_REAL_KINDS = {"mobile", "landline", "id_card", "bank_card", "passport", "email"}
_TEMPLATE_LENGTH = 8


@dataclass(frozen=True, slots=True)
class CheckConfig:
    """What examples must fulfil. A shop with few labels lowers the counts in `params.yaml`."""

    min_per_category: int = 80
    """Messages without context of each category."""
    min_out_of_scope: int = 250
    """The same for `out_of_scope`, which is anything."""
    min_conversations: int = 500
    min_authors: int = 8
    min_emotion_share: float = 0.08
    min_emotions_per_category: int = 4
    min_hard_per_category: int = 10
    """Rows marked with the neighbouring category they could be taken for."""
    max_template_share: float = 0.01
    """Rows that may share one run of eight characters."""
    near_duplicate: float = 0.9
    """Cosine of character trigrams from which two messages count as one."""
    max_near_duplicates: int = 0


def check_examples(examples: Sequence[Example], taxonomy: Taxonomy, config: CheckConfig) -> list[str]:
    """Every finding in words; empty if the examples are fit."""
    if not examples:
        return ["there are no examples"]
    findings = _labels(examples, taxonomy)
    if findings:
        return findings  # everything below counts by label
    findings += _counts(examples, taxonomy, config)
    findings += _duplicates(examples, config)
    findings += _templates(examples, config)
    findings += _personal_data(examples)
    return findings


def _labels(examples: Sequence[Example], taxonomy: Taxonomy) -> list[str]:
    findings = []
    for row in examples:
        if row.category not in taxonomy.category:
            findings.append(f"{row.id}: category {row.category!r} is not in the label schema")
        if row.emotion not in taxonomy.emotion:
            findings.append(f"{row.id}: emotion {row.emotion!r} is not in the label schema")
        if row.neighbour and row.neighbour not in taxonomy.category:
            findings.append(f"{row.id}: neighbour {row.neighbour!r} is not in the label schema")
        if row.neighbour == row.category:
            findings.append(f"{row.id}: is its own neighbour")
        if not normalise(row.text):
            findings.append(f"{row.id}: text is empty")
    return findings


def _counts(examples: Sequence[Example], taxonomy: Taxonomy, config: CheckConfig) -> list[str]:
    findings = []
    single = [row for row in examples if row.conversation is None]
    count = Counter(row.category for row in single)
    hard = Counter(row.category for row in single if row.neighbour)
    emotions: dict[str, set[str]] = defaultdict(set)
    for row in examples:
        emotions[row.category].add(row.emotion)
    for key in taxonomy.category:
        least = config.min_out_of_scope if key == "out_of_scope" else config.min_per_category
        for name, value, limit in (
            ("messages", count[key], least),
            ("hard messages", hard[key], config.min_hard_per_category),
            ("emotions", len(emotions[key]), config.min_emotions_per_category),
        ):
            if value < limit:
                findings.append(f"category {key}: {value} {name}, at least {limit} are wanted")
    share = Counter(row.emotion for row in examples)
    for key in taxonomy.emotion:
        if share[key] / len(examples) < config.min_emotion_share:
            findings.append(
                f"emotion {key}: {share[key] / len(examples):.3f} of the rows, at least "
                f"{config.min_emotion_share} are wanted"
            )
    for name, value, limit in (
        ("authors", len({row.author for row in examples}), config.min_authors),
        (
            "conversations",
            len({row.conversation for row in examples if row.conversation}),
            config.min_conversations,
        ),
    ):
        if value < limit:
            findings.append(f"{value} {name}, at least {limit} are wanted")
    return findings


def _duplicates(examples: Sequence[Example], config: CheckConfig) -> list[str]:
    findings = []
    single = [row for row in examples if row.conversation is None]
    seen: dict[str, Example] = {}
    for row in single:
        text = normalise(row.text)
        first = seen.setdefault(text, row)
        if first is not row and (len(text) >= 6 or first.category != row.category):
            findings.append(f"{row.id}: same text as {first.id}: {row.text[:40]}")
    left, right = near_duplicates([row.text for row in single], config.near_duplicate)
    pairs = [
        (single[one], single[two])
        for one, two in zip(left, right, strict=True)
        if normalise(single[one].text) != normalise(single[two].text)
    ]
    if len(pairs) > config.max_near_duplicates:
        findings += [
            f"{two.id}: nearly the same as {one.id}: {two.text[:40]} | {one.text[:40]}" for one, two in pairs
        ]
    return findings


def _templates(examples: Sequence[Example], config: CheckConfig) -> list[str]:
    grams: Counter[str] = Counter()
    for row in examples:
        text = normalise(row.text)
        grams.update(
            {text[start : start + _TEMPLATE_LENGTH] for start in range(len(text) - _TEMPLATE_LENGTH + 1)}
        )
    limit = max(2.0, config.max_template_share * len(examples))
    return [
        f"template smell: {gram!r} stands in {count} rows, at most {limit:.0f} are wanted"
        for gram, count in grams.most_common(20)
        if count > limit
    ]


def _personal_data(examples: Sequence[Example]) -> list[str]:
    findings = []
    for row in examples:
        for text in (row.text, *(turn.text for turn in row.context)):
            kinds = {span.kind for span in pii.find(text)} & _REAL_KINDS
            if kinds:
                findings.append(f"{row.id}: looks like real personal data ({', '.join(kinds)})")
                break
    return findings


def data_card(examples: Sequence[Example], taxonomy: Taxonomy) -> dict[str, Any]:
    """Counts a reader of the data wants to see."""
    single = [row for row in examples if row.conversation is None]
    lengths = np.array([len(row.text) for row in examples])
    quantiles = np.percentile(lengths, [0, 5, 25, 50, 75, 95, 100]).astype(int).tolist()
    table: dict[str, dict[str, int]] = {key: dict.fromkeys(taxonomy.emotion, 0) for key in taxonomy.category}
    for row in examples:
        table[row.category][row.emotion] += 1
    return {
        "rows": len(examples),
        "single_messages": len(single),
        "conversations": len({row.conversation for row in examples if row.conversation}),
        "rows_with_context": sum(bool(row.context) for row in examples),
        "hard_rows": sum(bool(row.neighbour) for row in examples),
        "authors": dict(Counter(row.author for row in examples)),
        "emotions": dict(Counter(row.emotion for row in examples)),
        "length_quantiles_0_5_25_50_75_95_100": quantiles,
        "category_by_emotion": table,
    }


def write_card(folder: Path, card: dict[str, Any], taxonomy: Taxonomy, lengths: Sequence[int]) -> None:
    """Write the card as JSON, Markdown and a picture."""
    write_json(folder / "card.json", card)
    emotions = list(taxonomy.emotion)
    lines = [
        "# Data card",
        "",
        f"{card['rows']} labelled customer messages: {card['single_messages']} single ones and "
        f"{card['rows'] - card['single_messages']} turns of {card['conversations']} conversations, "
        f"by {len(card['authors'])} authors. {card['hard_rows']} are marked as hard.",
        "",
        "| category | " + " | ".join(emotions) + " | all |",
        "|---|" + "---:|" * (len(emotions) + 1),
    ]
    for key, counts in card["category_by_emotion"].items():
        cells = [str(counts[emotion]) for emotion in emotions]
        name = f"{key} {taxonomy.category[key].zh}"
        lines.append(f"| {name} | {' | '.join(cells)} | {sum(counts.values())} |")
    with atomic_write(folder / "README.md") as handle:
        handle.write("\n".join(lines) + "\n")
    _picture(folder / "card.png", card, emotions, lengths)


def _picture(path: Path, card: dict[str, Any], emotions: list[str], lengths: Sequence[int]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    categories = list(card["category_by_emotion"])
    counts = np.array([[card["category_by_emotion"][key][name] for name in emotions] for key in categories])
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 12), layout="constrained", width_ratios=[2, 1])
    bottom = np.zeros(len(categories))
    colours = ["#4caf50", "#9e9e9e", "#ffb300", "#ef6c00", "#5c6bc0", "#c62828"]
    for index, name in enumerate(emotions):
        colour = colours[index % len(colours)]
        left.barh(categories, counts[:, index], left=bottom, label=name, color=colour)
        bottom += counts[:, index]
    left.invert_yaxis()
    left.tick_params(axis="y", labelsize=7)
    left.set(title="messages by category and emotion", ylim=(len(categories), -1))
    left.legend(fontsize=8, loc="upper right")
    left.set_xlim(0, counts.sum(axis=1).max() * 1.25)
    right.hist(np.minimum(lengths, 150), bins=30, color="#5c6bc0")
    right.set(title="length of messages", xlabel="characters (150 and more in the last bar)")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    """Stage `check`: the data card, and exit status 1 with the findings if there are any."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--examples", required=True, type=Path)
    parser.add_argument("--taxonomy", type=Path)
    parser.add_argument("--output", required=True, type=Path)
    for item in fields(CheckConfig):
        kind = type(getattr(CheckConfig(), item.name))
        parser.add_argument(f"--{item.name}", type=kind, default=getattr(CheckConfig(), item.name))
    options = vars(parser.parse_args(arguments))
    config = CheckConfig(**{name: options[name] for name in asdict(CheckConfig())})
    taxonomy = load_taxonomy(options["taxonomy"])
    examples = read_examples(options["examples"])
    findings = check_examples(examples, taxonomy, config)
    known = [row for row in examples if row.category in taxonomy.category]
    known = [row for row in known if row.emotion in taxonomy.emotion]
    if known:
        card = data_card(known, taxonomy)
        write_card(options["output"], card, taxonomy, [len(row.text) for row in known])
    if findings:
        for finding in findings[:200]:
            print(finding, file=sys.stderr)
        print(f"{len(findings)} findings; the data is not fit to learn from", file=sys.stderr)
        raise SystemExit(1)
    print(f"{len(examples)} examples are fit; data card -> {options['output']}")


if __name__ == "__main__":
    main()
