"""How the demo shows what to say next."""

from __future__ import annotations

import io

from rich.cells import cell_len
from rich.console import Console

from serving.demo_help import show_help

ASKED = {"text": "能退吗", "context": [{"role": "agent", "text": "您好"}]}


def answer(reply, state="done"):
    return {
        "scripts": {"replies": [{"position": 1, "text": reply, "check": ["[核对]订单"]}]},
        "graph": None,
        "knowledge": {"passages": []},
        "inspection": {"score": None, "findings": []},
        "routing": None,
        "parts": [{"part": "knowledge", "state": state, "reason": "there is none", "took_ms": 0.0}],
        "encoder_ms": 4.0,
        "took_ms": 9.0,
    }


def shown(found, width=48):
    written = io.StringIO()
    show_help(Console(file=written, width=width), ASKED, found)
    return written.getvalue()


def test_long_chinese_lines_keep_their_margin():
    reply = "保温杯是按您的要求定做的，页面写明不支持七天无理由。" * 3
    page = shown(answer(reply))
    lines = page.splitlines()
    start = lines.index("推荐话术") + 1
    block = lines[start : lines.index("", start)]
    assert block[0].startswith("  1. 保温杯")
    assert all(line.startswith("     ") for line in block[1:])
    assert max(map(cell_len, block)) <= 48
    assert "".join(line.strip() for line in block).startswith(f"1. {reply}")
    assert "[核对]订单" in page


def test_what_is_missing_is_said():
    assert "knowledge: off, there is none" in shown(answer("好的", "off"))
    assert "knowledge: off" not in shown(answer("好的"))
