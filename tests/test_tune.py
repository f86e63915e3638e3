"""Searches over the real training, in real studies; what is killed, fails or is stopped is not lost."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState, create_trial
from rich.console import Console

from experiments.pruning import MetricMissingError, PruningCallback
from experiments.search_space import Parameter, SearchSpace
from experiments.study import (
    StudyError,
    claim,
    counted,
    fail_lost,
    open_storage,
    open_study,
    pruner_of,
    was_lost,
)
from experiments.trial import Setting, run_trials, stratified
from experiments.tune import TuneOptions, _Search, model_of
from tests.conftest import ROOT, script
from training.config import ConfigError
from training.fit import fit_model
from training.train import train

SPACE = SearchSpace(
    (Parameter("train.encoder_lr", 1e-4, 3e-3, log=True), Parameter("train.batch_size", choices=(32, 64))),
    startup_trials=2,
)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return tmp_path


@pytest.fixture(scope="session")
def setting(tiny_config, snapshot):
    config = replace(tiny_config, train=replace(tiny_config.train, epochs=1, ngram_buckets=1024))
    rows = stratified(snapshot.splits["train"], 160, 0)
    cut = replace(snapshot, splits={**snapshot.splits, "train": rows})
    return Setting("tiny", config, cut, SPACE)


def study_of(setting, name="study", url=None, first=None):
    return open_study(name, url, setting.about(), first)


def test_each_category_keeps_its_share(corpus):
    kept = stratified(corpus, 2000, 3)
    assert len(kept) == len({row.id for row in kept}) == 2000
    share = len(corpus) / 2000
    for label in {row.category for row in corpus}:
        whole = sum(row.category == label for row in corpus)
        assert abs(sum(row.category == label for row in kept) - whole / share) <= 1
    assert kept == stratified(corpus, 2000, 3) != stratified(corpus, 2000, 4)
    with pytest.raises(ValueError, match="--rows: must be positive"):
        stratified(corpus, 0, 1)


@pytest.mark.parametrize("url", [None, "sqlite:///study.db"])
def test_a_hopeless_trial_is_pruned_within_its_first_epoch(here, setting, url):
    study = study_of(setting, url=url)
    study.pruner = pruner_of(replace(SPACE, startup_trials=1), epochs=1)
    good = create_trial(
        value=0.99,
        params={"train.encoder_lr": 1e-3, "train.batch_size": 32},
        distributions={
            "train.encoder_lr": optuna.distributions.FloatDistribution(1e-4, 3e-3, log=True),
            "train.batch_size": optuna.distributions.CategoricalDistribution((32, 64)),
        },
        intermediate_values={1: 0.99, 2: 0.99, 3: 0.99},
    )
    study.add_trial(good)
    run_trials(setting, study, "random", 2, seed=0)
    pruned = study.trials[1]
    assert pruned.state == TrialState.PRUNED, pruned.user_attrs
    assert list(pruned.intermediate_values) == [1, 2]  # the second check of three: before the epoch's end
    assert not list(Path(".kefu/checkpoints").glob("*"))


def test_a_trial_is_the_training_that_its_parameters_give(here, setting):
    """The checks between change no random number: what `--best` writes trains to the same figures."""
    study = study_of(setting, first={"train.encoder_lr": 1e-3, "train.batch_size": 32})
    run_trials(setting, study, "tpe", 1, seed=0)
    (trial,) = study.trials
    assert trial.state == TrialState.COMPLETE
    assert sorted(trial.intermediate_values) == [1, 2, 3]
    assert trial.user_attrs["parameters"] == {"train.encoder_lr": 1e-3, "train.batch_size": 32}
    config = setting.space.apply(setting.config, trial.user_attrs["parameters"])
    alone, _ = fit_model(config, setting.snapshot, here / "alone", progress=False)
    assert alone.metrics["val/macro_f1"] == trial.intermediate_values[3]
    assert trial.value == pytest.approx(sum(trial.user_attrs["scores"].values()) / 2)


def test_without_the_monitored_metric_nothing_is_pretended(here, setting):
    study = study_of(setting)
    callback = PruningCallback(study.ask(), 3, monitor="val/macro_f2")
    with pytest.raises(MetricMissingError, match="val/macro_f2: training logs no such metric"):
        train(setting.config, setting.snapshot, here / "checkpoints", callbacks=[callback], progress=False)


def test_a_missing_metric_ends_the_search(here, setting, monkeypatch):
    monkeypatch.setattr("experiments.trial.PruningCallback", lambda *given: PruningCallback(*given, "none"))
    study = study_of(setting)
    with pytest.raises(MetricMissingError):
        run_trials(setting, study, "tpe", 3, seed=0)
    assert [one.state for one in study.trials] == [TrialState.FAIL]
    assert "MetricMissingError: none" in study.trials[0].user_attrs["error"]


def test_a_trial_that_raises_is_recorded_and_the_study_goes_on(here, setting):
    space = SearchSpace((Parameter("input.message_tokens", choices=(64, 400)),))
    setting = replace(setting, space=space)
    study = study_of(setting, first={"input.message_tokens": 400})
    study.enqueue_trial({"input.message_tokens": 64})
    run_trials(setting, study, "tpe", 2, seed=0)
    failed, finished = study.trials
    assert failed.state == TrialState.FAIL
    assert "ValueError: input: message_tokens" in failed.user_attrs["error"]
    assert not was_lost(failed)
    assert finished.state == TrialState.COMPLETE
    assert counted(study) == 2


def test_a_stopped_trial_is_queued_again(here, setting):
    study = study_of(setting, first={"train.encoder_lr": 1e-3, "train.batch_size": 64})
    orders = iter([False, True, True])
    run_trials(setting, study, "tpe", 5, seed=0, stopped=lambda: next(orders))
    stopped, again = study.trials
    assert was_lost(stopped)
    assert again.state == TrialState.WAITING
    assert again.system_attrs["fixed_params"] == {"train.encoder_lr": 1e-3, "train.batch_size": 64}
    assert again.user_attrs == {"retry_of": 0, "role": "defaults"}
    assert counted(study) == 0


def test_no_trial_begins_after_the_deadline(here, setting):
    study = study_of(setting)
    run_trials(setting, study, "tpe", 5, seed=0, deadline=time.time() - 1)
    assert study.trials == []


@pytest.mark.parametrize("url", [None, "sqlite:///study.db"])
def test_a_trial_of_a_dead_process_is_failed_and_tried_once_more(here, setting, url):
    study = study_of(setting, url=url)
    trial = claim(study, SPACE, "tpe", 5, seed=0)
    values = SPACE.suggest(trial)
    assert fail_lost(study) == []  # this process lives
    process = study.trials[0].user_attrs["process"]
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for number, pid in ((0, dead.pid), (1, os.getpid())):
        # The second has our number, but another's start time: numbers are used again.
        trial.set_user_attr("process", {**process, "pid": pid, "started": 1})
        assert [one.number for one in fail_lost(study)] == [number]
        assert was_lost(study.trials[number])
        assert counted(study) == 0
        if number == 0:
            trial = claim(study, SPACE, "tpe", 5, seed=0)
            assert SPACE.suggest(trial) == values
    assert len(study.trials) == 2  # tried once more, not for ever


def test_a_process_of_another_machine_is_left_alone(here, setting):
    study = study_of(setting)
    trial = claim(study, SPACE, "tpe", 5, seed=0)
    trial.set_user_attr("process", {"host": "elsewhere", "pid": 1, "started": 1})
    assert fail_lost(study) == []


def test_in_a_database_a_process_gives_signs_of_life(here, setting, monkeypatch):
    monkeypatch.setattr("experiments.study.BEAT", 1)
    study = study_of(setting, url="sqlite:///study.db")
    beats = []
    storage = study._storage._backend
    monkeypatch.setattr(storage, "record_heartbeat", lambda number: beats.append(number))
    run_trials(setting, study, "random", 1, seed=0)
    assert beats
    assert storage.get_heartbeat_interval() == 1


def test_the_number_of_trials_is_kept_and_none_is_drawn_twice(here, setting):
    study = study_of(setting)
    drawn = []
    while (trial := claim(study, SPACE, "random", 6, seed=0)) is not None:
        drawn.append(tuple(SPACE.suggest(trial).values()))
        study.tell(trial, 0.5)
        study = study_of(setting)  # as another start would
    assert len(set(drawn)) == 6
    assert study_of(setting, "other") is not None


def test_a_study_goes_on_only_on_the_same_ground(here, setting):
    study_of(setting)
    other = replace(setting, config=replace(setting.config, train=replace(setting.config.train, epochs=9)))
    with pytest.raises(StudyError, match=r"study study was made with train\.epochs 1, now it is 9"):
        study_of(other)


def test_half_a_line_at_the_end_of_the_journal_does_no_harm(here, setting):
    study_of(setting)
    path = here / ".kefu/studies/study.log"
    with path.open("ab") as handle:
        handle.write(b'{"op_code":4,"work')
    study = study_of(setting)
    study.tell(study.ask(), 0.5)
    assert [one.value for one in study_of(setting).trials] == [0.5]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://host/db", "expected postgresql://… or sqlite:///FILE"),
        ("sqlite:////no/such/folder/study.db", "the database cannot be opened"),
    ],
)
def test_a_wrong_storage_is_refused(url, reason):
    with pytest.raises(StudyError, match=reason):
        open_storage(url, "study")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"workers": 0}, "--workers: must be positive"),
        ({"minutes": -1.0}, "--minutes: must be positive"),
        ({"sampler": "grid"}, "--sampler: must be one of"),
        ({"study": "../x"}, "--study: letters, digits"),
    ],
)
def test_wrong_options_are_named(options, reason):
    with pytest.raises(ConfigError, match=reason):
        TuneOptions(**options)


def test_a_model_is_found_by_its_task(tmp_path):
    path = tmp_path / "params.yaml"
    entries = "one: {tasks: [category]}, two: {tasks: [emotion]}, three: {tasks: [emotion]}"
    path.write_text(f"models: {{{entries}}}\n")
    assert model_of("category", path) == "one"
    assert model_of("two", path) == "two"
    with pytest.raises(ConfigError, match="several models learn it: two, three"):
        model_of("emotion", path)
    with pytest.raises(ConfigError, match="no such model or task"):
        model_of("price", path)
    assert model_of("category", ROOT / "params.yaml") == "shared"


def test_in_a_terminal_a_table_follows_the_trials(here, setting):
    study = study_of(setting, first={"train.encoder_lr": 1e-3, "train.batch_size": 32})
    console = Console(force_terminal=True, width=120, file=StringIO())
    search = _Search(study, setting, TuneOptions(), 20, console)
    with search._shown():
        search._tell()
        trial = claim(study, SPACE, "tpe", 20, seed=0)
        trial.set_user_attr("parameters", SPACE.suggest(trial))
        trial.report(0.25, 1)
        search._tell()
        study.tell(trial, 0.5)
        search._watch(None)  # no worker is left: it only tells the end
    shown = console.file.getvalue()
    assert "study study: 1 of 20 trials" in shown
    assert shown.index("running") < shown.index("0.2500 at 1") < shown.index("done") < shown.index("0.5000")


PARAMS = """\
# settings
models:
  tiny:
    tasks: [category, emotion]
