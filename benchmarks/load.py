"""The load generator: N clients that ask, wait for the answer, and ask again, in a process of its own.

A closed loop over kept-alive connections. Each client walks the same messages from an offset of its own,
so that at any moment short and long ones are in flight together. Requests are encoded once, before the
clock starts, and answers are not parsed, because the generator shares the machine with the server.

    python -m benchmarks.load --url http://127.0.0.1:3000/analyze --messages messages.jsonl --clients 32
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Load", "main", "offer_load", "percentile"]

TIMEOUT = 60.0
_BACK_OFF = 0.05


@dataclass
class Load:
    """What clients have seen.

    `latencies` are seconds of the answers inside the measured window; `errors` are counted from the first
    request to the last, warm-up and drain included, by kind: "http 503", "timeout", "not an answer", or
    the name of the connection's error.
    """

    seconds: float
    latencies: list[float] = field(default_factory=list)
    per_second: list[int] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    cpu_seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Counts and percentiles; milliseconds, None where nothing was answered."""
        return {
            "answers": len(self.latencies),
            "seconds": self.seconds,
            "throughput": len(self.latencies) / self.seconds,
            "p50_ms": percentile(self.latencies, 50),
            "p99_ms": percentile(self.latencies, 99),
            "errors": dict(self.errors),
            "generator_cpu": self.cpu_seconds / self.seconds,
            "per_second": self.per_second,
        }


def percentile(latencies: Sequence[float], share: float) -> float | None:
    """A percentile of seconds, in milliseconds: the smallest value that `share` percent do not exceed."""
    if not latencies:
        return None
    ordered = sorted(latencies)
    rank = -(-len(ordered) * share // 100)
    return 1000 * ordered[max(0, int(rank) - 1)]


async def offer_load(url: str, bodies: Sequence[bytes], clients: int, seconds: float, warm_up: float) -> Load:
    """Keep `clients` requests in flight for `warm_up` and then `seconds`; wait for the last answers.

    An answer counts when it arrives inside the measured window. Requests in flight at its end are waited
    for, so that they do not weigh on whoever measures next.

    Args:
        bodies: JSON requests.

    Raises:
        ValueError: there is nothing to ask, or nobody to ask it.
    """
    import aiohttp

    if not bodies or clients < 1:
        raise ValueError("messages and clients: at least one of each")
    load = Load(seconds, per_second=[0] * max(1, round(seconds)))
    began = time.perf_counter() + warm_up
    ended = began + seconds

    async def client(session: aiohttp.ClientSession, position: int) -> None:
        while (asked := time.perf_counter()) < ended:
            body = bodies[position % len(bodies)]
            position += 1
            problem = await ask(session, body)
            now = time.perf_counter()
            if problem:
                load.errors[problem] += 1
                await asyncio.sleep(_BACK_OFF)
            elif began <= now < ended:
                load.latencies.append(now - asked)
                load.per_second[min(int(now - began), len(load.per_second) - 1)] += 1

    async def ask(session: aiohttp.ClientSession, body: bytes) -> str | None:
        try:
            async with session.post(url, data=body) as response:
                answer = await response.read()
                if response.status != 200:
                    return f"http {response.status}"
                return None if b'"category"' in answer else "not an answer"
        except TimeoutError:
            return "timeout"
        except aiohttp.ClientError as error:
            return type(error).__name__

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"content-type": "application/json"},
        skip_auto_headers=("User-Agent", "Accept-Encoding"),
    ) as session:
        watch = asyncio.create_task(_cpu_between(began, ended))
        offsets = [number * len(bodies) // clients for number in range(clients)]
        await asyncio.gather(*(client(session, offset) for offset in offsets))
        load.cpu_seconds = await watch
    return load


async def _cpu_between(began: float, ended: float) -> float:
    await asyncio.sleep(began - time.perf_counter())
    before = _cpu()
    await asyncio.sleep(ended - time.perf_counter())
    return _cpu() - before


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask, and print what was seen as one line of JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--messages", required=True, type=Path, help="JSON Lines of request bodies")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--warm-up", type=float, default=2.0)
    options = parser.parse_args(arguments)
    bodies = [line for line in options.messages.read_bytes().splitlines() if line.strip()]
    load = asyncio.run(offer_load(options.url, bodies, options.clients, options.seconds, options.warm_up))
    json.dump(load.as_dict(), sys.stdout)
    print()


if __name__ == "__main__":
    main()
