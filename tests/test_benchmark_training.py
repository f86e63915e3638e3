"""The benchmarks of training: what they time, how they count, and one run of each with the tiny model."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import pytest

from benchmarks import training, training_clock, training_scaling
from benchmarks.training_clock import PARTS, Clock
from benchmarks.training_data import read_set, synthetic_snapshot, taxonomy_of
from benchmarks.training_document import document_training
from benchmarks.training_memory import per_row
from benchmarks.training_report import draw, seconds_to, summarise, table
from benchmarks.training_watch import MemoryWatch, memory_now
from tests.conftest import ROOT, script

PNG = b"\x89PNG"


class Ticks:
    """A clock that is told the time."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_a_part_excludes_the_parts_within_it():
    ticks = Ticks()
    clock = Clock(ticks)
    with clock.part("data"):
        ticks.now += 1
        with clock.part("tokenising"):
            ticks.now += 5
        ticks.now += 2
    with clock.part("validation", whole=True):
        ticks.now += 1
        with clock.part("data"), clock.part("tokenising"):
            ticks.now += 7
    with clock.part("data"):
        ticks.now += 4
    ticks.now += 100
    assert clock.parts == {"data": 7, "tokenising": 5, "validation": 8}
    shares = clock.shares(30)
    assert tuple(shares) == PARTS
    assert shares["other"] == 10
    assert sum(shares.values()) == 30


def test_a_wrapped_method_works_as_before_and_is_timed():
    ticks = Ticks()

    class Worker:
        def work(self, seconds):
            ticks.now += seconds
            if seconds > 3:
                raise ValueError("too long")
            return seconds * 2

    clock, worker = Clock(ticks), Worker()
    clock.wrap(worker, "work", "forward")
    assert worker.work(3) == 6
    with pytest.raises(ValueError, match="too long"):
        worker.work(4)
    clock.wrap(Worker, "work", "data")
    assert Worker().work(1) == 2
    assert clock.parts == {"forward": 7, "data": 1}


def run(name, speed, curve, turn=0):
    return {
        "round": turn,
        "contender": name,
        "samples_per_second": speed,
        "seconds": 100.0,
        "peak_mb": {"allocated": 1000.0, "resident": 1500.0},
        "parameters": 27_000_000,
        "parts": dict.fromkeys(PARTS, 1.0),
        "curve": [{"seconds": s, "macro_f1": f, "accuracy": f} for s, f in curve],
    }


def figures(*runs):
    return {
        "setup": {"data": "x", "epochs": 2, "batch_size": 32},
        "machine": {"cores": 2, "cpu": "some"},
        "native": "bf16",
        "runs": list(runs),
    }


