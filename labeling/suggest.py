"""What the champion would answer, offered to the people who label.

One callable type, two sources: the packaged champions opened in this process, or a running inference
service. Both read the same artefacts, mask personal data first and cut what the service would refuse for its
length, so a message gets the same suggestion from either.
"""

from __future__ import annotations

import json
import random
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import ValidationError

from data.encoding import Message
from data.pii import mask
from data.taxonomy import TASKS
from serving.offline import packaged_predictor
from serving.predictor import Predictor
from serving.schema import (
    MAX_BATCH,
    MAX_TEXT,
    MAX_TURN,
    Analysis,
    AnalyzeBatchResponse,
    AnalyzeRequest,
    reason_of,
)

__all__ = [
    "TOP",
    "Suggest",
    "Suggestion",
    "champion_of",
    "packaged_champion",
    "served_champion",
    "to_prediction",
]

TOP = 5
"""Candidate categories of a suggestion."""
_PASS = 256
_TURNS = 40
"""Latest turns of a context that are masked and sent on: a model reads some 30 at most (96 tokens)."""
_REQUEST_BYTES = 2 * 1024 * 1024
"""Half of what the service accepts; one message with the longest context still fits."""
_BUSY = (429, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """The champion's view of one message. Scores are calibrated probabilities."""

    categories: tuple[tuple[str, float], ...]
    """(key, score), best first; five, or all of a smaller label schema."""
    emotion: tuple[str, float]
    model: str
    """The registered versions that answered: `kefu-category@3+kefu-emotion@2`."""


Suggest = Callable[[Sequence[Message]], list[Suggestion]]
"""Suggestions in the order of the messages. Safe to share between threads.

Raises:
    ValueError: a message is blank or not Unicode; names its index and field, never its text.
    ConnectionError, RuntimeError: the champion cannot be asked now, or refused.
"""


def champion_of(predictor: Predictor) -> Suggest:
    """Suggestions of a predictor in this process."""

    def suggest(messages: Sequence[Message]) -> list[Suggestion]:
        requests = _requests(messages)
        return [
            _suggestion(answer)
            for start in range(0, len(requests), _PASS)
            for answer in predictor.analyze(requests[start : start + _PASS])
        ]

    return suggest


def packaged_champion(threads: int | None = None) -> Suggest:
    """Suggestions of the packaged champions, opened in this process and warm.

    Raises:
        serving.package.NotPackagedError: nothing was packaged yet; the message says how to.
    """
    predictor = packaged_predictor(threads)
    predictor.warm_up()
    return champion_of(predictor)


def served_champion(url: str, timeout: float = 60.0, patience: float = 30.0) -> Suggest:
    """Suggestions of the inference service at `url` (`kefu serve`); texts leave this process masked.

    Args:
        url: where it answers, without a path.
        timeout: seconds that one request of at most 256 messages may take.
        patience: seconds for which a service that is away or busy (429, 502 to 504) is asked again.

    Raises:
        ValueError: `url` is no address.
    """
    if httpx.URL(url).scheme not in ("http", "https") or not httpx.URL(url).host:
        raise ValueError(f"service: expected an address like http://127.0.0.1:3000, got {url!r}")
    return _Service(url.rstrip("/"), timeout, patience)


class _Service:
    def __init__(self, url: str, timeout: float, patience: float) -> None:
        self._url, self._patience = url, patience
        self._client = httpx.Client(timeout=httpx.Timeout(timeout, connect=2.0))
        weakref.finalize(self, self._client.close)

    def __call__(self, messages: Sequence[Message]) -> list[Suggestion]:
        found = []
        for count, body in _bodies(_requests(messages)):
            answers = self._read(self._post(body), count)
            found += [_suggestion(answer) for answer in answers]
        return found

    def _post(self, body: bytes) -> httpx.Response:
        deadline, wait = time.monotonic() + self._patience, 0.1
        while True:
            problem, after = "", 0.0
            try:
                response = self._client.post(
                    f"{self._url}/analyze_batch", content=body, headers={"content-type": "application/json"}
                )
                if response.status_code not in _BUSY:
                    return response
                problem = f"is busy or starting ({response.status_code}); try later, or raise KEFU_WORKERS"
                asked = response.headers.get("retry-after", "")
                after = float(asked) if asked.isdigit() else 0.0
            except httpx.ConnectError:
                problem = "cannot be reached; start it with: kefu serve, or give the right address"
            except httpx.TransportError as error:
                problem = f"broke off ({type(error).__name__}); look at its log"
            # Jitter, so that several callers do not come back all at once.
            pause = max(after, wait * (0.5 + random.random()))
            if time.monotonic() + pause > deadline:
                raise ConnectionError(f"the inference service at {self._url} {problem}") from None
            time.sleep(pause)
            wait = min(wait * 2, 5.0)

    def _read(self, response: httpx.Response, count: int) -> list[Analysis]:
        where = f"the inference service at {self._url}"
        if response.status_code != 200:
            try:
                first = response.json()["errors"][0]
                reason = f"{first['field']}: {first['reason']}"
            except (ValueError, LookupError, TypeError):
                reason = "and said no more; is this a kefu service? Its log may tell"
            raise RuntimeError(
                f"{where} answered {response.status_code} ({reason}); "
                "if it is of another version than this program, restart it: kefu serve"
            )
        try:
            answers = AnalyzeBatchResponse.model_validate_json(response.content).results
        except ValidationError as error:
            field = reason_of(dict(error.errors()[0]))["field"]
            raise RuntimeError(f"{where} gave no answer of ours ({field}); is this a kefu service?") from None
        if len(answers) != count:
            raise RuntimeError(f"{where} gave {len(answers)} answers to {count} messages; restart it")
        return answers


def _bodies(requests: Sequence[AnalyzeRequest]) -> Iterator[tuple[int, bytes]]:
    """Requests as (count, JSON) that the service takes at once."""
    part: list[bytes] = []
    size = 0
    for request in requests:
        row = json.dumps(request.model_dump(), ensure_ascii=False).encode()
        if part and (len(part) == MAX_BATCH or size + len(row) > _REQUEST_BYTES):
            yield len(part), b'{"messages": [' + b",".join(part) + b"]}"
            part, size = [], 0
        part.append(row)
        size += len(row)
    if part:
        yield len(part), b'{"messages": [' + b",".join(part) + b"]}"


def _requests(messages: Sequence[Message]) -> list[AnalyzeRequest]:
    requests = []
    for index, (text, context) in enumerate(messages):
        turns = [{"role": turn.role, "text": _ends(mask(turn.text), MAX_TURN)} for turn in context[-_TURNS:]]
        body = {"text": _ends(mask(text), MAX_TEXT), "context": turns, "top": TOP}
        try:
            requests.append(AnalyzeRequest.model_validate(body))
        except ValidationError as error:
            # Only the first error's field and reason: pydantic's own message quotes the text.
            problem = reason_of(dict(error.errors()[0]), ("messages", index))  # type: ignore[arg-type]
            raise ValueError(f"{problem['field']}: {problem['reason']}") from None
    return requests


def _ends(text: str, length: int) -> str:
    """Head and tail of a text that is too long, as the model keeps them: the wish often stands at the end."""
    head = length // 2
    return text if len(text) <= length else text[:head] + text[head - length :]


def _suggestion(answer: Analysis) -> Suggestion:
    return Suggestion(
        categories=tuple((item.label, item.score) for item in answer.category.top[:TOP]),
        emotion=(answer.emotion.label, answer.emotion.score),
        model="+".join(dict.fromkeys((answer.model.category, answer.model.emotion))),
    )


def to_prediction(suggestion: Suggestion) -> dict[str, Any]:
    """A prediction as Label Studio takes it, in an import and from an ML backend.

    Its score is the best category's; its answers go to the controls `category` and `emotion` on `chat`.
    """
    best = dict(zip(TASKS, (suggestion.categories[0], suggestion.emotion), strict=True))
    return {
        "model_version": suggestion.model,
        "score": suggestion.categories[0][1],
        "result": [
            {
                "from_name": control,
                "to_name": "chat",
                "type": "choices",
                "value": {"choices": [key]},
                "score": score,
            }
            for control, (key, score) in best.items()
        ],
    }
