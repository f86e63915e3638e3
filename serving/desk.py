"""The rooms of `assist` on one champion's encoder: opened at the start, and anew for each new champion."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assist.graph.schema import GraphRequest
from assist.graph.shop import ShopGraph
from assist.inspection.conformity import ScriptIndex as NearestScripts
from assist.inspection.facts import PassageCheck
from assist.inspection.inspector import Inspector
from assist.inspection.schema import Inspection, InspectRequest
from assist.inspection.standards import Standards, load_standards
from assist.knowledge.answer import Drafter
from assist.knowledge.base import KnowledgeBase
from assist.knowledge.file import KnowledgeStoreError
from assist.knowledge.intake import default_path as knowledge_path
from assist.knowledge.store import today
from assist.reading import Embed, Reading
from assist.routing.desk import Desk as Triage
from assist.routing.schema import GroupRequest, GroupResponse, RouteRequest, RouteTurn, SignalRequest
from assist.scripts.feedback import FeedbackStore
from assist.scripts.index import ScriptIndex
from assist.scripts.library import Library, load_library
from assist.scripts.recommend import Recommender
from assist.scripts.rerank import BrokenRerankerError, Reranker
from assist.scripts.schema import RecommendRequest
from serving.assist_schema import Routing, RoutingRequest
from serving.operations import DeskError, NotHereError
from serving.predictor import Predictor
from serving.reading import embed_with
from serving.schema import MAX_TEXT

__all__ = ["Desk", "DeskSettings", "Shelves"]

_log = logging.getLogger("kefu.desk")
Emotions = dict[str, float]


@dataclass(frozen=True)
class DeskSettings:
    """Where the rooms find their things."""

    scripts: Path | None = None
    """The shop's own script library beside ours (`KEFU_SCRIPTS`)."""
    knowledge: Path = Path(".kefu/knowledge.sqlite")
    """The knowledge base (`KEFU_KNOWLEDGE`)."""
    graph: Path | None = None
    """Folder of the shop's tables (`KEFU_GRAPH`); the demo shop's when None."""
    routing: Path | None = None
    """Rules of routing and signals (`KEFU_ROUTING`); data/routing.yaml when None."""
    replies: Path = Path(".kefu/replies.sqlite")
    """What agents did with recommended replies (`KEFU_REPLIES`)."""
    reranker: Path = Path("models/reranker/exported")
    """The trained reranker (`KEFU_RERANKER`); without it similarity decides."""
    vectors: Path = Path(".kefu/vectors")
    """Where vectors of scripts are kept between starts (`KEFU_VECTORS`)."""

    @classmethod
    def from_environment(cls) -> DeskSettings:
        """The settings that the environment asks for."""

        def place(name: str, default: Path | None) -> Any:
            return Path(value) if (value := os.environ.get(name)) else default

        return cls(
            scripts=place("KEFU_SCRIPTS", cls.scripts),
            knowledge=knowledge_path(),
            graph=place("KEFU_GRAPH", cls.graph),
            routing=place("KEFU_ROUTING", cls.routing),
            replies=place("KEFU_REPLIES", cls.replies),
            reranker=place("KEFU_RERANKER", cls.reranker),
            vectors=place("KEFU_VECTORS", cls.vectors),
        )


class Shelves:
    """What does not depend on the champion: read once, shared by every desk of a process.

    Raises:
        DeskError: a file of the shop is wrong; names file and line.
    """

    def __init__(self, settings: DeskSettings | None = None) -> None:
        self.settings = settings or DeskSettings.from_environment()
        try:
            self.library: Library = load_library(own=self.settings.scripts)
            self.graph = ShopGraph(self.settings.graph) if self.settings.graph else ShopGraph()
            self.standards: Standards = load_standards()
            self.triage = Triage(self.settings.routing) if self.settings.routing else Triage()
        except ValueError as error:
            raise DeskError(str(error)) from error
        self.nearest = NearestScripts((one.id, one.text) for one in self.library.scripts)
        self.feedback = FeedbackStore(self.settings.replies)


