"""How well the knowledge base finds what answers a question, against plain BM25 and dense search alone.

A question counts as found at k when one of the first k sections is the one that its author named (any section
of the document where none was named). Unanswerable questions count apart: how many the base declines.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from assist.knowledge.base import KnowledgeBase, passage_text
from assist.knowledge.index import Index, Unit
from assist.knowledge.intake import DEMO_DOCUMENTS, import_folder
from assist.knowledge.schema import KnowledgeSearchRequest
from assist.knowledge.store import KnowledgeStore, Stored
from assist.knowledge.terms import Synonyms, terms
from assist.reading import Embed
from data.example import Example
from data.files import read_jsonl, write_json
from data.text import normalise
from experiments.embeddings import embed as builtin_vectors
from serving.exported import open_model
from serving.offline import packaged_predictor
from serving.package import NotPackagedError
from serving.predictor import Predictor
from serving.reading import embed_with

__all__ = ["Asked", "evaluate", "main", "read_questions"]

QUESTIONS = Path("data/shop_knowledge/questions.jsonl")
TODAY = "2026-11-23"
Found = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and what answers it."""

    question: str
    answers: tuple[tuple[str, str | None], ...]
    """(document, last heading of the section or None for any); none: nothing in the base answers."""
    kind: str
    at: str

    @property
    def documents(self) -> set[str]:
        """Ids of the documents that answer."""
        return {document for document, _ in self.answers}

    def right(self, document: str, section: str) -> bool:
        """Whether a section (its path) is one that answers."""
        return any(document == named and _same(section, wanted) for named, wanted in self.answers)


def read_questions(path: Path) -> list[Asked]:
    """Read questions in the form of data/shop_knowledge/README.md.

    Raises:
        ValueError: names the line and the field.
    """
    asked = []
    for number, row in read_jsonl(path):
        answers = row.get("answers")
        if not isinstance(row.get("question"), str) or not isinstance(answers, list):
            raise ValueError(f"{path}:{number}: expected question, a text, and answers, a list")
        asked.append(
            Asked(
                row["question"],
                tuple((Path(one["document"]).stem, one.get("section")) for one in answers),
                str(row.get("kind", "")),
                row.get("at") or TODAY,
            )
        )
    return asked


def evaluate(
    asked: Sequence[Asked], find: Callable[[Asked], tuple[Found, bool]], known: set[str]
) -> dict[str, float]:
    """Recall at 1 and 5 and mean reciprocal rank, refusals, and the median processor time of a question.

    Args:
        asked: questions.
        find: (document, section path) best first, and whether the base would answer.
        known: ids of documents.

    Raises:
        ValueError: a question names a document that is not there.
    """
    ranks: list[float] = []
    ranks_of_documents: list[float] = []
    answered, declined, seconds = [], [], []
    for one in asked:
        if missing := one.documents - known:
            raise ValueError(f"documents: {sorted(missing)} of {one.question!r} are not in the base")
        began = time.thread_time()
        found, would_answer = find(one)
        seconds.append(time.thread_time() - began)
        if not one.documents:
            declined.append(not would_answer)
            continue
        answered.append(would_answer)
        ranks.append(_rank(one.right(document, section) for document, section in found))
        ranks_of_documents.append(_rank(document in one.documents for document, _ in found))
    return {
        "recall@1": float(np.mean([rank == 1 for rank in ranks])),
        "recall@5": float(np.mean([0 < rank <= 5 for rank in ranks])),
        "mrr": float(np.mean([1 / rank if rank else 0.0 for rank in ranks])),
        "document_recall@5": float(np.mean([0 < rank <= 5 for rank in ranks_of_documents])),
        "answered": float(np.mean(answered)),
        "declined": float(np.mean(declined)) if declined else float("nan"),
        "cpu_ms": float(np.percentile(seconds, 50) * 1000),
    }


