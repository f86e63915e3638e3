"""The client against a server that misbehaves on purpose; sync and async by the same tests."""

from __future__ import annotations

import email.utils
import inspect
import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import httpx
import pytest

from serving.client import (
    AsyncKefuClient,
    InvalidRequest,
    KefuClient,
    KefuError,
    NotAllowed,
    Overloaded,
    Plan,
    Unreachable,
)
from serving.retries import Call, Reply, Send, Wait, retry_after
from serving.schema import AnalyzeRequest, TrackRequest
from tests.naughty import ANALYSIS, CLOSE, DRIP, HANG, REFUSAL, naughty, reply

ROOT = Path(__file__).resolve().parent.parent
FAST = Plan(timeout=0.4, total=3.0, retries=3, base=0.01, ceiling=0.05)
VERDICT = {"predicted": "refund_progress", "right": True}
RECEIPT = {"id": "1", "replaced": False}


@pytest.fixture(params=["sync", "async"])
def ask(request):
    """Calls methods of either client, one after the other on the same connections."""

    def run(address, *calls, plan=FAST, **options):
        def one(client, method, arguments, keywords):
            return getattr(client, method)(*arguments, **keywords)

        if request.param == "sync":
            with KefuClient(address, plan=plan, **options) as client:
                answers = [one(client, *call) for call in calls]
        else:

            async def main():
                async with AsyncKefuClient(address, plan=plan, **options) as client:
                    return [await one(client, *call) for call in calls]

            answers = anyio.run(main)
        return answers[0] if len(answers) == 1 else answers

    return run


def do(method, *arguments, **keywords):
    return method, arguments, keywords


ANALYZE = do("analyze", "退款多久到")


def test_text_and_context_become_a_request(ask):
    with naughty(reply()) as server:
        answer = ask(
            server.address,
            do("analyze", "38的", [("customer", "鞋挤脚"), {"role": "agent", "text": "几码呢"}], top=5),
            api_key="k1",
        )
    assert answer.category.label == "refund_progress"
    (seen,) = server.seen
    assert seen["line"] == "POST /analyze HTTP/1.1"
    assert seen["headers"]["authorization"] == "Bearer k1"
    assert json.loads(seen["body"]) == {
        "text": "38的",
        "context": [{"role": "customer", "text": "鞋挤脚"}, {"role": "agent", "text": "几码呢"}],
        "top": 5,
    }


def test_key_comes_from_the_environment(ask, monkeypatch):
    monkeypatch.setenv("KEFU_API_KEY", "from-env")
    with naughty(reply()) as server:
        ask(server.address, do("analyze", AnalyzeRequest(text="在吗"), request_id=None))
        assert server.seen[0]["headers"]["authorization"] == "Bearer from-env"
        ask(server.address, do("analyze", "在吗", request_id="abc-1"), api_key="")
    assert "authorization" not in server.seen[1]["headers"]
    assert server.seen[1]["headers"]["x-request-id"] == "abc-1"


def test_connections_are_reused(ask):
    with naughty(reply()) as server:
        ask(server.address, *[ANALYZE] * 5)
    assert len(server.seen) == 5
    assert server.connections == 1


def test_a_large_batch_is_split_and_keeps_its_order(ask):
    def answer(body):
        rows = []
        for message in json.loads(body)["messages"]:
            model = {**ANALYSIS["model"], "snapshot": message["text"]}
            rows.append({**ANALYSIS, "model": model})
        return reply(body={"results": rows})

    texts = [f"第{n}条" for n in range(600)]
    with naughty(answer) as server:
        found = ask(server.address, do("analyze_batch", texts))
    assert [row.model.snapshot for row in found.results] == texts
    assert [len(json.loads(seen["body"])["messages"]) for seen in server.seen] == [256, 256, 88]
    long = [{"text": "字" * 2000, "context": [{"role": "agent", "text": "字" * 5000}] * 100}] * 4
    with naughty(answer) as server:
        assert len(ask(server.address, do("analyze_batch", long)).results) == 4
    assert all(len(seen["body"]) < 4 * 1024 * 1024 for seen in server.seen)
    assert len(server.seen) == 2