backbone: {{name: {backbone}}}
train:
  epochs: {epochs}
  batch_size: 32
  encoder_lr: 1.0e-3   # found by hand
  ngram_buckets: 1024
  precision: "32"
  accelerator: cpu
tune:
  startup_trials: 2
  parameters:
    train.encoder_lr: {{low: 1.0e-4, high: 3.0e-3, log: true}}
    train.batch_size: {{choices: [32, 64]}}
"""


@pytest.fixture
def project(tmp_path, snapshot, taxonomy, tiny_bert):
    """A folder with a snapshot of few rows and its own stores; a function that sets the epochs."""
    from data.split import write_snapshot

    cut = {name: rows[:120] for name, rows in snapshot.splits.items()}
    write_snapshot(cut, taxonomy, tmp_path / "data/processed")
    (tmp_path / "params.yaml").write_text(PARAMS.format(backbone=tiny_bert, epochs=1), encoding="utf-8")
    return tmp_path


KEFU = "import sys; from kefu import main; main(sys.argv[1:])"


def kefu(project, *arguments, **how):
    return script(KEFU, project, "tune", "category", *arguments, OMP_NUM_THREADS="1", **how)


def only_study(project, url=None):
    """The study in the project's journal, or database, as another process sees it."""
    if url is None:
        (path,) = (project / ".kefu/studies").glob("*.log")
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        backend = JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path)))
        return optuna.load_study(study_name=path.stem, storage=JournalStorage(backend))
    (name,) = optuna.get_all_study_names(url)
    return optuna.load_study(study_name=name, storage=url)


