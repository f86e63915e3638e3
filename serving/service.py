"""The HTTP service: requests in, the predictor, answers out. Served and packaged by BentoML.

The endpoints are a FastAPI application mounted on the BentoML service, so that every wrong request
gets an answer which names the field; `/livez`, `/readyz` and `/metrics` are BentoML's own. BentoML
makes the service object, which loads and warms the models, before it reports ready.
"""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import bentoml
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.exported import default_threads
from serving.package import read_pins
from serving.predictor import ModelSource, Predictor, load_predictor
from serving.schema import (
    Analysis,
    AnalyzeBatchRequest,
    AnalyzeBatchResponse,
    AnalyzeRequest,
    reason_of,
)

__all__ = ["Kefu", "app"]

MAX_BODY = 4 * 1024 * 1024
"""Bytes of a request: a full batch of long messages fits, a flood does not."""

app = FastAPI(
    title="Kefu Lab",
    description="What a customer wants, how they feel, and how loudly to warn the desk.",
    docs_url=None,
    redoc_url=None,
)


class _BodyLimit:
    """Answers 413 as soon as a request is known to be too large, without reading it all."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app, self.limit = app, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > self.limit:
            await self._refuse(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.limit:
                raise HTTPException(413, self._reason())
            return message

        await self.app(scope, counted, send)

    def _reason(self) -> str:
        return f"request is larger than {self.limit} bytes; send fewer or shorter messages"

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = JSONResponse({"errors": [{"field": "body", "reason": self._reason()}]}, 413)
        await response(scope, receive, send)


app.add_middleware(_BodyLimit, limit=MAX_BODY)


@app.exception_handler(RequestValidationError)
async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
    errors = []
    for item in error.errors():
        location = tuple(part for part in item["loc"] if part != "body")
        if item["type"] == "json_invalid":
            location = ()
        errors.append(reason_of({"loc": location, "msg": item["msg"]}))
    return JSONResponse({"errors": errors}, 422)


@app.exception_handler(HTTPException)
async def _refused(request: Request, error: HTTPException) -> JSONResponse:
    reason = error.detail
    if error.status_code == 400:
        reason = "not JSON in UTF-8"
    return JSONResponse({"errors": [{"field": "body", "reason": reason}]}, error.status_code)


def _predictor() -> Predictor:
    return bentoml.get_current_service().predictor


# Plain functions: FastAPI runs them in its thread pool, so the event loop never waits for a model.
@app.post("/analyze", summary="What one message wants, how it sounds, and the alert level")
def analyze(request: AnalyzeRequest) -> Analysis:
    """Category with the best few, emotion with all scores, alert with reasons, model versions."""
    return _predictor().analyze([request])[0]


@app.post("/analyze_batch", summary="Up to 256 messages, answered in order")
def analyze_batch(request: AnalyzeBatchRequest) -> AnalyzeBatchResponse:
    """The answers of `/analyze`, in the order of `messages`."""
    return AnalyzeBatchResponse(results=_predictor().analyze(request.messages))


@app.get("/info", summary="Device, threads and versions")
def info() -> dict[str, Any]:
    """What is running: models, snapshot, calibration, device, threads, package versions."""
    packages = ("bentoml", "onnxruntime", "tokenizers", "numpy")
    return {**_predictor().info(), "versions": {name: version(name) for name in packages}}


@app.get("/docs", include_in_schema=False)
def docs() -> HTMLResponse:
    """The API page, with the assets that BentoML ships: it works without the internet."""
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="Kefu Lab API",
        swagger_js_url="/static_content/swagger-ui-bundle.js",
        swagger_css_url="/static_content/swagger-ui.css",
        swagger_favicon_url="/static_content/favicon-32x32.png",
    )


def _workers() -> int:
    return max(1, int(os.environ.get("KEFU_WORKERS", "1")))


@bentoml.service(name="kefu", workers=_workers(), traffic={"timeout": 60})
@bentoml.asgi_app(app, path="/")
class Kefu:
    """Loads the pinned champions once per worker and warms them before it is ready."""

    category = bentoml.models.BentoModel(read_pins()["category"]["tag"])
    emotion = bentoml.models.BentoModel(read_pins()["emotion"]["tag"])

    def __init__(self) -> None:
        pins = read_pins()
        threads = int(os.environ.get("KEFU_THREADS", "0")) or max(1, default_threads() // _workers())
        self.predictor = load_predictor(
            ModelSource(Path(self.category.path), pins["category"]["name"]),
            ModelSource(Path(self.emotion.path), pins["emotion"]["name"]),
            threads=threads,
        )
        self.predictor.warm_up()
