"""The texts of `data/scripts`, read and checked: a text of a `Library` can be sent once its slots are filled.

Every row that is wrong is refused with file, line and field. How many texts a category needs, and how they
read together, is the business of `python -m assist.scripts.check`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from data.files import read_jsonl
from data.taxonomy import Taxonomy, load_taxonomy

__all__ = [
    "CONDITIONS",
    "DEFAULT_FOLDER",
    "KINDS",
    "SLOTS",
    "STEPS",
    "TONES",
    "Library",
    "Script",
    "fingerprint",
    "load_library",
    "parse_script",
    "slots_of",
]

DEFAULT_FOLDER = Path(__file__).resolve().parent.parent.parent / "data" / "scripts"
KINDS = ("solution", "opening", "closing", "soothing")
TONES = ("warm", "formal", "lively")
CONDITIONS = (
    "unpaid",
    "paid_unshipped",
    "shipped",
    "signed",
    "returning",
    "refunding",
    "in_stock",
    "out_of_stock",
    "presale_item",
    "opened",
    "unopened",
    "over_7_days",
    "within_7_days",
    "remote_area",
    "member",
    "bulk",
    "gift_promised",
    "custom_made",
    "evidence_given",
    "evidence_missing",
    "platform_involved",
)
"""What may have to hold of an order for a solution to fit."""
SLOTS: Mapping[str, str] = {
    "order_id": "订单号",
    "product": "商品",
    "spec": "规格",
    "color": "颜色",
    "size": "尺码",
    "days": "天数",
    "hours": "小时数",
    "date": "日期",
    "time": "时间点",
    "amount": "金额",
    "percent": "比例",
    "quantity": "件数",
    "tracking_no": "快递单号",
    "courier": "快递公司",
    "station": "驿站/网点",
    "city": "城市",
    "ticket_id": "售后单号",
    "coupon": "优惠券",
    "activity": "活动名",
    "link": "链接",
    "phone": "联系电话",
    "warehouse": "退货仓",
    "specialist": "专员/部门",
    "invoice_title": "抬头",
    "material": "材质",
    "other_product": "另一款商品",
}
"""Names of the gaps in a text and what agents call them."""
STEPS: Mapping[str, tuple[str, ...]] = {
    "LAMA": ("listen", "apologise", "make_right", "appreciate"),
    "HEAT": ("hear", "empathise", "apologise", "take_action"),
}
"""Steps of the two soothing methods, in their order: complaints (LAMA), agitated customers (HEAT)."""
MAX_TEXT = 500
MAX_NOTE = 200
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}\Z")
_SLOT = re.compile(r"\{([a-z_]+)\}")
_SILENT = re.compile(r"[\s，。！？、；：~～,.!?;:…—-]+")
_COMMON = {"id", "kind", "tone", "text", "note"}
_FIELDS: Mapping[str, set[str]] = {
    "solution": _COMMON | {"category", "when"},
    "opening": _COMMON | {"alerts", "after"},
    "closing": _COMMON | {"alerts", "after"},
    "soothing": _COMMON | {"method", "step", "emotions", "alerts"},
}


@dataclass(frozen=True, slots=True)
class Script:
    """One text of the library (话术): a part of a reply, with gaps `{slot}`."""

    id: str
    kind: str
    """One of `KINDS`."""
    text: str
    tone: str
    category: str | None = None
    """A solution's category of the label schema."""
    when: tuple[str, ...] = ()
    """`CONDITIONS` of the order that all must hold; none: fits always."""
    note: str = ""
    """What the agent must check or must not promise, in Chinese."""
    alerts: tuple[int, ...] = ()
    """Alert levels at which an opening, closing or soothing text may stand."""
    after: tuple[str, ...] = ()
    """Categories that an opening or closing is made for; none: any."""
    method: str = ""
    """LAMA or HEAT, of a soothing text."""
    step: str = ""
    """The step of that method."""
    emotions: tuple[str, ...] = ()
    """Feelings that a soothing text answers."""

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of its gaps, in order, each once."""
        return slots_of(self.text)


@dataclass(frozen=True)
class Library:
    """Scripts in the order of their files; ids are unique."""

    scripts: tuple[Script, ...]
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where a script was read, `file:line` by id."""

    @cached_property
    def by_id(self) -> dict[str, Script]:
        """Every script by its id."""
        return {script.id: script for script in self.scripts}

    @cached_property
    def solutions(self) -> tuple[Script, ...]:
        """The middle part of replies, of all categories."""
        return self._of_kind("solution")

    @cached_property
    def openings(self) -> tuple[Script, ...]:
        """Greetings."""
        return self._of_kind("opening")

    @cached_property
    def closings(self) -> tuple[Script, ...]:
        """Last sentences."""
        return self._of_kind("closing")

    @cached_property
    def soothing(self) -> tuple[Script, ...]:
        """Texts for hurt feelings."""
        return self._of_kind("soothing")

    @cached_property
    def by_category(self) -> dict[str, tuple[Script, ...]]:
        """Solutions of each category that has any."""
        found: dict[str, list[Script]] = {}
        for script in self.solutions:
            found.setdefault(script.category or "", []).append(script)
        return {key: tuple(scripts) for key, scripts in found.items()}

    def _of_kind(self, kind: str) -> tuple[Script, ...]:
        return tuple(script for script in self.scripts if script.kind == kind)

    def __len__(self) -> int:
        return len(self.scripts)


