"""Processes, models and callers that fail: each scenario breaks the running service, says what came of it."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import time
from dataclasses import dataclass

import psutil

from benchmarks.fault_stage import Seen, Service, Stage

__all__ = [
    "Fault",
    "damaged_champion",
    "killed_worker",
    "lost_model",
    "new_champion",
    "outcome",
    "overload",
    "slow_callers",
    "stopped",
]

_PACKAGE = """
import sys
from pathlib import Path
from serving.package import Champion, package
version, folder = sys.argv[1], Path(sys.argv[2])
package([Champion(task, f"kefu-{task}", version, folder / task) for task in ("category", "emotion")])
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """What one fault came to."""

    name: str
    broke: str
    """What was broken, and under what load."""
    counts: dict[str, int]
    """Requests by outcome: HTTP status, "refused", "lost", "too late"."""
    lost: int
    gap: float
    """Longest time without an answer, in seconds."""
    recovered: float
    """Seconds from the fault to the first answer of a later request."""
    good: bool
    notes: str
    """What was seen besides; the reason where it is not good."""


def outcome(
    name: str, broke: str, seen: Seen, moment: float, checks: dict[str, bool], notes: str = ""
) -> Fault:
    """The result of a scenario: good when all checks hold; the names of those that do not go to the notes."""
    failed = [text for text, holds in checks.items() if not holds]
    return Fault(
        name,
        broke,
        dict(sorted(seen.counts.items())),
        seen.lost,
        round(seen.gap, 2),
        round(seen.recovered(moment), 2),
        not failed,
        "; ".join([*(f"FAILED: {text}" for text in failed), *([notes] if notes else [])]),
    )


def only(seen: Seen, *allowed: str) -> bool:
    """Whether every request came to one of these outcomes, and there were some."""
    return bool(seen.heard) and set(seen.counts) <= set(allowed)


def killed_worker(stage: Stage, workers: int) -> Fault:
    """kill -9 of the worker that has most connections."""
    with stage.service({"KEFU_WORKERS": str(workers)}) as service:
        with service.callers() as seen:
            time.sleep(2)
            victim = max(service.workers(), key=lambda worker: len(worker.net_connections()))
            moment = time.monotonic()
            victim.kill()
            back = service.wait_for(
                lambda: (
                    {w.pid for w in service.workers()} != {victim.pid}
                    and sum(w.is_running() and w.pid != victim.pid for w in service.workers()) == workers
                ),
                30,
            )
            service.wait_for(lambda: seen.recovered(moment) < 60, 60)
            time.sleep(2)
        checks = {
            "only requests that the worker had begun are lost": seen.lost <= 8,
            "nobody is refused": only(seen, "200", "lost"),
            "a new process within 3 s": back < 3,
            "answers come again within 15 s": seen.recovered(moment) < 15,
            "the others answer meanwhile": workers == 1 or seen.gap < 2,
        }
    broke = f"kill -9 of a worker ({workers} worker{'s' * (workers > 1)}, 8 clients)"
    notes = f"a new process after {back:.1f} s; the queue of connections outlives the worker"
    return outcome(f"killed-{workers}", broke, seen, moment, checks, notes)


def stopped(stage: Stage, workers: int = 2) -> Fault:
    """SIGTERM to `kefu serve`, and no new one is started."""
    with stage.service({"KEFU_WORKERS": str(workers)}) as service:
        everyone = service.workers()
        with service.callers(clients=16) as seen:
            time.sleep(2)
            moment = time.monotonic()
            service.process.send_signal(signal.SIGTERM)
            ended = service.wait_for(lambda: service.process.poll() is not None, 40)
            time.sleep(0.5)
        checks = {
            "no accepted request is lost": seen.lost == 0 and only(seen, "200", "refused"),
            "callers are refused afterwards": seen.counts["refused"] > 0,
            "it ends within 10 s": ended < 10,
            "with status 0": service.process.returncode == 0,
            "no process is left": not any(worker.is_running() for worker in everyone),
        }
    notes = f"ended after {ended:.1f} s; refused: connections attempted after the end"
    broke = f"SIGTERM ({workers} workers, 16 clients that do not stop)"
    return outcome("stopped", broke, seen, moment, checks, notes)


def _package(stage: Stage, version: str) -> None:
    """What `kefu package` does, with copies of the champions under another version."""
    folder = stage.folder / "champions"
    for task, pin in stage.pinned.items():
        if not (folder / task).exists():
            source = stage.home / "models" / pin.tag.replace(":", "/")
            shutil.copytree(source, folder / task, ignore=shutil.ignore_patterns("model.yaml"))
    stage.python(_PACKAGE, version, folder)