def test_an_empty_batch_asks_nothing(ask):
    with naughty(reply()) as server:
        assert ask(server.address, do("analyze_batch", [])).results == []
    assert server.seen == []


def test_a_batch_with_a_lost_answer_is_not_believed(ask):
    with naughty(reply(body={"results": [ANALYSIS]})) as server, pytest.raises(KefuError, match="1 results"):
        ask(server.address, do("analyze_batch", ["在吗", "退款"]))


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (do("analyze", " "), "text"),
        (do("analyze", "在吗", [("robot", "a")]), "context[0].role"),
        (do("analyze", "在吗", top=99), "top"),
        (do("analyze", AnalyzeRequest(text="在吗"), [("agent", "a")]), "message"),
        (do("analyze", "在吗", request_id="a b"), "request_id"),
        (do("analyze", "\ud800"), "text"),
        (do("analyze_batch", ["在吗", {"text": "a", "topp": 1}]), "messages[1].topp"),
        (do("track", [("agent", "在")]), "turns"),
        (do("feedback", "在吗"), "body"),
    ],
)
def test_wrong_fields_are_named_before_anything_is_sent(ask, call, field):
    with naughty(reply()) as server, pytest.raises(InvalidRequest) as error:
        ask(server.address, call)
    assert [item["field"] for item in error.value.errors] == [field]
    assert field in str(error.value)
    assert server.seen == []


def test_refusals_of_the_service_keep_their_reasons(ask):
    errors = [{"field": "messages[2].text", "reason": "must not be empty"}]
    with (
        naughty(reply(422, {"errors": errors}, X_Request_ID="r1")) as server,
        pytest.raises(InvalidRequest) as error,
    ):
        ask(server.address, ANALYZE)
    assert error.value.errors == errors
    assert (error.value.status, error.value.request_id) == (422, "r1")
    assert len(server.seen) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_not_allowed(ask, status):
    with naughty(reply(status, REFUSAL)) as server, pytest.raises(NotAllowed, match="busy") as error:
        ask(server.address, ANALYZE)
    assert error.value.status == status
    assert len(server.seen) == 1


def test_503_then_an_answer(ask):
    with naughty(reply(503, REFUSAL), reply(503, b"<html>"), reply()) as server:
        assert ask(server.address, ANALYZE).alert.level == 1
    assert len(server.seen) == 3


def test_retry_after_is_waited_for(ask):
    with naughty(reply(429, REFUSAL, Retry_After="1"), reply()) as server:
        ask(server.address, ANALYZE)
    first, second = server.times()
    assert 1.0 <= second - first < 3


def test_retry_after_beyond_the_time_limit_gives_up_at_once(ask):
    began = time.monotonic()
    with (
        naughty(reply(429, REFUSAL, Retry_After="20")) as server,
        pytest.raises(Overloaded, match="busy") as error,
    ):
        ask(server.address, ANALYZE)
    assert time.monotonic() - began < 2.5
    assert error.value.retry_after == 20
    assert len(server.seen) == 1


def test_overloaded_after_all_retries(ask):
    with naughty(reply(503, REFUSAL)) as server, pytest.raises(Overloaded, match="after 4 tries"):
        ask(server.address, ANALYZE)
    assert len(server.seen) == 4


def test_a_hanging_try_is_given_up_and_repeated(ask):
    with naughty(HANG, reply()) as server:
        ask(server.address, ANALYZE)
        first, second = server.times()
    assert 0.35 <= second - first < 2.5


def test_the_total_time_holds_across_retries(ask):
    plan = Plan(timeout=0.3, total=0.7, retries=50, base=0.01)
    began = time.monotonic()
    with naughty(HANG) as server, pytest.raises(Unreachable):
        ask(server.address, ANALYZE, plan=plan)
    assert 0.3 <= time.monotonic() - began < 3
    assert 2 <= len(server.seen) <= 3


def test_an_answer_that_drips_in_does_not_hold_for_ever(ask):
    plan = Plan(timeout=0.4, total=0.6, retries=0)
    began = time.monotonic()
    with naughty(DRIP) as server, pytest.raises(Unreachable, match="longer than"):
        ask(server.address, ANALYZE, plan=plan)
    assert time.monotonic() - began < 3