def slots_of(text: str) -> tuple[str, ...]:
    """Names of the gaps `{name}` in a text, in order, each once."""
    return tuple(dict.fromkeys(_SLOT.findall(text)))


def fingerprint(text: str) -> str:
    """What two texts share that differ in spaces and punctuation only."""
    return _SILENT.sub("", text)


def parse_script(row: Mapping[str, Any], kind: str, taxonomy: Taxonomy, where: str) -> Script:
    """Check one row of a library file.

    Args:
        row: the parsed row.
        kind: one of `KINDS`.
        taxonomy: whose categories, emotions and alert levels it may name.
        where: `file:line` for error messages.

    Raises:
        ValueError: names file, line and field, and what is expected.
    """
    if kind not in KINDS:
        raise ValueError(f"{where}: kind: {kind!r} is not one of {', '.join(KINDS)}")
    if unknown := sorted(set(row) - _FIELDS[kind]):
        raise ValueError(
            f"{where}: {unknown[0]}: is unknown for a {kind}; known are {', '.join(sorted(_FIELDS[kind]))}"
        )
    if not isinstance(row.get("id"), str) or not _ID.match(row["id"]):
        raise ValueError(
            f"{where}: id: expected 1 to 64 letters, digits or _.:- (none of these first), "
            f"got {row.get('id')!r}"
        )
    if row.get("kind", kind) != kind:
        raise ValueError(f"{where}: kind: {row['kind']!r} in a file of {kind}s")
    text = _text(row, "text", MAX_TEXT, where)
    _check_slots(text, where)
    note = row.get("note", "")
    if not isinstance(note, str) or len(note) > MAX_NOTE:
        raise ValueError(f"{where}: note: expected a text of at most {MAX_NOTE} characters")
    tone = _one_of(row, "tone", TONES, where)
    categories = taxonomy.category
    if kind == "solution":
        return Script(
            row["id"], kind, text, tone, _one_of(row, "category", categories, where),
            when=_some_of(row, "when", CONDITIONS, where, empty=True), note=note,
        )  # fmt: skip
    levels = [level.level for level in taxonomy.alerts]
    alerts = _some_of(row, "alerts", levels, where, empty=False)
    if kind == "soothing":
        method = _one_of(row, "method", STEPS, where)
        return Script(
            row["id"], kind, text, tone, note=note, alerts=alerts, method=method,
            step=_one_of(row, "step", STEPS[method], where),
            emotions=_some_of(row, "emotions", taxonomy.emotion, where, empty=False),
        )  # fmt: skip
    after = _some_of(row, "after", categories, where, empty=True)
    return Script(row["id"], kind, text, tone, note=note, alerts=alerts, after=after)


