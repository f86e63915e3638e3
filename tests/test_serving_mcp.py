"""The Model Context Protocol by the SDK's own client: over HTTP, and over the pipes of a subprocess."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import anyio
import httpx
import jsonschema
import pytest
from fastapi import FastAPI
from mcp import Client, StdioServerParameters
from starlette.exceptions import HTTPException

from serving.mcp_server import add_mcp, create_mcp
from serving.mock import MemoryFeedback, MockEngine, running_mock
from serving.operations import Operations
from serving.tools import TOOLS
from tests.conftest import script

ROOT = Path(__file__).resolve().parent.parent
KEFU = str(ROOT / "kefu.py")
CHAT = [
    {"role": "customer", "text": "[mock:emotion=neutral] 在吗"},
    {"role": "agent", "text": "在的亲"},
    {"role": "customer", "text": "[mock:emotion=angry] 骗子！"},
]
CALL = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "analyze_message", "arguments": {"text": "在吗"}},
}
HEADERS = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-06-18"}


@pytest.fixture(scope="module")
def address():
    with running_mock() as found:
        yield found


def talk(target, main, mode="auto"):
    """Runs `main(client)` in a session with the server; nothing may hang."""

    async def run():
        with anyio.fail_after(120):
            async with Client(target, mode=mode) as client:
                return await main(client)

    return anyio.run(run)


WRITES = {"send_feedback", "say_what_was_sent"}
MESSAGE = "[mock:category=return_request] 刻字的保温杯能退吗"
DESK = {
    "assist_message": {"text": MESSAGE, "context": CHAT[1:2], "deadline_ms": 10000},
    "recommend_replies": {"text": MESSAGE, "k": 2, "slots": [{"name": "product", "value": "保温杯"}]},
    "ask_shop_rules": {
        "question": "return_no_reason",
        "product": "wok_iron",
        "facts": [{"name": "used", "value": "true"}],
    },
    "inspect_conversation": {"turns": CHAT},
    "route_message": {"text": MESSAGE, "agents": [{"id": "a", "skills": ["aftersale"]}]},
    "group_open_messages": {"messages": [{"id": "1", "text": MESSAGE}, {"id": "2", "text": MESSAGE}]},
}
KNOWLEDGE = {
    "search_knowledge": {"question": "保温杯漏水怎么办"},
    "draft_answer": {"question": "保温杯漏水怎么办"},
}


async def help_with_everything(client, knowledge=True):
    """Every tool that helps to answer; a service may have no documents."""
    schemas = {tool.name: tool.output_schema for tool in (await client.list_tools()).tools}
    answers = {}
    for name, given in {**DESK, **(KNOWLEDGE if knowledge else {})}.items():
        found = await client.call_tool(name, given)
        assert not found.is_error, (name, found.content)
        jsonschema.validate(found.structured_content, schemas[name])
        answers[name] = found.structured_content
    states = {part["part"]: part["state"] for part in answers["assist_message"]["parts"]}
    assert states.pop("knowledge") == ("done" if knowledge else "off")
    assert states == dict.fromkeys(("scripts", "graph", "inspection", "routing"), "done")
    # The tiny model's vectors are nearly alike, and of replies that say the same only one is shown.
    positions = [reply["position"] for reply in answers["recommend_replies"]["replies"]]
    assert positions in ([1], [1, 2])
    assert answers["ask_shop_rules"]["known"]["used"] is True
    assert answers["ask_shop_rules"]["path"]
    assert len(answers["inspect_conversation"]["dimensions"]) == 4
    assert answers["route_message"]["decision"]["group_zh"]
    assert answers["group_open_messages"]["groups"][0]["messages"] == ["1", "2"]
    if knowledge:
        assert answers["search_knowledge"]["status"] == "found"
        assert answers["draft_answer"]["citations"]
    else:
        for name, given in KNOWLEDGE.items():
            refused = await client.call_tool(name, given)
            assert refused.is_error
            assert "the knowledge base is empty" in refused.content[0].text
    reply = answers["recommend_replies"]["replies"][0]
    verdict = {"reply_id": reply["id"], "action": "accepted"}
    receipt = await client.call_tool("say_what_was_sent", verdict)
    assert receipt.structured_content["script"] == reply["script"]
    wrong = await client.call_tool("recommend_replies", {"text": "a", "slots": [{"name": "size"}]})
    assert wrong.is_error
    assert "slots[0]: must be" in wrong.content[0].text
    return answers


async def look_at_everything(client):
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert list(tools) == [tool.name for tool in TOOLS]
    for tool in TOOLS:
        listed = tools[tool.name]
        assert listed.input_schema == tool.input_schema
        assert listed.description == tool.description
        assert listed.annotations.read_only_hint is (tool.name not in WRITES)
    arguments = {
        "analyze_message": {"text": "多久", "context": CHAT[:2], "top": 5},
        "analyze_batch": {"messages": [{"text": "在吗"}, {"text": "退款多久到"}]},
        "track_conversation": {"turns": CHAT},
        "list_categories": {"group": "payment"},
        "service_info": {},
    }
    answers = {}
    for name, given in arguments.items():
        found = await client.call_tool(name, given)
        assert not found.is_error, found.content
        jsonschema.validate(found.structured_content, tools[name].output_schema)
        assert json.loads(found.content[0].text) == found.structured_content
        answers[name] = found.structured_content
    assert len(answers["analyze_message"]["category"]["top"]) == 5
    assert len(answers["analyze_batch"]["results"]) == 2
    assert [turn["index"] for turn in answers["track_conversation"]["turns"]] == [0, 2]
    assert {row["group"] for row in answers["list_categories"]["categories"]} == {"payment"}
    wrong = await client.call_tool(
        "analyze_message", {"text": "在吗", "context": [{"role": "bot", "text": ""}]}
    )
    assert wrong.is_error
    assert "context[0].role: Input should be 'customer' or 'agent'" in wrong.content[0].text
    unknown = await client.call_tool("analyse", {})
    assert unknown.is_error
    assert "use one of analyze_message" in unknown.content[0].text
    return answers


# "auto" speaks the newest protocol, "legacy" the one with an initialize handshake that most agents speak.
@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_over_http(address, mode):
    async def main(client):
        answers = await look_at_everything(client)
        verdict = {"predicted": "neutral", "right": True}
        receipt = await client.call_tool("send_feedback", {"text": "在吗", "emotion": verdict})
        assert receipt.structured_content["replaced"] is False
        assert "alert level 3" in client.instructions
        await help_with_everything(client)
        return answers

    assert talk(f"{address}/mcp", main, mode)["service_info"]["mock"] is True


def test_many_calls_at_once(address):
    async def main(client):
        found = {}

        async def one(n):
            found[n] = await client.call_tool("analyze_message", {"text": f"第{n}条"})

        async with anyio.create_task_group() as group:
            for n in range(40):
                group.start_soon(one, n)
        return found

    found = talk(f"{address}/mcp", main)
    direct = httpx.post(
        f"{address}/analyze_batch", json={"messages": [{"text": f"第{n}条"} for n in range(40)]}
    )
    assert [found[n].structured_content for n in range(40)] == direct.json()["results"]


def test_each_request_stands_alone_and_is_answered_in_json(address):
    """No handshake, no session: another worker could have answered the one before."""
    response = httpx.post(f"{address}/mcp", json=CALL, headers=HEADERS)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("application/json")
    assert "mcp-session-id" not in response.headers
    assert response.json()["result"]["structuredContent"]["model"]["category"] == "mock@1"


def test_there_is_no_stream_to_hold_open(address):
    for method in ("GET", "DELETE"):
        response = httpx.request(method, f"{address}/mcp", headers=HEADERS)
        assert response.status_code == 405
        assert response.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("header", "value", "status"),
    [
        ("Host", "evil.example", 421),
        ("Host", "evil.example:80", 421),
        ("Origin", "http://evil.example", 403),
        ("Host", "localhost", 200),
        ("Origin", "http://localhost:5173", 200),
    ],
)
def test_pages_of_others_cannot_use_a_local_service(address, header, value, status):
    response = httpx.post(f"{address}/mcp", json=CALL, headers={**HEADERS, header: value})
    assert response.status_code == status


def test_behind_keys_any_name_of_the_host_will_do():
    app = FastAPI()
    operations = Operations(MockEngine(), MemoryFeedback())
    add_mcp(app, lambda: operations, local_only=False)

    async def main():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://kefu.shop.example") as client:
            return await client.post("/mcp", json=CALL, headers=HEADERS)

    assert anyio.run(main).status_code == 200


def test_a_body_that_is_refused_on_the_way_keeps_its_status():
    app = FastAPI()
    add_mcp(app, lambda: Operations(MockEngine(), MemoryFeedback()), local_only=False)

    class Slow:
        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            async def refused():
                raise HTTPException(408, "too slow")

            await self.app(scope, refused, send)

    app.add_middleware(Slow)

    async def main():
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://kefu") as client:
            return await client.post("/mcp", json=CALL, headers=HEADERS)

    assert anyio.run(main).status_code == 408


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"jsonrpc": "2.0"}', b"\xff", b"null"])
def test_what_is_no_protocol_gets_a_4xx(address, content):
    headers = {**HEADERS, "Content-Type": "application/json"}
    assert 400 <= httpx.post(f"{address}/mcp", content=content, headers=headers).status_code < 500


def test_refusals_and_failures_are_told_without_the_text(address, caplog):
    class Broken(MockEngine):
        async def analyze(self, requests):
            raise KeyError(requests[0].text)

    broken = create_mcp(lambda: Operations(Broken(), MemoryFeedback()))

    async def main(client):
        return await client.call_tool("analyze_message", {"text": "秘密 [mock:status=503]"})

    found = talk(broken, main)
    assert found.is_error
    assert "failed inside the service (KeyError)" in found.content[0].text
    assert "秘密" not in found.content[0].text + caplog.text
    refused = talk(f"{address}/mcp", main)
    assert refused.is_error
    assert "refused with 503" in refused.content[0].text


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_over_pipes_asking_a_running_service(address, mode, tmp_path):
    command = StdioServerParameters(
        command=sys.executable, args=[KEFU, "mcp", "--service", address], cwd=tmp_path
    )

    async def main(client):
        answers = await look_at_everything(client)
        verdict = {"predicted": "neutral", "right": True}
        given = {"text": "在吗", "emotion": verdict, "request_id": f"pipe-{mode}"}
        receipt = await client.call_tool("send_feedback", given)
        assert receipt.structured_content == {"id": f"pipe-{mode}", "replaced": False}
        await help_with_everything(client)
        return answers

    answers = talk(command, main, mode)
    assert answers["service_info"]["mock"] is True
    messages = {"messages": [{"text": "在吗"}, {"text": "退款多久到"}]}
    assert answers["analyze_batch"] == httpx.post(f"{address}/analyze_batch", json=messages).json()


@pytest.mark.slow
def test_configurations_of_the_docs_work(address, tmp_path):
    text = (ROOT / "docs" / "agents.md").read_text(encoding="utf-8").replace("http://127.0.0.1:3000", address)
    http, pipes = (
        json.loads(block)["mcpServers"]["kefu"] for block in re.findall(r"```json\n(.*?)```", text, re.S)
    )

    async def main(client):
        return (await client.call_tool("service_info", {})).structured_content["mock"]

    assert talk(http["url"], main)
    assert pipes["command"].endswith("/kefu")
    arguments = [KEFU, *pipes["args"]]
    assert talk(
        StdioServerParameters(command=sys.executable, args=arguments, env=pipes["env"], cwd=tmp_path), main
    )


@pytest.mark.slow
def test_over_pipes_a_service_that_is_away_is_a_tool_error(tmp_path):
    args = [KEFU, "mcp", "--service", "http://127.0.0.1:9"]
    command = StdioServerParameters(command=sys.executable, args=args, cwd=tmp_path)
    found = talk(command, lambda client: client.call_tool("analyze_message", {"text": "在吗"}))
    assert found.is_error
    assert "http://127.0.0.1:9/analyze: no answer" in found.content[0].text


@pytest.fixture(scope="module")
def champions(exported, tmp_path_factory):
    """Environment of a store in which the tiny model is packaged as both champions."""
    home = tmp_path_factory.mktemp("bento")
    environment = {
        "BENTOML_HOME": str(home),
        "KEFU_PINS": str(home / "champions.json"),
        "BENTOML_DO_NOT_TRACK": "True",
        "KEFU_THREADS": "1",
        "KEFU_FEEDBACK": str(home / "feedback.sqlite"),
    }
    code = f"""
