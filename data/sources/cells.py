"""What one cell of a stranger's table says: a word, or the turns before a message."""

from __future__ import annotations

import json
import re
from typing import Any

from data.example import ROLES

__all__ = ["context_of", "word"]

_SPOKEN = re.compile(
    r"\s*(customer|user|客户|顾客|用户|买家|agent|seller|客服|商家|卖家)\s*[::]\s*(.*)", re.I
)
_CUSTOMER = {"customer", "user", "客户", "顾客", "用户", "买家"}


def word(value: Any, where: str) -> str:
    """A cell as stripped text; empty for none. Whole numbers have no point, truth values are true or false.

    Raises:
        ValueError: a list or an object; names `where`.
    """
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (list, tuple, dict, bytes)):
        raise ValueError(f"{where}: expected a text or a number, got {type(value).__name__}")
    return str(value).strip()


def context_of(value: Any, where: str) -> list[dict[str, str]]:
    """The turns of a context cell, oldest first, as `{"role", "text"}`.

    A cell is a list (or a JSON list in a text) of turns or of texts, or a text with one line for each turn. A
    text or line that begins with a role ("agent: …", "客服:…") has that role; others are the customer's.

    Raises:
        ValueError: names `where` and what is wrong.
    """
    if value is None or (isinstance(value, float) and value != value):
        return []
    if isinstance(value, str):
        value = value.strip()
        if value.startswith("["):
            try:
                value = json.loads(value)
            except json.JSONDecodeError:
                value = value.splitlines()  # a placeholder such as [图片] begins so, too
        else:
            value = value.splitlines()
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{where}: expected turns as a list or a text, got {type(value).__name__}")
    turns = []
    for index, turn in enumerate(value):
        if isinstance(turn, str):
            turn = _spoken(turn)
        if (
            not isinstance(turn, dict)
            or turn.get("role") not in ROLES
            or not isinstance(turn.get("text"), str)
        ):
            raise ValueError(
                f"{where}[{index}]: expected a text, or an object with role (customer, agent) and text; "
                f"got {turn!r}"
            )
        if turn["text"].strip():
            turns.append({"role": turn["role"], "text": turn["text"].strip()})
    return turns


def _spoken(line: str) -> dict[str, str]:
    found = _SPOKEN.match(line)
    if not found:
        return {"role": "customer", "text": line}
    role = "customer" if found[1].lower() in _CUSTOMER else "agent"
    return {"role": role, "text": found[2]}
