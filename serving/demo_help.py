"""One answer of `/assist` for a terminal: what to say next, and what it rests on."""

from __future__ import annotations

from typing import Any

from rich.cells import chop_cells
from rich.console import Console

__all__ = ["show_help"]

_REPLIES = 2


def show_help(console: Console, asked: dict[str, Any], answer: dict[str, Any]) -> None:
    """Print what the service says to help the agent with one message.

    Args:
        asked: the request to `/assist`.
        answer: its answer.
    """
    console.print("\n[bold]What to say next[/] (one call of /assist)\n", highlight=False)
    for turn in (*asked["context"], {"role": "customer", "text": asked["text"]}):
        who = "客户" if turn["role"] == "customer" else "客服"
        console.print(f"  {who}：{turn['text']}", markup=False, highlight=False)
    for title, lines in (
        ("推荐话术", _replies(answer["scripts"])),
        ("规则", _rules(answer["graph"])),
        ("知识", _passages(answer["knowledge"])),
        ("质检", _inspection(answer["inspection"])),
        ("分流", _routing(answer["routing"])),
    ):
        console.print(f"\n[bold]{title}[/]", highlight=False)
        for line in lines:
            _print_folded(console, line)
    for part in answer["parts"]:
        if part["state"] != "done":
            console.print(f"  {part['part']}: {part['state']}, {part['reason']}", markup=False)
    times = ", ".join(f"{part['part']} {part['took_ms']:.0f}" for part in answer["parts"] if part["took_ms"])
    console.print(
        f"\nOne encoder pass {answer['encoder_ms']:.0f} ms; {times} ms; "
        f"all {answer['took_ms']:.0f} ms, over HTTP.",
        highlight=False,
    )


def _print_folded(console: Console, line: str) -> None:
    """A line between two margins; Chinese has no blanks to break it at."""
    first, *others = chop_cells(line, max(20, console.width - 5)) or [""]
    for place, piece in enumerate((first, *others)):
        console.print(f"{'     ' if place else '  '}{piece}", markup=False, highlight=False)


def _replies(found: dict[str, Any] | None) -> list[str]:
    lines = []
    for reply in (found or {"replies": []})["replies"][:_REPLIES]:
        lines.append(f"{reply['position']}. {reply['text']}")
        if reply["check"]:
            lines.append(f"   发送前：{'；'.join(reply['check'])}")
    return lines


def _rules(found: dict[str, Any] | None) -> list[str]:
    if not found or not found["path"]:
        return []
    says = [step["object"] for step in found["path"] if step["predicate"] in ("条件", "结论", "出自")]
    return [found["text"], f"依据：{' → '.join(dict.fromkeys(says))}"]


def _passages(found: dict[str, Any] | None) -> list[str]:
    passages = (found or {"passages": []})["passages"][:1]
    return [f"《{one['section']}》第{one['version']}版：{one['text'][:80]}…" for one in passages]


def _inspection(found: dict[str, Any] | None) -> list[str]:
    if not found or found["score"] is None:
        return []
    faults = [f"{one['zh']}：{one['reason']}" for one in found["findings"]]
    return [f"{found['score']:.0f} 分", *faults]


def _routing(found: dict[str, Any] | None) -> list[str]:
    return ["；".join(found["decision"]["reasons"])] if found else []
