"""More pretraining on unlabelled texts: what is hidden, what is learnt, what training takes."""

from __future__ import annotations

import dataclasses
import gzip
import json

import pytest
import torch

from data.text import normalise
from training.adaptation import adapt, main
from training.adaptation_module import AdaptConfig, contrast_readings, mask_words
from training.backbone import load_backbone
from training.train import train
from training.unlabelled import chat_texts, customer_messages, read_unlabelled


@pytest.fixture(scope="module")
def texts(few):
    return [row.text for row in few][:160]


def settings(**changes):
    return AdaptConfig(**{"epochs": 4, "lr": 2e-3, "precision": "32", "accelerator": "cpu", **changes})


def test_only_free_tokens_are_hidden():
    torch.manual_seed(1)
    ids = torch.randint(5, 50, (40, 100))
    free = torch.ones_like(ids, dtype=torch.bool)
    free[:, 0] = False
    hidden, wanted = mask_words(ids, free, 0.15, mask=4, vocabulary=50)
    asked = wanted != -100
    assert 0.13 < asked.float().mean() < 0.17
    assert not asked[:, 0].any()
    assert torch.equal(wanted[asked], ids[asked])
    assert torch.equal(hidden[~asked], ids[~asked])
    assert 0.75 < (hidden[asked] == 4).float().mean() < 0.85
    assert 0.05 < (hidden[asked] == ids[asked]).float().mean() < 0.15


def test_readings_of_one_text_belong_together():
    vectors = torch.eye(4)
    apart = contrast_readings(torch.cat([vectors, vectors]), 0.05)
    mixed = contrast_readings(torch.cat([vectors, vectors.flip(0)]), 0.05)
    assert float(apart) < 0.01 < float(mixed)


@pytest.mark.parametrize("way", ["masked_words", "contrastive"])
def test_adapting_learns_and_training_takes_the_folder(
    way, texts, tiny_bert, tiny_config, snapshot, tmp_path
):
    folder = tmp_path / "backbone"
    told = adapt(str(tiny_bert), texts, folder, settings(way=way), progress=False)
    assert told["last_loss"] < told["first_loss"]
    assert json.loads((folder / "adaptation.json").read_text(encoding="utf-8")) == told
    before, after = load_backbone(str(tiny_bert)), load_backbone(str(folder))
    assert (after.begin, after.end, after.pad) == (before.begin, before.end, before.pad)
    for text in texts[:20]:
        ours, theirs = (
            one.tokenizer.encode(normalise(text), add_special_tokens=False) for one in (after, before)
        )
        assert ours.tokens == theirs.tokens
    old, new = (one.encoder.state_dict()["encoder.layer.0.output.dense.weight"] for one in (before, after))
    assert not torch.equal(old, new)
    assert not list(tmp_path.glob(".*"))
    small = dataclasses.replace(snapshot, splits={k: rows[:64] for k, rows in snapshot.splits.items()})
    config = dataclasses.replace(
        tiny_config,
        backbone=dataclasses.replace(tiny_config.backbone, name=str(folder)),
        train=dataclasses.replace(tiny_config.train, epochs=1),
    )
    assert train(config, small, tmp_path / "run", progress=False).epochs == 1


@pytest.mark.slow
def test_the_built_in_encoder_keeps_its_cut_vocabulary(texts, tmp_path):
    said, kept = [*texts[:40], "订单号 3481234 帮我看看😀"], [normalise("这个羽绒服起球吗")]
    config = settings(epochs=1, batch_size=16, max_tokens=16, margin=0)
    adapt("builtin", said, tmp_path / "backbone", config, kept, progress=False, layers=1)
    after = load_backbone(str(tmp_path / "backbone"))
    before = load_backbone("builtin", [*map(normalise, said), *kept], 0, 1)
    assert len(after.encoder.encoder.layer) == 1
    for text in [*map(normalise, said), *kept, "[客服] 亲 [金额]元", "龘靐齉"]:
        ours, theirs = (one.tokenizer.encode(text, add_special_tokens=False) for one in (after, before))
        assert ours.ids == theirs.ids
        assert ours.tokens == theirs.tokens
    assert (after.begin, after.end, after.pad) == ("<s>", "</s>", "<pad>")


def test_the_same_seed_gives_the_same_folder(texts, tiny_bert, tmp_path):
    config = settings(epochs=1)
    for name in ("a", "b"):
        adapt(str(tiny_bert), texts, tmp_path / name, config, progress=False)
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("a", "b"))
    assert one == two


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"way": "other"}, "adapt.way: must be one of masked_words, contrastive"),
        ({"mask_share": 0.0}, "adapt.mask_share"),
        ({"batch_size": 1}, "adapt.batch_size"),
        ({"max_tokens": 4}, "adapt.max_tokens"),
        ({"way": "contrastive", "dropout": 0.0}, "adapt.dropout: must be above 0"),
    ],
)
def test_wrong_settings_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        AdaptConfig(**change)


def test_too_little_or_too_long_is_refused(texts, tiny_bert, tmp_path):
    with pytest.raises(ValueError, match="2 different texts, but a batch has 32"):
        adapt(str(tiny_bert), ["在吗", "你好", "在吗"], tmp_path / "a", settings(), progress=False)
    with pytest.raises(ValueError, match=r"max_tokens: 512, but .* has 256 positions"):
        adapt(str(tiny_bert), texts, tmp_path / "a", settings(max_tokens=512), progress=False)
    assert not (tmp_path / "a").exists()


def test_unlabelled_chats(tmp_path):
    rows = [
        {"id": 1, "messages": [{"role": "customer", "text": "在吗"}, {"role": "agent", "text": "在的"},
                               {"role": "customer", "text": " "}, {"role": "customer", "text": "多久发货"}]},
        {"turns": [{"role": "customer", "text": "在吗"}]},
        {"text": "什么时候到"},
    ]  # fmt: skip
    path = tmp_path / "chats.jsonl.gz"
    with gzip.open(path, "wt", encoding="utf-8") as handle:
        handle.writelines(json.dumps(row) + "\n" for row in rows)
    chats = read_unlabelled(path)
    assert chat_texts(chats) == ["在吗", "在的", "多久发货", "什么时候到"]
    messages = customer_messages(chats)
    assert [text for text, _ in messages] == ["在吗", "多久发货", "什么时候到"]
    assert [turn.text for turn in messages[1][1]] == ["在吗", "在的"]
    plain = tmp_path / "chats.jsonl"
    wrong = {
        '{"id": 1}': r"chats\.jsonl:1: expected a list under messages or turns, or a text",
        '{"turns": [{"role": "bot", "text": "x"}]}': r"turns\[0\]: expected role",
        "{": r"chats\.jsonl:1: not JSON",
        "[1]": r"chats\.jsonl:1: expected an object",
        "": "holds no chats",
    }
    for text, message in wrong.items():
        plain.write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=message):
            read_unlabelled(plain)
    with pytest.raises(ValueError, match="cannot be read"):
        read_unlabelled(tmp_path / "none.jsonl")


def test_the_command(texts, tiny_bert, tmp_path, capsys):
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    main(["--unlabelled", str(path), "--output", str(tmp_path / "out"), "--backbone", str(tiny_bert),
          "--epochs", "1", "--batch-size", "64"])  # fmt: skip
    told = json.loads((tmp_path / "out" / "adaptation.json").read_text(encoding="utf-8"))
    assert told["settings"]["batch_size"] == 64
    assert len(told["unlabelled_sha256"]) == 64
    assert "backbone -> " in capsys.readouterr().out
