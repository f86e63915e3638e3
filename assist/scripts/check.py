"""Read the whole library, every solution in every mood, and a large sample of replies for silly ones.

    python -m assist.scripts.check [--sample 20000] [--own shop.jsonl] [--json build/scripts.json]

Prints counts and findings; exit status 1 if there is any. What it counts stands in docs/scripts.md.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from assist.scripts.compliance import Issue
from assist.scripts.compose import Composer, Reply
from assist.scripts.counting import count_calm, count_replies
from assist.scripts.library import DEFAULT_FOLDER, KINDS, TONES, Library, load_library
from data.files import atomic_write, write_json
from data.taxonomy import group_name, load_taxonomy

__all__ = [
    "MOODS",
    "check_replies",
    "every_solution",
    "main",
    "naive_findings",
    "report",
    "sample_replies",
    "write_docs",
]

MOODS: tuple[tuple[int, str], ...] = (
    (0, "neutral"), (0, "positive"),
    (1, "anxious"), (1, "dissatisfied"),
    (2, "anxious"), (2, "dissatisfied"), (2, "disappointed"), (2, "angry"), (2, "neutral"),
    (3, "anxious"), (3, "dissatisfied"), (3, "disappointed"), (3, "angry"), (3, "neutral"),
)  # fmt: skip
"""Alert level and feeling as the alert policy pairs them."""
SHOWN = 5
MARKS = ("<!-- figures -->", "<!-- end of figures -->")


def sample_replies(composer: Composer, count: int, seed: int = 0) -> Iterator[tuple[int, str, Reply]]:
    """Compose `count` replies of random solutions, moods and tones; the same for the same seed.

    Yields:
        (alert level, emotion, reply); solutions that do not suit the alert level are passed over.
    """
    draw = random.Random(seed)
    made = 0
    while made < count:
        alert, emotion = draw.choice(MOODS)
        solution = draw.choice(composer.library.solutions)
        tone = draw.choice((None, *TONES))
        if tone == "lively" and alert >= 2:
            tone = None
        if composer.suits(solution, alert):
            made += 1
            yield (
                alert,
                emotion,
                composer.compose(solution, seed=made, alert=alert, emotion=emotion, tone=tone),
            )


def every_solution(composer: Composer) -> Iterator[tuple[int, str, Reply]]:
    """Each solution once in each mood that it suits, as `sample_replies` yields them."""
    for solution in composer.library.solutions:
        for alert, emotion in MOODS:
            if composer.suits(solution, alert):
                yield alert, emotion, composer.compose(solution, seed=0, alert=alert, emotion=emotion)


def check_replies(
    composer: Composer, replies: Iterable[tuple[int, str, Reply]]
) -> tuple[list[tuple[Issue, str]], int, int]:
    """Read composed replies.

    Returns:
        Findings, each with the reply's text; how many replies were read; how many of them differed.
    """
    found: list[tuple[Issue, str]] = []
    texts: set[str] = set()
    count = 0
    for alert, emotion, reply in replies:
        count += 1
        texts.add(reply.text)
        parts = [composer.library.by_id[part.id] for part in reply.parts]
        issues = composer.compliance.check_reply(parts, reply.text, alert, emotion)
        stages = [part.stage for part in reply.parts]
        if stages[0] != "opening" or stages[-1] != "closing":
            issues.append(Issue("incomplete", (reply.parts[0].id,), " ".join(stages), "缺少问候或结束"))
        found += [(issue, reply.text) for issue in issues]
    return found, count, len(texts)


def naive_findings(composer: Composer, count: int, seed: int = 0) -> Counter[str]:
    """Rules broken by replies put together blindly (alert levels observed, no rule asked).

    Returns:
        How many of `count` replies break each rule; "any" how many break at least one.
    """
    draw = random.Random(seed)
    library = composer.library
    broken: Counter[str] = Counter()
    for _ in range(count):
        alert, emotion = draw.choice(MOODS)
        solution = draw.choice(library.solutions)
        _, feeling, plans = composer.plans(alert, emotion, solution.category or "")
        pools = [
            [one for one in library.openings if alert in one.alerts],
            [one for one in library.soothing if plans and alert in one.alerts and feeling in one.emotions],
            [solution],
            [one for one in library.closings if alert in one.alerts],
        ]
        parts = [draw.choice(pool) for pool in pools if pool]
        text = "".join(part.text for part in parts)
        rules = {issue.rule for issue in composer.compliance.check_reply(parts, text, alert, emotion)}
        broken.update(rules)
        broken["any"] += bool(rules)
    return broken


def report(library: Library, sample: int, seed: int = 0) -> dict[str, Any]:
    """Counts of a library and what the checks find in it; plain values, ready for JSON."""
    composer = Composer(library)
    alone = composer.compliance.check_library(library)
    replies = chain(every_solution(composer), sample_replies(composer, sample, seed)) if sample else ()
    composed, read, different = check_replies(composer, replies)
    calm = count_calm(composer)
    return {
        "scripts": {kind: sum(one.kind == kind for one in library.scripts) for kind in KINDS},
        "tones": dict(Counter(script.tone for script in library.scripts)),
        "solutions": {key: len(scripts) for key, scripts in library.by_category.items()},
        "replies_calm": calm,
        "replies_calm_total": sum(calm.values()),
        "naive_calm_product": len(library.solutions)
        * sum(0 in part.alerts for part in library.openings)
        * sum(0 in part.alerts for part in library.closings),
        "replies_angry_red": sum(count_replies(composer, 3, "angry").values()),
        "naive": {"size": sample, **dict(naive_findings(composer, sample, seed).most_common())},
        "sample": {"size": read, "seed": seed, "different": different},
        "findings": dict(Counter(issue.rule for issue in [*alone, *(one for one, _ in composed)])),
        "examples": [
            asdict(one) | {"scripts": list(one.scripts), "text": text}
            for one, text in _examples([(issue, _text(library, issue)) for issue in alone], composed)
        ],
    }  # fmt: skip


def _text(library: Library, issue: Issue) -> str:
    return " | ".join(library.by_id[one].text for one in issue.scripts)


def _examples(*found: Sequence[tuple[Issue, str]]) -> Iterator[tuple[Issue, str]]:
    shown: Counter[str] = Counter()
    for one, text in (pair for part in found for pair in part):
        shown[one.rule] += 1
        if shown[one.rule] <= SHOWN:
            yield one, text


def _print(result: dict[str, Any], console: Console) -> None:
    taxonomy = load_taxonomy()
    table = Table("group", "category", "", "solutions", "replies (calm)")
    for category in taxonomy.categories:
        key = category.key
        table.add_row(
            group_name(category.group), key, category.zh,
            str(result["solutions"].get(key, 0)), f"{result['replies_calm'].get(key, 0):,}",
        )  # fmt: skip
    console.print(table)
    counts = ", ".join(f"{count} {kind}" for kind, count in result["scripts"].items())
    console.print(f"scripts: {counts}")
    console.print(
        f"distinct calm replies (opening, solution, closing): {result['replies_calm_total']:,} "
        f"of {result['naive_calm_product']:,} combinations"
    )
    console.print(f"distinct replies to an angry customer at red alert: {result['replies_angry_red']:,}")
    sample, naive = result["sample"], result["naive"]
    if naive["size"]:
        console.print(
            f"put together blindly, {naive['any'] / naive['size']:.1%} of {naive['size']:,} break a rule"
        )
    console.print(f"composed and read: {sample['size']:,} replies, {sample['different']:,} of them different")
    for one in result["examples"]:
        console.print(
            f"[{one['rule']}] {', '.join(one['scripts'])}: {one['words']} {one['reason']}", markup=False
        )
        console.print(f"    {one['text']}", markup=False)
    total = sum(result["findings"].values())
    rules = ", ".join(f"{rule} {count}" for rule, count in sorted(result["findings"].items()))
    console.print(f"findings: {total}" + (f" ({rules})" if rules else ""), markup=False)


def write_docs(path: Path, result: dict[str, Any]) -> None:
    """Put the figures between the marks of a Markdown page.

    Raises:
        ValueError: the page has no marks.
    """
    taxonomy = load_taxonomy()
    counts, sample, naive = result["scripts"], result["sample"], result["naive"]
    blind = f"{naive['any'] / naive['size']:.1%} of {naive['size']:,}" if naive["size"] else "none were tried"
    findings = sum(result["findings"].values())
    lines = [
        f"{counts['solution']:,} solutions, {counts['opening']} openings, {counts['closing']} closings, "
        f"{counts['soothing']} soothing texts.",
        "",
        "| what | figure |",
        "|---|---|",
        f"| distinct calm replies (opening, solution, closing) | {result['replies_calm_total']:,} |",
        f"| combinations of their parts, were everything allowed | {result['naive_calm_product']:,} |",
        f"| distinct replies to an angry customer at red alert | {result['replies_angry_red']:,} |",
        f"| replies put together blindly that break a rule | {blind} |",
        f"| composed replies that break a rule | {findings:,} of {sample['size']:,} |",
        "",
        "| group | category | | solutions | calm replies |",
        "|---|---|---|---|---|",
        *(
            f"| {group_name(one.group)} | `{one.key}` | {one.zh} | {result['solutions'].get(one.key, 0)} | "
            f"{result['replies_calm'].get(one.key, 0):,} |"
            for one in taxonomy.categories
        ),
    ]
    before, begin, rest = path.read_text(encoding="utf-8").partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not begin or not end:
        raise ValueError(f"{path}: has no {MARKS[0]} … {MARKS[1]}")
    with atomic_write(path) as handle:
        handle.write(before + begin + "\n" + "\n".join(lines) + "\n" + end + after)


def main(argv: list[str] | None = None) -> int:
    """Command line; returns 1 if there are findings, 2 if the library cannot be read."""
    parser = argparse.ArgumentParser(
        prog="python -m assist.scripts.check", description=__doc__.split("\n")[0]
    )
    parser.add_argument(
        "--folder", type=Path, default=DEFAULT_FOLDER, help="a library in the form of data/scripts"
    )
    parser.add_argument("--own", type=Path, help="a shop's own library, made by assist.scripts.importing")
    parser.add_argument("--sample", type=int, default=20_000, help="random replies to read besides")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the result here as well")
    parser.add_argument("--docs", type=Path, help="a Markdown page that takes the figures")
    args = parser.parse_args(argv)
    console = Console(width=120)
    try:
        library = load_library(args.folder, own=args.own)
    except ValueError as error:
        console.print(f"{error}", markup=False)
        return 2
    result = report(library, args.sample, args.seed)
    _print(result, console)
    if args.json:
        write_json(args.json, result)
    if args.docs:
        write_docs(args.docs, result)
    return 1 if result["findings"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
