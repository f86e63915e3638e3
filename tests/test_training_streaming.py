"""Rows that stay in Arrow: the same examples, the same network, and memory that does not follow the rows."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow
import pytest
import torch

from benchmarks.training_data import synthetic, synthetic_snapshot, taxonomy_of
from data.arrow_rows import ArrowExamples, blocks, by_id, column, is_streamed, take
from data.example import write_examples
from data.split import SplitConfig, load_snapshot, snapshot_id, write_snapshot
from data.stream_snapshot import main, split_of, stream_snapshot
from tests.conftest import script
from training.batches import Collator, LengthGroupedSampler, make_loader
from training.fit import fit_model
from training.module import class_weights
from training.predictions import read_rows, write_rows
from training.streaming import thinned
from training.train import build_network


@pytest.fixture(scope="module")
def both(snapshot, taxonomy, tmp_path_factory):
    """One snapshot twice: as lists and as rows on disk."""
    folder = tmp_path_factory.mktemp("both") / "snapshot"
    write_snapshot(snapshot.splits, taxonomy, folder)
    return load_snapshot(folder), load_snapshot(folder, stream_above=0)


def test_rows_on_disk_are_the_same_rows(both):
    lists, stream = both
    assert lists.id == stream.id
    for name, rows in lists.splits.items():
        found = stream.splits[name]
        assert isinstance(found, ArrowExamples)
        assert is_streamed(found)
        assert not is_streamed(rows)
        assert list(found) == rows
        assert (found[3], found[-1]) == (rows[3], rows[-1])
        assert list(found[5:9]) == rows[5:9]
        assert take(found, [7, 2, 7]) == take(rows, [7, 2, 7]) == [rows[7], rows[2], rows[7]]
        assert list(column(found, "category")) == list(column(rows, "category"))
        assert list(by_id(found)) == list(by_id(rows))
        assert list(by_id(found[5:50])) == list(by_id(rows[5:50]))
        assert [row for block in blocks(found, 7) for row in block] == rows
        with pytest.raises(IndexError):
            found[len(rows)]
    assert any(row.context for row in stream.splits["train"])


def test_rows_of_a_table_are_read_by_columns_too(monkeypatch):
    import data.arrow_rows
    from data.sources.rows import Rows, schema

    table = pyarrow.Table.from_pylist(
        [{"text": f"话{n}", "label": f"l{n % 3}", "group": None, "context": []} for n in range(50)], schema()
    )
    rows = Rows(table, "table")
    assert take(rows, [7, 2, 7]) == [rows[7], rows[2], rows[7]]
    assert list(column(rows, "category")) == [row.category for row in rows]
    assert not is_streamed(rows)
    monkeypatch.setattr(data.arrow_rows, "STREAM_ABOVE", 49)
    assert is_streamed(rows)
    assert len(thinned(rows, 20)) == 20


def test_the_same_network_comes_out(both, tiny_config, tmp_path):
    lists, stream = both
    config = dataclasses.replace(tiny_config, train=dataclasses.replace(tiny_config.train, epochs=1))
    one, calibration = fit_model(config, lists, tmp_path / "lists", progress=False)
    two, other = fit_model(config, stream, tmp_path / "stream", progress=False)
    assert calibration == other
    assert one.metrics == two.metrics
    for name, value in one.network.state_dict().items():
        assert torch.equal(value, two.network.state_dict()[name]), name


def test_lengths_labels_and_weights_are_the_same(both, tiny_config):
    lists = both[0]
    maps = {task: lists.taxonomy.label_map(task) for task in tiny_config.tasks}
    _, encoder = build_network(tiny_config, [], maps)
    loaders = [make_loader(Collator(one.splits["train"], encoder, maps), 16, True, 1) for one in both]
    for first, second in zip(*loaders, strict=True):
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)
    for task, labels in maps.items():
        weights = [class_weights(one.splits["train"], task, labels, 0.5) for one in both]
        assert torch.equal(*weights)


def test_the_sampler_gives_the_batches_it_always_gave():
    """As lists of batches were made before numbers alone were kept."""
    lengths, size = np.random.default_rng(3).integers(3, 60, 1013), 8
    sampler = LengthGroupedSampler(lengths, size, shuffle=True, seed=5)
    sampler.set_epoch(2)
    generator = np.random.default_rng((5, 2))
    order = generator.permutation(len(lengths))
    batches = []
    for start in range(0, len(order), size * 24):
        rows = order[start : start + size * 24]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches += [rows[at : at + size].tolist() for at in range(0, len(rows), size)]
    assert list(sampler) == [batches[index] for index in generator.permutation(len(batches))]
    assert len(sampler) == len(batches)


def test_a_snapshot_is_streamed_and_opens_like_any_other(tmp_path):
    taxonomy = taxonomy_of([str(n) for n in range(20)])
    rows = list(synthetic(3000, 20))
    config = SplitConfig(val=0.1, test=0.1)
    identity, counts = stream_snapshot(iter(rows), taxonomy, tmp_path / "snapshot", config)
    assert sum(counts.values()) == 3000
    assert 200 < counts["val"] < 400
    loaded = load_snapshot(tmp_path / "snapshot")
    assert loaded.id == identity == snapshot_id(loaded.splits, taxonomy)
    told = json.loads((tmp_path / "snapshot" / "snapshot.json").read_text(encoding="utf-8"))
    assert told["rows"] == counts
    assert {split_of(row, config) for row in loaded.splits["val"]} == {"val"}
    assert [path.name for path in tmp_path.iterdir()] == ["snapshot"]
    with pytest.raises(ValueError, match="class_2"):
        stream_snapshot(rows, taxonomy_of(["a", "b"]), tmp_path / "wrong", config)
    with pytest.raises(ValueError, match="empty"):
        stream_snapshot(rows[:2], taxonomy, tmp_path / "few", config)
    assert [path.name for path in tmp_path.iterdir()] == ["snapshot"]


def test_one_chat_and_one_text_stay_in_one_split(few):
    config = SplitConfig(val=0.3, test=0.3)
    where: dict[str, set[str | None]] = {}
    for row in few:
        where.setdefault(row.conversation or row.text, set()).add(split_of(row, config))
    assert all(len(splits) == 1 for splits in where.values())
    author = few[0].author
    assert split_of(few[0], SplitConfig(test_authors=(author,))) == "test"
    assert split_of(few[0], SplitConfig(val_authors=(author,))) == "val"
    half = SplitConfig(val=0.01, test=0, train_share=0.5)
    assert 0.2 < np.mean([split_of(row, half) is None for row in few]) < 0.8


def test_the_command_streams_a_file(few, tmp_path, capsys):
    write_examples(tmp_path / "examples.jsonl", few)
    main(["--examples", str(tmp_path / "examples.jsonl"), "--output", str(tmp_path / "snapshot")])
    assert "snapshot " in capsys.readouterr().out
    loaded = load_snapshot(tmp_path / "snapshot")
    assert sorted(row.id for rows in loaded.splits.values() for row in rows) == sorted(r.id for r in few)
    kept = {row.id: row for rows in loaded.splits.values() for row in rows}
    assert all(kept[row.id] == row for row in few)


def test_samples_are_even_and_rows_in_memory_stay_whole(both):
    lists, stream = both
    rows = lists.splits["train"]
    assert thinned(rows, 3) is rows
    assert thinned(stream.splits["train"], 10**6) == rows
    sample = thinned(stream.splits["train"], 40, seed=1)
    assert len(sample) == 40
    places = [rows.index(row) for row in sample]
    assert places == sorted(places)
    assert (
        sample == thinned(stream.splits["train"], 40, seed=1) != thinned(stream.splits["train"], 40, seed=2)
    )


def test_the_list_of_rows_is_the_same(both, tmp_path):
    lists, stream = both
    one, two = (write_rows(tmp_path / name, of) for name, of in (("lists", lists), ("stream", stream)))
    assert read_rows(one) == read_rows(two)


def test_synthetic_rows_are_repeatable_and_cover_all_classes():
    rows = list(synthetic(1500, 30))
    assert rows == list(synthetic(1500, 30))
    assert len({row.category for row in rows[:30]}) == 30
    made = synthetic_snapshot(100, 10, held_out=50)
    assert (len(made.splits["train"]), len(made.splits["val"])) == (100, 50)


MEMORY = """
import json, sys, logging, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from benchmarks.training_memory import measure
job = dict(rows=int(sys.argv[1]), classes=20, steps=4, way="stream")
job |= dict(backbone=sys.argv[2], layers=None, buckets=0, cap=None)
print(json.dumps(measure(job, Path(sys.argv[3]))))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")
def test_memory_does_not_follow_the_rows(tiny_bert, tmp_path):
    """From 5,000 to 40,000 rows each further row may take 1,000 bytes; as Python objects they take more."""
    peaks = {}
    for rows in (5000, 40000):
        folder = tmp_path / str(rows)
        folder.mkdir()
        done = script(MEMORY, tmp_path, rows, tiny_bert, folder)
        found = json.loads(done.stdout.splitlines()[-1])
        assert sum(found["counts"].values()) == rows
        peaks[rows] = found["peak_mb"]["allocated"]
    assert (peaks[40000] - peaks[5000]) * 2**20 / 35000 < 1000
