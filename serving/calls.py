"""From plain texts and chats to the calls of the service, for the sync and the async client alike."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from serving.retries import Call, InvalidRequest
from serving.schema import (
    MAX_BATCH,
    AnalyzeBatchResponse,
    AnalyzeRequest,
    ContextTurn,
    FeedbackReceipt,
    FeedbackRequest,
    Labels,
    TrackRequest,
    TrackResponse,
    reason_of,
)

__all__ = [
    "INFO",
    "LABELS",
    "READY",
    "Message",
    "Turn",
    "batch_calls",
    "checked",
    "feedback_call",
    "message_call",
    "post",
    "track_call",
    "turn_of",
    "wrong",
]

MAX_BODY = 3 * 1024 * 1024
"""Bytes of the messages of one call: below the 4 MiB that the service takes."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
"""What the service takes over as a request's id."""

Model = TypeVar("Model", bound=BaseModel)
Turn = ContextTurn | tuple[str, str] | Mapping[str, str]
"""A turn of the chat: the model, `(role, text)`, or `{"role", "text"}`; role is customer or agent."""
Message = AnalyzeRequest | str | Mapping[str, Any]
"""A message: the request model, the text alone, or `{"text", "context"?, "top"?}`."""


def message_call(
    path: str,
    answer: type[Model],
    message: Message,
    context: Sequence[Turn] = (),
    top: int | None = None,
    request_id: str | None = None,
) -> Call[Model]:
    """The call about one message.

    Raises:
        InvalidRequest: a field is wrong.
    """
    if not isinstance(message, str) and (context or top is not None):
        raise wrong([{"field": "message", "reason": "holds context and top itself; give them there"}])
    return post(path, answer, _request(message, context, top), request_id=request_id)


def batch_calls(messages: Iterable[Message]) -> list[Call[AnalyzeBatchResponse]]:
    """The calls about many messages in their order, of at most 256 messages and `MAX_BODY` bytes each.

    Raises:
        InvalidRequest: a field is wrong; names the message.
    """
    batches: list[list[bytes]] = []
    room = 0
    for index, message in enumerate(messages):
        try:
            body = _json(_request(message))
        except InvalidRequest as error:
            where = [{**item, "field": f"messages[{index}].{item['field']}"} for item in error.errors]
            raise wrong(where) from None
        if not batches or len(batches[-1]) == MAX_BATCH or len(body) > room:
            batches.append([])
            room = MAX_BODY
        batches[-1].append(body)
        room -= len(body) + 1
    return [
        Call("POST", "/analyze_batch", _results(len(batch)), b'{"messages":[' + b",".join(batch) + b"]}")
        for batch in batches
    ]


def track_call(turns: TrackRequest | Iterable[Turn]) -> Call[TrackResponse]:
    """The call about a whole conversation.

    Raises:
        InvalidRequest: a field is wrong.
    """
    if not isinstance(turns, TrackRequest):
        turns = checked(TrackRequest, {"turns": [turn_of(turn) for turn in turns]})
    return post("/track", TrackResponse, turns)


def feedback_call(
    message: FeedbackRequest | str, context: Iterable[Turn], verdicts: Mapping[str, Any]
) -> Call[FeedbackReceipt]:
    """The call that keeps feedback; sent twice it is stored twice, unless it has a `request_id`.

    Raises:
        InvalidRequest: a field is wrong.
    """
    if not isinstance(message, FeedbackRequest):
        values = {"text": message, "context": [turn_of(turn) for turn in context], **verdicts}
        message = checked(FeedbackRequest, values)
    return post("/feedback", FeedbackReceipt, message, idempotent=message.request_id is not None)


def turn_of(turn: Turn | BaseModel) -> Any:
    """A turn as the request models take it; what is no turn is left for them to name."""
    if isinstance(turn, BaseModel):
        return turn.model_dump(exclude_none=True)  # the requests have turns of their own kinds
    return {"role": turn[0], "text": turn[1]} if isinstance(turn, tuple) and len(turn) == 2 else turn


def _request(message: Message, context: Iterable[Turn] = (), top: int | None = None) -> AnalyzeRequest:
    if isinstance(message, AnalyzeRequest):
        return message
    if not isinstance(message, str):
        return checked(AnalyzeRequest, message)
    values: dict[str, Any] = {"text": message, "context": [turn_of(turn) for turn in context]}
    return checked(AnalyzeRequest, values if top is None else {**values, "top": top})


def checked(model: type[Model], values: Any) -> Model:
    """The values as a request.

    Raises:
        InvalidRequest: a field is wrong; names each.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise wrong([reason_of(dict(item)) for item in error.errors()]) from None


def wrong(errors: list[dict[str, str]]) -> InvalidRequest:
    """The error that names fields with their reasons."""
    error = InvalidRequest("; ".join(f"{item['field']}: {item['reason']}" for item in errors))
    error.errors = errors
    return error


def _json(model: BaseModel) -> bytes:
    return model.model_dump_json(exclude_none=True).encode()


def post(
    path: str,
    answer: type[Model],
    request: BaseModel,
    idempotent: bool = True,
    request_id: str | None = None,
) -> Call[Model]:
    """The call that sends a request.

    Raises:
        InvalidRequest: the id cannot stand in a header.
    """
    if request_id is not None and not _REQUEST_ID.match(request_id):
        raise wrong([{"field": "request_id", "reason": "must be 1 to 64 letters, digits, dots, - or _"}])
    return Call("POST", path, answer.model_validate_json, _json(request), idempotent, request_id)


def _results(count: int) -> Callable[[bytes], AnalyzeBatchResponse]:
    def read(content: bytes) -> AnalyzeBatchResponse:
        found = AnalyzeBatchResponse.model_validate_json(content)
        if len(found.results) != count:
            raise ValueError(f"{len(found.results)} results for {count} messages")
        return found

    return read


def _object(content: bytes) -> dict[str, Any]:
    found = json.loads(content)
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    return found


INFO = Call("GET", "/info", _object)
LABELS = Call("GET", "/labels", Labels.model_validate_json)
READY = Call("GET", "/readyz", lambda content: True)
