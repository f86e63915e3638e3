"""A Python client of the service, sync and async: typed answers, retries, time limits, connection reuse.

    with KefuClient("http://127.0.0.1:3000") as kefu:
        kefu.analyze("还是没到，急死了", [("agent", "亲，预计今天送达哦")]).alert.level

Importing it brings httpx and pydantic, no model runtime.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio
import httpx

from serving.assist_client import AsyncHelp, Help
from serving.calls import (
    INFO,
    LABELS,
    READY,
    Message,
    Turn,
    batch_calls,
    feedback_call,
    message_call,
    track_call,
)
from serving.retries import (
    Call,
    InvalidRequest,
    KefuError,
    NotAllowed,
    Overloaded,
    Plan,
    Reply,
    Send,
    Unreachable,
)
from serving.schema import (
    Analysis,
    AnalyzeBatchResponse,
    ClassifyResponse,
    EmotionResponse,
    FeedbackReceipt,
    FeedbackRequest,
    Labels,
    TrackRequest,
    TrackResponse,
    Verdict,
)

__all__ = [
    "DEFAULT_ADDRESS",
    "AsyncKefuClient",
    "InvalidRequest",
    "KefuClient",
    "KefuError",
    "NotAllowed",
    "Overloaded",
    "Plan",
    "Unreachable",
]

DEFAULT_ADDRESS = "http://127.0.0.1:3000"
_KEEP_ALIVE = 4.0
"""Seconds: below the 5 s after which the server closes an idle connection, so that they seldom cross."""
_CONNECTIONS = 100

Answer = TypeVar("Answer")


class KefuClient(Help):
    """Asks the service; safe to share between threads. Every method raises a `KefuError`: `InvalidRequest`,
    `NotAllowed`, `Overloaded`, `Unreachable`, or itself for an answer that is none of this service.

    Args:
        address: of the service.
        api_key: sent as `Authorization: Bearer …`; `KEFU_API_KEY` when None.
        plan: time limits and retries of each request.
        transport: another way to the service, for tests.

    Raises:
        ValueError: the address or the key cannot be used.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        api_key: str | None = None,
        plan: Plan | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.address, self.plan = address.rstrip("/"), plan or Plan()
        self._http = httpx.Client(transport=transport, **_options(address, api_key))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def analyze(
        self,
        message: Message,
        context: Sequence[Turn] = (),
        top: int | None = None,
        request_id: str | None = None,
    ) -> Analysis:
        """Category with the best `top` (3), emotion, alert with reasons, models; context oldest first.

        Give a `request_id` of your own if you may send feedback on the answer later."""
        return self._run(message_call("/analyze", Analysis, message, context, top, request_id))

    def analyze_batch(self, messages: Iterable[Message]) -> AnalyzeBatchResponse:
        """Answers of any number of messages in their order; 256 at a time, each within the time limits."""
        parts = [self._run(call).results for call in batch_calls(messages)]
        return AnalyzeBatchResponse(results=[answer for part in parts for answer in part])

    def classify(
        self, message: Message, context: Sequence[Turn] = (), top: int | None = None
    ) -> ClassifyResponse:
        """The category of `analyze` alone."""
        return self._run(message_call("/classify", ClassifyResponse, message, context, top))

    def emotion(self, message: Message, context: Sequence[Turn] = ()) -> EmotionResponse:
        """Emotion and alert of `analyze` alone."""
        return self._run(message_call("/emotion", EmotionResponse, message, context))

    def track(self, turns: TrackRequest | Iterable[Turn]) -> TrackResponse:
        """How a whole conversation went, and the alert that stands now; oldest turn first."""
        return self._run(track_call(turns))

    def feedback(
        self,
        message: FeedbackRequest | str,
        context: Sequence[Turn] = (),
        *,
        category: Verdict | Mapping[str, Any] | None = None,
        emotion: Verdict | Mapping[str, Any] | None = None,
        request_id: str | None = None,
        by: str | None = None,
    ) -> FeedbackReceipt:
        """Say whether an answer was right. Without `request_id` it is not sent again after a broken
        connection, because nobody knows whether it is stored already."""
        verdicts = {"category": category, "emotion": emotion, "request_id": request_id, "by": by}
        return self._run(feedback_call(message, context, verdicts))

    def labels(self) -> Labels:
        """Every category, emotion and alert level that answers can carry."""
        return self._run(LABELS)

    def info(self) -> dict[str, Any]:
        """What is running: models, snapshot, device, versions."""
        return self._run(INFO)

    def ready(self) -> bool:
        """Whether the service can answer now; one try, no waiting."""
        try:
            return self._run(READY, once=True)
        except (Overloaded, Unreachable):
            return False

    def _run(self, call: Call[Answer], once: bool = False) -> Answer:
        steps = (self.plan.once() if once else self.plan).steps(call, self.address)
        step = next(steps)
        while True:
            outcome = None
            if isinstance(step, Send):
                outcome = self._send(call, step.timeout)
            else:
                time.sleep(step.seconds)
            try:
                step = steps.send(outcome)
            except StopIteration as done:
                answer: Answer = done.value
                return answer

    def _send(self, call: Call[Any], timeout: float) -> Reply | httpx.RequestError:
        deadline = time.monotonic() + timeout
        parts = []
        try:
            with self._http.stream(
                call.method, call.path, content=call.body, headers=_headers(call), timeout=timeout
            ) as response:
                # httpx limits each read: a server that sends a byte now and then would hold us for ever.
                for part in response.iter_bytes():
                    parts.append(part)
                    if time.monotonic() > deadline:
                        raise httpx.ReadTimeout(f"the answer took longer than {timeout:g} s")
                return Reply(response.status_code, response.headers, b"".join(parts))
        except httpx.RequestError as error:
            return error


