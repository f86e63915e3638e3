"""Surroundings that fail: a disk without room, and a clock that jumps."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.fault_scenarios import Fault, outcome
from benchmarks.fault_stage import Service, Stage, StageError
from serving.keys import add_key

__all__ = ["clock_jump", "full_disk"]

DAY = 86_400
_ON_A_SMALL_DISK = ("unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=1m none "$0" && exec "$@"')

# Shifts the clock of one process by the seconds that a file holds; the monotonic clock stays.
_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long offset(void) {
    static int file = -1;
    char text[32] = {0};
    if (file < 0) file = open(getenv("CLOCK_OFFSET_FILE"), O_RDONLY | O_CLOEXEC);
    return file >= 0 && pread(file, text, 31, 0) > 0 ? atol(text) : 0;
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += offset();
    return failed;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *result) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (result) *result = exact.tv_sec;
    return exact.tv_sec;
}
"""


def _feedback(service: Service, number: int, text: str = "还是没到") -> httpx.Response:
    body: dict[str, Any] = {"text": text, "request_id": f"judged-{number}"}
    return service.post("/feedback", {**body, "emotion": {"predicted": "anxious", "right": True}})


def _kept(path: Path) -> set[str]:
    """Request ids of the feedback in a store."""
    from data.taxonomy import load_taxonomy
    from serving.feedback import FeedbackStore

    # SQLite would resolve /proc/…/root to this process's own files.
    with tempfile.TemporaryDirectory() as folder:
        for file in path.parent.glob(f"{path.name}*"):
            shutil.copy2(file, folder)
        return {
            str(item.request_id) for item in FeedbackStore(f"{folder}/{path.name}", load_taxonomy()).pending()
        }


def full_disk(stage: Stage) -> Fault:
    """Feedback until the disk is full, then room again. A small disk of its own where mounting is allowed,
    else a limit on the size of files."""
    folder = stage.feedback.parent
    folder.mkdir(parents=True, exist_ok=True)
    probe = subprocess.run([*_ON_A_SMALL_DISK, str(folder), "true"], capture_output=True)
    small_disk = probe.returncode == 0
    prefix = (*_ON_A_SMALL_DISK, str(folder)) if small_disk else ()
    acknowledged: set[str] = set()

    def put(number: int, text: str = "还是没到") -> httpx.Response:
        answer = _feedback(service, number, text)
        if answer.status_code == 200:
            acknowledged.add(f"judged-{number}")
        return answer

    with stage.service(prefix=prefix) as service:
        store = stage.feedback
        if small_disk:
            store = Path(f"/proc/{service.process.pid}/root{stage.feedback}")
        for number in range(3):
            put(number)
        with service.callers() as seen:
            time.sleep(1)
            filler = store.parent / "filler"
            if small_disk:
                _fill(filler)
            else:
                _limit(service, 64 * 1024)
            moment = time.monotonic()
            refusal, number = None, 3
            while refusal is None and number < 300:
                answer = put(number, "催" * 2000)
                refusal, number = (None if answer.status_code == 200 else answer), number + 1
            time.sleep(1)
            again = put(number)
            if small_disk:
                filler.unlink()
            else:
                _limit(service, psutil.RLIM_INFINITY)
            works = service.wait_for(lambda: put(number).status_code == 200, 20)
            time.sleep(1)
        kept = _kept(store)
        reason = refusal.json()["errors"][0]["reason"] if refusal is not None else ""
        checks = {
            "feedback gets 503": refusal is not None and refusal.status_code == again.status_code == 503,
            "that names the mend": "make room" in reason,
            "with Retry-After": refusal is not None and "retry-after" in refusal.headers,
            "answers go on": set(seen.counts) == {"200"},
            "feedback works again once there is room": works < 20,
            "all that was acknowledged is there": acknowledged <= kept,
            "and nothing else": kept <= acknowledged,
        }
    notes = (
        f"{'a full disk' if small_disk else 'a limit on sizes'}: 503 “{reason.partition(': ')[2][:60]}…”; "
        f"feedback again {works:.1f} s after there was room; all {len(acknowledged)} acknowledged are kept"
    )
    return outcome("full-disk", "no room for the feedback store (8 clients)", seen, moment, checks, notes)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            for size in (4096, 64):
                while True:
                    file.write(b"x" * size)
        except OSError:
            pass


def _limit(service: Service, size: int) -> None:
    for worker in service.workers():
        _, hard = worker.rlimit(psutil.RLIMIT_FSIZE)
        worker.rlimit(psutil.RLIMIT_FSIZE, (size, hard))


def clock_jump(stage: Stage) -> Fault:
    """The clock a day ahead, then a day behind."""
    source, library = stage.folder / "clock.c", stage.folder / "clock.so"
    shift = stage.folder / "offset"
    shift.write_text("0")
    source.write_text(_SHIM)
    try:
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise StageError(f"the clock can be moved only where gcc works ({error})") from error
    slow = {"Authorization": f"Bearer {add_key(stage.keys, 'slow', 2)}"}
    extra = {"LD_PRELOAD": str(library), "CLOCK_OFFSET_FILE": str(shift), "KEFU_TIMEOUT": "5"}
    granted, kept, moments = [], [], []

    def burst() -> int:
        """Requests of the slow key that are let in at once: 4, and 2 more a second."""
        answers = [service.get("/labels", headers=slow).status_code for _ in range(20)]
        return answers.count(200)

    with stage.service(extra) as service, service.callers() as seen:
        granted.append(burst())
        for number, days in enumerate((0, 1, -1)):
            shift.write_text(f"{days * DAY:<12}")
            moments.append(time.monotonic())
            granted.append(burst())
            kept.append(_feedback(service, number).status_code)
            time.sleep(2)
        log = service.log_text()
    today = datetime.now(UTC)
    checks = {
        "every request is answered": set(seen.counts) == {"200"},
        "no wait": seen.gap < 2,
        "the clock did jump": all(
            f'"time": "{today + timedelta(days=days):%Y-%m-%d}' in log for days in (1, -1)
        ),
        "rate limits let nobody in or out": all(0 <= count <= 8 for count in granted) and granted[0] >= 4,
        "and fill up as before": all(count >= 2 for count in granted[2:]),
        "feedback is kept": kept == [200, 200, 200],
    }
    notes = f"a key of 2 requests a second was granted {granted} of bursts of 20; feedback kept"
    return outcome("clock-jump", "clock +1 day, then -1 day (8 clients)", seen, moments[1], checks, notes)