@pytest.mark.slow
def test_two_workers_share_a_study_and_the_winner_is_written(project):
    told = kefu(project, "--trials", "5", "--workers", "2", "--best").stdout
    study = only_study(project)
    trials = study.trials
    assert len(trials) == 5
    assert all(one.state in (TrialState.COMPLETE, TrialState.PRUNED) for one in trials)
    assert len({one.user_attrs["process"]["pid"] for one in trials}) == 2
    assert len({json.dumps(one.user_attrs["parameters"]) for one in trials}) == 5
    assert trials[0].user_attrs["role"] == "defaults"
    assert told.count("\ntrial ") == 5
    # One nested run for each trial, all below one parent.
    runs = json.loads(
        script(
            """
        import json
        from experiments.tracking import EXPERIMENT, connect
        client = connect()
        found = client.search_runs([client.get_experiment_by_name(EXPERIMENT).experiment_id])
        print(json.dumps([{"id": r.info.run_id, "tags": r.data.tags, "metrics": r.data.metrics,
            "params": r.data.params, "status": r.info.status,
            "files": [f.path for f in client.list_artifacts(r.info.run_id, "report")]} for r in found]))
        """,
            project,
        ).stdout.splitlines()[-1]
    )
    (parent,) = [one for one in runs if one["tags"].get("kind") == "tuning"]
    children = [one for one in runs if one is not parent]
    assert {one["tags"]["mlflow.parentRunId"] for one in children} == {parent["id"]}
    assert {one["tags"]["study"] for one in runs} == {study.study_name}
    assert sorted(one["tags"]["trial"] for one in children) == list("01234")
    assert {one["status"] for one in runs} == {"FINISHED"}
    assert {"report/history.png", "report/trials.json"} <= set(parent["files"])
    assert parent["metrics"]["val_joined/best_macro_f1"] == study.best_value
    for one in children:
        trial = trials[int(one["tags"]["trial"])]
        assert trial.user_attrs["run"] == one["id"]
        assert one["params"]["train.encoder_lr"] == str(trial.user_attrs["parameters"]["train.encoder_lr"])
        if trial.state == TrialState.COMPLETE:
            assert one["metrics"]["val_joined/macro_f1"] == trial.value
    # Written once, as a diff; the file is the one that was told.
    text = (project / "params.yaml").read_text(encoding="utf-8")
    winner = study.best_trial.user_attrs["parameters"]
    if study.best_trial.number:
        assert "-  encoder_lr: 1.0e-3   # found by hand" in told
        assert "   # found by hand" in text
    again = kefu(project, "--best")
    assert "has these parameters already" in again.stdout
    assert (project / "params.yaml").read_text(encoding="utf-8") == text
    from training.config import load_training_config

    config = load_training_config("tiny", project / "params.yaml").flat()
    assert {name: config[name] for name in winner} == winner
    assert len(only_study(project).trials) == 5


