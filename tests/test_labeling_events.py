"""The queue of webhook events: nothing lost, nothing doubled, nothing but ids stored."""

from __future__ import annotations

import sqlite3
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

from labeling.events import ACTIONS, Event, EventQueue
from tests.conftest import script

# As Label Studio 1.23.2 sends them, without the fields that nobody reads.
PROJECT = {"id": 2, "title": "客服对话标注", "created_by": {"email": "lead@example.com"}}
TASK = {"id": 11, "data": {"text": "还没发货，急死了"}, "project": 2}
ANNOTATION = {
    "id": 31,
    "result": [{"from_name": "category", "value": {"choices": ["urge_shipping"]}}],
    "updated_at": "2026-11-23T05:01:32.186972Z",
    "lead_time": 3.0,
    "completed_by": 1,
    "task": 11,
    "project": 2,
}


def created(**changes):
    annotation = {**ANNOTATION, **changes}
    return {"action": "ANNOTATION_CREATED", "annotation": annotation, "project": PROJECT, "task": TASK}


@pytest.fixture
def queue(tmp_path):
    with EventQueue(tmp_path / "made" / "events.sqlite3") as found:
        yield found


def test_an_event_is_kept_as_ids_and_times(queue):
    before = datetime.now(UTC)
    assert queue.add(created()) is True
    [event] = queue.pending()
    assert event == Event(
        id=event.id,
        action="ANNOTATION_CREATED",
        project=2,
        task=11,
        annotation=31,
        at=datetime(2026, 11, 23, 5, 1, 32, 186972, UTC),
        received=event.received,
    )
    assert before <= event.received <= datetime.now(UTC)


def test_texts_answers_and_names_are_not_stored(tmp_path):
    path = tmp_path / "events.sqlite3"
    with EventQueue(path) as queue:
        queue.add(created())
        stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"ANNOTATION_CREATED" in stored
    for secret in ("还没发货", "urge_shipping", "lead@example.com", "客服对话标注"):
        assert secret.encode() not in stored


def test_delivered_twice_is_stored_once(queue):
    assert queue.add(created())
    assert not queue.add(created())
    # The same moment, written another way.
    assert not queue.add(created(updated_at="2026-11-23T13:01:32.186972+08:00"))
    assert queue.counts() == {"pending": 1, "done": 0}


def test_a_repetition_of_what_was_dealt_with_is_no_news(queue):
    queue.add(created())
    assert queue.done([event.id for event in queue.pending()]) == 1
    assert not queue.add(created())
    assert queue.pending() == []
    assert queue.counts() == {"pending": 0, "done": 1}


@pytest.mark.parametrize(
    "change",
    [{"updated_at": "2026-11-23T05:01:32.186973Z"}, {"id": 32}, {"task": 12}],
)
def test_another_change_is_another_event(queue, change):
    queue.add(created())
    assert queue.add(created(**change))
    assert queue.add(created(**change) | {"action": "ANNOTATION_UPDATED"})
    assert len(queue.pending()) == 3


def test_many_in_one_delivery(queue):
    many = {
        "action": "ANNOTATIONS_CREATED",
        "annotation": [{**ANNOTATION, "id": number} for number in (1, 2, 3)],
        "project": PROJECT,
    }
    assert queue.add(many)
    assert not queue.add(many)
    many["annotation"].append({**ANNOTATION, "id": 4})
    assert queue.add(many)
    assert [event.annotation for event in queue.pending()] == [1, 2, 3, 4]


def test_deletions_have_ids_and_no_time(queue):
    tasks = {"action": "TASKS_DELETED", "tasks": [{"id": 7}, {"id": 8}], "project": PROJECT}
    answers = {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 31}], "project": PROJECT}
    assert queue.add(tasks)
    assert queue.add(answers)
    assert not queue.add(tasks)
    assert not queue.add(answers)
    found = [(one.action, one.project, one.task, one.annotation, one.at) for one in queue.pending()]
    assert found == [
        ("TASKS_DELETED", 2, 7, None, None),
        ("TASKS_DELETED", 2, 8, None, None),
        ("ANNOTATIONS_DELETED", 2, None, 31, None),
    ]


def test_a_delivery_that_names_nothing_counts_every_time(queue):
    for _ in range(2):
        assert queue.add({"action": "ANNOTATIONS_DELETED"}, project=5)
        time.sleep(0.001)
    assert queue.add({"action": "ANNOTATION_CREATED"})
    found = [(one.project, one.task, one.annotation, one.at) for one in queue.pending()]
    assert found == [(5, None, None, None), (5, None, None, None), (None, None, None, None)]


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ({}, "action: is none that the queue takes"),
        ({"action": "PROJECT_UPDATED"}, "action: is none"),
        (created(id=None), r"annotation\.id: expected a positive number"),
        (created(id="秘密"), r"annotation\.id: expected a positive number"),
        (created(id=True), r"annotation\.id"),
        (created(id=2**63), r"annotation\.id"),
        (created(task=None), r"annotation\.task"),
        (created(updated_at="秘密"), r"annotation\.updated_at: expected an ISO time"),
        (created(updated_at=None), r"annotation\.updated_at"),
        (created(updated_at="0001-01-01T00:00:00+14:00"), r"annotation\.updated_at"),
        (created() | {"project": {"id": "秘密"}}, r"project\.id"),
        ({"action": "TASKS_DELETED", "tasks": [{"id": 1}, 2]}, r"tasks\[1\]: expected an object"),
    ],
)
def test_what_cannot_be_read_is_named_but_not_quoted(queue, payload, message):
    with pytest.raises(ValueError, match=message) as caught:
        queue.add(payload)
    assert "秘密" not in str(caught.value)
    assert queue.counts() == {"pending": 0, "done": 0}


