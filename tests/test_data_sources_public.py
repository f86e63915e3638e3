"""Public sets by name, and label schemas of strangers' labels."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from data.sources.files import Columns
from data.sources.labels import check_training_labels, label_set, only_in_test
from data.sources.named import read_rows
from data.sources.public import PUBLIC, datasets_folder, read_public
from data.sources.rows import rows_of
from data.taxonomy import parse_taxonomy

FOLDER = Path(os.environ.get("KEFU_DATASETS", Path(__file__).resolve().parents[2] / "shared" / "datasets"))
needs_sets = pytest.mark.skipif(not FOLDER.is_dir(), reason="public sets are not here: set KEFU_DATASETS")


def few(labels, name="few"):
    return rows_of(((f"text {n}", label, None, ()) for n, label in enumerate(labels)), name)


def test_a_dialogue_gives_its_turns_with_those_before(tmp_path):
    turns = [
        {"customer": "在吗", "agent": "您好", "intent": None, "satisfaction": 1},
        {"customer": "什么时候发货", "agent": "", "intent": "ship", "satisfaction": None},
        {"customer": "快点", "agent": "好的", "intent": "urge", "satisfaction": 0},
    ]
    (tmp_path / "jddc_valid.jsonl").write_text(json.dumps({"id": "d1", "csat": None, "turns": turns}))
    intents = read_public("jddc-intents", tmp_path)["all"]
    assert [row.category for row in intents] == ["ship", "urge"]
    assert [turn.text for turn in intents[1].context] == ["在吗", "您好", "什么时候发货"]
    assert [turn.role for turn in intents[1].context] == ["customer", "agent", "customer"]
    assert {row.conversation for row in intents} == {"d1"}
    assert intents.has_groups
    assert not intents.without_context()[1].context
    assert read_public("jddc-satisfaction", tmp_path)["all"].counts() == {"1": 1, "0": 1}


def test_a_pair_is_read_together(tmp_path):
    import gzip

    row = json.dumps({"a": "花呗怎么还", "b": "怎么还花呗", "same": 1})
    (tmp_path / "afqmc_train.jsonl.gz").write_bytes(gzip.compress(row.encode()))
    pair = read_public("afqmc", tmp_path)["all"][0]
    assert (pair.text, pair.context[0].text, pair.category) == ("花呗怎么还", "怎么还花呗", "same")


def test_one_word_names_any_source(tmp_path, monkeypatch):
    (tmp_path / "banking77_train.csv").write_text("text,category\nwhere is my card,card\n")
    (tmp_path / "banking77_test.csv").write_text("text,category\nlost it,lost\n")
    monkeypatch.setenv("KEFU_DATASETS", str(tmp_path))
    assert read_rows("public:banking77/test").counts() == {"lost": 1}
    with pytest.raises(ValueError, match=r"has no part 'all'; there are: train, test"):
        read_rows("public:banking77")
    columns = Columns("text", "category")
    assert read_rows(tmp_path / "banking77_train.csv", columns)[0].text == "where is my card"
    with pytest.raises(ValueError, match=r"hub: .*gone \(validation\): cannot be loaded"):
        read_rows(f"hub:{tmp_path}/gone@validation")


def test_unknown_names_and_missing_files_are_named(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"'banking' is unknown; known: banking77"):
        read_public("banking", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"banking77_train.csv: is missing"):
        read_public("banking77", tmp_path)
    monkeypatch.setenv("KEFU_DATASETS", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="set KEFU_DATASETS"):
        datasets_folder()


@needs_sets
@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_set_is_read(name):
    parts = read_public(name, FOLDER)
    assert set(parts) >= {"all"} or set(parts) >= {"train", "test"}
    for rows in parts.values():
        assert len(rows) > 50
        assert rows[0].text
        assert rows.counts()
    assert all(rows.has_groups == name.startswith("jddc") for rows in parts.values())


@needs_sets
def test_the_published_sizes_are_there():
    assert {name: len(rows) for name, rows in read_public("banking77", FOLDER).items()} == {
        "train": 10003, "test": 3080,
    }  # fmt: skip
    clinc = read_public("clinc150", FOLDER)
    assert (len(clinc["test"]), len(clinc["oos_test"]), len(clinc["train"].counts())) == (4500, 1000, 150)


def test_labels_of_any_kind_become_a_schema_that_can_travel():
    labels = ["退款", "card_arrival", "label_1", "Track it", "emotion"]
    found = label_set(labels)
    assert found.labels == tuple(sorted(labels))
    assert found.keys["card_arrival"] == "card_arrival"
    assert found.keys["label_1"] == "label_1"
    assert len(set(found.keys.values())) == len(labels)
    again = parse_taxonomy(found.taxonomy.raw)
    assert again.label_map("category").labels == tuple(found.keys[label] for label in found.labels)
    assert again.category[found.keys["退款"]].zh == "退款"
    with pytest.raises(ValueError, match="at least two"):
        label_set(["one"])


def test_empty_classes_and_labels_of_test_alone_are_named():
    assert check_training_labels(few("aab")) == ("a", "b")
    with pytest.raises(ValueError, match=r"class 'c' has no training row"):
        check_training_labels(few("aab"), "abc")
    with pytest.raises(ValueError, match="all rows carry the label 'a'"):
        check_training_labels(few("aaa"))
    assert only_in_test(few("aab"), few("abzz")) == {"z": 2}


def test_the_stage_of_the_pipeline_still_reads_the_corpus(tmp_path):
    from data.sources import CORPUS, main

    assert CORPUS.is_dir()
    main(["--source", str(CORPUS), "--output", str(tmp_path / "examples.jsonl")])
    assert (tmp_path / "examples.jsonl").stat().st_size > 1e6
