"""The whole loop on a real server: chats out, answers in, conflicts decided, a model that learnt from it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import yaml

from data.split import SplitConfig, load_snapshot, split_examples, write_snapshot
from labeling.agreement import measure_agreement
from labeling.client import LabelStudio
from labeling.project import follow_ups, kefu_projects
from labeling.pull import pull_project
from labeling.push import Chat, push, tasks_with
from labeling.rehearsal import answer_of, choose_chats, rehearse
from labeling.resolve import resolve
from labeling.second_look import adjudicate
from labeling.suggest import champion_of
from tests.conftest import ROOT, TRAIN, script

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def loop(label_studio, taxonomy, predictor, tmp_path_factory):
    """Ninety turns of embedded conversations, each answered by three people of different care."""
    examples = choose_chats(90)
    suggest = champion_of(predictor)
    done = rehearse(label_studio, taxonomy, examples, suggest=suggest, title="全程演练")
    folder = tmp_path_factory.mktemp("raw")
    server = LabelStudio(label_studio)
    return SimpleNamespace(server=server, done=done, examples=examples, folder=folder, suggest=suggest)


def pulled(loop):
    return pull_project(loop.server, loop.done.project, loop.folder, page_size=40)


def test_tasks_carry_the_masked_chat_and_the_suggestions(loop, taxonomy):
    (page, *_) = loop.server.tasks(loop.done.project.id, page_size=200)
    assert len(page) == 90
    data, (prediction,) = page[0]["data"], page[0]["predictions"]
    assert len(data["suggested"]) == 5
    assert {choice["alias"] for choice in data["suggested"]} <= set(taxonomy.category)
    assert prediction["model_version"] == data["model"] == "tiny@1"
    assert {item["from_name"] for item in prediction["result"]} == {"category", "emotion"}


def test_a_second_push_adds_nothing(loop, taxonomy):
    chats = [Chat(row.text, row.context, row.conversation, row.id) for row in loop.examples]
    report = push(loop.server, loop.done.project.id, chats * 2, tasks_with(None, taxonomy))
    assert (report.added, report.present, report.doubled) == (0, 90, 90)


def test_the_careless_one_is_found(loop, taxonomy):
    tasks = pulled(loop).tasks
    careless = loop.done.accounts["careless"].annotator
    skills = resolve(tasks, taxonomy).reliability
    assert min(skills, key=lambda person: sum(skills[person].values())) == careless
    gold = {
        task.key: (loop.done.truth[task.key].category, loop.done.truth[task.key].emotion)
        for task in tasks[:40]
    }
    report = measure_agreement(tasks, taxonomy, gold)
    named = [finding for finding in report.findings if careless in str(finding)]
    assert named
    others = [loop.done.accounts[name].annotator for name in ("careful", "good")]
    assert not [finding for finding in report.findings if any(other in str(finding) for other in others)]


def test_conflicts_are_decided_and_flow_back_into_a_model(loop, taxonomy, tiny_bert, tmp_path):
    before = pulled(loop)
    first = resolve(before.tasks, taxonomy, verdicts=before.verdicts)
    assert first.conflicts
    look = adjudicate(loop.server, loop.done.project, taxonomy, first.conflicts)
    assert look.added == len(first.conflicts)
    assert [one.id for one in follow_ups(loop.server, loop.done.project)] == [look.project.id]
    again = adjudicate(loop.server, loop.done.project, taxonomy, first.conflicts)
    assert (again.added, again.present) == (0, len(first.conflicts))

    (page, *_) = loop.server.tasks(look.project.id, page_size=200)
    people = {account.annotator for account in loop.done.accounts.values()}
    for raw in page:
        shown = json.dumps(raw["data"], ensure_ascii=False)
        assert raw["data"]["answers"]
        assert raw["data"]["reason"]
        assert not [person for person in people if person in shown], "names must not be shown"
        right = loop.done.truth[raw["data"]["key"]]
        loop.server.annotate(raw["id"], answer_of(right.category, right.emotion), 20.0)

    after = pulled(loop)
    final = resolve(after.tasks, taxonomy, verdicts=after.verdicts)
    assert not final.conflicts
    assert len(final.examples) == 90
    truth = {(row.text, row.context): (row.category, row.emotion) for row in loop.examples}
    right = sum(truth[row.text, row.context] == (row.category, row.emotion) for row in final.examples)
    assert right >= 84

    splits = split_examples(final.examples, SplitConfig(val=0.15, test=0.15))
    identity = write_snapshot(splits, taxonomy, tmp_path / "snapshot")
    assert load_snapshot(tmp_path / "snapshot").splits == splits
    script(TRAIN, tmp_path, tiny_bert)
    task = first.conflicts[0].task
    done = script(
        """
        import sys, json
        from experiments.lineage import ancestry, descendants
        project, task, snapshot = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
        (origin,) = ancestry(snapshot)
        row = next(row for row in origin.examples if row["example"] == f"ls-{project}-{task}")
        (child,) = descendants(project, task)
        print(json.dumps([origin.rows, sorted({v["annotator"] for v in row["votes"]}), child.split, child.run,
                          origin.run, child.learnt]))
        """,
        tmp_path,
        loop.done.project.id,
        task.id,
        identity,
    )
    rows, voters, split, run, origin, learnt = json.loads(done.stdout.splitlines()[-1])
    assert sum(rows.values()) == 90
    assert set(voters) > people  # the three and the one who decided
    assert run == origin
    decided = loop.done.truth[task.key]
    assert learnt == {"category": decided.category, "emotion": decided.emotion}
    assert f"ls-{loop.done.project.id}-{task.id}" in {row.id for row in splits[split]}


def test_sync_goes_from_answers_to_a_measured_model(loop, label_studio, tiny_bert, tmp_path):
    """The command itself, in a checkout of its own with small-data settings."""
    for package in ("data", "labeling", "training", "serving", "experiments"):
        ignore = shutil.ignore_patterns("corpus", "raw", "interim", "processed", "__pycache__", "fresh_hands")
        shutil.copytree(ROOT / package, tmp_path / package, ignore=ignore)
    for name in ("kefu.py", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path / name)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["data"]["source"] = "data/raw/label_studio/examples.jsonl"
    params["checks"] = {name: 0 for name in params["checks"] if name.startswith("min_")}
    params["checks"] |= {"max_template_share": 1.0, "near_duplicate": 0.99, "max_near_duplicates": 90}
    params["split"] |= {"val": 0.15, "test": 0.15, "val_authors": [], "test_authors": []}
    params["backbone"] = {"name": str(tiny_bert)}
    params["train"] |= {"epochs": 1, "ngram_buckets": 4096, "precision": "32"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    environment = {
        **{name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"},
        "PYTHONPATH": str(tmp_path),
        "LABEL_STUDIO_URL": label_studio.url,
        "LABEL_STUDIO_API_KEY": label_studio.token,
    }
    command = [sys.executable, "kefu.py", "label", "sync", "--train", "--project", str(loop.done.project.id)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "90 tasks" in done.stdout
    assert "test/category_macro_f1" in done.stdout
    snapshot = json.loads((tmp_path / "data" / "processed" / "snapshot.json").read_text(encoding="utf-8"))
    assert f"snapshot {snapshot['id']}" in done.stdout
    lineage = subprocess.run(
        [sys.executable, "kefu.py", "lineage", snapshot["id"]],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    careless = loop.done.accounts["careless"].annotator
    assert f"{careless}: " in lineage.stdout, lineage.stderr


def test_every_project_is_known_by_its_kind(loop):
    kinds = {one.id: one.kind for one in kefu_projects(loop.server)}
    assert kinds[loop.done.project.id] == "labels"
