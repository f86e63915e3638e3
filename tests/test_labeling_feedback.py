"""Feedback on the service's answers becomes tasks of a real Label Studio."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time

import pytest

from data.example import Turn
from labeling.client import LabelStudio
from labeling.feedback import FEEDBACK_TAB, push_feedback, said
from labeling.project import init_project
from labeling.pull import pull_project
from labeling.push import Chat, push, tasks_with
from labeling.rehearsal import answer_of
from labeling.suggest import champion_of
from serving.feedback import FeedbackStore
from serving.schema import FeedbackRequest
from tests.conftest import ROOT

WRONG = {"predicted": "delivery_eta", "right": False, "label": "urge_delivery"}
RIGHT = {"predicted": "delivery_eta", "right": True}
CALM = {"predicted": "neutral", "right": True}
CONTEXT = [{"role": "agent", "text": "亲，预计今天送达哦"}]


@pytest.fixture
def store(tmp_path, taxonomy):
    return FeedbackStore(tmp_path / "feedback.sqlite", taxonomy)


def put(store, text, category=WRONG, **fields):
    body = {"text": text, "category": category, "context": CONTEXT, **fields}
    return store.put(FeedbackRequest.model_validate(body))


def rows(server, project):
    return [task for page in server.tasks(project.id) for task in page]


def test_what_was_said_reads_well(store, taxonomy):
    put(store, "还是没到", emotion={"predicted": "neutral", "right": False, "label": "anxious"})
    put(store, "什么时候到", RIGHT)
    first, second = store.pending()
    zh = {key: taxonomy.category[key].zh for key in ("delivery_eta", "urge_delivery")}
    assert said(first, taxonomy) == (
        f"类目：“{zh['delivery_eta']}”不对，应为“{zh['urge_delivery']}”；情绪：“中性”不对，应为“焦急”"
    )
    assert said(second, taxonomy) == f"类目：“{zh['delivery_eta']}”正确"


def test_nothing_waits(store, taxonomy):
    assert push_feedback(None, None, store, taxonomy, tasks_with(None, taxonomy)) is None


@pytest.mark.slow
def test_feedback_becomes_tasks_wrong_first(label_studio, taxonomy, predictor, store):
    server = LabelStudio(label_studio)
    project = init_project(server, taxonomy, "反馈 全程")[0]
    build = tasks_with(champion_of(predictor), taxonomy)
    before = Chat("快递几点到", (Turn("agent", "亲，预计今天送达哦"),))
    push(server, project.id, [before], build)
    (old,) = rows(server, project)
    server.annotate(old["id"], answer_of("delivery_eta", "neutral"), 5.0)

    put(store, "今天能到吗", RIGHT, emotion=CALM)
    put(store, "我电话13812345678，<b>催一下")
    put(store, "我电话13812345678，<b>催一下", RIGHT, by="agent-2")
    put(store, "快递几点到")
    report = push_feedback(server, project, store, taxonomy, build)
    assert (report.taken, report.added, report.noted) == (4, 2, 1)
    assert store.counts()["pending"] == 0

    tasks = {task["data"]["text"]: task for task in rows(server, project)}
    new = tasks["我电话[手机]，<b>催一下"]["data"]
    zh = {key: taxonomy.category[key].zh for key in ("delivery_eta", "urge_delivery")}
    wrong, right = (
        f"类目：“{zh['delivery_eta']}”不对，应为“{zh['urge_delivery']}”",
        f"类目：“{zh['delivery_eta']}”正确",
    )
    assert new["feedback"] == f"{wrong}\n{right}"
    assert new["chat"].endswith(f"<div>一线反馈（仅供参考）<br>{wrong}<br>{right}</div>")
    assert [entry["alias"] for entry in new["suggested"]][:2] == ["urge_delivery", "delivery_eta"]
    assert [entry["hotkey"] for entry in new["suggested"]] == list("12345")
    assert new["suggested"][0]["value"] == f"{zh['urge_delivery']} 一线反馈"
    # What was there keeps its answers and its place in what is pulled.
    noted = tasks["快递几点到"]
    assert noted["id"] == old["id"]
    assert wrong in noted["data"]["chat"]
    pulled = {task.text: task for task in pull_project(server, project, store.path.parent / "raw").tasks}
    assert [answer.category for answer in pulled["快递几点到"].annotations] == ["delivery_eta"]
    assert pulled["我电话[手机]，<b>催一下"].key == new["key"]

    tab = next(tab for tab in server._sdk.views.list(project=project.id) if f"tab={tab.id}" in report.url)
    assert tab.data["title"] == FEEDBACK_TAB
    assert tab.data["ordering"] == ["tasks:data.rank"]
    shown = server._sdk.tasks.list(project=project.id, view=tab.id).items
    assert [task.data["text"] for task in shown] == ["我电话[手机]，<b>催一下", "快递几点到", "今天能到吗"]

    # Once more: as after a kill between import and mark.
    put(store, "快递几点到")
    again = push_feedback(server, project, store, taxonomy, build)
    assert (again.taken, again.added, again.noted) == (1, 0, 1)
    after = {task["data"]["text"]: task["data"] for task in rows(server, project)}
    assert after["快递几点到"]["feedback"] == wrong
    assert after["快递几点到"]["chat"].count("<div>") == 1
    assert len(after) == 3


@pytest.mark.slow
def test_a_killed_command_is_repeated(label_studio, taxonomy, store):
    """The command is killed when the tasks are in, and before they are marked."""
    server = LabelStudio(label_studio)
    project = init_project(server, taxonomy, "反馈 中断")[0]
    for number in range(30):
        put(store, f"第{number}个包裹还没到", request_id=str(number))
    environment = {
        "LABEL_STUDIO_URL": label_studio.url,
        "LABEL_STUDIO_API_KEY": label_studio.token,
        "PATH": "",
    }
    arguments = [
        "label",
        "feedback",
        "--project",
        str(project.id),
        "--no-suggestions",
        "--store",
        str(store.path),
    ]
    slow = """
        import sys, time
        import kefu
        from serving.feedback import FeedbackStore
        FeedbackStore.mark_taken = lambda *_: time.sleep(600)
        kefu.main(sys.argv[1:])
    """
    killed = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(slow), *arguments], cwd=ROOT, env=environment
    )
    deadline = time.monotonic() + 60
    while len(rows(server, project)) < 30 and killed.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert store.counts() == {"pending": 30, "taken": 0, "wrong": 30}

    done = subprocess.run(
        [sys.executable, "-m", "kefu", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "30 feedback taken, 0 tasks added, 30 were there" in done.stdout
    assert store.counts() == {"pending": 0, "taken": 30, "wrong": 30}
    assert len(rows(server, project)) == 30
