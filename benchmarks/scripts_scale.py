"""How large may a script library be? Build time, memory and retrieval time at 10⁴, 10⁵ and 10⁶ scripts.

    python -m benchmarks.scripts_scale --output benchmarks/scripts_scale.json

The scripts are made up: sentences of the library's solutions of one category put together anew, with a
number, and as vectors the mean of two of their real vectors with noise. So their n-grams are as frequent and
their vectors as crowded as in a library of one shop; what they say is nonsense. Messages are the corpus's,
read by the champion beforehand: the time is our own, without the encoder's pass. One thread searches, as one
request does.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from assist.reading import Reading
from assist.scripts.feedback import FeedbackStore
from assist.scripts.index import ScriptIndex
from assist.scripts.library import Library, Script, load_library
from assist.scripts.ranking import RankingSettings, searched_categories
from assist.scripts.recommend import Recommender
from assist.scripts.rerank import Reranker
from assist.scripts.schema import RecommendRequest
from benchmarks.machine import describe_machine
from data.files import write_json
from data.sources import read_source
from experiments.reply_vectors import Vectors, champion_embed, champion_name, kept_vectors
from serving.exported import ExportedModel

SIZES = (10_000, 100_000, 1_000_000)
_TOP = 8


def make_scripts(library: Library, vectors: Vectors, count: int, seed: int) -> tuple[list[Script], Vectors]:
    """`count` scripts of recombined sentences, in turn of every category, with vectors near real ones."""
    random = np.random.default_rng(seed)
    place = {script.id: number for number, script in enumerate(library.solutions)}
    categories = list(library.by_category)
    sentences = {
        key: [part for script in scripts for part in script.text.rstrip("。").split("。") if part]
        for key, scripts in library.by_category.items()
    }
    members = {key: np.array([place[one.id] for one in library.by_category[key]]) for key in categories}
    scripts: list[Script] = []
    parents = np.zeros((count, 2), np.int64)
    for number in range(count):
        key = categories[number % len(categories)]
        words, own = sentences[key], members[key]
        chosen = random.integers(0, len(words), 3)
        text = "。".join(words[index] for index in chosen[: 2 + number % 2])
        parents[number] = own[random.integers(0, len(own), 2)]
        model = library.solutions[parents[number, 0]]
        scripts.append(
            Script(f"made-{number}", "solution", f"{text}，编号{number}。", model.tone, key, model.when)
        )
    made = np.empty((count, vectors.shape[1]), np.float32)
    for start in range(0, count, 50_000):
        pair = parents[start : start + 50_000]
        part = vectors[pair].mean(1) + random.normal(0, 0.02, (len(pair), vectors.shape[1])).astype(
            np.float32
        )
        made[start : start + len(pair)] = part / np.linalg.norm(part, axis=1, keepdims=True)
    return scripts, made


def read_messages(exported: Path, artefact: str, count: int) -> list[Reading]:
    """Messages of the corpus as the champion reads them."""
    rows = read_source("data/corpus")
    chosen = np.random.default_rng(5).choice(len(rows), count, replace=False)
    model = ExportedModel(exported, artefact=artefact)
    found = model.opinions([(rows[index].text, rows[index].context) for index in chosen])
    vectors = found.embedding / np.linalg.norm(found.embedding, axis=1, keepdims=True)
    readings = []
    for row, index in enumerate(chosen.tolist()):
        chance = found.probabilities["category"][row]
        best = np.argsort(-chance)[:_TOP].tolist()
        names = found.labels["category"]
        readings.append(
            Reading(
                rows[index].text,
                rows[index].context,
                names[best[0]],
                float(chance[best[0]]),
                tuple((names[one], float(chance[one])) for one in best),
                abstain=bool(chance[best[0]] < 0.5),
                embedding=vectors[row].astype(np.float32),
            )
        )
    return readings


def measure(
    library: Library,
    vectors: Vectors,
    readings: Sequence[Reading],
    size: int,
    reranker: Reranker | None,
    store: Path,
) -> dict[str, Any]:
    """Build an index of `size` made-up scripts, and time searches and whole recommendations."""
    scripts, made = make_scripts(library, vectors, size, seed=11)
    gc.collect()
    process = psutil.Process()
    before, began = process.memory_info().rss, time.perf_counter()
    index = ScriptIndex(scripts, vectors=made, check=False)
    built = time.perf_counter() - began
    recall = _recall(index, made, scripts, readings[:100])
    del made
    gc.collect()
    grown = process.memory_info().rss - before
    settings = RankingSettings()
    wide = Library((*scripts, *library.openings, *library.closings, *library.soothing))
    plain = Recommender(wide, _no_embed, reranker, index=index)
    logged = Recommender(wide, _no_embed, reranker, FeedbackStore(store / f"{size}.sqlite"), index=index)

    def request(one: Reading) -> RecommendRequest:
        return RecommendRequest(text=one.text)

    def search(one: Reading) -> None:
        index.search(one.text, one.embedding, list(searched_categories(one, settings, index.ranges)), 40)

    ways = {
        "search in the likely categories": search,
        "search in all categories": lambda one: index.search(one.text, one.embedding, [], 40),
        "recommend": lambda one: plain.recommend(request(one), one),
        "recommend, logged": lambda one: logged.recommend(request(one), one),
    }
    # A busy machine makes others wait: the CPU times say what is ours.
    return {
        "scripts": size,
        "build_s": round(built, 2),
        "build_parts_s": index.times,
        "index_mb": round(index.bytes / 2**20, 1),
        "resident_mb": round(grown / 2**20, 1),
        "recall_at_10": recall,
        "ms": {name: _times(way, readings) for name, way in ways.items()},
    }


def _no_embed(texts: Sequence[str]) -> Vectors:
    raise AssertionError("messages come with their vectors")


def _recall(
    index: ScriptIndex, made: Vectors, scripts: Sequence[Script], readings: Sequence[Reading]
) -> float:
    """Share of the ten nearest scripts of a message's category, by all its vectors, that the index finds."""
    rows: dict[str, list[int]] = {}
    for number, script in enumerate(scripts):
        rows.setdefault(script.category or "", []).append(number)
    shares = []
    for one in readings:
        assert one.embedding is not None
        own = np.array(rows[one.category])
        exact = {scripts[own[place]].id for place in np.argsort(-(made[own] @ one.embedding))[:10]}
        found = index.nearest(one.embedding, [one.category], 10)
        shares.append(len(exact & {index.scripts[number].id for number in found}) / 10)
    return round(float(np.mean(shares)), 3)


