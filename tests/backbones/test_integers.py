"""I-ViT's integer arithmetic against floating point, and a whole ViT in it."""

from __future__ import annotations

import math
import random

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from vitapps.shared_backbones.quantization import _integers as integers


def test_the_square_root_is_isqrt() -> None:
    n = torch.arange(1 << 20)
    exact = n.double().sqrt().floor().long()  # exact below 2^52
    assert torch.equal(integers.square_root(n), exact)
    generator = random.Random(0)
    some = [0, 1, 2**31 - 1, 2**31, 2**52, *(generator.randrange(2**31) for _ in range(1000))]
    assert integers.square_root(torch.tensor(some)).tolist() == [math.isqrt(value) for value in some]


def test_dyadic_factors_are_near_and_rescaling_rounds() -> None:
    ratio = torch.tensor([1.0, 0.3, -0.007, 5e-7, 300.0])
    multiplier, shift = integers.dyadic(ratio)
    torch.testing.assert_close(multiplier.double() / 2.0**shift, ratio.double(), rtol=2**-22, atol=0)
    x = torch.tensor([[7, -9, 10001, -123456789, 3]])
    exact = (x.double() * ratio).round().long()
    assert (integers.rescale(x, (multiplier, shift)) - exact).abs().max() <= 1 + 1e-6 * exact.abs().max()


@pytest.mark.parametrize("count", [5, 197])
def test_shiftmax_is_near_softmax(count: int) -> None:
    scores = 3 * torch.randn(300, count, generator=torch.Generator().manual_seed(0))
    codes = (scores * integers.ONE).round().long()
    exact = scores.softmax(-1)
    assert float((integers.shiftmax(codes, 8) / 128 - exact).abs().max()) < 0.03
    fine = integers.shiftmax(codes, 16) / 32768
    torch.testing.assert_close(fine.sum(-1), torch.ones(300), rtol=0.02, atol=0)
    assert float((fine - exact).abs().max()) < 0.03


def test_shift_gelu_is_near_gelu() -> None:
    x = torch.linspace(-8, 8, 4001)
    found = integers.shift_gelu((x * integers.ONE).round().long()) / (128 * integers.ONE)
    assert float((found - functional.gelu(x)).abs().max()) < 0.03 * 8


def test_the_integer_layer_norm_is_a_layer_norm() -> None:
    x = torch.randint(-30000, 30000, (50, 48), generator=torch.Generator().manual_seed(0))
    found = integers.layer_norm(x, 0) * math.sqrt(48) / 2**integers.NORM_BITS
    torch.testing.assert_close(found.double(), functional.layer_norm(x.double(), (48,)), rtol=1e-3, atol=1e-3)
    assert torch.equal(integers.layer_norm(torch.full((1, 8), 5), 0), torch.zeros(1, 8, dtype=torch.long))


def test_products_are_exact() -> None:
    def codes(*shape: int) -> Tensor:
        return torch.randint(-127, 128, shape, generator=torch.Generator().manual_seed(len(shape)))

    one, many = codes(2, 9, 16), codes(2, 3, 9, 16)
    assert torch.equal(integers.product(one, codes(16, 7)), one @ codes(16, 7))
    assert torch.equal(integers.product(many, many.transpose(-1, -2)), many @ many.transpose(-1, -2))
