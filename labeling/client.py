"""What the project asks of a Label Studio server, through its SDK, and errors that say the mend."""

from __future__ import annotations

import json
import os
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx

__all__ = ["HOME", "LabelStudio", "LabelStudioError", "Login", "TimedOutError", "find_login"]

_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"  # the only form that its filters read
HOME = Path(".kefu/label_studio")
_Result = TypeVar("_Result")


class LabelStudioError(RuntimeError):
    """Label Studio cannot be asked, or refused; the message says what to do."""


class TimedOutError(LabelStudioError):
    """No answer in time: whether the server did what it was asked is not known."""


@dataclass(frozen=True, slots=True)
class Login:
    """Where a server is, and how to be let in."""

    url: str
    token: str
    user: str = ""
    password: str = ""

    def as_dict(self) -> dict[str, str]:
        """For `login.json`."""
        return asdict(self)


def find_login(home: Path = HOME) -> Login:
    """The server named by `LABEL_STUDIO_URL` and `LABEL_STUDIO_API_KEY`, or the one started here.

    Raises:
        LabelStudioError: neither is there, or only half of the two is set.
    """
    url, token = (os.environ.get(f"LABEL_STUDIO_{name}", "") for name in ("URL", "API_KEY"))
    if url and token:
        return Login(url.rstrip("/"), token)
    if url or token:
        missing = "LABEL_STUDIO_API_KEY" if url else "LABEL_STUDIO_URL"
        raise LabelStudioError(f"{missing}: is not set, but the other of the two is; set both or neither")
    path = home / "login.json"
    if not path.exists():
        raise LabelStudioError(
            "no Label Studio is known; start one with: make labelstudio, or set LABEL_STUDIO_URL and "
            "LABEL_STUDIO_API_KEY (Account & Settings > Access Token)"
        )
    return Login(**json.loads(path.read_text(encoding="utf-8")))


