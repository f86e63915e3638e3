"""Bad weather on a real Label Studio: nothing lost, nothing doubled, and a word that says what to do."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from data.taxonomy import parse_taxonomy
from labeling.batch import open_batch
from labeling.client import LabelStudio, LabelStudioError, Login, TimedOutError, find_login
from labeling.project import find_project, init_project
from labeling.pull import pull_tasks, read_pulled
from labeling.push import Chat, push, tasks_with
from labeling.rehearsal import answer_of
from tests.conftest import ROOT


def chats(count, word="包裹"):
    return [Chat(f"第{number}个{word}还没到") for number in range(count)]


def keys(server, project):
    return Counter(task["data"]["key"] for page in server.tasks(project, answers=False) for task in page)


@pytest.fixture
def project(label_studio, taxonomy, request):
    """A project of its own for each test."""
    title = f"天气 {request.node.name}"[:50]
    return init_project(LabelStudio(label_studio), taxonomy, title)[0]


@contextlib.contextmanager
def proxy(target, delay):
    """A proxy before the server; `delay(method, path)` gives the seconds that an answer is held back."""

    class Handler(BaseHTTPRequestHandler):
        def forward(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "accept-encoding")}
            answer = httpx.request(
                self.command, f"{target}{self.path}", content=body, headers=headers, timeout=60
            )
            time.sleep(delay(self.command, self.path))
            with contextlib.suppress(OSError):  # the client gave up
                self.send_response(answer.status_code)
                self.send_header("content-type", answer.headers.get("content-type", "text/plain"))
                self.send_header("content-length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

        do_GET = do_POST = do_PATCH = do_DELETE = forward  # noqa: N815

        def log_message(self, *arguments):
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}"
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


def test_no_server_says_how_to_start_one():
    with pytest.raises(LabelStudioError, match="make labelstudio"):
        LabelStudio(Login("http://127.0.0.1:9", "x"), retries=1).projects()


def test_no_login_says_how_to_get_one(tmp_path, monkeypatch):
    for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(LabelStudioError, match="make labelstudio"):
        find_login(tmp_path)
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://x")
    with pytest.raises(LabelStudioError, match="LABEL_STUDIO_API_KEY: is not set"):
        find_login(tmp_path)


@pytest.mark.slow
def test_a_wrong_key_is_named(label_studio):
    with pytest.raises(LabelStudioError, match=r"refused the API key.*LABEL_STUDIO_API_KEY"):
        LabelStudio(replace(label_studio, token="0" * 40)).projects()


@pytest.mark.slow
def test_a_project_of_another_schema_is_refused(label_studio, taxonomy, project):
    server = LabelStudio(label_studio)
    other = json.loads(json.dumps(taxonomy.raw))
    other["version"] = 99
    with pytest.raises(LabelStudioError, match="another label schema"):
        find_project(server, parse_taxonomy(other, "other"), project.id)
    push(server, project.id, chats(1), tasks_with(None, taxonomy))
    with pytest.raises(LabelStudioError, match="another label schema"):
        init_project(server, parse_taxonomy(other, "other"), project.title)
    config = project.config.replace('alias="greeting"', 'alias="hello"')
    assert config != project.config
    server.update_project(project.id, {"label_config": config})
    with pytest.raises(LabelStudioError, match=r"interface was changed.*greeting.*kefu label init"):
        find_project(server, taxonomy, project.id)
    init_project(server, taxonomy, project.title)
    assert find_project(server, taxonomy, project.id).tasks == 1


@pytest.mark.slow
def test_a_project_that_is_not_ours_is_named(label_studio, taxonomy):
    server = LabelStudio(label_studio)
    config = (
        '<View><Text name="t" value="$t"/><Choices name="c" toName="t"><Choice value="a"/></Choices></View>'
    )
    number = server.create_project({"title": "别人的项目", "label_config": config})
    with pytest.raises(LabelStudioError, match="not a labelling project"):
        find_project(server, taxonomy, number)
    with pytest.raises(LabelStudioError, match="has no project 99999"):
        find_project(server, taxonomy, 99999)


PUSH = """
import sys
from data.taxonomy import load_taxonomy
from labeling.client import LabelStudio, Login
from labeling.push import push, tasks_with
from tests.test_labeling_weather import chats
server = LabelStudio(Login(sys.argv[1], sys.argv[2]))
push(server, int(sys.argv[3]), chats(600), tasks_with(None, load_taxonomy()), 20)
"""


@pytest.mark.slow
def test_a_killed_import_goes_on_where_it_was(label_studio, taxonomy, project):
    server = LabelStudio(label_studio)
    command = [sys.executable, "-c", PUSH, label_studio.url, label_studio.token, str(project.id)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    while not 0 < server.project(project.id)["task_number"] < 600:
        assert process.poll() is None, "the import ended before it could be killed"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(1.0)  # the server finishes the request that it is at
    there = len(keys(server, project.id))
    assert 0 < there < 600
    report = push(server, project.id, chats(600), tasks_with(None, taxonomy))
    assert (report.added, report.present) == (600 - there, there)
    assert set(keys(server, project.id).values()) == {1}
    assert len(keys(server, project.id)) == 600


@pytest.mark.slow
def test_an_import_that_timed_out_but_arrived_is_not_doubled(label_studio, taxonomy, project):
    late = iter([3.0])
    with proxy(label_studio.url, lambda m, p: next(late, 0.0) if "import" in p else 0.0) as url:
        server = LabelStudio(replace(label_studio, url=url), timeout=2.0)
        report = push(server, project.id, chats(30), tasks_with(None, taxonomy))
    assert report.added == 30
    assert sorted(keys(LabelStudio(label_studio), project.id).values()) == [1] * 30


@pytest.mark.slow
def test_pages_too_big_for_the_time_limit_are_asked_for_smaller(label_studio, taxonomy, project, tmp_path):
    push(LabelStudio(label_studio), project.id, chats(70), tasks_with(None, taxonomy))

    def delay(method, path):
        size = dict(httpx.QueryParams(path.partition("?")[2])).get("page_size")
        return 3.0 if size and int(size) > 20 else 0.0

    with proxy(label_studio.url, delay) as url:
        server = LabelStudio(replace(label_studio, url=url), timeout=2.0)
        found = read_pulled(pull_tasks(server, project.id, tmp_path, page_size=64))
    assert len({task.key for task in found}) == len(found) == 70


@pytest.mark.slow
def test_a_server_that_never_answers_is_given_up(label_studio, project, tmp_path):
    with proxy(label_studio.url, lambda method, path: 3.0 if "api/tasks" in path else 0.0) as url:
        server = LabelStudio(replace(label_studio, url=url), timeout=0.7)
        with pytest.raises(TimedOutError, match="did not answer in time"):
            pull_tasks(server, project.id, tmp_path, page_size=16)


@pytest.mark.slow
def test_a_broken_pull_resumes_and_ends_true_to_the_server(
    label_studio, taxonomy, project, tmp_path, monkeypatch
):
    server = LabelStudio(label_studio)
    push(server, project.id, chats(60), tasks_with(None, taxonomy))
    pages = server.tasks

    def breaks(number, after=0, **more):
        for index, page in enumerate(pages(number, after=after, **more)):
            if index == 2:
                raise LabelStudioError("gone")
            yield page

    monkeypatch.setattr(server, "tasks", breaks)
    with pytest.raises(LabelStudioError, match="gone"):
        pull_tasks(server, project.id, tmp_path, page_size=20)
    part = tmp_path / f"project-{project.id}.part"
    first, second = (json.loads(line)["id"] for line in part.read_text("utf-8").splitlines()[1:3])
    with part.open("a", encoding="utf-8") as torn:
        torn.write('{"id": 99')
    monkeypatch.undo()
    # Meanwhile: one fetched task is deleted, another gets its answer, a new one comes.
    server.delete_task(first)
    server.annotate(second, answer_of("greeting", "neutral"), 2.0)
    push(server, project.id, chats(1, "快递"), tasks_with(None, taxonomy))
    asked = []
    monkeypatch.setattr(
        server, "tasks", lambda number, after=0, **more: asked.append(after) or pages(number, after, **more)
    )
    found = read_pulled(pull_tasks(server, project.id, tmp_path, page_size=20))
    assert asked[0] > second, "it went on behind what it had"
    assert not part.exists()
    there = {task["id"] for page in pages(project.id, answers=False) for task in page}
    assert [task.id for task in found] == sorted(there)
    assert len(found) == 60
    assert [task.id for task in found if task.annotations] == [second]


@pytest.mark.slow
def test_two_pulls_at_once_both_end_well(label_studio, taxonomy, project, tmp_path):
    push(LabelStudio(label_studio), project.id, chats(80), tasks_with(None, taxonomy))
    code = """
import sys
from pathlib import Path
from labeling.client import LabelStudio, Login
from labeling.pull import pull_tasks, read_pulled
server = LabelStudio(Login(sys.argv[1], sys.argv[2]))
print(len(read_pulled(pull_tasks(server, int(sys.argv[3]), Path(sys.argv[4]), page_size=10))))
"""
    arguments = [label_studio.url, label_studio.token, str(project.id), str(tmp_path)]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert [out.strip() for out, _ in said] == ["80", "80"]
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.slow
def test_a_batch_leaves_out_what_was_deleted(label_studio, taxonomy, project):
    server = LabelStudio(label_studio)
    push(server, project.id, chats(8), tasks_with(None, taxonomy))
    numbers = [task["id"] for page in server.tasks(project.id, answers=False) for task in page]
    wanted = [numbers[5], numbers[2], numbers[7]]
    server.delete_task(numbers[2])
    batch = open_batch(server, project, "uncertainty", wanted)
    assert batch.count == 2
    again = open_batch(server, project, "uncertainty", [numbers[0]])
    assert again.tab == batch.tab
    ranks = {task["id"]: task["data"].get("rank") for page in server.tasks(project.id) for task in page}
    assert [number for number, rank in ranks.items() if rank] == [numbers[0]]
