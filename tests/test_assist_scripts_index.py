"""Scripts found by meaning and by wording."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from assist.scripts.index import CONTRADICTIONS, ScriptIndex, condition_bits, impossible
from assist.scripts.lexical import LexicalIndex
from assist.scripts.library import CONDITIONS, Script
from data.reply_features import code_points, gram_hashes

TEXTS = [
    "身高体重报给我，我帮您对尺码",
    "包裹今天下午发出，单号在订单里看",
    "尺码表在详情页最下面，按尺码表选",
    "退款原路返回，三天内到账",
]


def script(number, category, text="您的单我看一下", when=()):
    return Script(f"{category}-{number}", "solution", text, "warm", category, tuple(when))


def crowd(count, categories, width=24, seed=0):
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(count, width)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    names = [f"c{number}" for number in random.integers(0, categories, count)]
    return [
        script(number, name, f"第{number}条，您看这样行不行") for number, name in enumerate(names)
    ], vectors


def plain_bm25(texts, query, k1=1.2, b=0.75):
    """The formula, said slowly."""

    def grams(text):
        return [*text, *(text[at : at + 2] for at in range(len(text) - 1))]

    documents = [grams("".join(map(chr, code_points(text)))) for text in texts]
    mean = sum(map(len, documents)) / len(documents)
    scores = []
    for document in documents:
        score = 0.0
        for gram in set(grams("".join(map(chr, code_points(query))))):
            having = sum(gram in one for one in documents)
            if not having or having > max(0.5 * len(documents), 2):
                continue
            count = document.count(gram)
            inverse = math.log(1 + (len(documents) - having + 0.5) / (having + 0.5))
            score += inverse * count / (count + k1 * (1 - b + b * len(document) / mean))
        scores.append(score)
    return scores


@pytest.mark.parametrize("query", ["我身高170穿什么尺码", "什么时候发出", "退款几天到账呀", "x"])
def test_bm25_is_the_formula(query):
    found = LexicalIndex(TEXTS).scores(query, [(0, 4)])
    assert np.allclose(found, plain_bm25(TEXTS, query), atol=1e-4)


def test_bm25_agrees_with_a_library():
    bm25s = pytest.importorskip("bm25s")
    texts = [f"{a}{b}" for a in TEXTS for b in TEXTS]

    def grams(text):
        plain = "".join(map(chr, code_points(text)))
        return [*plain, *(plain[at : at + 2] for at in range(len(plain) - 1))]

    theirs = bm25s.BM25(method="lucene", k1=1.2, b=0.75)
    theirs.index([grams(text) for text in texts], show_progress=False)
    query = "尺码表怎么看，三天能退款吗"
    # What more than half of the scripts have tells none from another; we leave it out.
    telling = [one for one in sorted(set(grams(query))) if sum(one in grams(text) for text in texts) <= 8]
    assert len(telling) > 5
    wanted = theirs.get_scores(telling)
    ours = LexicalIndex(texts).scores(query, [(0, len(texts))])
    assert np.allclose(ours, wanted, atol=1e-3)


def test_ranges_hold_what_the_whole_holds():
    texts = [TEXTS[number % 4] + str(number) for number in range(40)]
    index = LexicalIndex(texts)
    whole = index.scores("尺码表下午发出", [(0, 40)])
    parts = index.scores("尺码表下午发出", [(30, 35), (3, 9)])
    assert np.allclose(parts, np.concatenate([whole[30:35], whole[3:9]]))


def test_slots_are_no_words():
    assert "".join(map(chr, code_points("单号{order_id}在这"))) == "单号 在这"
    with pytest.raises(ValueError, match="size"):
        gram_hashes(code_points("尺码"), 3)


@pytest.mark.parametrize("count", [60, 4000])
def test_nearest_is_exact_for_shops(count):
    scripts, vectors = crowd(count, 3)
    index = ScriptIndex(scripts, vectors=vectors)
    own = [number for number, one in enumerate(index.scripts) if one.category == "c1"]
    exact = index.vectors(own) @ vectors[7]
    wanted = [own[place] for place in np.argsort(-exact)[:5]]
    assert list(index.nearest(vectors[7], ["c1"], 5)) == wanted


def test_only_wanted_categories_are_found():
    scripts, vectors = crowd(500, 5)
    index = ScriptIndex(scripts, vectors=vectors)
    found = index.search("第7条", vectors[3], ["c2", "c4"], 30)
    assert len(found) == 30
    assert {index.scripts[hit.number].category for hit in found} == {"c2", "c4"}
    everywhere = index.search("第7条", vectors[3], ["no such"], 200)
    assert {index.scripts[hit.number].category for hit in everywhere} == {f"c{number}" for number in range(5)}


def test_both_views_count():
    scripts = [script(number, "a", text) for number, text in enumerate(TEXTS)]
    index = ScriptIndex(scripts, vectors=np.eye(4, 8, dtype=np.float32))
    best = index.search("详情页", np.eye(4, 8, dtype=np.float32)[3], ["a"], 2)
    assert {index.scripts[hit.number].text for hit in best} == {TEXTS[2], TEXTS[3]}
    assert index.search("尺码表按什么选", None, ["a"], 1)[0].number == 2


def test_what_cannot_hold_is_left_out():
    scripts = [
        script(1, "a", when=["unpaid"]),
        script(2, "a", when=["shipped"]),
        script(3, "a"),
        script(4, "a", when=["opened"]),
    ]
    index = ScriptIndex(scripts, vectors=np.eye(4, 8, dtype=np.float32))
    hits = index.search("您的单", np.eye(4, 8, dtype=np.float32)[0], ["a"], 9, cannot=impossible(["shipped"]))
    assert {index.scripts[hit.number].id for hit in hits} == {"a-2", "a-3", "a-4"}


def test_contradictions_go_both_ways():
    for name, others in CONTRADICTIONS.items():
        assert name in CONDITIONS
        for other in others:
            assert name in CONTRADICTIONS.get(other, ()), f"{name} and {other}"


def test_unsayable_scripts_are_refused():
    scripts = [script(1, "a"), script(2, "a", "亲，我保证明天到，放心")]
    index = ScriptIndex(scripts, vectors=np.eye(2, 8, dtype=np.float32))
    assert index.refused == ["a-2"]
    assert [one.id for one in index.scripts] == ["a-1"]


def test_an_encoder_is_asked_once_for_each_script():
    asked = []

    def embed(texts):
        asked.extend(texts)
        return np.eye(len(texts), 8, dtype=np.float32)

    scripts = [script(2, "b", TEXTS[0]), script(1, "a", TEXTS[1])]
    index = ScriptIndex(scripts, embed)
    assert asked == [TEXTS[1], TEXTS[0]]
    assert np.allclose(index.vectors([0, 1]), np.eye(2, 8))


def test_mistakes_are_named():
    scripts = [script(1, "a")]
    with pytest.raises(ValueError, match="either an encoder or vectors"):
        ScriptIndex(scripts)
    with pytest.raises(ValueError, match="2 for 1 scripts"):
        ScriptIndex(scripts, vectors=np.eye(2, 8, dtype=np.float32))
    with pytest.raises(ValueError, match="none is left"):
        ScriptIndex([], vectors=np.zeros((0, 8), np.float32))
    with pytest.raises(ValueError, match="one encoder makes both"):
        ScriptIndex(scripts, vectors=np.eye(1, 8, dtype=np.float32)).search(
            "您", np.ones(5, np.float32), ["a"], 1
        )
    with pytest.raises(ValueError, match="'nonsense' is unknown"):
        condition_bits(["nonsense"])


def test_an_index_of_many_keeps_texts_apart():
    """Numbers in texts are grams too: no script's wording is mixed with its neighbour's."""
    texts = [f"编号{number}" for number in range(2000)]
    index = LexicalIndex(texts)
    for number in (0, 999, 1999):
        best = int(index.scores(f"编号{number}", [(0, 2000)]).argmax())
        assert re.sub(r"\D", "", texts[best]).startswith(str(number)[:3])
    assert index.side(1999).length == len("编号1999")
