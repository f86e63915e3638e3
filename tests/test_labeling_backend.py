"""The ML backend: its answers, and a kill after an acknowledgement."""

from __future__ import annotations

import base64
import logging
import os
import signal
import socket
import time
from contextlib import contextmanager

import httpx
import pytest
from fastapi.testclient import TestClient

from labeling.backend import create_backend, main, serve
from labeling.client import LabelStudioError
from labeling.events import EventQueue
from labeling.interface import labeling_config
from labeling.suggest import Suggestion, champion_of
from tests.conftest import script

MODEL = "kefu-category@3+kefu-emotion@2"
SECRET = "别说出去"


def rule(messages):
    """A champion that answers by a word, so that a test knows which message got which answer."""
    return [
        Suggestion(
            (("refund_progress" if "退款" in text else "greeting", 0.9), ("coupon", 0.05)),
            ("neutral", 0.8),
            MODEL,
        )
        for text, _ in messages
    ]


@pytest.fixture
def events(tmp_path):
    with EventQueue(tmp_path / "events.sqlite3") as queue:
        yield queue


@pytest.fixture
def backend(events, taxonomy):
    with TestClient(create_backend(rule, events, taxonomy)) as client:
        yield client


def task(text, number=1, **data):
    return {"id": number, "project": 2, "data": {"text": text, **data}, "annotations": [], "predictions": []}


def chosen(prediction):
    return [item["value"]["choices"][0] for item in prediction["result"]]


# --- the contract -----------------------------------------------------------------------------------


def test_it_says_that_it_is_up(backend):
    for path in ("/", "/health"):
        assert backend.get(path).json() == {"status": "UP", "model_class": "KefuChampion"}


def test_setup_checks_the_interface_and_names_the_model(backend, taxonomy):
    body = {
        "project": "2.1700000000",
        "schema": labeling_config(taxonomy),
        "hostname": "http://localhost:8080",
        "access_token": SECRET,
        "extra_params": None,
    }
    answer = backend.post("/setup", json=body)
    assert (answer.status_code, answer.json()) == (200, {"model_version": MODEL})
    body["schema"] = body["schema"].replace('alias="coupon"', 'alias="voucher"')
    answer = backend.post("/setup", json=body)
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["field"] == "schema"
    assert error["reason"] == "category: lacks coupon; put it right with: kefu label init"
    assert backend.get("/versions").json() == {"versions": [MODEL]}


def test_one_result_for_each_task_in_order(backend, taxonomy):
    tasks = [task(text, number) for number, text in enumerate(["退款呢", "在吗", "我的退款"], 1)]
    answer = backend.post(
        "/predict", json={"tasks": tasks, "label_config": labeling_config(taxonomy), "params": {}}
    )
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"results", "model_version"}
    assert body["model_version"] == MODEL
    assert [chosen(one) for [one] in body["results"]] == [
        ["refund_progress", "neutral"],
        ["greeting", "neutral"],
        ["refund_progress", "neutral"],
    ]
    assert {one["model_version"] for [one] in body["results"]} == {MODEL}


BAD = [
    (None, "tasks[1].data"),
    ({"id": 2}, "tasks[1].data"),
    (task(None), "tasks[1].data.text"),
    (task(" \n"), "tasks[1].data.text"),
    (task(7), "tasks[1].data.text"),
    (task("a", context=SECRET), "tasks[1].data.context"),
    (task("a", context=[SECRET]), "tasks[1].data.context[0].role"),
    (task("a", context=[{"role": SECRET, "text": "b"}]), "tasks[1].data.context[0].role"),
    (task("a", context=[{"role": "agent", "text": 1}]), "tasks[1].data.context[0].text"),
]


@pytest.mark.parametrize(("bad", "field"), BAD)
def test_a_bad_task_does_not_sink_the_others(backend, bad, field):
    answer = backend.post("/predict", json={"tasks": [task("退款"), bad, task("在吗")]})
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [len(one) for one in results] == [1, 0, 1]
    assert [chosen(results[place][0])[0] for place in (0, 2)] == ["refund_progress", "greeting"]
    [error] = answer.json()["errors"]
    assert error["field"] == field
    assert SECRET not in error["reason"]


