"""A language model behind any OpenAI-compatible address, asked over HTTP with a deadline.

What comes back is a stranger's text: its size, form and citations are checked here, its content in
`assist.knowledge.support`. Errors never hold the key, the question or the model's words.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from assist.knowledge.prompt import SYSTEM, user_message
from data.pii import mask

__all__ = ["Endpoint", "EndpointError", "Written"]

_ANSWER_LIMIT = 256 * 1024
_SENTENCES = 8
_SENTENCE_LENGTH = 300
_CITED = re.compile(r"[\[［【](\d{1,2}(?:\s*[,，、]\s*\d{1,2})*)[\]］】]")


class EndpointError(RuntimeError):
    """The endpoint gave no usable draft; the message says why, in Chinese, for the agent."""


@dataclass(frozen=True, slots=True)
class Written:
    """One sentence as the model wrote it, and the passages that it cites."""

    text: str
    passages: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a language model answers.

    Attributes:
        url: of the API ("http://127.0.0.1:8080/v1"), or of its chat completions.
        model: its name there.
        key: sent as a bearer token where it is not empty; never shown.
        seconds: within which the whole answer must be there.
    """

    url: str
    model: str
    key: str = field(default="", repr=False)
    seconds: float = 8.0

    def __post_init__(self) -> None:
        if not re.match(r"https?://[^\s/]+", self.url):
            raise ValueError("KEFU_LLM_URL: expected an address as http://127.0.0.1:8080/v1")
        if not self.model:
            raise ValueError("KEFU_LLM_MODEL: is empty; name the model that the endpoint serves")
        if not 0 < self.seconds <= 120:
            raise ValueError("KEFU_LLM_SECONDS: expected more than 0 and at most 120")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Endpoint | None:
        """The endpoint of KEFU_LLM_URL, _MODEL, _KEY and _SECONDS; None without a URL.

        Raises:
            ValueError: one of them is wrong; named.
        """
        found = os.environ if environment is None else environment
        if not found.get("KEFU_LLM_URL"):
            return None
        try:
            seconds = float(found.get("KEFU_LLM_SECONDS") or 8.0)
        except ValueError:
            raise ValueError("KEFU_LLM_SECONDS: expected a number of seconds") from None
        return cls(
            found["KEFU_LLM_URL"], found.get("KEFU_LLM_MODEL", ""), found.get("KEFU_LLM_KEY", ""), seconds
        )

    def draft(self, question: str, passages: Sequence[tuple[str, str]]) -> list[Written]:
        """Ask for a cited draft. Question and passages are masked before they leave.

        Args:
            question: as the customer wrote it.
            passages: (section, text), numbered from 1 in this order.

        Returns:
            Sentences; none where the model says that the passages do not answer.

        Raises:
            EndpointError: no answer in time, an error, or nothing of the asked form.
        """
        body = {
            "model": self.model,
            "temperature": 0,
            "max_tokens": 600,
            "messages": [
                {"role": "system", "content": SYSTEM},
                {
                    "role": "user",
                    "content": user_message(
                        mask(question), [(mask(section), mask(text)) for section, text in passages]
                    ),
                },
            ],
        }
        return _sentences(_content(self._post(body)))

    def _post(self, body: Mapping[str, Any]) -> bytes:
        address = self.url.rstrip("/")
        if not address.endswith("/chat/completions"):
            address += "/chat/completions"
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        deadline = time.monotonic() + self.seconds
        received = bytearray()
        try:
            with (
                httpx.Client(timeout=self.seconds, headers=headers) as client,
                client.stream("POST", address, json=body) as response,
            ):
                if response.status_code != 200:
                    raise EndpointError(f"模型服务返回错误（{response.status_code}）")
                for piece in response.iter_bytes():
                    received += piece
                    if len(received) > _ANSWER_LIMIT:
                        raise EndpointError("模型服务的回答过长")
                    # The client's own limit is per read; a trickle would pass it for ever.
                    if time.monotonic() > deadline:
                        raise EndpointError(f"模型服务超过 {self.seconds:g} 秒没有答完")
        except httpx.TimeoutException as error:
            raise EndpointError(f"模型服务超过 {self.seconds:g} 秒没有答完") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise EndpointError(f"模型服务连接不上（{type(error).__name__}）") from error
        return bytes(received)


def _content(received: bytes) -> str:
    try:
        content = json.loads(received)["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
        raise EndpointError("模型服务的回答不是约定的格式") from error
    if not isinstance(content, str):
        raise EndpointError("模型服务的回答不是约定的格式")
    # Reasoning models think aloud first.
    return re.sub(r"(?s)\A\s*<think>.*?</think>", "", content).strip()


def _sentences(content: str) -> list[Written]:
    start, end = content.find("{"), content.rfind("}")
    if start >= 0 and end > start:
        try:
            told = json.loads(content[start : end + 1])
        except (ValueError, RecursionError):
            told = None
        if isinstance(told, dict) and isinstance(told.get("sentences"), list):
            return _checked(told["sentences"])
    # Small models forget the form, but mark what they cite: "……。[1]"
    marked = [
        {"text": piece, "passages": [int(n) for n in re.findall(r"\d+", " ".join(_CITED.findall(piece)))]}
        for piece in re.findall(r"[^。！？\n]+[。！？]?\s*(?:[\[［【][\d，,、 ]+[\]］】])*", content)
        if piece.strip()
    ]
    if not any(one["passages"] for one in marked):
        raise EndpointError("模型服务的回答没有引用资料")
    return _checked(marked)


def _checked(rows: Sequence[Any]) -> list[Written]:
    written = []
    for row in rows[:_SENTENCES]:
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            raise EndpointError("模型服务的回答不是约定的格式")
        numbers = row.get("passages")
        numbers = numbers if isinstance(numbers, list) else [numbers]
        text = " ".join(_CITED.sub("", row["text"]).split())[:_SENTENCE_LENGTH]
        if text:
            written.append(Written(text, tuple(n for n in numbers if type(n) is int)))
    return written
