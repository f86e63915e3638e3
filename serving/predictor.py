"""From messages to answers: the one predictor behind the service and the command line."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.encoding import Message
from data.example import Turn
from data.taxonomy import Taxonomy
from serving.exported import BrokenModelError, ExportedModel, Opinions, open_model
from serving.policy import AlertPolicy, load_policy
from serving.schema import (
    AlertAnswer,
    Analysis,
    AnalyzeRequest,
    CategoryAnswer,
    EmotionAnswer,
    ModelAnswer,
    TopLabel,
)

__all__ = ["ModelSource", "Predictor", "load_predictor"]


@dataclass(frozen=True, slots=True)
class ModelSource:
    """An exported model folder and the name under which answers cite it, as `name@version`."""

    folder: Path
    name: str
    artefacts: Mapping[str, str] = field(default_factory=dict)
    """Which artefact to open, by device ("cpu", "cuda"); float32 where none is named."""


class Predictor:
    """Answers messages with a category model, an emotion model (or one that is both) and a policy.

    Raises:
        BrokenModelError: a model lacks its task, or the two were made with different label schemas.
    """

    def __init__(
        self,
        models: dict[str, tuple[ExportedModel, str]],
        policy: AlertPolicy | None = None,
    ) -> None:
        for task in ("category", "emotion"):
            model, name = models[task]
            if task not in model.tasks:
                raise BrokenModelError(f"{name}: has not learnt {task}, only {model.tasks}")
        self._models = models
        category, emotion = models["category"][0], models["emotion"][0]
        if category.taxonomy.raw != emotion.taxonomy.raw:
            raise BrokenModelError(
                f"{models['category'][1]} and {models['emotion'][1]} were trained with different "
                "label schemas; promote models of one schema"
            )
        self.taxonomy: Taxonomy = category.taxonomy
        self.policy = policy or load_policy(self.taxonomy)
        self._emotions = {key: float(emotion.calibration["emotion"][key]) for key in ("red_above",)}
        self._abstain = float(category.calibration["category"]["abstain_below"])
        snapshots = [str(model.manifest.get("snapshot", "?")) for model in (category, emotion)]
        self.model = ModelAnswer(
            category=models["category"][1],
            emotion=models["emotion"][1],
            snapshot="+".join(dict.fromkeys(snapshots)),
            policy=self.policy.version,
        )

    @property
    def device(self) -> str:
        """ "cuda" where the category model runs there, else "cpu"."""
        return self._models["category"][0].device

    @property
    def encoder_id(self) -> str:
        """The network that makes the vectors, by its contents: a name can be given twice."""
        model = self._models["category"][0]
        digest = hashlib.sha256(model.artefact.encode())
        for name, content in sorted(model.manifest["files"].items()):
            if name.endswith((".onnx", ".data")) or "token" in name:
                digest.update(f"\x1e{name}\x1f{content}".encode())
        return digest.hexdigest()[:16]

    def warm_up(self) -> None:
        """Answer a few messages of several lengths, so that the first caller does not wait."""
        for text, count in (("在吗", 1), ("我要退货" * 8, 4), ("怎么还没有发货呀" * 40, 2)):
            self.analyze([AnalyzeRequest(text=text)] * count)

    def analyze(self, requests: Sequence[AnalyzeRequest]) -> list[Analysis]:
        """Answers in the order of the requests, each carrying its message's vector; one pass when one model
        is both."""
        messages: list[Message] = [
            (request.text, tuple(Turn(turn.role, turn.text) for turn in request.context))
            for request in requests
        ]
        found = self.opinions(messages)
        answers = []
        for row, request in enumerate(requests):
            category, emotion = (found.probabilities[task][row].tolist() for task in ("category", "emotion"))
            answer = self._answer(request, category, emotion)
            answer.carry(found.embedding[row])
            answers.append(answer)
        return answers

    def opinions(self, messages: Sequence[Message], batch_size: int | None = None) -> Opinions:
        """Probabilities of category and emotion, and the category model's embeddings; for ordering what
        people label next. One pass when one model is both."""
        category, emotion = self._models["category"][0], self._models["emotion"][0]
        found = category.opinions(messages, batch_size)
        other = found.probabilities if emotion is category else emotion.probabilities(messages, batch_size)
        return Opinions(
            {"category": found.probabilities["category"], "emotion": other["emotion"]},
            {"category": category.labels["category"], "emotion": emotion.labels["emotion"]},
            found.embedding,
        )

    def _answer(self, request: AnalyzeRequest, category: list[float], emotion: list[float]) -> Analysis:
        category_labels = self._models["category"][0].labels["category"]
        emotion_labels = self._models["emotion"][0].labels["emotion"]
        categories = dict(zip(category_labels, category, strict=True))
        emotions = dict(zip(emotion_labels, emotion, strict=True))
        best = sorted(categories, key=lambda key: -categories[key])[: request.top]
        mood = max(emotions, key=lambda key: emotions[key])
        alert = self.policy.alert(
            request.text, {"category": categories, "emotion": emotions}, self._emotions["red_above"]
        )
        chosen, felt = self.taxonomy.category[best[0]], self.taxonomy.emotion[mood]
        return Analysis(
            category=CategoryAnswer(
                label=chosen.key,
                zh=chosen.zh,
                group=chosen.group,
                score=_round(categories[best[0]]),
                top=[TopLabel(label=key, score=_round(categories[key])) for key in best],
                abstain=categories[best[0]] < self._abstain,
            ),
            emotion=EmotionAnswer(
                label=felt.key,
                zh=felt.zh,
                polarity=felt.polarity,  # type: ignore[arg-type]
                score=_round(emotions[mood]),
                scores={key: _round(value) for key, value in emotions.items()},
            ),
            alert=AlertAnswer(
                level=alert.level,
                zh=self.policy.level_name(alert.level),
                reasons=list(alert.reasons),
            ),
            model=self.model,
        )

    def info(self) -> dict[str, Any]:
        """Device, threads, tasks and provenance of the models in use."""
        return {
            "models": {
                task: {
                    "name": name,
                    "device": model.device,
                    "artefact": model.artefact,
                    "threads": model.threads,
                    "snapshot": model.manifest.get("snapshot"),
                    "run": model.manifest.get("run"),
                    "git_commit": model.manifest.get("git_commit"),
                    "calibration": model.calibration[task],
                }
                for task, (model, name) in self._models.items()
            },
            "shared_encoder": self._models["category"][0] is self._models["emotion"][0],
            "taxonomy_version": self.taxonomy.version,
            "policy_version": self.policy.version,
        }


def _round(value: float) -> float:
    return round(value, 4)


def load_predictor(
    category: ModelSource,
    emotion: ModelSource,
    threads: int | None = None,
    device: str | None = None,
) -> Predictor:
    """Open both models, once if they are the same artefact, and the configured alert policy.

    Raises:
        BrokenModelError: a folder is damaged or does not fit.
        PolicyError: the policy file is wrong.
    """
    first = open_model(category.folder, category.artefacts, threads, device)
    second = first
    if not _same(category, emotion):
        second = open_model(emotion.folder, emotion.artefacts, threads, device)
    models = {"category": (first, category.name), "emotion": (second, emotion.name)}
    return Predictor(models)


def _same(one: ModelSource, other: ModelSource) -> bool:
    manifests = [source.folder / "manifest.json" for source in (one, other)]
    if not all(path.is_file() for path in manifests) or one.artefacts != other.artefacts:
        return False
    return manifests[0].read_bytes() == manifests[1].read_bytes()