def lasting(project, epochs):
    path = project / "params.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("epochs: 1", f"epochs: {epochs}"))


def wait_for(condition, process, seconds=90):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert process.poll() is None, process.communicate()
        if found := condition():
            return found
        time.sleep(0.2)
    raise AssertionError("it did not happen")


def running(project, after=-1):
    def look():
        if not list((project / ".kefu/studies").glob("*.log")):
            return None
        try:
            trials = only_study(project).trials
        except KeyError:  # the journal is there, the study not yet
            return None
        begun = [one for one in trials[after + 1 :] if one.state == TrialState.RUNNING]
        return next((one for one in begun if one.intermediate_values), None)

    return look


@pytest.mark.slow
def test_killed_and_started_again_it_goes_on(project):
    lasting(project, epochs=2)
    first = kefu(project, "--trials", "2", background=True)
    trial = wait_for(running(project), first)
    # A worker that is killed is replaced, and its trial tried again by the next one.
    os.kill(trial.user_attrs["process"]["pid"], signal.SIGKILL)
    again = wait_for(running(project, after=trial.number), first)
    assert again.user_attrs["retry_of"] == trial.number
    assert again.params == trial.params
    # Then everything is killed at once, and started again.
    first.send_signal(signal.SIGKILL)
    os.kill(again.user_attrs["process"]["pid"], signal.SIGKILL)
    first.communicate()
    told = kefu(project, "--trials", "2").stdout
    assert f"trial {again.number}: its process ended; marked as failed" in told
    trials = only_study(project).trials
    assert [was_lost(one) for one in trials] == [True, True, False, False]
    assert all(one.state in (TrialState.COMPLETE, TrialState.PRUNED) for one in trials[2:])
    assert "has its 2 trials" in kefu(project, "--trials", "2").stdout
    statuses = script(
        f"from experiments.tracking import connect; c = connect(); "
        f"print([c.get_run(r).info.status for r in {[one.user_attrs['run'] for one in trials]!r}])",
        project,
    ).stdout.splitlines()[-1]
    assert statuses == "['KILLED', 'KILLED', 'FINISHED', 'FINISHED']"
    assert not list((project / ".kefu/checkpoints").glob("*"))


