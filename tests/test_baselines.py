"""The baselines: each learns, is exported as any model is, and is a run like any other."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from tests.conftest import ROOT, script
from training.config import ConfigError, baseline_names, load_training_config, model_names
from training.contrastive import GroupSampler, choose_shots, pair_loss
from training.fit import encoder_logits, fit_model
from training.linear_heads import embeddings, fit_head
from training.train import build_network, training_texts

SHOTS = 4
CHANGES = {
    "tfidf": {"ngram_buckets": 4096},
    "probe": {"ngram_buckets": 0},
    "few_shot": {"ngram_buckets": 0, "shots": SHOTS, "epochs": 2, "batch_size": 16},
}


def configured(config, method):
    return replace(config, method=method, train=replace(config.train, **CHANGES[method]))


@pytest.fixture(scope="module", params=sorted(CHANGES))
def baseline(request, tiny_config, snapshot, tmp_path_factory):
    """Method, fitted network, its calibration, and the exported folder."""
    from training.export import export_model

    folder = tmp_path_factory.mktemp(request.param)
    config = configured(tiny_config, request.param)
    result, calibration = fit_model(config, snapshot, folder, progress=False)
    provenance = {"snapshot": snapshot.id, "run": None, "git_commit": "test"}
    export_model(result, calibration, snapshot.taxonomy, folder / "model", provenance, "card")
    return request.param, result, calibration, folder / "model"


def test_every_baseline_is_better_than_chance(baseline, snapshot):
    method, result, calibration, _ = baseline
    rows = snapshot.splits["test"]
    logits = encoder_logits(result, rows)
    for task, labels in result.label_maps.items():
        target = np.array([labels.label2id[getattr(row, task)] for row in rows])
        recalls = [(logits[task][target == one].argmax(1) == one).mean() for one in np.unique(target)]
        # Guessing, or always the same answer, recalls one in so many.
        assert np.mean(recalls) > 1.2 / len(recalls), (method, task)
        assert 0 < calibration.tasks[task].temperature <= 10


def test_the_exported_baseline_answers_as_the_fitted_network(baseline, snapshot):
    from serving.exported import ExportedModel

    method, result, calibration, folder = baseline
    rows = snapshot.splits["test"]
    model = ExportedModel(folder, threads=1)
    answered = model.opinions([(row.text, row.context) for row in rows])
    in_context = np.array([bool(row.context) for row in rows])
    assert in_context.any()
    for task, logits in encoder_logits(result, rows).items():
        expected = calibration.tasks[task].probabilities(logits, None, in_context)
        np.testing.assert_allclose(answered.probabilities[task], expected, atol=2e-4)
    assert json.loads((folder / "config.json").read_text())["method"] == method
    assert np.isfinite(answered.embedding).all()
    assert not model.manifest.get("artefacts")


def test_tfidf_reads_n_grams_and_nothing_else(tiny_config, snapshot, tmp_path):
    from training.fit import targets, train_views

    views = train_views(configured(tiny_config, "tfidf"), snapshot, tmp_path, progress=False)
    rows = snapshot.splits["test"]
    for task, (encoder, margins) in views.logits(rows).items():
        assert not encoder.any()
        target = targets(rows, views.result.label_maps)[task]
        assert (margins.argmax(1) == target).mean() > np.bincount(target).max() / len(target) + 0.1
    assert sum(weight.numel() for weight in views.result.network.parameters()) < 1000


def test_the_probe_leaves_the_encoder_as_it_was(tiny_config, snapshot, tmp_path):
    config = configured(tiny_config, "probe")
    result, _ = fit_model(config, snapshot, tmp_path, progress=False)
    fresh, _ = build_network(config, training_texts(snapshot.splits["train"]), result.label_maps)
    for name, weight in fresh.encoder.state_dict().items():
        assert torch.equal(weight, result.network.encoder.state_dict()[name]), name


def test_few_shot_changes_the_encoder_and_brings_a_label_together(tiny_config, snapshot, tmp_path):
    config = configured(tiny_config, "few_shot")
    config = replace(config, train=replace(config.train, epochs=12))
    rows = snapshot.splits["train"]
    fresh, encoder = build_network(
        config, training_texts(rows), {"category": snapshot.taxonomy.label_map("category")}
    )
    result, _ = fit_model(config, snapshot, tmp_path, progress=False)
    chosen = [rows[index] for index in choose_shots(rows, "category", SHOTS, config.train.seed)]
    labels = torch.tensor([sorted({row.category for row in chosen}).index(row.category) for row in chosen])

    def loss(network):
        return float(pair_loss(torch.from_numpy(embeddings(network, encoder, chosen, config)), labels))

    assert loss(result.network) < loss(fresh) - 0.05


@pytest.mark.parametrize("task", ["category", "emotion"])
def test_few_shot_sees_exactly_so_many_rows_of_each_label(corpus, task):
    rows = corpus[::3]
    chosen = choose_shots(rows, task, 8, seed=7)
    counts = Counter(getattr(rows[index], task) for index in chosen)
    assert set(counts.values()) == {8}
    assert counts.keys() == {getattr(row, task) for row in rows}
    assert len(set(chosen)) == len(chosen)
    assert chosen == choose_shots(rows, task, 8, seed=7)
    assert chosen != choose_shots(rows, task, 8, seed=8)


def test_a_label_with_too_few_rows_is_named(snapshot):
    rows = snapshot.splits["train"]
    with pytest.raises(ValueError, match=r"train\.shots: 999, but category '\w+' has \d+ training rows"):
        choose_shots(rows, "category", 999, seed=7)


def test_every_chosen_row_is_read_once_an_epoch_in_batches_with_pairs():
    labels = {"category": [c for c in "abcdefghij" for _ in range(8)], "emotion": list("xxxxxxxxyyyyyyyy")}
    sampler = GroupSampler(labels, batch_size=16, seed=1)
    epochs = [list(sampler), list(sampler)]
    assert epochs[0] != epochs[1]
    every = labels["category"] + labels["emotion"]
    for batches in epochs:
        assert sorted(index for batch in batches for index in batch) == list(range(len(every)))
        assert len(batches) == len(sampler)
        for batch in batches:
            named = Counter(every[index] for index in batch)
            assert len({index < 80 for index in batch}) == 1  # one task
            assert min(named.values()) >= 4
            assert len(named) > 1


def test_pairs_of_one_label_weigh_as_much_as_all_others():
    up, side = [1.0, 0.0], [0.0, 1.0]
    target = torch.tensor([0, 0, 1, 2, 3])
    # The only pair of one label is apart, half the loss; those of other labels are as they should be or not.
    vectors = torch.tensor([up, side, [-1.0, 0.0], side, side])
    squares = [1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0]  # cosines of the other nine pairs, squared
    assert float(pair_loss(vectors, target)) == pytest.approx((1.0 + np.mean(squares)) / 2)
    together = torch.tensor([up, up, side])
    assert float(pair_loss(together, torch.tensor([0, 0, 1]))) == pytest.approx(0.0)
    assert float(pair_loss(7 * together, torch.tensor([0, 0, 1]))) == pytest.approx(0.0)


def test_the_head_is_the_regression_that_was_fitted():
    from sklearn.linear_model import LogisticRegression

    generator = np.random.default_rng(3)
    for classes in ([0, 2, 3], [1, 3]):
        target = generator.choice(classes, 200)
        vectors = (generator.normal(size=(200, 6)) + target[:, None] * [1, 0, 2, 0, 0, 1]).astype(np.float32)
        weight, bias = fit_head(vectors, target, size=5)
        logits = vectors @ weight.T + bias
        scaled = (vectors - vectors.mean(0)) / vectors.std(0)
        expected = LogisticRegression(max_iter=500).fit(scaled, target).predict_proba(scaled)
        raised = np.exp(logits - logits.max(1, keepdims=True))
        np.testing.assert_allclose((raised / raised.sum(1, keepdims=True))[:, classes], expected, atol=0.01)
        assert set(logits.argmax(1)) <= set(classes)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"method": "svm"}, "method: 'svm' is not one of"),
        ({"method": "tfidf", "train": {"ngram_buckets": 0}}, r"train\.ngram_buckets: must be positive"),
        ({"method": "probe"}, r"train\.ngram_buckets: must be 0: probe reads the encoder alone"),
        (
            {"method": "few_shot", "train": {"ngram_buckets": 0, "shots": 1}},
            r"train\.shots: must be at least 2",
        ),
        ({"method": "tfidf", "shot": 8}, r"baselines\.x: unknown setting 'shot'"),
    ],
)
def test_wrong_settings_of_a_baseline_are_named(tmp_path, entry, message):
    with pytest.raises(ConfigError, match=message):
        load_training_config("x", params(tmp_path, {"x": {"tasks": ["emotion"], **entry}}))


def params(folder, baselines, **sections):
    found = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump({**found, **sections, "baselines": baselines}), encoding="utf-8")
    return path


def test_names_of_models_and_baselines_are_apart(tmp_path):
    path = ROOT / "params.yaml"
    assert set(baseline_names(path)) == {"tfidf", "probe", "few_shot"}
    assert not set(baseline_names(path)) & set(model_names(path))
    for name in baseline_names(path):
        config = load_training_config(name, path)
        assert (config.method, config.tasks) == (name, ("category", "emotion"))
        assert not config.artefacts.make
    assert load_training_config("few_shot", path).train.shots == 8
    assert load_training_config("shared", path).method == "fine_tune"
    twice = params(tmp_path, {"shared": {"tasks": ["emotion"], "method": "tfidf"}})
    with pytest.raises(ConfigError, match=r"baselines\.shared: models has an entry of the same name"):
        load_training_config("shared", twice)


def test_the_method_is_part_of_the_fingerprint():
    one = load_training_config("probe", ROOT / "params.yaml")
    other = replace(one, method="fine_tune")
    assert one.fingerprint("a") != other.fingerprint("a")
    assert one.flat()["method"] == "probe"


COMMAND = """
import json, sys
from pathlib import Path
from experiments import baselines, tracking
from experiments.promote import Approval, promote
from training.config import GateConfig
promote(Path("models/shared/exported"), Path("models/shared/report"), GateConfig(tolerance=0.199))
folders = baselines.train_baselines(["tfidf", "few_shot"], shots=3, seed=5, snapshot=Path("snapshot"))
found = baselines.standings(folders, Path("snapshot"))
baselines.write_table(found, Path("page.md"))
client = tracking.connect()
runs = {}
for one in found:
    run = client.get_run(one.run)
    files = [file.path for file in client.list_artifacts(one.run, "report")]
    runs[one.name] = {"tags": run.data.tags, "params": run.data.params, "metrics": run.data.metrics,
                      "files": files, "status": run.info.status}
