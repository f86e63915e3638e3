"""Starts the service, asks it about a few chats over HTTP, and shows the answers as a table."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
from rich.box import ASCII
from rich.console import Console
from rich.table import Table
from rich.terminal_theme import MONOKAI

from serving.demo_help import show_help

__all__ = ["CHATS", "running_service", "show"]

PROJECT = Path(__file__).resolve().parent.parent
LOG = Path(".kefu/service.log")
_COLOURS = {0: "green", 1: "yellow", 2: "dark_orange", 3: "bold red"}

# A font whose Chinese characters are exactly two columns wide keeps the table straight.
_PAGE = """<!doctype html><meta charset="utf-8"><title>make demo</title><style>{stylesheet}
body {{ background: {background}; color: {foreground}; margin: 24px; }}
pre {{ font: 15px/1.25 "Noto Sans Mono CJK SC", "Sarasa Mono SC", monospace; }}</style>
<pre><code style="font-family: inherit">{code}</code></pre>"""

# Hard ones on purpose: fragments, context that decides, sarcasm, two wishes in one message.
CHATS: list[dict[str, Any]] = [
    {"text": "在吗亲"},
    {"text": "170 130斤 平时穿L 这个版型偏大不 拿哪个好"},
    {"text": "付完款才看见楼下那家便宜二十 你们不是说买贵了退么"},
    {
        "text": "38的",
        "context": [
            {"role": "customer", "text": "昨天到的那双鞋挤脚"},
            {"role": "agent", "text": "亲，可以给您换一双大一码的，您要换几码呢？"},
        ],
    },
    {
        "text": "多久",
        "context": [
            {"role": "customer", "text": "东西我上周就寄回去了"},
            {"role": "agent", "text": "亲，仓库已经签收，我们会尽快给您退款的哦"},
        ],
    },
    {
        "text": "哦哦好的",
        "context": [
            {"role": "customer", "text": "什么时候能发"},
            {"role": "agent", "text": "今天16点前付款的今天都会发出呢"},
        ],
    },
    {
        "text": "3481902277560018834",
        "context": [
            {"role": "customer", "text": "上个月那张票抬头开成我个人了 单位不给报"},
            {"role": "agent", "text": "亲亲，请问是哪个订单呢，麻烦提供一下订单号哦~"},
        ],
    },
    {"text": "单号三天了还停在同一个地方一动不动 是不是给我弄丢了呀 后天就要用了好担心"},
    {"text": "包装挺精美，里面的杯子碎成了拼图，谢谢你们让我锻炼动手能力"},
    {"text": "本来冲着你们老店来的 唉 穿一次就起球 以后不来了"},
    {"text": "骗子！！！退个货推三阻四，再不给我退我直接打12315，法院见！！"},
    {"text": "刚刚有个自称你们客服的打电话说我快递丢了要加QQ理赔 是真的吗"},
    {"text": "报销要用的那个单子 麻烦抬头开公司的 什么时候能给我"},
]


HELPED: dict[str, Any] = {
    "text": "刻了字的保温杯 收到才两天 不想要了能退吗",
    "context": [
        {"role": "customer", "text": "在吗"},
        {"role": "agent", "text": "您好，在的，您说一下是什么问题，我来看。"},
    ],
    "deadline_ms": 5000,
}
"""The conversation that is shown with everything that helps the agent."""


def show(port: int = 0, page: Path | None = None) -> None:
    """Start the service on `port` (0: a free one), print its answers to `CHATS`, stop it.

    Args:
        page: an HTML file to write the table to as well.

    Raises:
        RuntimeError: the service did not become ready; says where its log is.
    """
    console = Console(width=None if sys.stdout.isatty() and not page else 132, record=bool(page))
    with running_service(port) as address:
        started = time.perf_counter()
        response = httpx.post(f"{address}/analyze_batch", json={"messages": CHATS}, timeout=60)
        response.raise_for_status()
        took = time.perf_counter() - started
        help_answer = _ask(address)
    answers = response.json()["results"]
    console.print(_table(answers))
    model = answers[0]["model"]
    console.print(
        f"{len(CHATS)} messages in {took * 1000:.0f} ms by {model['category']} and {model['emotion']} "
        f"(snapshot {model['snapshot']}), over HTTP."
    )
    show_help(console, HELPED, help_answer)
    if page:
        console.save_html(str(page), theme=MONOKAI, code_format=_PAGE, clear=False)
    console.print(
        "\nWhere to look next\n"
        "  make serve     the service on http://127.0.0.1:3000, its API page at /docs\n"
        "  make mlflow    runs and pictures side by side on http://127.0.0.1:5000\n"
        "  make lab       notebooks on http://127.0.0.1:8888\n"
        "  kefu --help    every command; data/interim/card/README.md shows the data"
    )


def _ask(address: str) -> dict[str, Any]:
    response = httpx.post(f"{address}/assist", json=HELPED, timeout=60)
    response.raise_for_status()
    found: dict[str, Any] = response.json()
    return found


def _table(answers: list[dict[str, Any]]) -> Table:
    # ASCII lines: the box characters of Chinese fonts are two columns wide.
    table = Table(title="Kefu Lab 客服实验室", show_lines=True, box=ASCII)
    table.add_column("message (... earlier turns are read too)", ratio=5, overflow="fold")
    for name, ratio in (("wants", 3), ("second guess", 3), ("feels", 2), ("alert", 4)):
        table.add_column(name, ratio=ratio, overflow="fold")
    for chat, answer in zip(CHATS, answers, strict=True):
        category, emotion, alert = answer["category"], answer["emotion"], answer["alert"]
        person = " -> person" if category["abstain"] else ""
        second = category["top"][1]
        reasons = "；".join(alert["reasons"])
        colour = _COLOURS.get(alert["level"], "white")
        text = chat["text"]
        if chat.get("context"):
            text = f"... {chat['context'][-1]['text']}\n> {text}"
        table.add_row(
            text,
            f"{category['zh']} {category['score']:.0%}{person}",
            f"{second['label']} {second['score']:.0%}",
            f"{emotion['zh']} {emotion['score']:.0%}",
            f"[{colour}]{alert['level']} {alert['zh']}[/] {reasons}",
        )
    return table


@contextlib.contextmanager
def running_service(
    port: int = 0, command: list[str] | None = None, variables: Mapping[str, str] | None = None
) -> Iterator[str]:
    """The service as a child process, ready and warm; gives its address and stops it at the end.

    Args:
        port: 0 picks a free one.
        command: `bentoml serve …` without host and port; the working tree's service when None.
        variables: environment variables beside this process's own.

    Raises:
        RuntimeError: it did not become ready within two minutes, or died.
    """
    port = port or _free_port()
    address = f"http://127.0.0.1:{port}"
    command = command or [sys.executable, "-m", "bentoml", "serve", "serving.service:Kefu"]
    LOG.parent.mkdir(parents=True, exist_ok=True)
    with LOG.open("ab") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            stdout=log,
            stderr=log,
            cwd=PROJECT,
            env={**os.environ, **(variables or {})},
            start_new_session=True,
        )
    try:
        _wait_ready(address, process)
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_ready(address: str, process: subprocess.Popen[bytes], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the service stopped (exit {process.returncode}); see {LOG.resolve()}")
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{address}/readyz", timeout=2).status_code == 200:
                return
        time.sleep(0.25)
    raise RuntimeError(f"the service was not ready after {seconds:.0f} s; see {LOG.resolve()}")