def test_a_task_that_only_the_model_cannot_read(events, taxonomy, predictor):
    """A half of a surrogate pair: JSON can carry it, no encoding can."""
    with TestClient(create_backend(champion_of(predictor), events, taxonomy)) as client:
        content = (
            b'{"tasks": [{"data": {"text": "a"}}, {"data": {"text": "\\ud800"}}, {"data": {"text": "b"}}]}'
        )
        answer = client.post("/predict", content=content).json()
    assert [len(one) for one in answer["results"]] == [1, 0, 1]
    assert answer["errors"] == [{"field": "tasks[1].data", "reason": "the champion cannot read it"}]


def test_a_label_that_the_schema_lacks_is_left_out(events, taxonomy):
    def strange(messages):
        return [Suggestion(((text, 0.9),), ("neutral", 1.0), MODEL) for text, _ in messages]

    with TestClient(create_backend(strange, events, taxonomy)) as client:
        answer = client.post("/predict", json={"tasks": [task("coupon"), task("tea")]}).json()
    assert [len(one) for one in answer["results"]] == [1, 0]
    assert answer["errors"][0]["field"] == "tasks[1]"
    assert "answers tea, which the label schema lacks" in answer["errors"][0]["reason"]


def test_many_tasks_at_once(backend):
    tasks = [task("退款" if number % 2 else "在吗", number) for number in range(1000)]
    results = backend.post("/predict", json={"tasks": tasks}).json()["results"]
    keys = [chosen(one)[0] for [one] in results]
    assert keys == ["greeting", "refund_progress"] * 500


def test_what_cannot_be_answered_in_time_is_left_for_the_next_request(backend, monkeypatch):
    monkeypatch.setattr("labeling.contract.ANSWER_SECONDS", 0)
    answer = backend.post("/predict", json={"tasks": [task("在吗", number) for number in range(300)]}).json()
    assert [len(one) for one in answer["results"]] == [1] * 128 + [0] * 172
    [error] = answer["errors"]
    assert error["field"] == "tasks[128]"
    assert error["reason"].startswith("172 tasks were too many at once; retrieve")


@pytest.mark.parametrize(
    ("path", "content", "status", "field"),
    [
        ("/predict", b"{}", 422, "tasks"),
        ("/predict", b'{"tasks": {}}', 422, "tasks"),
        ("/predict", b"[]", 422, "body"),
        ("/predict", b"{", 400, "body"),
        ("/predict", "退".encode("gbk"), 400, "body"),
        ("/predict", b"[" * 100_000, 400, "body"),
        ("/setup", b"{}", 422, "schema"),
        ("/webhook", b"{}", 422, "action"),
        ("/webhook", b'{"action": "TASKS_DELETED", "tasks": [{"id": "x"}]}', 422, "tasks[0].id"),
        ("/job_status", b"{}", 404, "path"),
        ("/health", b"{}", 405, "path"),
    ],
)
def test_wrong_requests_are_named(backend, path, content, status, field):
    answer = backend.post(path, content=content)
    assert answer.status_code == status
    [error] = answer.json()["errors"]
    assert error["field"] == field
    assert error["reason"]


def test_a_flood_is_cut_off(backend, monkeypatch):
    monkeypatch.setattr("labeling.backend.MAX_BODY", 1000)
    answer = backend.post("/predict", content=b" " * 1001)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (413, "body")


