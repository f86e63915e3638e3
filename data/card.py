"""The data card: what the examples are, in counts, a table and a picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from data.example import Example
from data.files import atomic_write, write_json
from data.taxonomy import Taxonomy

__all__ = ["data_card", "write_card"]


def data_card(
    examples: Sequence[Example], taxonomy: Taxonomy, implicit: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Counts a reader of the data wants to see.

    Args:
        implicit: by category, the share of messages that do not name it outright.
    """
    single = [row for row in examples if row.conversation is None]
    lengths = np.array([len(row.text) for row in examples])
    quantiles = np.percentile(lengths, [0, 5, 25, 50, 75, 95, 100]).astype(int).tolist()
    table: dict[str, dict[str, int]] = {key: dict.fromkeys(taxonomy.emotion, 0) for key in taxonomy.category}
    for row in examples:
        table[row.category][row.emotion] += 1
    return {
        "rows": len(examples),
        "single_messages": len(single),
        "conversations": len({row.conversation for row in examples if row.conversation}),
        "rows_with_context": sum(bool(row.context) for row in examples),
        "hard_rows": sum(bool(row.neighbour) for row in examples),
        "authors": dict(Counter(row.author for row in examples)),
        "emotions": dict(Counter(row.emotion for row in examples)),
        "length_quantiles_0_5_25_50_75_95_100": quantiles,
        "category_by_emotion": table,
        "implicit_share": {key: round(share, 3) for key, share in (implicit or {}).items()},
    }


def write_card(folder: Path, card: dict[str, Any], taxonomy: Taxonomy, lengths: Sequence[int]) -> None:
    """Write the card as JSON, Markdown and a picture."""
    write_json(folder / "card.json", card)
    emotions = list(taxonomy.emotion)
    lines = [
        "# Data card",
        "",
        f"{card['rows']} labelled customer messages: {card['single_messages']} single ones and "
        f"{card['rows'] - card['single_messages']} turns of {card['conversations']} conversations, "
        f"by {len(card['authors'])} authors. {card['hard_rows']} are marked as hard.",
        "",
        "| category | " + " | ".join(emotions) + " | all | not named outright |",
        "|---|" + "---:|" * (len(emotions) + 2),
    ]
    for key, counts in card["category_by_emotion"].items():
        cells = [str(counts[emotion]) for emotion in emotions]
        name = f"{key} {taxonomy.category[key].zh}"
        share = card["implicit_share"].get(key)
        implicit = "–" if share is None else f"{share:.2f}"
        lines.append(f"| {name} | {' | '.join(cells)} | {sum(counts.values())} | {implicit} |")
    with atomic_write(folder / "README.md") as handle:
        handle.write("\n".join(lines) + "\n")
    _picture(folder / "card.png", card, emotions, lengths)


def _picture(path: Path, card: dict[str, Any], emotions: list[str], lengths: Sequence[int]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    categories = list(card["category_by_emotion"])
    counts = np.array([[card["category_by_emotion"][key][name] for name in emotions] for key in categories])
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 12), layout="constrained", width_ratios=[2, 1])
    bottom = np.zeros(len(categories))
    colours = ["#4caf50", "#9e9e9e", "#ffb300", "#ef6c00", "#5c6bc0", "#c62828"]
    for index, name in enumerate(emotions):
        colour = colours[index % len(colours)]
        left.barh(categories, counts[:, index], left=bottom, label=name, color=colour)
        bottom += counts[:, index]
    left.invert_yaxis()
    left.tick_params(axis="y", labelsize=7)
    left.set(title="messages by category and emotion", ylim=(len(categories), -1))
    left.legend(fontsize=8, loc="upper right")
    left.set_xlim(0, counts.sum(axis=1).max() * 1.25)
    right.hist(np.minimum(lengths, 150), bins=30, color="#5c6bc0")
    right.set(title="length of messages", xlabel="characters (150 and more in the last bar)")
    figure.savefig(path, dpi=110)
    plt.close(figure)
