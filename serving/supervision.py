"""How BentoML's process manager (circus) looks after the workers, made firmer, and how they end.

As shipped, it looks for dead workers every ten seconds; in a container it does not replace them at all; at
SIGTERM it waits up to a day for a worker that hangs. And requests are lost at SIGTERM: the socket goes on
taking connections that nobody answers, and uvicorn closes kept-alive connections on which a request may just
be on its way. None of this can be set from outside.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import sys
import time
from functools import wraps
from typing import Any

__all__ = ["end_gently", "ending", "supervise_firmly"]

LOOK_EVERY = 0.5
LEAST_SECONDS, MOST_SECONDS = 0.2, 1.0
"""How long an ending worker goes on as before, except that it asks its callers to come on new connections."""
_HANG_SECONDS = 15.0
_SO_ATTACH_FILTER = 26
_state = {"ending": False}


def ending() -> bool:
    """Whether this worker is about to end: then answers carry `Connection: close`."""
    return _state["ending"]


def supervise_firmly(timeout: float) -> None:
    """Make the process manager that BentoML is about to start replace dead workers within a second,
    anywhere; take no connections once it ends; and kill workers that do not end in time.

    Args:
        timeout: seconds of the longest request.
    """
    from circus.arbiter import Arbiter

    if hasattr(Arbiter.__init__, "__wrapped__"):
        return
    begin, stop_watchers = Arbiter.__init__, Arbiter._stop_watchers

    @wraps(begin)
    def firm(self: Any, watchers: Any, *arguments: Any, **options: Any) -> None:
        for watcher in watchers:
            watcher.respawn = True
            watcher.graceful_timeout = timeout + _HANG_SECONDS
        options["check_delay"] = LOOK_EVERY
        begin(self, watchers, *arguments, **options)

    @wraps(stop_watchers)
    def last_call(self: Any, *arguments: Any, **options: Any) -> Any:
        if self._stopping:
            for listening in self.sockets.values():
                _take_no_connections(listening)
        return stop_watchers(self, *arguments, **options)

    Arbiter.__init__ = firm
    Arbiter._stop_watchers = last_call


def _take_no_connections(listening: socket.socket) -> None:
    """Drop packets that would open a connection; those that are open stay, and the workers still get what
    waits in the queue. Callers connect elsewhere, or are refused once the service has ended.

    To shut the socket down instead would reset the connections in the queue. The filter is the shortest
    classic BPF program, "keep 0 bytes"; any user may attach it to a socket of its own (man 7 socket).
    """
    if sys.platform != "linux":
        return

    class Instruction(ctypes.Structure):
        _fields_ = (
            ("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint)
        )  # fmt: skip

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("first", ctypes.POINTER(Instruction)))

    drop = Instruction(0x06, 0, 0, 0)
    with contextlib.suppress(OSError):
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, bytes(Program(1, ctypes.pointer(drop))))


def end_gently() -> None:
    """Make uvicorn, when this worker ends, go on for a moment with `ending()` true: what waits is still
    accepted and answered, and callers leave by themselves, before it closes the connections that are idle."""
    import uvicorn

    if hasattr(uvicorn.Server.shutdown, "__wrapped__"):
        return
    shutdown = uvicorn.Server.shutdown

    @wraps(shutdown)
    async def gentle(self: uvicorn.Server, sockets: list[socket.socket] | None = None) -> None:
        _state["ending"] = True
        began = time.monotonic()
        while (passed := time.monotonic() - began) < MOST_SECONDS and not self.force_exit:
            if passed > LEAST_SECONDS and not self.server_state.connections:
                break
            await asyncio.sleep(0.02)
        await shutdown(self, sockets)

    uvicorn.Server.shutdown = gentle  # type: ignore[method-assign]
