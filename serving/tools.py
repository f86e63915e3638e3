"""The service's capabilities as tools for language-model agents: one list behind every way of offering them.

`definitions` gives them as function definitions for a model's API, `call` runs what the model asks for;
`serving.mcp_server` offers the same list over the Model Context Protocol.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, ValidationError

from serving.desk_tools import DESK_TOOLS
from serving.operations import Operations
from serving.schema import (
    Analysis,
    AnalyzeBatchRequest,
    AnalyzeBatchResponse,
    AnalyzeRequest,
    FeedbackReceipt,
    FeedbackRequest,
    Labels,
    TrackRequest,
    TrackResponse,
    reason_of,
)
from serving.tool import Tool, ToolError
from serving.tool_schema import dicts_of_pairs

__all__ = [
    "TOOLS",
    "Elsewhere",
    "InfoAnswer",
    "ListRequest",
    "NoArguments",
    "Tool",
    "ToolError",
    "call",
    "definitions",
]


class NoArguments(BaseModel):
    """No arguments."""

    model_config = ConfigDict(strict=True, extra="forbid")


class ListRequest(BaseModel):
    """Which categories to list."""

    model_config = ConfigDict(strict=True, extra="forbid")
    group: str | None = None


class InfoAnswer(BaseModel):
    """What answers: models, snapshot, device, versions."""

    model_config = ConfigDict(extra="allow")


@runtime_checkable
class Elsewhere(Protocol):
    """Operations of a service that runs elsewhere: what the engine knows here has to be asked there."""

    async def labels(self) -> Labels:
        """The service's label schema."""

    async def info(self) -> dict[str, Any]:
        """What the service runs."""


async def _list(operations: Operations, request: ListRequest) -> Labels:
    if isinstance(operations, Elsewhere):
        labels = await operations.labels()
    else:
        labels = Labels.of(operations.engine.taxonomy)
    if request.group is None:
        return labels
    groups = list(dict.fromkeys(row.group for row in labels.categories))
    if request.group not in groups:
        raise ToolError(
            f"group: {request.group!r} is unknown; use one of {', '.join(groups)}, or leave it out"
        )
    rows = [row for row in labels.categories if row.group == request.group]
    return labels.model_copy(update={"categories": rows})


async def _info(operations: Operations, request: NoArguments) -> InfoAnswer:
    found = await operations.info() if isinstance(operations, Elsewhere) else operations.about()
    return InfoAnswer.model_validate(found)


_READING = (
    "The answer has `category` (what the customer wants; where `abstain` is true the model is too unsure and "
    "a person should decide), `emotion` (积极 positive, 中性 neutral, 焦急 anxious, 不满 dissatisfied, "
    "失望 disappointed, 愤怒 angry), `alert` (level 0 无 none, 1 提示客服 hint to the agent, "
    "2 推荐安抚 soothing reply suggested, 3 红色预警 red: consider handing over to a supervisor, 转主管; "
    "`reasons` in Chinese) and `model`."
)

TOOLS: tuple[Tool, ...] = (
    Tool(
        "analyze_message",
        "Analyse a customer message",
        "Classify one Chinese e-commerce customer-service message (客服消息): what the customer wants, how "
        "they feel, and how loudly to warn the desk. Give the earlier turns as `context` where there are "
        f"any: short messages like 多久 or 38的 mean nothing without them. {_READING}",
        AnalyzeRequest,
        Analysis,
        lambda operations, request: operations.analyze(request),
    ),
    Tool(
        "analyze_batch",
        "Analyse many customer messages",
        "The same as analyze_message for 1 to 256 independent messages at once, answered in `results` in "
        "their order. For the turns of one chat use track_conversation.",
        AnalyzeBatchRequest,
        AnalyzeBatchResponse,
        lambda operations, request: operations.analyze_batch(request),
    ),
    Tool(
        "track_conversation",
        "Follow a conversation",
        "Follow a whole chat (会话), oldest turn first: emotion, alert and heat (0 pleased to 1 furious) of "
        "each customer turn, `trajectory` (escalating 情绪升级, recovering 情绪缓和, steady 情绪平稳), the "
        "turn where the mood changed (`changed_at`, an index into `turns`), and the alert that stands now ("
        "it rises at once and falls only after calm turns).",
        TrackRequest,
        TrackResponse,
        lambda operations, request: operations.track(request),
    ),
    Tool(
        "send_feedback",
        "Say whether an answer was right",
        "Store a person's verdict on an earlier answer: whether category or emotion was right, and the true "
        "label where it was not (keys from list_categories). Only for what a person said, never for your own "
        "guess. It goes to the labelling queue (标注队列); personal data in the texts is masked.",
        FeedbackRequest,
        FeedbackReceipt,
        lambda operations, request: operations.feedback(request),
        writes=True,
    ),
    Tool(
        "list_categories",
        "List all labels",
        "Every category (key, Chinese name, skill group, definition), emotion and alert level that answers "
        "can carry. `group` limits the categories to one skill group, such as presale 售前, logistics 物流 "
        "or aftersale 售后.",
        ListRequest,
        Labels,
        _list,
    ),
    Tool(
        "service_info",
        "What is running",
        "Which models answer (name@version), on which data they learnt, on which device.",
        NoArguments,
        InfoAnswer,
        _info,
    ),
    *DESK_TOOLS,
)


