"""What a running service tells about itself: Prometheus metrics and JSON log lines, never a text.

Label values are bounded: endpoints are the application's own, labels those of the schema.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

from serving.schema import Analysis, FeedbackRequest

__all__ = ["JsonLines", "Telemetry", "set_up_logging"]

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 15)
_MESSAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Telemetry:
    """The metrics of one service process; with several workers they are summed over all of them."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._shared = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        if self._shared:
            _forget_dead_workers(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
        own = self._registry
        self.requests = Counter("kefu_requests", "Requests", ["endpoint", "status"], registry=own)
        self.seconds = Histogram(
            "kefu_request_seconds", "Time to answer", ["endpoint"], buckets=_SECONDS, registry=own
        )
        self.pass_messages = Histogram(
            "kefu_pass_messages", "Messages of one pass of the model", buckets=_MESSAGES, registry=own
        )
        self.pass_seconds = Histogram(
            "kefu_pass_seconds", "Time of one pass of the model", buckets=_SECONDS, registry=own
        )
        self.labels = Counter("kefu_answers", "Answers by label", ["task", "label"], registry=own)
        self.abstained = Counter("kefu_abstentions", "Answers that a person should decide", registry=own)
        self.alerts = Counter("kefu_alerts", "Answers by alert level", ["level"], registry=own)
        self.judged = Counter("kefu_feedback", "Feedback by verdict", ["task", "right"], registry=own)
        self.waiting = Gauge(
            "kefu_waiting_messages", "Messages that wait", multiprocess_mode="livesum", registry=own
        )

    def observe_pass(self, messages: int, seconds: float, waiting: int) -> None:
        """A pass of the model ended, and so many messages wait for another."""
        self.waiting.set(waiting)
        self.pass_messages.observe(messages)
        self.pass_seconds.observe(seconds)

    def observe_answers(self, answers: Sequence[Analysis]) -> None:
        """These answers were given."""
        for answer in answers:
            self.labels.labels("category", answer.category.label).inc()
            self.labels.labels("emotion", answer.emotion.label).inc()
            self.alerts.labels(str(answer.alert.level)).inc()
            if answer.category.abstain:
                self.abstained.inc()

    def observe_feedback(self, feedback: FeedbackRequest) -> None:
        """Somebody judged an answer."""
        for task in ("category", "emotion"):
            if verdict := getattr(feedback, task):
                self.judged.labels(task, str(verdict.right).lower()).inc()

    def observe_request(self, endpoint: str, status: int, seconds: float) -> None:
        """A request was answered or refused."""
        self.requests.labels(endpoint, str(status)).inc()
        self.seconds.labels(endpoint).observe(seconds)

    def page(self) -> tuple[bytes, str]:
        """All metrics in Prometheus' text format, and its content type."""
        registry = self._registry
        if self._shared:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)
        return generate_latest(registry), CONTENT_TYPE_LATEST


def _forget_dead_workers(folder: Path) -> None:
    """A killed worker's gauges would stand for ever."""
    for file in folder.glob("gauge_live*_*.db"):
        pid = int(file.stem.rsplit("_", 1)[-1])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            with contextlib.suppress(OSError):
                file.unlink()
        except PermissionError:
            pass


class JsonLines(logging.Formatter):
    """One JSON object for each record; a message that is an object already is merged in."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        row: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        message = record.getMessage()
        try:
            fields = json.loads(message) if message.startswith("{") else None
        except ValueError:
            fields = None
        row |= fields if isinstance(fields, dict) else {"message": message}
        if record.exc_info:
            row["error"] = self.formatException(record.exc_info)
        return json.dumps(row, ensure_ascii=False)


def set_up_logging(stream: Any = None) -> None:
    """Write this process's log as JSON lines on standard output, those of BentoML and uvicorn too."""
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonLines())
    own = logging.getLogger("kefu")
    own.handlers, own.propagate = [handler], False
    own.setLevel(logging.INFO)
    for name in ("", "bentoml", "uvicorn", "uvicorn.error", "uvicorn.access"):
        for other in logging.getLogger(name).handlers:
            other.setFormatter(JsonLines())
