"""Checks that examples are fit to learn from.

Fails (exit status 1) with every finding listed; the card is written either way.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import yaml

from data import pii
from data.card import data_card, write_card
from data.example import Example, read_examples
from data.split import near_duplicates
from data.taxonomy import Taxonomy, load_taxonomy
from data.text import normalise

__all__ = ["CheckConfig", "check_examples", "implicit_shares", "main", "read_obvious_words"]

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
    obvious_words: str = ""
    """YAML file, category to a regular expression of the words that name it outright; empty skips."""
    min_implicit_share: float = 0.33
    """Messages of each listed category without those words."""
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
    findings += _implicit(examples, taxonomy, config)
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


def _implicit(examples: Sequence[Example], taxonomy: Taxonomy, config: CheckConfig) -> list[str]:
    if not config.obvious_words:
        return []
    findings = []
    for key, share in implicit_shares(examples, read_obvious_words(config.obvious_words, taxonomy)).items():
        if share < config.min_implicit_share:
            findings.append(
                f"category {key}: {share:.2f} of the messages lack its obvious words, at least "
                f"{config.min_implicit_share} are wanted"
            )
    return findings


def read_obvious_words(path: Path | str, taxonomy: Taxonomy) -> dict[str, re.Pattern[str]]:
    """Category to the pattern of the words that name it outright.

    Raises:
        ValueError: names the entry that is no category or no regular expression.
    """
    patterns = {}
    for key, words in yaml.safe_load(Path(path).read_text(encoding="utf-8")).items():
        if key not in taxonomy.category:
            raise ValueError(f"{path}: {key!r} is no category of the label schema")
        try:
            patterns[key] = re.compile(words)
        except re.error as error:
            raise ValueError(f"{path}: {key}: {words!r} is no regular expression: {error}") from error
    return patterns


def implicit_shares(examples: Sequence[Example], words: Mapping[str, re.Pattern[str]]) -> dict[str, float]:
    """By category, the share of single messages that say their wish without the words that name it."""
    seen: Counter[str] = Counter()
    implicit: Counter[str] = Counter()
    for row in examples:
        if row.conversation is None and row.category in words:
            seen[row.category] += 1
            implicit[row.category] += not words[row.category].search(normalise(row.text))
    return {key: implicit[key] / seen[key] for key in words if seen[key]}


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
        words = read_obvious_words(config.obvious_words, taxonomy) if config.obvious_words else {}
        card = data_card(known, taxonomy, implicit_shares(known, words))
        write_card(options["output"], card, taxonomy, [len(row.text) for row in known])
    if findings:
        for finding in findings[:200]:
            print(finding, file=sys.stderr)
        print(f"{len(findings)} findings; the data is not fit to learn from", file=sys.stderr)
        raise SystemExit(1)
    print(f"{len(examples)} examples are fit; data card -> {options['output']}")


if __name__ == "__main__":
    main()
