"""The background that goes with a chat: what was asked, what was tried, what was promised, what is open.

Extracted, not invented: every entry is a sentence of the chat, masked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from assist.routing.schema import Handover, HandoverRequest, RouteTurn
from data.pii import mask
from data.taxonomy import Taxonomy, load_taxonomy
from data.text import normalise

__all__ = ["hand_over"]

_LONGEST, _MOST = 60, 4
_SENTENCE = re.compile(r"[^。！？!?；;\n]+[。！？!?；;]*")
# Said by customers without asking anything.
_EMPTY = re.compile(
    r"(?:在吗?|在不在|你好|您好|亲|嗯+|哦+|好的?|行|可以|谢谢|谢了|收到|稍等|等等|有人吗|人呢|喂|ok|对的?|是的?)*"
    r"[\s,.!?~，。！？～…呀啊呢吧哈]*\Z"
)
_ASKS = re.compile(
    r"[?？]|吗|呢\Z|怎么|为什么|为啥|什么|多久|多少|几天|哪|能不能|可以|帮我|我要|我想|麻烦|需要|要求|申请|退|换|赔|催|查|投诉|没收到|坏|错|少"
)
_TRIED = re.compile(
    r"已经?|(?:帮|给|替)您|我(?:先)?(?:查|看|核实|登记|联系|催|申请|反馈|备注|转)|(?:申请|登记|补发|退款|催|核实|拦截|备注)(?:了|好|过)"
)
_PROMISED = re.compile(
    r"(?:今天|今晚|明天|后天|下午|晚上|\d+|[一二两三四五六七八九十]+)(?:个)?(?:工作日|小时|分钟|天|点|前|之前|内|以内)"
    r"|(?:今天|今晚|明天|后天|尽快|稍后|马上).{0,12}(?:给|回|发|退|到|处理|联系|答复|安排|寄)"
)


def hand_over(request: HandoverRequest, taxonomy: Taxonomy | None = None) -> Handover:
    """Summarise a chat for whoever takes it over.

    Args:
        taxonomy: names categories and emotions; the embedded one when None.

    Raises:
        ValueError: an unknown category or emotion; names the field.
    """
    taxonomy = taxonomy or load_taxonomy()
    if request.category is not None and request.category not in taxonomy.category:
        raise ValueError(f"category: {request.category!r} is no category of the label schema")
    if request.emotion is not None and request.emotion not in taxonomy.emotion:
        raise ValueError(f"emotion: {request.emotion!r} is no emotion of the label schema")
    asked = _said(request.turns, "customer", _ASKS)
    tried = _said(request.turns, "agent", _TRIED)
    promised = _said(request.turns, "agent", _PROMISED)
    last = max((index for index, turn in enumerate(request.turns) if turn.role == "agent"), default=-1)
    waiting = [turn.text for turn in request.turns[last + 1 :] if not _EMPTY.match(normalise(turn.text))]
    open_words = _cut(mask(waiting[-1])) if waiting else ""
    return Handover(
        summary=_summary(request, taxonomy, asked, tried, promised, open_words), asked=asked, tried=tried,
        promised=promised, open=open_words, turns=len(request.turns),
    )  # fmt: skip


def _sentences(turns: Sequence[RouteTurn], role: str) -> Iterator[str]:
    for turn in turns:
        if turn.role == role:
            # Masked as a whole: a name beside a phone number is known by its neighbour.
            for match in _SENTENCE.finditer(mask(turn.text)):
                yield match.group().strip()


def _said(turns: Sequence[RouteTurn], role: str, pattern: re.Pattern[str]) -> list[str]:
    """Sentences that match, each once: the first of them and the latest others."""
    found: dict[str, str] = {}
    for sentence in _sentences(turns, role):
        normal = normalise(sentence)
        if pattern.search(normal) and not _EMPTY.match(normal):
            found.setdefault(normal, _cut(sentence))
    said = list(found.values())
    return said if len(said) <= _MOST else [said[0], *said[-(_MOST - 1) :]]


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _summary(
    request: HandoverRequest, taxonomy: Taxonomy, asked: list[str], tried: list[str], promised: list[str],
    open_words: str,
) -> str:  # fmt: skip
    about = f"（{taxonomy.category[request.category].zh}）" if request.category else ""
    parts = [f"客户{about}：“{asked[0]}”" if asked else f"客户{about}还没有说明诉求"]
    mood = [taxonomy.emotion[request.emotion].zh] if request.emotion else []
    if request.alert:
        mood.append(f"预警{request.alert}级")
    if mood:
        parts.append(f"当前{'，'.join(mood)}")
    by = f"{request.from_agent}" if request.from_agent else "客服"
    parts.append(f"{by}已处理：“{tried[-1]}”" if tried else f"{by}还没有采取措施")
    if promised:
        parts.append(f"答应过：“{promised[-1]}”")
    if open_words and open_words not in asked[:1]:
        parts.append(f"待回复：“{open_words}”")
    return "。".join(parts) + "。"