def _same(section: str, wanted: str | None) -> bool:
    """Authors name the last heading or the whole path, with or without blanks."""
    if wanted is None:
        return True
    named, path = ("".join(text.split()) for text in (wanted, section))
    return path == named or path.endswith(f">{named}")


def _rank(hits: Iterable[bool]) -> int:
    return next((rank for rank, hit in enumerate(hits, 1) if hit), 0)


def _ours(base: KnowledgeBase) -> Callable[[Asked], tuple[Found, bool]]:
    def find(one: Asked) -> tuple[Found, bool]:
        # Recall is of the ranking, whatever the threshold says; what the threshold does is counted apart.
        request = KnowledgeSearchRequest(question=one.question, at=one.at, k=10)
        response = base.search(request)
        passages = response.passages if response.status == "found" else base.nearest(request)
        return [(p.document, p.section) for p in passages], response.status == "found"

    return find


def _valid(passage: Stored, at: str) -> bool:
    day = date.fromisoformat(at)
    return passage.counts_from <= day and (passage.valid_until is None or day <= passage.valid_until)


def _bare(
    passages: Sequence[Stored], scores_of: Callable[[str], NDArray[np.float32]], floor: float = 0.0
) -> Callable[[Asked], tuple[Found, bool]]:
    """A ranking without anything of ours but the dates; it answers whatever scores above `floor`."""

    def find(one: Asked) -> tuple[Found, bool]:
        scores = scores_of(one.question)
        found: Found = []
        for row in np.argsort(-scores, kind="stable"):
            place = (passages[row].document, passages[row].section)
            if scores[row] > floor and _valid(passages[row], one.at) and place not in found:
                found.append(place)
            if len(found) == 10:
                break
        return found, bool(found)

    return find


def _plain(passages: Sequence[Stored]) -> Callable[[str], NDArray[np.float32]]:
    """BM25 over characters and pairs of them, of title, headings and text; no synonyms, no pinyin."""
    flat = [
        Stored(
            passage.number, passage.revision, passage.document, passage.version, "", passage.kind, (),
            passage.valid_from, passage.valid_until, passage.counts_from, passage.withdrawn_on, (),
            f"{passage.title} {' '.join(passage.headings)} {passage.text}",
        )
        for passage in passages
    ]  # fmt: skip
    index = Index(flat, Synonyms((), {}, 1))
    everything = np.ones(len(flat), dtype=bool)

    def scores(question: str) -> NDArray[np.float32]:
        text = normalise(question)
        units = [Unit({term: 1.0}, 0, 1) for term in terms(text)]
        return index.score(index.matches(units), everything)

    return scores


def _dense(passages: Sequence[Stored], embed: Embed) -> Callable[[str], NDArray[np.float32]]:
    vectors = embed([passage_text(passage) for passage in passages])

    def scores(question: str) -> NDArray[np.float32]:
        return np.asarray(vectors @ embed([question])[0], dtype=np.float32)

    return scores


class _Kept:
    """Vectors of an encoder, each computed once: the built-in encoder opens its network for every call."""

    def __init__(self, embed: Embed, texts: Sequence[str]) -> None:
        self._embed = embed
        self._vectors = dict(zip(texts, embed(texts), strict=True))

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if missing := [text for text in dict.fromkeys(texts) if text not in self._vectors]:
            self._vectors |= dict(zip(missing, self._embed(missing), strict=True))
        return np.stack([self._vectors[text] for text in texts])


def _encoders(model: Path | None) -> dict[str, Embed]:
    """The champion's encoder where one is at hand, and the built-in one before any training."""

    def builtin(texts: Sequence[str]) -> NDArray[np.float32]:
        rows = [
            Example(id=str(n), text=text, category="out_of_scope", emotion="neutral", author="-")
            for n, text in enumerate(texts)
        ]
        vectors = np.asarray(builtin_vectors(rows, cache=None), dtype=np.float32)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    encoders: dict[str, Embed] = {"built-in": builtin}
    try:
        if model is None:
            predictor = packaged_predictor(threads=1)
        else:
            opened = (open_model(model, threads=1), model.name)
            predictor = Predictor({"category": opened, "emotion": opened})
    except NotPackagedError:
        return encoders
    encoders["champion"] = lambda texts: embed_with(predictor, texts)
    return encoders


