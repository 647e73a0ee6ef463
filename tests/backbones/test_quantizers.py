"""RepQ-ViT's fold is exact, log levels are what the papers say, and the methods gain where they claim to."""

from __future__ import annotations

import itertools
import math
import random

import pytest
import torch
from torch import Tensor, nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.quantization._modules import QuantLinear, Tap
from vitapps.shared_backbones.quantization._quantizers import Rows, Uniform
from vitapps.shared_backbones.quantization.adalog import AdaLog, R
from vitapps.shared_backbones.quantization.mptq import Smooth, greedy_bits, smooth
from vitapps.shared_backbones.quantization.repq import LogSqrt2, reparameterise


def outlier_layer(bias: bool = True) -> tuple[nn.LayerNorm, QuantLinear, Uniform, Tensor]:
    torch.manual_seed(0)
    norm, linear = nn.LayerNorm(24), nn.Linear(24, 10, bias=bias)
    with torch.no_grad():
        norm.weight.copy_(0.2 + torch.rand(24))
        norm.weight[5] = 9
        norm.bias.copy_(torch.randn(24))
    quantizer = Uniform(4, 24)
    layer = QuantLinear(linear, Rows(4, 10), Tap(quantizer))
    x = torch.randn(200, 24)
    quantizer.calibrate(norm(x))
    for parameter in norm.parameters():
        parameter.requires_grad_(False)
    return norm, layer, quantizer, x


def float_output(norm: nn.LayerNorm, layer: QuantLinear, x: Tensor) -> Tensor:
    return nn.functional.linear(norm(x), layer.weight, layer.bias)


def test_the_fold_changes_neither_the_function_nor_the_codes() -> None:
    for bias in (True, False):
        norm, layer, quantizer, x = outlier_layer(bias)
        wanted, codes = float_output(norm, layer, x), quantizer.code(norm(x))
        with torch.no_grad():
            reparameterise(norm, layer, quantizer, torch.mean)
        torch.testing.assert_close(float_output(norm, layer, x), wanted, rtol=1e-5, atol=1e-5)
        assert quantizer.scale.ndim == 0 and quantizer.zero.ndim == 0
        assert (quantizer.code(norm(x)) == codes).float().mean() > 0.999


def test_smoothing_centres_the_channels_and_changes_no_function() -> None:
    norm, layer, _, x = outlier_layer()
    quantizer = Smooth(4, 24)
    quantizer.calibrate(norm(x))
    wanted = float_output(norm, layer, x)
    with torch.no_grad():
        smooth(norm, layer, quantizer)
    torch.testing.assert_close(float_output(norm, layer, x), wanted, rtol=1e-5, atol=1e-5)
    low, high = norm(x).amin(0), norm(x).amax(0)
    assert ((low + high).abs() <= 1e-4 * (high - low)).all()
    assert (quantizer(norm(x)) - norm(x)).abs().max() <= quantizer.scale * 0.51


def test_greedy_bits_meet_the_budget_at_nearly_the_best_loss() -> None:
    generator = random.Random(0)
    for _ in range(20):
        names, choices = [f"layer{i}" for i in range(6)], (8, 6, 4, 3)
        sensitivity = {name: generator.lognormvariate(0, 2) for name in names}
        losses = {name: {bits: sensitivity[name] * 4.0**-bits for bits in choices} for name in names}
        sizes = {name: generator.choice((100, 200, 400)) for name in names}
        found = greedy_bits(losses, sizes, 5.0)
        total = sum(sizes.values())
        assert sum(sizes[name] * found[name] for name in names) <= 5.0 * total
        allowed = [
            sum(losses[name][bits] for name, bits in zip(names, pick, strict=True))
            for pick in itertools.product(choices, repeat=6)
            if sum(sizes[name] * bits for name, bits in zip(names, pick, strict=True)) <= 5.0 * total
        ]
        uniform = sum(losses[name][4] for name in names)
        assert min(allowed) <= sum(losses[name][found[name]] for name in names) <= uniform
    with pytest.raises(UsageError, match="budget"):
        greedy_bits(losses, sizes, 2.0)


def test_the_median_is_nearer_than_the_mean_under_an_outlier() -> None:
    """What DopQ-ViT claims of its centre: the folded weights spread less over input channels of ordinary scale."""
    _, _, quantizer, _ = outlier_layer()
    ordinary = torch.cat((quantizer.scale[:5], quantizer.scale[6:]))
    spoilt = (ordinary.log() - quantizer.scale.mean().log()).abs().mean()
    assert (ordinary.log() - quantizer.scale.median().log()).abs().mean() < spoilt


def test_log_sqrt2_levels() -> None:
    quantizer = LogSqrt2(4)
    levels = torch.tensor([2 ** (-code / 2) for code in range(16)])
    torch.testing.assert_close(quantizer(levels), levels, rtol=1e-6, atol=0)
    assert quantizer(torch.tensor([0.0, 2 ** (-16 / 2)])).tolist() == [0, 0]
    x = torch.rand(1000)
    nearest = levels[(x.log2().unsqueeze(1) - levels.log2()).abs().argmin(1)]
    kept = x > 2 ** (-15.4 / 2)
    torch.testing.assert_close(quantizer(x)[kept], nearest[kept], rtol=1e-6, atol=0)


def softmax_rows() -> Tensor:
    return (3 * torch.randn(400, 50, generator=torch.Generator().manual_seed(3))).softmax(-1)


def test_adalog_with_q_37_is_log2_and_the_search_is_no_worse_than_either_fixed_base() -> None:
    x = softmax_rows()
    for bits in (3, 4):
        fixed, searched, sqrt2 = AdaLog(bits), AdaLog(bits), LogSqrt2(bits)
        fixed.peak = x.max()
        code = (-(x / x.max()).log2()).round().clamp_min(0)
        log2 = torch.where(code > fixed.top, torch.zeros(()), x.max() * torch.exp2(-code))
        torch.testing.assert_close(fixed(x), log2, rtol=1e-5, atol=0)
        searched.calibrate(x)
        sqrt2.calibrate(x)
        found, others = (searched(x) - x).square().mean(), (fixed(x) - x, sqrt2(x) - x)
        assert all(found <= other.square().mean() for other in others)


def test_adalogs_shift_and_table_are_the_power() -> None:
    quantizer = AdaLog(4)
    quantizer.step = torch.tensor(23.0)
    codes = torch.arange(16.0)
    levels = torch.exp2(-codes * 23 / R)
    torch.testing.assert_close(quantizer(levels), levels, rtol=1e-5, atol=0)


def test_adalog_reaches_below_zero_after_gelu() -> None:
    x = nn.functional.gelu(2 * torch.randn(300, 40, generator=torch.Generator().manual_seed(4)))
    quantizer, linear = AdaLog(8, signed=True), Uniform(8)
    quantizer.calibrate(x)
    assert math.isclose(float(quantizer.shift), -float(x.min()), rel_tol=1e-6)
    assert float((quantizer(x) - x).square().mean()) < 1e-3 * float(x.square().mean())
    assert float(quantizer(x).min()) < -0.1  # the dip of GELU is not lost
    linear.calibrate(x)
    assert (linear(x) - x).abs().max() <= linear.scale / 2 + 1e-6
