"""Whether a sentence rests on the passages it cites: words, numbers with their units, and negations.

Lexical, on purpose: it explains itself (the words that are not found are named), it cannot be talked round,
and it costs a millisecond. What it cannot see is a wrong conclusion in the passage's own words; a person
reads the draft.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from assist.knowledge.terms import FUNCTION_CHARACTERS, Synonyms, fold, strip_talk

__all__ = ["Problem", "check_sentence"]

_ENOUGH = 0.62
"""Share of a sentence's characters that must stand in the passages."""
_ALIKE = 0.5
"""Shared bigrams from which two clauses speak of one thing."""
_CLAUSE = re.compile(r"[^，,；;。！？!?：:、\n]+")
_SENTENCE = re.compile(r"[^。！？!?\n]+")
_UNITS = (
    "个工作日|工作日|小时|分钟|个月|月|天|日|年|岁|层|升|毫升|米|厘米|毫米|公斤|克|千克|元|块|件|套|折|"
    "瓦|伏|赫兹|度|次|档|斤|倍|步|个|把|根|只|条|包|勺|张|份|%|点|支|分|kg|ml|cm|mm|w|v|l|k"
)
_NUMBER = re.compile(rf"(?<![a-z\d.])(\d+(?:\.\d+)?)\s*({_UNITS})?", re.I)
_RANGE = re.compile(r"(\d+(?:\.\d+)?)\s*(?:到|至|-|~|×)\s*\d")
_SAME_UNIT = {
    "个工作日": "工作日",
    "个月": "月",
    "日": "天",
    "块": "元",
    "千克": "公斤",
    "kg": "公斤",
    "ml": "毫升",
    "cm": "厘米",
    "mm": "毫米",
    "w": "瓦",
    "v": "伏",
    "l": "升",
}
_CODE = re.compile(r"[a-z]+\d[a-z0-9]*|[a-z]{3,}", re.I)
_NOT_NEGATION = re.compile(
    r"不锈钢|不粘|不沾|无理由|无门槛|无线|不同|不但|不仅|不管|不论|不过|不少|不断|不久|未来|非常|没关系|别人|别的|分别|特别"
    r"|能不能|可不可以|是不是|要不要|会不会|有没有|行不行|差不多|不好意思"
)
_NEGATION = re.compile("不|没|无|未|勿|别|非|禁止|拒绝|除外|取消")
_MODAL = re.compile(
    "可以|能够|能|会|要|支持|允许|请|也|都|就|还|才|是|的|了|呢|吗|哦|哈|您|亲|我们|本店|这边|需要"
)
# (said, said by the passage instead): contrary without a negation.
_CONTRARY = (
    (r"免费|不收费|不用付", r"收费|付费|由买家出|补\s*\d+\s*元"),
    (r"收费|付费", r"免费|不收"),
    (r"(?:本店|我们|店铺|商家)(?:承担|出)", r"买家出|买家承担"),
    (r"(?:您|买家|自己|自行|顾客)(?:来)?(?:承担|出(?!库|现|来))", r"本店出|本店承担"),
    (r"以上|超过|多于", r"以内|以下|不超过"),
    (r"(?<!不)包邮", r"不包邮"),
)
# Courtesies claim nothing.
_COURTESY = re.compile(
    r"您好|你好|亲爱的|亲|感谢您?的?(?:咨询|理解|支持|耐心)?|谢谢|很高兴为您(?:服务|解答)|抱歉|不好意思|希望(?:能)?帮到您"
    r"|(?:如果|若)?(?:您)?(?:还)?有(?:其他|别的|任何)?(?:问题|疑问|需要)[^。]{0,12}(?:联系|告诉|咨询|找)[^。]{0,8}"
    r"|祝您[^。，]{0,10}|请放心|根据(?:资料|说明|规定)|关于您(?:问|说)的"
)

Kind = Literal["unsupported", "number", "negation"]


@dataclass(frozen=True, slots=True)
class Problem:
    """What a sentence says that its passages do not: `words` is the sentence's `[start:end]`."""

    kind: Kind
    words: str
    start: int
    end: int
    reason: str
    fix: str


def check_sentence(sentence: str, passages: Sequence[str], synonyms: Synonyms) -> list[Problem]:
    """What in a sentence is not supported.

    Args:
        sentence: of a draft, without its citation marks.
        passages: texts that it may rest on, headings included; none: only courtesies pass.
        synonyms: words of one meaning count as found.

    Returns:
        Problems in the order of the text; empty where every number, negation and most words are found.
    """
    evidence = ["\n".join(map(fold, passage.splitlines())) for passage in passages]
    found = [*_numbers(sentence, evidence), *_negations(sentence, evidence)]
    if (problem := _words(sentence, evidence, synonyms)) is not None:
        found.append(problem)
    return sorted(found, key=lambda problem: problem.start)


