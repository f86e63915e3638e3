"""What a call to the service is and what follows from its outcome; knows no transport.

`KefuClient` and `AsyncKefuClient` both drive `Plan.steps`, a generator: it says "send, with this time limit"
or "wait so long", is told what came back, and returns the answer or raises. So retries are written once.
"""

from __future__ import annotations

import email.utils
import json
import random
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import httpx

__all__ = [
    "Call",
    "InvalidRequest",
    "KefuError",
    "NotAllowed",
    "Overloaded",
    "Plan",
    "Reply",
    "Send",
    "Unreachable",
    "Wait",
    "retry_after",
]

Answer = TypeVar("Answer")
_REFUSED = (429, 503)
"""The service did not take the request: asking again is right for every call."""
_GATEWAY = (502, 504)
"""A proxy lost the service: the request may have been answered, like a connection that broke."""


class KefuError(RuntimeError):
    """The service could not be asked, or its answer was not understood; base of all errors here.

    Attributes:
        status: of the HTTP answer; None when there was none.
        request_id: header X-Request-ID of the answer, to be found in the service's log.
    """

    def __init__(self, message: str, status: int | None = None, request_id: str | None = None) -> None:
        super().__init__(message)
        self.status, self.request_id = status, request_id


class InvalidRequest(KefuError):  # noqa: N818 - the names say what happened
    """The request is wrong; sending it again will not help.

    Attributes:
        errors: `{"field", "reason"}` of every problem, as the service names them.
    """

    def __init__(self, message: str, status: int | None = None, request_id: str | None = None) -> None:
        super().__init__(message, status, request_id)
        self.errors: list[dict[str, str]] = []


class NotAllowed(KefuError):  # noqa: N818
    """The API key is missing, unknown (401) or may not do this (403)."""


class Overloaded(KefuError):  # noqa: N818
    """The service refused (429, 503) until the retries or the time were used up.

    Attributes:
        retry_after: seconds after which the service said to come back; None when it did not say.
    """

    def __init__(self, message: str, status: int | None = None, request_id: str | None = None) -> None:
        super().__init__(message, status, request_id)
        self.retry_after: float | None = None


class Unreachable(KefuError):  # noqa: N818
    """No answer: connection refused, broken, or too slow."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class Call(Generic[Answer]):
    """One request.

    Attributes:
        read: makes the answer of a 2xx body; ValueError when it is not one.
        idempotent: may be sent again when nobody knows whether the first one arrived.
        request_id: sent as X-Request-ID; the service makes one when None.
    """

    method: str
    path: str
    read: Callable[[bytes], Answer]
    body: bytes | None = None
    idempotent: bool = True
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """Send the call; give up after `timeout` seconds."""

    timeout: float


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing for so many seconds."""

    seconds: float


