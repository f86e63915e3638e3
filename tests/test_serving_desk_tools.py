"""The tools that help to answer: what their schemas offer, and what right and wrong arguments do."""

from __future__ import annotations

import re

import anyio
import pytest

from assist.scripts.library import CONDITIONS, SLOTS
from serving.assist_schema import PARTS
from serving.mock import MemoryFeedback, MockEngine
from serving.mock_desk import MockHelper
from serving.operations import NotHereError, Operations
from serving.tools import ToolError, call, definitions


@pytest.fixture(scope="module")
def operations():
    engine = MockEngine()
    return Operations(engine, MemoryFeedback(), helper=MockHelper(engine))


def use(operations, name, **arguments):
    return anyio.run(call, operations, name, arguments)


def fields(name):
    return {row["name"]: row["input_schema"] for row in definitions("anthropic")}[name]["properties"]


def pairs(**values):
    return [{"name": name, "value": value} for name, value in values.items()]


def test_dicts_are_lists_of_pairs(operations):
    """Neither vendor takes an object with names of its own in strict mode."""
    facts = fields("ask_shop_rules")["facts"]
    assert facts["type"] == "array"
    assert facts["items"]["required"] == ["name", "value"]
    assert facts["items"]["additionalProperties"] is False
    asked = {"question": "return_no_reason", "product": "wok_iron"}
    used = use(operations, "ask_shop_rules", **asked, facts=pairs(used="true", days_since_signed="3"))
    assert used == use(operations, "ask_shop_rules", **asked, facts={"used": True, "days_since_signed": 3.0})
    assert used == use(operations, "ask_shop_rules", **asked, facts=pairs(used=True, days_since_signed=3))
    assert used["known"] == {**used["known"], "used": True, "days_since_signed": 3.0}
    assert used["answer"] != use(operations, "ask_shop_rules", **asked)["answer"]


def test_what_the_desk_knows_fills_the_gaps(operations):
    asked = {"text": "[mock:category=suitability] 这个适合我吗", "k": 8}
    said = use(operations, "recommend_replies", **asked, slots=pairs(product="铁锅"))
    assert {"name": "product", "value": "铁锅"} in [slot for one in said["replies"] for slot in one["filled"]]
    assert said == use(operations, "recommend_replies", **asked, slots={"product": "铁锅"})


def test_the_schemas_name_what_can_be_chosen():
    for name in ("assist_message", "recommend_replies"):
        listed = fields(name)["conditions"]["description"].split("Of: ")[1].split(". ")[0].split(", ")
        assert [part.split()[0] for part in listed] == list(CONDITIONS)
        named = re.findall(r"\b[a-z]+(?:_[a-z]+)*(?= [^\x00-\x7f])", fields(name)["slots"]["description"])
        assert len(named) > 3
        assert set(named) <= set(SLOTS)
    assert fields("assist_message")["parts"]["items"]["enum"] == list(PARTS)
    assert fields("search_knowledge")["kinds"]["items"]["enum"][0] == "商品知识"
    assert fields("ask_shop_rules")["question"]["enum"][0] == "return_no_reason"
    turn = fields("inspect_conversation")["turns"]["items"]["properties"]
    assert turn["emotion"]["enum"][0] == "positive"
    assert "2026-11-05T09:14:22+08:00" in turn["sent_at"]["description"]
    agent = fields("route_message")["agents"]["items"]
    assert agent["required"] == ["id", "skills"]
    assert agent["properties"]["status"]["enum"] == ["online", "away", "offline"]
    assert "0 to 1." in agent["properties"]["rating"]["description"]


def test_a_reply_is_shown_and_judged(operations):
    message = "[mock:category=urge_shipping] 都五天了还没发货"
    shown = use(operations, "assist_message", text=message, parts=["scripts"])["scripts"]["replies"][0]
    verdict = {"reply_id": shown["id"], "action": "edited", "sent": "亲，马上帮您催"}
    receipt = {"reply_id": shown["id"], "script": shown["script"], "replaced": False}
    assert use(operations, "say_what_was_sent", **verdict) == receipt
    assert use(operations, "say_what_was_sent", **verdict) == {**receipt, "replaced": True}
    assert operations.helper.received[shown["id"]].sent == "亲，马上帮您催"