class Desk:
    """The rooms with one champion's encoder.

    Args:
        shelves: what every desk shares.
        predictor: gives the vectors; the champion.
    """

    def __init__(self, shelves: Shelves, predictor: Predictor) -> None:
        self.shelves, self.champion = shelves, predictor.model.category

        def embed(texts: Sequence[str]) -> NDArray[np.float32]:
            return embed_with(predictor, texts)

        settings = shelves.settings
        index = _script_index(shelves.library, embed, predictor.encoder_id, settings.vectors)
        self.reranker_problem = ""
        reranker = self._reranker(index.width)
        self.recommender = Recommender(shelves.library, embed, reranker, shelves.feedback, index=index)
        self.knowledge = KnowledgeBase(settings.knowledge, embed=embed, encoder=predictor.encoder_id)
        self.drafter = Drafter(self.knowledge)
        self.graph, self.triage = shelves.graph, shelves.triage
        self._facts: tuple[tuple[int, date], PassageCheck | None] = ((-1, date.min), None)
        self._warm_up(index, embed, reranker)

    def _warm_up(self, index: ScriptIndex, embed: Embed, reranker: Reranker | None) -> None:
        """Do once what the first caller would wait for; nothing of it is logged as shown."""
        text = "保温杯什么时候发货"
        silent = Recommender(self.shelves.library, embed, reranker, None, index=index)
        categories = (("ship_time", 1.0),)
        reading = Reading(text, category="ship_time", category_score=1.0, categories=categories)
        silent.recommend(RecommendRequest(text=text), reading)
        self.graph.ask(GraphRequest(text=text))
        self._check()  # reads the knowledge base as well

    def _reranker(self, width: int) -> Reranker | None:
        folder = self.shelves.settings.reranker
        mend = "train it for this encoder: kefu scripts train"
        if not folder.is_dir():
            self.reranker_problem = f"{folder}: there is none; {mend}"
            return None
        try:
            found = Reranker(folder)
        except BrokenRerankerError as error:
            self.reranker_problem = f"{error}; {mend}"
        else:
            if found.width == width and found.encoder == self.champion:
                return found
            self.reranker_problem = f"{folder}: learnt with {found.encoder or 'another encoder'}; {mend}"
        _log.warning(
            json.dumps({"event": "no_reranker", "reason": self.reranker_problem}, ensure_ascii=False)
        )
        return None

    @property
    def has_knowledge(self) -> bool:
        """Whether anything was imported."""
        return self.knowledge.store.generation() >= 0

    def need_knowledge(self) -> None:
        """Refuse where nothing was imported.

        Raises:
            NotHereError: says how to import.
        """
        if not self.has_knowledge:
            raise NotHereError("the knowledge base is empty; fill it with: kefu knowledge import FOLDER")

    def _knowledge_problem(self) -> str:
        try:
            self.knowledge.index()
        except KnowledgeStoreError as error:
            return str(error)
        return ""

    def inspect(self, request: InspectRequest, emotions: dict[str, Emotions]) -> Inspection:
        """Judge a conversation.

        Args:
            emotions: what the emotion model said of each text of the request.
        """
        inspector = Inspector(
            self.shelves.standards,
            self.shelves.nearest,
            self._check(),
            lambda texts: [emotions[text[:MAX_TEXT]] for text in texts],
        )
        return inspector.inspect(request)

    def route(self, request: RoutingRequest, reading: Reading) -> Routing:
        """Whom a message goes to, how soon, and what a supervisor should see."""
        turns = [RouteTurn(role=turn.role, text=turn.text, at=turn.at) for turn in request.context]
        turns.append(RouteTurn(role="customer", text=request.text))
        asked = RouteRequest(
            category=reading.category, abstain=reading.abstain, alert=reading.alert, turns=turns,
            waiting_seconds=request.waiting_seconds, customer_value=request.customer_value,
            previous_agent=request.previous_agent, strategy=request.strategy, queue=request.queue,
        )  # fmt: skip
        signals = self.triage.signals(SignalRequest(turns=turns))
        decision = self.triage.route(asked, request.agents)
        if not request.agents:  # nobody was asked about, so nobody is missing
            reasons = [one for one in decision.reasons if "排队" not in one]
            decision = decision.model_copy(update={"queue_position": None, "reasons": reasons})
        return Routing(decision=decision, signals=signals)

    def group(self, request: GroupRequest, readings: Sequence[Reading]) -> GroupResponse:
        """Open messages that ask the same; the suggested answer is the best reply to the most typical one."""
        found = self.triage.group(request, readings)
        by_id = {one.id: reading for one, reading in zip(request.messages, readings, strict=True)}
        for group in found.groups:
            if len(group.messages) < 2:
                continue
            reading = by_id[group.messages[0]]
            asked = RecommendRequest(text=reading.text, k=1, explore=False)
            for reply in self.recommender.recommend(asked, reading).replies:
                group.script_id, group.answer = reply.script, reply.text
        return found

    def _check(self) -> PassageCheck | None:
        """Answers are held against what the knowledge says today; read anew when it or the day changes."""
        try:
            state = (self.knowledge.store.generation(), today())
            if state != self._facts[0]:
                texts = self.knowledge.standing_texts()
                self._facts = (state, PassageCheck(texts) if texts else None)
        except KnowledgeStoreError as error:  # inspection goes on without what it cannot read
            _log.warning(json.dumps({"event": "no_knowledge", "reason": str(error)}, ensure_ascii=False))
            return None
        return self._facts[1]

    def info(self) -> dict[str, Any]:
        """What the rooms hold, and why one that should is empty."""
        problem = self._knowledge_problem()
        return {
            "scripts": len(self.recommender.index.scripts),
            "library": self.recommender.index.version,
            "reranker": self.recommender.reranker.version if self.recommender.reranker else None,
            "reranker_problem": self.reranker_problem or None,
            "knowledge": not problem and self.has_knowledge,
            "knowledge_problem": problem or None,
            "graph": self.graph.version,
            "standards": self.shelves.standards.version,
            "routing": self.triage.rules.version,
        }


def _script_index(library: Library, embed: Any, encoder: str, folder: Path) -> ScriptIndex:
    """The index; vectors are computed once for a library and an encoder, not at every start."""
    scripts = library.solutions
    digest = hashlib.sha256(encoder.encode())
    for script in scripts:
        digest.update(f"\x1e{script.id}\x1f{script.text}".encode())
    path = folder / f"{digest.hexdigest()[:16]}.npy"
    try:
        vectors = np.load(path, allow_pickle=False)
    except (OSError, ValueError):
        vectors = np.asarray(embed([script.text for script in scripts]), np.float32)
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        with part.open("wb") as handle:
            np.save(handle, vectors, allow_pickle=False)
        part.replace(path)
    return ScriptIndex(scripts, vectors=vectors)