@pytest.mark.slow
def test_interrupted_it_leaves_a_clean_state(project):
    lasting(project, epochs=90)
    process = kefu(project, "--minutes", "30", "--study", "long", background=True)
    trial = wait_for(running(project), process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "stopped; the same command goes on" in out
    with pytest.raises(ProcessLookupError):
        os.kill(trial.user_attrs["process"]["pid"], 0)
    states = [one.state for one in only_study(project).trials]
    assert states == [TrialState.FAIL, TrialState.WAITING]


@pytest.fixture
def postgresql(tmp_path):
    """The URL of a real server of its own; skipped where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("no PostgreSQL server is installed")
    if find_spec("psycopg2") is None and find_spec("psycopg") is None:
        pytest.skip("no PostgreSQL driver is installed: pip install 'psycopg[binary]'")
    programs, data = found[-1].parent, Path(f"/tmp/kefu-postgres-{os.getpid()}")
    data.mkdir(mode=0o700)
    person = []
    if os.geteuid() == 0:  # the server refuses to be root
        shutil.chown(data, "postgres", "postgres")
        person = ["runuser", "-u", "postgres", "--"]
    try:
        subprocess.run([*person, programs / "initdb", "-D", data / "db", "-U", "kefu", "-A", "trust"],
                       check=True, capture_output=True, cwd="/")  # fmt: skip
        port = 54000 + os.getpid() % 1000
        options = f"-p {port} -k {data} -c listen_addresses=127.0.0.1 -c fsync=off"
        control = [*person, programs / "pg_ctl", "-D", data / "db"]
        subprocess.run([*control, "-w", "-o", options, "-l", data / "log", "start"],
                       check=True, stdout=subprocess.DEVNULL, cwd="/")  # fmt: skip
        yield f"postgresql://kefu@127.0.0.1:{port}/postgres"
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, stdout=subprocess.DEVNULL, cwd="/")
    finally:
        shutil.rmtree(data, ignore_errors=True)


@pytest.mark.slow
def test_a_study_in_postgresql(project, postgresql):
    shared = ("--study", "shared", "--storage", postgresql)
    # The driver may lie where only our own search path leads.
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    kefu(project, "--trials", "3", "--workers", "2", *shared, PYTHONPATH=path)
    assert "has its 3 trials" in kefu(project, "--trials", "3", *shared, PYTHONPATH=path).stdout
    told = script(
        """
        import sys, warnings, optuna
        from experiments.study import open_storage
        storage = open_storage(sys.argv[1], "shared")
        for trial in optuna.load_study(study_name="shared", storage=storage).trials:
            print("trial", trial.number, trial.state.name, "error" in trial.user_attrs)
        """,
        project,
        postgresql,
        PYTHONPATH=path,
    ).stdout
    assert re.findall(r"trial (\d) (\w+) (\w+)", told) == [
        (str(number), found, "False") for number, found in enumerate(re.findall(r"(COMPLETE|PRUNED)", told))
    ]
    assert told.count("trial ") == 3