def test_rules_knowledge_and_draft_agree(operations):
    question = "[mock:category=usage_guide] 保温杯漏水怎么办"
    found = use(operations, "search_knowledge", question=question)
    draft = use(operations, "draft_answer", question=question)
    assert found["status"] == draft["status"] == "found"
    assert draft["citations"][0]["document"] == found["passages"][0]["document"]
    assert all(sentence["supported"] for sentence in draft["sentences"])
    assert (
        use(operations, "ask_shop_rules", text="[mock:category=usage_guide]保温杯能进微波炉吗")["question"]
        == "attribute"
    )


def test_messages_that_ask_the_same_are_one_group(operations):
    wish = "[mock:category=ship_time]"
    texts = {
        "a": f"{wish}什么时候发货",
        "b": f"{wish}什么时候发货呀",
        "c": "[mock:category=invoice_request]要发票",
    }
    messages = [{"id": name, "text": text} for name, text in texts.items()]
    first, *rest = use(operations, "group_open_messages", messages=messages, threshold=0.6)["groups"]
    assert sorted(first["messages"]) == ["a", "b"]
    assert first["answer"]
    assert [group["messages"] for group in rest] == [["c"]]


def test_tools_without_their_rooms_say_so():
    labels_only = Operations(MockEngine(), MemoryFeedback())
    assert use(labels_only, "analyze_message", text="在吗")
    with pytest.raises(NotHereError, match="labels only"):
        use(labels_only, "recommend_replies", text="在吗")


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("assist_message", {"text": "a", "parts": ["all"]}, "parts[0]: Input should be 'scripts'"),
        ("assist_message", {"text": "a", "deadline_ms": 1}, "deadline_ms: Input should be greater"),
        ("recommend_replies", {"text": "a", "slots": [{"name": "size"}]}, "slots[0]: must be {"),
        ("recommend_replies", {"text": "a", "slots": ["size"]}, "slots[0]: must be {"),
        (
            "recommend_replies",
            {"text": "a", "slots": [*pairs(size="M"), *pairs(size="L")]},
            "slots[1].name: 'size' is given twice; give it once",
        ),
        (
            "recommend_replies",
            {"text": "a", "slots": pairs(size=3)},
            "slots.size: Input should be a valid str",
        ),
        ("recommend_replies", {"text": "a", "slots": "size"}, "slots: Input should be a valid dict"),
        ("recommend_replies", {"text": "a", "conditions": ["paid"]}, "conditions: 'paid' is unknown; use"),
        (
            "ask_shop_rules",
            {"text": "a", "facts": pairs(opened="maybe")},
            "facts[0].value: must be true, fal",
        ),
        ("ask_shop_rules", {"text": "a", "facts": pairs(age="3")}, "facts: 'age' is unknown; known are"),
        ("ask_shop_rules", {"text": "a", "product": "rocket"}, "product: 'rocket' is no product"),
        ("search_knowledge", {"question": "退货", "at": "2026-13-40"}, "at: "),
        ("draft_answer", {"question": "退货", "generate": True}, "generate: no language model is configured"),
        (
            "inspect_conversation",
            {"turns": [{"role": "customer", "text": "在"}]},
            "at least one turn of the ag",
        ),
        ("route_message", {"text": "a", "agents": [{"id": "b"}]}, "agents[0].skills: is missing; give it"),
        (
            "route_message",
            {"text": "a", "agents": [{"id": "b", "skills": [], "busy": True}]},
            "agents[0].busy: is not known; leave it out (known here: id, skills",
        ),
        ("group_open_messages", {"messages": []}, "messages: List should have at least 1 item"),
        ("say_what_was_sent", {"reply_id": "a", "action": "sent"}, "action: Input should be 'accepted'"),
        (
            "say_what_was_sent",
            {"reply_id": "none-1", "action": "accepted"},
            "reply_id: 'none-1' was never sho",
        ),
    ],
)
def test_errors_name_the_field_and_the_mend(operations, name, arguments, said):
    with pytest.raises(ToolError) as error:
        use(operations, name, **arguments)
    assert said in str(error.value)
    assert str(error.value).startswith(f"{name}: ")
