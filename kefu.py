"""The command line: each subcommand calls one function of a package, nothing else."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from data.taxonomy import Taxonomy

__all__ = ["main"]

PROJECT = Path(__file__).resolve().parent


def _mask(options: argparse.Namespace) -> None:
    from data.pii import mask_file

    mask_file(options.input, options.output)


def _stages(*stages: str) -> None:
    from experiments.pipeline import run_pipeline

    run_pipeline(stages)


def _train(options: argparse.Namespace) -> None:
    _stages("train")


def _evaluate(options: argparse.Namespace) -> None:
    _stages("evaluate")


def _promote(options: argparse.Namespace) -> None:
    from experiments.promote import Approval, promote, show_decisions
    from training.config import load_gate, model_names

    gate, approval, passed = load_gate(), Approval(options.reason, options.reviewer), True
    for name in options.model or model_names():
        folder = Path("models") / name
        passed &= show_decisions(promote(folder / "exported", folder / "report", gate, approval))
    if not passed:
        raise SystemExit(1)


def _rollback(options: argparse.Namespace) -> None:
    from experiments.champions import rollback
    from experiments.promote import Approval

    for back in rollback(options.task, Approval(options.reason, options.reviewer), options.to):
        print(f"{back.task:9} champion is version {back.version} again, before: {back.previous}")
    print("to serve it: kefu package", file=sys.stderr)


def _champions(options: argparse.Namespace) -> None:
    from experiments.champions import show_champions

    show_champions(options.task, options.json)


def _reproduce(options: argparse.Namespace) -> None:
    from experiments.reproduce import show_reproduction

    same = show_reproduction(options.run, options.output, options.snapshot, options.check_only)
    raise SystemExit(0 if same else 1)


def _tune(options: argparse.Namespace) -> None:
    from experiments.tune import TuneOptions, tune

    names = ("trials", "minutes", "workers", "study", "storage", "sampler", "rows", "epochs", "seed", "best")
    tune(options.model, TuneOptions(**{name: getattr(options, name) for name in names}))


def _baselines(options: argparse.Namespace) -> None:
    from experiments.baselines import baselines

    baselines(options.names, options.shots, options.seed, options.table, options.train)


def _tune_parser(commands: Any) -> None:
    text = "search for better settings: trials of the real training, those not worth going on stopped early"
    command = commands.add_parser("tune", help=text, description=text)
    command.set_defaults(action=_tune)
    command.add_argument("model", help="a model of params.yaml, or a task: category, emotion")
    command.add_argument("--trials", type=int, help="of the study, over all its starts (default 20)")
    command.add_argument("--minutes", type=float, help="no trial begins after them")
    command.add_argument("--workers", type=int, default=1, help="processes; they share the cores")
    command.add_argument("--study", help="its name (default: from the model, the data and what stays fixed)")
    command.add_argument("--storage", help="postgresql://… or sqlite:///… (default: a file in .kefu/studies)")
    command.add_argument("--sampler", choices=("tpe", "random"), default="tpe")
    command.add_argument("--rows", type=int, help="train on so many rows only, spread over the categories")
    command.add_argument("--epochs", type=int, help="instead of the configured number")
    command.add_argument("--seed", type=int, default=0, help="of the sampler")
    command.add_argument(
        "--best", action="store_true",
        help="write the winner's parameters to params.yaml; alone, it searches no further",
    )  # fmt: skip


def _package(options: argparse.Namespace) -> None:
    from data.taxonomy import TASKS
    from experiments.promote import registered_name
    from experiments.tracking import fetch_champion
    from serving.choice import choose_artefacts
    from serving.package import Champion, build_bento, package

    champions = []
    for task in TASKS:
        found = fetch_champion(registered_name(task))
        champions.append(Champion(task, found.name, found.version, found.folder))
    artefacts = {champion.task: choose_artefacts(champion.folder, threads=1) for champion in champions}
    for task, pin in package(champions, artefacts=artefacts).items():
        print(f"{task:9} {pin.tag}, on CPU as {pin.artefacts['cpu']}, on a GPU as {pin.artefacts['cuda']}")
    if not options.no_build:
        print(f"bento     {build_bento(PROJECT)}")


def _predict(options: argparse.Namespace) -> None:
    from serving.offline import predict_file

    predict_file(options.input, options.output, options.batch_size)


def _serve(options: argparse.Namespace) -> None:
    from serving.package import read_pins
    from serving.settings import ServiceSettings

    read_pins()
    ServiceSettings.from_environment().check_host(options.host)
    command = [sys.executable, "-m", "bentoml", "serve", "serving.service:Kefu"]
    command += ["--host", options.host, "--port", str(options.port)]
    os.chdir(PROJECT)
    os.execv(command[0], command)  # in this process's place, so that SIGTERM reaches the server


def _keys_file(options: argparse.Namespace) -> Path:
    from serving.settings import ServiceSettings

    return options.file or ServiceSettings.from_environment().keys or Path(".kefu/api_keys.json")


def _keys_add(options: argparse.Namespace) -> None:
    from serving.keys import add_key

    print(add_key(_keys_file(options), options.name, options.rate))
    print("shown once; callers send it as: Authorization: Bearer KEY", file=sys.stderr)


def _keys_list(options: argparse.Namespace) -> None:
    from serving.keys import read_keys

    for key in read_keys(_keys_file(options)):
        print(f"{key.name:24} {key.rate:g} requests a second, since {key.created}")


def _keys_remove(options: argparse.Namespace) -> None:
    from serving.keys import remove_key

    remove_key(_keys_file(options), options.name)


def _mock(options: argparse.Namespace) -> None:
    from serving.mock import serve_mock

    serve_mock(options.host, options.port)


def _tools(options: argparse.Namespace) -> None:
    import json

    from serving.tools import definitions

    print(json.dumps(definitions(options.format), ensure_ascii=False, indent=2))


def _mcp(options: argparse.Namespace) -> None:
    from serving.mcp_server import run_stdio

    run_stdio(options.service)


def _demo(options: argparse.Namespace) -> None:
    from serving.demo import show

    show(options.port, options.page)


def _compare(options: argparse.Namespace) -> None:
    from experiments.compare import compare_models

    compare_models(options.a, options.b, options.task, options.output, options.open)


def _doctor(options: argparse.Namespace) -> None:
    from serving.doctor import examine

    raise SystemExit(examine(PROJECT))


def _taxonomy() -> Taxonomy:
    from data.taxonomy import load_taxonomy
    from training.config import taxonomy_path

    return load_taxonomy(taxonomy_path())


def _label_up(options: argparse.Namespace) -> None:
    from labeling.server import run_server

    run_server(options.port)


def _label_init(options: argparse.Namespace) -> None:
    from labeling.commands import init

    init(_taxonomy(), options.title, options.annotators, options.prelabel)


def _label_list(options: argparse.Namespace) -> None:
    from labeling.commands import list_projects

    list_projects()


def _label_invite(options: argparse.Namespace) -> None:
    from labeling.commands import invite

    invite(options.email)


def _label_push(options: argparse.Namespace) -> None:
    from labeling.commands import push_file

    push_file(
        _taxonomy(), options.file, options.project, options.gold, not options.no_suggestions, options.service
    )


def _label_feedback(options: argparse.Namespace) -> None:
    from labeling.commands import take_feedback

    take_feedback(_taxonomy(), options.project, options.store, not options.no_suggestions, options.service)


def _label_queue(options: argparse.Namespace) -> None:
    from labeling.commands import queue

    queue(_taxonomy(), options.strategy, options.count, options.project, options.seed)


def _label_backend(options: argparse.Namespace) -> None:
    from labeling.backend import serve

    serve(_taxonomy(), options.host, options.port, options.service)


def _label_connect(options: argparse.Namespace) -> None:
    from labeling.commands import connect_backend

    connect_backend(_taxonomy(), options.backend, options.project)


def _label_pull(options: argparse.Namespace) -> None:
    from labeling.commands import pull

    pull(_taxonomy(), options.project, options.output, options.beside, options.policy)


def _label_agreement(options: argparse.Namespace) -> None:
    from labeling.commands import measure

    measure(_taxonomy(), options.output, options.project)


def _label_adjudicate(options: argparse.Namespace) -> None:
    from labeling.commands import adjudicate_conflicts

    adjudicate_conflicts(_taxonomy(), options.project)


def _label_errors(options: argparse.Namespace) -> None:
    from experiments.label_review import review_errors

    review_errors(_taxonomy(), options.limit, options.project, options.output, options.beside)


def _label_clinic(options: argparse.Namespace) -> None:
    from experiments.label_review import review_categories

    review_categories(_taxonomy(), options.output, options.project, options.beside)


def _label_sync(options: argparse.Namespace) -> None:
    from experiments.sync import sync

    sync(_taxonomy(), options.project, options.beside, options.train)


def _lineage(options: argparse.Namespace) -> None:
    from experiments.lineage import show_lineage

    show_lineage(options.what)


def _label_parser(commands: Any) -> None:
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

    up = add("up", _label_up, "start Label Studio here (installed on first use)", project=False)
    up.add_argument("--port", type=int, default=8080)
    init = add(
        "init", _label_init, "make the labelling project, or bring its screen up to date", project=False
    )
    init.add_argument("--title", default="客服对话标注")
    init.add_argument("--annotators", type=int, default=1, help="people who label each task")
    init.add_argument(
        "--prelabel", action="store_true", help="the model's answer is already chosen on the screen"
    )
    add("list", _label_list, "the projects of this platform on the server", project=False)
    invite = add("invite", _label_invite, "make an account for an annotator", project=False)
    invite.add_argument("email")
    push = add("push", _label_push, "import chats as tasks: masked, without doubles, with suggestions")
    push.add_argument("file", type=Path, help="JSON Lines: messages with context, or whole chats with turns")
    push.add_argument(
        "--gold", action="store_true", help="rows have known labels, by which people are measured"
    )
    push.add_argument("--no-suggestions", action="store_true", help="without the champion's opinion")
    push.add_argument("--service", help="address of a running inference service to ask for suggestions")
    feedback = add("feedback", _label_feedback, "make tasks of agents' feedback, wrong answers first")
    feedback.add_argument("--store", type=Path, help="default: KEFU_FEEDBACK, or .kefu/feedback.sqlite")
    feedback.add_argument("--no-suggestions", action="store_true", help="without the champion's opinion")
    feedback.add_argument("--service", help="address of a running inference service to ask for suggestions")
    queue = add("queue", _label_queue, "open a tab with what to label next, in order")
    queue.add_argument(
        "--strategy", choices=("uncertainty", "diverse", "disagreement", "random"), default="diverse"
    )
    queue.add_argument("--count", type=int, default=200)
    queue.add_argument("--seed", type=int, default=0)
    backend = add(
        "backend", _label_backend, "answer Label Studio's requests for suggestions, queue its events"
    )
    backend.add_argument("--host", default="127.0.0.1")
    backend.add_argument("--port", type=int, default=9090)
    backend.add_argument("--service", help="address of a running inference service to ask")
    connect = add(
        "connect", _label_connect, "let Label Studio ask a running backend, and tell it of annotations"
    )
    connect.add_argument(
        "--backend", default="http://127.0.0.1:9090", help="its address, as Label Studio sees it"
    )
    pull = add("pull", _label_pull, "fetch every answer and settle them into examples")
    pull.add_argument("--output", type=Path, default=Path("data/raw/label_studio/examples.jsonl"))
    pull.add_argument("--beside", help="another source whose examples go into the same file: data/corpus")
    pull.add_argument("--policy", type=Path, help="how answers are settled (default: labeling/policy.yaml)")
    agreement = add(
        "agreement", _label_agreement, "how far people agree, who needs help: table, picture, page"
    )
    agreement.add_argument("--output", type=Path, default=Path(".kefu/agreement"))
    add("adjudicate", _label_adjudicate, "tasks in conflict become a project for the one who decides")
    errors = add("errors", _label_errors, "probable label errors become a project for review")
    errors.add_argument("--limit", type=int, default=200, help="the most suspicious so many")
    errors.add_argument("--output", type=Path, default=Path("data/interim/suspects.jsonl"))
    errors.add_argument("--beside", help="another source to learn from: data/corpus")
    clinic = add("clinic", _label_clinic, "categories to merge, split or clarify, with examples")
    clinic.add_argument("--beside", help="another source to learn from and to look at: data/corpus")
    clinic.add_argument("--output", type=Path, default=Path(".kefu/clinic"))
    sync = add("sync", _label_sync, "pull, make a snapshot, and on demand train and compare")
    sync.add_argument("--beside", help="another source whose examples go into the same snapshot: data/corpus")
    sync.add_argument("--train", action="store_true", help="train on the new snapshot and compare")


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


_ELSEWHERE = {
    "check": ("assist.scripts.check", "read every script and a sample of composed replies for faults"),
    "import": ("assist.scripts.importing", "take in a shop's own scripts (CSV, XLSX, JSONL)"),
    "train": ("experiments.reply_training", "train the reranker for the packaged champion's encoder"),
}
"""`kefu scripts …`: modules whose own command line reads the rest."""


def _elsewhere(options: argparse.Namespace) -> None:
    status = importlib.import_module(options.module).main(options.rest)
    if status:
        raise SystemExit(status)


def _help_parsers(commands: Any, add: Callable[..., argparse.ArgumentParser]) -> None:
    scripts = add("scripts", None, "the script library: check it, take in a shop's own, train its ranking")
    parts = scripts.add_subparsers(metavar="COMMAND", required=True)
    for name, (module, text) in _ELSEWHERE.items():
        part = parts.add_parser(name, help=text, description=text, add_help=False)
        part.set_defaults(action=_elsewhere, module=module)
    knowledge = add("knowledge", None, "the knowledge base: import documents, see what nobody could answer")
    parts = knowledge.add_subparsers(metavar="COMMAND", required=True)
    text = "read a folder of documents (Markdown, HTML, PDF, DOCX, XLSX) into the knowledge base"
    part = parts.add_parser("import", help=text, description=text)
    part.set_defaults(action=_knowledge_import)
    part.add_argument("folder", nargs="?", type=Path, help="the demo shop's documents if left out")
    part.add_argument("--prune", action="store_true", help="withdraw documents that are not there any more")
    text = "questions that nothing in the knowledge base answered, the most frequent first"
    part = parts.add_parser("unanswered", help=text, description=text)
    part.set_defaults(action=_knowledge_unanswered)
    part.add_argument("--limit", type=int, default=50)
    inspect = add("inspect", _inspect, "judge every conversation of a log by the standards of quality")
    inspect.add_argument("log", type=Path, help="chats in the form of data/demo_shop/README.md")
    inspect.add_argument("output", type=Path, help="folder for inspections.jsonl and summary.json")
    text = "the report of a period: key figures, feelings, causes, turning points; a page and an Excel file"
    report = commands.add_parser("report", help=text, description=text, add_help=False)
    report.set_defaults(action=_elsewhere, module="experiments.period_report")


def _keys_parser(commands: Any) -> None:
    text = "API keys of the service: with one, callers from other machines are answered"
    verbs = commands.add_parser("keys", help=text, description=text).add_subparsers(
        dest="verb", required=True, metavar="VERB"
    )
    for name, action, text in (
        ("add", _keys_add, "make a key and show it, once"),
        ("list", _keys_list, "names and limits"),
        ("remove", _keys_remove, "withdraw a key; running services follow at once"),
    ):
        command = verbs.add_parser(name, help=text, description=text)
        command.set_defaults(action=action)
        command.add_argument("--file", type=Path, help="default: KEFU_API_KEYS, or .kefu/api_keys.json")
        if name != "list":
            command.add_argument("name", help="who calls")
        if name == "add":
            command.add_argument("--rate", type=float, default=50.0, help="requests a second (default 50)")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kefu", description="Kefu Lab 客服实验室")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, action: object, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(action=action)
        return command

    def files(command: argparse.ArgumentParser) -> None:
        command.add_argument("--input", required=True, type=Path, help="JSON Lines to read")
        command.add_argument("--output", required=True, type=Path, help="JSON Lines to write")

    def approval(command: argparse.ArgumentParser, reason: str) -> None:
        command.add_argument("--reason", default="", help=f"{reason}; kept in the registry")
        command.add_argument(
            "--reviewer", default="", help="default: git's user.name, else the system's user"
        )

    add("train", _train, "run the pipeline up to the exported models, as far as something changed")
    add("evaluate", _evaluate, "the same, and measure the exported models")
    promote = add("promote", _promote, "register measured models; champion where they pass the gate")
    promote.add_argument("--model", action="append", help="an entry of models in params.yaml (default: all)")
    approval(promote, "why; needed where another champion is replaced")
    rollback = add("rollback", _rollback, "give the champion's place back to the one before")
    rollback.add_argument(
        "task", nargs="?", choices=("category", "emotion"), help="default: all of the model"
    )
    rollback.add_argument("--to", metavar="VERSION", help="an earlier champion, instead of the last one")
    approval(rollback, "why; needed")
    champions = add("champions", _champions, "the history of champions: when, what, by whom, why")
    champions.add_argument("task", nargs="?", choices=("category", "emotion"), help="default: both")
    champions.add_argument("--json", action="store_true", help="one JSON object on each line")
    reproduce = add("reproduce", _reproduce, "a run once more as it was, and the difference in figures")
    reproduce.add_argument("run", help="a run's id, or a registered version: kefu-category@3")
    reproduce.add_argument("--output", type=Path, help="default: models/reproduced/RUN")
    reproduce.add_argument("--snapshot", type=Path, help="a folder to look for the data in first")
    reproduce.add_argument("--check-only", action="store_true", help="say what is there, train nothing")
    compare = add(
        "compare", _compare, "is one model better than another? a page with the evidence, and a verdict"
    )
    model = "run id, kefu-category@3, champion, or an exported folder"
    compare.add_argument("a", nargs="?", metavar="RUN_A", help=f"{model} (default: the champion)")
    compare.add_argument("b", nargs="?", metavar="RUN_B", help="likewise (default: the newest candidate)")
    compare.add_argument("--task", choices=("category", "emotion"), help="only this one (default: both)")
    compare.add_argument("--output", type=Path, help="write the page here instead of .kefu/compare")
    compare.add_argument("--open", action="store_true", help="open the page in the browser")
    package = add("package", _package, "take the champions into the BentoML store and build a Bento")
    package.add_argument("--no-build", action="store_true", help="only pin the models")
    predict = add("predict", _predict, "answer messages from a file with the packaged champions")
    files(predict)
    predict.add_argument("--batch-size", type=int, default=64, help="messages of one pass")
    serve = add("serve", _serve, "start the inference service with the packaged champions")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=3000)
    mock = add("mock", _mock, "start a service that answers without a model, for integrators' tests")
    mock.add_argument("--host", default="127.0.0.1")
    mock.add_argument("--port", type=int, default=3001)
    tools = add("tools", _tools, "print the tools for language-model agents as function definitions")
    tools.add_argument("--format", choices=("openai", "anthropic"), default="openai", help="whose form")
    mcp = add("mcp", _mcp, "offer the tools to a desktop agent (Model Context Protocol on stdio)")
    mcp.add_argument(
        "--service", help="address of a running service to ask; the packaged champions here if left out"
    )
    demo = add("demo", _demo, "start the service, send it a few chats, and show its answers")
    demo.add_argument("--port", type=int, default=0, help="0 picks a free one")
    demo.add_argument("--page", type=Path, help="write the table as HTML too")
    files(add("mask", _mask, "replace personal data in a file by placeholders"))
    _tune_parser(commands)
    plain = add("baselines", _baselines, "simple models that a champion must beat, beside it in a table")
    plain.add_argument("names", nargs="*", metavar="NAME", help="entries of baselines in params.yaml (all)")
    plain.add_argument("--shots", type=int, help="rows of each label for few_shot (default: train.shots)")
    plain.add_argument("--seed", type=int, help="default: train.seed")
    plain.add_argument("--table", type=Path, help="a Markdown page to write the table into")
    plain.add_argument("--no-train", dest="train", action="store_false", help="only the table")
    _help_parsers(commands, add)
    _keys_parser(commands)
    _label_parser(commands)
    lineage = add(
        "lineage", _lineage, "walk from a prediction or model to its annotations, or back from a task"
    )
    lineage.add_argument(
        "what", help="a model (kefu-category@3), a snapshot, a run, an answer file, or task:PROJECT/TASK"
    )
    add("doctor", _doctor, "check versions, disk, ports, GPU and stores, and say the mend")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one subcommand; an error the user can mend is one line, not a traceback."""
    parser = _parser()
    options, options.rest = parser.parse_known_args(arguments)
    if options.rest and options.action is not _elsewhere:
        parser.error(f"unrecognized arguments: {' '.join(options.rest)}")
    from serving.package import use_local_store

    if options.command == "mcp" and not Path(".kefu").is_dir():
        os.chdir(PROJECT)  # a desktop agent starts it anywhere
    use_local_store()
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        options.action(options)
    except (ValueError, OSError, RuntimeError) as error:
        if os.environ.get("KEFU_TRACEBACK"):
            raise
        verb = getattr(options, "verb", None)
        print(f"kefu {options.command}{f' {verb}' if verb else ''}: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