def main(arguments: Sequence[str] | None = None) -> None:
    """Print recall and MRR of the knowledge base, plain BM25 and dense search on written questions."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--questions", type=Path, default=QUESTIONS)
    parser.add_argument("--documents", type=Path, default=DEMO_DOCUMENTS)
    parser.add_argument("--output", type=Path, help="JSON file of the figures")
    parser.add_argument("--model", type=Path, help="exported model to embed with; default: the packaged one")
    parser.add_argument("--no-dense", action="store_true", help="lexical methods only: seconds")
    parser.add_argument("--misses", action="store_true", help="list what the lexical search of ours misses")
    options = parser.parse_args(arguments)
    if not options.questions.exists():
        raise SystemExit(f"{options.questions}: is not there; name a file with --questions")
    asked = read_questions(options.questions)
    console = Console(width=150)
    with tempfile.TemporaryDirectory() as folder:
        store = KnowledgeStore(Path(folder) / "knowledge.sqlite")
        import_folder(store, options.documents, on=date.fromisoformat(TODAY))
        passages = store.passages()
        known = {passage.document for passage in passages}
        ours = KnowledgeBase(store.path, record=False)
        methods: dict[str, Callable[[Asked], tuple[Found, bool]]] = {
            "plain BM25": _bare(passages, _plain(passages)),
            "ours, lexical": _ours(ours),
        }
        if not options.no_dense:
            texts = [one.question for one in asked] + [passage_text(passage) for passage in passages]
            for name, encoder in _encoders(options.model).items():
                embed = _Kept(encoder, texts)
                methods[f"dense alone, {name}"] = _bare(passages, _dense(passages, embed), -1.0)
                methods[f"ours, with {name}"] = _ours(
                    KnowledgeBase(store.path, embed=embed, encoder=name, record=False)
                )
        figures = {}
        for name, find in methods.items():
            find(asked[0])  # builds the index
            figures[name] = evaluate(asked, find, known)
        if options.misses:
            _list_misses(asked, methods["ours, lexical"], ours, console)
    _print(figures, asked, console)
    if options.output:
        report: dict[str, Any] = {
            "questions": str(options.questions),
            "answerable": sum(bool(one.documents) for one in asked),
            "unanswerable": sum(not one.documents for one in asked),
            "passages": len(passages),
            "methods": figures,
        }
        write_json(options.output, report)


def _list_misses(
    asked: Sequence[Asked],
    find: Callable[[Asked], tuple[Found, bool]],
    base: KnowledgeBase,
    console: Console,
) -> None:
    for one in asked:
        found, would_answer = find(one)
        hits = [one.right(document, section) for document, section in found]
        if (one.documents and not any(hits[:1])) or (not one.documents and would_answer):
            response = base.search(KnowledgeSearchRequest(question=one.question, at=one.at))
            console.print(
                f"{one.question} -> {list(one.answers)}: rank {_rank(hits)}, "
                f"{response.status} {response.score:.2f} {found[:2]} {response.readings}",
                markup=False,
            )


def _print(figures: dict[str, dict[str, float]], asked: Sequence[Asked], console: Console) -> None:
    answerable = sum(bool(one.documents) for one in asked)
    table = Table(
        title=f"{answerable} questions with an answer in the base, {len(asked) - answerable} without"
    )
    table.add_column("method")
    columns = list(next(iter(figures.values())))
    for column in columns:
        table.add_column(column, justify="right")
    for name, row in figures.items():
        table.add_row(name, *(f"{row[c]:.1f}" if c.endswith("ms") else f"{row[c]:.3f}" for c in columns))
    console.print(table)


if __name__ == "__main__":
    main()
