"""Conversations with what the champions read in them, as the inspection takes it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from assist.inspection.schema import InspectRequest
from assist.inspection.view import Feelings, ReadEmotion
from serving.exported import ExportedModel, open_model
from serving.predictor import ModelSource, Predictor, load_predictor
from serving.schema import AnalyzeRequest, ContextTurn

__all__ = ["emotion_reader", "exported_predictor", "with_readings"]

ARTEFACTS = {"cpu": "int8", "cuda": "float16"}
PASS = 64


def exported_predictor(folder: Path, threads: int | None = None) -> Predictor:
    """A predictor of one exported model that has learnt both tasks, without a package."""
    source = ModelSource(folder, folder.parent.name, ARTEFACTS)
    return load_predictor(source, source, threads)


def emotion_reader(folder: Path, threads: int | None = None) -> ReadEmotion:
    """`read_emotion` for the inspector: each text by itself, without context."""
    model: ExportedModel = open_model(folder, ARTEFACTS, threads)
    labels = model.labels["emotion"]

    def read(texts: Sequence[str]) -> list[Feelings]:
        found = model.probabilities([(text, ()) for text in texts])["emotion"].tolist()
        return [dict(zip(labels, row, strict=True)) for row in found]

    return read


def with_readings(requests: Sequence[InspectRequest], predictor: Predictor) -> list[InspectRequest]:
    """The same conversations with emotion and alert level of every customer turn, read in context."""
    asked = [
        AnalyzeRequest(
            text=turn.text,
            context=[ContextTurn(role=one.role, text=one.text) for one in request.turns[:index][-6:]],
        )
        for request in requests
        for index, turn in enumerate(request.turns)
        if turn.role == "customer"
    ]
    answers = iter([
        answer
        for start in range(0, len(asked), PASS)
        for answer in predictor.analyze(asked[start : start + PASS])
    ])  # fmt: skip
    found = []
    for request in requests:
        turns = []
        for turn in request.turns:
            if turn.role == "customer":
                answer = next(answers)
                turn = turn.model_copy(
                    update={
                        "emotion": answer.emotion.label,
                        "emotion_score": answer.emotion.score,
                        "alert": answer.alert.level,
                    }
                )
            turns.append(turn)
        found.append(request.model_copy(update={"turns": turns}))
    return found
