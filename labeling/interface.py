"""The screen on which people label, generated from the label schema.

One control, `category`, holds both the model's shortcuts (from the task's `suggested`) and all
categories, so an annotation cannot say two things; the style sheet (`configs/screen.css`) puts the
shortcuts first.

Written against the editor of Label Studio 1.23: `Choices` takes children and a `value` at once, a
`Filter` searches the text of `value` while `html` is what one sees, and a control inside an invisible
`View` is not required.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.etree import ElementTree

from data.example import Turn
from data.taxonomy import Category, Emotion, Taxonomy, group_name
from labeling.label_words import boundary_rules, search_text

__all__ = [
    "adjudication_config",
    "chat_html",
    "check_config",
    "labeling_config",
    "required_data",
    "suggestions",
]

STYLE = Path(__file__).parent / "configs" / "screen.css"
SUGGESTED_KEYS = "12345"
EMOTION_KEYS = "qweasdzxctgvb"
SEARCH_KEY = "f"
UNDECIDED_KEY = "0"


def labeling_config(taxonomy: Taxonomy) -> str:
    """The labelling screen as Label Studio's XML: answers are keys of `taxonomy`.

    Controls are `category`, `emotion` and `undecided`, all on the object `chat`. Category and emotion
    are required unless `undecided` is set.
    """
    return _config(taxonomy, again=False)


def adjudication_config(taxonomy: Taxonomy) -> str:
    """The same screen for tasks that are looked at again: it shows why, and the competing answers.

    The shortcuts (`suggested`) are then the answers in competition.
    """
    return _config(taxonomy, again=True)


def required_data(again: bool = False) -> tuple[str, ...]:
    """Keys that every task's `data` must have; Label Studio refuses an import without them.

    `chat` from `chat_html`, `suggested` from `suggestions` (may be empty); with `again` (adjudication)
    also `reason`, a text, and `answers`, a list of texts such as "催发货 · 焦急（2 人）".
    """
    return ("chat", "suggested", "reason", "answers") if again else ("chat", "suggested")


def chat_html(text: str, context: Sequence[Turn] = ()) -> str:
    """The conversation as bubbles, the message to label last; every text is escaped."""
    bubbles = [(turn.role[0], turn.text) for turn in context] + [("t", text)]
    return "".join(f'<p class="{kind}">{html.escape(said, quote=False)}</p>' for kind, said in bubbles)


def suggestions(taxonomy: Taxonomy, ranked: Iterable[tuple[str, float | str]]) -> list[dict[str, str]]:
    """The shortcuts of a task from `(category, probability or note)`, best first: at most five.

    Raises:
        ValueError: a category is not in `taxonomy`.
    """
    shortcuts = []
    for hotkey, (key, note) in zip(SUGGESTED_KEYS, ranked, strict=False):
        if key not in taxonomy.category:
            raise ValueError(f"suggested: {key!r} is not a category of the label schema")
        shown = note if isinstance(note, str) else f"{note:.0%}" if note >= 0.01 else "<1%"
        shortcuts.append({"value": f"{taxonomy.category[key].zh} {shown}", "alias": key, "hotkey": hotkey})
    return shortcuts


def check_config(config: str, taxonomy: Taxonomy) -> list[str]:
    """What a project's labelling config lacks to be ours and of this schema; empty if nothing.

    Only controls and their keys count: a lead may restyle or reorder the screen.
    """
    try:
        root = ElementTree.fromstring(config)
    except ElementTree.ParseError as error:
        return [f"labelling config: not XML ({error})"]
    problems = []
    chat = root.find(".//*[@name='chat']")
    if chat is None or chat.get("value") != "$chat":
        problems.append("chat: no object tag of this name shows $chat")
    expected = {
        "category": list(taxonomy.category),
        "emotion": list(taxonomy.emotion),
        "undecided": ["undecided"],
    }
    for name, keys in expected.items():
        control = root.find(f".//Choices[@name='{name}']")
        if control is None:
            problems.append(f"{name}: no Choices control of this name")
            continue
        found = [choice.get("alias") or choice.get("value") for choice in control.iter("Choice")]
        lacking = [key for key in keys if key not in found]
        foreign = [str(key) for key in found if key not in keys]
        if lacking:
            problems.append(f"{name}: lacks {_some(lacking)}")
        if foreign:
            problems.append(f"{name}: {_some(foreign)} not in the label schema")
        if control.get("toName") != "chat":
            problems.append(f"{name}: labels {control.get('toName')!r} instead of chat")
        if control.get("choice") == "multiple":
            problems.append(f"{name}: lets people choose several")
        if name == "category" and control.get("value") != "$suggested":
            problems.append("category: does not show the shortcuts in $suggested")
    return problems


def _some(keys: Sequence[str]) -> str:
    rest = f" and {len(keys) - 5} more" if len(keys) > 5 else ""
    return ", ".join(keys[:5]) + rest


def _config(taxonomy: Taxonomy, again: bool) -> str:
    root = ElementTree.Element("View", className="kf kf-again" if again else "kf")
    rules = boundary_rules(taxonomy)
    ElementTree.SubElement(root, "Style").text = _style(taxonomy)
    left = _view(root, "kf-left")
    if again:
        _reason(left)
    ElementTree.SubElement(_view(left, "kf-chat"), "HyperText", name="chat", value="$chat", inline="true")
    right = _view(root, "kf-right")
    _help(right, len(taxonomy.emotions))
    top = _view(right, "kf-top")
    ElementTree.SubElement(
        _view(top, "kf-find"),
        "Filter",
        name="search",
        toName="category",
        hotkey=SEARCH_KEY,
        minlength="1",
        placeholder="搜索类目 [F]：中文、拼音首字母（催发货 = cfh）、说明里的词，回车选中第一个",
    )
    undecided = ElementTree.SubElement(_view(top, "kf-flag"), "Choices", name="undecided", toName="chat")
    ElementTree.SubElement(
        undecided,
        "Choice",
        value="拿不准",
        alias="undecided",
        html=f"<kbd>{UNDECIDED_KEY}</kbd>拿不准",
        hotkey=UNDECIDED_KEY,
    )
    # Invisible to the editor once "undecided" is set, so neither answer is required then; the style
    # sheet keeps it on the screen, for a best guess.
    body = _view(right, "kf-body", visibleWhen="choice-unselected", whenTagName="undecided")
    category = _choices(_view(body, "kf-cat"), "category", "请选择一个类目，或标记“拿不准”")
    category.set("value", "$suggested")
    for group in taxonomy.groups:
        row = _view(category, "kf-group")
        ElementTree.SubElement(row, "Header", value=group_name(group))
        chips = _view(row, "kf-chips")
        for place, item in enumerate(taxonomy.categories):
            if item.group == group:
                ElementTree.SubElement(
                    chips,
                    "Choice",
                    value=search_text(item, taxonomy),
                    alias=item.key,
                    html=f'<span class="k-{item.key}">{html.escape(item.zh)}{_meaning(item, rules)}</span>',
                    hotkey=_unreachable(place),
                )
    emotion = _choices(_view(body, "kf-emo"), "emotion", "请选择情绪，或标记“拿不准”")
    for place, mood in enumerate(taxonomy.emotions):
        hotkey = EMOTION_KEYS[place : place + 1]
        shown = f"<kbd>{hotkey.upper()}</kbd>" if hotkey else ""
        shown += f"<b>{html.escape(mood.zh)}</b><em>{html.escape(mood.definition)}</em>"
        ElementTree.SubElement(
            emotion,
            "Choice",
            value=mood.zh,
            alias=mood.key,
            html=shown + _meaning(mood, rules),
            hotkey=hotkey or _unreachable(1000 + place),
        )
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode")


def _view(parent: ElementTree.Element, name: str, **attributes: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, "View", {"className": name, **attributes})


def _choices(parent: ElementTree.Element, name: str, message: str) -> ElementTree.Element:
    return ElementTree.SubElement(
        parent,
        "Choices",
        name=name,
        toName="chat",
        choice="single-radio",
        required="true",
        requiredMessage=message,
    )


def _reason(parent: ElementTree.Element) -> None:
    why = _view(parent, "kf-why")
    ElementTree.SubElement(why, "Text", name="reason", value="$reason")
    # A list in the task's data: one read-only line for each competing answer.
    answers = ElementTree.SubElement(_view(why, "kf-answers"), "Repeater", on="$answers", indexFlag="{{idx}}")
    ElementTree.SubElement(answers, "Text", name="answer_{{idx}}", value="$answers[{{idx}}]")


def _help(parent: ElementTree.Element, emotions: int) -> None:
    keys = " ".join(EMOTION_KEYS[:emotions].upper())
    box = _view(parent, "kf-help")
    for line in (
        f"类目：1–5 选最上面一排，或直接点，或按 {SEARCH_KEY.upper()} 搜索　·　情绪：{keys}　·　"
        f"拿不准：{UNDECIDED_KEY}　·　提交：Ctrl+Enter",
        "鼠标停在类目或情绪上，这里显示它的定义和与相近标签的界线。账户设置里可以把提交改成空格键。",
        "只按最后一句（橙色框）的诉求选类目，上文用来理解它；两个都像时选更具体的，一句两事时选先要办的。",
    ):
        ElementTree.SubElement(box, "Header", value=line)


def _meaning(item: Category | Emotion, rules: dict[str, list[str]]) -> str:
    lines = [f"{item.zh}：{item.definition}", *rules.get(item.key, ())]
    return "<i>" + "".join(f"<u>{html.escape(line)}</u>" for line in lines) + "</i>"


def _style(taxonomy: Taxonomy) -> str:
    """The style sheet, with what ties a shortcut to its category: highlight and meaning."""
    marked, meant, pointed = [], [], []
    for item in taxonomy.categories:
        radio = f'[name^="{_css_text(item.zh)} "]'
        chosen = f".kf-cat:has({radio}:checked)"
        marked.append(f"{chosen} label:has(.k-{item.key})")
        meant.append(f"{chosen} .k-{item.key} i")
        pointed.append(f".kf-cat:has(label:hover {radio}) .k-{item.key} i")
    return "\n".join(
        (
            STYLE.read_text(encoding="utf-8"),
            ", ".join(marked) + " { border-color: var(--color-primary-surface); }",
            ", ".join(meant) + " { display: block; }",
            ", ".join(pointed) + " { display: block; z-index: 2; }",
        )
    )


def _css_text(text: str) -> str:
    # Escaped as code points: quotes end the string, and the editor would turn "<" into "&lt;".
    return re.sub(r"[^\w]", lambda match: f"\\{ord(match[0]):x} ", text)


def _unreachable(place: int) -> str:
    """A hotkey that no keyboard sends: without one of its own, a choice is given some free letter."""
    return chr(0x4E00 + place)
