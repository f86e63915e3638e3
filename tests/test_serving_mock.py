"""The mock as an integrator's test uses it: over HTTP, through the client."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import anyio
import httpx
import pytest

from data.taxonomy import load_taxonomy
from serving.assist_schema import PARTS
from serving.client import (
    AsyncKefuClient,
    InvalidRequest,
    KefuClient,
    KefuError,
    NotAllowed,
    Overloaded,
    Plan,
)
from serving.demo import CHATS
from serving.mock import MemoryFeedback, MockEngine, running_mock
from serving.mock_desk import MockHelper
from serving.operations import Operations
from serving.remote import RemoteOperations
from serving.schema import AnalyzeRequest, FeedbackRequest, TrackRequest
from serving.tools import TOOLS, call

ROOT = Path(__file__).resolve().parent.parent
ONCE = Plan(retries=0)


@pytest.fixture(scope="module")
def feedback():
    return MemoryFeedback()


@pytest.fixture(scope="module")
def address(feedback):
    engine = MockEngine()
    with running_mock(operations=Operations(engine, feedback, helper=MockHelper(engine))) as found:
        yield found


@pytest.fixture
def patient(address):
    """For the rooms: the first request opens them."""
    with KefuClient(address, plan=Plan(timeout=60, total=60, retries=1, base=0.01)) as client:
        yield client


@pytest.fixture
def kefu(address):
    with KefuClient(address, plan=Plan(base=0.01)) as client:
        yield client


def test_answers_are_the_same_in_every_process(kefu):
    first = kefu.analyze_batch(CHATS)
    assert kefu.analyze_batch(CHATS) == first
    code = (
        "import anyio; from serving.mock import MockEngine; from serving.schema import AnalyzeRequest; "
        "answers = anyio.run(MockEngine().analyze, [AnalyzeRequest(text='在吗亲')]); "
        "print(answers[0].model_dump_json())"
    )
    other = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert other.stdout.strip() == first.results[0].model_dump_json()


def test_answers_use_many_labels_and_are_sound(kefu):
    answers = kefu.analyze_batch([f"第{n}条消息" for n in range(600)]).results
    taxonomy = load_taxonomy()
    assert {answer.category.label for answer in answers} == set(taxonomy.category)
    assert {answer.emotion.label for answer in answers} == set(taxonomy.emotion)
    for answer in answers:
        top = answer.category.top
        assert top[0].label == answer.category.label
        assert [row.score for row in top] == sorted((row.score for row in top), reverse=True)
        assert max(answer.emotion.scores, key=lambda key: answer.emotion.scores[key]) == answer.emotion.label
        assert sum(answer.emotion.scores.values()) == pytest.approx(1, abs=0.02)
        assert not answer.category.abstain


def test_context_and_top_matter(kefu):
    plain = kefu.analyze("38的")
    assert kefu.analyze("38的", [("agent", "几码呢")]).category != plain.category
    assert kefu.analyze("38的", [("customer", "几码呢")]) != kefu.analyze("38的", [("agent", "几码呢")])
    assert len(kefu.analyze("38的", top=10).category.top) == 10


def test_texts_choose_their_answer(kefu):
    answer = kefu.analyze(
        "钱呢 [mock:category=refund_progress] [mock:emotion=angry] [mock:score=0.42] [mock:alert=1]"
    )
    assert (answer.category.label, answer.category.zh) == ("refund_progress", "退款进度")
    assert (answer.category.score, answer.category.abstain) == (0.42, True)
    assert (answer.emotion.label, answer.emotion.polarity) == ("angry", "negative")
    assert answer.alert.level == 1
    low = kefu.analyze("[mock:category=thanks_closing][mock:score=0.01]", top=1)
    assert low.category.top[0].label == "thanks_closing"


def test_the_real_alert_policy_speaks(kefu):
    assert kefu.analyze("[mock:emotion=neutral] 在吗").alert.level == 0
    alert = kefu.analyze("[mock:emotion=neutral] 我要打12315投诉").alert
    assert (alert.level, alert.zh) == (3, "红色预警")
    assert "12315" in alert.reasons[0]


def test_conversations_are_tracked(kefu):
    turns = [
        ("customer", "[mock:emotion=angry] 骗子"),
        ("agent", "抱歉"),
        ("customer", "[mock:emotion=positive]"),
    ]
    found = kefu.track([*turns, ("customer", "[mock:emotion=positive] 谢谢")])
    assert [turn.emotion.label for turn in found.turns] == ["angry", "positive", "positive"]
    assert found.trajectory == "recovering"


def test_texts_ask_for_refusals(address, kefu):
    with KefuClient(address, plan=ONCE) as once:
        with pytest.raises(Overloaded) as error:
            once.analyze("[mock:status=503][mock:retry_after=7]")
        assert error.value.retry_after == 7
        with pytest.raises(Overloaded):
            once.analyze_batch(["在吗", "[mock:status=429]"])
        with pytest.raises(NotAllowed):
            once.analyze("[mock:status=401]")
        with pytest.raises(KefuError, match="500"):
            once.analyze("[mock:status=500]")
    began = time.monotonic()
    kefu.analyze("[mock:status=503] [mock:times=2] [mock:retry_after=0]")
    # The header is in whole seconds, at least one.
    assert 1.9 < time.monotonic() - began < 5


def test_texts_ask_for_slowness(address):
    with KefuClient(address, plan=Plan(timeout=0.2, total=0.3, retries=0)) as client:
        with pytest.raises(KefuError, match="no answer"):
            client.analyze("[mock:delay=5]")
        assert client.analyze("[mock:delay=0.01]").model.category == "mock@1"


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        ("category=nope", "refund_progress"),
        ("emotion=sad", "disappointed"),
        ("status=200", "from 400 to 599"),
        ("score=nan", "from 0.01 to 1"),
        ("delay=1e9", "from 0.0 to 60.0"),
        ("alert=x", "from 0 to 3"),
        ("colour=red", "one of category, emotion"),
    ],
)
def test_impossible_wishes_are_explained(kefu, wish, reason):
    with pytest.raises(InvalidRequest) as error:
        kefu.analyze_batch(["在吗", f"[mock:{wish}]"])
    (item,) = error.value.errors
    assert item["field"] == "messages[1].text"
    assert wish in item["reason"]
    assert reason in item["reason"]


def test_feedback_can_be_looked_at(kefu, feedback):
    feedback.received.clear()
    verdict = {"predicted": "neutral", "right": True}
    assert kefu.feedback("在吗", emotion=verdict).replaced is False
    assert kefu.feedback("在吗", emotion=verdict, request_id="a").replaced is False
    assert kefu.feedback("在么", emotion=verdict, request_id="a").replaced is True
    assert [row.text for row in feedback.received.values()] == ["在吗", "在么"]


def test_wrong_requests_are_refused_as_by_the_service(address):
    response = httpx.post(
        f"{address}/analyze", json={"text": "a", "context": [{"role": "robot", "text": "b"}]}
    )
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "context[0].role"
    assert httpx.get(f"{address}/livez").status_code == 200
    with KefuClient(address) as client:
        assert client.ready()
        assert client.info()["mock"] is True
        assert len(client.labels().categories) == len(load_taxonomy().categories)


@pytest.mark.parametrize("model", [AnalyzeRequest, TrackRequest, FeedbackRequest])
def test_examples_of_the_schema_are_answered(address, model):
    path = {AnalyzeRequest: "analyze", TrackRequest: "track", FeedbackRequest: "feedback"}[model]
    for example in model.model_config["json_schema_extra"]["examples"]:
        assert httpx.post(f"{address}/{path}", json=example).status_code == 200


def test_several_mocks_and_a_taken_port():
    with running_mock() as one, running_mock() as other:
        assert one != other
        port = int(one.rsplit(":", 1)[1])
        with pytest.raises(OSError, match="in use"), running_mock(port):
            pass
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{one}/livez")


def snippets(language):
    text = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.S)


@pytest.mark.parametrize("number", range(4))
def test_snippets_of_the_docs_run(address, capsys, number):
    code = snippets("python")[number].replace("http://127.0.0.1:3000", address)
    exec(compile(code, f"docs/agents.md, snippet {number}", "exec"), {"__name__": "snippet"})
    if number == 2:
        good, bad = capsys.readouterr().out.strip().splitlines()
        assert json.loads(good)["model"]["category"] == "mock@1"
        assert "text: is missing" in bad
        assert "message: is not known" in bad


def test_every_request_of_the_service_docs_is_answered(address):
    text = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
    requests = re.findall(r"```http\nPOST (\S+)\n(.*?)```", text, re.S)
    reply = ""
    for path, body in requests:
        response = httpx.post(
            f"{address}{path}",
            content=body.replace("REPLY", reply).encode(),
            headers={"Content-Type": "application/json"},
            timeout=60,
        )
        assert response.status_code == 200, (path, response.text)
        if path == "/recommend":
            reply = response.json()["replies"][0]["id"]
        if path == "/assist":
            assert {part["part"]: part["state"] for part in response.json()["parts"]} == dict.fromkeys(
                ("scripts", "graph", "routing"), "done"
            )
    described = httpx.get(f"{address}/openapi.json").json()["paths"]
    assert [path for path, _ in requests] == [
        path
        for path, methods in described.items()
        if "help for the agent" in methods.get("post", {}).get("tags", ())
    ]


def test_every_tool_stands_in_the_docs_with_arguments_that_work(address):
    text = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| .* \| `(\{.*\})` \|$", text, re.M)
    assert sorted(name for name, _ in rows) == sorted(tool.name for tool in TOOLS)

    async def main():
        async with AsyncKefuClient(address, plan=Plan(timeout=60, total=60)) as client:
            operations, reply = RemoteOperations(client), ""
            for name, arguments in rows:
                found = await call(operations, name, arguments.replace("REPLY", reply))
                reply = found["replies"][0]["id"] if name == "recommend_replies" else reply

    anyio.run(main)


def test_the_docs_name_every_setting_of_the_rooms():
    text = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
    source = "".join(
        (ROOT / name).read_text(encoding="utf-8")
        for name in ("serving/desk.py", "assist/knowledge/intake.py", "assist/knowledge/endpoint.py")
    )
    settings = set(re.findall(r"KEFU_[A-Z]+(?:_[A-Z]+)*", source))
    assert len(settings) > 6
    assert {name for name in settings if f"`{name}`" not in text} == set()


ASKED = "[mock:category=return_request] [mock:emotion=dissatisfied] 刻字的保温杯能退吗，两天了"


def test_help_is_the_same_every_time_and_in_every_mock(patient):
    first = patient.assist(ASKED, [("agent", "您好")])
    assert [(part.part, part.state, part.took_ms) for part in first.parts] == [
        (part, "done", 0.0) for part in PARTS
    ]
    patient.reply_feedback(first.scripts.replies[0].id, action="rejected")
    with running_mock() as other, KefuClient(other, plan=patient.plan) as second:
        assert (
            second.assist(ASKED, [("agent", "您好")]) == first == patient.assist(ASKED, [("agent", "您好")])
        )
        assert second.info()["desk"] == {"mock": True, "open": True}
        with pytest.raises(InvalidRequest, match="never shown"):
            second.reply_feedback("mock-0-1", action="accepted")
        assert second.reply_feedback(first.scripts.replies[0].id, action="accepted").replaced is False
    assert patient.search_knowledge("双十二活动").at == "2026-11-23"


def test_the_rooms_do_not_read_the_wishes(patient):
    question = "保温杯漏水怎么办"
    plain = patient.search_knowledge(question)
    assert patient.search_knowledge(f"[mock:emotion=angry]{question}") == plain
    wish = "[mock:category=return_request]"
    asked = patient.ask_shop_rules(f"{wish}刻字保温杯能退吗")
    assert asked.answer == "no"
    assert asked.mentions[0].start == len(wish)


def test_texts_ask_for_parts_that_are_late(patient):
    found = patient.assist(
        f"{ASKED} [mock:late=knowledge] [mock:late=graph]", parts=["knowledge", "graph", "scripts"]
    )
    assert {part.part: part.state for part in found.parts} == {
        "knowledge": "late",
        "graph": "late",
        "scripts": "done",
    }
    assert (found.knowledge, found.graph) == (None, None)
    assert found.scripts.replies
    with pytest.raises(InvalidRequest, match="is no part of /assist; one of scripts"):
        patient.assist("[mock:late=everything]")
    with pytest.raises(Overloaded):
        patient.recommend("[mock:status=503] [mock:times=9]")


def test_starting_opens_no_rooms():
    code = (
        "import sys; from serving.mock import running_mock; import httpx\n"
        "with running_mock() as address:\n"
        "    assert httpx.post(address + '/analyze', json={'text': '在吗'}).status_code == 200\n"
        "    assert httpx.get(address + '/info').json()['desk'] == {'mock': True, 'open': False}\n"
        "    heavy = {'serving.desk', 'faiss', 'pyoxigraph', 'onnxruntime'} & set(sys.modules)\n"
        "    assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_docs_and_the_module_list_the_same_wishes():
    import serving.mock

    rows = re.compile(r"\[mock:([a-z_]+)=")
    docs = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8")
    assert set(rows.findall(docs)) == set(rows.findall(serving.mock.__doc__))


@pytest.mark.slow
def test_the_command_line_starts_it(tmp_path):
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(ROOT / "kefu.py"), "mock", "--port", str(port)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert f"http://127.0.0.1:{port}" in process.stdout.readline()
            with KefuClient(f"http://127.0.0.1:{port}", plan=Plan(retries=20, ceiling=0.5)) as client:
                assert client.analyze("在吗").model.category == "mock@1"
        finally:
            process.terminate()