def _text(row: Mapping[str, Any], name: str, most: int, where: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{where}: {name}: expected a text, got {value!r}")
    if value != value.strip() or "\n" in value or "\r" in value:
        raise ValueError(f"{where}: {name}: has spaces at an end, or a line break; write it in one line")
    if len(value) > most:
        raise ValueError(f"{where}: {name}: has {len(value)} characters; at most {most} fit a message")
    return value


def _check_slots(text: str, where: str) -> None:
    for name in slots_of(text):
        if name not in SLOTS:
            raise ValueError(f"{where}: text: slot {{{name}}} is unknown; known are {', '.join(SLOTS)}")
    if any(brace in _SLOT.sub("", text) for brace in "{}"):
        raise ValueError(
            f"{where}: text: has a brace that belongs to no slot; slots are written {{order_id}}"
        )


def _one_of(row: Mapping[str, Any], name: str, known: Iterable[str], where: str) -> str:
    value = row.get(name)
    names = list(known)
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{where}: {name}: {value!r} is not one of {', '.join(names)}")
    return value


def _some_of(row: Mapping[str, Any], name: str, known: Iterable[Any], where: str, *, empty: bool) -> Any:
    values = row.get(name, [])
    names = list(known)
    if not isinstance(values, list) or (not values and not empty):
        raise ValueError(f"{where}: {name}: expected a list of some of {', '.join(map(str, names))}")
    for value in values:
        # `True == 1`, so the type counts as well.
        if value not in names or type(value) is not type(names[names.index(value)]):
            raise ValueError(f"{where}: {name}: {value!r} is not one of {', '.join(map(str, names))}")
    if len(set(values)) < len(values):
        raise ValueError(f"{where}: {name}: names one twice")
    return tuple(values)


def _files(folder: Path) -> list[tuple[Path, str]]:
    files = [(path, "solution") for path in sorted((folder / "solutions").glob("*.jsonl"))]
    parts = (("openings", "opening"), ("closings", "closing"), ("soothing", "soothing"))
    return files + [(folder / f"{name}.jsonl", kind) for name, kind in parts]


def load_library(
    folder: Path | str = DEFAULT_FOLDER,
    *,
    own: Path | str | None = None,
    taxonomy: Taxonomy | None = None,
) -> Library:
    """Read `solutions/*.jsonl`, `openings.jsonl`, `closings.jsonl` and `soothing.jsonl` of a folder.

    Args:
        folder: a library in the form of `data/scripts`.
        own: a shop's own library besides (`assist.scripts.importing` writes it); its rows name their `kind`.
        taxonomy: the label schema; the embedded one when None.

    Raises:
        ValueError: names file, line and field of the first wrong row: an unknown slot, category or condition,
            an id or a text that occurs twice, a part that is missing.
    """
    taxonomy = taxonomy or load_taxonomy()
    base = Path(folder)
    scripts: list[Script] = []
    sources: dict[str, str] = {}
    texts: dict[tuple[str, str], str] = {}
    files: list[tuple[Path, str | None]] = [*_files(base)]
    if own is not None:
        files.append((Path(own), None))
    for path, kind in files:
        if not path.is_file():
            raise ValueError(
                f"{path}: is missing; a library has solutions, openings, closings and soothing texts"
            )
        for number, row in read_jsonl(path):
            where = f"{path}:{number}"
            script = parse_script(row, kind or str(row.get("kind")), taxonomy, where)
            if script.id in sources:
                raise ValueError(f"{where}: id: {script.id!r} is taken by {sources[script.id]}")
            same = (script.kind, fingerprint(script.text))
            if same in texts:
                raise ValueError(f"{where}: text: is the text of {texts[same]}; keep one of them")
            sources[script.id] = texts[same] = where
            scripts.append(script)
    library = Library(tuple(scripts), sources)
    for one in KINDS:
        if not any(script.kind == one for script in scripts):
            raise ValueError(f"{base}: holds no {one}")
    return library