from pathlib import Path
from serving.package import Champion, package
package([Champion(task, f"kefu-{{task}}", "1", Path({str(exported)!r})) for task in ("category", "emotion")])
"""
    script(code, home, **environment)
    return environment


@pytest.mark.slow
def test_over_pipes_with_the_packaged_champions(champions, tmp_path):
    (tmp_path / ".kefu").mkdir()
    command = StdioServerParameters(command=sys.executable, args=[KEFU, "mcp"], cwd=tmp_path, env=champions)

    async def main(client):
        answers = await look_at_everything(client)
        assert answers["analyze_message"]["model"]["category"] == "kefu-category@1"
        verdict = {"predicted": "neutral", "right": True}
        receipt = await client.call_tool("send_feedback", {"text": "在吗", "emotion": verdict})
        assert not receipt.is_error, receipt.content
        assert Path(champions["KEFU_FEEDBACK"]).exists()
        await help_with_everything(client, knowledge=False)
        assert (tmp_path / ".kefu" / "replies.sqlite").exists()

    talk(command, main)


@pytest.mark.slow
def test_nothing_but_protocol_on_standard_output(champions, tmp_path):
    hello = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    lines = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {**CALL, "id": 2},
    ]
    # A library that prints while it is imported or used is what this is about.
    noisy = (
        "import sys, serving.package as package; open_champions = package.open_champions\n"
        "def noisy(*arguments):\n    print('loading'); sys.stdout.flush(); import os; os.write(1, b'raw')\n"
        "    return open_champions(*arguments)\n"
        "package.open_champions = noisy\n"
        "import kefu; kefu.main(['mcp'])"
    )
    (tmp_path / ".kefu").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", noisy],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**champions, "PYTHONPATH": str(ROOT)},
    )
    with process:
        for line in lines:
            process.stdin.write(json.dumps(line) + "\n")
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.stdin.close()
        rest, errors = process.stdout.read(), process.stderr.read()
    assert [answer["id"] for answer in answers] == [1, 2]
    assert rest == ""
    assert "loading" in errors
    assert process.returncode == 0


@pytest.mark.slow
def test_without_packaged_models_it_says_what_to_do(tmp_path):
    environment = {"KEFU_PINS": str(tmp_path / "none.json"), "PATH": "/usr/bin"}
    done = subprocess.run(
        [sys.executable, KEFU, "mcp"], env=environment, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.strip() == "kefu mcp: no packaged models; make them with: kefu package"
