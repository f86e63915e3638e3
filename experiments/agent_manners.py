"""Ways in which agents answer, by wording and by time: what the effect on customers is asked about."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["MANNERS", "SLOW", "Manner", "Reply"]

SLOW = 120.0
"""Seconds: the desks' own standard for an answer is two minutes."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What an agent said between two messages of the customer, and how the customer took it."""

    chat: str
    agent: str
    text: str
    """All agent turns between, joined."""
    seconds: float
    """Wait for the first of them."""
    hit: bool
    """Whether the outcome that is asked about came."""


@dataclass(frozen=True, slots=True)
class Manner:
    """A way of answering that was named before any effect was looked at."""

    key: str
    zh: str
    shown_by: Callable[[Reply], bool]


def _says(pattern: str) -> Callable[[Reply], bool]:
    compiled = re.compile(pattern)
    return lambda reply: bool(compiled.search(reply.text))


MANNERS = (
    Manner("apologises", "道歉", _says("对不[起住]|抱歉|不好意思|赔不是|不应该|见谅")),
    Manner(
        "names_feeling",
        "说出感受",
        _says("理解|我懂|换(?:谁|我|成)|别急|别慌|别担心|难怪|憋屈|灰心|委屈|着急"),
    ),
    Manner(
        "takes_it_on",
        "承担责任",
        _says("是我们|我们(?:的错|不对|认|出|赔)|责任在我|我(?:来|管|给您|帮您|先|现在就)"),
    ),
    Manner(
        "names_a_time",
        "给出时间",
        _says(r"[\d一二三四五六七八九十两]点|今晚|明天|后天|分钟|小时|\d号|上午|下午"),
    ),
    Manner("vague_promise", "含糊承诺", _says("马上|尽快|会处理|催催|反馈|登记")),
    Manner("asks_to_wait", "让人等待", _says("耐心|等待|再等等|按顺序")),
    Manner("points_to_rules", "搬规定", _says("规定|规则|公示|政策|仅供参考|为准|系统显示|权利")),
    Manner(
        "passes_on",
        "推给别人",
        _says("您(?:自己|可以|再|问|去)?.{0,2}(?:联系|问|找|打打)|自行|不归|看不到|没办法|不外呼"),
    ),
    Manner("slow", "回复超过两分钟", lambda reply: reply.seconds > SLOW),
)
"""A shop's own: add a line. Wordings are simple on purpose, so that anybody can check what counted."""
