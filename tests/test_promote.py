"""The gate, promotion, and two at once, on a real SQLite store."""

from __future__ import annotations

import io
import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest
from rich.console import Console

from data.files import write_json
from experiments.gate import Evidence, check_gate
from experiments.promote import Approval, Decision, show_decisions
from tests.conftest import PROMOTE, ROOT, script
from training.config import ConfigError, GateConfig, load_gate

GATE = GateConfig(
    minimum={"test/category_macro_f1": 0.7, "test/emotion_macro_f1": 0.7},
    maximum={"test/category_ece": 0.1, "latency_ms": 50},
    tolerance=0.01,
    not_worse={"test/emotion_angry_recall": 0.02},
    class_floor={"category": 0.4, "emotion": 0.6},
    class_floors={"category": {"coupon": 0.7}},
)
METRICS = {
    "test/category_macro_f1": 0.8,
    "test/emotion_macro_f1": 0.9,
    "test/category_ece": 0.05,
    "test/emotion_angry_recall": 0.95,
    "val_exported/category_macro_f1": 0.8,
    "val_exported/emotion_macro_f1": 0.9,
    "latency_ms": 9.0,
}
INT8 = {"macro_f1": {"category": 0.798, "emotion": 0.9}, "parity": 0.08}
GOOD = Evidence(
    METRICS,
    {
        "category": [
            {"label": "coupon", "f1": 0.75, "support": 20.0},
            {"label": "greeting", "f1": 0.5, "support": 20.0},
            {"label": "never_asked", "f1": 0.0, "support": 0.0},
        ],
        "emotion": [{"label": "angry", "f1": 0.9, "support": 20.0}],
    },
    {"int8": INT8},
    {"float16": ["probabilities are 0.0200 from float32's on the grid, allowed 0.01"]},
)


def failing(task, candidate=GOOD, champion=None, gate=GATE):
    return [check.sentence() for check in check_gate(task, candidate, champion, gate) if not check.passed]


def measured(**change):
    metrics = {name.replace("__", "/"): value for name, value in change.items()}
    found = {**METRICS, **metrics}
    return replace(GOOD, metrics={name: value for name, value in found.items() if value is not None})


def test_a_good_first_candidate_passes():
    assert failing("category") == []
    assert failing("emotion") == []


@pytest.mark.parametrize(
    ("task", "candidate", "reason"),
    [
        ("category", measured(test__category_macro_f1=0.6), "is 0.6000, must be at least 0.7"),
        ("category", measured(test__category_ece=0.2), "is 0.2000, must be at most 0.1"),
        ("category", measured(test__category_ece=None), "was not measured; run kefu evaluate"),
        ("emotion", measured(latency_ms=80.0), "latency_ms is 80.0000, must be at most 50"),
        ("emotion", measured(latency_ms=None), "latency_ms was not measured; run kefu evaluate"),
        ("category", replace(GOOD, classes={}), "category F1 by class was not measured"),
    ],
)
def test_the_gate_says_why_not(task, candidate, reason):
    (found,) = failing(task, candidate)
    assert reason in found


def test_no_class_falls_below_its_floor():
    rows = [{**row, "f1": 0.39 if row["label"] == "greeting" else 0.69} for row in GOOD.classes["category"]]
    found = failing("category", replace(GOOD, classes={**GOOD.classes, "category": rows}))
    assert found == [
        "category F1 of coupon is 0.6900, must be at least 0.7",
        "category F1 of greeting is 0.3900, must be at least 0.4",
    ]
    unknown = replace(GATE, class_floors={"category": {"cupon": 0.7}})
    assert failing("category", gate=unknown) == ["category F1 of cupon is no class of this model"]


def test_a_worse_candidate_does_not_replace_the_champion():
    champion = {**METRICS, "test/category_macro_f1": 0.85}
    assert "is 0.8000, the champion has 0.8500" in failing("category", champion=champion)[0]
    assert failing("emotion", champion=champion) == []
    assert failing("category", champion={**METRICS, "test/category_macro_f1": 0.805}) == []


def test_fewer_angry_customers_are_seen_than_by_the_champion():
    champion = {**METRICS, "test/emotion_angry_recall": 0.98}
    assert (
        "test/emotion_angry_recall is 0.9500, the champion has 0.9800"
        in failing("emotion", champion=champion)[0]
    )
    assert failing("emotion", champion={**METRICS, "test/emotion_angry_recall": 0.965}) == []
    assert failing("category", champion=champion) == []


def test_compressed_networks_are_held_to_float32():
    far = replace(GOOD, artefacts={"int8": {"macro_f1": {"category": 0.79}, "parity": 0.2}})
    assert failing("category", far) == [
        "artefact int8: category macro-F1 lost is 0.0100, must be at most 0.005",
        "artefact int8: distance from float32 is 0.2000, must be at most 0.15",
    ]
    required = replace(GATE, require_artefacts=["int8", "float16"])
    (found,) = failing("category", gate=required)
    assert found.startswith("artefact float16 probabilities are 0.0200")
    assert failing(
        "category", replace(GOOD, artefacts={}), gate=replace(GATE, require_artefacts=["int8"])
    ) == ["artefact int8 was not made"]


