"""How large the graph is, how long its answers take, and how often it understands a message.

`data/shop_graph/messages.jsonl` holds messages written after the tables' patterns, with the product, question
and answer that are meant.

python -m assist.graph.measure --json docs/graph.json
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from assist.graph.schema import GraphRequest
from assist.graph.shop import ShopGraph
from assist.graph.tables import DEMO_SHOP
from data.chats import read_chats
from data.files import read_jsonl, write_json

__all__ = ["MESSAGES", "main", "measure", "understood"]

MESSAGES = DEMO_SHOP / "messages.jsonl"


def measure(shop: ShopGraph) -> dict[str, Any]:
    """Sizes, seconds of loading, and milliseconds of processor time for each answer.

    Asked are each question on each product, nothing else known (the most cases to try), and the customers'
    messages of the demo shop's log as they stand.
    """
    began = time.process_time()
    ShopGraph()
    loading = time.process_time() - began
    catalogue = shop.catalogue
    products = [key for key, one in catalogue.entities.items() if one.type == "product"]
    bare = [
        GraphRequest.model_validate({"question": question.key, "product": product})
        for question in catalogue.questions.values() if question.about == "product"
        for product in products
    ]  # fmt: skip
    said = [GraphRequest(text=turn.text) for chat in read_chats() for _, turn in chat.messages]
    return {
        "version": shop.version, "triples": len(shop.store), "products": len(products),
        "rules": len(catalogue.rules),
        "exceptions": sum(bool(rule.exception_of) for rule in catalogue.rules.values()),
        "loading_s": round(loading, 2),
        "questions_on_products": _asked(shop, bare), "messages": _asked(shop, said),
        "written_messages": understood(shop),
    }  # fmt: skip


def understood(shop: ShopGraph, path: Path | str = MESSAGES) -> dict[str, Any]:
    """Of messages with known meaning: product linked, question seen, answer right, answer wrong.

    An answer is wrong where it is a yes or no that is not meant; `depends` and `unknown` ask a person.
    """
    counts, wrong = Counter[str](), []
    for number, row in read_jsonl(path):
        found = shop.ask(GraphRequest(text=row["text"], on="2026-11-23"))
        linked = {one.id for one in found.mentions}
        counts["messages"] += 1
        counts["product"] += "product" not in row or row["product"] in linked
        counts["question"] += found.question == row["question"]
        counts["answer"] += found.answer == row["answer"]
        if found.answer != row["answer"]:
            wrong.append({"line": number, "found": f"{found.question}: {found.answer}"})
            counts["wrong_yes_or_no"] += found.answer in ("yes", "no")
    return {**counts, "not_as_meant": wrong}


def _asked(shop: ShopGraph, requests: Sequence[GraphRequest]) -> dict[str, Any]:
    times, answers = [], Counter[str]()
    for request in requests:
        began = time.process_time()
        answers[shop.ask(request).answer] += 1
        times.append(1000 * (time.process_time() - began))
    cuts = statistics.quantiles(times, n=100)
    return {
        "asked": len(requests), "ms_p50": round(cuts[49], 2), "ms_p99": round(cuts[98], 2),
        "answers": dict(answers.most_common()),
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    found = measure(ShopGraph())
    for key, value in found.items():
        print(f"{key:24}{value}")
    if options.json:
        write_json(options.json, found)


if __name__ == "__main__":
    main()
