"""The feedback store: masked, checked, durable, and plain about trouble."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections import Counter

import pytest

from serving.feedback import DEFAULT_PATH, FeedbackStore, FeedbackStoreError, default_path
from serving.schema import FeedbackRequest
from tests.conftest import ROOT

WRONG = {"predicted": "delivery_eta", "right": False, "label": "urge_delivery"}
CALM = {"predicted": "neutral", "right": True}


def said(text="还是没到", **fields):
    return FeedbackRequest.model_validate({"text": text, "category": WRONG, **fields})


@pytest.fixture
def store(tmp_path, taxonomy):
    return FeedbackStore(tmp_path / "folder" / "feedback.sqlite", taxonomy)


def child(code, *arguments, prefix=(), **options):
    """A process that stores feedback: `put(text, **fields)` is defined, `path` is the first argument."""
    head = """
        import os, resource, sys, time
        from pathlib import Path
        from data.taxonomy import load_taxonomy
        from serving.feedback import FeedbackStore, FeedbackStoreError
        from serving.schema import FeedbackRequest
        path = Path(sys.argv[1])
        store = FeedbackStore(path, load_taxonomy())
        wrong = {"predicted": "delivery_eta", "right": False, "label": "urge_delivery"}
        def put(text, **fields):
            return store.put(FeedbackRequest.model_validate({"text": text, "category": wrong, **fields}))
    """
    program = textwrap.dedent(head) + textwrap.dedent(code)
    command = [*prefix, sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def finished(process, code=0):
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    return out


def test_what_is_put_is_pending_masked(store):
    receipt = store.put(
        said(
            "我电话13812345678，还是没到",
            context=[{"role": "agent", "text": "您的手机是13912345678吗"}],
            emotion=CALM,
            by="13712345678",
        )
    )
    (found,) = store.pending()
    assert found.id == receipt.id
    assert not receipt.replaced
    assert (found.text, found.context[0].text, found.by) == (
        "我电话[手机]，还是没到",
        "您的手机是[手机]吗",
        "[手机]",
    )
    assert (found.category.predicted, found.category.label, found.category.right) == (
        "delivery_eta",
        "urge_delivery",
        False,
    )
    assert (found.emotion.label, found.emotion.right) == ("neutral", True)
    assert found.wrong
    for path in store.path.parent.iterdir():
        assert b"12345678" not in path.read_bytes()


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"category": WRONG | {"label": "no_such"}}, "category.label"),
        ({"category": WRONG | {"predicted": "no_such"}}, "category.predicted"),
        ({"category": {"predicted": "delivery_eta", "right": False}}, "category.label"),
        ({"category": WRONG | {"label": "delivery_eta"}}, "category.label"),
        ({"category": WRONG | {"right": True}}, "category.label"),
        ({"emotion": {"predicted": "delivery_eta", "right": True}}, "emotion.predicted"),
    ],
)
def test_a_judgement_that_cannot_be_is_refused(store, fields, field):
    with pytest.raises(ValueError, match=rf"^{field}: "):
        store.put(said("电话13812345678", **fields))
    assert store.counts() == {"pending": 0, "taken": 0, "wrong": 0}


def test_wrong_answers_come_first(store):
    right = {"predicted": "delivery_eta", "right": True}
    for text, category in (("一", right), ("二", WRONG), ("三", right), ("四", WRONG)):
        store.put(said(text, category=category))
    assert [one.text for one in store.pending()] == ["二", "四", "一", "三"]
    assert [one.text for one in store.pending(limit=1)] == ["二"]
    assert store.counts() == {"pending": 4, "taken": 0, "wrong": 2}


def test_the_same_request_replaces(store):
    first = store.put(said("一", request_id="r1"))
    store.put(said("别的", request_id="r2"))
    store.put(said("没有编号"))
    store.put(said("没有编号"))
    second = store.put(said("二", request_id="r1"))
    assert second.id == first.id
    assert second.replaced
    assert sorted(one.text for one in store.pending()) == ["二", "别的", "没有编号", "没有编号"]


def test_taken_is_not_pending_unless_replaced_meanwhile(store):
    store.put(said("一", request_id="r1"))
    store.put(said("二", request_id="r2"))
    seen = store.pending()
    store.put(said("二改", request_id="r2"))
    assert store.mark_taken(seen, "project 3") == 1
    assert [one.text for one in store.pending()] == ["二改"]
    assert store.mark_taken(seen, "project 3") == 0
    # A retry of what was taken already is no news, another verdict is.
    store.put(said("一", request_id="r1"))
    assert store.counts() == {"pending": 1, "taken": 1, "wrong": 2}
    store.put(said("一", request_id="r1", category={"predicted": "delivery_eta", "right": True}))
    assert store.counts() == {"pending": 2, "taken": 0, "wrong": 1}


def test_asking_makes_no_file(store):
    assert store.pending() == []
    assert store.counts()["pending"] == 0
    assert not store.path.parent.exists()


def test_the_environment_names_the_file(monkeypatch):
    monkeypatch.delenv("KEFU_FEEDBACK", raising=False)
    assert default_path() == DEFAULT_PATH
    monkeypatch.setenv("KEFU_FEEDBACK", "/elsewhere/f.sqlite")
    assert str(default_path()) == "/elsewhere/f.sqlite"


def test_a_long_context_keeps_its_end(store):
    turns = [{"role": "agent", "text": f"第{number}句"} for number in range(200)]
    store.put(said(context=turns))
    (found,) = store.pending()
    assert (len(found.context), found.context[-1].text) == (40, "第199句")


def test_processes_write_at_once(store):
    code = """
        for number in range(40):
            put(f"{sys.argv[2]}-{number}", request_id=f"shared-{number}" if number < 20 else None)
    """
    processes = [child(code, store.path, name) for name in "abc"]
    for process in processes:
        finished(process)
    texts = Counter(one.text.split("-")[1] for one in store.pending())
    assert texts == {str(number): 1 if number < 20 else 3 for number in range(40)}


def test_a_kill_loses_nothing_that_was_acknowledged(store):
    code = """
        number = 0
        while True:
            put(f"第{number}条")
            print(number, flush=True)
            number += 1
    """
    process = child(code, store.path)
    acknowledged = [int(process.stdout.readline()) for _ in range(25)]
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate(timeout=60)
    acknowledged += [int(line) for line in rest.split("\n")[:-1]]
    kept = [one.text for one in store.pending()]
    assert set(kept) >= {f"第{number}条" for number in acknowledged}
    assert len(kept) == len(set(kept)) <= len(acknowledged) + 1
    store.put(said("后来"))
    assert store.pending()[-1].text == "后来"


def test_a_full_disk_is_said_and_loses_nothing(store):
    code = """
        kept = 0
        for _ in range(5):
            kept += bool(put("先来的").id)
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))
        for number in range(2000):
            try:
                put("很长的一句" * 200)
            except FeedbackStoreError as error:
                print(kept, error)
                break
            kept += 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert len(store.pending()) == kept, (len(store.pending()), kept)
        put("又有地方了")
    """
    count, _, message = finished(child(code, store.path)).strip().partition(" ")
    assert int(count) > 5
    assert str(store.path) in message
    assert "make room" in message
    assert "很长" not in message
    assert len(store.pending()) == int(count) + 1
    assert sqlite3.connect(store.path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_file_that_may_not_be_written_is_said(store):
    store.put(said("先来的"))
    prefix = ()
    if os.geteuid() == 0:
        # Root writes what is read-only, unless it lays down that right.
        if not shutil.which("setpriv"):
            pytest.skip("root needs setpriv to be refused a write")
        prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
    store.path.chmod(0o444)
    store.path.parent.chmod(0o555)
    try:
        code = """
            try:
                put("后来的")
            except FeedbackStoreError as error:
                print(error)
        """
        message = finished(child(code, store.path, prefix=prefix))
    finally:
        store.path.parent.chmod(0o755)
        store.path.chmod(0o644)
    assert str(store.path) in message
    assert "allow this user" in message
    assert [one.text for one in store.pending()] == ["先来的"]


def test_a_folder_that_cannot_be_made_is_said(tmp_path, taxonomy):
    (tmp_path / "file").write_text("")
    store = FeedbackStore(tmp_path / "file" / "feedback.sqlite", taxonomy)
    with pytest.raises(FeedbackStoreError, match="KEFU_FEEDBACK"):
        store.put(said())


@pytest.mark.parametrize("operation", ["put", "pending", "counts"])
def test_a_file_of_something_else_is_left_alone(store, operation):
    store.path.parent.mkdir()
    store.path.write_bytes(b"not a database, but somebody's notes " * 99)
    before = store.path.read_bytes()
    with pytest.raises(FeedbackStoreError, match="no feedback store"):
        getattr(store, operation)(*([said()] if operation == "put" else []))
    assert store.path.read_bytes() == before


def test_a_later_version_is_refused(store):
    store.put(said())
    with sqlite3.connect(store.path) as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(FeedbackStoreError, match="version 9"):
        store.pending()


def test_a_removed_file_is_made_anew(store):
    store.put(said("一"))
    shutil.rmtree(store.path.parent)
    store.put(said("二"))
    assert [one.text for one in store.pending()] == ["二"]


def test_a_file_removed_while_written_is_not_acknowledged(store):
    from serving.feedback_file import FEEDBACK_FILE

    store.put(said("一"))

    def write_and_move():
        with FEEDBACK_FILE.writing(store.path):
            store.path.rename(store.path.with_name("away"))

    with pytest.raises(FeedbackStoreError, match="moved or removed"):
        write_and_move()


def test_a_writer_that_holds_the_file_is_waited_for(store):
    store.put(said("一"))
    code = """
        import sqlite3
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        print("held", flush=True)
        time.sleep(1.0)
        connection.execute("COMMIT")
    """
    process = child(code, store.path)
    assert process.stdout.readline() == "held\n"
    store.put(said("二"))
    finished(process)
    assert len(store.pending()) == 2
