"""One chat as the key figures count it: its contacts, waits, how it ended, and whether the matter came back.

A chat goes on for days: who returns finds the old messages. A *contact* is a stretch of it without 30 silent
minutes. No customer is named in a log, so a return is seen only within the same chat.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from assist.inspection.standards import Standards
from assist.reports.schema import ChatReading, MessageReading
from data.chats import Chat, answer_seconds
from data.taxonomy import Taxonomy
from data.text import normalise

__all__ = ["RETURN_WINDOW", "ChatFacts", "Contact", "End", "chat_facts", "contacts_of"]

End = Literal["content", "discontent", "unclear"]
RETURN_WINDOW = timedelta(days=7)
"""Who asks the same later than this asks anew."""
_SMALL_TALK = "general"
_SOOTHING_ASKED = 2


@dataclass(frozen=True, slots=True)
class Contact:
    """Turns `start` to `stop` (exclusive) of a chat, without a long silence between."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class ChatFacts:
    """What is counted of one chat."""

    chat: Chat
    reading: ChatReading
    contacts: tuple[Contact, ...]
    asked: int
    """Contacts in which the customer came with something to answer."""
    answered: int
    """Of those, answered before the contact was over or later."""
    first_answers: tuple[float, ...]
    """Seconds from the first message of such a contact to the answer."""
    waits: tuple[float, ...]
    """Seconds of every wait for an answer."""
    handling: tuple[float, ...]
    """Seconds from first to last turn of every contact in which the agent wrote."""
    matters: int
    """Contacts that opened a matter: the first one, and later ones about something else."""
    not_returned: int
    """Of those, without a later contact about the same."""
    solved: int
    """Of those again, that ended neither discontent nor in words of resignation."""
    end: End
    negative: bool
    """Whether any message of the customer has a negative emotion."""
    left_open: bool
    """The chat ends with a message of the customer that wanted an answer."""


def contacts_of(chat: Chat, silence: float) -> list[Contact]:
    """Cut a chat where nobody wrote for `silence` seconds or longer."""
    starts = [0]
    for place in range(1, len(chat.turns)):
        if (chat.turns[place].sent_at - chat.turns[place - 1].sent_at).total_seconds() >= silence:
            starts.append(place)
    return [Contact(start, stop) for start, stop in zip(starts, [*starts[1:], len(chat.turns)], strict=True)]


def chat_facts(chat: Chat, reading: ChatReading, standards: Standards, taxonomy: Taxonomy) -> ChatFacts:
    """Count one chat.

    Args:
        reading: of every customer turn of the chat.
        standards: for the length of silence, and the words of content and discontent ends.

    Raises:
        ValueError: a turn of the customer has no reading, or a label is not in the schema; names it.
    """
    _check(chat, reading, taxonomy)
    view = _View(chat, reading, standards, taxonomy)
    contacts = contacts_of(chat, standards.silence)
    asked = [one for one in contacts if view.asks(one)]
    answers = [view.first_answer(one) for one in asked]
    matters = view.matters(contacts)
    last = chat.messages[-1][0]
    return ChatFacts(
        chat=chat,
        reading=reading,
        contacts=tuple(contacts),
        asked=len(asked),
        answered=sum(seconds is not None for seconds in answers),
        first_answers=tuple(seconds for seconds in answers if seconds is not None),
        waits=tuple(view.waits()),
        handling=tuple(
            (chat.turns[one.stop - 1].sent_at - chat.turns[one.start].sent_at).total_seconds()
            for one in contacts
            if any(turn.role == "agent" for turn in chat.turns[one.start : one.stop])
        ),
        matters=len(matters),
        not_returned=sum(not returned for _, returned in matters),
        solved=sum(not returned and not view.is_bad_end(span) for span, returned in matters),
        end=view.end(contacts[-1]),
        negative=any(view.is_negative(place) for place in reading.messages),
        left_open=chat.turns[-1].role == "customer" and not view.is_farewell(last),
    )


def _check(chat: Chat, reading: ChatReading, taxonomy: Taxonomy) -> None:
    for place, _ in chat.messages:
        one = reading.messages.get(place)
        if one is None:
            raise ValueError(f"readings: {chat.id}: turn {place} of the customer has none")
        for name, value, known in (
            ("category", one.category, taxonomy.category),
            ("emotion", one.emotion, taxonomy.emotion),
        ):
            if value not in known:
                raise ValueError(f"readings: {chat.id}: turn {place}: {name}: {value!r} is not in the schema")
    if reading.turned_at is not None and reading.turned_at not in reading.messages:
        raise ValueError(f"readings: {chat.id}: turned_at: {reading.turned_at} is no turn of the customer")


