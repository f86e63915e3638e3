"""A real Label Studio that asks the backend while people label and tells it what they did."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import contextmanager

import httpx
import pytest

from data.example import Turn
from labeling.backend import create_backend
from labeling.client import LabelStudioError, Login
from labeling.connect import TITLE, connect
from labeling.events import EventQueue
from labeling.interface import labeling_config
from labeling.push import Chat, task_of
from labeling.suggest import champion_of
from tests.test_labeling_backend import MODEL, chosen, free_port, rule

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def login(request):
    """The shared server, or one that is running; it must be allowed to call addresses of this machine."""
    url, key = os.environ.get("LABEL_STUDIO_URL"), os.environ.get("LABEL_STUDIO_API_KEY")
    return Login(url, key) if url and key else request.getfixturevalue("label_studio")


@pytest.fixture
def events(tmp_path):
    with EventQueue(tmp_path / "events.sqlite3") as queue:
        yield queue


@contextmanager
def running(app, port=0):
    """The backend on a port of this machine."""
    import uvicorn

    # Named TCP, else asyncio leaves Nagle on and every answer waits 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def project(login, taxonomy, **settings):
    """A client of Label Studio's API and a new project, removed at the end."""
    headers = {"Authorization": f"Token {login.token}"}
    settings = {"title": "backend test", "label_config": labeling_config(taxonomy), **settings}
    with httpx.Client(base_url=login.url, headers=headers, timeout=60) as api:
        number = api.post("/api/projects", json=settings).raise_for_status().json()["id"]
        try:
            yield api, number
        finally:
            api.delete(f"/api/projects/{number}").raise_for_status()


def add_tasks(api, number, taxonomy, *texts, **more):
    tasks = [task_of(Chat(text, (), None, None), None, taxonomy) | more for text in texts]
    answer = api.post(f"/api/projects/{number}/import?return_task_ids=true", json=tasks)
    return answer.raise_for_status().json()["task_ids"]


def registered(api, number):
    backends = api.get("/api/ml", params={"project": number}).json()
    return backends, api.get("/api/webhooks/", params={"project": number}).json()


def test_label_studio_asks_while_people_label_and_tells_what_they_did(login, events, taxonomy):
    app = create_backend(rule, events, taxonomy, token="s3cret")
    with running(app) as url, project(login, taxonomy) as (api, number):
        first = connect(login, number, url + "/", taxonomy, "s3cret")
        assert first.changed
        assert first.asks
        again = connect(login, number, url, taxonomy, "s3cret")
        assert (again.backend, again.webhook, again.changed) == (first.backend, first.webhook, False)
        backends, hooks = registered(api, number)
        assert [(one["title"], one["state"], one["model_version"]) for one in backends] == [
            (TITLE, "CO", MODEL)
        ]
        assert [one["id"] for one in hooks] == [first.webhook]

        ids = add_tasks(api, number, taxonomy, "我的退款呢", "在吗")
        for place, key in ((0, "refund_progress"), (1, "greeting")):
            opened = api.get(f"/api/tasks/{ids[place]}").raise_for_status().json()
            [prediction] = opened["predictions"]
            assert chosen(prediction) == [key, "neutral"]
            assert (prediction["model_version"], prediction["score"]) == (MODEL, 0.9)
        following = api.get(f"/api/projects/{number}/next").raise_for_status().json()
        assert len(following["predictions"]) == 1
        assert events.pending() == []

        body = {"result": prediction["result"]}
        made = api.post(f"/api/tasks/{ids[0]}/annotations/", json=body).raise_for_status().json()
        api.patch(f"/api/annotations/{made['id']}/", json=body).raise_for_status()
        api.delete(f"/api/annotations/{made['id']}/").raise_for_status()
        api.delete(f"/api/tasks/{ids[1]}/").raise_for_status()
        found = [(one.action, one.project, one.task, one.annotation) for one in events.pending()]
        assert found == [
            ("ANNOTATION_CREATED", number, ids[0], made["id"]),
            ("ANNOTATION_UPDATED", number, ids[0], made["id"]),
            ("ANNOTATIONS_DELETED", number, None, made["id"]),
            ("TASKS_DELETED", number, ids[1], None),
        ]

        trained = api.post(f"/api/ml/{first.backend}/train")
        assert trained.status_code == 200
        assert len(events.pending()) == 4
        assert api.get(f"/api/ml/{first.backend}/versions").json() == {"versions": [MODEL]}


def test_a_real_model_answers_a_whole_project(login, events, taxonomy, predictor, few):
    """All tasks at once, one of them unreadable; and the model's answers are the stored predictions."""
    suggest = champion_of(predictor)
    app = create_backend(suggest, events, taxonomy)
    rows = few[:30] + [row for row in few if row.context][:10]
    tasks = [task_of(Chat(row.text, row.context, None, row.id), None, taxonomy) for row in rows]
    tasks.append(task_of(Chat("a", (Turn("agent", "b"),), None, None), None, taxonomy))
    tasks[-1]["data"]["text"] = " "
    with running(app) as url, project(login, taxonomy) as (api, number):
        connect(login, number, url, taxonomy)
        answer = api.post(f"/api/projects/{number}/import?return_task_ids=true", json=tasks)
        ids = answer.raise_for_status().json()["task_ids"]
        action = {"id": "retrieve_tasks_predictions", "project": number}
        api.post("/api/dm/actions", params=action, json={"selectedItems": {"all": True}}).raise_for_status()
        stored = api.get("/api/predictions/", params={"project": number}).raise_for_status().json()
        by_task = {one["task"]: one for one in stored}
        assert len(stored) == 40
        assert set(by_task) == set(ids[:-1])
        for index, suggestion in enumerate(suggest([(row.text, row.context) for row in rows])):
            one = by_task[ids[index]]
            assert chosen(one) == [suggestion.categories[0][0], suggestion.emotion[0]]
            assert one["score"] == pytest.approx(suggestion.categories[0][1], abs=2e-3)
            assert one["model_version"] == "tiny@1"