def _times(way: Any, readings: Sequence[Reading]) -> dict[str, float]:
    """Milliseconds of single calls: by the clock, and what the calling thread computed."""
    for one in readings[:50]:
        way(one)
    took = np.zeros((len(readings), 2))
    for row, one in enumerate(readings):
        began, computed = time.perf_counter(), time.thread_time()
        way(one)
        took[row] = time.perf_counter() - began, time.thread_time() - computed
    return {
        f"{name}_{unit}": round(float(np.percentile(took[:, column] * 1000, at)), 2)
        for column, unit in enumerate(("clock", "cpu"))
        for name, at in (("p50", 50), ("p99", 99))
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every size, print, and write JSON."""
    import tempfile

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--exported", type=Path, default=Path("models/shared/exported"))
    parser.add_argument("--artefact", default="int8", help="which of its networks reads the texts")
    parser.add_argument("--reranker", type=Path, default=Path("models/reranker/exported"))
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--messages", type=int, default=500)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args(arguments)
    machine = describe_machine()
    library = load_library()
    reranker = Reranker(options.reranker) if options.reranker.is_dir() else None
    texts = [one.text for one in library.solutions]
    name = f"{champion_name(options.exported, options.artefact)}-scripts"
    vectors = kept_vectors(name, texts, champion_embed(options.exported, options.artefact))
    readings = read_messages(options.exported, options.artefact, options.messages)
    with tempfile.TemporaryDirectory() as store:
        results = [measure(library, vectors, readings, size, reranker, Path(store)) for size in options.sizes]
    table = Table(
        "scripts",
        "build s",
        "index MB",
        "resident MB",
        "recall@10",
        "way",
        "p50 ms",
        "p99 ms",
        "p50 CPU",
        "p99 CPU",
    )
    for row in results:
        for name, times in row["ms"].items():
            table.add_row(
                f"{row['scripts']:,}", f"{row['build_s']:.1f}", f"{row['index_mb']:.0f}",
                f"{row['resident_mb']:.0f}", f"{row['recall_at_10']:.3f}", name,
                *(f"{value:.2f}" for value in times.values()),
            )  # fmt: skip
    Console().print(table)
    if options.output:
        write_json(
            options.output,
            {
                "machine": machine,
                "messages": len(readings),
                "reranked": reranker is not None,
                "sizes": results,
            },
        )


if __name__ == "__main__":
    main()