def _words(sentence: str, evidence: Sequence[str], synonyms: Synonyms) -> Problem | None:
    claim = strip_talk(fold(_COURTESY.sub(" ", sentence)))
    if sum(character.isalnum() for character in claim) < 2:
        return None
    known = " ".join(evidence)
    covered = [False] * len(claim)
    for index in range(len(claim) - 1):
        pair = claim[index : index + 2]
        if pair.isalnum() and pair in known:
            covered[index] = covered[index + 1] = True
    groups = {group for group, _, _ in synonyms.spans(known)}
    for group, start, end in synonyms.spans(claim):
        if group in groups:
            covered[start:end] = [True] * (end - start)
    content = [
        index
        for index, character in enumerate(claim)
        if character.isalnum() and (covered[index] or character not in FUNCTION_CHARACTERS)
    ]
    if not content:
        return None
    share = sum(covered[index] for index in content) / len(content)
    if share >= _ENOUGH:
        return None
    body = sentence.strip()
    start = sentence.index(body) if body else 0
    return Problem(
        "unsupported",
        body,
        start,
        start + len(body),
        "引用的资料里没有这样的说法" if evidence else "这句话没有引用资料",
        "删掉这句，或先查到依据",
    )


def _numbers(sentence: str, evidence: Sequence[str]) -> list[Problem]:
    known = {pair for text in evidence for pair in _values(text)}
    anything = {value for value, _ in known}
    # The first number of "1 到 5 个工作日" stands without its unit.
    begins = {float(found[1]) for text in evidence for found in _RANGE.finditer(text)}
    problems = []
    for value, unit, start, end in _placed_numbers(sentence):
        right = (value, unit) in known or value in begins or (not unit and value in anything)
        if not right:
            problems.append(
                Problem(
                    "number",
                    sentence[start:end],
                    start,
                    end,
                    "引用的资料里没有这个数字或单位",
                    "按资料核对数字、日期和单位",
                )
            )
    codes = {code.lower() for text in evidence for code in _CODE.findall(text)}
    problems += [
        Problem(
            "number", found[0], found.start(), found.end(), "引用的资料里没有这个型号或名称", "按资料核对"
        )
        for found in _CODE.finditer(sentence)
        if found[0].lower() not in codes
    ]
    return problems


def _values(text: str) -> Iterable[tuple[float, str]]:
    for found in _NUMBER.finditer(text):
        unit = (found[2] or "").lower()
        yield float(found[1]), _SAME_UNIT.get(unit, unit)


def _placed_numbers(sentence: str) -> Iterable[tuple[float, str, int, int]]:
    """Numbers of an unfolded sentence, small Chinese ones before a unit included, with their places."""
    for found in re.finditer(rf"(?<![a-zA-Z\d.])\d+(?:\.\d+)?(?:\s*(?:{_UNITS}))?", sentence, re.I):
        yield from ((value, unit, found.start(), found.end()) for value, unit in _values(fold(found[0])))
    for found in re.finditer(rf"(?<![第双])[一二两三四五六七八九十百]+(?:{_UNITS})", sentence):
        folded = fold(found[0])
        if folded[:1].isdigit():
            yield from ((value, unit, found.start(), found.end()) for value, unit in _values(folded))


def _negations(sentence: str, evidence: Sequence[str]) -> list[Problem]:
    clauses = [found[0] for text in evidence for found in _CLAUSE.finditer(text)]
    sentences = [found[0] for text in evidence for found in _SENTENCE.finditer(text)]
    problems = []
    for found in _CLAUSE.finditer(sentence):
        said = fold(found[0])
        core = _core(said)
        pairs = _pairs(core)
        if not core:
            continue
        # A clause of one or two characters (不能选) is only compared with its like.
        near = (
            _near(pairs, clauses)
            if len(pairs) > 1
            else [clause for clause in clauses if _core(clause) == core]
        )
        words = found[0].strip()
        start = found.start() + found[0].index(words)
        if near and all(_negative(clause) != _negative(said) for clause in near):
            reason = "资料的说法相反：" + min(near, key=len).strip()[:40]
        elif len(pairs) > 1 and (contrary := _contrary(said, _near(pairs, sentences))):
            reason = "资料的说法相反：" + contrary.strip()[:40]
        else:
            continue
        problems.append(Problem("negation", words, start, start + len(words), reason, "按资料改正肯定和否定"))
    return problems


def _contrary(said: str, near: Sequence[str]) -> str | None:
    for mine, theirs in _CONTRARY:
        if re.search(mine, said) and not any(re.search(mine, clause) for clause in near):
            for clause in near:
                if re.search(theirs, clause):
                    return clause
    return None


def _near(pairs: set[str], texts: Sequence[str]) -> list[str]:
    """The texts that share most of the pairs; none where they share less than half."""
    shares = [(len(pairs & _pairs(_core(text))) / len(pairs), text) for text in texts]
    best = max((share for share, _ in shares), default=0.0)
    return [text for share, text in shares if share >= best * 0.85] if best >= _ALIKE else []


def _negative(clause: str) -> bool:
    return len(_NEGATION.findall(_NOT_NEGATION.sub("", clause))) % 2 == 1


def _core(clause: str) -> str:
    """A clause without its negations and modal words: what it speaks of."""
    kept = _NOT_NEGATION.sub(lambda found: found[0].replace("不", "丕").replace("无", "旡"), clause)
    kept = re.sub("(?<=不)用(?=[一-鿿])", "", kept)  # 不用领券 denies 需要领券
    return _MODAL.sub("", _NEGATION.sub("", kept)).replace(" ", "")


def _pairs(core: str) -> set[str]:
    return {core[index : index + 2] for index in range(len(core) - 1)}
