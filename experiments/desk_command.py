"""The words of `kefu scripts`, `knowledge`, `inspect` and `report`: what helps people at the service desk."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from experiments.passed_on import add_passed_on

__all__ = ["add_desk_parsers"]


def _knowledge_import(options: argparse.Namespace) -> None:
    from assist.knowledge.intake import DEMO_DOCUMENTS, knowledge_import

    report = knowledge_import(options.folder or DEMO_DOCUMENTS, prune=options.prune)
    print("\n".join(report.lines()))
    if report.refused:
        raise SystemExit(1)


def _knowledge_unanswered(options: argparse.Namespace) -> None:
    from assist.knowledge.intake import knowledge_unanswered

    print("\n".join(knowledge_unanswered(limit=options.limit)) or "every question so far was answered")


def _inspect(options: argparse.Namespace) -> None:
    from experiments.inspection_log import inspect_log_file

    inspect_log_file(options.log, options.output)


_SCRIPTS = {
    "check": ("assist.scripts.check", "read every script and a sample of composed replies for faults"),
    "import": ("assist.scripts.importing", "take in a shop's own scripts (CSV, XLSX, JSONL)"),
    "train": ("experiments.reply_training", "train the reranker for the packaged champion's encoder"),
}


def _group(commands: Any, name: str, text: str) -> Any:
    group = commands.add_parser(name, help=text, description=text)
    return group.add_subparsers(dest="verb", metavar="VERB", required=True)


def _add(commands: Any, name: str, action: object, text: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
    command.set_defaults(action=action)
    return command


def add_desk_parsers(commands: Any) -> None:
    """Add `scripts`, `knowledge`, `inspect` and `report` to a parser's subcommands."""
    text = "the script library: check it, take in a shop's own, train its ranking"
    verbs = _group(commands, "scripts", text)
    for name, (module, text) in _SCRIPTS.items():
        add_passed_on(verbs, name, module, text)
    text = "the knowledge base: import documents, see what nobody could answer"
    verbs = _group(commands, "knowledge", text)
    text = "read a folder of documents (Markdown, HTML, PDF, DOCX, XLSX) into the knowledge base"
    take_in = _add(verbs, "import", _knowledge_import, text)
    take_in.add_argument("folder", nargs="?", type=Path, help="the demo shop's documents if left out")
    take_in.add_argument(
        "--prune", action="store_true", help="withdraw documents that are not there any more"
    )
    text = "questions that nothing in the knowledge base answered, the most frequent first"
    unanswered = _add(verbs, "unanswered", _knowledge_unanswered, text)
    unanswered.add_argument("--limit", type=int, default=50)
    text = "judge every conversation of a log by the standards of quality"
    inspect = _add(commands, "inspect", _inspect, text)
    inspect.add_argument("log", type=Path, help="chats in the form of data/demo_shop/README.md")
    inspect.add_argument("output", type=Path, help="folder for inspections.jsonl and summary.json")
    text = "the report of a period: key figures, feelings, causes, turning points; a page and an Excel file"
    add_passed_on(commands, "report", "experiments.period_report", text)
