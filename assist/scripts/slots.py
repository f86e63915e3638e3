"""The gaps of scripts, filled with what the conversation or the caller says, and with nothing else.

A wrong value is worse than an open gap, so a value is taken only where it means what the gap means: a
customer's wish never fills the shop's days, dates and money; “3天” said of dispatch does not fill a gap about
a refund; two different values in one turn fill nothing. Personal data never enters a reply. Rules are data
(`data/scripts/slots.yaml`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from assist.scripts.library import DEFAULT_FOLDER, SLOTS
from data.example import ROLES, Turn
from data.pii import find
from data.pii.words import REGION

__all__ = ["DEFAULT_PATH", "Filling", "Slot", "SlotValues", "find_slots", "load_slots", "placeholder"]

DEFAULT_PATH = DEFAULT_FOLDER / "slots.yaml"
MAX_VALUE = 200
MAX_TURNS = 40
"""Latest turns that are read: what was said an hour ago may be about another order."""
MAX_TURN = 1000
_CLAUSE_END = re.compile(r"[，,。！!？?；;\n]")
_GAP = re.compile(r"\{([a-z_]+)\}")
_FIELDS = {"zh", "find", "from", "topics", "match", "ours", "units", "personal"}
_PLAIN = re.compile(r"[¥\d.%天小时元件点:年月日号个-]{1,6}\Z")
"""Too short to be personal."""
_NUMBER = re.compile(r"\d+(?:\.\d+)?\Z")


@dataclass(frozen=True, slots=True)
class Slot:
    """How one gap is filled; fields as in `slots.yaml`."""

    name: str
    zh: str
    find: tuple[re.Pattern[str], ...]
    roles: tuple[str, ...]
    topics: Mapping[str, re.Pattern[str]]
    match: str
    ours: re.Pattern[str] | None
    units: tuple[str, ...]
    personal: bool
    """Its patterns may catch personal data; those of colours or couriers cannot."""


@dataclass(frozen=True, slots=True)
class Filling:
    """A script with its gaps filled."""

    text: str
    """Open gaps stand in it as 【订单号】."""
    filled: dict[str, str]
    """Values by slot name."""
    missing: tuple[str, ...]
    """Names of the open gaps, in their order. A name may be filled in one clause and open in another."""
    withheld: tuple[str, ...]
    """Those of them whose value was known but is personal data."""


@dataclass(frozen=True, slots=True)
class _Said:
    """A value as it was said."""

    value: str
    role: str
    turn: int
    topics: frozenset[str]
    place: tuple[int, int]


def placeholder(name: str) -> str:
    """How an open gap stands in a reply: 【订单号】."""
    return f"【{SLOTS[name]}】"


class SlotValues:
    """What a conversation and its caller say of the slots; fills any number of scripts."""

    def __init__(
        self,
        slots: Mapping[str, Slot],
        known: Mapping[str, str],
        turns: Sequence[Turn],
        withheld: Iterable[str],
    ) -> None:
        self._slots = slots
        self._known = known
        self._turns = turns
        self._withheld = set(withheld)
        # A slot is looked for when a script first has its gap: most scripts have one or two of the 26.
        self._said: dict[str, list[_Said]] = {}
        self._personal: dict[int, list[tuple[int, int]]] = {}

    def fill(self, text: str) -> Filling:
        """Fill the gaps of a script's text; one that nothing fits stays open."""
        filled: dict[str, str] = {}
        missing: dict[str, None] = {}

        def put(match: re.Match[str]) -> str:
            name = match[1]
            value = self._value(name, _clause(text, match.start(), match.end()))
            if value is None:
                missing[name] = None
                return placeholder(name)
            value = _with_unit(value, self._slots[name].units, text[: match.start()], text[match.end() :])
            filled.setdefault(name, value)
            return value

        done = _GAP.sub(put, text)
        return Filling(
            done, filled, tuple(missing), tuple(name for name in missing if name in self._withheld)
        )

    def _value(self, name: str, clause: str) -> str | None:
        if name in self._known:
            return self._known[name]
        slot = self._slots[name]
        asked = _topics(slot, clause)
        ours = slot.ours is not None and bool(slot.ours.search(clause))
        turn: int | None = None
        fits: set[str] = set()
        for said in self._said_of(slot):
            if turn is not None and said.turn != turn:
                break
            if (ours and said.role != "agent") or not _match(slot, asked, said.topics):
                continue
            if slot.personal and self._is_personal(said):
                self._withheld.add(name)
                continue
            turn = said.turn
            fits.add(said.value)
        return fits.pop() if len(fits) == 1 else None

    def _said_of(self, slot: Slot) -> list[_Said]:
        """Every value of a slot that was said, the latest turn first."""
        if slot.name not in self._said:
            self._said[slot.name] = [
                _Said(
                    text[start:end], turn.role, index, _topics(slot, _clause(text, start, end)), (start, end)
                )
                for index, turn in reversed(list(enumerate(self._turns)))
                if turn.role in slot.roles
                for text in (turn.text,)
                for start, end in _found(slot, text)
            ]
        return self._said[slot.name]

    def _is_personal(self, said: _Said) -> bool:
        # Only turns whose value is wanted are searched: finding personal data takes a millisecond a turn.
        if said.turn not in self._personal:
            spans = find(self._turns[said.turn].text)
            self._personal[said.turn] = [(span.start, span.end) for span in spans]
        start, end = said.place
        return any(start < last and first < end for first, last in self._personal[said.turn])


