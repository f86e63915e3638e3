"""The HTTP application: each endpoint is an operation. Independent of BentoML, so that the mock is the same.

Every wrong request gets a 4xx that names field and reason; a full queue gets a 503 that says when to
come back.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from assist.graph.schema import GraphRequest, GraphResponse
from assist.inspection.schema import Inspection, InspectRequest
from assist.knowledge.file import KnowledgeStoreError
from assist.knowledge.schema import (
    AnswerRequest,
    AnswerResponse,
    KnowledgeSearchRequest,
    KnowledgeSearchResponse,
)
from assist.routing.schema import GroupRequest, GroupResponse
from assist.scripts.feedback import FeedbackStoreError as ReplyStoreError
from assist.scripts.schema import RecommendRequest, RecommendResponse, ReplyFeedback, ReplyFeedbackReceipt
from serving.assist_schema import AssistRequest, AssistResponse, Routing, RoutingRequest
from serving.batching import OverloadedError
from serving.feedback import FeedbackStoreError
from serving.operations import NotHereError, Operations
from serving.schema import (
    Analysis,
    AnalyzeBatchRequest,
    AnalyzeBatchResponse,
    AnalyzeRequest,
    ClassifyResponse,
    EmotionResponse,
    Errors,
    FeedbackReceipt,
    FeedbackRequest,
    Labels,
    TrackRequest,
    TrackResponse,
    reason_of,
)

__all__ = ["create_app", "endpoints", "error_response"]

PAGE = Path(__file__).parent / "page"
_REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Errors, "description": text}
    for status, text in {
        400: "the body is not JSON in UTF-8",
        401: "API key missing or unknown",
        408: "the body came too slowly",
        413: "request too large",
        422: "a field is wrong; names it",
        429: "too many requests with this key; Retry-After says when",
        501: "this service has no such room; says how to get it",
        503: "too many messages wait; Retry-After says when",
    }.items()
}


def error_response(
    status: int, reason: str, field: str = "body", retry_after: float | None = None
) -> Response:
    """The one shape of every refusal: `{"errors": [{"field", "reason"}]}`."""
    headers = {"Retry-After": str(max(1, round(retry_after)))} if retry_after is not None else None
    return JSONResponse({"errors": [{"field": field, "reason": reason}]}, status, headers)


def create_app(
    operations: Callable[[], Operations], metrics: Callable[[], tuple[bytes, str]] | None = None
) -> FastAPI:
    """The application.

    Args:
        operations: gives the running operations; asked at every request, so it may be made later.
        metrics: gives the page `/metrics` and its content type.
    """
    app = FastAPI(
        title="Kefu Lab",
        description="What a customer wants, how they feel, and how loudly to warn the desk.",
        version=version("kefu-lab") if _installed() else "0",
        docs_url=None,
        redoc_url=None,
    )
    _add_operations(app, operations)
    _add_help(app, operations)
    _add_pages(app)
    if metrics:

        @app.get("/metrics", include_in_schema=False)
        async def metrics_page() -> Response:
            """Prometheus."""
            content, kind = metrics()
            return Response(content, media_type=kind)

    _add_refusals(app)
    return app


def endpoints(app: FastAPI) -> frozenset[str]:
    """The paths that the application answers."""
    return frozenset(path for route in app.routes if (path := getattr(route, "path", None)))


def _installed() -> bool:
    try:
        version("kefu-lab")
    except ModuleNotFoundError:  # a Bento carries the packages, not the distribution
        return False
    return True


def _add_operations(app: FastAPI, operations: Callable[[], Operations]) -> None:
    def post(path: str, summary: str) -> Any:
        return app.post(path, summary=summary, responses=_REFUSALS, tags=["answers"])

    @post("/analyze", "What one message wants, how it sounds, and the alert level")
    async def analyze(request: AnalyzeRequest) -> Analysis:
        """Category with the best few, emotion with all scores, alert with reasons, model versions."""
        return await operations().analyze(request)

    @post("/analyze_batch", "Up to 256 messages, answered in order")
    async def analyze_batch(request: AnalyzeBatchRequest) -> AnalyzeBatchResponse:
        """The answers of `/analyze`, in the order of `messages`."""
        return await operations().analyze_batch(request)

    @post("/classify", "What one message wants")
    async def classify(request: AnalyzeRequest) -> ClassifyResponse:
        """The category of `/analyze` alone."""
        return await operations().classify(request)

    @post("/emotion", "How one message sounds, and the alert level")
    async def emotion(request: AnalyzeRequest) -> EmotionResponse:
        """Emotion and alert of `/analyze` alone."""
        return await operations().emotion(request)

    @post("/track", "How a whole conversation went, and the alert that stands now")
    async def track(request: TrackRequest) -> TrackResponse:
        """Emotion of every customer turn, trajectory, the turn where the mood changed, standing alert."""
        return await operations().track(request)

    @post("/feedback", "Whether an answer was right, and which one is")
    async def feedback(request: FeedbackRequest) -> FeedbackReceipt:
        """Kept durably, personal data masked; goes to the labelling queue from there."""
        return await operations().feedback(request)

    refusals: dict[int | str, dict[str, Any]] = {status: _REFUSALS[status] for status in (401, 429)}

    @app.get("/labels", summary="Every category, emotion and alert level", responses=refusals, tags=["about"])
    async def labels() -> Labels:
        """The label schema, for pages and programs that show names."""
        return Labels.of(operations().engine.taxonomy)

    @app.get("/info", summary="Models, device, threads and versions", responses=refusals, tags=["about"])
    async def info() -> dict[str, Any]:
        """What is running: models, snapshot, calibration, device, threads, package versions."""
        packages = ("bentoml", "onnxruntime", "tokenizers", "numpy")
        return {**operations().about(), "versions": {name: version(name) for name in packages}}


def _add_help(app: FastAPI, operations: Callable[[], Operations]) -> None:
    def post(path: str, summary: str) -> Any:
        return app.post(path, summary=summary, responses=_REFUSALS, tags=["help for the agent"])

    @post("/assist", "Everything for one message in one call, within a deadline")
    async def assist(request: AssistRequest) -> AssistResponse:
        """Labels, mood, replies, knowledge, the shop's rules, inspection and routing from one encoder pass;
        parts that are not done in time are left out and named."""
        return await operations().helper.assist(request)

    @post("/recommend", "Complete replies to a message, best first")
    async def recommend(request: RecommendRequest) -> RecommendResponse:
        """Greeting, soothing where the mood asks for it, solution, closing; slots filled or named; why."""
        return await operations().helper.recommend(request)

    @post("/recommend/feedback", "What the agent did with a reply")
    async def learn(request: ReplyFeedback) -> ReplyFeedbackReceipt:
        """Accepted, edited or rejected; kept durably, masked; changes the ranking."""
        return await operations().helper.learn(request)

    @post("/knowledge/search", "Cited passages of the shop's documents")
    async def search(request: KnowledgeSearchRequest) -> KnowledgeSearchResponse:
        """Typing errors, pinyin and synonyms are read; what is not valid on the day is never answered."""
        return await operations().helper.search(request)

    @post("/answer", "A cited draft of an answer, with what a person must look at")
    async def answer(request: AnswerRequest) -> AnswerResponse:
        """Rests on passages; sentences without support, hedges and promises are flagged."""
        return await operations().helper.answer(request)

    @post("/graph", "What the shop's rules say, with the path that says so")
    async def ask(request: GraphRequest) -> GraphResponse:
        """Returns, warranty, shipping, coupons, attributes: yes, no, or what it depends on."""
        return await operations().helper.ask(request)

    @post("/inspect", "How well a conversation was handled")
    async def inspect(request: InspectRequest) -> Inspection:
        """Scores in four dimensions, each finding with the words that it rests on."""
        return await operations().helper.inspect(request)

    @post("/route", "Who should take this message, and how soon")
    async def route(request: RoutingRequest) -> Routing:
        """Skill group, priority, agent or place in the queue, and signals of flooding, harassment, fraud."""
        return await operations().helper.route(request)

    @post("/group", "Which open messages ask the same")
    async def group(request: GroupRequest) -> GroupResponse:
        """Groups of messages that one answer can serve, the largest first, each with a suggested reply."""
        return await operations().helper.group(request)


def _add_pages(app: FastAPI) -> None:
    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        """The API page, with the assets that BentoML ships: it works without the internet."""
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="Kefu Lab API",
            swagger_js_url="/static_content/swagger-ui-bundle.js",
            swagger_css_url="/static_content/swagger-ui.css",
            swagger_favicon_url="/static_content/favicon-32x32.png",
        )

    if (PAGE / "index.html").is_file():
        app.mount("/page", StaticFiles(directory=PAGE), name="page")

        @app.get("/", include_in_schema=False)
        async def page() -> FileResponse:
            """Try it in a browser."""
            return FileResponse(PAGE / "index.html", headers=_PAGE_HEADERS)


_PAGE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def _add_refusals(app: FastAPI) -> None:
    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        errors = []
        for item in error.errors():
            location = tuple(part for part in item["loc"] if part != "body")
            if item["type"] == "json_invalid":
                location = ()
            errors.append(reason_of({"loc": location, "msg": item["msg"]}))
        return JSONResponse({"errors": errors}, 422)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        reason = "not JSON in UTF-8" if error.status_code == 400 else str(error.detail)
        response = error_response(error.status_code, reason)
        response.headers.update(error.headers or {})  # a 405 names the methods that are allowed
        return response

    @app.exception_handler(OverloadedError)
    async def overloaded(request: Request, error: OverloadedError) -> Response:
        return error_response(503, str(error), "service", error.retry_after)

    @app.exception_handler(FeedbackStoreError)
    async def not_kept(request: Request, error: FeedbackStoreError) -> Response:
        return error_response(503, str(error), "feedback", 60)

    @app.exception_handler(ReplyStoreError)
    async def reply_not_kept(request: Request, error: ReplyStoreError) -> Response:
        return error_response(503, str(error), "feedback", 60)

    @app.exception_handler(KnowledgeStoreError)
    async def no_knowledge(request: Request, error: KnowledgeStoreError) -> Response:
        return error_response(503, str(error), "knowledge", 60)

    @app.exception_handler(NotHereError)
    async def no_room(request: Request, error: NotHereError) -> Response:
        return error_response(501, str(error), "service")  # asking again does not help

    @app.exception_handler(ValueError)
    async def wrong_value(request: Request, error: ValueError) -> Response:
        field, _, reason = str(error).partition(": ")
        return error_response(422, reason or str(error), field if reason else "body")
