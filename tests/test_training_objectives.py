"""Losses of the recipe, by hand on few numbers."""

from __future__ import annotations

import math

import pytest
import torch

from training.objectives import LabelMemory, distillation_loss, divergence, supervised_contrastive


def test_divergence_is_the_mean_of_both_directions():
    first, second = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3.0), 0.0]])
    forth = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    back = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert float(divergence(first, second)) == pytest.approx((forth + back) / 2, abs=1e-6)
    assert float(divergence(first, first)) == 0


def test_supervised_contrastive_by_hand():
    vectors = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
    found = supervised_contrastive(vectors, torch.tensor([0, 0, 1]), 0.5)
    # Each of the first two sees its partner at cosine 1 and the third at 0; the third has no partner.
    assert float(found) == pytest.approx(-math.log(math.exp(2) / (math.exp(2) + 1)), abs=1e-6)


def test_without_partners_there_is_no_loss_but_memory_brings_some():
    vectors = torch.randn(3, 4, requires_grad=True)
    target = torch.tensor([0, 1, 2])
    loss = supervised_contrastive(vectors, target, 0.1)
    loss.backward()
    assert float(loss.detach()) == 0
    assert torch.equal(vectors.grad, torch.zeros_like(vectors))
    memory = LabelMemory(4)
    assert memory.rows is None
    memory.add(torch.randn(3, 4, requires_grad=True), target)
    memory.add(torch.ones(3, 4), torch.tensor([7, 8, 9]))
    assert len(memory) == 4
    kept, labels = memory.rows
    assert labels.tolist() == [2, 7, 8, 9]
    assert not kept.requires_grad
    loss = supervised_contrastive(vectors, target, 0.1, memory.rows)
    loss.backward()
    assert vectors.grad[2].abs().sum() > 0
    nothing = LabelMemory(0)
    nothing.add(torch.ones(1, 4), torch.tensor([1]))
    assert len(nothing) == 0


def test_rows_of_one_label_come_together():
    torch.manual_seed(0)
    vectors = torch.randn(8, 6, requires_grad=True)
    target = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
    optimizer = torch.optim.Adam([vectors], lr=0.1)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = supervised_contrastive(vectors, target, 0.2)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    unit = torch.nn.functional.normalize(vectors.detach(), dim=1)
    cosine = unit @ unit.T
    assert cosine[0, 1] > 0.7
    assert cosine[0, 5] < 0.2


def test_distillation_is_least_where_the_student_agrees():
    teacher = torch.tensor([[0.7, 0.2, 0.1]])
    same = distillation_loss(teacher.log() + 5, teacher, 2.0)
    assert float(same) == pytest.approx(0, abs=1e-6)
    logits = torch.zeros(1, 3, requires_grad=True)
    loss = distillation_loss(logits, teacher, 1.0)
    wanted = sum(p * math.log(p * 3) for p in (0.7, 0.2, 0.1))
    assert float(loss.detach()) == pytest.approx(wanted, abs=1e-6)
    loss.backward()
    assert logits.grad[0, 0] < 0 < logits.grad[0, 2]
    sure = torch.tensor([[1.0, 0.0, 0.0]])  # a probability of zero has no logarithm
    assert torch.isfinite(distillation_loss(logits, sure, 2.0))
