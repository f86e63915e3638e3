"""What a tool for language-model agents is, and the errors that a model can mend."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from serving.operations import Operations
from serving.tool_schema import flat_answer, flat_request

__all__ = ["Tool", "ToolError"]


class ToolError(ValueError):
    """A tool cannot do what was asked; the message is for the model that asked.

    Attributes:
        errors: `{"field", "reason"}` of each wrong argument.
    """

    def __init__(self, message: str, errors: list[dict[str, str]] | None = None) -> None:
        super().__init__(message)
        self.errors = errors or []


@dataclass(frozen=True, slots=True)
class Tool:
    """One capability.

    Attributes:
        description: when to use it and how to read the answer, for the model.
        run: from the checked request to the answer.
        writes: whether it stores something.
    """

    name: str
    title: str
    description: str
    request: type[BaseModel]
    answer: type[BaseModel]
    run: Callable[[Operations, Any], Awaitable[BaseModel]]
    writes: bool = False

    @property
    def input_schema(self) -> dict[str, Any]:
        """JSON schema of the arguments: flat, in keywords that every vendor takes."""
        return flat_request(self.request)

    @property
    def output_schema(self) -> dict[str, Any]:
        """JSON schema of the answer, flat."""
        return flat_answer(self.answer)