def test_a_closed_kept_connection_is_no_error(ask):
    with naughty(reply(), CLOSE, reply()) as server:
        first, second = ask(server.address, ANALYZE, ANALYZE)
    assert first == second
    assert server.connections == 2


def test_feedback_is_repeated_only_where_that_is_safe(ask):
    feedback = {"category": VERDICT}
    with naughty(CLOSE, reply(body=RECEIPT)) as server, pytest.raises(Unreachable):
        ask(server.address, do("feedback", "在吗", **feedback))
    assert len(server.seen) == 1
    with naughty(CLOSE, reply(body=RECEIPT)) as server:
        assert ask(server.address, do("feedback", "在吗", **feedback, request_id="r")).id == "1"
    assert len(server.seen) == 2
    with naughty(reply(503, REFUSAL), reply(body=RECEIPT)) as server:
        assert ask(server.address, do("feedback", "在吗", **feedback)).id == "1"
    with naughty(reply(504, b""), reply(body=RECEIPT)) as server, pytest.raises(Unreachable):
        ask(server.address, do("feedback", "在吗", **feedback))
    assert "category" in json.loads(server.seen[0]["body"])


def test_nobody_listens(ask):
    with naughty(reply()) as server:
        address = server.address
    with pytest.raises(Unreachable, match=r"4 tries") as error:
        ask(address, ANALYZE)
    assert address in str(error.value)
    assert isinstance(error.value.__cause__, httpx.ConnectError)
    assert ask(address, do("ready")) is False


@pytest.mark.parametrize(
    "garbage",
    [
        reply(body=b"<html>welcome</html>"),
        reply(body={"category": 1}),
        reply(500, b"\xff\xfe"),
        reply(302, b"", Location="http://elsewhere.invalid/"),
        reply(404, {"errors": "no"}),
        reply(body=b"xx", Content_Encoding="gzip"),
    ],
)
def test_garbage_is_a_plain_error_and_not_asked_for_again(ask, garbage):
    with naughty(garbage) as server, pytest.raises(KefuError) as error:
        ask(server.address, ANALYZE)
    assert type(error.value) is KefuError
    assert len(server.seen) == 1


def test_what_is_no_http_is_unreachable(ask):
    with naughty(b"SSH-2.0-OpenSSH_9.6\r\n") as server, pytest.raises(Unreachable):
        ask(server.address, ANALYZE)


def test_readiness_is_one_question(ask):
    with naughty(reply(503, b"")) as server:
        assert ask(server.address, do("ready")) is False
    assert len(server.seen) == 1
    with naughty(reply(body=b"\n")) as server:
        assert ask(server.address, do("ready")) is True


def test_every_method_asks_its_own_endpoint(ask):
    category, emotion, alert, model = (ANALYSIS[key] for key in ("category", "emotion", "alert", "model"))
    track = {
        "turns": [],
        "trajectory": "steady",
        "trajectory_zh": "情绪平稳",
        "changed_at": None,
        "alert": {**alert, "since": None},
        "model": model,
    }
    script = [
        reply(body={"category": category, "model": model}),
        reply(body={"emotion": emotion, "alert": alert, "model": model}),
        reply(body=track),
        reply(body={"anything": 1}),
        reply(body={"categories": [], "emotions": [], "alerts": []}),
    ]
    turns = TrackRequest.model_validate({"turns": [{"role": "customer", "text": "在吗"}]})
    calls = [do("classify", "在吗"), do("emotion", "在吗"), do("track", turns), do("info"), do("labels")]
    with naughty(*script) as server:
        found = ask(server.address, *calls)
    paths = ["/classify", "/emotion", "/track", "/info", "/labels"]
    assert [seen["line"].split()[1] for seen in server.seen] == paths
    assert found[0].category.zh == "退款进度"
    assert found[1].alert.level == 1
    assert found[2].trajectory == "steady"
    assert found[3] == {"anything": 1}