def find_slots(
    turns: Sequence[Turn], known: Mapping[str, str] | None = None, slots: Mapping[str, Slot] | None = None
) -> SlotValues:
    """Read the values of all slots out of a conversation.

    Args:
        turns: the conversation, oldest first, the message to be answered last; the latest 40 are read.
        known: what the caller knows (order system, desk), by slot name; wins over what was said.
        slots: how slots are found; `data/scripts/slots.yaml` when None.

    Raises:
        ValueError: `known` has an unknown slot, or a value that cannot stand in a message; names it.
    """
    slots = slots or load_slots()
    given: dict[str, str] = {}
    withheld: set[str] = set()
    for name, value in (known or {}).items():
        text = _known_value(name, value)
        if not _PLAIN.match(text) and find(text):
            withheld.add(name)
        else:
            given[name] = text
    latest = [
        Turn(turn.role, unicodedata.normalize("NFKC", turn.text[:MAX_TURN]))
        for turn in list(turns)[-MAX_TURNS:]
    ]
    return SlotValues(slots, given, latest, withheld)


def _known_value(name: str, value: str) -> str:
    if name not in SLOTS:
        raise ValueError(f"slots.{name}: is unknown; known are {', '.join(SLOTS)}")
    text = value.strip() if isinstance(value, str) else ""
    if not text or len(text) > MAX_VALUE:
        raise ValueError(f"slots.{name}: expected a text of 1 to {MAX_VALUE} characters")
    if any(not char.isprintable() for char in text) or any(char in text for char in "{}【】"):
        raise ValueError(
            f"slots.{name}: has a line break, a control character, a brace or 【】; leave it out"
        )
    return text


def _found(slot: Slot, text: str) -> Iterator[tuple[int, int]]:
    seen = set()
    for pattern in slot.find:
        for match in pattern.finditer(text):
            span = match.span("v") if "v" in pattern.groupindex else match.span()
            if span not in seen:
                seen.add(span)
                yield span


def _clause(text: str, start: int, end: int) -> str:
    first = max((match.end() for match in _CLAUSE_END.finditer(text, 0, start)), default=0)
    after = _CLAUSE_END.search(text, end)
    return text[first : after.start() if after else len(text)]


def _topics(slot: Slot, clause: str) -> frozenset[str]:
    return frozenset(name for name, pattern in slot.topics.items() if pattern.search(clause))


def _match(slot: Slot, asked: frozenset[str], said: frozenset[str]) -> bool:
    if not slot.topics:
        return True
    return bool(asked & said) if slot.match == "any" else asked == said


def _with_unit(value: str, units: Sequence[str], before: str, after: str) -> str:
    if not units:
        return value
    following = next(
        (unit for unit in sorted(units, key=len, reverse=True) if unit and after.startswith(unit)), ""
    )
    if following:
        # 30元 + 元, ¥30 + 元, 红色 + 色
        value = value.removeprefix("¥").strip()
        return value.removesuffix(following) or value
    number = value.removeprefix("¥")
    if _NUMBER.match(number) and not before.endswith(("¥", "～", "~", "-")) and not after.startswith("个"):
        return number + units[0]
    return value


def _slot(name: str, raw: Any, where: str) -> Slot:
    if not isinstance(raw, dict) or (unknown := sorted(set(raw) - _FIELDS)):
        named = f"{unknown[0]}: is unknown" if isinstance(raw, dict) else "expected an object"
        raise ValueError(f"{where}: {named}; known are {', '.join(sorted(_FIELDS))}")
    if raw.get("zh") != SLOTS[name]:
        raise ValueError(f"{where}: zh: expected {SLOTS[name]!r}, got {raw.get('zh')!r}")
    roles = raw.get("from", list(ROLES))
    if not isinstance(roles, list) or not set(roles) <= set(ROLES) or not roles:
        raise ValueError(f"{where}: from: expected a list of {' and '.join(ROLES)}")
    if raw.get("match", "same") not in ("any", "same"):
        raise ValueError(f"{where}: match: expected any or same")
    try:
        patterns = tuple(
            REGION if one == "REGION" else re.compile(one, re.I if name == "tracking_no" else 0)
            for one in raw.get("find") or ()
        )
        topics = {key: re.compile(one) for key, one in (raw.get("topics") or {}).items()}
        # A gap named in the rule stands for itself: {courier} is no quantifier.
        ours = raw.get("ours")
        compiled = re.compile(re.sub(r"\{([a-z_]+)\}", r"\\{\1\\}", ours)) if ours else None
    except (re.error, TypeError, AttributeError) as error:
        raise ValueError(f"{where}: a pattern is no regular expression ({error})") from error
    for pattern in patterns:
        if pattern is not REGION and "v" not in pattern.groupindex:
            raise ValueError(f"{where}: find: {pattern.pattern!r} has no group (?P<v>…)")
    return Slot(
        name, raw["zh"], patterns, tuple(roles), topics, raw.get("match", "same"), compiled,
        tuple(raw.get("units") or ()), bool(raw.get("personal")),
    )  # fmt: skip


@lru_cache(maxsize=4)
def load_slots(path: Path | str = DEFAULT_PATH) -> Mapping[str, Slot]:
    """Read how slots are found.

    Raises:
        ValueError: the file cannot be read, a slot is unknown or missing, a pattern is wrong; names it.
    """
    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path}: {error}") from error
    slots = raw.get("slots") if isinstance(raw, dict) else None
    if not isinstance(slots, dict):
        raise ValueError(f"{path}: slots: expected an object")
    if wrong := sorted(set(slots) ^ set(SLOTS)):
        raise ValueError(f"{path}: slots.{wrong[0]}: is {'unknown' if wrong[0] in slots else 'missing'}")
    return {name: _slot(name, slots[name], f"{path}: slots.{name}") for name in SLOTS}