@cache
def _tools() -> dict[str, Tool]:
    return {tool.name: tool for tool in TOOLS}


def definitions(format: Literal["openai", "anthropic"]) -> list[dict[str, Any]]:
    """The tools as function definitions.

    Args:
        format: `openai` (chat completions, as most compatible servers take it) or `anthropic` (messages).

    Raises:
        ValueError: the format is unknown.
    """
    if format == "openai":
        return [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.input_schema,
                },
            }
            for tool in TOOLS
        ]
    if format == "anthropic":
        return [
            {"name": tool.name, "description": tool.description, "input_schema": tool.input_schema}
            for tool in TOOLS
        ]
    raise ValueError(f"format: {format!r} is unknown; use openai or anthropic")


async def call(
    operations: Operations, name: str, arguments: Mapping[str, Any] | str | None = None
) -> dict[str, Any]:
    """Run the tool that a model asked for.

    Args:
        arguments: as a mapping, or as the JSON text in which some APIs give them.

    Returns:
        The answer as plain JSON values.

    Raises:
        ToolError: no such tool, or an argument is wrong; names field and mend, to be given back to the model.
        KefuError, OverloadedError, FeedbackStoreError: the service cannot do it now.
    """
    tool = _tools().get(name)
    if tool is None:
        raise ToolError(f"no tool {name!r}; use one of {', '.join(_tools())}")
    request = _request(tool, arguments)
    try:
        return (await tool.run(operations, request)).model_dump(mode="json")
    except ValidationError:  # a fault of ours; its message holds the text
        raise
    except ValueError as error:
        # Labels that this service does not have, and other wishes that only it can judge.
        raise ToolError(f"{tool.name}: {error}") from error


def _request(tool: Tool, arguments: Mapping[str, Any] | str | None) -> BaseModel:
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError) as error:
            raise ToolError(f"{tool.name}: arguments: are not JSON ({error}); send one JSON object") from None
    if not isinstance(arguments, Mapping | None):
        raise ToolError(f"{tool.name}: arguments: must be one JSON object, not {type(arguments).__name__}")
    try:
        given = dicts_of_pairs(tool.request, _without_nulls(arguments or {}))
    except RecursionError:
        raise ToolError(f"{tool.name}: arguments: are nested too deeply; see the schema") from None
    except ValueError as error:
        field, _, reason = str(error).partition(": ")
        raise ToolError(f"{tool.name}: {error}", [{"field": field, "reason": reason}]) from None
    try:
        return tool.request.model_validate(given)
    except ValidationError as error:
        errors = [_mend(tool, dict(item)) for item in error.errors()]
        said = "; ".join(f"{item['field']}: {item['reason']}" for item in errors)
        raise ToolError(f"{tool.name}: {said}", errors) from None


def _without_nulls(value: Any) -> Any:
    """Models often write null for what they leave out."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _mend(tool: Tool, error: dict[str, Any]) -> dict[str, str]:
    found = reason_of(error)
    if error["type"] == "missing":
        found["reason"] = "is missing; give it"
    elif error["type"] == "extra_forbidden":
        found["reason"] = "is not known; leave it out" + _known(tool, error["loc"][:-1])
    return found


def _known(tool: Tool, place: tuple[str | int, ...]) -> str:
    schema: Any = tool.input_schema
    for part in place:
        schema = schema["items"] if isinstance(part, int) else schema["properties"][part]
    names = ", ".join(schema.get("properties", ()))
    return f" (known here: {names})" if names else ""
