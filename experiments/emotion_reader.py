"""A log of chats as the champion reads it, turn by turn in context; or as the reader who labelled it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from data.chats import Chat
from data.taxonomy import Taxonomy
from serving.predictor import Predictor
from serving.schema import Analysis, ContextTurn, EmotionAnswer, TrackResponse
from serving.track import follow, messages_of, severity

__all__ = ["HEATED", "ReadChat", "as_labelled", "find_chat", "read_emotions"]

HEATED = 0.4
"""Severity from which a turn counts as heated: above neutral (0.25), below anxious (0.5)."""
PASS = 64


@dataclass(frozen=True)
class ReadChat:
    """A chat, and what the champion reads in the customer's turns."""

    chat: Chat
    indices: tuple[int, ...]
    """Positions of the customer's turns in the chat; `answers` and `severities` in the same order."""
    answers: tuple[Analysis, ...]
    severities: tuple[float, ...]
    """0 (pleased), 0.25 (neutral) to 1 (furious), each turn by itself."""
    track: TrackResponse

    @property
    def heated(self) -> bool:
        """Whether any turn was heated."""
        return max(self.severities) >= HEATED


def read_emotions(chats: Sequence[Chat], predictor: Predictor) -> list[ReadChat]:
    """Let the champion read every customer turn with the turns before it, and follow each chat."""
    split = [
        messages_of([ContextTurn(role=turn.role, text=turn.text) for turn in chat.turns])  # type: ignore[arg-type]
        for chat in chats
    ]
    messages = [message for _, part in split for message in part]
    answers: list[Analysis] = []
    for start in range(0, len(messages), PASS):
        answers += predictor.analyze(messages[start : start + PASS])
    found, taken = [], 0
    for chat, (indices, part) in zip(chats, split, strict=True):
        own = tuple(answers[taken : taken + len(part)])
        taken += len(part)
        found.append(_followed(chat, indices, own, predictor.taxonomy))
    return found


def as_labelled(read: Sequence[ReadChat], predictor: Predictor) -> list[ReadChat]:
    """The same chats with the emotions of whoever labelled the log, taken as certain: what a model without
    errors of emotion would have read. Categories stay the champion's; alerts come from the policy.

    Raises:
        ValueError: a turn has no label, or one that is not in the schema.
    """
    found = []
    for one in read:
        answers = []
        for index, answer in zip(one.indices, one.answers, strict=True):
            turn = one.chat.turns[index]
            if turn.emotion not in predictor.taxonomy.emotion:
                raise ValueError(
                    f"{one.chat.id}: turns[{index}].emotion: {turn.emotion!r} is not in the schema"
                )
            emotion = predictor.taxonomy.emotion[turn.emotion]
            scores = {"category": {answer.category.label: 1.0}, "emotion": {emotion.key: 1.0}}
            alert = predictor.policy.alert(turn.text, scores, 1.0)
            certain = EmotionAnswer(
                label=emotion.key,
                zh=emotion.zh,
                polarity=emotion.polarity,  # type: ignore[arg-type]
                score=1.0,
                scores={emotion.key: 1.0},
            )
            level = answer.alert.model_copy(
                update={"level": alert.level, "reasons": list(alert.reasons),
                        "zh": predictor.policy.level_name(alert.level)}
            )  # fmt: skip
            answers.append(answer.model_copy(update={"emotion": certain, "alert": level}))
        found.append(_followed(one.chat, one.indices, answers, predictor.taxonomy))
    return found


def find_chat(read: Sequence[ReadChat], identity: str) -> ReadChat:
    """The chat of this id.

    Raises:
        ValueError: there is none.
    """
    for one in read:
        if one.chat.id == identity:
            return one
    raise ValueError(f"{identity}: is not among the {len(read)} chats")


def _followed(
    chat: Chat, indices: Sequence[int], answers: Sequence[Analysis], taxonomy: Taxonomy
) -> ReadChat:
    severities = tuple(severity(answer, taxonomy) for answer in answers)
    return ReadChat(chat, tuple(indices), tuple(answers), severities, follow(indices, answers, taxonomy))
