"""Comparing models: verdicts on made-up answers, and real runs in a real store."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from data.split import SplitConfig, split_examples, write_snapshot
from experiments.compare import compare_sides
from experiments.paired import Difference
from experiments.snapshot_difference import snapshot_difference
from experiments.verdict import judge
from tests.comparing import rows_of, side
from tests.conftest import script
from training.predictions import read_predictions, row_digest

PHONE = "13912345678"


def figure(value, width=0.01):
    return Difference(0.8, 0.7, 0.9, 0.8 + value, 0.7, 0.9, value, value - width, value + width)


def verdict(category, emotion, red=0.0, rows=1000):
    found = {
        "category": {"macro_f1": figure(category)},
        "emotion": {"macro_f1": figure(emotion), "angry_recall": figure(red)},
    }
    return judge("old", "new", found, rows, rows)


@pytest.mark.parametrize(
    ("category", "emotion", "red", "word"),
    [
        (0.03, 0.02, 0, "better"),
        (0.03, 0.0, 0, "better"),
        (0.03, -0.005, 0, "better"),
        (-0.03, 0.0, 0, "worse"),
        (0.0, 0.0, 0, "cannot tell"),
        (0.009, 0.009, 0, "cannot tell"),
        (0.03, -0.02, 0, "cannot tell"),
        (0.03, 0.02, -0.05, "cannot tell"),
        (-0.03, 0.0, 0.05, "cannot tell"),
        (0.0, 0.0, -0.05, "cannot tell"),
        (0.03, 0.02, 0.05, "better"),
    ],
)
def test_the_rule(category, emotion, red, word):
    assert verdict(category, emotion, red).word == word
    opposite = {"better": "worse", "worse": "better"}.get(word, word)
    assert verdict(-category, -emotion, -red).word == opposite


def test_the_line_says_how_many_rows_and_why():
    found = verdict(0.03, 0.02, rows=1979)
    assert found.line == (
        "Better: new beats old. Macro-F1, in points: category +3.0 (+2.0 to +4.0), "
        "emotion +2.0 (+1.0 to +3.0); on the same 1,979 test rows."
    )
    assert "red-alert recall contradicts" in verdict(0.03, 0.02, -0.05).reasons[0]
    assert "contradict each other" in verdict(0.03, -0.02).reasons[0]
    few = verdict(0.3, 0.2, rows=49)
    assert few.word == "cannot tell"
    assert "49 rows are too few" in few.reasons[0]


def test_a_model_is_not_better_than_itself(taxonomy):
    one = side(taxonomy, 0.8)
    found = compare_sides(one, one, times=200)
    assert found.verdict.word == "cannot tell"
    assert not any(task.fixed or task.broken for task in found.tasks)
    assert {task.p_value for task in found.tasks} == {1.0}
    assert found.data.same


def test_better_and_worse_with_their_evidence(taxonomy):
    rows = rows_of(taxonomy)
    old, new = side(taxonomy, 0.7, rows), side(taxonomy, 0.85, rows, "two", seed=2)
    found = compare_sides(old, new, times=300)
    assert found.verdict.word == "better"
    assert compare_sides(new, old, times=300).verdict.word == "worse"
    assert found.groups < len(found.rows) == 600
    category = found.tasks[0]
    hits = [category.answers[place] == category.truth for place in (0, 1)]
    assert sorted(category.fixed) == np.flatnonzero(~hits[0] & hits[1]).tolist()
    assert sorted(category.broken) == np.flatnonzero(hits[0] & ~hits[1]).tolist()
    assert sum(len(change.fixed) for change in category.classes) == len(category.fixed)
    assert category.figures["accuracy"].b == pytest.approx(hits[1].mean())
    for kind in ("Author voice", "Category group", "Length", "Context", "Emotion"):
        parts = [part for part in category.slices if part.kind == kind]
        assert sum(part.rows for part in parts) == 600, kind
        assert sum(part.fixed for part in parts) == len(category.fixed)
    (rare,) = [part for part in category.slices if part.name == "rare"]
    assert rare.small
    wording = {part.name for part in category.slices if part.kind == "Wording"}
    assert wording == {
        "emoji, sticker or picture",
        "typing slips or pinyin",
        "dialect words",
        "none of these",
    }


def test_fewer_red_alerts_forbid_better(taxonomy):
    rows = rows_of(taxonomy)
    old = side(taxonomy, 0.7, rows, angry=0.95)
    new = side(taxonomy, {"category": 0.9, "emotion": 0.9}, rows, "two", seed=2, angry=0.4)
    found = compare_sides(old, new, times=300)
    assert found.tasks[1].figures["angry_recall"].sign == -1
    assert found.verdict.word == "cannot tell"


def test_only_common_rows_with_the_same_labels_are_compared(taxonomy):
    rows = rows_of(taxonomy)
    other = [dict(row) for row in rows[50:]]
    other[0]["category"] = rows[51]["category"]
    other[1]["digest"] = "f" * 16
    found = compare_sides(side(taxonomy, 0.8, rows), side(taxonomy, 0.8, other, "two", seed=3), times=100)
    assert len(found.rows) == 600 - 50 - 2
    assert found.left_out == {
        "only in the test of one": 51,
        "only in the test of two": 1,
        "labelled differently": 1,
    }
    strangers = side(taxonomy, 0.8, [{**row, "id": f"x{row['id']}"} for row in rows], "two")
    with pytest.raises(ValueError, match=r"snapshot aaaaaaaaaaaa.*no test row in common"):
        compare_sides(side(taxonomy, 0.8, rows), strangers)


def test_one_task_is_enough(taxonomy):
    both, one = side(taxonomy, 0.8), side(taxonomy, {"emotion": 0.95}, name="two", seed=2)
    found = compare_sides(both, one, times=200)
    assert [task.task for task in found.tasks] == ["emotion"]
    assert found.verdict.word == "better"
    with pytest.raises(ValueError, match="no task in common"):
        compare_sides(one, side(taxonomy, {"category": 0.8}))


def test_rows_added_removed_relabelled_and_moved(taxonomy):
    rows = rows_of(taxonomy, 40)
    before = [{**row, "split": "train" if number < 30 else "test"} for number, row in enumerate(rows)]
    after = [dict(row) for row in before[2:]]
    after[0]["category"] = before[10]["category"]
    after[1]["split"] = "test"
    after[2]["digest"] = "f" * 16
    after.append({**before[0], "id": "new", "author": "fang"})
    found = snapshot_difference(before, after)
    assert found.removed == {"train": 3, "val": 0, "test": 0}
    assert found.added == {"train": 2, "val": 0, "test": 0}
    assert found.relabelled == {"category": 1, "emotion": 0}
    assert (found.moved, found.leaked) == (1, 1)
    assert found.authors_added == ["fang"]
    assert not found.same
    assert found.shares == sorted(found.shares, key=lambda one: -abs(one.share_b - one.share_a))


def test_half_the_data_is_half_of_the_training_conversations(few):
    whole = split_examples(few, SplitConfig(val=0.15, test=0.15))
    half = split_examples(few, SplitConfig(val=0.15, test=0.15, train_share=0.5))
    third = split_examples(few, SplitConfig(val=0.15, test=0.15, train_share=0.3))
    assert half["val"] == whole["val"]
    assert half["test"] == whole["test"]
    names = {row.conversation or row.id for row in whole["train"]}
    kept = {row.conversation or row.id for row in half["train"]}
    assert len(kept) == pytest.approx(len(names) / 2, abs=1)
    assert half["train"] == [row for row in whole["train"] if (row.conversation or row.id) in kept]
    assert {row.id for row in third["train"]} < {row.id for row in half["train"]}
    with pytest.raises(ValueError, match="train_share must be above 0"):
        SplitConfig(train_share=0)


PREPARE = """
import sys
from pathlib import Path
from experiments.run import evaluate_stage, train_stage
from training.config import *
for name in ("full", "half"):
    config = TrainingConfig(("category", "emotion"), BackboneConfig(sys.argv[1]), train=TrainConfig(
        epochs=1, ngram_buckets=4096, precision="32", accelerator="cpu"), artefacts=ArtefactConfig(make=()))
    folder = Path("models") / name
    train_stage(name, config, Path(name), folder / "exported")
    evaluate_stage(folder / "exported", Path(name), folder / "report")
