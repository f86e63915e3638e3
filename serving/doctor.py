"""What is in order on this machine, what is not, and how to mend it."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from rich.console import Console

__all__ = ["Finding", "examine", "findings"]

DISK_NEEDED = 8 * 2**30
PORTS = {3000: "make serve", 5000: "make mlflow", 8080: "make labelstudio", 8888: "make lab"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: "ok", "note" (works without) or "bad"."""

    state: str
    what: str
    mend: str = ""


def examine(project: Path) -> int:
    """Print every finding; returns the exit status: 1 if something is bad."""
    console = Console()
    marks = {"ok": "[green]ok  [/]", "note": "[yellow]note[/]", "bad": "[red]bad [/]"}
    found = list(findings(project))
    for finding in found:
        mend = f"  → {finding.mend}" if finding.mend else ""
        console.print(f"{marks[finding.state]} {finding.what}{mend}", highlight=False)
    return int(any(finding.state == "bad" for finding in found))


def findings(project: Path) -> Iterator[Finding]:
    """Look at everything, in an order in which the first bad one is the first to mend."""
    checks: tuple[Callable[[Path], Iterator[Finding]], ...] = (
        _python,
        _packages,
        _disk,
        _gpu,
        _tracking,
        _models,
        _ports,
    )
    for check in checks:
        yield from check(project)


def _python(project: Path) -> Iterator[Finding]:
    current = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 12):
        yield Finding("ok", f"Python {current}")
    else:
        yield Finding("bad", f"Python {current}", "use 3.11 or 3.12: make PYTHON=python3.11 env")


def _packages(project: Path) -> Iterator[Finding]:
    pinned = _pins(project / "constraints.txt")
    try:
        wanted = [line.split(";")[0] for line in requires("kefu-lab") or ()]
    except PackageNotFoundError:
        yield Finding("bad", "kefu-lab is not installed", "make env")
        return
    missing, other = [], []
    for requirement in wanted:
        name = requirement
        for mark in "=<>~![ ":
            name = name.split(mark)[0]
        name = name.strip().lower()
        try:
            installed = version(name)
        except PackageNotFoundError:
            missing.append(name)
            continue
        if name in pinned and installed.split("+")[0] not in pinned[name]:
            other.append(f"{name} {installed} (pinned {' or '.join(sorted(pinned[name]))})")
    if missing:
        state = "note" if "bentoml" not in missing else "bad"
        yield Finding(state, f"not installed: {', '.join(missing)}", "make env")
    if other:
        yield Finding("note", f"other versions than tested: {', '.join(other)}", "make env")
    if not missing and not other:
        yield Finding("ok", "all packages at their tested versions")


def _pins(path: Path) -> dict[str, set[str]]:
    pins: dict[str, set[str]] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").splitlines():
            name, mark, rest = line.partition("==")
            if mark and not line.startswith("#"):
                pins.setdefault(name.strip().lower(), set()).add(rest.split(";")[0].strip())
    return pins


def _disk(project: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(project).free
    text = f"{free / 2**30:.0f} GiB free on the disk of {project}"
    if free < DISK_NEEDED:
        yield Finding("bad", text, f"free {DISK_NEEDED // 2**30} GiB: models and caches need it")
    else:
        yield Finding("ok", text)


def _gpu(project: Path) -> Iterator[Finding]:
    import onnxruntime

    providers = onnxruntime.get_available_providers()
    card = Path("/dev/nvidia0").exists()
    if "CUDAExecutionProvider" in providers:
        yield Finding("ok", "serving can use CUDA") if card else Finding("note", "CUDA, but no GPU is here")
    elif card:
        yield Finding("note", "a GPU is here, but serving uses the CPU", "pip install onnxruntime-gpu")
    else:
        yield Finding("ok", "no GPU; everything runs on the CPU")


def _tracking(project: Path) -> Iterator[Finding]:
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    store = project / ".kefu" / "mlflow.db"
    if uri:
        yield Finding("ok", f"MLflow at {uri}")
    elif not store.is_file():
        yield Finding("note", "no runs are recorded yet", "make demo")
    else:
        try:
            with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as connection:
                runs = connection.execute("select count(*) from runs").fetchone()[0]
            yield Finding("ok", f"{runs} runs recorded in {store.relative_to(project)}")
        except sqlite3.Error as error:
            mend = "move it away; make demo makes a new one"
            yield Finding("bad", f"{store} cannot be read ({error})", mend)


def _models(project: Path) -> Iterator[Finding]:
    import bentoml
    from bentoml.exceptions import NotFound

    from serving.exported import BrokenModelError, verify_folder
    from serving.package import NotPackagedError, read_pins

    try:
        for task, pin in read_pins().items():
            folder = Path(bentoml.models.get(pin.tag).path)
            verify_folder(folder)
            yield Finding("ok", f"{task}: {pin.name} is packaged and whole")
    except NotPackagedError as error:
        yield Finding("note", str(error), "make demo")
    except NotFound as error:
        yield Finding("bad", f"a pinned model is not in the store ({error})", "kefu package")
    except BrokenModelError as error:
        tag = error.args[0].split(":")[0]
        yield Finding("bad", str(error), f"delete {tag} and run: kefu package")


def _ports(project: Path) -> Iterator[Finding]:
    for port, command in PORTS.items():
        with socket.socket() as probe:
            taken = probe.connect_ex(("127.0.0.1", port)) == 0
        if taken:
            mend = f"stop what uses it, or: {command} PORT=…"
            yield Finding("note", f"port {port} ({command}) is in use", mend)
