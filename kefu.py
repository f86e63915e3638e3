"""The command line: each subcommand calls one function of a package, nothing else."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

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
    from experiments.promote import promote
    from training.config import load_gate, model_names

    gate = load_gate()
    for name in options.model or model_names():
        folder = Path("models") / name
        for decision in promote(folder / "exported", folder / "report", gate):
            verdict = "champion" if decision.promoted else "kept"
            print(f"{decision.task:9} version {decision.version}: {verdict} ({'; '.join(decision.reasons)})")


def _package(options: argparse.Namespace) -> None:
    from data.taxonomy import TASKS
    from experiments.promote import registered_name
    from experiments.tracking import fetch_champion
    from serving.package import Champion, build_bento, package

    champions = []
    for task in TASKS:
        found = fetch_champion(registered_name(task))
        champions.append(Champion(task, found.name, found.version, found.folder))
    for task, tag in package(champions).items():
        print(f"{task:9} {tag}")
    if not options.no_build:
        print(f"bento     {build_bento(PROJECT)}")


def _predict(options: argparse.Namespace) -> None:
    from serving.offline import predict_file

    predict_file(options.input, options.output, options.batch_size)


def _serve(options: argparse.Namespace) -> None:
    from serving.package import read_pins

    read_pins()
    command = [sys.executable, "-m", "bentoml", "serve", "serving.service:Kefu"]
    command += ["--host", options.host, "--port", str(options.port)]
    raise SystemExit(subprocess.call(command, cwd=PROJECT))


def _demo(options: argparse.Namespace) -> None:
    from serving.demo import show

    show(options.port, options.page)


def _doctor(options: argparse.Namespace) -> None:
    from serving.doctor import examine

    raise SystemExit(examine(PROJECT))


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

    add("train", _train, "run the pipeline up to the exported models, as far as something changed")
    add("evaluate", _evaluate, "the same, and measure the exported models")
    promote = add("promote", _promote, "register measured models; champion where they pass the gate")
    promote.add_argument("--model", action="append", help="an entry of models in params.yaml (default: all)")
    package = add("package", _package, "take the champions into the BentoML store and build a Bento")
    package.add_argument("--no-build", action="store_true", help="only pin the models")
    predict = add("predict", _predict, "answer messages from a file with the packaged champions")
    files(predict)
    predict.add_argument("--batch-size", type=int, default=64, help="messages of one pass")
    serve = add("serve", _serve, "start the inference service with the packaged champions")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=3000)
    demo = add("demo", _demo, "start the service, send it a few chats, and show its answers")
    demo.add_argument("--port", type=int, default=0, help="0 picks a free one")
    demo.add_argument("--page", type=Path, help="write the table as HTML too")
    files(add("mask", _mask, "replace personal data in a file by placeholders"))
    add("doctor", _doctor, "check versions, disk, ports, GPU and stores, and say the mend")
    return parser


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one subcommand; an error the user can mend is one line, not a traceback."""
    options = _parser().parse_args(arguments)
    from serving.package import use_local_store

    use_local_store()
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    try:
        options.action(options)
    except (ValueError, OSError, RuntimeError) as error:
        if os.environ.get("KEFU_TRACEBACK"):
            raise
        print(f"kefu {options.command}: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None


if __name__ == "__main__":
    main()
