"""JSON schemas of the request and answer models, flat and in the keywords that model vendors share.

OpenAI and Anthropic each take another part of JSON Schema; what both take is `type`, `properties`,
`required`, `items`, `enum`, `description` and `additionalProperties: false`, without references. Limits
(lengths, ranges) are therefore said in the descriptions, and enforced when a call is checked. A dict with
names of its own is what neither takes in strict mode (every object must close its properties): it is offered
as a list of `{name, value}`, and `dicts_of_pairs` makes the dict of it.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from typing import Any, get_args

from pydantic import BaseModel

from serving.tool_meanings import MEANING

__all__ = ["dicts_of_pairs", "flat_answer", "flat_request"]

_KEPT = {"type", "properties", "required", "items", "enum", "description"}


def flat_request(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of a request in the shared keywords, every field with its meaning and limits in words.

    Raises:
        KeyError: a field has no meaning: neither in `serving.tool_meanings`, nor a description or docstring.
    """
    schema = model.model_json_schema()
    return _request(schema, schema.get("$defs", {}), _docstrings(model))


def flat_answer(model: type[BaseModel]) -> dict[str, Any]:
    """The schema of an answer, references put in their place."""
    schema = model.model_json_schema(mode="serialization")
    flat: dict[str, Any] = _inline(schema, schema.get("$defs", {}))
    return flat


def dicts_of_pairs(model: type[BaseModel], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as the model takes them: lists of `{name, value}` become dicts; dicts stay.

    Raises:
        ValueError: a pair is none, or a name is given twice; says which, and the mend.
    """
    properties = model.model_json_schema()["properties"] if model.model_fields else {}
    found = dict(arguments)
    for field, part in properties.items():
        values = _values(part)
        if values is not None and isinstance(given := found.get(field), list):
            found[field] = _dict(field, given, is_text=values.get("type") == "string")
    return found


def _dict(field: str, pairs: list[Any], is_text: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for place, pair in enumerate(pairs):
        if (
            not isinstance(pair, Mapping)
            or set(pair) != {"name", "value"}
            or not isinstance(pair["name"], str)
        ):
            raise ValueError(f'{field}[{place}]: must be {{"name": "…", "value": "…"}}')
        if pair["name"] in found:
            raise ValueError(f"{field}[{place}].name: {pair['name']!r} is given twice; give it once")
        value = pair["value"]
        found[pair["name"]] = value if is_text else _fact(f"{field}[{place}].value", value)
    return found


def _fact(where: str, value: Any) -> bool | float:
    """Models write the value as text, as the schema says, or as it is."""
    if isinstance(value, bool | int | float):
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{where}: must be true, false or a number") from None


def _inline(node: Any, known: dict[str, Any]) -> Any:
    if isinstance(node, list):
        return [_inline(item, known) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        rest = {key: value for key, value in node.items() if key != "$ref"}
        node = {**known[node["$ref"].removeprefix("#/$defs/")], **rest}
    return {key: _inline(value, known) for key, value in node.items() if key != "$defs"}


def _values(node: dict[str, Any]) -> dict[str, Any] | None:
    """The schema of a dict's values; None for what is no dict."""
    if node.get("type") != "object" or "properties" in node:
        return None
    if isinstance(found := node.get("additionalProperties"), dict):
        return found
    # pydantic says the values of keys with a pattern so
    return next(iter(node.get("patternProperties", {}).values()), None)


def _request(
    node: dict[str, Any], known: dict[str, Any], sources: Mapping[tuple[str, str], str]
) -> dict[str, Any]:
    if "$ref" in node:
        return _request(known[node["$ref"].removeprefix("#/$defs/")], known, sources)
    if "anyOf" in node:
        # `X | None`: what may be null may be left out, which every vendor understands.
        (node,) = [option for option in node["anyOf"] if option.get("type") != "null"]
        return _request(node, known, sources)
    if (values := _values(node)) is not None:
        return _pairs(values)
    flat = {key: value for key, value in node.items() if key in _KEPT}
    if "const" in node:
        flat["enum"] = [node["const"]]
    if node.get("type") == "object":
        flat["properties"] = {
            name: _field(node["title"], name, part, known, sources)
            for name, part in node.get("properties", {}).items()
        }
        flat["required"] = list(node.get("required", ()))
        flat["additionalProperties"] = False
    if "items" in node:
        flat["items"] = _request(node["items"], known, sources)
    return flat


def _pairs(values: dict[str, Any]) -> dict[str, Any]:
    said = (
        "Its value." if values.get("type") == "string" else 'Its value as text: "true", "false" or a number.'
    )
    return {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "description": "Its name, each once."},
                "value": {"type": "string", "description": " ".join(filter(None, (said, _limits(values))))},
            },
            "required": ["name", "value"],
            "additionalProperties": False,
        },
    }


def _field(
    owner: str,
    name: str,
    part: dict[str, Any],
    known: dict[str, Any],
    sources: Mapping[tuple[str, str], str],
) -> dict[str, Any]:
    flat = _request(part, known, sources)
    for option in (part, *part.get("anyOf", ())):
        limits = _limits(option)
        if limits:
            break
    said = MEANING.get((owner, name)) or part.get("description") or sources[owner, name]
    flat["description"] = " ".join(filter(None, (" ".join(said.split()), limits)))
    return flat


def _limits(part: dict[str, Any]) -> str:
    for least, most, unit in (
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
        ("minProperties", "maxProperties", " items"),
        ("minimum", "maximum", ""),
    ):
        if most in part:
            return (
                f"{part[least]} to {part[most]}{unit}." if least in part else f"At most {part[most]}{unit}."
            )
        if part.get(least):
            return f"At least {part[least]}{unit}."
    return ""


@cache
def _docstrings(model: type[BaseModel]) -> dict[tuple[str, str], str]:
    """What the source says below the fields of a model and of the models in it, by (model, field)."""
    found = {}
    for kind in dict.fromkeys(_models(model)):
        for owner in reversed([one for one in kind.__mro__ if issubclass(one, BaseModel)]):
            if owner is BaseModel:
                continue
            (source,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
            for field, after in pairwise(getattr(source, "body", ())):
                if (
                    isinstance(field, ast.AnnAssign)
                    and isinstance(field.target, ast.Name)
                    and isinstance(after, ast.Expr)
                    and isinstance(after.value, ast.Constant)
                ):
                    found[kind.__name__, field.target.id] = inspect.cleandoc(str(after.value.value))
    return found


def _models(kind: Any) -> Iterator[type[BaseModel]]:
    if inspect.isclass(kind) and issubclass(kind, BaseModel):
        yield kind
        for field in kind.model_fields.values():
            yield from _models(field.annotation)
    for part in get_args(kind):
        yield from _models(part)
