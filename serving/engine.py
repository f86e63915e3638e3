"""The models behind the service: micro-batched, and exchanged for a new champion while requests run."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

from data.taxonomy import Taxonomy
from serving.batching import MicroBatcher
from serving.predictor import Predictor
from serving.schema import Analysis, AnalyzeRequest

__all__ = ["LARGEST_PASS", "ModelEngine"]

LARGEST_PASS = {"cpu": 32, "cuda": 256}
"""Messages of one pass at most: enough to sort by length, few enough to answer soon."""

_log = logging.getLogger("kefu.engine")


class ModelEngine:
    """Answers messages with the current predictor.

    Args:
        load: opens the pinned champions; called again when `version` changes.
        version: tells which champions are pinned, cheaply.
        slots: passes at the same time; each uses the threads that `load` gave the models.
        max_waiting, timeout: limits of the queue, see `MicroBatcher`.
        on_pass: told of the messages and seconds of each pass.
        on_answers: told of the answers of each request.
        prepare: makes what else depends on the champion, before it takes over; `prepared` gives it.
    """

    def __init__(
        self,
        load: Callable[[], Predictor],
        version: Callable[[], object],
        slots: int = 1,
        max_waiting: int = 1024,
        timeout: float = 15.0,
        on_pass: Callable[[int, float], None] | None = None,
        on_answers: Callable[[Sequence[Analysis]], None] | None = None,
        prepare: Callable[[Predictor], Any] | None = None,
    ) -> None:
        self._load, self._version, self._timeout, self._prepare = load, version, timeout, prepare
        self._prepared: dict[str, Any] = {}
        self._on_answers = on_answers
        self._serving = self._loaded = version()  # what answers, and what was tried last
        self._predictor = self._warm(load())
        self._reload_error: str | None = None
        largest = LARGEST_PASS[self._predictor.device]
        self.batcher = MicroBatcher(self._answer, largest, slots, max_waiting, on_pass)

    def _warm(self, predictor: Predictor) -> Predictor:
        predictor.warm_up()
        if self._prepare:
            # The one before stays: answers that it gave are still on their way.
            kept = dict(list(self._prepared.items())[-1:])
            self._prepared = {**kept, predictor.model.category: self._prepare(predictor)}
        return predictor

    def prepared(self, model: str = "") -> Any:
        """What `prepare` made for a champion, by the name that its answers cite; the newest for any other."""
        newest = next(reversed(self._prepared.values()))
        return self._prepared.get(model, newest)

    def _answer(self, requests: Sequence[AnalyzeRequest]) -> list[Analysis]:
        return self._predictor.analyze(requests)

    @property
    def taxonomy(self) -> Taxonomy:
        """The label schema of the current champions."""
        return self._predictor.taxonomy

    async def analyze(self, requests: Sequence[AnalyzeRequest]) -> list[Analysis]:
        """Answers in the order of the requests."""
        answers = await self.batcher.submit(requests, self._timeout)
        if self._on_answers:
            self._on_answers(answers)
        return answers

    @property
    def models(self) -> str:
        """The champions in use, as answers cite them."""
        model = self._predictor.model
        return f"{model.category} {model.emotion}"

    def info(self) -> dict[str, Any]:
        """What answers, and why a newer champion does not, if there is one."""
        return {**self._predictor.info(), "reload_error": self._reload_error}

    async def follow_champions(self, seconds: float) -> None:
        """Take up newly pinned champions for ever. Requests go on with the old ones meanwhile; where
        the new ones cannot be loaded, the old ones stay and `info` says why."""
        while seconds:
            await asyncio.sleep(seconds)
            await self.reload()

    async def reload(self) -> bool:
        """Exchange the models if others are pinned; true when that happened."""
        version: object = None
        try:
            version = await asyncio.to_thread(self._version)
            if version == self._serving:
                self._loaded, self._reload_error = version, None
                return False
            if version == self._loaded:
                return False
            fresh = await asyncio.to_thread(lambda: self._warm(self._load()))
        except Exception as error:  # whatever it is, the next champion is looked for again
            if version is not None:
                self._loaded = version  # do not try the same broken one again and again
            problem = str(error) or type(error).__name__
            if problem != self._reload_error:
                _log.error(json.dumps({"event": "reload_failed", "error": problem}, ensure_ascii=False))
            self._reload_error = problem
            return False
        self._serving = version
        self._predictor, self._loaded, self._reload_error = fresh, version, None
        models = [fresh.model.category, fresh.model.emotion]
        _log.info(json.dumps({"event": "reloaded", "models": models}))
        return True
