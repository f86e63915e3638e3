"""Help for the agent over the real BentoML server with the tiny model: endpoints, deadline, missing rooms."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

import httpx
import pytest

from tests.conftest import script

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.slow
RETURN = {
    "text": "刻了字的保温杯 收到才两天 不想要了能退吗",
    "context": [{"role": "customer", "text": "在吗"}, {"role": "agent", "text": "您好，在的，请说。"}],
    "deadline_ms": 10000,
}


@pytest.fixture(scope="module")
def home(exported, tmp_path_factory):
    """A folder of its own for stores, with the tiny model packaged as both champions."""
    home = tmp_path_factory.mktemp("desk")
    code = f"""
from pathlib import Path
from serving.package import Champion, package
package([Champion(task, f"kefu-{{task}}", "1", Path({str(exported)!r})) for task in ("category", "emotion")])
"""
    script(code, home, BENTOML_HOME=str(home), KEFU_PINS=str(home / "champions.json"))
    return home


def environment(home, **more):
    return {
        "BENTOML_HOME": str(home),
        "KEFU_PINS": str(home / "champions.json"),
        "BENTOML_DO_NOT_TRACK": "True",
        "KEFU_THREADS": "1",
        "KEFU_KNOWLEDGE": str(home / "knowledge.sqlite"),
        "KEFU_REPLIES": str(home / "replies.sqlite"),
        "KEFU_VECTORS": str(home / "vectors"),
        "KEFU_RERANKER": str(home / "reranker"),
        **more,
    }


@pytest.fixture(scope="module")
def service(home):
    from assist.knowledge.intake import knowledge_import
    from serving.demo import running_service

    knowledge_import(path=home / "knowledge.sqlite")
    variables = environment(home)
    with (
        running_service(variables=variables) as address,
        httpx.Client(base_url=address, timeout=30) as client,
    ):
        yield client


def ask(service, path, body):
    response = service.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def test_assist_gives_everything_in_one_call(service):
    answer = ask(service, "/assist", RETURN)
    assert {part["part"]: part["state"] for part in answer["parts"]} == dict.fromkeys(
        ("scripts", "knowledge", "graph", "inspection", "routing"), "done"
    )
    assert all(part["took_ms"] >= 0 for part in answer["parts"])
    assert answer["took_ms"] >= answer["encoder_ms"] > 0
    alone = ask(service, "/analyze", {name: RETURN[name] for name in ("text", "context")})
    assert answer["analysis"]["category"]["label"] == alone["category"]["label"]
    assert answer["graph"]["answer"] == "no"
    assert "定制" in answer["graph"]["text"]
    assert answer["knowledge"]["status"] in ("found", "unsure")
    assert answer["knowledge"]["passages"]
    assert [turn["index"] for turn in answer["track"]["turns"]] == [0, 2]
    assert 0 < answer["inspection"]["score"] <= 100


def test_only_the_parts_that_are_wanted(service):
    answer = ask(service, "/assist", {**RETURN, "parts": ["graph"]})
    assert [part["part"] for part in answer["parts"]] == ["graph"]
    assert answer["scripts"] is answer["knowledge"] is answer["inspection"] is answer["routing"] is None


def test_what_the_agent_could_not_answer_yet_is_no_fault(service):
    answer = ask(service, "/assist", {"text": "什么时候发货", "deadline_ms": 10000})
    (part,) = [part for part in answer["parts"] if part["part"] == "inspection"]
    assert part["state"] == "off"
    assert part["reason"] == "no turn of the agent yet"


def test_replies_and_what_became_of_them(service, home):
    found = ask(service, "/recommend", {"text": "我要退货 手机号13812345678", "k": 3})
    # The tiny model's vectors are all alike, and of replies that say the same only one is shown.
    assert [reply["position"] for reply in found["replies"]] == list(range(1, len(found["replies"]) + 1))
    for reply in found["replies"]:
        assert reply["text"] == "".join(part["text"] for part in reply["parts"])
        assert [part["stage"] for part in reply["parts"]][-2:] == ["solution", "closing"]
    shown = found["replies"][0]
    said = {"reply_id": shown["id"], "action": "edited", "sent": "我给您办，号码13812345678", "by": "kefu-01"}
    receipt = ask(service, "/recommend/feedback", said)
    assert receipt == {"reply_id": shown["id"], "script": shown["script"], "replaced": False}
    with sqlite3.connect(home / "replies.sqlite") as connection:
        stored = " ".join(str(row) for row in connection.execute("SELECT * FROM displays"))
        stored += " ".join(str(row) for row in connection.execute("SELECT * FROM answers"))
    assert "[手机]" in stored
    assert "13812345678" not in stored


def test_knowledge_reads_pinyin_and_cites(service):
    found = ask(service, "/knowledge/search", {"question": "baowenbei能装多少水"})
    assert found["status"] == "found"
    assert found["passages"][0]["document"] == "thermos"
    assert found["passages"][0]["section"]


def test_drafts_rest_on_passages(service):
    found = ask(service, "/answer", {"question": "保温杯能放洗碗机吗"})
    numbers = {citation["number"] for citation in found["citations"]}
    assert found["source"] == "extractive"
    assert all(
        sentence["supported"] and set(sentence["passages"]) <= numbers for sentence in found["sentences"]
    )
    assert "".join(sentence["text"] for sentence in found["sentences"]) == found["text"]


def test_the_rules_answer_with_their_path(service):
    found = ask(service, "/graph", {"text": "四件套洗过了还能无理由退吗"})
    assert found["answer"] == "no"
    assert {"subject": "床品四件套", "predicate": "上级类目", "object": "家纺"} in found["path"]


def test_a_conversation_is_inspected(service):
    turns = [
        {"role": "customer", "text": "我的快递五天没动了"},
        {"role": "agent", "text": "关我什么事，你自己问快递"},
    ]
    found = ask(service, "/inspect", {"id": "chat-9", "agent": "kefu-02", "turns": turns})
    (finding,) = [one for one in found["findings"] if one["indicator"] == "forbidden"]
    assert found["red_line"]
    assert turns[1]["text"][finding["start"] : finding["end"]] == finding["words"]
    assert "first_response" in found["not_judged"], "there are no times"


def test_a_message_is_routed_to_who_can_take_it(service):
    groups = [row["group"] for row in service.get("/labels").json()["categories"]]
    agents = [
        {"id": "kefu-01", "skills": ["presale", "aftersale", "logistics"], "load": 5, "capacity": 5},
        {"id": "kefu-02", "skills": sorted(set(groups)), "load": 1, "capacity": 5},
    ]
    found = ask(service, "/route", {"text": "再不退钱我就打12315举报", "agents": agents})
    assert found["decision"]["agent"] == "kefu-02"
    assert found["signals"]["signals"][0]["kind"]
    nobody = ask(service, "/route", {"text": "再不退钱我就打12315举报"})
    assert nobody["decision"]["agent"] is None
    assert nobody["decision"]["queue_position"] is None


def test_messages_that_ask_the_same_get_one_answer(service):
    texts = ["什么时候发货", "什么时候发货呀", "有没有优惠券"]
    messages = [{"id": str(place), "text": text} for place, text in enumerate(texts)]
    found = ask(service, "/group", {"messages": messages})
    first = found["groups"][0]
    assert {"0", "1"} <= set(first["messages"]), "the tiny model may hold all for the same"
    assert first["answer"]
    assert found["batch"] == len(first["messages"])


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/assist", {"text": " "}, "text"),
        ("/assist", {"text": "在吗", "parts": ["magic"]}, "parts[0]"),
        ("/assist", {"text": "在吗", "deadline_ms": 1}, "deadline_ms"),
        ("/recommend", {"text": "在吗", "conditions": ["nonsense"]}, "conditions"),
        ("/recommend/feedback", {"reply_id": "never-1", "action": "accepted"}, "reply_id"),
        ("/knowledge/search", {"question": "在吗", "at": "tomorrow"}, "at"),
        ("/graph", {"product": "nothing", "question": "warranty"}, "product"),
        ("/inspect", {"turns": [{"role": "customer", "text": "在吗"}]}, "turns"),
        ("/route", {"text": "在吗", "customer_value": 9}, "customer_value"),
        ("/group", {"messages": []}, "messages"),
    ],
)
def test_wrong_requests_name_the_field(service, path, body, field):
    response = service.post(path, json=body)
    assert response.status_code == 422, response.text
    assert field in json.dumps(response.json()["errors"])


def test_info_says_what_the_rooms_hold(service):
    desk = service.get("/info").json()["desk"]
    assert desk["scripts"] > 800
    assert desk["knowledge"] is True
    assert "kefu scripts train" in desk["reranker_problem"]


def test_without_knowledge_the_service_says_how_to_get_it(home):
    from serving.demo import running_service

    variables = environment(home, KEFU_KNOWLEDGE=str(home / "none.sqlite"))
    with (
        running_service(variables=variables) as address,
        httpx.Client(base_url=address, timeout=30) as client,
    ):
        refused = client.post("/knowledge/search", json={"question": "保温杯能装多少水"})
        answer = client.post("/assist", json=RETURN).json()
    assert refused.status_code == 501
    assert "kefu knowledge import" in refused.text
    (part,) = [part for part in answer["parts"] if part["part"] == "knowledge"]
    assert part["state"] == "off"
    assert answer["scripts"]["replies"]


@pytest.mark.parametrize("first_page", [True, False])
def test_a_damaged_knowledge_file_takes_nothing_but_the_knowledge(predictor, tmp_path, first_page):
    """Damaged from its first page on, or where only the passages lie: at the start and while it serves."""
    from assist.inspection.schema import InspectRequest, InspectTurn
    from assist.knowledge.file import KnowledgeStoreError
    from assist.knowledge.intake import knowledge_import
    from assist.knowledge.schema import KnowledgeSearchRequest
    from serving.desk import Desk, DeskSettings, Shelves

    file = tmp_path / "knowledge.sqlite"
    knowledge_import(path=file)
    shelves = Shelves(DeskSettings(vectors=tmp_path, knowledge=file, replies=tmp_path / "replies"))
    serving = Desk(shelves, predictor)
    assert serving.info()["knowledge"] is True
    assert serving.info()["knowledge_problem"] is None
    whole = file.read_bytes()
    file.write_bytes(b"x" * len(whole) if first_page else whole[:8192] + b"x" * (len(whole) - 8192))
    turns = [
        InspectTurn(role="customer", text="保温杯能装多少水"),
        InspectTurn(role="agent", text="亲，500毫升"),
    ]
    mood = {"neutral": 1.0}
    for desk in (serving, Desk(shelves, predictor)):
        found = desk.inspect(InspectRequest(turns=turns), dict.fromkeys((one.text for one in turns), mood))
        assert found.score is not None
    told = Desk(shelves, predictor).info()
    assert told["knowledge"] is False
    assert str(file) in told["knowledge_problem"]
    assert told["scripts"] > 800
    with pytest.raises(KnowledgeStoreError, match=re.escape(str(file))):
        Desk(shelves, predictor).knowledge.search(KnowledgeSearchRequest(question="保温杯能装多少水"))


def test_vectors_belong_to_a_network_not_to_its_name(exported, predictor, home, tmp_path):
    from serving.desk import Desk, DeskSettings, Shelves
    from serving.predictor import ModelSource, load_predictor

    shelves = Shelves(DeskSettings(vectors=tmp_path, knowledge=home / "none.sqlite", replies=tmp_path / "r"))
    first = Desk(shelves, predictor)
    (kept,) = tmp_path.glob("*.npy")
    again = load_predictor(ModelSource(exported, "other@9"), ModelSource(exported, "other@9"), threads=1)
    assert again.encoder_id == predictor.encoder_id
    Desk(shelves, again)
    assert list(tmp_path.glob("*.npy")) == [kept], "the same network, whatever its name"
    model = again._models["category"][0]
    model.manifest["files"]["model.onnx"] = "0" * 64
    Desk(shelves, again)
    assert len(list(tmp_path.glob("*.npy"))) == 2, "another network, whatever its name"
    assert first.recommender.index.width == 32
