"""How many false sentences the guards of drafts catch, and how many true ones they flag.

True: every sentence of the demo shop's documents, citing its own passage. False: the same with another
number, with a negation taken out or put in, or citing a passage of another document. The changes are made by
rules, so the figures are those of plain errors; a language model also errs in finer ways.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table

from assist.knowledge.documents import sentences_of
from assist.knowledge.intake import DEMO_DOCUMENTS, import_folder
from assist.knowledge.store import KnowledgeStore, Stored
from assist.knowledge.support import check_sentence
from assist.knowledge.terms import Synonyms
from data.files import write_json

__all__ = ["changes", "main"]

_NUMBER = re.compile(r"(?<![A-Za-z\d.])\d+(?![\d.])")
_NEGATIONS = (("不能", "可以"), ("不要", "可以"), ("不用", "需要"), ("没有", "有"), ("不支持", "支持"))
_PERMISSIONS = (("可以", "不可以"), ("都能用", "都不能用"), ("支持", "不支持"))
_SHORTEST = 8


def changes(sentence: str) -> dict[str, str]:
    """False sentences made of a true one, by the kind of change; those that do not apply are missing."""
    made = {}
    if number := _NUMBER.search(sentence):
        other = str(int(number[0]) * 2 + 1)
        made["another number"] = sentence[: number.start()] + other + sentence[number.end() :]
    # 有没有 and 能不能 deny nothing.
    if "有没有" in sentence or "能不能" in sentence:
        return made
    for name, pairs in (("negation taken out", _NEGATIONS), ("negation put in", _PERMISSIONS)):
        for said, contrary in pairs:
            if said in sentence and (name == "negation taken out" or f"不{said}" not in sentence):
                made[name] = sentence.replace(said, contrary, 1)
                break
    return made


def _texts(passage: Stored) -> list[str]:
    return [f"{passage.title} {passage.section}\n{passage.text}"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print how many true and false sentences the guards flag."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--documents", type=Path, default=DEMO_DOCUMENTS)
    parser.add_argument("--output", type=Path, help="JSON file of the figures")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        store = KnowledgeStore(Path(folder) / "knowledge.sqlite")
        import_folder(store, options.documents, on=date(2026, 11, 23))
        passages = store.passages()
    synonyms = Synonyms.read()
    flagged: dict[str, list[bool]] = defaultdict(list)
    for place, passage in enumerate(passages):
        # A passage far away in the order of import is of another document.
        other = passages[(place + len(passages) // 2) % len(passages)]
        for sentence in sentences_of(passage.text):
            if len(sentence) < _SHORTEST:
                continue
            flagged["true"].append(bool(check_sentence(sentence, _texts(passage), synonyms)))
            flagged["cites another document"].append(bool(check_sentence(sentence, _texts(other), synonyms)))
            for name, made in changes(sentence).items():
                flagged[name].append(bool(check_sentence(made, _texts(passage), synonyms)))
    table = Table("sentence", "number", "flagged")
    figures = {}
    for name, results in flagged.items():
        figures[name] = {"sentences": len(results), "flagged": sum(results) / len(results)}
        table.add_row(name, str(len(results)), f"{sum(results) / len(results):.3f}")
    Console().print(table)
    if options.output:
        write_json(options.output, figures)


if __name__ == "__main__":
    main()
