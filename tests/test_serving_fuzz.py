"""Generated requests, right and wrong, against the application's own description (schemathesis).

In process, with the tiny model, the real rooms, feedback store and admission: no 5xx, nothing undocumented.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from assist.knowledge.documents import read_document
from assist.knowledge.intake import DEMO_DOCUMENTS
from assist.knowledge.store import KnowledgeStore
from serving.admission import Admission
from serving.app import create_app, endpoints
from serving.assist import Assistant
from serving.desk import Desk, DeskSettings, Shelves
from serving.engine import ModelEngine
from serving.feedback import FeedbackStore
from serving.keys import KeyRing, add_key
from serving.operations import Operations
from serving.settings import ServiceSettings
from serving.telemetry import Telemetry

pytestmark = pytest.mark.slow
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
]


def rooms_in(folder):
    """Rooms with everything: the demo shop's Markdown documents are imported."""
    settings = DeskSettings(
        knowledge=folder / "knowledge.sqlite",
        replies=folder / "replies.sqlite",
        reranker=folder / "none",
        vectors=folder / "vectors",
    )
    store = KnowledgeStore(settings.knowledge)
    for document in sorted(DEMO_DOCUMENTS.glob("*.md")):
        store.put(read_document(document), date(2026, 11, 23))
    return settings


@pytest.fixture(scope="module")
def service(predictor, tmp_path_factory):
    """The application with everything behind and before it, and headers that are let in."""
    folder = tmp_path_factory.mktemp("fuzz")
    token = add_key(folder / "keys.json", "fuzz", 1e9)
    shelves = Shelves(rooms_in(folder))
    engine = ModelEngine(lambda: predictor, lambda: 1, prepare=lambda champion: Desk(shelves, champion))
    store = FeedbackStore(folder / "feedback.sqlite", predictor.taxonomy)
    assistant = Assistant(engine, engine.prepared)
    operations = Operations(engine, store, helper=assistant)
    telemetry = Telemetry()
    app = create_app(lambda: operations, telemetry.page)
    app.add_middleware(
        Admission,
        settings=ServiceSettings(log_text=True),
        keys=KeyRing(folder / "keys.json"),
        telemetry=telemetry,
        endpoints=endpoints(app),
    )
    yield app, {"Authorization": f"Bearer {token}"}
    assistant.close()
    engine.batcher.close()


@pytest.fixture(scope="module")
def description(service):
    return schemathesis.openapi.from_asgi("/openapi.json", service[0])


HELP = (
    "/assist",
    "/recommend",
    "/recommend/feedback",
    "/knowledge/search",
    "/answer",
    "/graph",
    "/inspect",
    "/route",
    "/group",
)
ENDPOINTS = {
    ("POST", "/analyze"),
    ("POST", "/analyze_batch"),
    ("POST", "/classify"),
    ("POST", "/emotion"),
    ("POST", "/track"),
    ("POST", "/feedback"),
    ("GET", "/labels"),
    ("GET", "/info"),
    *(("POST", path) for path in HELP),
}


def test_every_endpoint_is_tried(description):
    found = {
        (operation.ok().method.upper(), operation.ok().path) for operation in description.get_all_operations()
    }
    assert found == ENDPOINTS


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
@pytest.mark.parametrize(("method", "path"), sorted(ENDPOINTS))
def test_generated_requests(description, service, method, path, mode):
    if method == "GET" and mode is GenerationMode.NEGATIVE:
        pytest.skip("nothing of it can be wrong")

    @settings(
        max_examples=5 if method == "GET" else 60 if path in HELP else 150,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=description[path][method].as_strategy(generation_mode=mode))
    def requests(case):
        case.call_and_validate(headers=service[1], checks=CHECKS)

    requests()


@pytest.fixture(scope="module")
def labels_only(predictor, tmp_path_factory):
    """A service that was started without scripts and knowledge."""
    engine = ModelEngine(lambda: predictor, lambda: 1)
    folder = tmp_path_factory.mktemp("labels")
    operations = Operations(engine, FeedbackStore(folder / "feedback.sqlite", predictor.taxonomy))
    yield create_app(lambda: operations)
    engine.batcher.close()


