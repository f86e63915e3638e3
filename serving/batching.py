"""Micro-batching: messages that arrive while the model is busy share its next pass.

Nothing waits for company: a free model takes what is there at once, so one caller alone has the
latency of a single message, and many callers fill the batches by themselves.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from serving.schema import Analysis, AnalyzeRequest

__all__ = ["MicroBatcher", "OverloadedError", "WaitedTooLongError"]

_SHARE = 8
"""Messages of one request that a pass takes while others wait."""

Answer = Callable[[Sequence[AnalyzeRequest]], list[Analysis]]


class OverloadedError(RuntimeError):
    """Too many messages wait already.

    Attributes:
        retry_after: seconds after which the waiting ones should be done.
    """

    def __init__(self, waiting: int, retry_after: float) -> None:
        super().__init__(f"{waiting} messages wait already; try again in {retry_after:.0f} s")
        self.retry_after = retry_after


class WaitedTooLongError(OverloadedError):
    """The time limit passed before the model came to the message; it was not computed."""


@dataclass(slots=True, eq=False)
class _Job:
    requests: Sequence[AnalyzeRequest]
    done: asyncio.Future[list[Analysis]]
    taken: int = 0
    answers: list[Analysis] | None = None


class MicroBatcher:
    """Gathers the requests of one event loop into passes of the model.

    Args:
        answer: answers messages in order; called in a thread of the batcher's own.
        largest: most messages of one pass.
        slots: passes that may run at the same time.
        max_waiting: most messages that wait; beyond, `OverloadedError`.
        on_pass: told of the number of messages and the seconds of each pass.
    """

    def __init__(
        self,
        answer: Answer,
        largest: int = 32,
        slots: int = 1,
        max_waiting: int = 1024,
        on_pass: Callable[[int, float], None] | None = None,
    ) -> None:
        self._answer, self._largest, self._free = answer, largest, slots
        self._max_waiting, self._on_pass = max_waiting, on_pass
        self._waiting: deque[_Job] = deque()
        self._messages = 0
        self._seconds_each = 0.01
        self._threads = ThreadPoolExecutor(slots, thread_name_prefix="model")

    @property
    def waiting(self) -> int:
        """Messages that no pass has taken yet."""
        return self._messages

    async def submit(self, requests: Sequence[AnalyzeRequest], timeout: float) -> list[Analysis]:
        """Answers in the order of the requests.

        Args:
            timeout: seconds after which messages that still wait are dropped.

        Raises:
            OverloadedError: the queue is full; nothing was queued.
            WaitedTooLongError: the time limit passed while messages waited.
        """
        # A batch larger than the whole queue is let in when nothing else waits.
        if self._messages and self._messages + len(requests) > self._max_waiting:
            raise OverloadedError(self._messages, self._drain_seconds())
        loop = asyncio.get_running_loop()
        job = _Job(requests, loop.create_future())
        self._waiting.append(job)
        self._messages += len(requests)
        self._start_passes(loop)
        try:
            async with asyncio.timeout(timeout):
                return await job.done
        except TimeoutError:
            raise WaitedTooLongError(self._messages, self._drain_seconds()) from None
        finally:
            self._forget(job)  # of a caller who left: it waits no more, so others may

    def close(self) -> None:
        """End the threads once the running passes are done."""
        self._threads.shutdown(wait=True)

    def _drain_seconds(self) -> float:
        return max(1.0, self._messages * self._seconds_each)

    def _start_passes(self, loop: asyncio.AbstractEventLoop) -> None:
        while self._free and (parts := self._take()):
            self._free -= 1
            loop.run_in_executor(self._threads, self._pass, loop, parts)

    def _forget(self, job: _Job) -> None:
        self._messages -= len(job.requests) - job.taken
        job.taken = len(job.requests)

    def _take(self) -> list[tuple[_Job, int, int]]:
        """Parts of jobs (job, start, end) that make the next pass: jobs in the order of their arrival,
        large ones a share at a time, so that a batch of hundreds does not hold up single messages."""
        parts: list[tuple[_Job, int, int]] = []
        room = self._largest
        while room and self._waiting:
            job = self._waiting.popleft()
            if job.done.done():  # the caller went away or waited too long: costs no computing
                self._forget(job)
                continue
            left = len(job.requests) - job.taken
            share = room if not self._waiting else min(room, _SHARE)
            count = min(left, share)
            parts.append((job, job.taken, job.taken + count))
            job.taken += count
            room -= count
            self._messages -= count
            if job.taken < len(job.requests):
                self._waiting.append(job)
        return parts

    def _pass(self, loop: asyncio.AbstractEventLoop, parts: list[tuple[_Job, int, int]]) -> None:
        began = time.perf_counter()
        answers: list[Analysis] | None = None
        error: BaseException | None = None
        try:
            answers = self._answer(
                [request for job, start, end in parts for request in job.requests[start:end]]
            )
        except BaseException as caught:
            error = caught
        seconds = time.perf_counter() - began
        loop.call_soon_threadsafe(self._deliver, loop, parts, answers, error, seconds)

    def _deliver(
        self,
        loop: asyncio.AbstractEventLoop,
        parts: list[tuple[_Job, int, int]],
        answers: list[Analysis] | None,
        error: BaseException | None,
        seconds: float,
    ) -> None:
        self._free += 1
        count = sum(end - start for _, start, end in parts)
        self._seconds_each += 0.1 * (seconds / count - self._seconds_each)
        self._start_passes(loop)
        position = 0
        for job, start, end in parts:
            if job.done.done():
                pass
            elif error is not None:
                job.done.set_exception(error)
            else:
                assert answers is not None
                found = answers[position : position + end - start]
                # Parts of one job may end in any order.
                if end - start == len(job.requests):
                    job.done.set_result(found)
                else:
                    self._join(job, start, found)
            position += end - start
        if self._on_pass:  # last: a listener that fails takes nobody's answer
            self._on_pass(count, seconds)

    @staticmethod
    def _join(job: _Job, start: int, found: list[Analysis]) -> None:
        if job.answers is None:
            job.answers = [None] * len(job.requests)  # type: ignore[list-item]
        job.answers[start : start + len(found)] = found
        if all(answer is not None for answer in job.answers):
            job.done.set_result(job.answers)