class AsyncKefuClient(AsyncHelp):
    """`KefuClient` for programs with an event loop: the same methods, to be awaited.

    Args:
        address, api_key, plan, transport: as of `KefuClient`.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        api_key: str | None = None,
        plan: Plan | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.address, self.plan = address.rstrip("/"), plan or Plan()
        self._http = httpx.AsyncClient(transport=transport, **_options(address, api_key))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def analyze(
        self,
        message: Message,
        context: Sequence[Turn] = (),
        top: int | None = None,
        request_id: str | None = None,
    ) -> Analysis:
        """See `KefuClient.analyze`."""
        return await self._run(message_call("/analyze", Analysis, message, context, top, request_id))

    async def analyze_batch(self, messages: Iterable[Message]) -> AnalyzeBatchResponse:
        """See `KefuClient.analyze_batch`."""
        parts = [(await self._run(call)).results for call in batch_calls(messages)]
        return AnalyzeBatchResponse(results=[answer for part in parts for answer in part])

    async def classify(
        self, message: Message, context: Sequence[Turn] = (), top: int | None = None
    ) -> ClassifyResponse:
        """See `KefuClient.classify`."""
        return await self._run(message_call("/classify", ClassifyResponse, message, context, top))

    async def emotion(self, message: Message, context: Sequence[Turn] = ()) -> EmotionResponse:
        """See `KefuClient.emotion`."""
        return await self._run(message_call("/emotion", EmotionResponse, message, context))

    async def track(self, turns: TrackRequest | Iterable[Turn]) -> TrackResponse:
        """See `KefuClient.track`."""
        return await self._run(track_call(turns))

    async def feedback(
        self,
        message: FeedbackRequest | str,
        context: Sequence[Turn] = (),
        *,
        category: Verdict | Mapping[str, Any] | None = None,
        emotion: Verdict | Mapping[str, Any] | None = None,
        request_id: str | None = None,
        by: str | None = None,
    ) -> FeedbackReceipt:
        """See `KefuClient.feedback`."""
        verdicts = {"category": category, "emotion": emotion, "request_id": request_id, "by": by}
        return await self._run(feedback_call(message, context, verdicts))

    async def labels(self) -> Labels:
        """See `KefuClient.labels`."""
        return await self._run(LABELS)

    async def info(self) -> dict[str, Any]:
        """See `KefuClient.info`."""
        return await self._run(INFO)

    async def ready(self) -> bool:
        """See `KefuClient.ready`."""
        try:
            return await self._run(READY, once=True)
        except (Overloaded, Unreachable):
            return False

    async def _run(self, call: Call[Answer], once: bool = False) -> Answer:
        steps = (self.plan.once() if once else self.plan).steps(call, self.address)
        step = next(steps)
        while True:
            outcome = None
            if isinstance(step, Send):
                outcome = await self._send(call, step.timeout)
            else:
                await anyio.sleep(step.seconds)
            try:
                step = steps.send(outcome)
            except StopIteration as done:
                answer: Answer = done.value
                return answer

    async def _send(self, call: Call[Any], timeout: float) -> Reply | httpx.RequestError:
        try:
            with anyio.fail_after(timeout):
                response = await self._http.request(
                    call.method, call.path, content=call.body, headers=_headers(call), timeout=timeout
                )
            return Reply(response.status_code, response.headers, response.content)
        except httpx.RequestError as error:
            return error
        except TimeoutError:
            return httpx.ReadTimeout(f"the answer took longer than {timeout:g} s")


def _options(address: str, api_key: str | None) -> dict[str, Any]:
    if not address.startswith(("http://", "https://")):
        raise ValueError(f"address: {address!r} must begin with http:// or https://")
    if "@" in address:
        raise ValueError("address: must not hold a name or password; give the key as api_key")
    headers = {"User-Agent": "kefu-client", "Accept": "application/json"}
    if key := api_key if api_key is not None else os.environ.get("KEFU_API_KEY"):
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ValueError("api_key: has characters that no key has; copy it again")
        headers["Authorization"] = f"Bearer {key}"
    limits = httpx.Limits(max_connections=_CONNECTIONS, keepalive_expiry=_KEEP_ALIVE)
    return {"base_url": address, "headers": headers, "limits": limits}


def _headers(call: Call[Any]) -> dict[str, str]:
    headers = {"Content-Type": "application/json"} if call.body is not None else {}
    return {**headers, "X-Request-ID": call.request_id} if call.request_id else headers
