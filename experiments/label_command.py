"""The words of `kefu label` and what they call; imports nothing heavy before a word is chosen."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from data.taxonomy import Taxonomy

__all__ = ["add_label_parser"]


def _taxonomy() -> Taxonomy:
    from data.taxonomy import load_taxonomy
    from training.config import taxonomy_path

    return load_taxonomy(taxonomy_path())


def _up(options: argparse.Namespace) -> None:
    from labeling.server import run_server

    run_server(options.port)


def _init(options: argparse.Namespace) -> None:
    from labeling.commands import init

    init(_taxonomy(), options.title, options.annotators, options.prelabel)


def _list(options: argparse.Namespace) -> None:
    from labeling.commands import list_projects

    list_projects()


def _invite(options: argparse.Namespace) -> None:
    from labeling.commands import invite

    invite(options.email)


def _push(options: argparse.Namespace) -> None:
    from labeling.commands import push_file

    push_file(
        _taxonomy(), options.file, options.project, options.gold, not options.no_suggestions, options.service
    )


def _feedback(options: argparse.Namespace) -> None:
    from labeling.commands import take_feedback

    take_feedback(_taxonomy(), options.project, options.store, not options.no_suggestions, options.service)


def _queue(options: argparse.Namespace) -> None:
    from labeling.commands import queue

    queue(_taxonomy(), options.strategy, options.count, options.project, options.seed)


def _backend(options: argparse.Namespace) -> None:
    from labeling.backend import serve

    serve(_taxonomy(), options.host, options.port, options.service)


def _connect(options: argparse.Namespace) -> None:
    from labeling.commands import connect_backend

    connect_backend(_taxonomy(), options.backend, options.project)


def _pull(options: argparse.Namespace) -> None:
    from labeling.commands import pull

    pull(_taxonomy(), options.project, options.output, options.beside, options.policy)


def _agreement(options: argparse.Namespace) -> None:
    from labeling.commands import measure

    measure(_taxonomy(), options.output, options.project)


def _adjudicate(options: argparse.Namespace) -> None:
    from labeling.commands import adjudicate_conflicts

    adjudicate_conflicts(_taxonomy(), options.project)


def _errors(options: argparse.Namespace) -> None:
    from experiments.label_review import review_errors

    review_errors(_taxonomy(), options.limit, options.project, options.output, options.beside)


def _clinic(options: argparse.Namespace) -> None:
    from experiments.label_review import review_categories

    review_categories(_taxonomy(), options.output, options.project, options.beside)


def _sync(options: argparse.Namespace) -> None:
    from experiments.sync import sync

    sync(_taxonomy(), options.project, options.beside, options.train)


def add_label_parser(commands: Any) -> None:
    """Add `label` with its verbs to a parser's subcommands."""
    text = "label chats in Label Studio, and know how far the labels can be trusted"
    group = commands.add_parser("label", help=text, description=text)
    verbs = group.add_subparsers(dest="verb", required=True, metavar="VERB")

    def add(name: str, action: object, text: str, project: bool = True) -> argparse.ArgumentParser:
        command: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
        command.set_defaults(action=action)
        if project:
            command.add_argument(
                "--project", type=int, help="number of the labelling project, if there are several"
            )
        return command

    up = add("up", _up, "start Label Studio here (installed on first use)", project=False)
    up.add_argument("--port", type=int, default=8080)
    init = add("init", _init, "make the labelling project, or bring its screen up to date", project=False)
    init.add_argument("--title", default="客服对话标注")
    init.add_argument("--annotators", type=int, default=1, help="people who label each task")
    init.add_argument(
        "--prelabel", action="store_true", help="the model's answer is already chosen on the screen"
    )
    add("list", _list, "the projects of this platform on the server", project=False)
    invite = add("invite", _invite, "make an account for an annotator", project=False)
    invite.add_argument("email")
    push = add("push", _push, "import chats as tasks: masked, without doubles, with suggestions")
    push.add_argument("file", type=Path, help="JSON Lines: messages with context, or whole chats with turns")
    push.add_argument(
        "--gold", action="store_true", help="rows have known labels, by which people are measured"
    )
    push.add_argument("--no-suggestions", action="store_true", help="without the champion's opinion")
    push.add_argument("--service", help="address of a running inference service to ask for suggestions")
    feedback = add("feedback", _feedback, "make tasks of agents' feedback, wrong answers first")
    feedback.add_argument("--store", type=Path, help="default: KEFU_FEEDBACK, or .kefu/feedback.sqlite")
    feedback.add_argument("--no-suggestions", action="store_true", help="without the champion's opinion")
    feedback.add_argument("--service", help="address of a running inference service to ask for suggestions")
    queue = add("queue", _queue, "open a tab with what to label next, in order")
    queue.add_argument(
        "--strategy", choices=("uncertainty", "diverse", "disagreement", "random"), default="diverse"
    )
    queue.add_argument("--count", type=int, default=200)
    queue.add_argument("--seed", type=int, default=0)
    backend = add("backend", _backend, "answer Label Studio's requests for suggestions, queue its events")
    backend.add_argument("--host", default="127.0.0.1")
    backend.add_argument("--port", type=int, default=9090)
    backend.add_argument("--service", help="address of a running inference service to ask")
    connect = add("connect", _connect, "let Label Studio ask a running backend, and tell it of annotations")
    connect.add_argument(
        "--backend", default="http://127.0.0.1:9090", help="its address, as Label Studio sees it"
    )
    pull = add("pull", _pull, "fetch every answer and settle them into examples")
    pull.add_argument("--output", type=Path, default=Path("data/raw/label_studio/examples.jsonl"))
    pull.add_argument("--beside", help="another source whose examples go into the same file: data/corpus")
    pull.add_argument("--policy", type=Path, help="how answers are settled (default: labeling/policy.yaml)")
    agreement = add("agreement", _agreement, "how far people agree, who needs help: table, picture, page")
    agreement.add_argument("--output", type=Path, default=Path(".kefu/agreement"))
    add("adjudicate", _adjudicate, "tasks in conflict become a project for the one who decides")
    errors = add("errors", _errors, "probable label errors become a project for review")
    errors.add_argument("--limit", type=int, default=200, help="the most suspicious so many")
    errors.add_argument("--output", type=Path, default=Path("data/interim/suspects.jsonl"))
    errors.add_argument("--beside", help="another source to learn from: data/corpus")
    clinic = add("clinic", _clinic, "categories to merge, split or clarify, with examples")
    clinic.add_argument("--beside", help="another source to learn from and to look at: data/corpus")
    clinic.add_argument("--output", type=Path, default=Path(".kefu/clinic"))
    sync = add("sync", _sync, "pull, make a snapshot, and on demand train and compare")
    sync.add_argument("--beside", help="another source whose examples go into the same snapshot: data/corpus")
    sync.add_argument("--train", action="store_true", help="train on the new snapshot and compare")