def test_every_action_that_is_queued_is_one_of_label_studio():
    from label_studio_sdk.types.actions_enum import ActionsEnum

    known = set(ActionsEnum.__args__[0].__args__)
    assert set(ACTIONS) <= known


def test_readers_take_the_oldest_first_and_finish_what_they_took(queue):
    for number in range(1, 8):
        queue.add(created(id=number))
    first = queue.pending(limit=3)
    assert [event.annotation for event in first] == [1, 2, 3]
    queue.add(created(id=99))
    assert queue.done([event.id for event in first]) == 3
    assert queue.done([event.id for event in first]) == 0
    assert [event.annotation for event in queue.pending()] == [4, 5, 6, 7, 99]
    assert queue.counts() == {"pending": 5, "done": 3}


def test_what_was_dealt_with_long_ago_is_forgotten(queue):
    queue.add(created(id=1))
    queue.add(created(id=2))
    queue.add(created(id=3))
    old = (datetime.now(UTC) - timedelta(days=91)).isoformat(timespec="microseconds")
    with sqlite3.connect(queue.path) as other:
        other.execute("UPDATE event SET done = ? WHERE annotation = 1", (old,))
        other.execute("UPDATE event SET received = ? WHERE annotation = 3", (old,))
    other.close()
    queue.done([event.id for event in queue.pending() if event.annotation == 2])
    assert queue.counts() == {"pending": 1, "done": 1}
    assert [event.annotation for event in queue.pending()] == [3]


def test_events_survive_a_restart(tmp_path):
    with EventQueue(tmp_path / "e") as queue:
        queue.add(created())
    with EventQueue(tmp_path / "e") as queue:
        assert [event.annotation for event in queue.pending()] == [31]
        assert not queue.add(created())


def test_threads_share_a_queue(queue):
    def work(first):
        for number in range(first, first + 40):
            queue.add(created(id=number))

    # Each number is added by two threads.
    threads = [threading.Thread(target=work, args=(1 + 20 * place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(event.annotation for event in queue.pending()) == list(range(1, 101))


ADD = """
import sys, time
from labeling.events import EventQueue
start, path, first, last = float(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
time.sleep(max(0, start - time.time()))
new = 0
with EventQueue(path) as queue:
    for number in range(first, last):
        annotation = {"id": number, "task": 1, "updated_at": "2026-11-23T05:01:32Z"}
        new += queue.add({"action": "ANNOTATION_CREATED", "annotation": annotation, "project": {"id": 2}})
        print(number, flush=True)
print("new", new)
"""


def test_processes_that_add_the_same_events_at_once(tmp_path):
    """Both make the file in the same moment, and every event is new to exactly one of them."""
    path, start = tmp_path / "e", time.time() + 2
    both = [script(ADD, tmp_path, start, path, 1, 121, background=True) for _ in range(3)]
    said = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0, 0], said
    assert sum(int(output.split()[-1]) for output, _ in said) == 120
    with EventQueue(path) as queue:
        assert [event.annotation for event in queue.pending()] == list(range(1, 121))


def test_what_was_acknowledged_survives_sigkill(tmp_path):
    path = tmp_path / "e"
    process = script(ADD, tmp_path, 0, path, 1, 10**6, background=True)
    acknowledged = [int(process.stdout.readline()) for _ in range(50)]
    process.kill()
    acknowledged += [
        int(line)
        for line in process.communicate(timeout=30)[0].splitlines(keepends=True)
        if line.endswith("\n")
    ]
    assert process.returncode == -9
    with EventQueue(path) as queue:
        stored = [event.annotation for event in queue.pending(limit=10**6)]
        assert stored[: len(acknowledged)] == acknowledged
        # At most the one that was stored and not yet said.
        assert len(stored) - len(acknowledged) <= 1
        assert queue.add(created())


def test_another_file_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("notes, " * 200)
    with pytest.raises(ValueError, match=r"notes\.txt: is no event queue .* move it away"):
        EventQueue(path)
    assert path.read_text() == "notes, " * 200


def test_a_queue_of_a_later_version_is_refused(tmp_path):
    EventQueue(tmp_path / "e").close()
    with sqlite3.connect(tmp_path / "e") as later:
        later.execute("PRAGMA user_version = 2")
    later.close()
    with pytest.raises(ValueError, match="event queue of version 2, this program writes 1; update"):
        EventQueue(tmp_path / "e")


def test_a_place_where_no_file_can_be_is_named(tmp_path):
    with pytest.raises(OSError, match=r"cannot be opened .* choose another place"):
        EventQueue(tmp_path)


RACE = """
import multiprocessing, sys
from labeling.events import EventQueue
def work(together):
    for number in range(150):
        together.wait(30)
        EventQueue(f"{sys.argv[1]}/{number}").close()
context = multiprocessing.get_context("fork")
together = context.Barrier(4)
workers = [context.Process(target=work, args=(together,)) for _ in range(4)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
sys.exit(max(abs(worker.exitcode) for worker in workers))
"""


@pytest.mark.slow
def test_a_new_file_opened_by_several_at_the_same_moment(tmp_path):
    """SQLite's change to WAL does not wait by itself: without a second try, one in fifty fails."""
    script(RACE, tmp_path, tmp_path)


def test_an_event_is_on_the_disk_before_it_is_acknowledged(queue):
    """Readers do not wait for writers, and a commit outlives a loss of power."""
    assert queue._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert queue._connection.execute("PRAGMA synchronous").fetchone() == (2,)
