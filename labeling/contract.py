"""What the ML backend answers to Label Studio, apart from HTTP."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any

from data.encoding import Message
from data.example import ROLES, Turn
from data.taxonomy import Taxonomy
from labeling.events import ACTIONS, EventQueue
from labeling.interface import check_config
from labeling.suggest import Suggest, Suggestion, to_prediction

__all__ = ["Contract", "RefusedError", "no_training"]

FRESH_SECONDS = 10.0
"""For how long a model version, or that the champion is away, is taken as known."""
ANSWER_SECONDS = 75.0
"""After this the rest of a large request goes unanswered: Label Studio waits 100 s, then drops all of it."""
_PART = 128
_log = logging.getLogger("kefu.label.backend")


class RefusedError(Exception):
    """A request that gets an error as its answer."""

    def __init__(self, status: int, field: str, reason: str) -> None:
        self.status, self.errors = status, [{"field": field, "reason": reason}]


class Contract:
    """What the endpoints do, apart from HTTP. Thread-safe."""

    def __init__(self, suggest: Suggest, events: EventQueue, taxonomy: Taxonomy) -> None:
        self.suggest, self.events, self.taxonomy = suggest, events, taxonomy
        # Until when, which model answers, and why none does; one tuple, so that threads see it whole.
        self._known: tuple[float, str, str] = (0.0, "", "")

    def ask(self, messages: Sequence[Message]) -> list[Suggestion]:
        """Suggestions; remembers which model gave them, or why none can be had."""
        until = time.monotonic() + FRESH_SECONDS
        try:
            found = self.suggest(messages)
        except (RuntimeError, OSError) as error:
            _log.warning("no champion: %s", error if isinstance(error, ConnectionError) else type(error))
            self._known = (until, "", str(error))
            raise RefusedError(503, "service", str(error)) from None
        self._known = (until, found[-1].model, "")
        return found

    def version(self) -> str:
        """The model that answers now. Label Studio asks before each task: seldom a question to the model."""
        until, version, away = self._known
        if time.monotonic() > until:
            return self.ask([("在吗", ())])[0].model
        if away:
            raise RefusedError(503, "service", away)
        return version

    def setup(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """Check that the labelling interface can show what the champion answers."""
        config = payload.get("schema")
        if not isinstance(config, str):
            raise RefusedError(422, "schema", "expected the labelling interface as XML")
        problems = check_config(config, self.taxonomy)
        if problems:
            _log.warning("setup: %s", problems[0])
            raise RefusedError(422, "schema", problems[0] + "; put it right with: kefu label init")
        return {"model_version": self.version()}

    def predict(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """A list of one prediction for each task, or an empty one and a line in `errors`.

        Asked again, Label Studio sends only the tasks that have no prediction of this model yet.
        """
        tasks = payload.get("tasks")
        if not isinstance(tasks, list):
            raise RefusedError(422, "tasks", "expected a list of tasks")
        start = time.perf_counter()
        errors: list[dict[str, str]] = []
        results: list[list[dict[str, Any]]] = [[] for _ in tasks]
        messages: dict[int, Message] = {}
        for index, task in enumerate(tasks):
            try:
                messages[index] = _message(task, f"tasks[{index}]")
            except RefusedError as refusal:
                errors += refusal.errors
        places = list(messages)
        for begin in range(0, len(places), _PART):
            if begin and time.perf_counter() - start > ANSWER_SECONDS:
                reason = f"{len(places) - begin} tasks were too many at once; retrieve predictions again"
                errors.append({"field": f"tasks[{places[begin]}]", "reason": reason})
                break
            part = places[begin : begin + _PART]
            for index, suggestion in self._suggestions({place: messages[place] for place in part}, errors):
                unknown = self._unknown(suggestion)
                if unknown:
                    errors.append({"field": f"tasks[{index}]", "reason": unknown})
                else:
                    results[index] = [to_prediction(suggestion)]
        took = time.perf_counter() - start
        missing = sum(not result for result in results)
        _log.info("predict: %d tasks, %d without answer, %.0f ms", len(tasks), missing, took * 1000)
        for error in errors[:10]:
            _log.warning("predict: %s: %s", error["field"], error["reason"])
        answer = {"results": results, "model_version": self.version()}
        return answer | ({"errors": errors} if errors else {})

    def _suggestions(
        self, messages: Mapping[int, Message], errors: list[dict[str, str]]
    ) -> list[tuple[int, Suggestion]]:
        try:
            return list(zip(messages, self.ask(list(messages.values())), strict=True))
        except ValueError:
            if len(messages) > 1:
                # One of them is at fault; alone, it fails alone.
                pairs = [self._suggestions({index: one}, errors) for index, one in messages.items()]
                return [pair for found in pairs for pair in found]
        errors += [
            {"field": f"tasks[{index}].data", "reason": "the champion cannot read it"} for index in messages
        ]
        return []

    def _unknown(self, suggestion: Suggestion) -> str:
        """Label Studio drops a whole batch for one label that its interface does not have."""
        for key, known in (
            (suggestion.categories[0][0], self.taxonomy.category),
            (suggestion.emotion[0], self.taxonomy.emotion),
        ):
            if key not in known:
                return f"{suggestion.model} answers {key}, which the label schema lacks; use its own schema"
        return ""

    def webhook(self, payload: Mapping[str, Any], project: int | None) -> dict[str, Any]:
        """Queue what happened; an answer that is no error means that it is on the disk."""
        action = payload.get("action")
        if not isinstance(action, str):
            raise RefusedError(422, "action", "expected the name of an action")
        if action == "START_TRAINING":
            return no_training()
        if action not in ACTIONS:
            return {"status": "ignored", "reason": "only " + ", ".join(ACTIONS) + " are queued"}
        try:
            new = self.events.add(payload, project)
        except ValueError as error:
            field, _, reason = str(error).partition(": ")
            raise RefusedError(422, field, reason) from None
        except sqlite3.Error as error:
            _log.error("webhook: %s was not stored (%s)", action, error)
            raise RefusedError(503, "events", f"{self.events.path} cannot be written ({error})") from None
        _log.info("webhook: %s, %s", action, "queued" if new else "known already")
        return {"status": "queued" if new else "known"}


def no_training() -> dict[str, Any]:
    """What a wish to train is answered."""
    return {
        "status": "ignored",
        "reason": "labels are learnt from by `kefu label sync` and the pipeline's gate, never by a request",
    }


def _message(task: Any, where: str) -> Message:
    """A task's message. Reasons never quote what they refuse."""
    data = task.get("data") if isinstance(task, dict) else None
    if not isinstance(data, dict):
        raise RefusedError(422, f"{where}.data", "expected an object")
    text, context = data.get("text"), data.get("context") or []
    if not isinstance(text, str) or not text.strip():
        raise RefusedError(422, f"{where}.data.text", "expected a text")
    if not isinstance(context, list):
        raise RefusedError(422, f"{where}.data.context", "expected a list of turns")
    turns = []
    for index, turn in enumerate(context):
        field = f"{where}.data.context[{index}]"
        if not isinstance(turn, dict) or turn.get("role") not in ROLES:
            raise RefusedError(422, f"{field}.role", "expected customer or agent")
        if not isinstance(turn.get("text"), str):
            raise RefusedError(422, f"{field}.text", "expected a text")
        turns.append(Turn(turn["role"], turn["text"]))
    return text, tuple(turns)
