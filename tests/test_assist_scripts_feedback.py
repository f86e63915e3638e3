"""What agents did with replies, kept and counted."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from assist.scripts.feedback import Answer, Candidate, Displayed, FeedbackStore, FeedbackStoreError
from assist.scripts.schema import ReplyFeedback


def answer(name, scripts=("a", "b", "c"), text="什么时候发货"):
    return Answer(
        name, text, "ship_time", "neutral", 0, "p", 0.25,
        pool=tuple(Candidate(one, 0.5, 0.7) for one in (*scripts, "spare")),
        shown=tuple(Displayed(f"{name}-{place}", one, place, 0.5) for place, one in enumerate(scripts, 1)),
    )  # fmt: skip


@pytest.fixture
def store(tmp_path):
    return FeedbackStore(tmp_path / "deep" / "replies.sqlite", refresh=0.0)


def say(store, reply_id, action, **more):
    return store.put(ReplyFeedback(reply_id=reply_id, action=action, **more))


def test_nothing_is_made_before_the_first_write(store):
    assert store.lifts() == {}
    assert list(store.answers()) == []
    assert not store.path.exists()


def test_answers_come_back_as_logged(store):
    store.record(answer("r1"))
    assert list(store.answers()) == []
    (logged,) = store.answers(judged=False)
    assert logged == answer("r1")
    say(store, "r1-2", "accepted")
    (logged,) = store.answers()
    assert [one.action for one in logged.shown] == [None, "accepted", None]


def test_personal_data_is_masked_on_the_disk(store):
    store.record(answer("r1", text="我电话13812345678，什么时候发"))
    say(store, "r1-1", "edited", sent="好的，给您打13812345678")
    raw = b"".join(path.read_bytes() for path in store.path.parent.iterdir())
    assert b"13812345678" not in raw
    assert "[手机]".encode() in raw


def test_acceptance_lifts_and_rejection_sinks(store):
    for number in range(20):
        store.record(answer(f"r{number}"))
        say(store, f"r{number}-1", "rejected")
        say(store, f"r{number}-3", "accepted")
    lifts = store.lifts()
    assert lifts["c"][0] > 0.5 > 0 > lifts["a"][0]
    assert lifts["c"][1] > lifts["b"][1]


def test_the_place_is_corrected_for(store):
    """Accepted equally often, the reply that stood lower is the better one."""
    for number in range(40):
        store.record(answer(f"r{number}", ("top", "middle", "low")))
        say(store, f"r{number}-{1 if number % 2 else 3}", "accepted")
    lifts = store.lifts()
    assert lifts["low"][1] > lifts["top"][1] + 0.05


def test_answers_nobody_spoke_of_do_not_count(store):
    for number in range(50):
        store.record(answer(f"silent{number}"))
    store.record(answer("r"))
    say(store, "r-1", "accepted")
    assert store.tallies()["a"].looked == 1.0
    assert store.tallies()["b"].looked == pytest.approx(0.8)


def test_a_changed_mind_replaces(store):
    store.record(answer("r"))
    assert not say(store, "r-1", "accepted").replaced
    assert say(store, "r-1", "rejected").replaced
    assert say(store, "r-1", "rejected").script == "a"
    assert store.tallies()["a"].reward == 0.0
    assert store.tallies()["a"].looked == 1.0


def test_edited_counts_half(store):
    store.record(answer("r"))
    say(store, "r-2", "edited", sent="改过的")
    assert store.tallies()["b"].reward == 0.5


def test_little_evidence_moves_little(store):
    store.record(answer("r"))
    say(store, "r-1", "accepted")
    once = store.lifts()["a"][0]
    for number in range(30):
        store.record(answer(f"r{number}"))
        say(store, f"r{number}-1", "accepted")
    assert 0 < once < 0.5
    assert store.lifts()["a"][0] <= 2.0


def test_unknown_replies_are_refused(store):
    store.record(answer("r"))
    with pytest.raises(ValueError, match="reply_id: was not shown"):
        say(store, "r-9", "accepted")


def test_sent_belongs_to_edited():
    with pytest.raises(ValueError, match="only for action edited"):
        ReplyFeedback(reply_id="r-1", action="accepted", sent="x")


def test_a_foreign_file_is_named(tmp_path):
    path = tmp_path / "notes.sqlite"
    path.write_text("no database, only words " * 100, encoding="utf-8")
    with pytest.raises(FeedbackStoreError, match=r"notes\.sqlite"):
        FeedbackStore(path).record(answer("r"))


def test_a_newer_file_is_left_alone(tmp_path):
    path = tmp_path / "new.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(FeedbackStoreError, match="version 99"):
        FeedbackStore(path).record(answer("r"))


def work(path, name):
    store = FeedbackStore(path)
    for number in range(15):
        store.record(answer(f"{name}{number}"))
        say(store, f"{name}{number}-1", "accepted")


def test_processes_share_the_file(tmp_path):
    path = tmp_path / "shared.sqlite"
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for done in [pool.submit(work, path, name) for name in "xy"]:
            done.result()
    store = FeedbackStore(path)
    assert store.tallies()["a"].reward == 30.0
    assert len(list(store.answers())) == 30


@pytest.mark.parametrize("examined", [(), (0.0,), (1.0, 1.5)])
def test_examination_must_be_a_probability(tmp_path, examined):
    with pytest.raises(ValueError, match="examined"):
        FeedbackStore(tmp_path / "x.sqlite", examined=examined)
