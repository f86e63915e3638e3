"""Exported folders, predictor, policy, request schema and answers to files."""

from __future__ import annotations

import copy
import json
import shutil

import pytest
import yaml
from pydantic import ValidationError

from serving.exported import BrokenModelError, ExportedModel, verify_folder
from serving.offline import predict_file
from serving.policy import DEFAULT_PATH, AlertPolicy, PolicyError, load_policy
from serving.predictor import ModelSource, load_predictor
from serving.schema import AnalyzeBatchRequest, AnalyzeRequest, reason_of


@pytest.fixture
def damaged(exported, tmp_path):
    return shutil.copytree(exported, tmp_path / "model")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "model.onnx").unlink(), "model.onnx is missing"),
        (lambda f: (f / "manifest.json").unlink(), "manifest.json is missing"),
        (lambda f: (f / "manifest.json").write_text("{"), "manifest.json is damaged"),
        (lambda f: (f / "calibration.json").write_text("{}"), "calibration.json was changed"),
        (lambda f: (f / "tokenizer.json").write_text("{}"), "tokenizer.json was changed"),
        (
            lambda f: (f / "model.onnx").write_bytes((f / "model.onnx").read_bytes()[:-7]),
            "model.onnx was changed",
        ),
    ],
)
def test_a_damaged_folder_is_refused_and_named(damaged, damage, message):
    verify_folder(damaged)
    damage(damaged)
    with pytest.raises(BrokenModelError, match=message):
        ExportedModel(damaged)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "format 99"),
        ({"files": {}}, "does not list model.onnx"),
    ],
)
def test_a_foreign_manifest_is_refused(damaged, change, message):
    manifest = json.loads((damaged / "manifest.json").read_text())
    (damaged / "manifest.json").write_text(json.dumps({**manifest, **change}))
    with pytest.raises(BrokenModelError, match=message):
        verify_folder(damaged)


def test_a_file_outside_the_folder_is_refused(damaged):
    manifest = json.loads((damaged / "manifest.json").read_text())
    manifest["files"]["../../etc/passwd"] = "0"
    (damaged / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BrokenModelError, match="is missing"):
        verify_folder(damaged)


def test_labels_must_fit_the_network(damaged):
    labels = json.loads((damaged / "label_map.json").read_text())
    labels["emotion"] = labels["emotion"][:-1]
    (damaged / "label_map.json").write_text(json.dumps(labels))
    from data.files import sha256_file

    manifest = json.loads((damaged / "manifest.json").read_text())
    manifest["files"]["label_map.json"] = sha256_file(damaged / "label_map.json")
    (damaged / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BrokenModelError, match="5 labels for emotion"):
        ExportedModel(damaged)


def test_one_artefact_for_both_tasks_is_opened_once(predictor):
    assert predictor.info()["shared_encoder"]


def test_models_of_different_schemas_do_not_mix(exported, damaged):
    taxonomy = json.loads((damaged / "taxonomy.json").read_text())
    taxonomy["version"] = 2
    (damaged / "taxonomy.json").write_text(json.dumps(taxonomy))
    from data.files import sha256_file

    manifest = json.loads((damaged / "manifest.json").read_text())
    manifest["files"]["taxonomy.json"] = sha256_file(damaged / "taxonomy.json")
    (damaged / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BrokenModelError, match="different label schemas"):
        load_predictor(ModelSource(exported, "a@1"), ModelSource(damaged, "b@1"))


def test_an_answer_has_every_field(predictor, taxonomy):
    request = AnalyzeRequest.model_validate(
        {"text": "退款什么时候到", "context": [{"role": "agent", "text": "亲，已退款"}]}
    )
    answer = predictor.analyze([request])[0].model_dump()
    assert set(answer) == {"category", "emotion", "alert", "model"}
    category = answer["category"]
    assert taxonomy.category[category["label"]].zh == category["zh"]
    assert taxonomy.category[category["label"]].group == category["group"]
    scores = [item["score"] for item in category["top"]]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    assert category["top"][0] == {"label": category["label"], "score": category["score"]}
    assert set(answer["emotion"]["scores"]) == set(taxonomy.emotion)
    assert sum(answer["emotion"]["scores"].values()) == pytest.approx(1, abs=1e-3)
    assert answer["model"]["category"] == "tiny@1"
    assert answer["model"]["snapshot"] == "test-snapshot"


def test_each_message_gets_as_many_candidates_as_it_asks_for(predictor):
    requests = [AnalyzeRequest(text="退款什么时候到", top=top) for top in (1, 3, 10)]
    answers = [answer.category for answer in predictor.analyze(requests)]
    assert [len(answer.top) for answer in answers] == [1, 3, 10]
    assert answers[2].top[:3] == answers[1].top
    assert AnalyzeRequest(text="退款").top == 3


