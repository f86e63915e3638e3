"""Memory of a process over time, by stage, and a hard limit on it that needs no container.

Linux counts apart what a process allocated (anonymous pages) and which pages of files it has looked at; the
latter, of a memory-mapped Arrow file, are dropped whenever memory is short. `RLIMIT_DATA` limits what is
allocated and leaves mapped files alone (`RLIMIT_AS` would count every mapped byte of the file).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

__all__ = ["MemoryWatch", "cap_memory", "memory_now"]

_STATUS = Path("/proc/self/status")


def memory_now() -> dict[str, float]:
    """MB of this process now: `allocated` (anonymous pages), `files` (mapped pages), `resident` (both)."""
    fields = dict(line.split(":", 1) for line in _STATUS.read_text(encoding="ascii").splitlines())

    def megabytes(name: str) -> float:
        return int(fields.get(name, "0").split()[0]) / 1024

    return {
        "allocated": megabytes("RssAnon"),
        "files": megabytes("RssFile") + megabytes("RssShmem"),
        "resident": megabytes("VmRSS"),
    }


def cap_memory(megabytes: float) -> None:
    """Let this process allocate no more than that; beyond it allocations fail (`MemoryError`, RuntimeError).

    Raises:
        OSError: the system knows no such limit.
    """
    import resource

    if not hasattr(resource, "RLIMIT_DATA"):
        raise OSError("this system cannot limit the memory of a process; run without --cap")
    size = int(megabytes * 2**20)
    resource.setrlimit(resource.RLIMIT_DATA, (size, size))


class MemoryWatch:
    """Looks at the memory every `every` seconds while its block runs, and keeps the peaks of each stage."""

    def __init__(self, every: float = 0.02) -> None:
        self.every = every
        self.stage_name = "start"
        self.peaks: dict[str, dict[str, float]] = {}
        """By stage the peak in MB of what `memory_now` tells."""
        self.seconds: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._note()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Peaks and seconds of the block are kept under this name."""
        before, self.stage_name = self.stage_name, name
        began = time.perf_counter()
        try:
            yield
        finally:
            self._note()
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began
            self.stage_name = before

    @property
    def peak(self) -> dict[str, float]:
        """The peak in MB over all stages."""
        kinds = {kind for one in self.peaks.values() for kind in one}
        return {kind: max(one.get(kind, 0.0) for one in self.peaks.values()) for kind in sorted(kinds)}

    def _look(self) -> None:
        while not self._stop.wait(self.every):
            self._note()

    def _note(self) -> None:
        known = self.peaks.setdefault(self.stage_name, {})
        for kind, megabytes in memory_now().items():
            known[kind] = max(known.get(kind, 0.0), megabytes)