def test_both_clients_have_the_same_methods():
    def methods(client):
        found = inspect.getmembers(client, inspect.isfunction)
        return {name: str(inspect.signature(method)) for name, method in found if name[0] != "_"}

    assert methods(KefuClient) == methods(AsyncKefuClient)


@pytest.mark.parametrize(
    ("address", "key"),
    [("127.0.0.1:3000", None), ("http://a:b@host", None), ("http://host", "a\nb"), ("http://host", "密码")],
)
def test_unusable_addresses_and_keys_are_refused(address, key):
    for client in (KefuClient, AsyncKefuClient):
        with pytest.raises(ValueError, match=r"address|api_key") as error:
            client(address, key)
        assert "密码" not in str(error.value)


def drive(plan, outcomes, chance=0.5):
    """The waits of a call that meets these outcomes, without waiting."""
    now, waits = 0.0, []
    steps = plan.steps(Call("GET", "/x", bytes.decode), clock=lambda: now, chance=lambda: chance)
    step = next(steps)
    while True:
        outcome = None
        if isinstance(step, Wait):
            waits.append(step.seconds)
            now += step.seconds
        else:
            assert isinstance(step, Send)
            outcome = outcomes.pop(0)
        try:
            step = steps.send(outcome)
        except StopIteration:
            return waits


def busy(**headers):
    return Reply(503, httpx.Headers({key.replace("_", "-"): value for key, value in headers.items()}), b"")


FINE = Reply(200, httpx.Headers(), b"ok")


def test_back_off_doubles_with_full_jitter_up_to_its_ceiling():
    plan = Plan(total=100, retries=5, base=1, ceiling=5)
    outcomes = [busy() for _ in range(5)]
    assert drive(plan, [*outcomes, FINE], chance=1.0) == [1, 2, 4, 5, 5]
    assert drive(plan, [*outcomes, FINE], chance=0.0) == [0, 0, 0, 0, 0]


def test_retry_after_is_capped_and_never_shortened():
    plan = Plan(total=100, retries=3, base=1, longest=7)
    found = drive(plan, [busy(retry_after="3"), busy(retry_after="86400"), FINE], chance=0.5)
    assert found == [3.5, 8.0]


def test_retry_after_reads_seconds_and_dates():
    now = datetime.now(UTC)
    later = email.utils.format_datetime(now + timedelta(seconds=30), usegmt=True)
    assert retry_after({"retry-after": "12"}) == 12
    assert 28 <= retry_after({"retry-after": later}) <= 30
    past = {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}
    assert retry_after(past) == 0
    # A server whose clock is years behind: its own Date counts.
    assert retry_after({**past, "date": "Wed, 21 Oct 2015 07:27:50 GMT"}) == 10
    assert retry_after({"retry-after": "Wednesday, 21-Oct-15 07:28:00 GMT", "date": "x"}) == 0
    for nonsense in ("", "soon", "-5", "1.5", "٣", "9" * 400 + "x"):
        assert retry_after({"retry-after": nonsense}) is None
    assert retry_after({}) is None


@pytest.mark.parametrize("wrong", [{"timeout": 0}, {"total": -1}, {"retries": -1}])
def test_plans_are_checked(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Plan(**wrong)


def test_importing_the_client_is_cheap():
    code = (
        "import sys, serving.client; "
        "heavy = {'bentoml', 'onnxruntime', 'numpy', 'fastapi', 'mcp', 'tokenizers', 'opencc'}; "
        "found = heavy & set(sys.modules); assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_no_try_outlasts_the_total_time():
    now = 0.0
    plan = Plan(timeout=10, total=25, retries=9, base=0.001)
    steps = plan.steps(Call("GET", "/x", bytes.decode), clock=lambda: now, chance=lambda: 0.0)
    tries: list[float] = []

    def go(step):
        nonlocal now
        while True:
            outcome = None
            if isinstance(step, Send):
                tries.append(step.timeout)
                now += step.timeout
                outcome = httpx.ReadTimeout("slow")
            step = steps.send(outcome)

    with pytest.raises(Unreachable, match="no time left of 25 s"):
        go(next(steps))
    assert tries == [10, 10, 5]
