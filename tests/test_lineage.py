"""From answers back to people, and forward again; what `kefu label sync` refuses."""

from __future__ import annotations

import json

import pytest

from data.taxonomy import load_taxonomy
from experiments.lineage import models_named
from experiments.sync import SyncError, sync
from tests.conftest import script
from tests.test_kefu import run


def test_the_models_of_an_answer_file(tmp_path):
    answer = {"model": {"category": "kefu-category@3", "emotion": "kefu-emotion@2", "snapshot": "abc"}}
    one, many = tmp_path / "answer.json", tmp_path / "answers.jsonl"
    one.write_text(json.dumps(answer, indent=1), encoding="utf-8")
    many.write_text((json.dumps(answer) + "\n") * 3, encoding="utf-8")
    assert models_named(one) == models_named(many) == ["kefu-category@3", "kefu-emotion@2"]
    one.write_text(json.dumps({"model": {"category": "x"}}), encoding="utf-8")
    with pytest.raises(ValueError, match="answer 1: model"):
        models_named(one)


def test_sync_refuses_a_pipeline_that_reads_something_else(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text("data:\n  source: data/corpus\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SyncError, match=r"data.source is data/corpus.*set it to data/raw/label_studio"):
        sync(load_taxonomy())


def test_label_commands_without_a_server_say_how_to_start_one(tmp_path):
    done = run("label", "list", LABEL_STUDIO_URL="http://127.0.0.1:9", LABEL_STUDIO_API_KEY="x")
    assert done.returncode == 1
    assert done.stderr.startswith("kefu label list: no Label Studio at http://127.0.0.1:9")
    assert "make labelstudio" in done.stderr


@pytest.mark.slow
def test_a_model_leads_to_its_authors(recorded, tmp_path):
    done = script(
        """
        from experiments.lineage import ancestry, descendants, show_lineage
        from experiments.tracking import runs_by_snapshot
        (snapshot, (run,)), = runs_by_snapshot().items()
        (by_snapshot,), (by_run,) = ancestry(snapshot), ancestry(run)
        assert by_snapshot.run == by_run.run == run
        assert sum(by_run.authors.values()) == sum(by_run.rows.values()) > 100
        assert not by_run.examples and not descendants(1, 1)
        show_lineage(run)
        show_lineage("task:1/1")
        try:
            ancestry("nothing")
        except ValueError as error:
            assert "task:PROJECT/TASK" in str(error)
        else:
            raise AssertionError("an unknown name passed")
        """,
        recorded,
    )
    assert "labels came with them" in done.stdout
    assert "no run has read task 1 of project 1" in done.stdout
