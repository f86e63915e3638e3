"""A service that answers without a model, always the same: for the tests of programs that call the real one.

The HTTP application, the validation and the answers' shape are the service's own. Category and emotion come
from a hash of text and context, the alert from the real policy, help for the agent from the real rooms
(`serving.mock_desk`); a text can ask for an outcome:

| in the text | outcome |
|---|---|
| `[mock:category=refund_progress]`, `[mock:emotion=angry]` | that label |
| `[mock:score=0.42]` | probability of the category; below 0.5 the answer abstains |
| `[mock:alert=3]` | that alert level |
| `[mock:status=503]` | a refusal with that status (400 to 599), with `Retry-After` when it is 429 or 503 |
| `[mock:retry_after=2]` | seconds of that `Retry-After`, at least 1 |
| `[mock:times=2]` | refuses this text only so often, then answers |
| `[mock:delay=0.5]` | seconds before the answer, at most 60 |
| `[mock:late=knowledge]` | that part of `/assist` is left out as late |
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from data.taxonomy import Taxonomy, load_taxonomy
from serving.assist_schema import PARTS
from serving.mock_desk import MockHelper
from serving.operations import Operations
from serving.policy import load_policy
from serving.retries import KefuError
from serving.schema import (
    AlertAnswer,
    Analysis,
    AnalyzeRequest,
    CategoryAnswer,
    EmotionAnswer,
    FeedbackReceipt,
    FeedbackRequest,
    ModelAnswer,
    TopLabel,
)

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["MemoryFeedback", "MockEngine", "MockRefusalError", "mock_app", "running_mock", "serve_mock"]

ABSTAIN_BELOW = 0.5
RED_ABOVE = 0.5
MAX_DELAY = 60.0
_DIRECTIVE = re.compile(r"\[mock:([a-z_]*)=([^\]]*)\]")
_KNOWN = ("category", "emotion", "score", "alert", "status", "retry_after", "times", "delay", "late")


class MockRefusalError(KefuError):
    """A text asked to be refused.

    Attributes:
        status: of the HTTP answer.
        retry_after: seconds for the header; None without one.
    """

    def __init__(self, status: int, retry_after: float | None = None) -> None:
        super().__init__(f"refused with {status}, as the text asks", status)
        self.retry_after = retry_after


class MockEngine:
    """Answers by hash; an `Engine`.

    Args:
        taxonomy: whose labels it answers; the embedded one when None.
    """

    def __init__(self, taxonomy: Taxonomy | None = None) -> None:
        self.taxonomy = taxonomy or load_taxonomy()
        self._policy = load_policy(self.taxonomy)
        self._refused: Counter[str] = Counter()
        self.model = ModelAnswer(
            category="mock@1", emotion="mock@1", snapshot="mock", policy=self._policy.version
        )

    async def analyze(self, requests: Sequence[AnalyzeRequest]) -> list[Analysis]:
        """Answers in the order of the requests.

        Raises:
            MockRefusalError: a text asks for it.
            ValueError: a text asks for something that does not exist; names the field and what does.
        """
        import anyio

        many = len(requests) > 1
        wishes = [
            self._wishes(request.text, f"messages[{index}].text" if many else "text")
            for index, request in enumerate(requests)
        ]
        await anyio.sleep(max((wish.get("delay", 0.0) for wish in wishes), default=0.0))
        for request, wish in zip(requests, wishes, strict=True):
            self._refuse(request.text, wish)
        return [self._answer(request, wish) for request, wish in zip(requests, wishes, strict=True)]

    def info(self) -> dict[str, Any]:
        """Says that this is the mock."""
        models = {task: {"name": "mock@1", "device": "none"} for task in ("category", "emotion")}
        return {
            "mock": True,
            "models": models,
            "taxonomy_version": self.taxonomy.version,
            "policy_version": self._policy.version,
        }

    def _wishes(self, text: str, field: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in _DIRECTIVE.findall(text):
            found[name] = self._wish(name, value, f"{field}: [mock:{name}={value}]")
        return found

    def _wish(self, name: str, value: str, where: str) -> Any:
        if name in ("category", "emotion"):
            known = self.taxonomy.label_map(name).labels
            if value not in known:
                raise ValueError(f"{where}: is no {name}; one of {', '.join(known)}")
            return value
        if name == "late":
            if value not in PARTS:
                raise ValueError(f"{where}: is no part of /assist; one of {', '.join(PARTS)}")
            return value
        limits = {
            "score": (0.01, 1.0),
            "alert": (0, len(self.taxonomy.alerts) - 1),
            "status": (400, 599),
            "retry_after": (0, 86400),
            "times": (1, 1000),
            "delay": (0.0, MAX_DELAY),
        }
        if name not in limits:
            raise ValueError(f"{where}: is unknown; one of {', '.join(_KNOWN)}")
        least, most = limits[name]
        try:
            number = type(least)(value)
        except ValueError:
            number = type(least)(-1)
        if not least <= number <= most:
            raise ValueError(f"{where}: must be a number from {least} to {most}")
        return number

    def _refuse(self, text: str, wish: dict[str, Any]) -> None:
        if "status" not in wish:
            return
        if "times" in wish:
            self._refused[text] += 1
            if self._refused[text] > wish["times"]:
                return
        again = wish.get("retry_after", 1) if wish["status"] in (429, 503) else None
        raise MockRefusalError(wish["status"], again)

    def _answer(self, request: AnalyzeRequest, wish: dict[str, Any]) -> Analysis:
        turns = [f"{turn.role}:{turn.text}" for turn in request.context]
        seed = hashlib.sha256("\x1e".join([request.text, *turns]).encode("utf-8", "surrogatepass")).digest()
        categories = _spread(
            self.taxonomy.label_map("category").labels, seed[:8], wish.get("category"), wish.get("score")
        )
        emotions = _spread(self.taxonomy.label_map("emotion").labels, seed[8:16], wish.get("emotion"))
        best = sorted(categories, key=lambda key: -categories[key])
        mood = max(emotions, key=lambda key: emotions[key])
        chosen, felt = self.taxonomy.category[best[0]], self.taxonomy.emotion[mood]
        alert = self._policy.alert(request.text, {"category": categories, "emotion": emotions}, RED_ABOVE)
        level, reasons = alert.level, list(alert.reasons)
        if "alert" in wish:
            level, reasons = wish["alert"], [f"模拟：{wish['alert']} 级"]
        return Analysis(
            category=CategoryAnswer(
                label=chosen.key,
                zh=chosen.zh,
                group=chosen.group,
                score=categories[best[0]],
                top=[TopLabel(label=key, score=categories[key]) for key in best[: request.top]],
                abstain=categories[best[0]] < ABSTAIN_BELOW,
            ),
            emotion=EmotionAnswer(
                label=felt.key,
                zh=felt.zh,
                polarity=felt.polarity,  # type: ignore[arg-type]
                score=emotions[mood],
                scores=emotions,
            ),
            alert=AlertAnswer(level=level, zh=self._policy.level_name(level), reasons=reasons),
            model=self.model,
        )


def _spread(
    labels: Sequence[str], seed: bytes, wanted: str | None, score: float | None = None
) -> dict[str, float]:
    """Probabilities that a hash decides: one label far before the others, unless `score` says how far."""
    number = int.from_bytes(seed, "big")
    first = labels.index(wanted) if wanted else number % len(labels)
    best = score if score is not None else 0.55 + (number >> 32) % 4000 / 10000
    others = [labels[(first + step) % len(labels)] for step in range(1, len(labels))]
    # Halving shares keep an order among the others; no share may reach the first.
    shares = [min(best * 0.9, (1 - best) * 0.5**step) for step in range(1, len(labels))]
    found = {label: round(share, 4) for label, share in zip(others, shares, strict=True)}
    return {label: round(best, 4) if label == labels[first] else found[label] for label in labels}


class MemoryFeedback:
    """Keeps feedback in memory, for tests to look at; a `FeedbackSink`."""

    def __init__(self) -> None:
        self.received: dict[str, FeedbackRequest] = {}
        """By receipt id, oldest first."""

    def put(self, feedback: FeedbackRequest) -> FeedbackReceipt:
        """Store one; the same `request_id` replaces the earlier."""
        identity = feedback.request_id or f"mock-{len(self.received) + 1}"
        replaced = identity in self.received
        self.received[identity] = feedback
        return FeedbackReceipt(id=identity, replaced=replaced)


def mock_app(operations: Operations | None = None) -> FastAPI:
    """The service's HTTP application over the mock.

    Args:
        operations: with an engine, a feedback sink or a `MockHelper` that a test wants to look into; new ones
            when None.
    """
    from fastapi import Request
    from fastapi.responses import Response

    from serving.app import create_app, error_response
    from serving.mcp_server import add_mcp

    if operations is None:
        engine = MockEngine()
        operations = Operations(engine, MemoryFeedback(), helper=MockHelper(engine))
    found = operations
    app = create_app(lambda: found)

    @app.exception_handler(MockRefusalError)
    async def refused(request: Request, error: MockRefusalError) -> Response:
        return error_response(error.status or 500, str(error), "service", error.retry_after)

    add_mcp(app, lambda: found)
    for path in ("/livez", "/readyz"):
        app.get(path, include_in_schema=False)(lambda: {"mock": True})
    return app


@contextlib.contextmanager
def running_mock(port: int = 0, operations: Operations | None = None) -> Iterator[str]:
    """The mock over HTTP in a thread of this process; gives its address and stops it at the end.

    Args:
        port: 0 picks a free one.
        operations: as of `mock_app`.

    Raises:
        OSError: the port is taken.
        RuntimeError: it did not start within ten seconds.
    """
    import uvicorn

    # asyncio switches Nagle's algorithm off only where the socket names TCP: else each answer waits 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        config = uvicorn.Config(mock_app(operations), log_config=None, access_log=False)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            deadline = time.monotonic() + 10
            while not server.started:
                if time.monotonic() > deadline or not thread.is_alive():
                    raise RuntimeError("the mock did not start")
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=10)


def serve_mock(host: str = "127.0.0.1", port: int = 3001) -> None:
    """Serve the mock until Ctrl-C."""
    import uvicorn

    print(f"mock service on http://{host}:{port}; no model answers, a hash does")
    uvicorn.run(mock_app(), host=host, port=port, log_level="warning")
