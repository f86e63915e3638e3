"""The ML backend that Label Studio asks for suggestions while people label, and tells what they did.

Label Studio (1.23, `ml/api_connector.py`, `webhooks/utils.py`) calls it so: `GET /health` and `POST /setup`
before every use, waiting 1 s and 3 s; `POST /predict` with one task when it is opened, with all the chosen
ones when somebody retrieves predictions, waiting 100 s; `POST /webhook` after an annotation, waiting 1 s and
never again. It asks for as many results as it sent tasks: one that cannot be answered gets an empty list,
which Label Studio stores as no prediction. `/setup` brings the API key of the project's owner along; it is
neither kept nor logged. Training is no answer to a request here: `/webhook` queues, `/train` declines.

Errors are `{"errors": [{"field", "reason"}]}`. Logs carry counts, ids and field names, never texts.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hmac
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from data.taxonomy import Taxonomy, load_taxonomy
from labeling.connect import PROJECT_HEADER
from labeling.contract import Contract, RefusedError, no_training
from labeling.events import EVENTS, EventQueue
from labeling.suggest import Suggest, packaged_champion, served_champion

__all__ = ["TOKEN", "create_backend", "main", "serve"]

TOKEN = "KEFU_BACKEND_TOKEN"
"""Environment variable: what Label Studio has to show (`connect` tells it)."""
MAX_BODY = 256 * 1024 * 1024
"""Bytes of a request: some 50,000 tasks with their annotations."""
_log = logging.getLogger("kefu.label.backend")


def create_backend(
    suggest: Suggest, events: EventQueue, taxonomy: Taxonomy, token: str | None = None
) -> FastAPI:
    """The backend as an ASGI application.

    Args:
        suggest: where suggestions come from; asked in worker threads, several at once.
        events: where webhooks are queued; acknowledged only after they are on the disk.
        taxonomy: the label schema of the projects that it serves.
        token: if set, asked of every call but `GET /`: as the password of basic authentication (which is
            how Label Studio calls an ML backend) or as a bearer token (webhooks).
    """
    app = FastAPI(title="Kefu Lab's ML backend", docs_url=None, redoc_url=None, openapi_url=None)
    backend = Contract(suggest, events, taxonomy)
    up = {"status": "UP", "model_class": "KefuChampion"}

    async def answer(request: Request, work: Callable[[dict[str, Any]], dict[str, Any]]) -> JSONResponse:
        try:
            if token and not _allowed(request.headers.get("authorization", ""), token):
                raise RefusedError(
                    401, "authorization", f"wrong or missing token; set {TOKEN} and connect again"
                )
            body = await _body(request)
            return JSONResponse(await run_in_threadpool(lambda: work(_payload(body))))
        except RefusedError as refusal:
            headers = {"www-authenticate": "Basic"} if refusal.status == 401 else None
            return JSONResponse({"errors": refusal.errors}, refusal.status, headers)
        except Exception as error:
            # The usual traceback would quote the message of the error, and that may quote a chat.
            trace = error.__traceback__
            while trace and trace.tb_next:
                trace = trace.tb_next
            place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
            _log.error("%s: %s at %s", request.url.path, type(error).__name__, place)
            reason = f"failed ({type(error).__name__}); the backend's log says where"
            return JSONResponse({"errors": [{"field": "body", "reason": reason}]}, 500)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        reason = f"{request.method} {request.url.path}: {error.detail}"
        return JSONResponse({"errors": [{"field": "path", "reason": reason}]}, error.status_code)

    @app.get("/")
    def root() -> dict[str, str]:
        return up

    @app.get("/health")
    async def health(request: Request) -> JSONResponse:
        return await answer(request, lambda _: up)

    @app.get("/versions")
    async def versions(request: Request) -> JSONResponse:
        return await answer(request, lambda _: {"versions": [backend.version()]})

    @app.post("/setup")
    async def setup(request: Request) -> JSONResponse:
        return await answer(request, backend.setup)

    @app.post("/predict")
    async def predict(request: Request) -> JSONResponse:
        return await answer(request, backend.predict)

    @app.post("/webhook")
    async def webhook(request: Request) -> JSONResponse:
        said = request.headers.get(PROJECT_HEADER, "")
        project = int(said) if said.isascii() and said.isdigit() else None
        return await answer(request, lambda payload: backend.webhook(payload, project))

    @app.post("/train")
    async def train(request: Request) -> JSONResponse:
        return await answer(request, lambda _: no_training())

    return app


def _allowed(header: str, token: str) -> bool:
    scheme, _, shown = header.partition(" ")
    if scheme.lower() == "basic":
        try:
            shown = base64.b64decode(shown, validate=True).decode().partition(":")[2]
        except ValueError:
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(shown.encode(), token.encode())


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BODY:
            raise RefusedError(
                413, "body", f"larger than {MAX_BODY} bytes; retrieve fewer predictions at once"
            )
        parts.append(part)
    return b"".join(parts)


def _payload(body: bytes) -> dict[str, Any]:
    try:
        payload = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise RefusedError(400, "body", "not JSON in UTF-8") from None
    if not isinstance(payload, dict):
        raise RefusedError(422, "body", "expected an object")
    return payload


def serve(
    taxonomy: Taxonomy,
    host: str = "127.0.0.1",
    port: int = 9090,
    service: str | None = None,
    events: Path = EVENTS,
    ready: Callable[[str], object] | None = None,
) -> None:
    """Run the backend until it is stopped; its token is in the environment (`KEFU_BACKEND_TOKEN`).

    Args:
        service: address of a running inference service; None: the packaged champions are opened here.
        ready: called with the backend's address once it answers, as `connect` needs it; where it fails,
            the backend stops.

    Raises:
        ValueError: the port is taken, or the address is open to the network and there is no token.
        serving.package.NotPackagedError: no service was given and nothing is packaged.
    """
    import uvicorn

    token = os.environ.get(TOKEN)
    if not token and host not in ("127.0.0.1", "localhost"):
        raise ValueError(f"--host: {host} is open to the network; set {TOKEN} to a long secret first")
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
        raise ValueError(f"--port: {port} is in use; choose another, or stop what is there")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    # An annotator waits for the answer: a service that is away is soon given up.
    suggest = served_champion(service, patience=2.0) if service else packaged_champion()
    failed: list[Exception] = []
    with EventQueue(events) as queue:
        app = create_backend(suggest, queue, taxonomy, token)
        server = uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level="info"))

        def announce(call: Callable[[str], object]) -> None:
            while not server.started:
                time.sleep(0.05)
            try:
                call(f"http://{host}:{port}")
            except Exception as error:
                failed.append(error)
                server.should_exit = True

        if ready:
            threading.Thread(target=announce, args=(ready,), daemon=True).start()
        server.run()
    if failed:
        raise failed[0]


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve suggestions to Label Studio and queue what its webhooks tell."""
    parser = argparse.ArgumentParser(prog="kefu label backend", description=main.__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9090)
    parser.add_argument("--service", help="a running inference service; default: the packaged champions here")
    parser.add_argument("--events", type=Path, default=EVENTS, help="file of the event queue")
    parser.add_argument("--taxonomy", type=Path, help="another label schema than the embedded one")
    options = parser.parse_args(arguments)
    from serving.package import use_local_store

    use_local_store()
    serve(load_taxonomy(options.taxonomy), options.host, options.port, options.service, options.events)


if __name__ == "__main__":
    main()