def lost_model(stage: Stage) -> Fault:
    """The folders of the models deleted, then a worker killed, then packaged again."""
    version = stage.pinned["category"].name.partition("@")[2]
    with stage.service() as service:
        _package(stage, version)  # keeps a copy of the champions, as the registry does
        time.sleep(3)
        pinned = json.loads(stage.pins.read_text(encoding="utf-8"))
        with service.callers() as seen:
            time.sleep(1)
            for entry in pinned.values():
                shutil.rmtree(stage.home / "models" / entry["tag"].replace(":", "/"))
            moment = time.monotonic()
            time.sleep(4)
        calm = only(seen.after(moment), "200")
        written = len(service.log_text())
        service.workers()[0].kill()
        tag = pinned["category"]["tag"]

        def told() -> bool:
            return any(
                tag in line and "kefu package" in line for line in service.log_text()[written:].split("\n")
            )

        said = service.wait_for(told, 30)
        unready = not _is_ready(service)
        _package(stage, version)
        healed = service.wait_for(service.ready, 60)
        checks = {
            "answers go on without the folders": calm,
            "a new worker says what is missing and the mend": said < 30,
            "and is not ready": unready,
            "packaging again heals it": healed < 60,
            "and it answers": service.post("/analyze", {"text": "在吗"}).status_code == 200,
        }
    notes = (
        "a worker killed then cannot start, is not ready and says: run kefu package; "
        f"ready {healed:.1f} s after that"
    )
    return outcome("lost-model", "folders of the models deleted (8 clients)", seen, moment, checks, notes)


def _is_ready(service: Service) -> bool:
    try:
        return service.ready()
    except Exception:
        return False


def new_champion(stage: Stage) -> Fault:
    """Another version packaged under load, and the old one again."""
    old = stage.pins.read_bytes()
    name = stage.pinned["category"].name
    new = f"{name.partition('@')[0]}@next"
    with stage.service() as service:
        with service.callers() as seen:
            time.sleep(2)
            _package(stage, "next")
            moment = time.monotonic()
            forth = service.wait_for(lambda: seen.heard[-1].model == new, 30)
            time.sleep(1)
            stage.pins.write_bytes(old)
            back = service.wait_for(lambda: seen.heard[-1].model == name, 30)
            time.sleep(1)
        checks = {
            "every request is answered": only(seen, "200"),
            "the new champion is taken up": forth < 30,
            "and the old one again": back < 30,
            "no answer from anywhere else": {one.model for one in seen.heard} == {name, new},
            "no error is reported": service.get("/info").json()["reload_error"] is None,
        }
    notes = f"new version in the answers after {forth:.1f} s, the old one again after {back:.1f} s"
    broke = "another champion packaged, then the old one again (8 clients)"
    return outcome("new-champion", broke, seen, moment, checks, notes)