def test_a_champion_that_is_away_is_said_and_asked_again(events, taxonomy, monkeypatch):
    asked, away = [], True

    def suggest(messages):
        asked.append(len(messages))
        if away:
            raise ConnectionError(
                "the inference service at http://x cannot be reached; start it with: kefu serve"
            )
        return rule(messages)

    with TestClient(create_backend(suggest, events, taxonomy)) as client:
        setup = {"schema": labeling_config(taxonomy)}
        for path, body in (("/predict", {"tasks": [task("a")]}), ("/setup", setup), ("/setup", setup)):
            answer = client.post(path, json=body)
            assert answer.status_code == 503
            assert "start it with: kefu serve" in answer.json()["errors"][0]["reason"]
        # Label Studio sets up before each task: it does not wait for the same refusal again and again.
        assert len(asked) == 1
        assert client.get("/health").status_code == 200
        away = False
        assert client.post("/predict", json={"tasks": [task("a")]}).status_code == 200
        assert client.post("/setup", json=setup).json() == {"model_version": MODEL}
        assert len(asked) == 2
        monkeypatch.setattr("labeling.contract.time.monotonic", lambda: 10**9)
        client.post("/setup", json=setup)
        assert len(asked) == 3


def test_an_error_that_quotes_a_chat_is_not_passed_on(events, taxonomy, caplog):
    def suggest(messages):
        raise KeyError(messages[0][0])

    caplog.set_level(logging.DEBUG)
    with TestClient(create_backend(suggest, events, taxonomy)) as client:
        answer = client.post("/predict", json={"tasks": [task(SECRET)]})
    assert answer.status_code == 500
    assert SECRET not in answer.text
    assert SECRET not in caplog.text
    assert "KeyError at" in caplog.text
    assert "test_labeling_backend.py" in caplog.text


def test_logs_have_no_texts(backend, taxonomy, caplog):
    caplog.set_level(logging.DEBUG)
    backend.post("/predict", json={"tasks": [task(SECRET), *(bad for bad, _ in BAD)]})
    backend.post("/setup", json={"schema": labeling_config(taxonomy), "access_token": SECRET})
    backend.post("/webhook", json=annotated(result=[SECRET]))
    backend.post("/webhook", json=annotated(id=SECRET))
    assert "predict: 10 tasks, 9 without answer" in caplog.text
    assert SECRET not in caplog.text


# --- webhooks, training, tokens ---------------------------------------------------------------------


def annotated(action="ANNOTATION_CREATED", **changes):
    annotation = {"id": 31, "task": 11, "project": 2, "updated_at": "2026-11-23T05:01:32Z", "result": []}
    return {"action": action, "annotation": {**annotation, **changes}, "project": {"id": 2, "title": "标注"}}


def test_webhooks_are_queued_once(backend, events):
    for want in ("queued", "known"):
        answer = backend.post("/webhook", json=annotated())
        assert (answer.status_code, answer.json()) == (200, {"status": want})
    [event] = events.pending()
    assert (event.action, event.project, event.task, event.annotation) == ("ANNOTATION_CREATED", 2, 11, 31)


def test_a_webhook_that_names_nothing_is_known_by_its_header(backend, events):
    for said in ("7", "７", ""):
        backend.post("/webhook", json={"action": "TASKS_DELETED"}, headers={"Kefu-Project": said.encode()})
    assert [event.project for event in events.pending()] == [7, None, None]


def test_other_actions_are_no_error(backend, events):
    answer = backend.post("/webhook", json={"action": "PROJECT_UPDATED", "project": {"id": 2}})
    assert (answer.status_code, answer.json()["status"]) == (200, "ignored")
    assert events.counts() == {"pending": 0, "done": 0}


def test_nothing_trains(backend, events):
    for path, body in (("/train", {"annotations": []}), ("/webhook", {"action": "START_TRAINING"})):
        answer = backend.post(path, json=body)
        assert answer.status_code == 200
        assert answer.json()["status"] == "ignored"
        assert "job" not in answer.json()
    assert events.counts() == {"pending": 0, "done": 0}


def test_what_was_not_stored_is_not_acknowledged(backend, events):
    events.close()
    answer = backend.post("/webhook", json=annotated())
    assert answer.status_code == 503
    assert answer.json()["errors"][0]["field"] == "events"