@pytest.mark.parametrize("path", HELP)
def test_what_a_service_has_not_is_a_declared_501(labels_only, path):
    description = schemathesis.openapi.from_asgi("/openapi.json", labels_only)
    checks = [status_code_conformance, content_type_conformance, response_schema_conformance]
    statuses = set()

    @settings(max_examples=5, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
    @given(case=description[path]["POST"].as_strategy(generation_mode=GenerationMode.POSITIVE))
    def requests(case):
        response = case.call_and_validate(checks=checks)
        statuses.add(response.status_code)

    requests()
    assert 501 in statuses
    assert statuses <= {422, 501}


def test_rooms_without_documents_say_how_to_get_them(predictor, tmp_path):
    from starlette.testclient import TestClient

    shelves = Shelves(replace(rooms_in(tmp_path), knowledge=tmp_path / "none.sqlite"))
    engine = ModelEngine(lambda: predictor, lambda: 1, prepare=lambda champion: Desk(shelves, champion))
    assistant = Assistant(engine, engine.prepared)
    operations = Operations(
        engine, FeedbackStore(tmp_path / "feedback.sqlite", predictor.taxonomy), helper=assistant
    )
    with TestClient(create_app(lambda: operations)) as client:
        for path in ("/knowledge/search", "/answer"):
            response = client.post(path, json={"question": "怎么退货"})
            assert response.status_code == 501
            assert "kefu knowledge" in response.json()["errors"][0]["reason"]
            assert "retry-after" not in response.headers
        found = client.post("/assist", json={"text": "怎么退货", "deadline_ms": 10000}).json()
    states = {part["part"]: part["state"] for part in found["parts"]}
    assert states == {
        "scripts": "done",
        "knowledge": "off",
        "graph": "done",
        "inspection": "off",
        "routing": "done",
    }
    assistant.close()
    engine.batcher.close()


@pytest.fixture(scope="module")
def ask(service):
    from starlette.testclient import TestClient

    app, headers = service
    with TestClient(app, raise_server_exceptions=False, headers=headers) as client:
        yield lambda path, content: client.post(
            path, content=content, headers={"content-type": "application/json"}
        )


ODD = {
    "lone surrogate": '"\\ud83d"',
    "surrogate in the middle": '"退款\\udc00多久"',
    "surrogates the wrong way round": '"\\ude00\\ud83d"',
    "nul": '"a\\u0000b"',
    "controls": '"\\u0001\\u001b[31m\\u007f\\u0085"',
    "joiners": '"\\u200d\\ufe0f\\u200b\\ufeff在"',
    "one character often": json.dumps("啊" * 2000),
    "emoji families": json.dumps("👨‍👩‍👧‍👦" * 200),
    "combining marks": json.dumps("a" + "\u0301" * 1999),
    "right to left": '"\\u202eabc"',
    "unassigned": '"\\uffff\\ufdd0\\u0378"',
    "beyond the plane": json.dumps("𠮷𠮷\U0010ffff"),
    "digits": json.dumps("1" * 2000),
    "white space only": '" \\t\\n\\u3000"',
    "ligature that grows": json.dumps("\ufdfa" * 2000),
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize(
    "path",
    ["/analyze", "/classify", "/emotion", "/analyze_batch", "/track", "/feedback", *HELP],
)
def test_odd_texts(ask, path, text):
    bodies = {
        "/analyze_batch": f'{{"messages": [{{"text": {text}}}, {{"text": "在吗"}}]}}',
        "/track": f'{{"turns": [{{"role": "agent", "text": {text}}}, '
        f'{{"role": "customer", "text": {text}}}]}}',
        "/feedback": f'{{"text": {text}, "context": [{{"role": "agent", "text": {text}}}], '
        '"emotion": {"predicted": "anxious", "right": true}}',
        "/recommend": f'{{"text": {text}, "slots": {{"product": {text}}}}}',
        "/recommend/feedback": f'{{"reply_id": {text}, "action": "edited", "sent": {text}}}',
        "/knowledge/search": f'{{"question": {text}, "products": [{text}]}}',
        "/answer": f'{{"question": {text}}}',
        "/graph": f'{{"text": {text}, "wanted": {text}}}',
        "/inspect": f'{{"turns": [{{"role": "customer", "text": {text}}}, '
        f'{{"role": "agent", "text": {text}}}]}}',
        "/route": f'{{"text": {text}, "agents": [{{"id": {text}, "skills": [{text}]}}]}}',
        "/group": f'{{"messages": [{{"id": "1", "text": {text}}}, {{"id": "2", "text": {text}}}]}}',
    }
    plain = f'{{"text": {text}, "context": [{{"role": "agent", "text": {text}}}]}}'
    response = ask(path, bodies.get(path, plain))
    assert response.status_code in {200, 422}
    response.content.decode("utf-8")
    if response.status_code == 422:
        assert response.json()["errors"][0]["reason"]


@pytest.mark.parametrize(
    "content",
    [
        '{"text": "a", "top": NaN}',
        '{"text": "a", "top": Infinity}',
        '{"text": "a", "top": 1e400}',
        '{"text": "a", "top": 1' + "0" * 5000 + "}",
        '{"text": "a", "top": 3.0}',
        '{"text": "a", "top": true}',
        '{"text": NaN}',
        "NaN",
        "[" * 100_000,
        '{"text": ' * 5_000,
        '{"text": "a", "\\ud800": 1}',
        '{"text": "a", "text": 3}',
        '\ufeff{"text": 3}',
        "",
        "null",
    ],
)
def test_odd_json(ask, content):
    for path in ("/analyze", "/analyze_batch", "/track", "/feedback", *HELP):
        response = ask(path, content.encode())
        assert 400 <= response.status_code < 500, path
        assert response.json()["errors"][0]["reason"]


@pytest.mark.parametrize("field", ["request_id", "by"])
def test_odd_names_in_feedback(ask, field):
    body = (
        f'{{"text": "a", "{field}": "\\ud83d\\u0000", "emotion": {{"predicted": "anxious", "right": true}}}}'
    )
    assert ask("/feedback", body).status_code in {200, 422}
    body = '{"text": "a", "emotion": {"predicted": "\\ud83d", "right": true}}'
    response = ask("/feedback", body)
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "emotion.predicted"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/analyze", 405), ("PUT", "/feedback", 405), ("POST", "/labels", 405), ("GET", "/none", 404)],
)
def test_wrong_methods_and_paths_are_refused_in_the_same_shape(service, method, path, status):
    from starlette.testclient import TestClient

    response = TestClient(service[0], headers=service[1]).request(method, path)
    assert response.status_code == status
    assert response.json()["errors"][0]["reason"]
    assert status != 405 or response.headers["allow"]


def test_forms_and_plain_text_are_refused(service):
    from starlette.testclient import TestClient

    client = TestClient(service[0], headers=service[1])
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "nonsense", ""):
        response = client.post("/analyze", content=b"text=a", headers={"content-type": kind})
        assert 400 <= response.status_code < 500, kind
        assert response.json()["errors"][0]["reason"]
