"""The models behind the service are exchanged while requests run; broken ones never take over."""

from __future__ import annotations

import asyncio
import json
import threading
from types import SimpleNamespace

import pytest

from serving.engine import ModelEngine
from serving.exported import BrokenModelError
from serving.package import NotPackagedError


class Champion:
    """What a predictor is to the engine; its answers are its name."""

    device = "cpu"
    taxonomy = None

    def __init__(self, name, gate=None):
        self.name, self.gate, self.warm = name, gate, False
        self.model = SimpleNamespace(category=f"category@{name}", emotion=f"emotion@{name}")

    def warm_up(self):
        self.warm = True

    def analyze(self, requests):
        assert self.warm, "asked before it was warm"
        if self.gate:
            assert self.gate.wait(10)
        return [f"{self.name}:{request}" for request in requests]

    def info(self):
        return {"name": self.name}


class Store:
    """What is packaged: `pinned` is loaded; an exception is raised instead."""

    def __init__(self):
        self.pinned = Champion("old")
        self.version = 1
        self.loads = 0

    def load(self):
        self.loads += 1
        if isinstance(self.pinned, BaseException):
            raise self.pinned
        return self.pinned

    def pins(self):
        if isinstance(self.version, BaseException):
            raise self.version
        return self.version

    def package(self, what):
        self.pinned, self.version = what, object()


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def engine(store):
    engine = ModelEngine(store.load, store.pins)
    yield engine
    engine.batcher.close()


def answer(engine):
    return asyncio.run(engine.analyze(["hello"]))[0]


def test_it_answers_with_what_is_packaged(engine, store):
    assert answer(engine) == "old:hello"
    assert engine.models == "category@old emotion@old"
    assert engine.info() == {"name": "old", "reload_error": None}


def test_nothing_new_loads_nothing(engine, store):
    for _ in range(3):
        assert asyncio.run(engine.reload()) is False
    assert store.loads == 1


def test_a_new_champion_is_taken_up_and_the_old_one_again(engine, store):
    old = store.pinned
    store.package(Champion("new"))
    assert asyncio.run(engine.reload()) is True
    assert answer(engine) == "new:hello"
    assert engine.models == "category@new emotion@new"
    store.package(old)
    assert asyncio.run(engine.reload()) is True
    assert answer(engine) == "old:hello"


@pytest.mark.parametrize(
    "problem",
    [
        BrokenModelError("model.onnx was changed after export (hash)"),
        NotPackagedError("kefu-category:v9 is not in the store"),
        OSError("disk gone"),
        ValueError("odd"),
        KeyError("emotion"),
        RuntimeError("a library's own error"),
    ],
    ids=lambda problem: type(problem).__name__,
)
def test_a_broken_champion_leaves_the_old_one_and_is_named(engine, store, problem):
    store.package(problem)
    assert asyncio.run(engine.reload()) is False
    assert answer(engine) == "old:hello"
    assert engine.info()["reload_error"] == str(problem)
    asyncio.run(engine.reload())
    assert store.loads == 2, "the same broken one is not tried again and again"
    store.package(Champion("mended"))
    assert asyncio.run(engine.reload()) is True
    assert answer(engine) == "mended:hello"
    assert engine.info()["reload_error"] is None


def test_a_champion_that_fails_when_it_is_warmed_is_not_taken_up(engine, store):
    broken = Champion("broken")
    broken.warm_up = lambda: (_ for _ in ()).throw(BrokenModelError("no answer"))
    store.package(broken)
    assert asyncio.run(engine.reload()) is False
    assert answer(engine) == "old:hello"
    assert engine.info()["reload_error"] == "no answer"


def test_pins_that_vanish_are_told_until_they_are_back(engine, store):
    version = store.version
    store.version = FileNotFoundError("champions.json is gone")
    assert asyncio.run(engine.reload()) is False
    assert "gone" in engine.info()["reload_error"]
    assert answer(engine) == "old:hello"
    store.version = version
    asyncio.run(engine.reload())
    assert engine.info()["reload_error"] is None


def test_back_to_the_old_pins_after_a_broken_champion_clears_the_error(engine, store):
    old, version = store.pinned, store.version
    store.package(BrokenModelError("torn"))
    asyncio.run(engine.reload())
    assert engine.info()["reload_error"] == "torn"
    store.pinned, store.version = old, version
    asyncio.run(engine.reload())
    assert engine.info()["reload_error"] is None
    assert answer(engine) == "old:hello"


def test_a_problem_is_logged_once(engine, store, caplog, monkeypatch):
    import logging

    monkeypatch.setattr(logging.getLogger("kefu"), "propagate", True)
    caplog.set_level("INFO", "kefu.engine")
    for _ in range(3):
        store.package(BrokenModelError("torn"))
        asyncio.run(engine.reload())
    rows = [json.loads(record.message) for record in caplog.records]
    assert rows == [{"event": "reload_failed", "error": "torn"}]
    store.package(Champion("new"))
    asyncio.run(engine.reload())
    assert json.loads(caplog.records[-1].message) == {
        "event": "reloaded",
        "models": ["category@new", "emotion@new"],
    }


def test_requests_under_way_are_answered_by_the_one_that_began_them(store):
    gate = threading.Event()
    store.pinned = Champion("old", gate)

    async def scenario():
        engine = ModelEngine(store.load, store.pins)
        under_way = asyncio.create_task(engine.analyze(["a"]))
        await asyncio.sleep(0.02)
        store.package(Champion("new"))
        assert await engine.reload() is True
        waiting = asyncio.create_task(engine.analyze(["b"]))
        await asyncio.sleep(0.02)
        gate.set()
        found = await under_way + await waiting
        engine.batcher.close()
        return found

    assert asyncio.run(scenario()) == ["old:a", "new:b"]


def test_following_survives_every_problem(store):
    async def scenario():
        engine = ModelEngine(store.load, store.pins)
        following = asyncio.create_task(engine.follow_champions(0.005))
        for problem in (KeyError("emotion"), RuntimeError("odd"), BrokenModelError("torn")):
            store.package(problem)
            await asyncio.sleep(0.05)
            assert not following.done()
        store.package(Champion("new"))
        for _ in range(200):
            if engine.models.startswith("category@new"):
                break
            await asyncio.sleep(0.01)
        following.cancel()
        found = await engine.analyze(["hello"])
        engine.batcher.close()
        return found

    assert asyncio.run(scenario()) == ["new:hello"]


def test_zero_seconds_follow_nothing(engine):
    asyncio.run(asyncio.wait_for(engine.follow_champions(0), 1))


def test_answers_and_passes_are_told(store):
    answers, passes = [], []
    engine = ModelEngine(
        store.load,
        store.pins,
        on_pass=lambda count, seconds: passes.append(count),
        on_answers=answers.extend,
    )

    async def scenario():
        await engine.analyze(["a", "b"])
        await asyncio.sleep(0)

    asyncio.run(scenario())
    engine.batcher.close()
    assert answers == ["old:a", "old:b"]
    assert passes == [2]