def test_a_refusal_is_a_table_of_the_failing_lines():
    candidate = measured(test__category_macro_f1=0.6, latency_ms=None)
    checks = tuple(check_gate("category", candidate, METRICS, GATE))
    reasons = tuple(check.sentence() for check in checks if not check.passed)
    console = Console(width=130, record=True, file=io.StringIO())
    passed = show_decisions([Decision("category", "3", False, reasons, checks, refused=True)], console)
    text = console.export_text()
    assert not passed
    assert "category  version 3: refused (3 of 8 checks failed)" in text
    lines = [" ".join(line.replace("│", " ").split()) for line in text.splitlines()]
    assert "test/category_macro_f1 0.6000 at least 0.7 0.8000" in lines
    assert "test/category_macro_f1 0.6000 at least 0.7900 (champion less 0.01) 0.8000" in lines
    assert "latency_ms – at most 50 9.0000 was not measured; run kefu evaluate" in lines


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"class_floor": {"mood": 0.5}}, "gate.class_floor"),
        ({"class_floor": {"category": 1.5}}, "floor of category"),
        ({"class_floors": {"category": 0.5}}, "gate.class_floors.category"),
        ({"require_artefacts": ["int4"]}, "gate.require_artefacts"),
        ({"not_worse": {"test/x": 0.5}}, "gate.not_worse.test/x"),
    ],
)
def test_wrong_settings_are_named(settings, field):
    with pytest.raises(ConfigError, match=field):
        GateConfig(**settings)


def test_the_gate_of_this_project_asks_for_all_that_matters():
    gate = load_gate(ROOT / "params.yaml")
    assert gate.class_floor == {"category": 0.4, "emotion": 0.6}
    assert {"test/category_ece", "test/emotion_ece", "latency_ms"} <= gate.maximum.keys()
    assert "test/emotion_angry_recall" in gate.minimum.keys() & gate.not_worse.keys()


def test_a_reason_has_an_end():
    with pytest.raises(ValueError, match="at most 1000"):
        Approval("x" * 1001)


@pytest.mark.slow
def test_promotion_from_gate_to_champion(recorded, tmp_path):
    folder = shutil.copytree(recorded, tmp_path / "copy")
    refused = script(PROMOTE, folder, '{"minimum": {"test/category_macro_f1": 1.1}}', check=False)
    assert refused.returncode == 1, refused.stderr
    assert "category 1 False test/category_macro_f1" in refused.stdout
    assert "must be at least 1.1" in refused.stdout
    assert "emotion 1 True" in refused.stdout
    twice = PROMOTE.rpartition("raise")[0] * 2  # without a reason: nothing is replaced
    inspect = """
print("told")
import mlflow, pandas as pd
from experiments.tracking import connect, fetch_champion
from serving.exported import verify_folder
client = connect()
model = mlflow.pyfunc.load_model("models:/kefu-category@champion")
print(list(model.predict(pd.DataFrame({"text": ["退款多久"]})).columns))
one, two = fetch_champion("kefu-category"), fetch_champion("kefu-emotion")
verify_folder(one.folder)
print(one.version, two.version, (one.folder / "manifest.json").samefile(two.folder / "manifest.json"))
print(json.dumps(client.get_model_version("kefu-category", "1").tags))
print([found.name for found in client.search_registered_models()])
"""
    done = script(twice + inspect, folder, "{}", "", "Mei")
    told = done.stdout.partition("told")[0]
    assert told.count("category 1 True") == 1
    assert told.count("emotion 1 False is the champion already") == 2
    assert told.count("category 1 False is the champion already") == 1
    columns, copies, tags, names = done.stdout.strip().splitlines()[-4:]
    assert "category_score" in columns
    assert copies == "1 1 True"  # registered under both names, stored once
    kept = json.loads(tags)
    gate = json.loads(kept["gate"])
    assert (kept["reviewer"], kept["reason"], kept["previous_champion"]) == ("Mei", "first champion", "none")
    assert kept["promoted_at"].endswith("+00:00")
    assert "must be at least 1.1" in kept["refusal"]  # the refusal before it is not forgotten
    assert ["artefact int8: distance from float32", "at most 0.15"] in [row[::2] for row in gate]
    assert names == "['kefu-category', 'kefu-emotion']"  # the claim is gone