def test_a_backend_that_is_away_stops_nobody_from_labelling(login, events, taxonomy):
    with project(login, taxonomy) as (api, number):
        with running(create_backend(rule, events, taxonomy)) as url:
            connect(login, number, url, taxonomy)
        [one] = add_tasks(api, number, taxonomy, "退款")
        opened = api.get(f"/api/tasks/{one}").raise_for_status().json()
        assert opened["predictions"] == []
        assert api.get(f"/api/projects/{number}/next").raise_for_status().json()["id"] == one
        assert api.post(f"/api/tasks/{one}/annotations/", json={"result": []}).status_code == 201
        assert events.pending() == []


def test_a_newer_champion_is_asked_where_an_older_one_has_answered(login, events, taxonomy):
    older = {"model_version": "kefu-category@1", "score": 0.5, "result": []}
    with running(create_backend(rule, events, taxonomy)) as url, project(login, taxonomy) as (api, number):
        [one] = add_tasks(api, number, taxonomy, "退款", predictions=[older])
        assert api.get(f"/api/projects/{number}").json()["model_version"] == "kefu-category@1"
        connect(login, number, url, taxonomy)
        following = api.get(f"/api/projects/{number}/next").raise_for_status().json()
        assert following["id"] == one
        [prediction] = following["predictions"]
        assert (prediction["model_version"], chosen(prediction)[0]) == (MODEL, "refund_progress")
        assert not connect(login, number, url, taxonomy).changed


def test_a_project_that_hides_predictions_is_connected_and_left_so(login, events, taxonomy):
    app = create_backend(rule, events, taxonomy)
    with running(app) as url, project(login, taxonomy, show_collab_predictions=False) as (api, number):
        assert not connect(login, number, url, taxonomy).asks
        [one] = add_tasks(api, number, taxonomy, "退款")
        assert api.get(f"/api/tasks/{one}").json()["predictions"] == []
        api.post(f"/api/tasks/{one}/annotations/", json={"result": []}).raise_for_status()
        assert [event.task for event in events.pending()] == [one]
        assert not connect(login, number, url, taxonomy).changed


def test_connecting_again_puts_right_what_changed(login, events, taxonomy):
    with project(login, taxonomy) as (api, number):
        with running(create_backend(rule, events, taxonomy)) as url:
            first = connect(login, number, url, taxonomy)
        # Moved to another port, and with a token from now on.
        port = free_port()
        with running(create_backend(rule, events, taxonomy, token="new"), port) as url:
            with pytest.raises(LabelStudioError, match="wants another token; set KEFU_BACKEND_TOKEN"):
                connect(login, number, url, taxonomy, "old")
            moved = connect(login, number, url, taxonomy, "new")
            assert (moved.backend, moved.webhook, moved.changed) == (first.backend, first.webhook, True)
            api.patch(f"/api/webhooks/{moved.webhook}/", json={"is_active": False, "actions": []})
            assert connect(login, number, url, taxonomy, "new").changed
            assert not connect(login, number, url, taxonomy, "new").changed
            # Only the password: seen by the state, as it cannot be read back.
            app = create_backend(rule, events, taxonomy, token="newer")
        with running(app, port) as url:
            headers = {"Kefu-Project": str(number), "Authorization": "Bearer newer"}
            [hook] = registered(api, number)[1]
            api.patch(
                f"/api/webhooks/{moved.webhook}/", json={"headers": headers, "actions": hook["actions"]}
            )
            assert connect(login, number, url, taxonomy, "newer").changed
            assert not connect(login, number, url, taxonomy, "newer").changed
            backends, hooks = registered(api, number)
            assert [(one["url"], one["state"]) for one in backends] == [(url, "CO")]
            assert [(one["url"], one["is_active"]) for one in hooks] == [(f"{url}/webhook", True)]
            [one] = add_tasks(api, number, taxonomy, "退款")
            api.post(f"/api/tasks/{one}/annotations/", json={"result": []}).raise_for_status()
            assert [event.task for event in events.pending()] == [one]


def test_connecting_says_what_is_wrong(login, events, taxonomy):
    nowhere = f"http://127.0.0.1:{free_port()}"
    with project(login, taxonomy) as (api, number):
        with pytest.raises(LabelStudioError, match=r"does not reach the backend .* kefu label backend"):
            connect(login, number, nowhere, taxonomy)
        with pytest.raises(LabelStudioError, match="refused the API key"):
            connect(Login(login.url, "0" * 40), number, nowhere, taxonomy)
        with pytest.raises(LabelStudioError, match="no Label Studio at"):
            connect(Login(nowhere, "0" * 40), number, nowhere, taxonomy)
        with pytest.raises(LabelStudioError, match="takes no address like http://backend:9090"):
            connect(login, number, "http://backend:9090", taxonomy)
        with pytest.raises(
            LabelStudioError, match=r"does not call http://10\.0\.0\.1:9090: private addresses"
        ):
            connect(login, number, "http://10.0.0.1:9090", taxonomy)
        other = labeling_config(taxonomy).replace('alias="coupon"', 'alias="voucher"')
        api.patch(f"/api/projects/{number}", json={"label_config": other}).raise_for_status()
        with pytest.raises(ValueError, match=f"project {number}: category: lacks coupon; put it right"):
            connect(login, number, nowhere, taxonomy)
    with pytest.raises(LabelStudioError, match="no such project"):
        connect(login, number, nowhere, taxonomy)
