"""What stands before every endpoint: who may ask, how much and how long; and a request's one log line."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.app import error_response
from serving.keys import KeyRing
from serving.settings import ServiceSettings
from serving.telemetry import Telemetry

__all__ = ["MAX_BODY", "Admission"]

MAX_BODY = 4 * 1024 * 1024
"""Bytes of a request: a full batch of long messages fits, a flood does not."""
_TOO_LARGE = f"request is larger than {MAX_BODY} bytes; send fewer or shorter messages"

# Nothing about customers: the page, the API's description.
_OPEN = {"/", "/docs", "/openapi.json"}
_OPEN_UNDER = ("/page/",)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_LOCAL_NAMES = re.compile(r"(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?\Z", re.I)

_log = logging.getLogger("kefu.request")


class _RefusedError(Exception):
    def __init__(
        self, status: int, reason: str, retry_after: float | None = None, field: str = "body"
    ) -> None:
        self.status, self.reason, self.retry_after, self.field = status, reason, retry_after, field


class Admission:
    """ASGI middleware.

    Args:
        app: what answers.
        settings: limits.
        keys: the known keys; None answers this machine only.
        telemetry: told of every request.
        endpoints: the paths that are counted by name; others are "other".
        models: names the models in use, for the log.
        ending: whether this process is about to end: then callers are asked to connect anew.
    """

    def __init__(
        self,
        app: ASGIApp,
        settings: ServiceSettings,
        keys: KeyRing | None,
        telemetry: Telemetry,
        endpoints: frozenset[str] = frozenset(),
        models: Callable[[], str] = lambda: "",
        ending: Callable[[], bool] = lambda: False,
    ) -> None:
        self.app, self._settings, self._keys, self._telemetry = app, settings, keys, telemetry
        self._endpoints, self._models, self._ending = endpoints, models, ending

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or refuse one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        request_id = headers.get("x-request-id", "")
        if not _REQUEST_ID.match(request_id):
            request_id = uuid.uuid4().hex
        state: dict[str, Any] = {"status": 500, "started": False, "key": None, "body": bytearray()}

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                state["status"], state["started"] = message["status"], True
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
                if self._ending():
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            if not (scope["path"] in _OPEN or scope["path"].startswith(_OPEN_UNDER)):
                state["key"] = self._admit(scope, headers)
            await self.app(scope, self._limited(scope, headers, receive, state), marked)
        except _RefusedError as refusal:
            if state["started"]:
                raise
            response = error_response(refusal.status, refusal.reason, refusal.field, refusal.retry_after)
            await response(scope, receive, marked)
        finally:
            self._record(scope, request_id, state, time.perf_counter() - began)

    def _admit(self, scope: Scope, headers: dict[str, str]) -> str | None:
        """The caller's name, or None on this machine without keys."""
        if self._keys is None:
            host = (scope.get("client") or ("",))[0]
            # A web page elsewhere can send a browser here under another name (DNS rebinding).
            if not _is_loopback(host) or not _LOCAL_NAMES.match(headers.get("host", "")):
                raise _RefusedError(
                    401,
                    "without API keys this service answers its own machine only; make one with: "
                    "kefu keys add NAME, and send it as: Authorization: Bearer KEY",
                    field="Authorization",
                )
            return None
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            reason = "is missing; send: Authorization: Bearer KEY"
            raise _RefusedError(401, reason, field="Authorization")
        key = self._keys.find(token.strip())
        if key is None:
            raise _RefusedError(401, "is no key of this service; ask who runs it", field="Authorization")
        if wait := self._keys.wait(key):
            reason = f"more than {key.rate:g} requests a second with this key; try again later"
            raise _RefusedError(429, reason, wait, "Authorization")
        return key.name

    def _limited(
        self, scope: Scope, headers: dict[str, str], receive: Receive, state: dict[str, Any]
    ) -> Receive:
        """The request's body, cut off where it gets too large or too slow."""
        declared = headers.get("content-length", "0")
        if declared.isdecimal() and (len(declared) > 15 or int(declared) > MAX_BODY):
            raise _RefusedError(413, _TOO_LARGE)
        seen, complete = 0, False
        keep = self._settings.log_text
        deadline = time.monotonic() + self._settings.timeout

        async def limited() -> Message:
            nonlocal seen, complete
            if complete:  # waiting for the caller to go away, for as long as it takes
                return await receive()
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, "the request's body came too slowly") from None
            body = message.get("body", b"")
            seen += len(body)
            if seen > MAX_BODY:
                raise HTTPException(413, _TOO_LARGE)
            if keep:
                state["body"] += body
            complete = not message.get("more_body", False)
            return message

        return limited

    def _record(self, scope: Scope, request_id: str, state: dict[str, Any], seconds: float) -> None:
        path = scope["path"] if scope["path"] in self._endpoints else "other"
        self._telemetry.observe_request(path, state["status"], seconds)
        row = {
            "event": "request",
            "request_id": request_id,
            "method": scope["method"],
            "path": path,
            "status": state["status"],
            "ms": round(seconds * 1000, 1),
            "key": state["key"],
            "models": self._models(),
        }
        if self._settings.log_text and state["body"]:
            row["texts"] = _masked_texts(bytes(state["body"]))
        _log.info(json.dumps(row, ensure_ascii=False))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _masked_texts(body: bytes, most: int = 20) -> list[str]:
    """Every text of a request, personal data masked."""
    from data.pii import mask

    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("text"), str) and len(found) < most:
                found.append(mask(value["text"].encode("utf-8", "replace").decode()))
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    try:
        walk(json.loads(body))
    except (ValueError, RecursionError):
        return []
    return found
