"""Breaks the running service in every way that issue 5 names, under load, and tables what callers saw.

    python -m benchmarks.faults --output docs/faults.md
    python -m benchmarks.faults --only stopped

Each scenario starts `kefu serve` in a temporary folder with a copy of the packaged champions
(`BENTOML_HOME` and `KEFU_PINS` name others), so that nothing of the project is damaged.
"""

from __future__ import annotations

import argparse
import math
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import fault_scenarios as inner
from benchmarks import fault_surroundings as outer
from benchmarks.fault_scenarios import Fault
from benchmarks.fault_stage import Stage, StageError
from benchmarks.machine import describe_machine
from data.files import atomic_write
from serving.package import use_local_store

__all__ = ["SCENARIOS", "document", "main", "try_fault"]

SCENARIOS: dict[str, Callable[[Stage], Fault]] = {
    "killed-1": partial(inner.killed_worker, workers=1),
    "killed-2": partial(inner.killed_worker, workers=2),
    "stopped": inner.stopped,
    "full-disk": outer.full_disk,
    "lost-model": inner.lost_model,
    "clock-jump": outer.clock_jump,
    "new-champion": inner.new_champion,
    "damaged-champion": inner.damaged_champion,
    "slow-callers": inner.slow_callers,
    "overload": inner.overload,
}
_HEAD = ("what was broken", "what callers saw", "longest gap", "answers again after", "outcome")


def try_fault(name: str) -> Fault:
    """Run one of `SCENARIOS` in a folder of its own.

    Raises:
        benchmarks.fault_stage.StageError: the service did not start, or a tool is missing.
    """
    with tempfile.TemporaryDirectory(prefix="kefu-faults-") as folder:
        return SCENARIOS[name](Stage(Path(folder)))


def _cells(fault: Fault) -> tuple[str, ...]:
    saw = ", ".join(f"{count:,} × {what}" for what, count in fault.counts.items())
    again = f"{fault.recovered:.1f} s" if math.isfinite(fault.recovered) else "not meant to"
    verdict = "as it should" if fault.good else "**NOT as it should**"
    return fault.broke, saw, f"{fault.gap:.1f} s", again, f"{verdict}: {fault.notes}"


def document(faults: Sequence[Fault], machine: dict[str, Any]) -> str:
    """The table as a Markdown page."""
    rows = [_HEAD, tuple("---" for _ in _HEAD), *(_cells(fault) for fault in faults)]
    table = "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)
    return f"""# What breaks, and what callers see

Made by `python -m benchmarks.faults --output docs/faults.md` on {time.strftime("%Y-%m-%d")};
machine: {machine.get("cpu") or "unknown CPU"}, {machine["cores"]} cores. Every row starts `kefu serve` anew,
loads it with clients that ask again soon after they are answered, and breaks something.

{table}

- `200`, `503`, …: HTTP statuses. *refused*: no connection, nothing was sent. *lost*: the request was sent
  and never wholly answered; only a killed process may do that, with the requests that it had begun.
  Analyses can be repeated without harm: `serving.client` does so by itself.
- A dead worker is replaced within half a second plus the time to load the models; connections wait
  meanwhile in the queue of the listening socket, which the supervisor holds (`serving/supervision.py`).
- At SIGTERM the socket takes no more connections, what waits in its queue is answered, answers carry
  `Connection: close`, and connections that are still idle after a second are closed last. What remains is
  a request sent in the very instant of that closing, which RFC 9112, section 9.3.1, leaves to the client.
- The clock is moved for the service alone, by a preloaded library; time limits and rate limits use the
  monotonic clock.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Break the service; 1 if anything came out otherwise than it should."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=main.__doc__)
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    parser.add_argument("--only", choices=list(SCENARIOS), action="append", help="may be given several times")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that services are stopped as well
    use_local_store()
    console = Console()
    faults = []
    table = Table(*_HEAD, show_lines=True)
    for name in options.only or SCENARIOS:
        with console.status(name):
            try:
                faults.append(try_fault(name))
            except StageError as error:
                console.print(f"[bold red]{name}: {error}[/]")
                return 1
        table.add_row(*_cells(faults[-1]))
        console.print(f"{name:18} {'good' if faults[-1].good else 'BAD'}   {faults[-1].notes}", markup=False)
    console.print(table)
    if options.output:
        with atomic_write(options.output) as file:
            file.write(document(faults, describe_machine()))
    return int(not all(fault.good for fault in faults))


if __name__ == "__main__":
    raise SystemExit(main())