@pytest.mark.slow
def test_a_damaged_candidate_is_refused_before_anything_is_registered(recorded, tmp_path):
    folder = shutil.copytree(recorded, tmp_path / "copy")
    model = folder / "models/shared/exported/model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"!")
    done = script(PROMOTE, folder, "{}", check=False)
    assert done.returncode != 0
    assert "model.onnx was changed after export" in done.stderr
    assert stored(folder, "select count(*) from registered_models") == [(0,)]


def stored(folder, query):
    """What really stands in the store."""
    with closing(sqlite3.connect(folder / ".kefu/mlflow.db")) as store:
        return store.execute(query).fetchall()


def other_model(folder, score=None):
    """The same network as another export: a version of its own, with other figures if wanted."""
    exported = folder / "models/shared/exported"
    manifest = json.loads((exported / "manifest.json").read_text())
    write_json(exported / "manifest.json", {**manifest, "git_commit": "another"})
    if score is not None:
        report = folder / "models/shared/report/metrics.json"
        write_json(report, {**json.loads(report.read_text()), "test/category_macro_f1": score})
    return folder


RACE = """
import os, sys, time
from pathlib import Path
here, ready = sys.argv[4:6]
os.environ["MLFLOW_TRACKING_URI"] = "sqlite:///" + sys.argv[6]
import experiments.promote
taken = experiments.promote.one_at_a_time
def both_have_looked(wait):
    Path(ready, here).touch()
    until = time.monotonic() + 120
    while len(os.listdir(ready)) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    return taken(wait)
experiments.promote.one_at_a_time = both_have_looked
""" + PROMOTE.replace('Path("models', 'Path(sys.argv[7], "models')


@pytest.mark.slow
@pytest.mark.parametrize("machines", [1, 2])
def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(recorded, tmp_path, machines):
    """Both see the same champion (none), then go for it; on two machines they share only the server."""
    one = shutil.copytree(recorded, tmp_path / "one")
    two = other_model(shutil.copytree(recorded, tmp_path / "two"), score=0.0)
    (ready := tmp_path / "ready").mkdir()
    store = one / ".kefu/mlflow.db"
    gate = '{"tolerance": 0.0}'
    both = [
        script(
            RACE, one if machines == 1 else folder, gate, f"because {folder.name}", folder.name.title(),
            folder.name, ready, store, folder, background=True,
        )
        for folder in (one, two)
    ]  # fmt: skip
    outputs = [process.communicate(timeout=240) for process in both]
    codes = [process.returncode for process in both]
    assert sorted(codes) == [0, 1], outputs
    winner, loser = ("One", outputs[1][0]) if codes[0] == 0 else ("Two", outputs[0][0])
    assert f"the champion changed while this waited, from none to version 1 by {winner}" in loser
    assert f"because {winner.lower()}" in loser
    told = "it would be refused: test/category_macro_f1" if winner == "One" else "it would pass"
    assert told in loser
    versions = stored(
        one, "select name, version from registered_model_aliases where alias = 'champion' order by name"
    )
    assert versions == [("kefu-category", 1), ("kefu-emotion", 1)]
    reigns = stored(one, "select value from registered_model_tags where key like 'champion.%'")
    assert [json.loads(value)["reviewer"] for (value,) in reigns] == [winner, winner]


@pytest.mark.slow
def test_the_same_model_twice_at_once_is_registered_once(recorded, tmp_path):
    folder = shutil.copytree(recorded, tmp_path / "copy")
    both = [script(PROMOTE, folder, "{}", background=True) for _ in range(2)]
    outputs = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    text = "".join(out for out, _ in outputs)
    assert text.count("category 1 True") == 1
    assert text.count("category 1 False is the champion already") == 1


@pytest.mark.slow
def test_a_killed_promotion_stops_nobody(recorded, tmp_path):
    folder = shutil.copytree(recorded, tmp_path / "copy")
    done = script(
        """
        import os, time
        from experiments import registry
        from experiments.tracking import TrackingError, connect
        child = os.fork()
        if child == 0:
            with registry.promotion_claim(1):
                os._exit(9)
        assert os.waitpid(child, 0)[1] == 9 << 8
        assert registry._claim(connect())["process"] == str(child)
        began = time.monotonic()
        with registry.promotion_claim(30) as ours:  # the process that made it is gone
            assert time.monotonic() - began < 10
            try:
                with registry.promotion_claim(0.5):
                    raise AssertionError("two at once")
            except TrackingError as error:
                print(error)
            client = connect()
            client.set_registered_model_tag(registry.CLAIM, "host", "another-machine")
            client.set_registered_model_tag(registry.CLAIM, "since", str(time.time() - 1000))
            with registry.promotion_claim(1) as theirs:  # since too long, on a machine that cannot be asked
                try:
                    registry.check_claim(ours)
                except TrackingError as error:
                    print(error)
                registry.check_claim(theirs)
        """,
        folder,
    )
    assert "another promotion is going on by" in done.stdout
    assert "another one went ahead; nothing was promoted" in done.stdout