gate = GateConfig(minimum={"test/category_macro_f1": 1.1, "test/emotion_macro_f1": 1.1})
decisions = promote(folders["tfidf"], folders["tfidf"].parent / "report", gate, Approval("to see", "a test"))
import mlflow, pandas
loaded = mlflow.pyfunc.load_model(f"models:/kefu-category/{decisions[0].version}")
answer = loaded.predict(pandas.DataFrame({"text": ["退款多久到账"]}))
settings = {name: json.loads((folder / "config.json").read_text()) for name, folder in folders.items()}
print(json.dumps({"runs": runs, "promoted": [one.promoted for one in decisions], "settings": settings,
                  "answer": answer.to_dict("records")}))
"""


@pytest.fixture(scope="module")
def compared(recorded, tmp_path_factory, tiny_bert):
    """A project folder after two baselines were trained and laid beside the champion, and what it printed."""
    folder = tmp_path_factory.mktemp("baselines") / "project"
    shutil.copytree(recorded, folder)
    tiny = {"epochs": 1, "ngram_buckets": 0, "precision": "32", "accelerator": "cpu"}
    entry = {"tasks": ["category", "emotion"], "artefacts": {"make": []}}
    params(
        folder,
        {
            "tfidf": {**entry, "method": "tfidf", "train": {**tiny, "ngram_buckets": 4096}},
            "few_shot": {**entry, "method": "few_shot", "train": tiny},
        },
        backbone={"name": str(tiny_bert)},
    )
    done = script(COMMAND, folder)
    return folder, json.loads(done.stdout.strip().splitlines()[-1])


@pytest.mark.slow
def test_a_baseline_is_a_run_as_any_other(compared):
    folder, found = compared
    assert set(found["runs"]) == {"tfidf", "few_shot", "champion"}
    for name, run in found["runs"].items():
        method = "fine_tune" if name == "champion" else name
        assert run["status"] == "FINISHED"
        assert run["tags"]["method"] == run["params"]["method"] == method
        assert run["tags"]["snapshot"] == found["runs"]["champion"]["tags"]["snapshot"]
        assert {"test/category_macro_f1", "test/emotion_angry_recall", "training_seconds", "size_mb"} <= set(
            run["metrics"]
        )
        assert {"report/category_confusion.png", "report/predictions.parquet"} <= set(run["files"])
    assert found["settings"]["few_shot"]["train"]["shots"] == 3
    assert found["settings"]["few_shot"]["train"]["seed"] == 5
    # Through the gate, which refuses it here, and back from the registry.
    assert found["promoted"] == [False, False]
    assert set(found["answer"][0]) == {"category", "category_score", "emotion", "emotion_score"}
    assert "A baseline: a linear model" in (folder / "models/baselines/tfidf/exported/README.md").read_text()


@pytest.mark.slow
def test_the_page_holds_the_runs_figures_and_keeps_its_words(compared):
    folder, found = compared
    text = (folder / "page.md").read_text(encoding="utf-8")
    assert "| | tfidf | few_shot | champion |" in text
    # The page reckons with stored probabilities: rounded, a row may change its bin.
    for line, metric, near in (
        ("category macro-F1", "category_macro_f1", 2e-3),
        ("emotion calibration error", "emotion_ece", 2e-2),
    ):
        (row,) = re.findall(rf"^\| {line} \| (.*\[.*)$", text.split("minus that of")[0], re.M)
        shown = [float(value) for value in re.findall(r"([\d.]+) \[", row)]
        wanted = [
            found["runs"][name]["metrics"][f"test/{metric}"] for name in ("tfidf", "few_shot", "champion")
        ]
        assert shown == pytest.approx(wanted, abs=near), line
    assert (folder / "page.png").read_bytes()[:4] == b"\x89PNG"
    stored = json.loads((folder / "page.json").read_text())["standings"]
    champion, tfidf = stored[-1]["figures"]["category macro-F1"], stored[0]["figures"]["category macro-F1"]
    assert champion["value"] == champion["low"] == champion["high"] == 0
    assert tfidf["value"] == pytest.approx(champion["a"] - tfidf["a"], abs=1e-3)
    assert tfidf["low"] <= tfidf["value"] <= tfidf["high"]
    from experiments.baselines import BEGIN, END, Standing, write_table

    page = folder / "page.md"
    page.write_text(f"# Kept\n\nBefore.\n\n{BEGIN}\nold\n{END}\n\nAfter.\n", encoding="utf-8")
    fields = ("name", "run", "snapshot", "rows", "costs")
    from experiments.paired import Difference

    again = [
        Standing(
            **{field: one[field] for field in fields},
            figures={line: Difference(**value) for line, value in one["figures"].items()},
        )
        for one in stored
    ]
    write_table(again, page)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Kept\n\nBefore.\n")
    assert text.endswith("\n\nAfter.\n")
    assert "old" not in text
    page.write_text("# No place\n", encoding="utf-8")
    with pytest.raises(ValueError, match="has no place for the table"):
        write_table(again, page)


@pytest.mark.slow
def test_the_command_names_what_it_does_not_know(compared, tmp_path):
    folder, _ = compared
    code = "import sys, kefu; kefu.main(sys.argv[1:])"
    done = script(code, folder, "baselines", "shared", check=False)
    assert done.returncode == 1
    assert "baselines.shared: unknown; known: few_shot, tfidf" in done.stderr
    shutil.copy(folder / "params.yaml", tmp_path)
    done = script(code, tmp_path, "baselines", "tfidf", "--no-train", check=False)
    assert "tfidf: was not trained yet; run: kefu baselines tfidf" in done.stderr