def test_ratios_are_of_medians_and_times_of_the_score_that_both_reach(tmp_path):
    ours = [(10, 0.5), (20, 0.9)]
    theirs = [(40, 0.3), (80, 0.6), (120, 0.8)]
    report = figures(
        *(run("ours_bf16", speed, ours, turn) for turn, speed in enumerate((90, 100, 500))),
        *(run("hf_bf16", speed, theirs, turn) for turn, speed in enumerate((20, 25, 30))),
        run("hf_32", 10, theirs),
        run("ours_random_batches", 80, ours),
    )
    report |= summarise(report)
    assert report["target_macro_f1"] == pytest.approx(0.8)
    ratios = report["ratios"]
    assert ratios["samples_per_second_vs_hf_trainer"] == 4
    assert ratios["samples_per_second_vs_hf_trainer_as_written"] == 10
    assert "samples_per_second_vs_hf_trainer_32" not in ratios
    assert ratios["time_to_score_vs_hf_trainer"] == 6
    better = figures(*report["runs"], run("hf_our_rate", 25, [(40, 0.5), (80, 0.85)]))
    better |= summarise(better)
    assert better["target_macro_f1"] == pytest.approx(0.85)
    assert better["ratios"]["time_to_score_vs_hf_trainer"] == 4
    assert better["summary"]["hf_bf16"]["seconds_to_target"] is None
    assert ratios["peak_memory_vs_hf_trainer"] == 1
    assert ratios["ours_with_random_batches"] == 0.8
    told = table(report)
    assert "| ours, bfloat16 | 100.0 |" in told
    assert "| ours, bfloat16, random batches | 80.0 |" in told
    assert "float32" in told
    draw(report, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(PNG)
    assert told in document_training(report)
    assert "0.800" in document_training(report)


def test_the_page_says_how_to_measure_where_nothing_is_measured():
    page = document_training()
    assert "|" not in page
    for name in ("training", "training_scaling", "training_memory"):
        assert f"python -m benchmarks.{name} " in page
    points = {"sizes": [10, 100], "seconds": {"train": [1.0, 9.0]}, "peak_mb": {"train": [512.0, 1024.0]}}
    axis = {**points, "exponents": {"train": 0.954}, "seconds_per_1000_further_rows": 88.9}
    machine = {"cores": 2, "cpu": "some"}
    scaling = {"machine": machine, "summary": {"rows": axis, "classes": points | {"exponents": {"train": 0}}}}
    results = [
        {"way": "stream", "rows": 1000, "cap": 4000, "peak_mb": {"allocated": 1024.0, "resident": 2048.0},
         "seconds": {"write": 1.0, "open": 2.0, "train": 3.0}},
        {"way": "lists", "rows": 5000, "cap": 4000, "failed": "ended with status 1 before it was done"},
    ]  # fmt: skip
    growth = {"stream": 40.0, "lists": None}
    memory = {"machine": machine, "bytes_per_row": growth, "results": results}
    page = document_training(None, scaling, memory)
    assert "| 100 | 9 s | 1.00 GB |" in page
    assert "0.95" in page
    assert "| from Arrow | 1,000 | 1.00 GB | 2.00 GB | 6 s |" in page
    assert "| rows as lists | 5,000 | ended with status 1" in page
    assert "40 bytes" in page


def test_a_score_that_was_not_reached_is_no_time():
    report = figures(run("ours_bf16", 10, [(5, 0.5)]), run("hf_bf16", 10, [(5, 0.1), (9, 0.2)]))
    report |= summarise(report)
    assert report["target_macro_f1"] == pytest.approx(0.2)
    assert seconds_to(report["runs"][1], 0.3) is None
    lost = figures(run("ours_bf16", 10, []), run("hf_bf16", 10, []), run("hf_32", 10, []))
    assert "time_to_score_vs_hf_trainer" not in summarise(lost)["ratios"]
    alone = figures(run("ours_bf16", 10, []))
    assert summarise(alone)["ratios"] == {}


def test_contenders_differ_in_one_thing():
    found = training.contenders("bf16", switches=True)
    assert {name for name, one in found.items() if not one["switches"]} == {
        "ours_bf16",
        "hf_bf16",
        "ours_32",
        "hf_32",
    }
    assert all(len(one["switches"]) <= 1 for one in found.values())
    assert list(training.contenders("bf16", switches=False)) == ["ours_bf16", "hf_bf16", "hf_our_rate"]
    assert list(training.contenders("32", switches=False)) == ["ours_32", "hf_32", "hf_our_rate"]
    assert not any("vocabulary" in name for name in training.contenders("32", True, builtin=False))


def test_rows_of_a_file(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("said,why\n" + "\n".join(f"话{n},原因{n % 3}" for n in range(40)), encoding="utf-8")
    found = read_set(str(path), ("said", "why"), 30)
    assert [len(found.splits[name]) for name in ("train", "val")] == [27, 3]
    assert len(found.taxonomy.categories) == 3
    assert found.splits == read_set(str(path), ("said", "why"), 30).splits
    with pytest.raises(ValueError, match="no column 'text'; there are said, why"):
        read_set(str(path))
    with pytest.raises(FileNotFoundError, match="KEFU_DATASETS"):
        read_set(str(tmp_path / "none.csv"))
    assert taxonomy_of(["a b", "为什么"]).label_map("category").labels == ("class_0", "class_1")
    assert len(synthetic_snapshot(20, 4, 10).splits["val"]) == 10


def test_memory_is_watched_by_stage():
    if not memory_now()["resident"]:
        pytest.skip("memory is read from Linux's /proc")
    with MemoryWatch(every=0.005) as watch:
        with watch.stage("small"):
            pass
        with watch.stage("big"):
            block = b"x" * (64 * 2**20)  # written to: untouched pages take no memory
        del block
    assert watch.peaks["big"]["allocated"] > watch.peaks["small"]["allocated"] + 50
    assert watch.peak["allocated"] == watch.peaks["big"]["allocated"]
    assert watch.seconds["big"] > 0


def test_a_capped_process_cannot_allocate_more(tmp_path):
    code = """
    from benchmarks.training_watch import cap_memory
    cap_memory(500)
    small = bytearray(100 * 2**20)
    try:
        bytearray(600 * 2**20)
    except MemoryError:
        print("stopped")
    """
    assert script(code, tmp_path).stdout.strip() == "stopped"


def test_growth_is_told_by_the_row():
    results = [
        {"way": "stream", "rows": rows, "peak_mb": {"allocated": peak}}
        for rows, peak in ((1000, 500.0), (2**20 + 1000, 700.0))
    ]
    assert per_row(results) == pytest.approx(200)
    assert per_row(results, "lists") is None
    failed = {"way": "stream", "rows": 10**7, "failed": "ended"}
    assert per_row([*results, failed]) == pytest.approx(200)


def test_exponents(tmp_path):
    assert training_scaling.exponent([1, 10, 100], [2, 20, 200]) == pytest.approx(1)
    assert training_scaling.exponent([1, 10], [1, 100]) == pytest.approx(2)
    assert training_scaling.exponent([5], [1]) is None
    results = [
        {"rows": rows, "classes": classes, "seconds": {"train": rows / 100}, "peak_mb": {"train": 900.0}}
        for rows, classes in ((100, 10), (1000, 10), (1000, 50))
    ]
    found = training_scaling.summarise(results, 1000, 10)
    assert found["rows"]["sizes"] == [100, 1000]
    assert found["rows"]["seconds_per_1000_further_rows"] == pytest.approx(10)
    assert found["classes"]["exponents"]["train"] == pytest.approx(0)
    training_scaling.draw(found, tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes().startswith(PNG)


def command(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_our_side_with_the_tiny_model(tiny_bert, tmp_path):
    """Every switch still trains, sees every row, and accounts for all seconds."""
    code = """
    import json, sys
    from benchmarks.training import measure
    job = {"side": "ours", "data": "corpus", "columns": ["text", "label"], "limit": 300, "epochs": 2,
           "batch_size": 32, "max_length": 64, "layers": None, "backbone": sys.argv[1], "model": sys.argv[1],
           "precision": "32", "switches": json.loads(sys.argv[2]), "seed": 1, "learning_rate": 1e-3}
    print(json.dumps(measure(job)))
    """
    switches = (
        [],
        ["random_batches", "cached_encoding", "encoder_dropout", "sdpa_attention", "full_vocabulary"],
    )
    for chosen in switches:
        done = script(code, tmp_path, tiny_bert, json.dumps(chosen))
        found = json.loads(done.stdout.strip().splitlines()[-1])
        assert found["samples"] == 2 * found["rows"]["train"] == 540
        assert len(found["curve"]) == 2
        assert found["parts"].keys() == set(training_clock.PARTS)
        assert all(found["parts"][part] > 0 for part in PARTS)
        assert sum(found["parts"].values()) == pytest.approx(found["seconds"], rel=0.01)
        assert found["samples_per_second"] > 540 / found["seconds"]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("accelerate") is None, reason="Trainer needs accelerate")
def test_both_sides_with_the_tiny_model(tiny_bert, tmp_path):
    output, picture = tmp_path / "training.json", tmp_path / "training.png"
    arguments = ("benchmarks.training", "--quick", "--backbone", tiny_bert, "--output", output)
    command(*arguments, "--picture", picture)
    found = json.loads(output.read_text(encoding="utf-8"))
    assert {"samples_per_second_vs_hf_trainer", "peak_memory_vs_hf_trainer"} <= found["ratios"].keys()
    assert {one["samples"] for one in found["runs"]} == {270}
    for one in found["runs"]:
        assert sum(one["parts"].values()) == pytest.approx(one["seconds"], rel=0.01)
        assert all(one["parts"][part] > 0 for part in ("tokenising", "data", "forward", "backward"))
        assert one["parts"]["optimiser"] > 0
        assert one["parts"]["validation"] > 0
    assert picture.read_bytes().startswith(PNG)
    before = output.read_text(encoding="utf-8")
    command(*arguments)  # all is measured: nothing runs again
    assert json.loads(output.read_text(encoding="utf-8"))["runs"] == json.loads(before)["runs"]


@pytest.mark.slow
def test_scaling_with_the_tiny_model(tiny_bert, tmp_path):
    output, picture = tmp_path / "scaling.json", tmp_path / "scaling.png"
    arguments = ("benchmarks.training_scaling", "--quick", "--backbone", tiny_bert)
    command(*arguments, "--output", output, "--picture", picture)
    found = json.loads(output.read_text(encoding="utf-8"))
    assert found["summary"]["rows"]["sizes"] == [100, 400]
    assert found["summary"]["classes"]["sizes"] == [5, 20]
    assert set(found["summary"]["rows"]["exponents"]) == {"train", "ngrams"}
    assert picture.read_bytes().startswith(PNG)