from experiments.promote import Approval, promote
from training.config import GateConfig
promote(Path("models/full/exported"), Path("models/full/report"), GateConfig(), Approval("first", "reviewer"))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory, few, taxonomy, tiny_bert):
    """Two recorded models, the second on half of the data; the first is champion."""
    folder = tmp_path_factory.mktemp("compared")
    config = SplitConfig(val=0.15, test=0.15)
    splits = split_examples(few, config)
    told = replace(splits["test"][0], text=f"我叫王小明，电话{PHONE}，快给我退款")
    splits["test"] = [told, *splits["test"][1:]]
    write_snapshot(splits, taxonomy, folder / "full")
    half = split_examples(few, replace(config, train_share=0.5))["train"]
    write_snapshot({**splits, "train": half}, taxonomy, folder / "half")
    script(PREPARE, folder, tiny_bert)
    return folder


COMPARE = """
import json, sys
from pathlib import Path
from experiments import tracking
from experiments.compare import compare
from experiments.sides import gather
from kefu import main

runs = [json.loads((Path("models") / name / "exported/manifest.json").read_text())["run"]
        for name in ("full", "half")]
found, path = compare(runs[1][:12], "kefu-category@1", output=Path("page.html"))
logged = f"{runs[1][:8]}-{runs[0][:8]}.html"
print(json.dumps({
    "runs": runs,
    "names": [found.a.name, found.b.name],
    "used": [*found.a.runs, *found.b.runs],
    "rows": len(found.rows),
    "train": [found.data.rows_a["train"], found.data.rows_b["train"]],
    "removed": sum(found.data.removed.values()),
    "metrics": found.b.metrics,
    "logged": [str(tracking.fetch_artifact(run, f"compare/{logged}")) for run in runs],
}))
for arguments in (
    ["compare", "champion", "champion"],
    ["compare", "--task", "emotion", "--output", "x.html"],
):
    main(arguments)
for wrong in ("nothing", "kefu-category@77", ""):
    try:
        gather(wrong)
    except Exception as error:
        print(type(error).__name__, error)
(Path("models/half/exported/manifest.json")).touch()
# A folder that no run knows, on the snapshot at hand.
import shutil
shutil.copytree("models/half/exported", "copy/exported")
path = Path("copy/exported/manifest.json")
path.write_text(json.dumps({**json.loads(path.read_text()), "run": None}))
print(gather("copy/exported", snapshot=Path("full")).name, gather("models/half/exported").name)
"""


