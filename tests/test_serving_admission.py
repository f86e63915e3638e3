"""What stands before every endpoint: keys, limits, one log line a request. In process, over ASGI."""

from __future__ import annotations

import asyncio
import json
import logging
import time

import httpx
import pytest

from serving import keys as keys_module
from serving.admission import MAX_BODY, Admission
from serving.app import create_app, endpoints
from serving.batching import OverloadedError
from serving.keys import KeyRing, add_key, read_keys, remove_key
from serving.mock import MemoryFeedback, MockEngine
from serving.operations import Operations
from serving.settings import ServiceSettings
from serving.telemetry import JsonLines, Telemetry

BODY = {"text": "还是没到"}
JSON = {"content-type": "application/json"}


class Desk:
    """The application behind admission, and a way to ask it."""

    def __init__(self, keys=None, engine=None, ending=lambda: False, **settings):
        operations = Operations(engine or MockEngine(), MemoryFeedback())
        inner = create_app(lambda: operations)
        self.telemetry = Telemetry()
        settings = ServiceSettings(**settings)
        self.app = Admission(
            inner, settings, keys, self.telemetry, endpoints(inner), lambda: "c@1 e@1", ending
        )

    def ask(
        self, method="POST", path="/analyze", client="127.0.0.1", host="127.0.0.1:3000", **options
    ) -> httpx.Response:
        async def main():
            transport = httpx.ASGITransport(self.app, client=(client, 50_000))
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as asker:
                return await asker.request(method, path, **options)

        if method == "POST" and not {"json", "content"} & set(options):
            options["json"] = BODY
        return asyncio.run(main())


@pytest.fixture
def file(tmp_path):
    return tmp_path / "keys.json"


@pytest.fixture
def log():
    """Log lines of requests, as the service writes them."""
    rows = []

    class Kept(logging.Handler):
        def emit(self, record):
            rows.append(self.format(record))

    logger = logging.getLogger("kefu.request")
    handler, level = Kept(), logger.level
    handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield rows
    logger.removeHandler(handler)
    logger.setLevel(level)


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def refusal(response):
    (error,) = response.json()["errors"]
    return error


# Keys


def test_a_key_lets_in_and_the_log_names_it(file, log):
    token = add_key(file, "desk")
    assert (
        Desk(KeyRing(file)).ask(headers=bearer(token), client="203.0.113.9", host="kefu").status_code == 200
    )
    assert json.loads(log[-1])["key"] == "desk"
    assert token not in "".join(log)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic a2VmdTprZWZ1",
        "Bearer wrong",
        "Bearer kefu_",
        "Bearer \xff\xfe",
        "x",
    ],
)
def test_without_the_right_key_nobody_gets_in(file, value):
    add_key(file, "desk")
    headers = {} if value is None else {"Authorization": value.encode("latin-1")}
    response = Desk(KeyRing(file)).ask(headers=headers)
    assert response.status_code == 401
    assert refusal(response)["field"] == "Authorization"
    assert response.headers["x-request-id"]


def test_the_hash_of_a_key_is_no_key(file):
    add_key(file, "desk")
    (row,) = read_keys(file)
    assert Desk(KeyRing(file)).ask(headers=bearer(row.sha256)).status_code == 401


def test_pages_need_no_key_and_everything_else_does(file):
    add_key(file, "desk")
    desk = Desk(KeyRing(file))
    for path in ("/", "/docs", "/openapi.json"):
        assert desk.ask("GET", path).status_code == 200
    for path in ("/info", "/labels", "/metrics", "/nothing", "/page", "/docs/", "/Page/x"):
        assert desk.ask("GET", path).status_code == 401, path
    for path in ("/page/../analyze", "/page/%2e%2e/analyze"):
        assert desk.ask("POST", path).status_code != 200, path


def test_keys_come_and_go_while_the_service_runs(file, monkeypatch):
    monkeypatch.setattr(keys_module, "_LOOK_EVERY", 0.0)
    first = add_key(file, "first")
    desk = Desk(KeyRing(file))
    second = add_key(file, "second")
    assert desk.ask(headers=bearer(second)).status_code == 200
    remove_key(file, "first")
    assert desk.ask(headers=bearer(first)).status_code == 401
    assert desk.ask(headers=bearer(second)).status_code == 200


