"""How large the graph is and how long its answers take.

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
from data.chats import read_chats
from data.files import write_json

__all__ = ["main", "measure"]


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
    }  # fmt: skip


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