@pytest.mark.slow
def test_runs_are_compared_and_the_page_is_logged_to_both(project):
    done = script(COMPARE, project)
    first, *others = [line for line in done.stdout.splitlines() if not line.startswith("page: ")]
    told = json.loads(first)
    assert told["used"] == [told["runs"][1], told["runs"][0]]
    assert told["names"] == [f"run {told['runs'][1][:8]}", "kefu-category@1"]
    assert told["rows"] >= 50
    assert told["train"][0] < 0.6 * told["train"][1]
    assert told["removed"] == 0
    assert told["metrics"]["size_mb"] > 0
    assert told["metrics"]["latency_ms"] > 0
    pages = [(project / path).read_text(encoding="utf-8") for path in told["logged"]]
    page = (project / "page.html").read_text(encoding="utf-8")
    assert pages == [page, page]
    for text in (page, (project / "models/full/report/predictions.parquet").read_bytes().decode("latin-1")):
        assert PHONE not in text
        assert "王小明" not in text
    assert f"A learnt from {told['train'][0]} rows, B from {told['train'][1]}" in page
    assert others[0].startswith("Cannot tell: champion may be as good as champion")
    assert "emotion" in others[1]
    assert "category" not in others[1]
    assert others[2] == "TrackingError 'nothing': no run begins so (runs are listed by: make mlflow)"
    assert others[3] == "TrackingError kefu-category@77: is not in the registry"
    assert others[4].startswith("TrackingError '': no run begins so")
    assert others[5] == "model copy model half"


@pytest.mark.slow
def test_each_run_keeps_its_answers(project):
    from data.split import load_snapshot
    from serving.exported import ExportedModel

    rows = load_snapshot(project / "full").splits["test"]
    found = read_predictions(project / "models/full/report/predictions.parquet")
    assert found.keys() == [(row.id, row_digest(row)) for row in rows]
    assert found.rows[0]["text"] == "我叫[姓名]，电话[手机]，快给我退款"
    assert found.rows[0]["length"] == len(rows[0].text)
    answers = ExportedModel(project / "models/full/exported").probabilities(
        [(row.text, row.context) for row in rows]
    )
    for task, values in answers.items():
        assert found.probabilities[task] == pytest.approx(values, abs=1e-3)
        assert found.truth(task).tolist() == [
            found.taxonomy.label_map(task).label2id[getattr(row, task)] for row in rows
        ]
    with pytest.raises(ValueError, match="no rows of 'train', only test, val"):
        read_predictions(project / "models/full/report/predictions.parquet", "train")


def test_a_damaged_file_of_answers_is_refused(tmp_path):
    path = tmp_path / "predictions.parquet"
    path.write_bytes(b"PAR1 nothing")
    with pytest.raises(ValueError, match=r"predictions\.parquet: cannot be read.*measure the model anew"):
        read_predictions(path)