@pytest.mark.parametrize("damage", ["vanished", "torn", "other"])
def test_a_damaged_file_locks_everybody_out(file, monkeypatch, damage):
    monkeypatch.setattr(keys_module, "_LOOK_EVERY", 0.0)
    token = add_key(file, "desk")
    desk = Desk(KeyRing(file))
    assert desk.ask(headers=bearer(token)).status_code == 200
    if damage == "vanished":
        file.unlink()
    else:
        file.write_text('{"keys": [{"name"' if damage == "torn" else '{"keys": [{}]}', encoding="utf-8")
    assert desk.ask(headers=bearer(token)).status_code == 401
    assert desk.ask().status_code == 401
    file.unlink(missing_ok=True)
    again = add_key(file, "desk")
    assert desk.ask(headers=bearer(again)).status_code == 200


def test_too_many_requests_get_429_with_retry_after(file):
    token = add_key(file, "slow", 1)
    desk = Desk(KeyRing(file))
    found = [desk.ask(headers=bearer(token)) for _ in range(4)]
    assert [response.status_code for response in found] == [200, 200, 429, 429]
    assert found[-1].headers["retry-after"] == "1"
    assert "1 requests a second" in refusal(found[-1])["reason"]


# No keys


@pytest.mark.parametrize("host", ["127.0.0.1:3000", "localhost", "LOCALHOST:3000", "[::1]:3000"])
def test_without_keys_this_machine_is_answered(host):
    assert Desk().ask(host=host, client="::1" if "[" in host else "127.0.0.1").status_code == 200


@pytest.mark.parametrize(
    "client", ["203.0.113.9", "10.0.0.2", "::ffff:203.0.113.9", "2001:db8::1", "", "unix"]
)
def test_without_keys_no_other_machine_is(client):
    response = Desk().ask(client=client)
    assert response.status_code == 401
    assert "kefu keys add" in refusal(response)["reason"]


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil", "evil@localhost.x"]
)
def test_a_name_that_is_not_this_machine_is_refused(host):
    headers = {"host": host}
    assert Desk().ask(headers=headers).status_code == 401
    assert Desk().ask("GET", "/info", headers=headers).status_code == 401


# Bodies


@pytest.mark.parametrize("declared", [MAX_BODY + 1, 10**15, "9" * 5000])
def test_a_body_declared_too_large_is_not_read(declared):
    async def never():
        raise AssertionError("it was read")
        yield b""

    headers = {"content-length": str(declared), **JSON}
    response = Desk().ask(content=never(), headers=headers)
    assert response.status_code == 413
    assert str(MAX_BODY) in refusal(response)["reason"]


def test_a_body_that_grows_too_large_is_cut_off():
    sent = 0

    async def flood():
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b" " * 100_000

    assert Desk().ask(content=flood(), headers=JSON).status_code == 413
    assert sent < 50


def test_the_largest_batch_of_long_messages_fits():
    body = {"messages": [{"text": "字" * 2000}] * 256}
    assert len(json.dumps(body, ensure_ascii=False).encode()) < MAX_BODY
    response = Desk().ask(path="/analyze_batch", content=json.dumps(body, ensure_ascii=False), headers=JSON)
    assert response.status_code == 200


@pytest.mark.parametrize("pause", [0.01, 60])
def test_a_body_that_comes_too_slowly_gets_408(pause):
    async def slow():
        while True:
            yield b" "
            await asyncio.sleep(pause)

    began = time.monotonic()
    response = Desk(timeout=0.2).ask(content=slow(), headers=JSON)
    assert response.status_code == 408
    assert "slowly" in refusal(response)["reason"]
    assert time.monotonic() - began < 2


def test_a_slow_answer_is_not_taken_for_a_slow_body():
    response = Desk(timeout=0.05).ask(json={"text": "[mock:delay=0.3] 在吗"})
    assert response.status_code == 200


# Request ids and the log


def test_a_request_id_is_kept(log):
    response = Desk().ask(headers={"x-request-id": "desk-7.A_b"})
    assert response.headers["x-request-id"] == "desk-7.A_b"
    assert json.loads(log[-1])["request_id"] == "desk-7.A_b"


