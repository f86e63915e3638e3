"""What search compares: character bigrams, tokens, numbers and concepts of a text.

Bigrams instead of words: no dictionary that would have to know 恒温款 or 沥水篮, and a typing error spoils
two bigrams, not a whole word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

from data.text import normalise

__all__ = [
    "DEFAULT_SYNONYMS",
    "FUNCTION_CHARACTERS",
    "Synonyms",
    "bigrams",
    "fold",
    "runs",
    "single",
    "strip_talk",
    "terms",
]

DEFAULT_SYNONYMS = Path(__file__).resolve().parents[2] / "data" / "shop_knowledge" / "synonyms.yaml"

_DIGITS = {"零": 0, "一": 1, "二": 2, "两": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9}
_CHINESE_NUMBER = re.compile(
    r"(?<![一二三四五六七八九十百千万第之双])(?:[一二两三四五六七八九]?百)?(?:[一二两三四五六七八九]?十)?[零一二两三四五六七八九]?"
    r"(?=个?(?:小时|分钟|月|星期)|天|年|岁|层|升|米|厘米|毫升|公斤|元|块|件|套|折|瓦|度|次|档|斤|倍|步)"
)
_HALF_UNIT = re.compile(r"(?<![\d.])(\d+)(米|升)(\d)(?![\d.]|米|升|厘米|毫)")  # 1米8
_RUN = re.compile(r"[a-z][a-z0-9_\-]*|\d+(?:\.\d+)?|[㐀-鿿]+")
# Politeness and the frame of a question: they say nothing about what is asked. Longest first.
_TALK_WORDS = """
请问 你好 您好 在吗 在不在 麻烦 一下 我想问 想问 问一下 想问问 想知道 想咨询 咨询一下 能不能
可不可以 可以 是不是 有没有 会不会 要不要 行不行 用不用 怎么办 什么时候 啥时候 怎么样 怎么弄 怎么
咋办 什么 为什么 为啥 哪些 哪个 哪种 哪款 多少 这个 那个 这款 那款 这种 你们家 你们 我们 咱们 咱家
我家 店里 你家 帮我 帮忙 告诉我 谢谢 客服 老板 掌柜的 亲爱的 宝子 亲亲 现在 到底 一般 应该 需要
的话 如果 但是 然后 就是 还是 不过 已经 刚刚 昨天 今天 一个 我的 你的 买的 老是 亲 吗 呢 啊 呀 吧
嘛 哦 哈 哎 的 了 么 呗 哒 嗯 咋 啥
"""
FUNCTION_CHARACTERS = frozenset("我你您是在也都就还又很那这有能会想要给被把让和跟与或滴几弄搞整不来去对")
"""They say little alone, but are parts of words (会 of 会员): pairs with them count where known."""
_TALK = sorted(_TALK_WORDS.split(), key=len, reverse=True)
_TALK_PATTERN = re.compile("|".join(map(re.escape, _TALK)))


def fold(text: str) -> str:
    """Normalised text whose small Chinese numbers before a unit are digits: 七天 and 7天 are one."""
    return _HALF_UNIT.sub(r"\1.\3\2", _CHINESE_NUMBER.sub(_number, normalise(text)))


def _number(found: re.Match[str]) -> str:
    word = found[0]
    if not word:
        return ""
    total, current = 0, None
    for character in word:
        if character == "百":
            total, current = total + (1 if current is None else current) * 100, None
        elif character == "十":
            total, current = total + (1 if current is None else current) * 10, None
        else:
            current = _DIGITS[character]
    return str(total + (current or 0))


def strip_talk(text: str) -> str:
    """A folded question without its frame; what is cut leaves blanks: places stay, no new pair arises."""
    left = _TALK_PATTERN.sub(lambda found: " " * len(found[0]), text)
    return left if _RUN.search(left) else text


def runs(text: str) -> list[tuple[int, str]]:
    """(position, run) of Chinese characters, Latin words and numbers of a folded text."""
    return [(found.start(), found[0]) for found in _RUN.finditer(text)]


def bigrams(run: str) -> list[str]:
    """Neighbouring pairs; the run itself where it is one character long."""
    return [run[index : index + 2] for index in range(len(run) - 1)] or [run]


def single(character: str) -> str:
    """The index term of one character."""
    return f"·{character}"


def terms(text: str) -> list[str]:
    """Bigrams and single characters (marked) of the Chinese runs, whole Latin words and numbers of a folded
    text, with repetitions.
    """
    found: list[str] = []
    for _, run in runs(text):
        if run[0] > "\u3000":
            found += [run[index : index + 2] for index in range(len(run) - 1)]
            found += [single(character) for character in run]
        else:
            found.append(run)
    return found


@dataclass(frozen=True)
class Synonyms:
    """Groups of words of one meaning, and common typing errors.

    Attributes:
        groups: the words of each group, folded.
        wrong: typing error -> what was meant, folded.
        version: of the file.
    """

    groups: tuple[tuple[str, ...], ...]
    wrong: Mapping[str, str]
    version: int

    @classmethod
    def read(cls, path: Path | str = DEFAULT_SYNONYMS) -> Synonyms:
        """Read a file of the form of data/shop_knowledge/synonyms.yaml.

        Raises:
            ValueError: names the file and the group that is wrong.
        """
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        if not isinstance(raw, dict) or not isinstance(raw.get("version"), int):
            raise ValueError(f"{path}: version: expected an integer")
        groups = raw.get("groups") or []
        for number, group in enumerate(groups, 1):
            if not isinstance(group, list) or len(group) < 2:
                raise ValueError(f"{path}: groups[{number}]: expected two or more words")
        wrong = raw.get("wrong") or {}
        return cls(
            tuple(tuple(fold(str(word)) for word in group) for group in groups),
            {fold(str(word)): fold(str(meant)) for word, meant in wrong.items()},
            raw["version"],
        )

    def correct(self, text: str) -> str:
        """A folded text with its known typing errors put right."""
        for word, meant in self.wrong.items():
            text = text.replace(word, meant)
        return text

    def words(self) -> Iterable[str]:
        """Every word of every group."""
        return (word for group in self.groups for word in group)

    def spans(self, text: str) -> list[tuple[int, int, int]]:
        """(group, start, end) of every word of a group in a folded text.

        A word inside a longer word of another group does not count: 锅 is not found in 铁锅.
        """
        pattern, of = _pattern(self.groups)
        if pattern is None:
            return []
        return [
            (group, found.start(), found.end()) for found in pattern.finditer(text) for group in of[found[0]]
        ]


@lru_cache(maxsize=8)
def _pattern(
    groups: tuple[tuple[str, ...], ...],
) -> tuple[re.Pattern[str] | None, dict[str, tuple[int, ...]]]:
    of: dict[str, tuple[int, ...]] = {}
    for number, group in enumerate(groups):
        for word in group:
            if word:
                of[word] = (*of.get(word, ()), number)
    longest = sorted(of, key=lambda word: (-len(word), word))
    return (re.compile("|".join(map(re.escape, longest))) if longest else None), of
