"""Labels in the annotators' words: groups in Chinese, boundary rules without keys, what a search finds."""

from __future__ import annotations

import re

from data.taxonomy import Category, Taxonomy

__all__ = ["boundary_rules", "pinyin_initials", "search_text"]

_KEY = re.compile(r"[a-z][a-z0-9_]*")
# GB 2312 sorts its common characters by pinyin: the first character of each initial.
_FIRSTS = [first.encode("gb2312") for first in "啊芭擦搭蛾发噶哈击喀垃妈拿哦啪期然撒塌挖昔压匝"]
_LETTERS = "abcdefghjklmnopqrstwxyz"
_COMMON = (b"\xb0\xa1", b"\xd7\xf9")


def search_text(item: Category, taxonomy: Taxonomy) -> str:
    """What a category is found by: its name, the name's pinyin initials, its key, words of its definition.

    A search shows hits in the order of the schema and takes the first. So a word of a definition that
    sounds like another category's name is left out, or it would stand before that category.
    """
    others = {pair for other in taxonomy.categories for pair in _pairs(other.zh)} - _pairs(item.zh)
    words = [word for word in re.findall(r"\w+", item.definition) if not _pairs(word) & others]
    return " ".join((item.zh, pinyin_initials(item.zh), item.key, *words))


def boundary_rules(taxonomy: Taxonomy) -> dict[str, list[str]]:
    """The schema's boundary rules by the labels that they speak of, with Chinese names in place of keys."""
    names = {item.key: item.zh for item in taxonomy.categories} | {"emotion": "情绪"}
    names |= {mood.key: mood.zh for mood in taxonomy.emotions}
    rules: dict[str, list[str]] = {}
    for rule in taxonomy.boundaries:
        words = set(_KEY.findall(rule))
        keys = sorted(words & set(names))
        said = names | _short_forms(words - set(keys), keys, names)
        text = _KEY.sub(lambda match, said=said: said.get(match[0], match[0]), rule)  # type: ignore[misc]
        text = text.replace(" -> ", " → ").replace(": ", "：")
        labels = {label for key in keys for label in (taxonomy.emotion if key == "emotion" else (key,))}
        for label in labels:
            rules.setdefault(label, []).append(text)
    return rules


def pinyin_initials(text: str) -> str:
    """The first letters of the pinyin, `催发货` as `cfh`; rare characters are left out."""
    letters = []
    for character in text:
        code = character.encode("gb2312", "ignore")
        if character.isascii():
            letters.append(character.lower())
        elif _COMMON[0] <= code <= _COMMON[1]:
            letters.append(_LETTERS[sum(first <= code for first in _FIRSTS) - 1])
    return "".join(letters)


def _short_forms(words: set[str], keys: list[str], names: dict[str, str]) -> dict[str, str]:
    """Rules shorten a key to a part of it ("request" for invoice_request); taken where it is clear."""
    meant = {word: [key for key in keys if word in key.split("_")] for word in words}
    return {word: names[found[0]] for word, found in meant.items() if len(found) == 1}


def _pairs(text: str) -> set[str]:
    return {text[start : start + 2] for start in range(len(text) - 1)}
