"""Subcommands of `kefu` whose module has a command line of its own, also run as `python -m MODULE`."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

__all__ = ["add_passed_on"]


def _run(options: argparse.Namespace) -> None:
    status = importlib.import_module(options.module).main(options.rest)
    if status:
        raise SystemExit(status)


def add_passed_on(commands: Any, name: str, module: str, text: str) -> None:
    """Add a subcommand that hands every word after it to `main` of `module`, imported only then."""
    command = commands.add_parser(name, help=text, description=text, add_help=False)
    command.set_defaults(action=_run, module=module)
