"""JSON schemas of the request and answer models, flat and in the keywords that model vendors share.

OpenAI and Anthropic each take another part of JSON Schema; what both take is `type`, `properties`,
`required`, `items`, `enum`, `description` and `additionalProperties: false`, without references. Limits
(lengths, ranges) are therefore said in the descriptions, and enforced when a call is checked.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

__all__ = ["flat_answer", "flat_request"]

_MEANING = {
    (
        "AnalyzeRequest",
        "text",
    ): "The customer's message as written, in Chinese; emoji and typing errors kept.",
    ("AnalyzeRequest", "context"): "Turns of the chat before this message, oldest first.",
    ("AnalyzeRequest", "top"): "How many candidate categories to answer, best first (default 3).",
    ("AnalyzeBatchRequest", "messages"): "Independent messages, each with its own context.",
    ("ContextTurn", "role"): "Who wrote it: customer 顾客 or agent 客服.",
    ("ContextTurn", "text"): "What was written.",
    ("TrackRequest", "turns"): "All turns, oldest first; at least one of the customer with text.",
    ("FeedbackRequest", "text"): "The message that was judged.",
    ("FeedbackRequest", "context"): "The turns before it, oldest first, as they were given for the answer.",
    ("FeedbackRequest", "category"): "Verdict on the category; give category, emotion or both.",
    ("FeedbackRequest", "emotion"): "Verdict on the emotion; give category, emotion or both.",
    (
        "FeedbackRequest",
        "request_id",
    ): "X-Request-ID of the judged answer; repeated feedback replaces earlier.",
    ("FeedbackRequest", "by"): "Who says so: a pseudonym, never a name.",
    ("Verdict", "predicted"): "Key that the service answered, such as refund_progress.",
    ("Verdict", "right"): "Whether it was right.",
    ("Verdict", "label"): "Key of the true label; needed when `right` is false.",
    ("ListRequest", "group"): "Key of a skill group; all groups when left out.",
}
_DROPPED = {
    "title",
    "default",
    "examples",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
}


def flat_request(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a request in the shared keywords, every field with its meaning and limits in words."""
    schema = model.model_json_schema()
    return _request(schema, schema.get("$defs", {}))


def flat_answer(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of an answer, references put in their place."""
    schema = model.model_json_schema(mode="serialization")
    flat: dict[str, Any] = _inline(schema, schema.get("$defs", {}))
    return flat


def _inline(node: Any, known: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_inline(item, known) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        rest = {key: value for key, value in node.items() if key != "$ref"}
        node = {**known[node["$ref"].removeprefix("#/$defs/")], **rest}
    return {key: _inline(value, known) for key, value in node.items() if key != "$defs"}


def _request(node: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        return _request(known[node["$ref"].removeprefix("#/$defs/")], known)
    if "anyOf" in node:
        # `X | None`: what may be null may be left out, which every vendor understands.
        (node,) = [option for option in node["anyOf"] if option.get("type") != "null"]
        return _request(node, known)
    flat = {key: value for key, value in node.items() if key not in _DROPPED and key != "$defs"}
    if "const" in flat:
        flat["enum"] = [flat.pop("const")]
    if node.get("type") == "object":
        flat["properties"] = {
            name: _field(node["title"], name, part, known)
            for name, part in node.get("properties", {}).items()
        }
        flat["required"] = list(node.get("required", ()))
        flat["additionalProperties"] = False
    if "items" in node:
        flat["items"] = _request(node["items"], known)
    return flat


def _field(owner: str, name: str, part: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    flat = _request(part, known)
    for option in (part, *part.get("anyOf", ())):
        limits = _limits(option)
        if limits:
            break
    flat["description"] = " ".join(filter(None, (_MEANING[owner, name], limits)))
    return flat


def _limits(part: dict[str, Any]) -> str:
    for least, most, unit in (
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
        ("minimum", "maximum", ""),
    ):
        if most in part:
            return (
                f"{part[least]} to {part[most]}{unit}." if least in part else f"At most {part[most]}{unit}."
            )
    return ""
