"""The tools over the Model Context Protocol: for desktop agents (stdio) and for agents on servers (HTTP).

`create_mcp` makes the protocol server, `McpEndpoint` answers it over streamable HTTP inside another ASGI
application, `run_stdio` over the standard streams of this process.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING, Any

from assist.knowledge.file import KnowledgeStoreError
from assist.scripts.feedback import FeedbackStoreError as ReplyStoreError
from serving.batching import OverloadedError
from serving.feedback import FeedbackStoreError
from serving.operations import DeskError, Operations
from serving.retries import KefuError
from serving.tools import TOOLS, ToolError, call

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server
    from starlette.applications import Starlette
    from starlette.types import Receive, Scope, Send

__all__ = ["INSTRUCTIONS", "McpEndpoint", "add_mcp", "create_mcp", "local_operations", "run_stdio"]

INSTRUCTIONS = (
    "Kefu Lab reads Chinese e-commerce customer-service chats (电商客服) and helps to answer them. Use "
    "assist_message on each new customer message that has to be answered, with the turns before it as "
    "context; analyze_message where only the labels are wanted; track_conversation for how a whole chat "
    "went. Where `abstain` is true do not rely on the category. At alert level 3 (红色预警) propose to hand "
    "over to a supervisor. State no fact about the shop that search_knowledge or ask_shop_rules does not "
    "bear out, and fill no gap (【…】) of a reply by guessing."
)
_LOCAL = ("127.0.0.1", "localhost", "[::1]")
_EXPECTED = (
    ToolError,
    KefuError,
    OverloadedError,
    DeskError,
    FeedbackStoreError,
    KnowledgeStoreError,
    ReplyStoreError,
)

_log = logging.getLogger("kefu.mcp")


def create_mcp(operations: Callable[[], Operations]) -> Server[Any]:
    """The protocol server: lists `serving.tools.TOOLS` and runs them.

    Args:
        operations: gives the running operations; asked at every call, so it may be made later.

    Returns:
        A server for `McpEndpoint`, `run_stdio`, or the SDK's own transports.
    """
    from mcp import types
    from mcp.server.lowlevel import Server

    listed = [
        types.Tool(
            name=tool.name,
            title=tool.title,
            description=tool.description,
            input_schema=tool.input_schema,
            output_schema=tool.output_schema,
            annotations=types.ToolAnnotations(
                title=tool.title,
                read_only_hint=not tool.writes,
                destructive_hint=False,
                idempotent_hint=not tool.writes,
                open_world_hint=False,
            ),
        )
        for tool in TOOLS
    ]

    async def list_tools(context: Any, params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=listed)

    async def call_tool(context: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        try:
            found = await call(operations(), params.name, params.arguments)
        except Exception as error:
            return refused(str(error)) if isinstance(error, _EXPECTED) else failed(params.name, error)
        text = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
        return types.CallToolResult(content=[types.TextContent(text=text)], structured_content=found)

    def refused(message: str) -> types.CallToolResult:
        return types.CallToolResult(content=[types.TextContent(text=message)], is_error=True)

    def failed(name: str, error: Exception) -> types.CallToolResult:
        # The error's own message could hold a customer's text.
        kind = type(error).__name__
        _log.error(json.dumps({"event": "tool_failed", "tool": name, "error": kind}))
        return refused(f"{name}: failed inside the service ({kind}); try again")

    return Server(
        "kefu",
        title="Kefu Lab",
        version="1",
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


class McpEndpoint:
    """Streamable HTTP as an ASGI endpoint: every request stands alone and is answered in JSON, so any worker
    can answer any request, and nothing has to be started or stopped with the application.

    Args:
        server: from `create_mcp`.
        local_only: answer only requests to this machine's own names and pages (protection against DNS
            rebinding, needed where no API key is asked for).
    """

    def __init__(self, server: Server[Any], local_only: bool = True) -> None:
        from mcp.server.transport_security import TransportSecuritySettings

        # It would tell of every request that a session begins and ends.
        logging.getLogger("mcp.server.streamable_http_manager").setLevel(logging.WARNING)
        self._server = server
        self._security = TransportSecuritySettings(
            enable_dns_rebinding_protection=local_only,
            allowed_hosts=[form for name in _LOCAL for form in (name, f"{name}:*")],
            allowed_origins=[
                form
                for name in _LOCAL
                for scheme in ("http", "https")
                for form in (f"{scheme}://{name}", f"{scheme}://{name}:*")
            ],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
        from starlette.responses import JSONResponse

        if scope["method"] != "POST":
            # The protocol lets a server without messages of its own refuse the stream for them.
            reason = {"field": "method", "reason": "this endpoint has no stream of its own; use POST"}
            await JSONResponse({"errors": [reason]}, 405, {"Allow": "POST"})(scope, receive, send)
            return
        manager = StreamableHTTPSessionManager(
            self._server, json_response=True, stateless=True, security_settings=self._security
        )
        try:
            async with manager.run():
                await manager.handle_request(scope, receive, send)
        except ExceptionGroup as group:
            # What stands before us refuses a body by an exception, which a task group wraps.
            found: Exception = group
            while isinstance(found, ExceptionGroup) and len(found.exceptions) == 1:
                found = found.exceptions[0]
            raise found from None


def add_mcp(app: Starlette, operations: Callable[[], Operations], local_only: bool = True) -> None:
    """Answer the protocol at `/mcp` of an application.

    Args:
        operations: as of `create_mcp`.
        local_only: as of `McpEndpoint`; false where every request needs an API key.
    """
    from starlette.routing import Route

    app.router.routes.append(Route("/mcp", endpoint=McpEndpoint(create_mcp(operations), local_only)))


def local_operations() -> Operations:
    """The packaged champions, the rooms and the feedback store, opened in this process as a service would.

    Raises:
        serving.package.NotPackagedError: nothing was packaged yet.
        DeskError: a file of the rooms is wrong.
    """
    from serving.assist import Assistant
    from serving.desk import Desk, Shelves
    from serving.engine import ModelEngine
    from serving.feedback import FeedbackStore
    from serving.package import open_champions, pins_version, read_pins
    from serving.settings import ServiceSettings

    read_pins()
    settings = ServiceSettings.from_environment()
    shelves = Shelves()
    engine = ModelEngine(
        lambda: open_champions(None, 1, settings.device, settings.artefact),
        pins_version,
        settings.threads,
        settings.max_waiting,
        settings.timeout,
        prepare=lambda predictor: Desk(shelves, predictor),
    )
    store = FeedbackStore(settings.feedback, engine.taxonomy)
    return Operations(engine, store, helper=Assistant(engine, engine.prepared))


def run_stdio(service: str | None = None) -> None:
    """Serve the tools on standard input and output until the input ends.

    Args:
        service: address of a running service to ask, with the key in `KEFU_API_KEY`; None opens the packaged
            champions here.

    Raises:
        serving.package.NotPackagedError: nothing was packaged yet.
        ValueError: the address cannot be used.
    """
    import anyio
    from mcp.server.stdio import stdio_server

    async def main() -> None:
        async with _operations(service) as operations, stdio_server() as (read, write):
            server = create_mcp(lambda: operations)
            await server.run(read, write, server.create_initialization_options())

    anyio.run(main)


@contextlib.asynccontextmanager
async def _operations(service: str | None) -> AsyncIterator[Operations]:
    from serving.client import AsyncKefuClient
    from serving.remote import RemoteOperations

    if service is not None:
        async with AsyncKefuClient(service) as client:
            yield RemoteOperations(client)
        return
    with _silent():
        operations = local_operations()
    yield operations


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Standard output goes to standard error: what a library prints while models load is no protocol."""
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