def test_answers_do_not_depend_on_the_batch(predictor, few):
    requests = [AnalyzeRequest(text=row.text) for row in few[:70]]
    together = predictor.analyze(requests)
    for request, answer in list(zip(requests, together, strict=True))[::9]:
        alone = predictor.analyze([request])[0]
        assert alone.category.label == answer.category.label
        assert alone.category.score == pytest.approx(answer.category.score, abs=2e-3)


def test_nothing_to_answer(predictor):
    assert predictor.analyze([]) == []
    nothing = predictor.opinions([])
    assert nothing.embedding.shape == (0, 32)
    assert nothing.probabilities["category"].shape == (0, 71)


def test_opinions_agree_with_the_answers(predictor, few):
    found = predictor.opinions([(row.text, ()) for row in few[:30]], batch_size=8)
    assert found.embedding.shape == (30, 32)
    answers = predictor.analyze([AnalyzeRequest(text=row.text) for row in few[:30]])
    for task in ("category", "emotion"):
        best = [found.labels[task][index] for index in found.probabilities[task].argmax(1)]
        assert best == [getattr(answer, task).label for answer in answers]
        scores = [getattr(answer, task).score for answer in answers]
        assert found.probabilities[task].max(1) == pytest.approx(scores, abs=2e-3)


def test_opinions_of_two_models_take_each_task_from_its_own(exported, damaged):
    calibration = json.loads((damaged / "calibration.json").read_text())
    calibration["emotion"] |= {"temperature": 9.0, "context_temperature": 9.0}
    (damaged / "calibration.json").write_text(json.dumps(calibration))
    from data.files import sha256_file

    manifest = json.loads((damaged / "manifest.json").read_text())
    manifest["files"]["calibration.json"] = sha256_file(damaged / "calibration.json")
    (damaged / "manifest.json").write_text(json.dumps(manifest))
    both = load_predictor(ModelSource(exported, "a@1"), ModelSource(damaged, "b@1"), threads=1)
    messages = [("退款什么时候到", ())]
    found = both.opinions(messages)
    first, second = ExportedModel(exported, threads=1), ExportedModel(damaged, threads=1)
    for task, model in (("category", first), ("emotion", second)):
        want = model.probabilities(messages)[task]
        assert found.probabilities[task] == pytest.approx(want, abs=1e-5)
    assert found.embedding == pytest.approx(first.opinions(messages).embedding, abs=1e-4)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "text"),
        ({"text": ""}, "text"),
        ({"text": " \n"}, "text"),
        ({"text": 5}, "text"),
        ({"text": None}, "text"),
        ({"text": "长" * 2001}, "text"),
        ({"text": "a", "context": "b"}, "context"),
        ({"text": "a", "context": [{"role": "boss", "text": "b"}]}, "context[0].role"),
        ({"text": "a", "context": [{"role": "agent"}]}, "context[0].text"),
        ({"text": "a", "context": [{"role": "agent", "text": "b"}] * 201}, "context"),
        ({"text": "a", "contxt": []}, "contxt"),
        ({"text": "a", "top": 0}, "top"),
        ({"text": "a", "top": 11}, "top"),
        ({"text": "a", "top": "5"}, "top"),
        ({"text": "a", "top": True}, "top"),
    ],
)
def test_wrong_requests_are_named(body, field):
    with pytest.raises(ValidationError) as caught:
        AnalyzeRequest.model_validate(body)
    found = [reason_of(dict(error)) for error in caught.value.errors()]
    assert field in [item["field"] for item in found]
    assert all(item["reason"] for item in found)


def test_a_batch_names_its_bad_row():
    with pytest.raises(ValidationError) as caught:
        AnalyzeBatchRequest.model_validate({"messages": [{"text": "a"}, {"text": ""}]})
    assert reason_of(dict(caught.value.errors()[0]))["field"] == "messages[1].text"
    for count in (0, 257):
        with pytest.raises(ValidationError):
            AnalyzeBatchRequest.model_validate({"messages": [{"text": "a"}] * count})


def test_a_file_is_answered_in_order(predictor, tmp_path, few):
    rows = [{"id": n, "text": row.text} for n, row in enumerate(few[:130])]
    rows[3]["context"] = [{"role": "agent", "text": "好的"}]
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    assert predict_file(source, target, 32, predictor) == 130
    answers = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert [answer["id"] for answer in answers] == list(range(130))
    assert set(answers[0]) == {"id", "category", "emotion", "alert", "model"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "a"}', ":2: id: is missing"),
        ('{"id": 1, "text": ""}', ":2: text: must not be empty"),
        ('{"id": 1, "text": "a", "context": [{"role": "x", "text": "y"}]}', r":2: context\[0\].role"),
        ("nonsense", ":2: not JSON"),
    ],
)
def test_a_bad_row_stops_before_anything_is_written(predictor, tmp_path, line, message):
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"id": 0, "text": "在吗"}\n' + line + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        predict_file(source, target, 8, predictor)
    assert not target.exists()


# --- the alert policy -------------------------------------------------------------------------------

