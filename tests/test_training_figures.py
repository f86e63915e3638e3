"""Metrics, calibration, the n-gram view and the report: against other implementations or by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn import metrics as sk

from data.example import Turn
from data.ngrams import NgramView
from training.calibrate import (
    Calibration,
    TaskCalibration,
    abstain_threshold,
    calibrate,
    fit_temperature,
    log_softmax,
    red_threshold,
)
from training.config import ThresholdConfig
from training.evaluate import evaluate_task, polarity_accuracy
from training.lexical import fit_lexical, ngram_matrices
from training.metrics import expected_calibration_error, macro_f1, per_class, top_k_accuracy
from training.report import write_report


@pytest.fixture
def answers():
    generator = np.random.default_rng(0)
    target = generator.integers(0, 6, 400)
    logits = generator.normal(size=(400, 6))
    logits[np.arange(400), target] += 1.5
    return target, logits


def test_metrics_agree_with_scikit_learn(answers):
    target, logits = answers
    guess = logits.argmax(1)
    assert macro_f1(target, guess, 6) == pytest.approx(sk.f1_score(target, guess, average="macro"))
    ours = per_class(sk.confusion_matrix(target, guess))
    theirs = sk.precision_recall_fscore_support(target, guess)
    for mine, other in zip(ours.values(), theirs, strict=True):
        assert mine == pytest.approx(other)
    assert top_k_accuracy(target, logits, 3) == pytest.approx(sk.top_k_accuracy_score(target, logits, k=3))


def test_calibration_error_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.4, 0.6]])
    error, bins = expected_calibration_error(np.array([0, 1, 0, 1]), probabilities, bins=10)
    assert error == pytest.approx(0.5 * abs(0.5 - 0.9) + 0.5 * abs(1.0 - 0.6))
    assert sum(row["share"] for row in bins) == pytest.approx(1)


def test_temperature_recovers_what_was_done(answers):
    target, logits = answers
    base = fit_temperature(logits, target)
    assert fit_temperature(logits * 3, target) == pytest.approx(3 * base, rel=1e-2)
    with pytest.raises(ValueError, match="at least one"):
        fit_temperature(np.empty((0, 6)), np.empty(0, int))


def test_two_views_are_better_than_each(answers, taxonomy):
    target, _ = answers
    generator = np.random.default_rng(1)
    views = [generator.normal(size=(400, 6)) * size for size in (1.0, 3.0)]
    for view, gain in zip(views, (1.2, 3.6), strict=True):
        view[np.arange(400), target] += gain
    found = calibrate(
        {"emotion": (views[0], views[1])},
        {"emotion": target},
        np.zeros(400, bool),
        taxonomy,
        ThresholdConfig(),
    )
    weight = found.tasks["emotion"].lexical_weight
    assert found.tasks["emotion"].context_lexical_weight == weight  # no row has context
    joint = views[0] + weight * views[1]
    assert 0.1 < weight < 1
    best = max((view.argmax(1) == target).mean() for view in views)
    assert (joint.argmax(1) == target).mean() > best + 0.03
    assert Calibration.from_dict(found.as_dict()) == found


def test_messages_in_context_get_a_temperature_of_their_own(answers, taxonomy):
    target, logits = answers
    in_context = np.arange(400) % 2 == 1
    overconfident = np.where(in_context[:, None], logits * 3, logits)
    found = calibrate(
        {"emotion": (overconfident, None)}, {"emotion": target}, in_context, taxonomy, ThresholdConfig()
    ).tasks["emotion"]
    assert found.context_temperature / found.temperature == pytest.approx(3, rel=0.2)
    scores = found.probabilities(overconfident, None, in_context)
    errors = [expected_calibration_error(target[rows], scores[rows])[0] for rows in (in_context, ~in_context)]
    common = np.exp(log_softmax(overconfident / fit_temperature(overconfident, target)))
    assert errors[0] < expected_calibration_error(target[in_context], common[in_context])[0]
    few = np.arange(400) < 20
    alike = calibrate({"emotion": (logits, None)}, {"emotion": target}, few, taxonomy, ThresholdConfig())
    common = fit_temperature(logits, target)
    assert alike.tasks["emotion"].context_temperature == pytest.approx(common)


def test_abstaining_reaches_the_wanted_accuracy_within_its_limit(answers):
    target, logits = answers
    probabilities = np.exp(log_softmax(logits))
    hit = probabilities.argmax(1) == target
    threshold = abstain_threshold(
        probabilities, target, ThresholdConfig(answered_accuracy=0.9, max_abstain=0.9)
    )
    answered = probabilities.max(1) >= threshold
    assert hit[answered].mean() >= 0.9
    limited = abstain_threshold(
        probabilities, target, ThresholdConfig(answered_accuracy=0.99, max_abstain=0.2)
    )
    assert (probabilities.max(1) < limited).mean() <= 0.2
    assert abstain_threshold(probabilities, target, ThresholdConfig(answered_accuracy=0.0)) == 0.0


def test_red_threshold_keeps_its_false_rate(taxonomy):
    generator = np.random.default_rng(2)
    labels = taxonomy.label_map("emotion").labels
    target = generator.integers(0, 6, 1000)
    logits = generator.normal(size=(1000, 6))
    logits[np.arange(1000), target] += 2
    probabilities = np.exp(log_softmax(logits))
    threshold = red_threshold(probabilities, target, labels, ThresholdConfig(alert_false_rate=0.1))
    angry = list(labels).index("angry")
    assert (probabilities[target != angry, angry] >= threshold).mean() <= 0.1
    assert threshold <= 0.5
    assert red_threshold(probabilities[:, :2], target % 2, ("calm", "glad"), ThresholdConfig()) == 1.0


def test_lexical_view_learns_words_and_its_table_says_the_same():
    texts = ["我要退款", "退款多久", "给我退钱", "发票怎么开", "开发票", "要发票报销"] * 5
    labels = [0, 0, 0, 2, 2, 2] * 5
    view = NgramView(4096)
    model = fit_lexical([(text, ()) for text in texts], labels, 3, view, 1.0)
    margins = model.margins([("退款啥时候", ()), ("发票呢", ())], view)
    assert margins.argmax(1).tolist() == [0, 2]
    assert (margins[:, 1] < margins.max(1) - 0.5).all()  # the label that no row has
    message, context = ngram_matrices([("退款", (Turn("agent", "您好"),))], view)
    assert message.sum() == len(set(view.ids("退款")))
    assert context.sum() == len(set(view.context_ids([Turn("agent", "您好")])))


def test_lexical_view_reads_what_the_agent_asked():
    asked = [Turn("agent", "请问您想换几码呢")], [Turn("agent", "抬头开个人还是公司呢")]
    answers = ["38", "要公司", "嗯", "是的", "42", "个人"]
    rows = [(answer, context) for answer in answers for context in asked]
    view = NgramView(4096)
    model = fit_lexical(rows, [0, 1] * len(answers), 2, view, 1.0)
    margins = model.margins([("对", asked[0]), ("对", asked[1]), ("对", ())], view)
    assert margins[:2].argmax(1).tolist() == [0, 1]
    assert abs(margins[2, 0] - margins[2, 1]) < abs(margins[0, 0] - margins[0, 1])


def test_polarity(taxonomy):
    truth, guess = ["angry", "anxious", "positive"], ["dissatisfied", "neutral", "positive"]
    assert polarity_accuracy(truth, guess, taxonomy) == pytest.approx(2 / 3)


def test_report_has_everything_a_reviewer_asks_for(tmp_path, few, taxonomy):
    reports = []
    for task in ("category", "emotion"):
        labels = taxonomy.label_map(task)
        generator = np.random.default_rng(3)
        logits = generator.normal(size=(len(few), len(labels.labels)))
        for index, row in enumerate(few):
            logits[index, labels.label2id[getattr(row, task)]] += 3
        probabilities = np.exp(log_softmax(logits))
        alone = np.roll(probabilities, 1, axis=1)
        thresholds = {"abstain_below": 0.2, "red_above": 0.4}
        reports.append(evaluate_task(task, few, probabilities, taxonomy, thresholds, alone))
    metrics = write_report(tmp_path, {"test": reports})
    for name in (
        "category_accuracy", "category_macro_f1", "category_top3", "category_ece", "category_abstained",
        "category_accuracy_in_context", "category_accuracy_context_left_out", "category_accuracy_single",
        "emotion_polarity_accuracy", "emotion_angry_recall", "emotion_angry_false_rate", "macro_f1",
    ):  # fmt: skip
        assert f"test/{name}" in metrics, name
    assert metrics["test/category_accuracy_in_context"] > metrics["test/category_accuracy_context_left_out"]
    detail = json.loads((tmp_path / "category.json").read_text(encoding="utf-8"))
    assert sum(row["rows"] for row in detail["authors"].values()) == len(few)
    assert detail["worst_confusions"][0]["examples"]
    for task in ("category", "emotion"):
        for picture in ("confusion", "reliability", "classes"):
            assert (tmp_path / f"{task}_{picture}.png").stat().st_size > 5000


def test_confusions_are_masked(tmp_path, taxonomy):
    from data.example import Example

    labels = taxonomy.label_map("category")
    rows = [Example("1", "打我13800138000说退款的事", "refund_progress", "neutral", "a")]
    probabilities = np.full((1, len(labels.labels)), 0.001)
    probabilities[0, 0] = 0.9
    report = evaluate_task(
        "category", rows, probabilities, taxonomy, {"abstain_below": 0.0, "red_above": 1.0}
    )
    write_report(tmp_path, {"test": [report]})
    text = (tmp_path / "category.json").read_text(encoding="utf-8")
    assert "13800138000" not in text
    assert "[手机]" in text


def test_calibration_defaults_are_harmless():
    assert TaskCalibration().temperature == 1.0