Step = Send | Wait
Outcome = Reply | httpx.RequestError | None


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how often to try.

    Exponential back-off with full jitter: a random wait in [0, min(`ceiling`, `base` * 2^n)) ("Exponential
    Backoff and Jitter", M. Brooker, AWS Architecture Blog, 2015): many callers do not come back at once.

    Args:
        timeout: seconds of one try.
        total: seconds of all tries and waits of one request.
        retries: tries after the first.
        base, ceiling: seconds of the back-off.
        longest: seconds; a longer `Retry-After` is cut to this.
    """

    timeout: float = 10.0
    total: float = 30.0
    retries: int = 4
    base: float = 0.1
    ceiling: float = 5.0
    longest: float = 30.0

    def __post_init__(self) -> None:
        for name in ("timeout", "total", "base", "ceiling", "longest"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: {getattr(self, name)!r} must be seconds above 0")
        if self.retries < 0:
            raise ValueError(f"retries: {self.retries!r} must be 0 or more")

    def once(self) -> Plan:
        """The same without retries."""
        return replace(self, retries=0)

    def steps(
        self,
        call: Call[Answer],
        address: str = "",
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> Generator[Step, Outcome, Answer]:
        """What to do next; answer each `Send` by a `Reply` or the transport's error, each `Wait` by None.

        Args:
            address: of the service, for error messages.
            clock: seconds, from any beginning.
            chance: a random number in [0, 1).

        Returns:
            The answer of the call.

        Raises:
            KefuError: see its subclasses.
        """
        what, deadline = f"{call.method} {address}{call.path}", clock() + self.total
        for attempt in range(self.retries + 1):
            outcome = yield Send(max(0.001, min(self.timeout, deadline - clock())))
            assert outcome is not None
            if isinstance(outcome, Reply) and outcome.status not in _REFUSED + _GATEWAY:
                return _answer(call, what, outcome)
            wait = min(self.ceiling, self.base * 2**attempt) * chance()
            told = retry_after(outcome.headers) if isinstance(outcome, Reply) else None
            if told is not None:
                # Never before the time that was asked for, and not everyone at the same moment.
                wait += min(told, self.longest)
            left = deadline - clock()
            if not _again(call, outcome) or attempt == self.retries or wait >= left:
                raise _failure(what, outcome, attempt + 1, self.total if wait >= left else None)
            yield Wait(wait)
        raise AssertionError("unreachable")  # pragma: no cover - the last attempt returns or raises


def _again(call: Call[Any], outcome: Reply | httpx.RequestError) -> bool:
    if isinstance(outcome, Reply):
        return outcome.status in _REFUSED or call.idempotent
    if isinstance(outcome, httpx.LocalProtocolError) or not isinstance(outcome, httpx.TransportError):
        return False
    never_sent = isinstance(outcome, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    return call.idempotent or never_sent


def _failure(what: str, outcome: Reply | httpx.RequestError, tries: int, spent: float | None) -> KefuError:
    after = f"after {tries} {'try' if tries == 1 else 'tries'}"
    if spent is not None:
        after += f", no time left of {spent:g} s"
    if not isinstance(outcome, Reply):
        reason = str(outcome) or type(outcome).__name__
        kind = Unreachable if isinstance(outcome, httpx.TransportError) else KefuError
        error = kind(f"{what}: no answer {after}: {reason}")
        error.__cause__ = outcome
        return error
    said = "; ".join(_reason(item) for item in _errors(outcome.content)) or "no reason given"
    request_id = outcome.headers.get("x-request-id")
    if outcome.status in _GATEWAY:
        return Unreachable(f"{what}: the gateway lost the service {after}", outcome.status, request_id)
    busy = Overloaded(f"{what}: refused with {outcome.status} {after}: {said}", outcome.status, request_id)
    busy.retry_after = retry_after(outcome.headers)
    return busy


def _answer(call: Call[Answer], what: str, reply: Reply) -> Answer:
    request_id = reply.headers.get("x-request-id")
    if 200 <= reply.status < 300:
        try:
            return call.read(reply.content)
        except ValueError as error:
            message = f"{what}: the answer is not one of this service; check the address ({_short(error)})"
            raise KefuError(message, reply.status, request_id) from error
    errors = _errors(reply.content)
    said = "; ".join(_reason(item) for item in errors) or _short(reply.content.decode("utf-8", "replace"))
    message = f"{what}: {reply.status}: {said}"
    if reply.status in (401, 403):
        hint = "; give a key as api_key or in KEFU_API_KEY" if reply.status == 401 else ""
        raise NotAllowed(message + hint, reply.status, request_id)
    if reply.status in (400, 413, 415, 422):
        wrong = InvalidRequest(message, reply.status, request_id)
        wrong.errors = errors
        raise wrong
    raise KefuError(message, reply.status, request_id)


def _errors(content: bytes) -> list[dict[str, str]]:
    """The `errors` of a refusal; none when a proxy or another server answered."""
    try:
        found = json.loads(content)["errors"]
        return [{"field": str(item["field"]), "reason": str(item["reason"])} for item in found]
    except (ValueError, TypeError, KeyError):
        return []


def _reason(item: Mapping[str, str]) -> str:
    return f"{item['field']}: {item['reason']}"


def _short(what: object, length: int = 200) -> str:
    text = " ".join(str(what).split())
    return text if len(text) <= length else text[:length] + "…"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that `Retry-After` asks for (RFC 9110, 10.2.3: a number or a date); None when it says nothing.

    A date is read against the answer's own `Date` where it has one, so that the two clocks may differ.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    until = _date(value)
    if until is None:
        return None
    now = _date(headers.get("date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _date(value: str) -> datetime | None:
    try:
        found = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
