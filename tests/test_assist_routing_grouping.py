"""Groups of open messages: average linkage, categories, one answer slot each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy.cluster.hierarchy import fcluster
from scipy.cluster.hierarchy import linkage as scipy_linkage
from scipy.spatial.distance import squareform

from assist.reading import Reading
from assist.routing.desk import Desk
from assist.routing.grouping import cluster, lexical_similarity, similarity
from assist.routing.rules import Grouping
from assist.routing.schema import GroupRequest
from data.files import read_jsonl
from experiments import grouping_quality
from experiments.grouping_quality import GROUPS, on_groups, on_pairs, read_groups

WORDS = Grouping(threshold=0.4, lexical=1.0, other_category=0.0)


def messages(*texts, **fields):
    return GroupRequest.model_validate(
        {"messages": [{"id": f"m{n}", "text": text} for n, text in enumerate(texts)], **fields}
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 14), st.integers(0, 10_000), st.floats(0.05, 0.95))
def test_groups_are_those_of_average_linkage(count, seed, threshold):
    """Against SciPy's implementation, on similarities without ties."""
    half = np.triu(np.random.default_rng(seed).random((count, count)), 1)
    alike = (half + half.T).astype(np.float32)
    np.fill_diagonal(alike, 1.0)
    found = np.zeros(count, dtype=int)
    for number, members in enumerate(cluster(alike, threshold)):
        found[members] = number
    distances = squareform(1 - alike.astype(float), checks=False)
    theirs = fcluster(scipy_linkage(distances, "average"), 1 - threshold, "distance")
    assert ((found[:, None] == found) == (theirs[:, None] == theirs)).all()


def test_one_message_and_equal_messages():
    assert cluster(np.ones((1, 1), dtype=np.float32), 0.5) == [[0]]
    assert cluster(np.ones((4, 4), dtype=np.float32), 0.5) == [[0, 1, 2, 3]]
    assert cluster(np.eye(3, dtype=np.float32), 0.5) == [[0], [1], [2]]


def test_a_vector_that_is_no_number_ends_nothing():
    alike = np.full((4, 4), np.nan, dtype=np.float32)
    alike[2, 3] = alike[3, 2] = 0.9
    assert cluster(alike, 0.5) == [[0], [1], [2, 3]]


def test_words_alone_group_what_reads_alike():
    found = Desk().group(
        messages("今天能发货吗", "退货地址发我", "今天可以发货吗", "今天能不能发货", threshold=0.2)
    )
    assert [set(one.messages) for one in found.groups] == [{"m0", "m2", "m3"}, {"m1"}]
    assert found.batch == 3
    assert all(one.script_id is None and one.answer is None for one in found.groups)


def test_every_message_is_in_one_group_and_a_higher_threshold_gives_smaller_ones():
    rows = [row["text"] for _, row in read_jsonl(GROUPS)][:60]
    sizes = []
    for threshold in (0.1, 0.3, 0.5, 0.9):
        found = Desk().group(messages(*rows, threshold=threshold)).groups
        assert sorted(key for one in found for key in one.messages) == sorted(f"m{n}" for n in range(60))
        sizes.append(len(found))
    assert sizes == sorted(sizes)


def test_categories_hold_apart_what_reads_alike():
    alike = Grouping(threshold=0.5, lexical=1.0, other_category=0.6)
    texts = ["运费多少", "运费多少"]
    assert similarity(texts, None, ["shipping_fee", "return_shipping"], alike)[0, 1] == pytest.approx(0.4)
    assert similarity(texts, None, ["shipping_fee", ""], alike)[0, 1] == pytest.approx(1.0)
    readings = [Reading(text="运费多少", category=key) for key in ("shipping_fee", "return_shipping")]
    vector = np.ones(4, dtype=np.float32) / 2
    desk = Desk()
    found = desk.group(
        messages(*texts, threshold=1.0), readings, lambda batch: np.stack([vector] * len(batch))
    )
    assert len(found.groups) == (2 if desk.rules.grouping.other_category else 1)
    assert {one.category for one in found.groups} <= {"shipping_fee", "return_shipping"}


def test_known_vectors_are_used_and_only_missing_ones_computed():
    asked = []

    def embed(texts):
        asked.extend(texts)
        return np.array([[0.0, 1.0]] * len(texts), dtype=np.float32)

    known = np.array([1.0, 0.0], dtype=np.float32)
    readings = [Reading(text="甲", embedding=known), None, Reading(text="丙", embedding=known)]
    found = Desk().group(messages("甲", "乙", "丙", threshold=0.55), readings, embed)
    assert asked == ["乙"]
    assert {frozenset(one.messages) for one in found.groups} >= {frozenset({"m1"})}


def test_the_example_is_the_most_typical_and_masked():
    found = Desk().group(messages("我的电话13800138000改一下", threshold=0.9))
    assert "13800138000" not in found.groups[0].example
    assert found.groups[0].cohesion == 1.0


def test_bad_input_names_the_field():
    with pytest.raises(ValueError, match="readings: 1 for 2 messages"):
        Desk().group(messages("甲", "乙"), [None])
    with pytest.raises(ValidationError, match="occurs twice"):
        GroupRequest.model_validate({"messages": [{"id": "a", "text": "甲"}, {"id": "a", "text": "乙"}]})
    with pytest.raises(ValidationError):
        GroupRequest.model_validate({"messages": []})


def test_lexical_similarity_is_a_cosine():
    alike = lexical_similarity(["怎么退货", "怎么退货", "台灯几档", ""])
    assert alike[0, 1] == pytest.approx(1.0, abs=1e-5)
    assert alike[0, 2] == 0
    assert alike[3].sum() == 0


def test_the_written_groups_are_enough_to_measure():
    written = read_groups()
    assert len(written.texts) == len(set(written.texts)) >= 200
    assert len(set(written.groups)) >= 50
    assert sum(written.groups.count(group) == 1 for group in set(written.groups)) >= 20


def test_the_measurement_prefers_an_encoder_that_knows(monkeypatch):
    """With vectors that say the group outright, "encoder" is perfect and words are not."""
    monkeypatch.setattr(grouping_quality, "THRESHOLDS", (0.1, 0.2, 0.5))
    monkeypatch.setattr(grouping_quality, "WEIGHTS", (0.4,))
    monkeypatch.setattr(grouping_quality, "PENALTIES", (0.0,))
    written = read_groups()
    names = sorted(set(written.groups))
    vectors = np.zeros((len(written.texts), len(names)), dtype=np.float32)
    vectors[np.arange(len(written.texts)), [names.index(one) for one in written.groups]] = 1
    found = on_groups(written, vectors, [""] * len(written.texts))
    assert found["encoder"]["pair_f1"] == found["encoder"]["ari"] == 1.0
    assert 0.1 < found["words"]["pair_f1"] < 0.9


def test_pairs_are_tested_on_the_half_that_nothing_was_chosen_on():
    same, other = ("怎么退货", "如何退货", 1), ("怎么退货", "台灯几档", 0)

    def embed(texts):
        found = np.array([[1.0, 0.0] if "退货" in text else [0.0, 1.0] for text in texts], dtype=np.float32)
        return found

    found = on_pairs([same, other] * 4, embed, (0.5,))
    assert (found["chosen_on"], found["tested_on"]) == (4, 4)
    assert found["encoder"]["f1"] == 1.0
    assert found["all_same"]["f1"] == pytest.approx(2 / 3, abs=1e-3)
