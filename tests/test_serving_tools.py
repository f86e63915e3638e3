"""The tools as a language model's API sees them, and what comes back when it calls them badly."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import anyio
import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving import schema
from serving.mock import MemoryFeedback, MockEngine
from serving.mock_desk import MockHelper
from serving.operations import Operations
from serving.tools import TOOLS, ToolError, call, definitions

ROOT = Path(__file__).resolve().parent.parent
NAMES = [
    "analyze_message",
    "analyze_batch",
    "track_conversation",
    "send_feedback",
    "list_categories",
    "service_info",
    "assist_message",
    "recommend_replies",
    "say_what_was_sent",
    "search_knowledge",
    "draft_answer",
    "ask_shop_rules",
    "inspect_conversation",
    "route_message",
    "group_open_messages",
]
# What strict function calling of both vendors takes.
KEYWORDS = {"type", "properties", "required", "items", "enum", "description", "additionalProperties"}


DEEP = json.loads("[" * 300 + "]" * 300)
FIELDS = [
    "text",
    "context",
    "top",
    "messages",
    "turns",
    "role",
    "category",
    "emotion",
    "predicted",
    "right",
    "x",
    "slots",
    "facts",
    "name",
    "value",
    "conditions",
    "parts",
    "question",
    "product",
    "agents",
    "id",
    "skills",
    "at",
    "on",
    "reply_id",
    "action",
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(["customer", "agent", "accepted", "opened", "wok_iron", "2026-11-20"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS) | st.text(), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def operations():
    engine = MockEngine()
    return Operations(engine, MemoryFeedback(), helper=MockHelper(engine))


def use(operations, name, arguments=None):
    return anyio.run(call, operations, name, arguments)


def schemas():
    return {row["name"]: row["input_schema"] for row in definitions("anthropic")}


def nodes(node):
    yield node
    for child in node.get("properties", {}).values():
        yield from nodes(child)
    if "items" in node:
        yield from nodes(node["items"])


def test_definitions_have_the_form_of_each_vendor():
    openai, anthropic = definitions("openai"), definitions("anthropic")
    assert [row["name"] for row in anthropic] == NAMES
    assert [row["function"]["name"] for row in openai] == NAMES
    for one, other in zip(openai, anthropic, strict=True):
        assert set(one) == {"type", "function"}
        assert one["type"] == "function"
        assert set(one["function"]) == {"name", "description", "parameters"}
        assert set(other) == {"name", "description", "input_schema"}
        assert one["function"]["parameters"] == other["input_schema"]
        # OpenAI refuses descriptions over 1,024 characters.
        assert 60 < len(other["description"]) <= 1024
    with pytest.raises(ValueError, match="openai or anthropic"):
        definitions("gemini")


@pytest.mark.parametrize("name", NAMES)
def test_schemas_are_flat_and_closed(name):
    found = schemas()[name]
    jsonschema.Draft202012Validator.check_schema(found)
    assert found["type"] == "object"
    for node in nodes(found):
        assert set(node) <= KEYWORDS
        assert isinstance(node["type"], str)
        if node["type"] == "object":
            assert node["additionalProperties"] is False
            assert set(node["required"]) <= set(node["properties"])
            for part in node["properties"].values():
                assert part["description"]
    assert "$ref" not in json.dumps(found)


def test_limits_are_said_in_words():
    message = schemas()["analyze_message"]["properties"]
    assert f"At most {schema.MAX_TEXT} characters" in message["text"]["description"]
    assert f"1 to {schema.MAX_TOP}." in message["top"]["description"]
    assert (
        f"1 to {schema.MAX_BATCH} items"
        in schemas()["analyze_batch"]["properties"]["messages"]["description"]
    )
    assert message["context"]["items"]["properties"]["role"]["enum"] == ["customer", "agent"]
    assert schemas()["analyze_message"]["required"] == ["text"]


EXAMPLES = {
    "analyze_batch": {"messages": schema.AnalyzeRequest.model_config["json_schema_extra"]["examples"]},
    "list_categories": {},
    "service_info": {},
    "search_knowledge": {"question": "保温杯漏水怎么办", "kinds": ["故障排除"]},
    "draft_answer": {"question": "保温杯漏水怎么办", "generate": False},
    "ask_shop_rules": {
        "text": "刻字的杯子拆了还能退吗",
        "facts": [{"name": "opened", "value": "true"}, {"name": "days_since_signed", "value": "3"}],
    },
    "group_open_messages": {
        "messages": [{"id": "1", "text": "什么时候发货"}, {"id": "2", "text": "几时发货"}]
    },
}


def in_pairs(example, properties):
    """Dicts of the HTTP examples as the tools want them."""
    return {
        name: [{"name": key, "value": item} for key, item in value.items()]
        if properties[name]["type"] == "array" and isinstance(value, dict)
        else value
        for name, value in example.items()
    }


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_every_example_fits_its_schema_and_its_answer_too(tool, operations):
    examples = (tool.request.model_config.get("json_schema_extra") or {}).get("examples") or []
    examples = [EXAMPLES[tool.name]] if tool.name in EXAMPLES else examples
    assert examples
    jsonschema.Draft202012Validator.check_schema(tool.output_schema)
    assert "$ref" not in json.dumps(tool.output_schema)
    for example in examples:
        given = in_pairs(example, tool.input_schema["properties"])
        if tool.name == "say_what_was_sent":
            shown = use(operations, "recommend_replies", {"text": "怎么还没发货"})
            given["reply_id"] = shown["replies"][0]["id"]
        jsonschema.validate(given, tool.input_schema)
        answer = use(operations, tool.name, given)
        jsonschema.validate(answer, tool.output_schema)
        json.dumps(answer)


def test_arguments_may_be_json_text_with_nulls(operations):
    want = use(operations, "analyze_message", {"text": "在吗"})
    assert use(operations, "analyze_message", '{"text": "在吗", "context": null, "top": null}') == want
    batch = {"messages": [{"text": "在吗", "context": None}]}
    assert use(operations, "analyze_batch", batch)["results"] == [want]
    assert use(operations, "service_info", "")["mock"] is True


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("analyze_message", {}, "text: is missing; give it"),
        ("analyze_message", {"text": None}, "text: is missing"),
        ("analyze_message", {"text": "  "}, "text: must not be empty"),
        ("analyze_message", {"text": "字" * 2001}, "text: String should have at most 2000 characters"),
        ("analyze_message", {"text": "a", "top": 99}, "top: Input should be less than or equal to 10"),
        (
            "analyze_message",
            {"message": "a"},
            "message: is not known; leave it out (known here: text, context, top)",
        ),
        (
            "analyze_batch",
            {"messages": [{"text": "a", "context": [{"role": "user", "text": "b"}]}]},
            "messages[0].context[0].role: Input should be 'customer' or 'agent'",
        ),
        (
            "analyze_batch",
            {"messages": [{"text": "a", "context": [{"role": "agent", "text": "b", "at": 1}]}]},
            "messages[0].context[0].at: is not known; leave it out (known here: role, text)",
        ),
        ("track_conversation", {"turns": []}, "turns: List should have at least 1 item"),
        ("send_feedback", {"text": "a"}, "needs category, emotion or both"),
        ("list_categories", {"group": "sales"}, "group: 'sales' is unknown; use one of presale"),
        ("service_info", {"verbose": True}, "verbose: is not known"),
        ("analyze_message", "{", "arguments: are not JSON"),
        ("analyze_message", "[1]", "arguments: must be one JSON object, not list"),
        ("analyze_message", '{"context":' + "[" * 100_000, "arguments: are not JSON"),
        ("analyze_message", {"text": DEEP}, "text: Input should be a valid string"),
        ("analyse", {}, "no tool 'analyse'; use one of analyze_message"),
        ("analyze_message", {"text": "[mock:category=x]"}, "is no category; one of"),
    ],
)
def test_errors_name_the_field_and_the_mend(operations, name, arguments, said):
    with pytest.raises(ToolError) as error:
        use(operations, name, arguments)
    assert said in str(error.value)
    assert name in str(error.value)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(NAMES), st.dictionaries(st.sampled_from(FIELDS) | st.text(), VALUES, max_size=4))
def test_any_arguments_give_an_answer_or_a_tool_error(operations, name, arguments):
    try:
        assert isinstance(use(operations, name, arguments), dict)
    except ToolError as error:
        assert name in str(error)  # noqa: PT017 - either outcome is right


def test_errors_list_every_wrong_field(operations):
    with pytest.raises(ToolError) as error:
        use(operations, "analyze_message", {"text": 3, "top": 0})
    assert [item["field"] for item in error.value.errors] == ["text", "top"]


def test_categories_can_be_limited_to_a_group(operations):
    everything = use(operations, "list_categories")
    some = use(operations, "list_categories", {"group": "logistics"})
    assert {row["group"] for row in some["categories"]} == {"logistics"}
    assert 0 < len(some["categories"]) < len(everything["categories"]) == 71
    assert all(row["definition"] and row["zh"] for row in everything["categories"])
    assert len(everything["alerts"]) == 4


def test_feedback_reaches_the_sink(operations):
    verdict = {"predicted": "neutral", "right": False, "label": "anxious"}
    receipt = use(operations, "send_feedback", {"text": "到了没", "emotion": verdict, "request_id": "q"})
    assert receipt == {"id": "q", "replaced": False}


@pytest.mark.parametrize("format", ["openai", "anthropic"])
def test_the_command_line_prints_them(format):
    command = [sys.executable, str(ROOT / "kefu.py"), "tools", "--format", format]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert json.loads(done.stdout) == definitions(format)