@pytest.mark.parametrize("given", [None, "", "a" * 65, "a b", 'a"b', "a\tb", "é", "<script>"])
def test_a_request_without_a_usable_id_gets_one(log, given):
    headers = {} if given is None else {"x-request-id": given.encode("latin-1")}
    response = Desk().ask(headers=headers)
    found = response.headers["x-request-id"]
    assert found != given
    assert len(found) == 32
    assert json.loads(log[-1])["request_id"] == found


def test_ids_differ():
    desk = Desk()
    assert desk.ask().headers["x-request-id"] != desk.ask().headers["x-request-id"]


def test_a_line_says_who_what_when_and_never_the_text(log):
    Desk().ask(json={"text": "我的电话13800138000别外传", "context": [{"role": "agent", "text": "秘密"}]})
    (line,) = log
    row = json.loads(line)
    assert {name: row[name] for name in ("event", "method", "path", "status", "key", "models", "level")} == {
        "event": "request",
        "method": "POST",
        "path": "/analyze",
        "status": 200,
        "key": None,
        "models": "c@1 e@1",
        "level": "info",
    }
    assert 0 <= row["ms"] < 10_000
    assert not any(part in line for part in ("13800138000", "外传", "秘密"))


@pytest.mark.parametrize(
    ("body", "status"),
    [({"text": ""}, 422), ({"text": "秘密", "top": 99}, 422), ({"text": "秘密" * 1500}, 422)],
)
def test_refused_texts_are_not_logged_either(log, body, status):
    assert Desk().ask(json=body).status_code == status
    assert "秘密" not in log[-1]
    assert json.loads(log[-1])["status"] == status


def test_odd_paths_and_texts_in_the_path_are_not_logged(log):
    Desk().ask("GET", "/我的电话13800138000")
    assert json.loads(log[-1])["path"] == "other"
    assert "13800138000" not in log[-1]


def test_texts_are_logged_masked_where_that_is_switched_on(log):
    body = {"messages": [{"text": "电话13800138000", "context": [{"role": "agent", "text": "亲"}]}]}
    Desk(log_text=True).ask(path="/analyze_batch", json=body)
    row = json.loads(log[-1])
    assert len(row["texts"]) == 2
    assert row["texts"][0].startswith("电话")
    assert row["texts"][1] == "亲"
    assert "13800138000" not in log[-1]


@pytest.mark.parametrize(
    "content", [b"{", b"\xff\xfe", b"[" * 100_000, b'{"text": 3}', b"null", b'"\\ud800"']
)
def test_bodies_that_are_no_json_do_not_break_the_log(log, content):
    response = Desk(log_text=True).ask(content=content, headers=JSON)
    assert 400 <= response.status_code < 500
    assert json.loads(log[-1])["event"] == "request"


def test_a_lone_surrogate_is_refused_and_logged(log):
    response = Desk(log_text=True).ask(content=b'{"text": "\\ud83d"}', headers=JSON)
    assert response.status_code in {200, 422}
    log[-1].encode("utf-8")


def test_requests_are_counted_by_endpoint_and_status():
    desk = Desk()
    desk.ask()
    desk.ask(json={"text": ""})
    desk.ask("GET", "/no/such/thing")
    page = desk.telemetry.page()[0].decode()
    assert 'kefu_requests_total{endpoint="/analyze",status="200"} 1.0' in page
    assert 'kefu_requests_total{endpoint="/analyze",status="422"} 1.0' in page
    assert 'kefu_requests_total{endpoint="other",status="404"} 1.0' in page


def test_a_full_queue_gets_503_with_retry_after():
    class Full(MockEngine):
        async def analyze(self, requests):
            raise OverloadedError(1024, 7.4)

    response = Desk(engine=Full()).ask()
    assert response.status_code == 503
    assert response.headers["retry-after"] == "7"
    assert "1024 messages wait" in refusal(response)["reason"]


def test_an_ending_process_asks_its_callers_to_connect_anew():
    assert "connection" not in Desk().ask().headers
    assert Desk(ending=lambda: True).ask().headers["connection"] == "close"
