"""Where faults are tried: the real service in a folder of its own, and callers who note what they saw.

The callers speak HTTP/1.1 over plain sockets, so that "refused before it was accepted" and "lost after it was
sent" are told apart, which client libraries hide behind retries.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import psutil

from serving.keys import add_key
from serving.package import read_pins

__all__ = ["Callers", "Heard", "Seen", "Service", "Stage", "StageError", "ask"]

PROJECT = Path(__file__).resolve().parent.parent
TEXTS = (
    "还是没到，急死了",
    "退款多久到账",
    "170 130斤 拿哪个码",
    "骗子！再不退我打12315",
    "在吗亲",
    "谢谢啦",
)
REFUSED, LOST, LATE = "refused", "lost", "too late"
_PATIENCE = 40.0  # seconds for one answer: more than any time limit of the service


class StageError(RuntimeError):
    """The service did not do what the scenario builds on; the message says where its log is."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What one request came to."""

    sent: float
    """`time.monotonic()` when it was begun."""
    ended: float
    outcome: str
    """An HTTP status, "refused" (no connection), "lost" (sent, no whole answer) or "too late"."""
    model: str = ""
    """The category model that answered."""
    request_id: str = ""
    retry_after: str | None = None


@dataclass
class Seen:
    """What all callers saw."""

    heard: list[Heard] = field(default_factory=list)

    @property
    def counts(self) -> Counter[str]:
        """Requests by outcome."""
        return Counter(one.outcome for one in self.heard)

    @property
    def lost(self) -> int:
        """Requests that were sent and never wholly answered."""
        return sum(one.outcome in {LOST, LATE} for one in self.heard)

    @property
    def gap(self) -> float:
        """Longest time between two answers with status 200, in seconds."""
        times = sorted(one.ended for one in self.heard if one.outcome == "200")
        return max((later - earlier for earlier, later in pairwise(times)), default=0.0)

    def after(self, moment: float) -> Seen:
        """Only the requests begun after a moment of `time.monotonic()`."""
        return Seen([one for one in self.heard if one.sent >= moment])

    def recovered(self, moment: float) -> float:
        """Seconds from a fault to the first answer of a request that was begun after it; inf if none."""
        later = [one.ended for one in self.heard if one.sent >= moment and one.outcome == "200"]
        return min(later, default=float("inf")) - moment


async def ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: str, body: bytes
) -> tuple[int, dict[str, str], bytes]:
    """One request over an open connection: status, headers, content.

    Raises:
        OSError, EOFError: the connection ended before the whole answer.
    """
    writer.write(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    await writer.drain()
    raw = await reader.readuntil(b"\r\n\r\n")
    lines = raw.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    content = await reader.readexactly(int(headers.get("content-length", "0")))
    return int(lines[0].split(" ", 2)[1]), headers, content


class Callers:
    """A closed loop of clients in a thread: each asks, waits for the answer, and asks again.

    Args:
        port: of the service on this machine.
        token: API key.
        clients: requests in flight.
        pause: seconds between an answer and the next request of a client.
    """

    def __init__(self, port: int, token: str, clients: int = 8, pause: float = 0.02) -> None:
        self._port, self._token, self._clients, self._pause = port, token, clients, pause
        self._seen = Seen()
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._all()), daemon=True)

    def __enter__(self) -> Seen:
        self._thread.start()
        return self._seen

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    async def _all(self) -> None:
        await asyncio.gather(*(self._client(number) for number in range(self._clients)))
        await asyncio.sleep(0.1)  # closed connections end in a later round of the loop

    async def _client(self, number: int) -> None:
        connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        turn = number
        while not self._over.is_set():
            turn += 1
            request_id = f"caller-{number}-{turn}"
            body = json.dumps({"text": TEXTS[turn % len(TEXTS)]}).encode()
            sent, outcome, model, wait = time.monotonic(), REFUSED, "", None
            try:
                async with asyncio.timeout(_PATIENCE):
                    if connection is None or connection[0].at_eof():
                        connection = self._closed(connection)
                        connection = await asyncio.open_connection("127.0.0.1", self._port)
                    outcome = LOST
                    status, headers, content = await ask(*connection, self._head(request_id), body)
                    outcome, wait = str(status), headers.get("retry-after")
                    if status == 200:
                        model = json.loads(content)["model"]["category"]
                    if headers.get("connection", "").lower() == "close":
                        connection = self._closed(connection)
            except TimeoutError:
                outcome, connection = LATE, self._closed(connection)
            except (OSError, EOFError):
                connection = self._closed(connection)
            self._seen.heard.append(Heard(sent, time.monotonic(), outcome, model, request_id, wait))
            await asyncio.sleep(self._pause if outcome == "200" else max(self._pause, 0.05))
        self._closed(connection)

    @staticmethod
    def _closed(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None) -> None:
        if connection:
            connection[1].close()

    def _head(self, request_id: str) -> str:
        return (
            "POST /analyze HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {self._token}\r\nX-Request-ID: {request_id}"
        )


