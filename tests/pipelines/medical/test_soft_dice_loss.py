"""The written-out loss against autograd on its definition."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vitapps.pipelines.medical import soft_dice_loss as module
from vitapps.pipelines.medical.soft_dice_loss import soft_dice_loss


def by_definition(logits: Tensor, target: Tensor) -> Tensor:
    log_share = torch.log_softmax(logits, dim=1)
    share, axes = log_share.exp(), (0, 2, 3, 4)
    overlap, extent = 2 * (share * target).sum(axes), share.sum(axes) + target.sum(axes)
    dice = 1 - (overlap + 1) / (extent + 1)
    return -(target * log_share).sum(1).mean() + dice[target.sum(axes) > 0].mean()


@pytest.mark.parametrize("slab", [1, 1000, 1 << 20])
def test_value_and_gradient(slab: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLAB_VALUES", slab)
    torch.manual_seed(0)
    logits = torch.randn(2, 5, 7, 8, 9, dtype=torch.float32, requires_grad=True)
    target = torch.rand(2, 5, 7, 8, 9)
    target[:, 3] = 0  # an absent class has no Dice
    target /= target.sum(1, keepdim=True)
    wanted, found = by_definition(logits, target), soft_dice_loss(logits, target)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)
    (slope,) = torch.autograd.grad(wanted, logits)
    (ours,) = torch.autograd.grad(found * 2, logits)
    assert float((ours - 2 * slope).abs().max()) < 1e-5 * float(slope.abs().max()) + 1e-8


def test_half_precision_logits_get_gradients_of_their_type() -> None:
    logits = torch.randn(1, 3, 4, 4, 4, dtype=torch.bfloat16, requires_grad=True)
    value = soft_dice_loss(logits, torch.full((1, 3, 4, 4, 4), 1 / 3))
    value.backward()
    assert value.dtype == torch.float32
    assert logits.grad is not None
    assert logits.grad.dtype == torch.bfloat16