def test_the_token_is_asked_of_every_call(events, taxonomy):
    with TestClient(create_backend(rule, events, taxonomy, token="t:ö1")) as client:

        def basic(pair):
            return {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}

        right = basic("kefu:t:ö1")
        wrong = [
            {},
            basic("kefu:x"),
            basic("t:ö1"),
            {"authorization": "Basic ???"},
            {"authorization": "Bearer t"},
        ]
        assert client.get("/").status_code == 200
        for headers in wrong:
            for method, path in (("GET", "/health"), ("POST", "/predict"), ("POST", "/webhook")):
                answer = client.request(method, path, headers=headers)
                assert answer.status_code == 401
                assert answer.json()["errors"][0]["field"] == "authorization"
                assert answer.headers["www-authenticate"] == "Basic"
        assert client.get("/health", headers=right).status_code == 200
        bearer = {"authorization": "Bearer secret"}
    with TestClient(create_backend(rule, events, taxonomy, token="secret")) as client:
        assert client.post("/webhook", json=annotated(), headers=bearer).json() == {"status": "queued"}
    assert events.counts()["pending"] == 1


def test_an_open_backend_without_a_token_does_not_start(monkeypatch):
    monkeypatch.delenv("KEFU_BACKEND_TOKEN", raising=False)
    with pytest.raises(
        ValueError, match=r"--host: 0\.0\.0\.0 is open to the network; set KEFU_BACKEND_TOKEN"
    ):
        main(["--host", "0.0.0.0"])


# --- another process, killed ------------------------------------------------------------------------

SERVE = """
import sys
from pathlib import Path
from data.taxonomy import load_taxonomy
from labeling.backend import serve
nowhere = "http://127.0.0.1:9"
serve(load_taxonomy(), port=int(sys.argv[2]), service=nowhere, events=Path(sys.argv[1]), ready=print)
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def process(path, folder):
    port = free_port()
    child = script(SERVE, folder, path, port, background=True)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            for _ in range(300):
                try:
                    client.get("/health")
                    break
                except httpx.ConnectError:
                    time.sleep(0.1)
            yield child, client
    finally:
        child.kill()
        child.communicate()


@pytest.mark.slow
def test_an_acknowledged_event_survives_sigkill(tmp_path):
    path = tmp_path / "events.sqlite3"
    with process(path, tmp_path) as (child, client):
        numbers = range(1, 21)
        for number in numbers:
            assert client.post("/webhook", json=annotated(id=number)).json() == {"status": "queued"}
        os.kill(child.pid, signal.SIGKILL)
        child.wait(10)
    with process(path, tmp_path) as (child, client):
        assert client.post("/webhook", json=annotated(id=20)).json() == {"status": "known"}
        assert client.post("/webhook", json=annotated(id=21)).json() == {"status": "queued"}
        # Read by another process while the backend runs.
        with EventQueue(path) as queue:
            assert [event.annotation for event in queue.pending()] == [*numbers, 21]
            queue.done([event.id for event in queue.pending(limit=20)])
        # The champion's service is away: events are queued all the same.
        assert client.post("/predict", json={"tasks": [task(SECRET)]}).status_code == 503
        child.send_signal(signal.SIGTERM)
        said, log = child.communicate(timeout=20)
        assert str(client.base_url) in said.splitlines()
        assert SECRET not in said + log
        assert "webhook: ANNOTATION_CREATED, queued" in log
        assert "no champion: the inference service at http://127.0.0.1:9 cannot be reached" in log
    with EventQueue(path) as queue:
        assert [event.annotation for event in queue.pending()] == [21]


@pytest.mark.slow
def test_a_backend_that_cannot_be_connected_stops(taxonomy, tmp_path):
    def refuse(url):
        assert httpx.get(f"{url}/health").json()["status"] == "UP"
        raise LabelStudioError("wrong project")

    port = free_port()
    with pytest.raises(LabelStudioError, match="wrong project"):
        serve(taxonomy, port=port, service="http://127.0.0.1:9", events=tmp_path / "e", ready=refuse)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with pytest.raises(ValueError, match=f"--port: {port} is in use; choose another"):
            serve(taxonomy, port=port, service="http://127.0.0.1:9", events=tmp_path / "e")
