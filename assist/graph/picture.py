"""The graph around a product as a picture.

python -m assist.graph.picture --product nuts_daily --question return_no_reason --out docs/graph.png
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Sequence
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

from assist.graph.catalogue import Rule
from assist.graph.shop import ShopGraph
from data.pictures import Picture, chinese_font, draw

__all__ = ["main", "picture"]

_KIND, _PRODUCT, _YES, _NO = "#e3f2fd", "#bbdefb", "#e8f5e9", "#ffebee"
_WRAP = 15
_ROW = 1.0


def picture(shop: ShopGraph, product: str, question: str, on: date) -> Picture:
    """A product, the kinds above it, and the rules of a question with their exceptions.

    Kinds stand at the left; then rules, their exceptions, and the exceptions of these, column by column. A
    red arrow leads from an exception to the rule that it overrides.

    Raises:
        ValueError: no such product or question.
    """
    catalogue = shop.catalogue
    if product not in catalogue.entities or catalogue.entities[product].type != "product":
        raise ValueError(f"product: {product!r} is no product of this shop")
    if question not in catalogue.questions:
        raise ValueError(f"question: {question!r} is not in this shop's questions.csv")
    found = shop.store.rules_for(question, product, on)
    ways = [shop.store.way_up(product, one.scope) for one in found]
    way: list[str] = max(ways, key=len, default=[product])
    rules = [catalogue.rules[one.rule] for one in sorted(found, key=lambda one: (-one.depth, one.rule))]
    columns = _columns(rules)
    tallest = max(len(way), *(len(column) for column in columns)) if columns else len(way)
    zh = chinese_font() is not None

    def name(key: str) -> str:
        return catalogue.entities[key].zh if zh else key

    def paint(figure: Any) -> None:
        axes = figure.subplots()
        axes.set_xlim(0, 2.2 + 3.0 * max(len(columns), 1))
        axes.set_ylim(-0.35, tallest * _ROW)
        axes.axis("off")
        title = catalogue.questions[question].zh if zh else question
        axes.set_title(f"{title}：{name(product)}" if zh else f"{title}: {product}")
        boxes = {}
        for number, key in enumerate(way):
            height = (number + 0.5) * tallest / len(way)
            boxes[key] = _box(axes, (0.9, height), name(key), _PRODUCT if key == product else _KIND)
        for lower, upper in pairwise(way):
            _arrow(axes, boxes[lower], boxes[upper], "#1565c0")
        for number, column in enumerate(columns):
            for row, rule in enumerate(column):
                place = (3.4 + 3.0 * number, (row + 0.5) * tallest / len(column))
                facts = catalogue.facts
                conditions = "，".join(facts[c.fact].condition_zh(c) for c in rule.conditions) or "总是"
                words = (
                    f"【{name(rule.scope)}】{rule.text}\n（{conditions}）" if zh
                    else f"[{rule.scope}] {rule.id}\n({', '.join(map(str, rule.conditions))})"
                )  # fmt: skip
                boxes[rule.id] = _box(axes, place, words, _YES if rule.outcome else _NO)
        for rule in rules:
            for other in rule.exception_of:
                if other in boxes:
                    _arrow(axes, boxes[rule.id], boxes[other], "#c62828")
        note = "绿：结论是可以　红：结论是不可以　红箭头：例外于　蓝箭头：属于"
        other_note = "green: yes, red: no, red arrow: exception of, blue arrow: is a"
        axes.text(0.1, -0.3, note if zh else other_note, fontsize=8, color="#455a64")

    return draw(paint, 3.0 + 3.0 * max(len(columns), 1), 1.05 * tallest + 0.9)


def _columns(rules: Sequence[Rule]) -> list[list[Rule]]:
    """Rules by how many exceptions deep they are: 0 overrides nothing."""
    by_id = {rule.id: rule for rule in rules}

    def depth(rule: Rule) -> int:
        return max((1 + depth(by_id[other]) for other in rule.exception_of if other in by_id), default=0)

    found: dict[int, list[Rule]] = {}
    for rule in rules:
        found.setdefault(depth(rule), []).append(rule)
    return [found[key] for key in sorted(found)]


def _box(axes: Any, place: tuple[float, float], text: str, colour: str) -> Any:
    wrapped = "\n".join(line for part in text.split("\n") for line in textwrap.wrap(part, _WRAP))
    return axes.text(
        *place, wrapped, ha="center", va="center", fontsize=8, zorder=3,
        bbox={"boxstyle": "round,pad=0.35", "facecolor": colour, "edgecolor": "#90a4ae", "linewidth": 0.8},
    )  # fmt: skip


def _arrow(axes: Any, one: Any, other: Any, colour: str) -> None:
    axes.annotate(
        "", xy=other.get_position(), xytext=one.get_position(), zorder=2,
        arrowprops={"arrowstyle": "-|>", "color": colour, "lw": 1.0, "shrinkA": 1, "shrinkB": 2,
                    "patchA": one.get_bbox_patch(), "patchB": other.get_bbox_patch()},
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--product", default="nuts_daily")
    parser.add_argument("--question", default="return_no_reason")
    parser.add_argument("--on", default="2026-11-23", help="the day for which policies must be valid")
    parser.add_argument("--out", type=Path, default=Path("docs/graph.png"))
    options = parser.parse_args(arguments)
    found = picture(ShopGraph(), options.product, options.question, date.fromisoformat(options.on))
    print(found.save(options.out))


if __name__ == "__main__":
    main()