class Service:
    """The running service: its processes, its log, and a client."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path, token: str) -> None:
        self.process, self.port, self.log, self.token = process, port, log, token
        self.address = f"http://127.0.0.1:{port}"
        self._client = httpx.Client(
            base_url=self.address, headers={"Authorization": f"Bearer {token}"}, timeout=30
        )

    def get(self, path: str, **options: Any) -> httpx.Response:
        """GET with the stage's key."""
        return self._client.get(path, **options)

    def post(self, path: str, body: Any, **options: Any) -> httpx.Response:
        """POST of JSON with the stage's key."""
        return self._client.post(path, json=body, **options)

    def workers(self) -> list[psutil.Process]:
        """The processes that answer."""
        found = []
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    if any("worker" in part for part in child.cmdline()[1:4]):
                        found.append(child)
        return found

    def log_text(self) -> str:
        """What it has logged."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, test: Any, seconds: float = 60.0) -> float:
        """Seconds until `test()` is true; inf when it was not in time."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            with contextlib.suppress(httpx.HTTPError):
                if test():
                    return time.monotonic() - began
            time.sleep(0.1)
        return float("inf")

    def callers(self, clients: int = 8, pause: float = 0.02) -> Callers:
        """A load on this service."""
        return Callers(self.port, self.token, clients, pause)

    def ready(self) -> bool:
        """Whether it says that it is ready."""
        return httpx.get(f"{self.address}/readyz", timeout=2).status_code == 200

    def stop(self) -> None:
        """End it with all its processes."""
        self._client.close()
        everyone = [self.process.pid, *(worker.pid for worker in self.workers())]
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=20)
        for pid in everyone:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


class Stage:
    """A folder with a copy of the pinned models, keys and a feedback store; services start in it.

    Args:
        folder: empty; everything that faults damage lies here.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home, self.pins = folder / "bentoml", folder / "champions.json"
        self.feedback = folder / "feedback" / "feedback.sqlite"
        source = Path(os.environ["BENTOML_HOME"]) / "models"
        self.pinned = read_pins(Path(os.environ.get("KEFU_PINS") or PROJECT / "serving" / "champions.json"))
        for pin in self.pinned.values():
            part = pin.tag.replace(":", "/")
            shutil.copytree(source / part, self.home / "models" / part)
        self.pins.write_text(json.dumps({task: _entry(pin) for task, pin in self.pinned.items()}))
        self.keys = folder / "keys.json"
        self.token = add_key(self.keys, "callers", 1_000_000)

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The variables under which a service or a command works in this stage."""
        return {
            **os.environ,
            "BENTOML_HOME": str(self.home),
            "BENTOML_DO_NOT_TRACK": "True",
            "KEFU_PINS": str(self.pins),
            "KEFU_API_KEYS": str(self.keys),
            "KEFU_FEEDBACK": str(self.feedback),
            "KEFU_RELOAD_SECONDS": "1",
            "PYTHONPATH": str(PROJECT),
            **(extra or {}),
        }

    def python(self, code: str, *arguments: object) -> str:
        """Run Python in this stage, as another process would; gives what it prints."""
        command = [sys.executable, "-c", code, *map(str, arguments)]
        done = subprocess.run(
            command, env=self.environment(), cwd=self.folder, capture_output=True, text=True
        )
        if done.returncode:
            raise StageError(f"{code[:60]!r} failed:\n{done.stderr[-2000:]}")
        return done.stdout

    @contextlib.contextmanager
    def service(
        self, extra: Mapping[str, str] | None = None, prefix: tuple[str, ...] = ()
    ) -> Iterator[Service]:
        """`kefu serve`, ready and warm.

        Args:
            extra: environment.
            prefix: a command that runs it (`unshare …`).

        Raises:
            StageError: it did not become ready.
        """
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        log = self.folder / f"service-{port}.log"
        command = [*prefix, sys.executable, str(PROJECT / "kefu.py"), "serve", "--port", str(port)]
        with log.open("wb") as stream:
            process = subprocess.Popen(
                command, stdout=stream, stderr=stream, cwd=PROJECT, env=self.environment(extra)
            )
        service = Service(process, port, log, self.token)
        try:
            if service.wait_for(lambda: process.poll() is not None or service.ready(), 120) == float("inf"):
                raise StageError(f"the service was not ready after two minutes; see {log}")
            if process.poll() is not None:
                raise StageError(
                    f"the service stopped (exit {process.returncode}):\n{service.log_text()[-2000:]}"
                )
            yield service
        finally:
            service.stop()


def _entry(pin: Any) -> dict[str, Any]:
    return {"tag": pin.tag, "name": pin.name, "artefacts": pin.artefacts}
