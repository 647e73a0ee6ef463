"""MPTQ-ViT: channels are centred and smoothed before they are rounded (SQ-b), and every layer gets bits of its own by a
greedy search (Tai and Wu 2024, arXiv:2401.14895)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.quantization._modules import QuantLinear
from vitapps.shared_backbones.quantization._protocol import Method, QuantConfig, Site, prepare, quantize
from vitapps.shared_backbones.quantization._quantizers import Quantizer, Uniform
from vitapps.shared_backbones.quantization.repq import LogSqrt2, fold, norm_pairs

CARD = {
    "id": "S046",
    "name": "mptq",
    "family": "quantization",
    "paper": "Tai and Wu 2024, MPTQ-ViT, arXiv:2401.14895",
    "equation": "SQ-b, X' = (X - b) / s folded into norm and weights; greedy mixed precision",
    "deviations": "OPT-m is not here: softmax has log-sqrt2 levels; the greedy search adds losses that were measured "
    "for one layer at a time",
    "slots": [],
    "cost": "one pass over the calibration set; mixed precision: one pass for every layer and width",
    "status": "paper",
}

MIGRATION = 0.5  # how much of the activations' range moves into the weights (SmoothQuant, Xiao et al. 2023, eq. 4)


class Smooth(Uniform):
    """Keeps the range of every channel until `smooth` has folded it away; then one linear scale."""

    def __init__(self, bits: int, channels: int) -> None:
        super().__init__(bits)
        self.low, self.high = torch.zeros(channels), torch.zeros(channels)

    def calibrate(self, samples: Tensor) -> None:
        flat = samples.detach().float().reshape(-1, samples.shape[-1])  # ... C -> R C
        self.low, self.high = flat.amin(0), flat.amax(0)
        self.set_range(self.low.min(), self.high.max())


def smooth(norm: nn.LayerNorm, linear: QuantLinear, quantizer: Smooth) -> None:
    """SQ-b: b is the middle of each channel, s the square root of its half range over that of its weights; the norm
    gives (x - b) / s, which the weights take back. The float result stays the same."""
    middle = (quantizer.high + quantizer.low) / 2
    half = ((quantizer.high - quantizer.low) / 2).clamp_min(1e-6)
    weights = linear.weight.abs().amax(0).clamp_min(1e-6)  # out in -> in
    ratio = half**MIGRATION / weights ** (1 - MIGRATION)
    fold(norm, linear, ratio, -middle)
    largest = (half / ratio).max()
    quantizer.set_range(-largest, largest)


class MPTQ(Method):
    """Sites after a norm are smoothed, softmax has logarithmic levels, everything else linear ones."""

    def activation(self, site: Site, channels: int) -> Quantizer:
        bits = self.config.act_bits
        if site == "softmax":
            return LogSqrt2(bits)
        return Smooth(bits, channels) if site == "norm" else Uniform(bits)

    def finish(self, model: nn.Module) -> None:
        for norm, linear in norm_pairs(model):
            if isinstance(linear.tap.quantizer, Smooth):
                if not isinstance(norm, nn.LayerNorm) or norm.bias is None:
                    raise UsageError(f"mptq folds into LayerNorm, not {type(norm).__name__}", hint="use minmax")
                smooth(norm, linear, linear.tap.quantizer)


def mixed_precision(
    model: nn.Module, config: QuantConfig, batches: Sequence[Tensor], budget: float, choices: Sequence[int] = (8, 6, 4)
) -> QuantConfig:
    """`config` with bits for every linear layer, weights at most `budget` bits on average. The loss of a layer is the
    squared change of the output when it alone is rounded."""
    layers = {name: part for name, part in prepare(model, config).named_modules() if isinstance(part, QuantLinear)}
    sizes = {name: layer.weight.numel() for name, layer in layers.items()}
    with torch.no_grad():
        wanted = [model(batch) for batch in batches]
        losses = {
            name: {bits: _loss(model, config, batches, wanted, {name: bits}, list(layers)) for bits in choices}
            for name in layers
        }
    return replace(config, layer_bits=tuple(greedy_bits(losses, sizes, budget).items()))


def greedy_bits(losses: Mapping[str, Mapping[int, float]], sizes: Mapping[str, int], budget: float) -> dict[str, int]:
    """Start every layer at its most bits; while weights exceed `budget` bits on average, take bits from the layer that
    loses least for every bit saved. UsageError where even the fewest bits exceed it."""
    found = {name: max(choices) for name, choices in losses.items()}
    total = sum(sizes.values())
    while sum(sizes[name] * bits for name, bits in found.items()) > budget * total:
        prices = [
            ((losses[name][fewer] - losses[name][bits]) / ((bits - fewer) * sizes[name]), name, fewer)
            for name, bits in found.items()
            for fewer in losses[name]
            if fewer < bits
        ]
        if not prices:
            raise UsageError(f"a budget of {budget} bits is below the fewest that are offered", hint="raise the budget")
        _, name, fewer = min(prices)
        found[name] = fewer
    return found


def _loss(
    model: nn.Module,
    config: QuantConfig,
    batches: Sequence[Tensor],
    wanted: Sequence[Tensor],
    bits: dict[str, int],
    names: list[str],
) -> float:
    """Squared change of the output with the layers of `bits` rounded and all others float."""
    alone = tuple((name, bits.get(name, 32)) for name in names)
    single = replace(config, weight_bits=32, act_bits=32, layer_bits=alone)
    rounded = quantize(model, single, batches)
    return sum(float((rounded(batch) - out).square().sum()) for batch, out in zip(batches, wanted, strict=True))


def build(config: QuantConfig) -> MPTQ:
    """No settings but the bits."""
    return MPTQ(config)
