"""Learned rounding, shifted log levels and the evolutionary search, each against what its paper promises."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor, nn

from vitapps.shared_backbones.models.vit import ViT, ViTConfig
from vitapps.shared_backbones.quantization._protocol import QuantConfig, quantize
from vitapps.shared_backbones.quantization._quantizers import Rows, Uniform
from vitapps.shared_backbones.quantization.adaround import LearnedRows
from vitapps.shared_backbones.quantization.evolq import info_nce
from vitapps.shared_backbones.quantization.ias import ShiftedLog2
from vitapps.shared_backbones.quantization.repq import LogSqrt2


def output_error(rounded: Tensor, weight: Tensor, x: Tensor) -> float:
    return float(((rounded - weight) @ x.t()).square().sum())


def best_by_force(quantizer: Rows, weight: Tensor, x: Tensor) -> float:
    """The least output error of one row over all ways of rounding its weights up or down."""
    base = (weight / quantizer.scale[:, None]).floor()
    moves = torch.tensor(list(itertools.product((0.0, 1.0), repeat=weight.shape[1])))  # 2^n n
    codes = (base + moves + quantizer.zero).clamp(0, quantizer.top)
    values = (codes - quantizer.zero) * quantizer.scale
    return min(output_error(row[None], weight, x) for row in values)


@pytest.mark.parametrize("bits", [3, 4])
def test_learned_rounding_is_near_the_best_of_all(bits: int) -> None:
    near, trials = 0, 20
    for seed in range(trials):
        generator = torch.Generator().manual_seed(seed)
        mix = torch.randn(8, 8, generator=generator)
        x = torch.randn(64, 8, generator=generator) @ mix  # correlated, as activations are
        weight = torch.randn(1, 8, generator=generator)
        learned, plain = LearnedRows(bits, 1), Rows(bits, 1)
        learned.observe(x)
        found = output_error(learned.settle(weight), weight, x)
        assert found <= output_error(plain.settle(weight), weight, x) * (1 + 1e-5)
        near += found <= 1.01 * best_by_force(learned, weight, x)
    assert near >= 0.8 * trials


def test_learned_rounding_holds_on_other_inputs() -> None:
    generator = torch.Generator().manual_seed(0)
    mix = torch.randn(16, 16, generator=generator)
    seen, unseen = (torch.randn(400, 16, generator=generator) @ mix for _ in range(2))
    weight = torch.randn(12, 16, generator=generator)
    learned = LearnedRows(3, 12)
    learned.observe(seen)
    rounded = learned.settle(weight)
    assert output_error(rounded, weight, unseen) < 0.7 * output_error(Rows(3, 12).settle(weight), weight, unseen)
    assert torch.equal(learned(rounded), rounded)


def test_shifted_levels_meet_zero_and_one() -> None:
    torch.manual_seed(0)
    maps = (3 * torch.randn(64, 50)).softmax(-1)
    errors = {}
    for quantizer in (ShiftedLog2(4), LogSqrt2(4), Uniform(4)):
        quantizer.calibrate(maps)
        errors[type(quantizer).__name__] = float((quantizer(maps) - maps).square().mean())
    assert errors["ShiftedLog2"] < min(errors["LogSqrt2"], errors["Uniform"]), errors
    shifted = ShiftedLog2(4)
    shifted.calibrate(torch.cat([maps.flatten(), torch.tensor([0.0, 1.0])])[None])
    assert shifted(torch.tensor([0.0])).item() <= 2 * shifted.eta.item()
    assert shifted(torch.tensor([1.0])).item() == pytest.approx(1.0, abs=1e-5)
    ramp = shifted(torch.linspace(0, 1, 500))
    assert (ramp.diff() >= 0).all()


def test_info_nce_is_cross_entropy_of_the_diagonal() -> None:
    same = torch.eye(4)
    assert info_nce(same, same) < info_nce(same, same.roll(1, 0))
    assert float(info_nce(same, same)) == pytest.approx(float(nn.functional.cross_entropy(same / 0.2, torch.arange(4))))


def test_the_search_never_ends_worse_on_what_it_sees() -> None:
    torch.manual_seed(0)
    model = ViT(ViTConfig(image_size=(8, 8), patch=(4, 4), dim=16, depth=1, heads=2, num_classes=8)).eval()
    images = [torch.randn(8, 3, 8, 8)]
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(4)
        wanted = model(images[0])
        losses = {
            method: float(
                info_nce(quantize(model, QuantConfig(method=method, weight_bits=3), images)(images[0]), wanted)
            )
            for method in ("minmax", "evolq")
        }
    assert losses["evolq"] < losses["minmax"]
