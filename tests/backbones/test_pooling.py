"""The contract of every pooling, and the means between mean and maximum."""

from __future__ import annotations

from typing import cast

import pytest
import torch

from vitapps.errors import UsageError
from vitapps.shared_backbones import slots
from vitapps.shared_backbones.models.vit import ViTConfig
from vitapps.shared_backbones.pooling._protocol import Pool
from vitapps.shared_backbones.pooling.ggem import GroupedGem

CONFIG = ViTConfig(dim=12, heads=3, registers=1, depth=1)
PATCH_POOLS = ["mean", "gem", "ggem", "attention"]


def make(name: str) -> Pool:
    torch.manual_seed(0)
    return cast(Pool, slots.load("pooling", name).build(CONFIG)).eval()


def test_every_pooling_is_listed() -> None:
    assert slots.members("pooling") == sorted([*PATCH_POOLS, "cls", "prefix"])
    with pytest.raises(UsageError) as caught:
        slots.load("pooling", "ggen")
    assert "ggem" in caught.value.hint


@pytest.mark.parametrize("name", PATCH_POOLS)
def test_contract(name: str) -> None:
    pool = make(name)
    x = torch.randn(2, 9, 12).abs()
    out = pool(x, 2)
    assert out.shape == (2, 12)
    shuffled = torch.cat((x[:, :2], x[:, 2:][:, torch.randperm(7)]), dim=1)
    torch.testing.assert_close(pool(shuffled, 2), out)
    other_prefix = x.clone()
    other_prefix[:, :2] = 99
    assert torch.equal(pool(other_prefix, 2), out)
    mask = torch.arange(7) < 4
    torch.testing.assert_close(pool(x, 2, mask.expand(2, -1)), pool(x[:, :6], 2))
    grown = x.clone()
    grown[:, 6:] *= 1000
    torch.testing.assert_close(pool(grown, 2, mask.expand(2, -1)), pool(x[:, :6], 2))


@pytest.mark.parametrize("name", ["mean", "gem", "ggem"])
def test_one_token_is_itself(name: str) -> None:
    x = torch.rand(2, 1, 12) + 0.1
    torch.testing.assert_close(make(name)(x, 0), x[:, 0])


@pytest.mark.parametrize("name", ["cls", "prefix"])
def test_prefix_pools_take_the_prefix(name: str) -> None:
    x = torch.randn(2, 9, 12)
    expected = x[:, 0] if name == "cls" else x[:, :2].flatten(1)
    assert torch.equal(make(name)(x, 2), expected)


def pool_with(exponent: float, groups: int = 3, dtype: torch.dtype = torch.float32) -> GroupedGem:
    return GroupedGem(12, groups, exponent).to(dtype)


def test_ggem_lies_between_mean_and_maximum() -> None:
    x = torch.rand(3, 196, 12) * 5
    torch.testing.assert_close(pool_with(1.0)(x, 0), x.mean(dim=1), rtol=1e-6, atol=1e-6)
    assert (pool_with(100.0)(x, 0) / x.amax(dim=1)).sub(1).abs().max() < 0.06
    outs = torch.stack([pool_with(p)(x, 0) for p in (1.0, 1.5, 2.0, 3.0, 7.0, 30.0, 100.0)])
    assert (outs.diff(dim=0) >= -1e-6).all()  # power means do not fall in p


def test_ggem_is_its_formula_with_an_exponent_a_group() -> None:
    pool = pool_with(1.0)
    pool.p.data = torch.tensor([1.0, 2.0, 4.0])
    x = torch.randn(2, 20, 12)
    p = torch.tensor([1.0] * 4 + [2.0] * 4 + [4.0] * 4)
    expected = x.clamp_min(1e-6).pow(p).mean(dim=1).pow(1 / p)
    torch.testing.assert_close(pool(x, 0), expected)
    assert sum(parameter.numel() for parameter in pool.parameters()) == 3
    one = pool_with(3.0, groups=1)
    torch.testing.assert_close(one(x, 0), x.clamp_min(1e-6).pow(3).mean(dim=1).pow(1 / 3))


def test_ggem_gradients_are_right() -> None:
    pool = pool_with(2.5, dtype=torch.float64)
    x = (torch.rand(2, 5, 12, dtype=torch.float64) + 0.05).requires_grad_()
    exponent = torch.tensor([1.5, 2.5, 5.0], dtype=torch.float64, requires_grad=True)

    def run(values: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
        return cast(torch.Tensor, torch.func.functional_call(pool, {"p": p}, (values, 0)))

    assert torch.autograd.gradcheck(run, (x, exponent))


@pytest.mark.parametrize("value", [1e-30, 0.0, -5.0, 1e20])
def test_ggem_stays_finite(value: float) -> None:
    pool = pool_with(50.0)
    x = torch.full((1, 4, 12), value, requires_grad=True)
    out = pool(x, 0)
    out.sum().backward()
    assert out.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert pool.p.grad is not None
    assert pool.p.grad.isfinite().all()
