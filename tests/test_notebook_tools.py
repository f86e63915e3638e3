"""What the notebooks call: live curves, a small training run, errors, a look at the service, their copies."""

from __future__ import annotations

import json
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest
import torch

from data.chats import read_chats
from data.split import write_snapshot
from experiments.error_analysis import (
    accuracy,
    confused_rows,
    confusions,
    draw_slices,
    look_alikes,
    slice_rates,
    what_to_label,
)
from experiments.live_curves import LiveCurves
from experiments.render_notebooks import relinked, render, tidy
from experiments.service_look import answer_rows, draw_load, look_at_metrics, offer, track_rows
from experiments.small_training import small_config, train_small
from serving.exported import ExportedModel
from serving.schema import AnalyzeRequest
from tests.conftest import ROOT
from training.predictions import read_predictions, write_predictions


@pytest.fixture(scope="module")
def model(exported):
    return ExportedModel(exported, threads=1)


@pytest.fixture(scope="module")
def answers(model, snapshot, tmp_path_factory):
    """Predictions of the tiny model on test."""
    rows = snapshot.splits["test"]
    found = model.probabilities([(row.text, row.context) for row in rows])
    folder = tmp_path_factory.mktemp("predictions")
    splits = {"test": (rows, found)}
    return read_predictions(write_predictions(folder, snapshot.id, model.taxonomy, model.calibration, splits))


def test_live_curves_follow_training():
    pictures = []
    curves = LiveCurves(pictures.append, seconds=0.0)
    trainer = SimpleNamespace(global_step=0, current_epoch=0, callback_metrics={})
    for step in range(1, 4):
        trainer.global_step = step
        curves.on_train_batch_end(trainer, None, {"loss": torch.tensor(1.0 / step)}, None, step)
    trainer.callback_metrics = {"val/category_macro_f1": torch.tensor(0.5), "val/macro_f1": torch.tensor(0.6)}
    curves.on_validation_end(trainer, None)
    assert [step for step, _ in curves.losses] == [1, 2, 3]
    assert curves.scores["val/category_macro_f1"] == [(1, 0.5)]
    assert curves.scores["val/emotion_macro_f1"] == []
    assert len(pictures) == 4
    assert pictures[0].png != pictures[-1].png
    assert all(picture.png.startswith(b"\x89PNG") for picture in pictures)


def test_live_curves_draw_seldom_and_nowhere_without_a_notebook():
    curves = LiveCurves(seconds=1000.0)
    trainer = SimpleNamespace(global_step=1, current_epoch=0, callback_metrics={})
    curves._drawn = np.inf
    curves.on_train_batch_end(trainer, None, {"loss": torch.tensor(1.0)}, None, 0)
    curves.on_validation_end(trainer, None)
    assert curves.picture().png.startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_small_run_is_a_real_run(tiny_config, snapshot, taxonomy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_snapshot(snapshot.splits, taxonomy, tmp_path / "whole")
    config = small_config(tiny_config, layers=1, epochs=1)
    assert (config.backbone.layers, config.train.epochs, tuple(config.artefacts.make)) == (1, 1, ())
    curves = LiveCurves(lambda picture: None)
    found = train_small(config, tmp_path / "whole", rows=60, callbacks=[curves])
    assert found.rows == {"train": 60, "val": min(60, len(snapshot.splits["val"])),
                          "test": len(snapshot.splits["test"])}  # fmt: skip
    assert found.snapshot != snapshot.id
    assert curves.losses
    assert len(curves.scores["val/macro_f1"]) == 1
    from experiments.tracking import fetch_artifact, has_run

    assert has_run(found.run)
    path = fetch_artifact(found.run, "report/predictions.parquet")
    assert len(read_predictions(path).rows) == len(snapshot.splits["test"])
    assert {row["figure"] for row in found.figures()} >= {"test/category_macro_f1", "test/emotion_macro_f1"}


def test_confusions_count_what_is_wrong(answers):
    truth = answers.truth("category")
    guess = answers.probabilities["category"].argmax(1)
    found = confusions(answers, "category", most=1000)
    assert sum(one.count for one in found) == int((truth != guess).sum()) > 0
    assert accuracy(answers) == pytest.approx(1 - sum(one.count for one in found) / len(truth))
    assert [one.count for one in found] == sorted((one.count for one in found), reverse=True)
    assert all(one.count <= one.of and one.truth != one.answer for one in found)


def test_slices_are_rates_with_intervals(answers):
    rates = slice_rates(answers)
    assert rates
    assert all(rate.rows >= 30 and rate.low <= rate.accuracy <= rate.high for rate in rates)
    assert draw_slices(rates, accuracy(answers), "slices").png.startswith(b"\x89PNG")


def test_look_alikes_are_training_messages_of_both_labels(answers, model, snapshot):
    found = look_alikes(model, answers, snapshot.splits["test"], snapshot.splits["train"], most=3, each=20)
    assert found
    texts = {label: {row.text for row in snapshot.splits["train"] if row.category == label}
             for one in found for label in (one.truth, one.answer)}  # fmt: skip
    for one in found:
        assert one.like_answer in texts[one.answer]
        assert one.like_truth in texts[one.truth]
        assert -1.01 <= min(one.near_answer, one.near_truth) <= max(one.near_answer, one.near_truth) <= 1.01
    # A message that stands in training is its own nearest.
    twin = snapshot.splits["train"][0]
    known = look_alikes(model, answers, snapshot.splits["test"], [twin], most=3)
    assert all(not one.like_answer or twin.text in (one.like_answer, one.like_truth) for one in known)


def test_confused_rows_are_of_the_confused_labels(answers, snapshot):
    pairs = confusions(answers)[:1]
    rows = confused_rows(snapshot.splits["train"], pairs, each=7)
    assert {row.category for row in rows} <= {pairs[0].truth, pairs[0].answer}
    assert 0 < len(rows) <= 14


def test_what_to_label_comes_from_the_log(predictor):
    chats = read_chats()[:20]
    found = what_to_label(predictor, chats, count=5)
    assert len(found) == 5
    assert {one.text for one in found} <= {turn.text for chat in chats for _, turn in chat.messages}
    assert all(one.guess != one.second and 0 < one.score <= 1 for one in found)


def test_answers_and_chats_as_rows(predictor):
    messages = ["在吗", {"text": "退款什么时候到"}]
    given = predictor.analyze([AnalyzeRequest(text=text) for text in ("在吗", "退款什么时候到")])
    rows = answer_rows(messages, given)
    assert [row["message"] for row in rows] == ["在吗", "退款什么时候到"]
    assert rows[0]["wants"] == given[0].category.zh
    from serving.track import follow

    turns = [("customer", "在吗"), ("agent", "在"), ("customer", "退款什么时候到")]
    shown = track_rows(turns, follow([0, 2], given, predictor.taxonomy))
    assert [row["feels"] for row in shown] == [given[0].emotion.zh, "", given[1].emotion.zh]


@pytest.fixture
def service():
    """Answers as the service does, without a model: the mock."""
    from serving.mock import running_mock

    with running_mock() as address:
        yield address


def test_a_little_load_is_answered(service):
    look = offer(service, ["在吗", "退款"], clients=4, requests=25)
    assert look.answers == len(look.latencies_ms) == 25
    assert look.p50_ms <= look.p95_ms <= look.worst_ms == look.latencies_ms[-1]
    assert draw_load([look]).png.startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="at least one each"):
        offer(service, [], clients=1)


