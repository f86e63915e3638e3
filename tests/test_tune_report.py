"""The table, the sentences and the pictures of a search; and the figures of its benchmark."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial
from PIL import Image
from rich.console import Console

from benchmarks.tuning import compare, interval
from experiments.trial import Job, job_text
from experiments.tune_report import (
    best_trial,
    default_trial,
    importances,
    state_of,
    summary,
    table,
    trial_line,
    write_pictures,
)

DISTRIBUTIONS = {
    "train.encoder_lr": FloatDistribution(1e-4, 1e-2, log=True),
    "train.batch_size": CategoricalDistribution((16, 32)),
}


def made(rate, size=16, value=None, state=TrialState.COMPLETE, checks=(), **attributes):
    parameters = {"train.encoder_lr": rate, "train.batch_size": size}
    return create_trial(
        state=state,
        value=value,
        params=parameters,
        distributions=DISTRIBUTIONS,
        intermediate_values=dict(enumerate(checks, 1)),
        user_attrs={"parameters": parameters, **attributes},
    )


@pytest.fixture
def study():
    study = optuna.create_study(study_name="of-tests", direction="maximize")
    study.add_trial(made(1e-3, value=0.5, checks=(0.2, 0.4), role="defaults"))
    study.add_trial(made(2e-3, value=0.7))
    study.add_trial(made(3e-3, 32, value=0.7))
    study.add_trial(made(1e-4, state=TrialState.PRUNED, checks=(0.1, 0.15)))
    study.add_trial(made(5e-3, state=TrialState.FAIL, error="ValueError: [red]input[/red] is too long"))
    study.add_trial(made(6e-3, state=TrialState.FAIL))
    study.add_trial(made(6e-3, value=0.6, retry_of=5))
    study.add_trial(made(7e-3, 32, value=0.65))
    return study


def shown(study, width=150):
    console = Console(width=width, record=True, file=None)
    with console.capture() as captured:
        console.print(table(study.trials, "study of-tests: 7 of 20", list(DISTRIBUTIONS)))
    return captured.get()


def test_the_table_says_what_became_of_each_trial(study):
    text = shown(study)
    rows = {line.split("│")[1].strip(): line for line in text.splitlines() if line.startswith("│")}
    assert len(rows) == 8
    assert "0.5000" in rows["0"]
    assert "defaults" in rows["0"]
    assert "pruned" in rows["3"]
    assert "0.1500 at 2" in rows["3"]
    assert "failed" in rows["4"]
    assert "[red]input[/red]" in text.replace("\n", "")  # shown, not obeyed
    assert "lost" in rows["5"]
    assert "again after 5" in rows["6"]


def test_a_long_search_shows_its_latest_trials_and_the_best(study):
    for _ in range(30):
        study.add_trial(made(1e-3, value=0.3))
    rows = [line.split("│")[1].strip() for line in shown(study).splitlines() if line.startswith("│")]
    assert rows[0] == "1"
    assert rows[-1] == "37"
    assert len(rows) == 16


def test_the_best_is_the_first_of_equals_and_is_held_against_the_defaults(study):
    assert best_trial(study.trials).number == 1
    assert default_trial(study.trials).number == 0
    lines = summary(study.trials)
    assert lines[0] == "5 done, 1 pruned, 1 failed, 1 lost"
    assert "trial 1, macro-F1 0.7000 on validation, which chose it" in lines[1]
    assert lines[2] == "the configured parameters: 0.5000, the best is +0.2000"
    assert summary(study.trials[:1])[-1] == "no trial was better than the configured parameters"
    assert summary(study.trials[3:6]) == ["1 pruned, 1 failed, 1 lost"]
    assert summary([]) == ["no trial yet"]


def test_a_trial_in_one_line(study):
    line = trial_line(study.trials[3])
    assert line.split()[:4] == ["trial", "3", "pruned", "0.1500"]
    assert "train.encoder_lr=0.0001 train.batch_size=16" in line
    assert "too long" in trial_line(study.trials[4])


def test_pictures_and_figures(study, tmp_path):
    assert importances(study) == {}  # too few to say anything
    for rate, value in ((4e-4, 0.55), (9e-3, 0.52)):
        study.add_trial(made(rate, value=value))
    metrics = write_pictures(study, tmp_path)
    assert metrics["val_joined/best_macro_f1"] == 0.7
    assert metrics["val_joined/defaults_macro_f1"] == 0.5
    assert (metrics["trials_done"], metrics["trials_lost"]) == (7, 1)
    for name in ("history.png", "importance.png"):
        pixels = np.asarray(Image.open(tmp_path / name).convert("L"))
        assert pixels.std() > 10, name
    told = json.loads((tmp_path / "trials.json").read_text(encoding="utf-8"))
    assert told["importances"] == importances(study)
    assert [row["state"] for row in told["trials"]] == [state_of(one) for one in study.trials]
    assert told["trials"][3]["checks"] == {"1": 0.1, "2": 0.15}


def test_a_young_study_has_a_history_and_no_importance(tmp_path):
    study = optuna.create_study(study_name="young", direction="maximize")
    study.add_trial(made(1e-3, value=0.5))
    study.ask()
    assert write_pictures(study, tmp_path)["val_joined/best_macro_f1"] == 0.5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["history.png", "trials.json"]


def test_importance_sees_which_parameter_matters():
    study = optuna.create_study(study_name="of-one", direction="maximize")
    generator = np.random.default_rng(0)
    for _ in range(60):
        rate, size = float(10 ** generator.uniform(-4, -2)), int(generator.choice([16, 32]))
        study.add_trial(made(rate, size, value=1 - abs(np.log10(rate) + 3)))
    shares = importances(study)
    assert list(shares) == ["train.encoder_lr", "train.batch_size"]
    assert shares["train.encoder_lr"] > 0.9


def test_a_job_survives_its_way_to_the_worker():
    job = Job("shared", "params.yaml", "data", "s", None, "tpe", 3, 0, None, 2, 1.5, None, "run", 1)
    assert json.loads(job_text(job)) == asdict(job)


def test_differences_of_the_benchmark_are_paired_by_seed():
    found = interval([0.01, 0.02, 0.03])
    assert found["mean"] == pytest.approx(0.02)
    # Student's t with two degrees of freedom: 4.3027 * 0.01 / sqrt(3).
    assert found["high"] - found["mean"] == pytest.approx(0.024841, abs=1e-5)
    scores = {"defaults": (0.5, 0.9), "random": (0.6, 0.95), "tpe": (0.6, 1.0)}
    results = [
        {"method": method, "seed": seed, "test": {"mean": value}}
        for method, values in scores.items()
        for seed, value in enumerate(values)
    ]
    results.append({"method": "tpe", "seed": 2, "test": {"mean": 0.0}})  # its pair is still missing
    differences = compare(results)
    assert differences["tpe - defaults"]["mean"] == pytest.approx(0.1)
    assert differences["tpe - random"]["mean"] == pytest.approx(0.025)
