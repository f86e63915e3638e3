"""The service that BentoML serves and packages: the application of `serving.app` on the pinned champions.

The endpoints are an ASGI application mounted on the BentoML service. BentoML makes the service object,
which loads and warms the models, before it reports ready. Its own access log, tracing and request
metrics are off: `serving.admission` does their work once, without texts and with a bounded number of
label values.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import bentoml
from bentoml.exceptions import BentoMLException

from serving.admission import Admission
from serving.app import create_app, endpoints
from serving.assist import Assistant
from serving.desk import Desk, Shelves
from serving.engine import ModelEngine
from serving.feedback import FeedbackStore
from serving.keys import open_keys
from serving.mcp_server import add_mcp
from serving.operations import Operations
from serving.package import NotPackagedError, open_champions, pins_version, read_pins
from serving.settings import ServiceSettings
from serving.supervision import end_gently, ending, supervise_firmly
from serving.telemetry import Telemetry, set_up_logging

__all__ = ["Kefu", "app"]

_settings = ServiceSettings.from_environment()
_telemetry = Telemetry()
supervise_firmly(_settings.timeout)
end_gently()


def _operations() -> Operations:
    found: Operations = bentoml.get_current_service().operations
    return found


app = create_app(_operations, _telemetry.page)
add_mcp(app, _operations, local_only=_settings.keys is None)
app.add_middleware(
    Admission,
    settings=_settings,
    keys=open_keys(_settings.keys, _settings.workers),
    telemetry=_telemetry,
    endpoints=endpoints(app),
    models=lambda: bentoml.get_current_service().engine.models,
    ending=ending,
)


@bentoml.service(
    name="kefu",
    workers=_settings.workers,
    traffic={"timeout": _settings.timeout + 5},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
)
@bentoml.asgi_app(app, path="/")
class Kefu:
    """Loads the pinned champions once per worker and warms them before it is ready."""

    category = bentoml.models.BentoModel(read_pins()["category"].tag)
    emotion = bentoml.models.BentoModel(read_pins()["emotion"].tag)

    def __init__(self) -> None:
        set_up_logging()
        # The first load takes the models that the Bento holds; later ones ask the store.
        self._first: dict[str, Path] | None
        try:
            self._first = {"category": Path(self.category.path), "emotion": Path(self.emotion.path)}
        except BentoMLException as error:
            raise NotPackagedError(f"{error} Put it back with: kefu package") from None
        shelves = Shelves()
        self.engine = ModelEngine(
            self._load,
            pins_version,
            _settings.threads,
            _settings.max_waiting,
            _settings.timeout,
            lambda count, seconds: _telemetry.observe_pass(count, seconds, self.engine.batcher.waiting),
            _telemetry.observe_answers,
            lambda predictor: Desk(shelves, predictor),
        )
        self.assistant = Assistant(self.engine, self.engine.prepared)
        store = FeedbackStore(_settings.feedback, self.engine.taxonomy)
        self.operations = Operations(self.engine, store, _telemetry.observe_feedback, self.assistant)

    def _load(self) -> Any:
        folders, self._first = self._first, None
        # Two passes of one thread each answer half as many messages again as one pass of two threads, and
        # a single message gains nothing from a second thread (docs/benchmarks.md).
        return open_champions(folders, 1, _settings.device, _settings.artefact)

    @bentoml.on_startup
    async def follow_champions(self) -> None:
        """Take up a new champion whenever one is packaged."""
        self._following = asyncio.create_task(self.engine.follow_champions(_settings.reload_seconds))

    @bentoml.on_shutdown
    def close(self) -> None:
        """Let running passes end."""
        self._following.cancel()
        self.assistant.close()
        self.engine.batcher.close()
