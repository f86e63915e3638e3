"""Figures of `benchmarks.serving`: medians over rounds, ratios, the table and the picture."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

__all__ = ["BARE", "BARE_CALLS", "OURS", "picture", "ratios", "summarise", "table"]

OURS = "ours"
BARE = "bare_session"
BARE_CALLS = (1, 32)
"""The bare session has no clients: these are the messages of one call."""
TITLES = {
    "pipeline_bentoml": "transformers.pipeline, BentoML",
    "pipeline_fastapi": "transformers.pipeline, FastAPI",
    OURS: "Kefu Lab service",
    BARE: "bare ONNX session",
}
_MEDIANS = ("throughput", "p50_ms", "p99_ms", "memory_mb")

Summary = dict[str, dict[str, dict[str, Any]]]
"""By contender and number of clients (as text, because it becomes JSON)."""


def summarise(cells: Sequence[dict[str, Any]]) -> Summary:
    """Medians over the rounds, all rounds' answers and errors, and the slowest and fastest round.

    A median is None where a round had no answer.
    """
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for cell in cells:
        groups.setdefault((cell["contender"], cell["clients"]), []).append(cell)
    summary: Summary = {}
    for (name, clients), rounds in sorted(groups.items()):
        entry: dict[str, Any] = {}
        for key in _MEDIANS:
            values = [cell[key] for cell in rounds]
            entry[key] = None if None in values else round(statistics.median(values), 2)
        rates = [cell["throughput"] for cell in rounds]
        entry["throughput_range"] = [round(min(rates), 2), round(max(rates), 2)]
        entry["answers"] = sum(cell["answers"] for cell in rounds)
        entry["errors"] = dict(sum((Counter(cell["errors"]) for cell in rounds), Counter()))
        summary.setdefault(name, {})[str(clients)] = entry
    return summary


def ratios(summary: Summary) -> dict[str, float]:
    """Ours divided by each rival at the same number of clients; only where both were measured.

    Throughput: more is better. p50 and p99: less is better. The bare session's throughput is that of
    batches of 32.
    """
    found: dict[str, float] = {}

    def divide(name: str, key: str, ours: str, other: str, theirs: str) -> None:
        above = summary.get(OURS, {}).get(ours, {}).get(key)
        below = summary.get(other, {}).get(theirs, {}).get(key)
        if above is not None and below:
            found[name] = round(above / below, 3)

    for clients in sorted(summary.get(OURS, {}), key=int):
        count = f"{clients}_client" if clients == "1" else f"{clients}_clients"
        for rival in ("pipeline_bentoml", "pipeline_fastapi"):
            divide(f"throughput_{count}_vs_{rival}", "throughput", clients, rival, clients)
            divide(f"p99_{count}_vs_{rival}", "p99_ms", clients, rival, clients)
        divide(f"throughput_{count}_vs_bare_session", "throughput", clients, BARE, str(BARE_CALLS[-1]))
    for rival in ("pipeline_bentoml", "pipeline_fastapi", BARE):
        divide(f"p50_1_client_vs_{rival}", "p50_ms", "1", rival, "1")
    return found


def table(figures: dict[str, Any]) -> Table:
    """All contenders at all numbers of clients."""
    machine = figures["machine"]
    title = f"{machine['cores']} cores of {machine['cpu']}, {figures['messages']['source']}"
    found = Table(title=title, caption="medians over rounds; memory: resident, peak of the process tree")
    for name in ("contender", "clients", "messages/s", "p50 ms", "p99 ms", "errors", "memory MB"):
        found.add_column(name, justify="left" if name in ("contender", "errors") else "right")
    for name in (entry for entry in TITLES if entry in figures["summary"]):
        for clients, entry in sorted(figures["summary"][name].items(), key=lambda item: int(item[0])):
            asked = clients
            if name == BARE:
                asked = "one by one" if clients == "1" else f"batches of {clients}"
            errors = ", ".join(f"{kind}: {count}" for kind, count in entry["errors"].items()) or "none"
            found.add_row(
                TITLES[name], asked, *(_number(entry[key]) for key in ("throughput", "p50_ms", "p99_ms")),
                errors if errors == "none" else f"[red]{errors}[/]", _number(entry["memory_mb"]),
                end_section=clients == max(figures["summary"][name], key=int),
            )  # fmt: skip
    return found


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def picture(figures: dict[str, Any], path: Path) -> None:
    """Draw throughput and p99 against clients, both on logarithmic axes."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    looks = {
        "pipeline_bentoml": ("#8d6e63", "s-"),
        "pipeline_fastapi": ("#ef6c00", "^-"),
        OURS: ("#1565c0", "o-"),
    }
    summary = figures["summary"]
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    panes = (("throughput", "messages per second"), ("p99_ms", "99th percentile of latency, ms"))
    ticks = sorted({int(clients) for name in looks for clients in summary.get(name, {})})
    for axes, (key, unit) in zip(panels, panes, strict=True):
        for name, (colour, style) in looks.items():
            points = sorted((int(clients), entry[key]) for clients, entry in summary.get(name, {}).items()
                            if entry[key])  # fmt: skip
            if not points:
                continue
            axes.plot(*zip(*points, strict=True), style, color=colour, label=TITLES[name], linewidth=2)
            for x, y in points:
                # The rivals' lines lie close together: the greater number stands above its line.
                peers = [summary[peer][str(x)][key] for peer in looks if str(x) in summary.get(peer, {})]
                up = 7 if y == max(peers) or (key == "throughput" and y > min(peers)) else -14
                axes.annotate(_number(y), (x, y), xytext=(0, up), ha="center", textcoords="offset points",
                              fontsize=8, color=colour)  # fmt: skip
        floor = summary.get(BARE, {}).get(str(BARE_CALLS[-1] if key == "throughput" else 1), {}).get(key)
        if floor:
            how = "batches of 32" if key == "throughput" else "one by one"
            axes.axhline(
                floor, color="grey", linestyle="--", label=f"{TITLES[BARE]}, {how}: {_number(floor)}"
            )
        axes.set(xscale="log", yscale="log", xlabel="clients", ylabel=unit)
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.tick_params(axis="x", which="minor", bottom=False)
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.margins(x=0.12, y=0.16)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    machine = figures["machine"]
    figure.suptitle(f"Same weights, same messages, {machine['cores']} cores of {machine['cpu']}")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