def test_metrics_are_those_of_the_service(monkeypatch):
    import httpx

    from serving.telemetry import Telemetry

    telemetry = Telemetry()
    telemetry.requests.labels("/analyze", "200").inc(3)
    body, _ = telemetry.page()
    request = httpx.Request("GET", "http://x/metrics")
    monkeypatch.setattr(httpx, "get", lambda *_, **__: httpx.Response(200, content=body, request=request))
    [row, *_] = look_at_metrics("http://x")
    assert row == {"metric": "kefu_requests_total", "labels": "endpoint /analyze, status 200", "value": 3.0}


def test_copies_link_to_copies_and_tell_no_paths(tmp_path):
    text = "[a](../docs/own-data.md) [b](02-train-and-compare.ipynb) [c](annotator_lead.ipynb) [d](README.md)"
    assert relinked(text) == (
        "[a](../../docs/own-data.md) [b](02-train-and-compare.md) "
        "[c](../../notebooks/annotator_lead.ipynb) [d](README.md)"
    )
    assert (
        tidy("a \n\n\n\nhttp://127.0.0.1:40123 \x1b[31mred\x1b[0m", tmp_path)
        == "a\n\nhttp://127.0.0.1:3000 red\n"
    )
    with pytest.raises(ValueError, match="tells a path"):
        tidy(f"at {tmp_path}/x", tmp_path)


@pytest.mark.slow
def test_render_writes_page_and_pictures(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    book = nbformat.v4.new_notebook()
    code = (
        "from data.pictures import draw\nfrom data.tables import Table\nprint('noise')\n"
        "draw(lambda figure: figure.subplots().plot([1, 2]))"
    )
    book.cells = [nbformat.v4.new_code_cell(code), nbformat.v4.new_code_cell("Table([{'a': 1}])")]
    nbformat.write(book, tmp_path / "09-test.ipynb")
    page = render(tmp_path / "09-test.ipynb", tmp_path / "out", tmp_path)
    text = page.read_text(encoding="utf-8")
    assert "| 1 |" in text
    assert "\nnoise" not in text
    [picture] = (tmp_path / "out" / "09-test").glob("*.png")
    assert f"(09-test/{picture.name})" in text
    assert json.loads((tmp_path / "09-test.ipynb").read_text(encoding="utf-8"))["cells"][0]["outputs"] == []
