"""What the clients ask beyond labels: the requests that they send, and the answers of a whole mock."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import anyio
import pytest

from assist.graph.schema import GraphRequest
from assist.inspection.schema import InspectRequest, InspectTurn
from assist.knowledge.schema import AnswerRequest, KnowledgeSearchRequest
from assist.routing.schema import AgentState, GroupRequest, OpenMessage
from assist.scripts.schema import RecommendRequest, ReplyFeedback
from serving.assist_schema import AssistRequest, RoutingRequest
from serving.client import (
    AsyncKefuClient,
    InvalidRequest,
    KefuClient,
    KefuError,
    Plan,
    Unreachable,
)
from serving.mock import MemoryFeedback, MockEngine, running_mock
from serving.mock_desk import MockHelper
from serving.operations import Operations
from serving.schema import ContextTurn
from tests.naughty import CLOSE, REFUSAL, naughty, reply

FAST = Plan(timeout=0.4, total=3.0, retries=3, base=0.01, ceiling=0.05)
PATIENT = Plan(timeout=60, total=60, base=0.01)
RECEIPT = {"reply_id": "r-1", "script": "s-01", "replaced": False}
REPLIES = {
    "request_id": "r",
    "replies": [],
    "considered": 0,
    "categories": [],
    "policy": "p",
    "took_ms": 1.0,
}


@pytest.fixture(params=["sync", "async"])
def ask(request):
    """Calls one method of either client."""

    def run(address, method, *arguments, plan=FAST, **options):
        if request.param == "sync":
            with KefuClient(address, plan=plan) as client:
                return getattr(client, method)(*arguments, **options)

        async def main():
            async with AsyncKefuClient(address, plan=plan) as client:
                return await getattr(client, method)(*arguments, **options)

        return anyio.run(main)

    return run


@pytest.fixture(scope="module")
def helper():
    return MockHelper(MockEngine())


@pytest.fixture(scope="module")
def address(helper):
    engine = MockEngine()
    operations = Operations(engine, MemoryFeedback(), helper=helper)
    with running_mock(operations=operations) as found:
        yield found


CONTEXT = [("customer", "在吗"), {"role": "agent", "text": "在的"}, ContextTurn(role="customer", text="好")]
SAID = [
    {"role": "customer", "text": "在吗"},
    {"role": "agent", "text": "在的"},
    {"role": "customer", "text": "好"},
]
AT = datetime(2026, 11, 5, 1, 14, 22, tzinfo=UTC)
SENT = [
    (
        "assist",
        ("退货", CONTEXT),
        {"parts": ("scripts",), "k": 2, "slots": {"size": "M"}, "deadline_ms": 900, "tone": None},
        "/assist",
        {
            "text": "退货",
            "context": SAID,
            "parts": ["scripts"],
            "k": 2,
            "slots": {"size": "M"},
            "deadline_ms": 900,
        },
    ),
    (
        "recommend",
        ("退货", CONTEXT),
        {"conditions": ("signed",), "exclude": ["a"], "explore": False},
        "/recommend",
        {
            "text": "退货",
            "context": SAID,
            "k": 3,
            "conditions": ["signed"],
            "slots": {},
            "exclude": ["a"],
            "explore": False,
        },
    ),
    (
        "reply_feedback",
        ("r-1",),
        {"action": "edited", "sent": "好的"},
        "/recommend/feedback",
        {"reply_id": "r-1", "action": "edited", "sent": "好的"},
    ),
    (
        "search_knowledge",
        ("怎么退",),
        {"kinds": ["服务政策"], "at": "2026-11-20"},
        "/knowledge/search",
        {"question": "怎么退", "k": 5, "kinds": ["服务政策"], "products": [], "at": "2026-11-20"},
    ),
    (
        "answer",
        ("怎么退",),
        {"generate": False, "k": 2},
        "/answer",
        {"question": "怎么退", "k": 2, "kinds": [], "products": [], "generate": False},
    ),
    (
        "ask_shop_rules",
        (),
        {"question": "exchange", "product": "wok_iron", "facts": {"opened": True}},
        "/graph",
        {
            "text": "",
            "question": "exchange",
            "product": "wok_iron",
            "coupons": [],
            "wanted": "",
            "facts": {"opened": True},
        },
    ),
    (
        "inspect",
        ([("agent", "您好"), InspectTurn(role="customer", text="好")],),
        {"agent": "kefu-01"},
        "/inspect",
        {
            "id": "chat",
            "agent": "kefu-01",
            "turns": [{"role": "agent", "text": "您好"}, {"role": "customer", "text": "好"}],
        },
    ),
    (
        "route",
        ("退货", [{"role": "agent", "text": "在的", "at": 3.5}]),
        {"agents": [AgentState(id="a", skills=["aftersale"])], "waiting_seconds": 20.0},
        "/route",
        {
            "text": "退货",
            "context": [{"role": "agent", "text": "在的", "at": 3.5}],
            "waiting_seconds": 20.0,
            "agents": [{"id": "a", "skills": ["aftersale"]}],
        },
    ),
    (
        "group",
        ([("1", "退货"), {"id": "2", "text": "换货"}, OpenMessage(id="3", text="在吗")],),
        {"threshold": 0.5},
        "/group",
        {
            "messages": [
                {"id": "1", "text": "退货"},
                {"id": "2", "text": "换货"},
                {"id": "3", "text": "在吗"},
            ],
            "threshold": 0.5,
        },
    ),
]


def holds(sent, wanted):
    """Whether what was sent has everything wanted; defaults may stand beside it."""
    if isinstance(wanted, dict):
        return all(key in sent and holds(sent[key], value) for key, value in wanted.items())
    if isinstance(wanted, list):
        return len(sent) == len(wanted) and all(map(holds, sent, wanted))
    return sent == wanted


@pytest.mark.parametrize(
    ("method", "arguments", "options", "path", "body"), SENT, ids=[row[0] for row in SENT]
)
def test_text_and_options_become_a_request(ask, method, arguments, options, path, body):
    with naughty(reply(body=b"{}")) as server, pytest.raises(KefuError, match="not one of this service"):
        ask(server.address, method, *arguments, **options)
    (seen,) = server.seen
    assert seen["line"].split()[:2] == ["POST", path]
    assert holds(json.loads(seen["body"]), body)


def test_an_answer_can_be_named_for_feedback_on_its_labels(ask):
    with naughty(reply(body=b"{}")) as server, pytest.raises(KefuError):
        ask(server.address, "assist", "退货", request_id="chat-7")
    assert server.seen[0]["headers"]["x-request-id"] == "chat-7"


@pytest.mark.parametrize(
    ("method", "arguments", "options", "field"),
    [
        ("assist", (" ",), {}, "text"),
        ("assist", ("在吗",), {"parts": ["everything"]}, "parts[0]"),
        ("assist", ("在吗",), {"request_id": "a b"}, "request_id"),
        ("assist", (AssistRequest(text="在吗"), CONTEXT), {}, "message"),
        ("assist", (AssistRequest(text="在吗"),), {"k": 2}, "message"),
        ("recommend", ("在吗", [("bot", "a")]), {}, "context[0].role"),
        ("recommend", ("在吗",), {"slots": {"size": 3}}, "slots.size"),
        ("recommend", ("在吗",), {"top": 3}, "top"),
        ("reply_feedback", ("r-1",), {}, "action"),
        ("reply_feedback", ("r-1",), {"action": "accepted", "sent": "好"}, "body"),
        ("search_knowledge", ("",), {}, "question"),
        ("answer", ("怎么退",), {"at": "today"}, "at"),
        ("ask_shop_rules", ("能退吗",), {"product": "Wok!"}, "product"),
        ("inspect", ([("customer", "在吗")],), {}, "body"),
        ("inspect", ([{"role": "agent", "text": "好", "sent_at": "9:14"}],), {}, "turns[0].sent_at"),
        ("route", ("在吗",), {"agents": [{"id": "a"}]}, "agents[0].skills"),
        ("group", ([],), {}, "messages"),
        ("group", ([("1", "a"), ("1", "b")],), {}, "body"),
    ],
)
def test_wrong_fields_are_named_before_anything_is_sent(ask, method, arguments, options, field):
    with naughty(reply()) as server, pytest.raises(InvalidRequest) as error:
        ask(server.address, method, *arguments, **options)
    assert [item["field"] for item in error.value.errors] == [field]
    assert server.seen == []


def test_what_became_of_a_reply_is_repeated_because_it_names_the_reply(ask):
    with naughty(CLOSE, reply(504, b""), reply(body=RECEIPT)) as server:
        assert ask(server.address, "reply_feedback", "r-1", action="accepted").script == "s-01"
    assert len(server.seen) == 3


def test_a_broken_connection_is_tried_again(ask):
    with naughty(CLOSE, reply(body=REPLIES)) as server:
        assert ask(server.address, "recommend", "退货").replies == []
    assert len(server.seen) == 2
    with naughty(CLOSE) as server, pytest.raises(Unreachable, match="after 4 tries"):
        ask(server.address, "recommend", "退货")


def test_a_room_that_is_not_there_says_why(ask):
    missing = {"errors": [{"field": "service", "reason": "the knowledge base is empty; fill it"}]}
    with naughty(reply(501, missing)) as server, pytest.raises(KefuError, match="base is empty; fill it"):
        ask(server.address, "search_knowledge", "怎么退")
    assert len(server.seen) == 1, "asking again does not help"
    with naughty(reply(503, REFUSAL), reply(body=REPLIES)) as server:
        ask(server.address, "recommend", "退货")


def test_all_of_it_against_the_mock(ask, address, helper):
    asked = "[mock:category=return_request][mock:emotion=angry] 刻字的保温杯能退吗"
    whole = ask(address, "assist", asked, [("agent", "您好，在的")], plan=PATIENT)
    assert {part.part: part.state for part in whole.parts} == dict.fromkeys(
        ("scripts", "knowledge", "graph", "inspection", "routing"), "done"
    )
    assert whole.analysis.emotion.label == "angry"
    assert whole.graph.answer == "no"
    assert whole.graph.path
    assert whole.routing.decision.group == "aftersale"
    replies = ask(address, "recommend", RecommendRequest(text=asked, k=2), plan=PATIENT).replies
    assert [one.position for one in replies] == [1, 2]
    receipt = ask(
        address, "reply_feedback", ReplyFeedback(reply_id=replies[0].id, action="rejected"), plan=PATIENT
    )
    assert receipt.script == replies[0].script
    assert helper.received[replies[0].id].action == "rejected"


def test_every_request_model_is_taken_as_it_is(ask, address):
    question = "保温杯漏水怎么办"
    found = ask(address, "search_knowledge", KnowledgeSearchRequest(question=question, k=1), plan=PATIENT)
    assert (found.status, len(found.passages)) == ("found", 1)
    draft = ask(address, "answer", AnswerRequest(question=question), plan=PATIENT)
    assert draft.citations[0].document == found.passages[0].document
    rule = GraphRequest(question="return_no_reason", product="cup_engraved")
    assert ask(address, "ask_shop_rules", rule, plan=PATIENT).answer == "no"
    turns = [
        InspectTurn(role="customer", text="在吗", sent_at=AT),
        InspectTurn(role="agent", text="自己看详情页", sent_at=AT.replace(hour=2)),
    ]
    inspection = ask(address, "inspect", InspectRequest(turns=turns), plan=PATIENT)
    assert {one.indicator for one in inspection.findings} >= {"first_response"}
    agents = [AgentState(id="a", skills=["aftersale"])]
    waiting = RoutingRequest(text="[mock:category=refund_progress]", agents=agents)
    routed = ask(address, "route", waiting, plan=PATIENT)
    assert routed.decision.agent == "a"
    one = GroupRequest(messages=[OpenMessage(id="1", text="在吗")])
    assert [group.messages for group in ask(address, "group", one, plan=PATIENT).groups] == [["1"]]


def test_what_only_the_service_can_judge_is_refused_by_it(ask, address):
    with pytest.raises(InvalidRequest) as error:
        ask(address, "recommend", "退货", conditions=["paid"], plan=PATIENT)
    assert error.value.status == 422
    assert error.value.errors[0]["field"] == "conditions"
    with pytest.raises(InvalidRequest, match="facts: 'age' is unknown"):
        ask(address, "ask_shop_rules", "能退吗", facts={"age": 3.0}, plan=PATIENT)
    with pytest.raises(InvalidRequest, match="never shown"):
        ask(address, "reply_feedback", "x-1", action="accepted", plan=PATIENT)


def test_a_service_of_labels_only_says_so(ask):
    with running_mock(operations=Operations(MockEngine(), MemoryFeedback())) as labels_only:
        assert ask(labels_only, "analyze", "在吗", plan=PATIENT)
        with pytest.raises(KefuError, match="labels only") as error:
            ask(labels_only, "assist", "在吗", plan=PATIENT.once())
    assert error.value.status == 501