def damaged_champion(stage: Stage) -> Fault:
    """A champion with one changed byte; pins that name a model that is not there; pins that are no JSON."""
    old = stage.pins.read_bytes()
    name = stage.pinned["category"].name

    def said(service: Service, words: str) -> bool:
        return words in str(service.get("/info").json()["reload_error"])

    with stage.service() as service:
        with service.callers() as seen:
            _package(stage, "broken")
            stage.pins.write_bytes(old)
            time.sleep(2)
            before = json.loads(old)
            folder = stage.home / "models" / before["category"]["tag"].partition(":")[0]
            (broken,) = folder.glob("vbroken-*")
            data = bytearray((broken / "tokenizer.json").read_bytes())
            data[len(data) // 2] ^= 1
            (broken / "tokenizer.json").write_bytes(data)
            moment = time.monotonic()
            tag = f"{folder.name}:{broken.name}"
            stage.pins.write_text(json.dumps({**before, "category": {**before["category"], "tag": tag}}))
            byte = service.wait_for(lambda: said(service, "tokenizer.json was changed"), 30)
            gone = {**before["emotion"], "tag": "kefu-emotion:gone"}
            stage.pins.write_text(json.dumps({**before, "emotion": gone}))
            missing = service.wait_for(lambda: said(service, "kefu-emotion:gone"), 30)
            stage.pins.write_text('{"category": 3')
            torn = service.wait_for(lambda: said(service, "damaged"), 30)
            stage.pins.write_text(json.dumps({"category": before["category"]}))
            half = service.wait_for(lambda: said(service, "emotion"), 30)
            stage.pins.write_bytes(old)
            clear = service.wait_for(lambda: said(service, "None"), 30)
        checks = {
            "every request is answered": only(seen, "200"),
            "by the old champion": {one.model for one in seen.heard}
            <= {name, f"{name.partition('@')[0]}@broken"},
            "/info names the changed file": byte < 30,
            "/info names the missing model": missing < 30,
            "/info says that the pins are damaged": torn < 30,
            "/info says that a task is missing": half < 30,
            "and nothing more once the pins are whole": clear < 30,
        }
    broke = "a champion with one changed byte; pins that name no model, are no JSON, lack a task (8 clients)"
    return outcome(
        "damaged-champion", broke, seen, moment, checks, "the old one answers on; /info names each cause"
    )


def slow_callers(stage: Stage, connections: int = 200, seconds: float = 6.0) -> Fault:
    """Connections that send a byte of header a second, and bodies that never end."""
    with stage.service({"KEFU_TIMEOUT": "3"}) as service:
        with service.callers() as quiet:
            time.sleep(3)
        address = ("127.0.0.1", service.port)
        slow = [socket.create_connection(address, timeout=10) for _ in range(connections)]
        head = (
            f"Host: localhost\r\nAuthorization: Bearer {service.token}\r\nContent-Type: application/json\r\n"
        )
        moment = time.monotonic()
        statuses = []
        with service.callers() as seen:
            endless = [socket.create_connection(address, timeout=20) for _ in range(2)]
            endless[0].sendall(f"POST /analyze HTTP/1.1\r\n{head}Content-Length: 900\r\n\r\n{{".encode())
            endless[1].sendall(
                f"POST /analyze HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n1\r\n{{\r\n".encode()
            )
            for byte in f"POST /analyze HTTP/1.1\r\nX-Slow: {'z' * 60}"[: int(seconds)]:
                for one in slow:
                    one.sendall(byte.encode())
                time.sleep(1)
            for one in endless:
                statuses.append(one.recv(12).decode("latin-1")[9:])
                one.close()
        usual, now = _middle(quiet), _middle(seen)
        service.process.send_signal(signal.SIGTERM)
        ended = service.wait_for(lambda: service.process.poll() is not None, 40)
        for one in slow:
            one.close()
        checks = {
            "all others are answered": only(seen, "200"),
            "hardly later than before": now < 2 * usual + 0.02,
            "endless bodies get 408": statuses == ["408", "408"],
            "they do not hold up the end": ended < 10,
        }
    notes = (
        f"endless bodies: {', '.join(statuses)}; "
        f"median answer {1000 * usual:.0f} ms before, {1000 * now:.0f} ms meanwhile"
    )
    broke = f"{connections} connections that send a byte a second, 2 bodies that never end (8 clients)"
    return outcome("slow-callers", broke, seen, moment, checks, notes)


def _middle(seen: Seen) -> float:
    times = sorted(one.ended - one.sent for one in seen.heard)
    return times[len(times) // 2]


def _level(sizes: list[float]) -> bool:
    """Whether ten seconds have added less than 2 %; after fourteen at least."""
    return len(sizes) > 7 and sizes[-1] < 1.02 * sizes[-6]


def overload(stage: Stage, clients: int = 600, most: float = 60.0) -> Fault:
    """Far more callers than the queue holds, until memory is level or `most` seconds have passed."""

    def memory() -> float:
        return sum(psutil.Process(worker.pid).memory_info().rss for worker in service.workers()) / 2**20

    with stage.service({"KEFU_MAX_WAITING": "64"}) as service:
        moment = time.monotonic()
        with service.callers(clients, 0.1) as seen:
            sizes = [memory()]
            while not _level(sizes) and len(sizes) < most / 2:
                time.sleep(2)
                sizes.append(memory())
        end = time.monotonic()
        with service.callers() as later:
            time.sleep(2)
        refused = [one for one in seen.heard if one.outcome == "503"]
        checks = {
            "only answers and 503": only(seen, "200", "503"),
            "some are refused": bool(refused),
            "each says when to come back": all((one.retry_after or "0").isdigit() for one in refused)
            and all(int(one.retry_after or 0) >= 1 for one in refused),
            "memory levels off": _level(sizes),
            "afterwards all are answered": only(later, "200") and later.recovered(end) < 2,
        }
    notes = (
        f"memory {sizes[0]:.0f} MB at first, level at {sizes[-1]:.0f} MB after {2 * len(sizes) - 2} s; "
        "all 503 with Retry-After"
    )
    broke = f"{clients} clients, KEFU_MAX_WAITING=64"
    return outcome("overload", broke, seen, moment, checks, notes)
