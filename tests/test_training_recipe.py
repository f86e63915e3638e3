"""The recipe: off it changes nothing, and each part of it trains."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.nn import functional

from data.split import Snapshot
from training.averaging import StepAveraging, average_share, averaging
from training.batches import LengthGroupedSampler
from training.config import ConfigError, TrainingConfig, parse_training_config
from training.distillation import read_soft_labels, write_soft_labels
from training.export import export_onnx
from training.fit import encoder_logits
from training.linear_heads import embeddings, set_heads
from training.module import ChatModule
from training.network import ChatNetwork
from training.recipe import POOLINGS, RecipeConfig
from training.train import build_network, train, training_texts


@pytest.fixture(scope="module")
def small(snapshot):
    """A snapshot of some dozen rows."""
    splits = {name: rows[: 96 if name == "train" else 32] for name, rows in snapshot.splits.items()}
    return Snapshot("small", snapshot.taxonomy, splits)


@pytest.fixture
def settings(tiny_config):
    def build(train=None, tasks=("category", "emotion"), **recipe):
        changed = {"epochs": 1, "ngram_buckets": 0, **(train or {})}
        return dataclasses.replace(
            tiny_config,
            tasks=tasks,
            train=dataclasses.replace(tiny_config.train, **changed),
            recipe=RecipeConfig(**recipe),
        )

    return build


class Watch(pl.Callback):
    """Losses, gradients and batches of a run."""

    def __init__(self):
        self.losses, self.rows, self.still = [], [], None

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        self.losses.append(float(outputs["loss"]))
        self.rows.append((trainer.current_epoch, batch["row"].tolist()))

    def on_before_optimizer_step(self, trainer, module, optimizer):
        named = module.network.named_parameters()
        # A key's bias moves all scores of a query alike: it never has a gradient.
        self.still = [n for n, p in named if "key.bias" not in n and (p.grad is None or not p.grad.any())]


def same(one, two):
    pairs = zip(one.network.state_dict().items(), two.network.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


def plain_step(self, batch, index):
    """The training step as it was before there were recipes."""
    total = torch.zeros((), device=self.device)
    for task, logits in self(batch).items():
        loss = functional.cross_entropy(
            logits, batch[task], weight=self.weights[task], label_smoothing=self.config.label_smoothing
        )
        total = total + (self.config.emotion_weight if task == "emotion" else 1.0) * loss
    return total


def test_off_gives_the_same_weights_as_the_plain_step(settings, small, tmp_path, monkeypatch):
    config = settings({"dropout": 0.2, "encoder_dropout": 0.1})
    ours = train(config, small, tmp_path / "a", progress=False)
    monkeypatch.setattr(ChatModule, "training_step", plain_step)
    plain = train(config, small, tmp_path / "b", progress=False)
    assert same(ours, plain)


ON = {
    "multi-sample dropout": ({"dropout": 0.3}, {"dropout_samples": 4}),
    "r-drop of the heads": ({"dropout": 0.3}, {"r_drop": 1.0}),
    "r-drop of the encoder": ({"encoder_dropout": 0.1}, {"r_drop": 1.0}),
    "contrastive": ({}, {"contrastive": 0.3, "contrastive_memory": 64}),
    "both readings contrasted": (
        {"encoder_dropout": 0.1},
        {"contrastive": 0.5, "r_drop": 0.5, "contrastive_memory": 0},
    ),
    "mean and maximum": ({}, {"pooling": "mean_max"}),
    "attention": ({}, {"pooling": "attention"}),
    "all": (
        {"dropout": 0.3, "encoder_dropout": 0.1},
        {"dropout_samples": 3, "r_drop": 0.5, "contrastive": 0.2, "pooling": "attention", "average": "ema",
         "reshuffle": True},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ON)
def test_each_part_trains(settings, small, tmp_path, name):
    more, recipe = ON[name]
    watch = Watch()
    config = settings({"epochs": 6, "warmup": 0.0, "patience": 9, **more}, **recipe)
    result = train(config, small, tmp_path, callbacks=[watch], progress=False)
    assert np.isfinite(watch.losses).all()
    assert np.mean(watch.losses[-3:]) < np.mean(watch.losses[:3]), watch.losses
    assert watch.still is not None
    # Words that a batch lacks have no gradient of their own, but the table has one.
    assert not watch.still
    assert result.config.recipe == config.recipe


@pytest.mark.parametrize("pooling", ["mean", "mean_max"])
def test_warm_heads_begin_as_regressions(settings, small, tmp_path, pooling):
    class Start(pl.Callback):
        heads: ClassVar[dict[str, torch.Tensor]] = {}

        def on_train_start(self, trainer, module):
            self.heads.update({n: p.clone() for n, p in module.network.heads.state_dict().items()})

    config = settings({"epochs": 1}, warm_heads=True, pooling=pooling)
    train(config, small, tmp_path, callbacks=[Start()], progress=False)
    rows = small.splits["train"]
    maps = {task: small.taxonomy.label_map(task) for task in config.tasks}
    pl.seed_everything(config.train.seed, verbose=False)
    network, encoder = build_network(config, training_texts(rows), maps)
    vectors = embeddings(network, encoder, rows, config)
    set_heads(network, maps, dict.fromkeys(maps, (rows, vectors)))
    for name, values in network.heads.state_dict().items():
        torch.testing.assert_close(Start.heads[name], values)
    target = [maps["emotion"].label2id[row.emotion] for row in rows]
    found = torch.from_numpy(vectors) @ Start.heads["emotion.weight"].T + Start.heads["emotion.bias"]
    commonest = np.bincount(target).max() / len(target)
    assert (found.argmax(1).numpy() == np.array(target)).mean() > commonest + 0.1


def test_wrong_parts_are_named():
    wrong = {
        "dropout_samples": 0, "r_drop": -1.0, "contrastive": 1.0, "contrastive_temperature": 0.0,
        "contrastive_memory": -1, "pooling": "max", "average": "mean", "ema_decay": 1.0, "swa_from": 1.0,
        "distil_temperature": 0.0, "pseudo_threshold": 0.0, "pseudo_per_label": 0, "self_training": -1,
    }  # fmt: skip
    for name, value in wrong.items():
        with pytest.raises(ValueError, match=rf"recipe\.{name}: "):
            RecipeConfig(**{name: value})
    with pytest.raises(ValueError, match=r"recipe\.soft_labels: name the file for distil"):
        RecipeConfig(distil=0.5)
    with pytest.raises(ValueError, match=r"recipe\.unlabelled: name the file"):
        RecipeConfig(self_training=1)
    probe = {"method": "probe", "train": {"ngram_buckets": 0}, "tasks": ["emotion"]}
    with pytest.raises(ConfigError, match="recipe: is of method fine_tune; leave it out for probe"):
        parse_training_config({**probe, "recipe": {"r_drop": 1.0}})


def test_the_recipe_is_part_of_the_fingerprint_only_where_it_is_on(settings):
    plain, other = settings(), settings(r_drop=1.0)
    assert plain.fingerprint("a") != other.fingerprint("a")
    assert parse_training_config(dataclasses.asdict(other)) == other
    before = dataclasses.asdict(plain)
    del before["recipe"]
    assert parse_training_config(before).fingerprint("a") == plain.fingerprint("a")
    assert TrainingConfig(("emotion",)).recipe.plain


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooled_networks_are_exported(fitted, pooling, tmp_path):
    result, _ = fitted
    network = ChatNetwork(result.network.encoder, {"emotion": 6}, pooling=pooling)
    if network.pool_query is not None:
        torch.nn.init.normal_(network.pool_query)
    export_onnx(network, result.encoder, None, tmp_path / "model.onnx")  # compares the answers
    hidden = network.encoder.config.hidden_size
    assert network.heads["emotion"].in_features == hidden * (2 if pooling == "mean_max" else 1)


def test_attention_begins_as_the_mean_and_padding_counts_nowhere(fitted):
    result, _ = fitted
    ids = torch.tensor([[2, 8, 9, 3, 0, 0]])
    mask, types = torch.tensor([[1, 1, 1, 1, 0, 0]]), torch.tensor([[0, 0, 0, 1, 0, 0]])
    vectors = {}
    for pooling in POOLINGS:
        network = ChatNetwork(result.network.encoder, {"emotion": 6}, pooling=pooling).eval()
        with torch.inference_mode():
            vectors[pooling] = network.embed(ids, mask, types)
            cut = network.embed(ids[:, :4], mask[:, :4], types[:, :4])
        torch.testing.assert_close(vectors[pooling], cut, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(vectors["attention"], vectors["mean"], atol=1e-5, rtol=1e-5)
    assert (vectors["mean_max"][:, 32:] >= vectors["mean"]).all()
    with pytest.raises(ValueError, match="pooling: 'max' is not one of"):
        ChatNetwork(result.network.encoder, {"emotion": 6}, pooling="max")


def test_shares_of_the_average():
    swa = RecipeConfig(average="swa", swa_from=0.5)
    assert [average_share(swa, step, 10) for step in (0, 4, 5, 6, 7)] == [1, 1, 1, 0.5, pytest.approx(1 / 3)]
    ema = RecipeConfig(average="ema", ema_decay=0.99)
    assert average_share(ema, 0, 10) == pytest.approx(0.9)
    assert average_share(ema, 5000, 10) == pytest.approx(0.01)
    assert averaging(RecipeConfig(), 10) == []


class Keep(pl.Callback):
    """The weights of a head after every step."""

    def __init__(self):
        self.heads = []

    def on_train_batch_end(self, trainer, module, *_):
        self.heads.append(module.network.heads["emotion"].weight.detach().clone())


def test_swa_keeps_the_mean_of_the_last_steps(settings, small, tmp_path):
    keep = Keep()
    config = settings({"mask_numbers": 0.0}, ("emotion",), average="swa", swa_from=0.4)
    result = train(config, small, tmp_path / "a", callbacks=[keep], progress=False)
    wanted = torch.stack(keep.heads[int(len(keep.heads) * 0.4) :]).mean(0)
    torch.testing.assert_close(result.network.heads["emotion"].weight.detach(), wanted)
    # Averaging watches: the steps themselves are those of a run without it.
    other = Keep()
    train(
        settings({"mask_numbers": 0.0}, ("emotion",)),
        small,
        tmp_path / "b",
        callbacks=[other],
        progress=False,
    )
    assert all(torch.equal(a, b) for a, b in zip(keep.heads, other.heads, strict=True))


def test_each_epoch_has_another_order_if_asked(settings, small, tmp_path):
    def orders(**recipe):
        watch = Watch()
        config = settings({"epochs": 3, "patience": 9}, ("emotion",), **recipe)
        train(config, small, tmp_path, callbacks=[watch], progress=False)
        return [[rows for epoch, rows in watch.rows if epoch == number] for number in range(3)]

    off, on = orders(), orders(reshuffle=True)
    assert off[0] == off[1] == off[2]  # as it always was
    assert on[0] == off[0]
    assert on[0] != on[1] != on[2] != on[0]
    assert orders(reshuffle=True) == on
    for epoch in on:
        assert sorted(row for batch in epoch for row in batch) == list(range(96))
    assert not hasattr(LengthGroupedSampler([1], 1, True, 1), "sampler")


class StoppedError(Exception):
    pass


class Killed(pl.Callback):
    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == 2:
            raise StoppedError


def test_a_resumed_run_has_the_order_and_the_average_it_would_have_had(settings, small, tmp_path):
    more = {"epochs": 3, "patience": 9, "mask_numbers": 0.0, "dropout": 0.0}
    config = settings(more, ("emotion",), reshuffle=True, average="ema", ema_decay=0.9)
    whole = train(config, small, tmp_path / "a", progress=False)
    with pytest.raises(StoppedError):
        train(config, small, tmp_path / "b", callbacks=[Killed()], progress=False)
    resumed = train(config, small, tmp_path / "b", progress=False)
    assert resumed.resumed
    assert same(whole, resumed)


def test_a_student_learns_from_teachers(settings, small, tmp_path):
    maps = {"emotion": small.taxonomy.label_map("emotion")}
    rows, size = small.splits["train"], len(maps["emotion"].labels)
    # The teacher calls everything the first label, whatever people said.
    wanted = np.full((len(rows), size), 0.01)
    wanted[:, 0] = 1 - 0.01 * (size - 1)
    file = tmp_path / "soft.npz"
    write_soft_labels(file, rows, maps, {"emotion": wanted})
    changes = {"epochs": 12, "class_balance": 0.0, "patience": 99}
    config = settings(changes, ("emotion",), distil=0.95, soft_labels=str(file))
    last = {}

    class Last(pl.Callback):
        def on_train_end(self, trainer, module):
            last.update({name: values.clone() for name, values in module.network.state_dict().items()})

    student = train(config, small, tmp_path / "run", callbacks=[Last()], progress=False)
    # The kept epoch is the one that suits what people said best; here it is the last that counts.
    student.network.load_state_dict(last)
    assert (encoder_logits(student, rows)["emotion"].argmax(1) == 0).mean() > 0.9
    given = read_soft_labels(file, rows[::-1], maps)["emotion"]
    np.testing.assert_allclose(given.numpy(), wanted, rtol=1e-6)
    more = dataclasses.replace(rows[0], id="pseudo-3", author="model")
    one_hot = read_soft_labels(file, [*rows, more], maps)["emotion"][-1]
    assert one_hot.argmax() == maps["emotion"].label2id[more.emotion]
    assert float(one_hot.max()) == 1
    strange = dataclasses.replace(rows[0], id="strange")
    with pytest.raises(ValueError, match="lacks 1 of 1 training rows, such as 'strange'"):
        read_soft_labels(file, [strange], maps)
    with pytest.raises(ValueError, match="other labels of category"):
        read_soft_labels(file, rows, {"category": small.taxonomy.label_map("category")})
    with pytest.raises(ValueError, match=r"none\.npz: cannot be read"):
        read_soft_labels(tmp_path / "none.npz", rows, maps)


def test_averaging_needs_no_second_copy_of_the_data(settings):
    callback = StepAveraging(RecipeConfig(average="ema"), 10)
    assert callback._use_buffers is False