class LabelStudio:
    """A server and the right to use it.

    Args:
        login: where and how.
        timeout: seconds that one call may take.
        retries: how often a call that changes nothing is tried again after no answer.
    """

    def __init__(self, login: Login, timeout: float = 60.0, retries: int = 2) -> None:
        from label_studio_sdk import LabelStudio as Sdk

        self.login = login
        http = httpx.Client(timeout=timeout, follow_redirects=True)
        weakref.finalize(self, http.close)
        self._sdk: Any = Sdk(base_url=login.url, api_key=login.token, timeout=timeout, httpx_client=http)
        self._retries = retries

    def projects(self) -> list[dict[str, Any]]:
        """Every project that this login sees: id, title, description, label_config, …"""
        return self._read(lambda: [project.model_dump() for project in self._sdk.projects.list()])

    def project(self, number: int) -> dict[str, Any]:
        """One project.

        Raises:
            LabelStudioError: there is none of this number.
        """
        return self._read(lambda: self._sdk.projects.get(number).model_dump(), f"project {number}")

    def create_project(self, settings: Mapping[str, Any]) -> int:
        """Make a project with the given fields; returns its number."""
        return int(self._ask(lambda: self._sdk.projects.create(**settings).id))

    def update_project(self, number: int, settings: Mapping[str, Any]) -> None:
        """Change fields of a project."""
        self._ask(lambda: self._sdk.projects.update(number, **settings), f"project {number}")

    def delete_project(self, number: int) -> None:
        """Remove a project with everything in it."""
        self._ask(lambda: self._sdk.projects.delete(number), f"project {number}")

    def tasks(
        self,
        project: int,
        after: int = 0,
        since: datetime | None = None,
        page_size: int = 500,
        answers: bool = True,
    ) -> Iterator[list[dict[str, Any]]]:
        """Pages of tasks in the order of their ids, as Label Studio shapes them.

        Pages are asked for by the last id seen, not by number, so tasks that are deleted or added meanwhile
        shift nothing. A page that does not come in time is asked for again, half as long.

        Args:
            after: only tasks with a greater id.
            since: only tasks changed after this time.
            answers: with annotations and predictions; else only id and data.
        """
        while True:
            page = self._page(project, after, since, page_size, answers)
            if not page:
                return
            yield page
            after = max(int(task["id"]) for task in page)

    def _page(
        self, project: int, after: int, since: datetime | None, size: int, answers: bool
    ) -> list[dict[str, Any]]:
        items = [_filter("id", "greater", "Number", after)]
        if since:
            items.append(
                _filter("updated_at", "greater_or_equal", "Datetime", f"{since.astimezone(UTC):{_TIME}}")
            )
        query = {"filters": {"conjunction": "and", "items": items}, "ordering": ["tasks:id"]}
        chosen = {"fields": "all"} if answers else {"fields": "task_only", "include": ["id", "data"]}

        def ask() -> list[dict[str, Any]]:
            pager = self._sdk.tasks.list(
                project=project, query=json.dumps(query), page=1, page_size=size, **chosen
            )
            return [task.model_dump(mode="json") for task in pager.items or ()]

        try:
            return self._read(ask, f"project {project}")
        except TimedOutError:
            if size < 10:
                raise
            return self._page(project, after, since, size // 2, answers)

    def task(self, number: int) -> dict[str, Any]:
        """One task with its annotations."""
        return self._read(lambda: self._sdk.tasks.get(str(number)).model_dump(mode="json"), f"task {number}")

    def import_tasks(self, project: int, tasks: Sequence[Mapping[str, Any]]) -> list[int]:
        """Add tasks in one call; returns their ids.

        Raises:
            TimedOutError: they may be there, or not: look before sending them again.
        """
        answer = self._ask(
            lambda: self._sdk.projects.import_tasks(
                project,
                request=[dict(task) for task in tasks],
                return_task_ids=True,
            ),
            f"project {project}",
        )
        return [int(number) for number in answer.task_ids or ()]

    def set_task_data(self, number: int, data: Mapping[str, Any]) -> None:
        """Replace the data of a task."""
        self._ask(lambda: self._sdk.tasks.update(str(number), data=dict(data)), f"task {number}")

    def delete_task(self, number: int) -> None:
        """Remove a task and its annotations."""
        self._ask(lambda: self._sdk.tasks.delete(str(number)), f"task {number}")

    def annotate(
        self,
        task: int,
        result: Sequence[Mapping[str, Any]],
        seconds: float | None = None,
        cancelled: bool = False,
    ) -> int:
        """Answer a task as the person whose login this is; returns the annotation's id."""
        answer = self._ask(
            lambda: self._sdk.annotations.create(
                task, result=[dict(item) for item in result], lead_time=seconds, was_cancelled=cancelled
            ),
            f"task {task}",
        )
        return int(answer.id)

    def show_tab(self, project: int, title: str, data: Mapping[str, Any]) -> int:
        """Make the project's tab of this title show what `data` says (filters, ordering); returns its id."""
        tabs = self._read(lambda: list(self._sdk.views.list(project=project)), f"project {project}")
        content: Any = {**data, "title": title}
        number = next((tab.id for tab in tabs if (tab.data or {}).get("title") == title), None)
        if number is None:
            return int(self._ask(lambda: self._sdk.views.create(data=content, project=project)).id)
        self._ask(lambda: self._sdk.views.update(str(number), data=content, project=project))
        return int(number)

    def _read(self, call: Callable[[], _Result], what: str = "") -> _Result:
        """A call that changes nothing: tried again when no answer comes."""
        for attempt in range(self._retries):
            try:
                return self._ask(call, what)
            except TimedOutError:
                raise
            except LabelStudioError as error:
                if not isinstance(error.__cause__, httpx.TransportError):
                    raise
                time.sleep(0.5 * 2**attempt)
        return self._ask(call, what)

    def _ask(self, call: Callable[[], _Result], what: str = "") -> _Result:
        from label_studio_sdk.core.api_error import ApiError

        url = self.login.url
        try:
            return call()
        except httpx.ConnectTimeout as error:
            raise LabelStudioError(f"{url} does not answer; is this the right address?") from error
        except httpx.TimeoutException as error:
            raise TimedOutError(f"{url} did not answer in time{f' ({what})' if what else ''}") from error
        except httpx.TransportError as error:
            raise LabelStudioError(
                f"no Label Studio at {url} ({error}); start one: make labelstudio, or set LABEL_STUDIO_URL"
            ) from error
        except ApiError as error:
            status, body = error.status_code, str(error.body)[:500]
            if status in (401, 403):
                raise LabelStudioError(
                    f"{url} refused the API key ({status}); set LABEL_STUDIO_API_KEY to a valid one "
                    "(Account & Settings > Access Token)"
                ) from error
            if status == 404:
                raise LabelStudioError(f"{url} has no {what or 'such page'}; see: kefu label list") from error
            raise LabelStudioError(
                f"{url} answered {status}{f' ({what})' if what else ''}: {body}"
            ) from error


def _filter(column: str, operator: str, kind: str, value: Any) -> dict[str, Any]:
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value}
