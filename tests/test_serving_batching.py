"""Micro-batching: order, fairness, refusals, and what callers who leave or fail cost the others."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from serving.batching import MicroBatcher, OverloadedError, WaitedTooLongError

PATIENCE = 10.0


class Model:
    """Answers with the message itself in upper case; waits at a gate, and keeps what each pass held."""

    def __init__(self, gated=False):
        self.passes = []
        self.gate = threading.Event()
        self.entered = threading.Event()
        if not gated:
            self.gate.set()

    def __call__(self, messages):
        self.passes.append(list(messages))
        self.entered.set()
        assert self.gate.wait(PATIENCE)
        if "bad" in messages:
            raise RuntimeError("the model broke")
        return [message.upper() for message in messages]


def run(scenario, model, **options):
    """Run `scenario(batcher)` with a batcher on the model."""

    async def main():
        batcher = MicroBatcher(model, **options)
        try:
            return await asyncio.wait_for(scenario(batcher), PATIENCE)
        finally:
            model.gate.set()
            batcher.close()

    return asyncio.run(main())


async def held(batcher, model):
    """A pass that the gate holds, so that what comes next waits."""
    first = asyncio.create_task(batcher.submit(["first"], PATIENCE))
    while not model.entered.is_set():
        await asyncio.sleep(0.001)
    return first


async def queued(batcher, *jobs, timeout=PATIENCE):
    tasks = []
    for job in jobs:
        tasks.append(asyncio.create_task(batcher.submit(job, timeout)))
        await asyncio.sleep(0)
    return tasks


def test_a_lone_message_waits_for_nobody():
    model = Model()

    async def scenario(batcher):
        began = time.perf_counter()
        assert await batcher.submit(["a"], PATIENCE) == ["A"]
        return time.perf_counter() - began

    assert run(scenario, model) < 0.5
    assert model.passes == [["a"]]


@pytest.mark.parametrize("slots", [1, 3])
@pytest.mark.parametrize("size", [1, 7, 32, 33, 256])
def test_answers_keep_the_order_of_their_request(size, slots):
    async def scenario(batcher):
        jobs = [[f"{name}{n}" for n in range(size)] for name in "abcd"]
        answers = await asyncio.gather(*(batcher.submit(job, PATIENCE) for job in jobs))
        assert answers == [[message.upper() for message in job] for job in jobs]
        assert batcher.waiting == 0

    run(scenario, Model(), slots=slots)


def test_what_waits_shares_the_next_pass():
    model = Model(gated=True)

    async def scenario(batcher):
        first = await held(batcher, model)
        rest = await queued(batcher, *([f"m{n}"] for n in range(10)))
        assert batcher.waiting == 10
        model.gate.set()
        assert await first == ["FIRST"]
        assert await asyncio.gather(*rest) == [[f"M{n}"] for n in range(10)]

    run(scenario, model)
    assert [len(one) for one in model.passes] == [1, 10]


def test_no_pass_is_larger_than_allowed():
    model = Model(gated=True)

    async def scenario(batcher):
        first = await held(batcher, model)
        rest = await queued(batcher, *([f"m{n}"] for n in range(50)), [f"b{n}" for n in range(100)])
        model.gate.set()
        await asyncio.gather(first, *rest)

    run(scenario, model, largest=16)
    assert max(map(len, model.passes)) == 16
    assert sum(map(len, model.passes)) == 151


def test_a_large_batch_does_not_hold_up_single_messages():
    model = Model(gated=True)

    async def scenario(batcher):
        first = await held(batcher, model)
        ended = []
        batch, *singles = await queued(batcher, [f"b{n}" for n in range(256)], ["x"], ["y"], ["z"])
        for name, task in (("batch", batch), *(("single", one) for one in singles)):
            task.add_done_callback(lambda _, name=name: ended.append(name))
        model.gate.set()
        await asyncio.gather(first, batch, *singles)
        assert ended == ["single", "single", "single", "batch"]

    run(scenario, model)
    # All of them were in the first pass after the one that held them up.
    assert {"x", "y", "z"} <= set(model.passes[1])


def test_two_batches_take_turns():
    model = Model(gated=True)

    async def scenario(batcher):
        first = await held(batcher, model)
        jobs = await queued(batcher, [f"a{n}" for n in range(64)], [f"b{n}" for n in range(64)])
        model.gate.set()
        await asyncio.gather(first, *jobs)

    run(scenario, model)
    for one in model.passes[1:4]:
        assert {message[0] for message in one} == {"a", "b"}


def test_parts_of_one_request_may_end_in_any_order():
    turns = {"a": threading.Event(), "b": threading.Event()}

    def model(messages):
        part = "a" if "m0" in messages else "b"
        assert turns[part].wait(PATIENCE)
        return [message.upper() for message in messages]

    async def main():
        batcher = MicroBatcher(model, largest=4, slots=2)
        task = asyncio.create_task(batcher.submit([f"m{n}" for n in range(8)], PATIENCE))
        await asyncio.sleep(0.02)
        turns["b"].set()  # the later part first
        await asyncio.sleep(0.05)
        assert not task.done()
        turns["a"].set()
        assert await asyncio.wait_for(task, PATIENCE) == [f"M{n}" for n in range(8)]
        batcher.close()

    asyncio.run(main())


def test_a_full_queue_refuses_and_says_when_to_come_back():
    model = Model(gated=True)

    async def scenario(batcher):
        first = await held(batcher, model)
        waiting = await queued(batcher, *(["m"] for _ in range(10)))
        with pytest.raises(OverloadedError, match="10 messages wait already") as caught:
            await batcher.submit(["one too many"], PATIENCE)
        assert 1 <= caught.value.retry_after <= 60
        assert batcher.waiting == 10
        model.gate.set()
        await asyncio.gather(first, *waiting)
        assert await batcher.submit(["again"], PATIENCE) == ["AGAIN"]

    run(scenario, model, max_waiting=10)
    assert not any("one too many" in one for one in model.passes)


def test_the_wait_that_is_told_grows_with_the_queue():
    model = Model(gated=True)

    async def scenario(batcher):
        slow = await held(batcher, model)
        await asyncio.sleep(0.3)
        model.gate.set()
        await slow  # a message takes 0.3 s here, and the batcher has seen it
        model.gate.clear()
        model.entered.clear()
        first = await held(batcher, model)
        waiting = await queued(batcher, ["m"] * 400)
        with pytest.raises(OverloadedError) as caught:
            await batcher.submit(["n"], PATIENCE)
        assert caught.value.retry_after > 5
        model.gate.set()
        await asyncio.gather(first, *waiting)

    run(scenario, model, max_waiting=400)


def test_a_batch_larger_than_the_queue_is_answered_when_nothing_waits():
    async def scenario(batcher):
        assert len(await batcher.submit(["m"] * 20, PATIENCE)) == 20

    run(scenario, Model(), max_waiting=10)


def test_work_that_waited_too_long_is_never_computed():
    model = Model(gated=True)

    async def scenario(batcher):
        first = await held(batcher, model)
        (late,) = await queued(batcher, ["late"], timeout=0.05)
        with pytest.raises(WaitedTooLongError):
            await late
        model.gate.set()
        assert await first == ["FIRST"]
        assert await batcher.submit(["next"], PATIENCE) == ["NEXT"]
        assert batcher.waiting == 0

    run(scenario, model)
    assert not any("late" in one for one in model.passes)


def test_callers_who_left_cost_nothing():
    model = Model(gated=True)

    async def scenario(batcher):
        first = await held(batcher, model)
        gone = await queued(batcher, *(["gone"] * 5 for _ in range(20)))
        (stays,) = await queued(batcher, ["stays"])
        for task in gone:
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        model.gate.set()
        assert await stays == ["STAYS"]
        await first
        assert batcher.waiting == 0

    run(scenario, model)
    assert model.passes == [["first"], ["stays"]]


def test_those_who_left_do_not_fill_the_queue():
    model = Model(gated=True)

    async def scenario(batcher):
        first = await held(batcher, model)
        gone = await queued(batcher, *(["gone"] for _ in range(10)))
        for task in gone:
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        (comes,) = await queued(batcher, ["comes"])
        model.gate.set()
        assert await comes == ["COMES"]
        await first

    run(scenario, model, max_waiting=10)


def test_a_caller_who_leaves_during_the_pass_harms_nobody():
    model = Model(gated=True)

    async def scenario(batcher):
        first = await held(batcher, model)
        first.cancel()
        (other,) = await queued(batcher, ["other"])
        model.gate.set()
        assert await other == ["OTHER"]

    run(scenario, model)


def test_an_error_reaches_the_callers_of_its_pass_and_no_others():
    model = Model(gated=True)

    async def scenario(batcher):
        first = await held(batcher, model)
        bad, neighbour = await queued(batcher, ["bad"], ["neighbour"])
        model.gate.set()
        assert await first == ["FIRST"]
        for task in (bad, neighbour):
            with pytest.raises(RuntimeError, match="the model broke"):
                await task
        assert await batcher.submit(["later"], PATIENCE) == ["LATER"]

    run(scenario, model)


def test_a_failed_part_fails_its_request_once():
    async def scenario(batcher):
        with pytest.raises(RuntimeError, match="the model broke"):
            await batcher.submit(["bad", *"abcdefghijkl"], PATIENCE)
        assert await batcher.submit(["later"], PATIENCE) == ["LATER"]
        assert batcher.waiting == 0

    run(scenario, Model(), largest=4)


def test_slots_limit_the_passes_at_the_same_time():
    running, most, lock = 0, 0, threading.Lock()

    def model(messages):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.01)
        with lock:
            running -= 1
        return [message.upper() for message in messages]

    async def main():
        batcher = MicroBatcher(model, largest=1, slots=2)
        await asyncio.gather(*(batcher.submit([f"m{n}"], PATIENCE) for n in range(12)))
        batcher.close()

    asyncio.run(main())
    assert most == 2


def test_passes_are_told_and_a_listener_that_fails_takes_no_answer():
    told = []

    def listener(messages, seconds):
        told.append((messages, seconds >= 0))
        raise OSError("no room for the metrics")

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        batcher = MicroBatcher(Model(), on_pass=listener)
        assert await asyncio.wait_for(batcher.submit(["a", "b"], PATIENCE), 2) == ["A", "B"]
        assert await asyncio.wait_for(batcher.submit(["c"], PATIENCE), 2) == ["C"]
        await asyncio.sleep(0.01)
        batcher.close()

    asyncio.run(main())
    assert told == [(2, True), (1, True)]
