"""The command line: each subcommand calls one function of a package, nothing else."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.bench_command import add_bench_parser
from experiments.desk_command import add_desk_parsers
from experiments.label_command import add_label_parser
from experiments.passed_on import add_passed_on

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


def _lineage(options: argparse.Namespace) -> None:
    from experiments.lineage import show_lineage

    show_lineage(options.what)


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


_PASSED_ON = {
    "ablation": ("experiments.ablation", "what each way of training brings, alone and all together"),
    "adapt": ("training.adaptation", "go on pretraining the encoder on unlabelled chats"),
    "ensemble": ("experiments.ensemble", "several exported models as one teacher: soft labels for training"),
}


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
    add_bench_parser(commands)
    for name, (module, text) in _PASSED_ON.items():
        add_passed_on(commands, name, module, text)
    add_desk_parsers(commands)
    _keys_parser(commands)
    add_label_parser(commands)
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
    if options.rest and not hasattr(options, "module"):
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
