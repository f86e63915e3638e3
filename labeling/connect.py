"""Making a project ask our ML backend and tell it what happens: registered once, the same when repeated."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx

from data.taxonomy import Taxonomy
from labeling.client import LabelStudioError, Login
from labeling.events import ACTIONS
from labeling.interface import check_config

__all__ = ["PROJECT_HEADER", "TITLE", "USER", "Connection", "connect"]

TITLE = "Kefu Lab"
"""What the backend is called in Label Studio (Settings > Model)."""
USER = "kefu"
"""Label Studio's name towards the backend (basic authentication); the password is the backend's token."""
PROJECT_HEADER = "Kefu-Project"
"""Says whose webhook calls: some deliveries of Label Studio leave the project out."""
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Connection:
    """How a project is tied to a backend."""

    backend: int
    """Label Studio's number of the ML backend."""
    webhook: int
    changed: bool
    """Whether anything had to be made or set right."""
    asks: bool
    """Whether Label Studio asks for suggestions while people label. It does only in projects that show
    predictions (`kefu label init --prelabel`); in others it asks when somebody retrieves predictions."""


def connect(
    login: Login, project: int, backend_url: str, taxonomy: Taxonomy, token: str | None = None
) -> Connection:
    """Register the backend and its webhook at a project. Running it again changes nothing.

    A backend or webhook of ours that has moved is changed, not doubled; others are left alone.

    Args:
        backend_url: where Label Studio reaches `kefu label backend`.
        token: what that backend was started with (`KEFU_BACKEND_TOKEN`).

    Raises:
        ValueError: the project's interface is not ours; names control and keys.
        LabelStudioError: Label Studio refused or cannot be reached, or does not reach the backend; says
            the mend.
    """
    from label_studio_sdk import LabelStudio as Sdk

    # Our own client, because the SDK never closes its own.
    with httpx.Client(timeout=30.0, follow_redirects=True) as client:
        sdk = Sdk(base_url=login.url, api_key=login.token, httpx_client=client, max_retries=0)
        return _connect(sdk, login, project, backend_url.rstrip("/"), taxonomy, token)


def _connect(
    sdk: Any, login: Login, project: int, url: str, taxonomy: Taxonomy, token: str | None
) -> Connection:
    found = _ask(login, url, lambda: sdk.projects.get(project))
    problems = check_config(found.label_config or "", taxonomy)
    if problems:
        raise ValueError(f"project {project}: {problems[0]}; put it right with: kefu label init")
    backends = _ask(login, url, lambda: sdk.ml.list(project=project))
    ours = _first(backends, lambda one: one.url.rstrip("/") == url) or _first(
        backends, lambda one: one.title == TITLE
    )
    # The webhook first: Label Studio would make one for the backend, for all actions and without the token.
    webhook, hook_changed = _webhook(sdk, login, project, url, ours.url.rstrip("/") if ours else url, token)
    backend, backend_changed = _backend(sdk, login, project, url, ours, token)
    asks = bool(found.show_collab_predictions)
    live = asks and found.model_version != TITLE
    if live:
        # Label Studio asks the backend whose title is the project's model version.
        _ask(login, url, lambda: sdk.projects.update(project, model_version=TITLE))
    return Connection(backend, webhook, hook_changed or backend_changed or live, asks)


def _backend(
    sdk: Any, login: Login, project: int, url: str, ours: Any, token: str | None
) -> tuple[int, bool]:
    wanted: dict[str, Any] = {
        "url": url,
        "title": TITLE,
        "auth_method": "BASIC_AUTH" if token else "NONE",
        "basic_auth_user": USER if token else "",
    }
    # The password cannot be read back; whether it is right shows in the state, which Label Studio has just
    # asked the backend for.
    if ours and ours.state == "CO" and _agrees(ours, wanted):
        return int(ours.id), False
    settings = {**wanted, "project": project} | ({"basic_auth_pass": token} if token else {})
    if ours:
        return int(_ask(login, url, lambda: sdk.ml.update(ours.id, **settings)).id), True
    return int(_ask(login, url, lambda: sdk.ml.create(**settings)).id), True


def _webhook(
    sdk: Any, login: Login, project: int, url: str, old_url: str, token: str | None
) -> tuple[int, bool]:
    wanted: dict[str, Any] = {
        "url": f"{url}/webhook",
        "send_payload": True,
        "send_for_all_actions": False,
        "is_active": True,
        "headers": {PROJECT_HEADER: str(project)} | ({"Authorization": f"Bearer {token}"} if token else {}),
    }
    hooks = _ask(login, url, lambda: sdk.webhooks.list(project=str(project)))
    ours = _first(hooks, lambda one: one.url == wanted["url"]) or _first(
        hooks, lambda one: one.url == f"{old_url}/webhook"
    )
    if ours and _agrees(ours, wanted) and set(ours.actions or ()) == set(ACTIONS):
        return int(ours.id), False
    settings = {**wanted, "actions": sorted(ACTIONS)}
    if ours:
        _ask(login, url, lambda: sdk.webhooks.update(ours.id, **settings))
        return int(ours.id), True
    return int(_ask(login, url, lambda: sdk.webhooks.create(project=project, **settings)).id), True


def _first(items: list[Any], fits: Callable[[Any], bool]) -> Any:
    return next((item for item in items if fits(item)), None)


def _agrees(found: Any, wanted: Mapping[str, Any]) -> bool:
    return all((getattr(found, name) or "") == (value or "") for name, value in wanted.items())


def _ask(login: Login, url: str, call: Callable[[], _Result]) -> _Result:
    from label_studio_sdk.core.api_error import ApiError

    try:
        return call()
    except httpx.TransportError as error:
        raise LabelStudioError(
            f"no Label Studio at {login.url} ({type(error).__name__}); start one: make labelstudio, or set "
            "LABEL_STUDIO_URL"
        ) from error
    except ApiError as error:
        body = re.sub(r"<[^>]+>", "", str(error.body))
        raise LabelStudioError(_reason(login, url, error.status_code or 0, body)) from error


def _reason(login: Login, url: str, status: int, body: str) -> str:
    if "reserved network address" in body:
        return (
            f"Label Studio does not call {url}: private addresses are closed to it. Start Label Studio with "
            "USE_DEFAULT_BANNED_SUBNETS=false and, to keep the others closed, list them in "
            "USER_ADDITIONAL_BANNED_SUBNETS; or give the backend a public address"
        )
    if "Enter a valid URL" in body or "resolve hostname" in body:
        return f"backend: Label Studio takes no address like {url}; give an IP address or a full host name"
    if "authentication parameters" in body:
        return f"the backend at {url} wants another token; set KEFU_BACKEND_TOKEN as it was started with"
    if "health check failed" in body:
        return f"Label Studio does not reach the backend at {url}; start it with: kefu label backend"
    if "valid ML backend" in body:
        return f"the backend at {url} cannot answer for this project; its log says why"
    if status in (401, 403):
        return (
            f"{login.url} refused the API key ({status}); set LABEL_STUDIO_API_KEY to a valid one "
            "(Account & Settings > Access Token)"
        )
    if status == 404:
        return f"{login.url} has no such project; see: kefu label list"
    return f"{login.url} answered {status}: {body[:300]}"
