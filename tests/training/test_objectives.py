import math

import numpy as np
import pytest
import torch

from ecgtransfer.training import known_bce, masked_bce

NAN = float("nan")


def test_equals_the_hand_computation():
    logits = torch.tensor([[0.0, 2.0], [-1.0, 5.0]])
    labels = torch.tensor([[1.0, 0.0], [1.0, NAN]])
    by_hand = (math.log(2) + math.log1p(math.exp(2)) + math.log1p(math.exp(1))) / 3
    assert masked_bce(logits, labels).item() == pytest.approx(by_hand, rel=1e-6)
    assert known_bce(labels.numpy(), logits.numpy()) == pytest.approx(by_hand, rel=1e-6)


def test_float64_logits_give_a_float64_loss():
    logits = torch.tensor([[0.1, 2.0], [-1.0, 5.0]], dtype=torch.float64)
    labels = torch.tensor([[1.0, 0.0], [1.0, NAN]])
    loss = masked_bce(logits, labels)
    assert loss.dtype == torch.float64
    expected = (math.log1p(math.exp(-0.1)) + math.log1p(math.exp(2)) + math.log1p(math.exp(1))) / 3
    assert loss.item() == pytest.approx(expected, rel=1e-14)
    assert masked_bce(logits.float(), labels).dtype == torch.float32
    assert masked_bce(logits.bfloat16(), labels).dtype == torch.float32


def test_unknown_labels_change_nothing():
    random = np.random.default_rng(0)
    logits = torch.tensor(random.normal(size=(6, 3)), dtype=torch.float32, requires_grad=True)
    labels = torch.tensor(random.integers(0, 2, (6, 3)), dtype=torch.float32)
    labels[4:] = NAN
    whole = torch.autograd.grad(masked_bce(logits, labels), logits)[0]
    part = torch.autograd.grad(masked_bce(logits[:4], labels[:4]), logits)[0]
    assert torch.equal(whole, part)
    assert torch.equal(whole[4:], torch.zeros(2, 3))


def test_all_unknown_is_zero_with_zero_gradient():
    logits = torch.ones(2, 2, requires_grad=True)
    loss = masked_bce(logits, torch.full((2, 2), NAN))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros(2, 2))
    assert math.isnan(known_bce(np.full((2, 2), np.nan, np.float32), np.ones((2, 2), np.float32)))


def test_extreme_logits_stay_finite():
    logits = torch.tensor([[1e4, -1e4]])
    assert masked_bce(logits, torch.tensor([[0.0, 1.0]])).item() == pytest.approx(1e4)
    assert known_bce(np.array([[0.0, 1.0]], np.float32), logits.numpy()) == pytest.approx(1e4)