class _View:
    """A chat with its readings, so that rules are short."""

    def __init__(self, chat: Chat, reading: ChatReading, standards: Standards, taxonomy: Taxonomy) -> None:
        self.chat = chat
        self.read: Mapping[int, MessageReading] = reading.messages
        self.words = standards.words
        self.silence = standards.silence
        self.taxonomy = taxonomy

    def polarity(self, place: int) -> str:
        return self.taxonomy.emotion[self.read[place].emotion].polarity

    def is_negative(self, place: int) -> bool:
        return self.polarity(place) == "negative"

    def says(self, place: int, kind: str) -> bool:
        return bool(self.words[kind].search(normalise(self.chat.turns[place].text)))

    def group(self, place: int) -> str:
        return self.taxonomy.category[self.read[place].category].group

    def is_farewell(self, place: int) -> bool:
        """Nothing to answer: thanks, or content words without a matter of their own."""
        if self.is_negative(place) or self.read[place].alert:
            return False
        return self.read[place].category == "thanks_closing" or (
            self.polarity(place) == "positive" or self.says(place, "content")
        )

    def messages(self, contact: Contact) -> list[int]:
        return [place for place in range(contact.start, contact.stop) if place in self.read]

    def asks(self, contact: Contact) -> bool:
        """The customer began it, and not only to say thanks."""
        return contact.start in self.read and not all(map(self.is_farewell, self.messages(contact)))

    def first_answer(self, contact: Contact) -> float | None:
        """Seconds to the first answer, also one that came after a silence."""
        for turn in self.chat.turns[contact.start :]:
            if turn.role == "agent":
                return (turn.sent_at - self.chat.turns[contact.start].sent_at).total_seconds()
        return None

    def waits(self) -> list[float]:
        """Every wait; after a farewell nobody waits, however much later the agent writes again."""
        found, began = [], 0
        for place, seconds in answer_seconds(self.chat):
            unanswered = [at for at in range(began, place) if at in self.read]
            began = place + 1
            if seconds < self.silence or not all(map(self.is_farewell, unanswered)):
                found.append(seconds)
        return found

    def matters(self, contacts: list[Contact]) -> list[tuple[Contact, bool]]:
        """The turns of every matter until the customer asks again, and whether that was about the same."""
        asking = [one for one in contacts if self.asks(one)]
        opened: list[tuple[Contact, bool]] = []
        for one in asking:
            about = [at for at, (earlier, _) in enumerate(opened) if self._returns(earlier, one)]
            if about:
                opened[about[-1]] = (opened[about[-1]][0], True)
            else:
                opened.append((one, False))
        # A thank-you hours later, in a contact of its own, is still the end of the matter before it.
        starts, stop = [one.start for one in asking], len(self.chat.turns)
        return [
            (Contact(one.start, min((at for at in starts if at > one.start), default=stop)), returned)
            for one, returned in opened
        ]

    def _returns(self, earlier: Contact, later: Contact) -> bool:
        ended, began = self.chat.turns[earlier.stop - 1].sent_at, self.chat.turns[later.start].sent_at
        if began - ended > RETURN_WINDOW:
            return False
        before, after = self._groups(earlier), self._groups(later)
        # Who comes back with "在吗" or "？" and no matter of its own comes about the old one.
        return not after or bool(before & after)

    def _groups(self, contact: Contact) -> set[str]:
        return {group for place in self.messages(contact) if (group := self.group(place)) != _SMALL_TALK}

    def end(self, contact: Contact) -> End:
        """How the customer took leave: by the emotion of the last message, then by its words."""
        places = self.messages(contact)
        if not places:
            return "unclear"
        last = places[-1]
        if self.is_negative(last) or self.read[last].alert >= _SOOTHING_ASKED:
            return "discontent"
        if self.polarity(last) == "positive":
            return "content"
        thanks, leaves = self.says(last, "content"), self.says(last, "unsolved")
        if thanks == leaves:  # neither, or "行，算了": words alone do not tell
            return "unclear"
        if leaves:
            return "discontent"
        return "unclear" if self._resigned(places) else "content"

    def is_bad_end(self, contact: Contact) -> bool:
        """Discontent, or neutral words after a negative message that do not say that all is well."""
        end = self.end(contact)
        return end == "discontent" or (end == "unclear" and self._resigned(self.messages(contact)))

    def _resigned(self, places: list[int]) -> bool:
        return len(places) > 1 and self.is_negative(places[-2])