CALM = {
    "category": {"ship_time": 0.9, "dispute_escalation": 0.01},
    "emotion": {"neutral": 0.95, "angry": 0.01},
}


@pytest.fixture(scope="module")
def policy(taxonomy):
    return load_policy(taxonomy)


@pytest.mark.parametrize(
    "text",
    [
        "再不处理我就申请平台介入了",
        "我已经打12315了",
        "ＷＷ 打１２３１５投诉",
        "法院见吧",
        "等着收律师函",
        "我要把你们曝光到抖音",
        "黑猫投诉走起",
        "我真的不想活了",
        "插上电就漏电 麻手",
        "孩子被烫伤了你们管不管",
        "客服是傻逼吗",
        "找市監局去",
        "明天就去消协",
        "我打12345热线了",
    ],
)
def test_explicit_wording_is_red_whatever_the_model_says(policy, text):
    alert = policy.alert(text, CALM, 0.5)
    assert alert.level == 3
    assert any("“" in reason for reason in alert.reasons)


@pytest.mark.parametrize(
    "text",
    [
        "这个相机的曝光度怎么调",
        "支持多重曝光吗",
        "烟雾报警器多少钱",
        "滚筒洗衣机怎么清洁",
        "去死皮的磨砂膏有吗",
        "跳楼价还能再便宜吗",
        "会不会漏电呀",
        "今天什么时候发货",
        "单号12315678",
        "好看到想发小红书 已经安利给朋友了",
        "热得嗓子冒烟 赶紧买个风扇",
        "我不同意取消协议",
        "制氧机一直嘀嘀报警",
        "12345上山打老虎",
    ],
)
def test_what_only_looks_like_it_is_not(policy, text):
    assert policy.alert(text, CALM, 0.5).level == 0


@pytest.mark.parametrize(
    ("emotions", "level"),
    [
        ({"positive": 0.9, "angry": 0.05}, 0),
        ({"anxious": 0.9}, 1),
        ({"dissatisfied": 0.6, "neutral": 0.4}, 1),
        ({"dissatisfied": 0.95}, 2),
        ({"disappointed": 0.5, "neutral": 0.4}, 2),
        ({"angry": 0.4, "dissatisfied": 0.3, "neutral": 0.3}, 3),
        ({"angry": 0.8}, 3),
        ({"neutral": 0.85, "angry": 0.15}, 3),
        ({"neutral": 0.9, "angry": 0.1}, 0),
    ],
)
def test_levels_follow_emotion_and_its_probability(policy, emotions, level):
    assert policy.alert("今天什么时候发", {"emotion": emotions}, 0.5).level == level


def test_a_wish_to_escalate_is_red(policy):
    scores = {"category": {"dispute_escalation": 0.8}, "emotion": {"neutral": 0.9}}
    alert = policy.alert("我想反映一下情况", scores, 0.5)
    assert alert.level == 3
    assert "升级投诉倾向" in alert.reasons[0]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda raw: raw.pop("version"), "version"),
        (lambda raw: raw["emotions"].pop("angry"), "emotions.angry: is missing"),
        (lambda raw: raw["emotions"].update(furious={"level": 3}), "emotions.furious"),
        (lambda raw: raw["emotions"]["angry"].update(level=9), "level 9"),
        (lambda raw: raw["labels"][0].update(label="rage"), r"labels\[0\]: label 'rage'"),
        (lambda raw: raw["labels"][0].update(above=2), "above 2"),
        (lambda raw: raw["triggers"][0].update(any=["("]), r"triggers\[0\]: a pattern"),
        (lambda raw: raw["triggers"][0].pop("zh"), "needs name, zh"),
    ],
)
def test_a_wrong_policy_is_named(taxonomy, damage, message):
    raw = copy.deepcopy(yaml.safe_load(DEFAULT_PATH.read_text(encoding="utf-8")))
    damage(raw)
    with pytest.raises(PolicyError, match=message):
        AlertPolicy(raw, taxonomy)


def test_a_shops_own_policy_counts_for_every_answer(exported, taxonomy, tmp_path, monkeypatch):
    raw = yaml.safe_load(DEFAULT_PATH.read_text(encoding="utf-8"))
    raw["version"] = 42
    raw["triggers"].append({"name": "tea", "zh": "要茶", "level": 3, "any": ["凉茶"]})
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(raw, allow_unicode=True), encoding="utf-8")
    monkeypatch.setenv("KEFU_POLICY", str(path))
    source = ModelSource(exported, "tiny@1")
    answer = load_predictor(source, source, threads=1).analyze([AnalyzeRequest(text="来杯凉茶")])[0]
    assert (answer.alert.level, answer.model.policy) == (3, 42)


def test_missing_policy_file_is_named(taxonomy, tmp_path):
    with pytest.raises(PolicyError, match=r"own\.yaml"):
        load_policy(taxonomy, tmp_path / "own.yaml")
