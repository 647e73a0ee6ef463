"""RepQ-ViT: channel-wise levels after LayerNorm, folded exactly into a single scale; log-sqrt2 levels after softmax
(Li et al. 2023, arXiv:2212.08254)."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.quantization._modules import QuantAttention, QuantLinear
from vitapps.shared_backbones.quantization._protocol import Method, QuantConfig, Site
from vitapps.shared_backbones.quantization._quantizers import Quantizer, Uniform

CARD = {
    "id": "S033",
    "name": "repq",
    "family": "quantization",
    "paper": "Li et al. 2023, RepQ-ViT, arXiv:2212.08254",
    "equation": "section 3.2, scale reparameterisation of LayerNorm; section 3.3, log-sqrt2 for softmax",
    "deviations": "min-max ranges where the reference code searches percentiles; any norm but LayerNorm is refused",
    "slots": [],
    "cost": "one pass over the calibration set",
    "status": "paper",
}


class LogSqrt2(Quantizer):
    """code = round(-2 log2(x / peak)), value = peak 2^(-code / 2), written with a shift and a factor for odd codes (eq.
    12, 13); codes beyond the largest become 0. For non-negative values."""

    peak: Tensor

    def __init__(self, bits: int) -> None:
        super().__init__(bits)
        self.register_buffer("peak", torch.ones(()))

    def calibrate(self, samples: Tensor) -> None:
        """The largest sample has code 0."""
        self.peak = samples.detach().float().max().clamp_min(1e-12)

    def forward(self, x: Tensor) -> Tensor:
        code = (-2 * (x / self.peak).clamp_min(1e-30).log2()).round().clamp_min(0)
        odd = 1 + code.remainder(2) * (math.sqrt(2) - 1)
        value = torch.exp2(-(code / 2).ceil()) * odd * self.peak
        return torch.where(code > self.top, torch.zeros_like(value), value).to(x.dtype)


class RepQ(Method):
    """`centre` makes the single scale and zero point of the channels' own: the mean, as in the paper."""

    def activation(self, site: Site, channels: int) -> Quantizer:
        bits = self.config.act_bits
        if site == "softmax":
            return LogSqrt2(bits)
        return Uniform(bits, channels) if site == "norm" else Uniform(bits)

    def centre(self, values: Tensor) -> Tensor:
        """One value for all channels."""
        return values.mean()

    def finish(self, model: nn.Module) -> None:
        for norm, linear in norm_pairs(model):
            quantizer = linear.tap.quantizer
            if isinstance(quantizer, Uniform) and quantizer.scale.ndim:
                if not isinstance(norm, nn.LayerNorm) or norm.bias is None:
                    raise UsageError(f"repq folds scales into LayerNorm, not {type(norm).__name__}", hint="use minmax")
                reparameterise(norm, linear, quantizer, self.centre)


def norm_pairs(model: nn.Module) -> list[tuple[nn.Module, QuantLinear]]:
    """Every norm with the only quantized layer that reads it: norm1 (attn_norm) and qkv, norm2 (mlp_norm) and fc1 of
    each block."""
    found: list[tuple[nn.Module, QuantLinear]] = []
    for block in model.modules():
        parts = dict(block.named_children())
        readers = tuple(
            (norm, owner, reader)
            for names, owner, reader in ((("norm1", "attn_norm"), "attn", "qkv"), (("norm2", "mlp_norm"), "mlp", "fc1"))
            for norm in names
        )
        for norm, owner, reader in readers:
            linear = getattr(parts.get(owner), reader, None)
            plain = owner == "mlp" or isinstance(parts.get(owner), QuantAttention)
            if norm in parts and plain and isinstance(linear, QuantLinear):
                found.append((parts[norm], linear))
    return found


def reparameterise(
    norm: nn.LayerNorm, linear: QuantLinear, quantizer: Uniform, centre: Callable[[Tensor], Tensor]
) -> None:
    """Channel-wise levels become a single scale and zero point (RepQ-ViT eq. 5-9): r1 = s / s~, r2 = z - z~. The codes
    of the activations stay what they were."""
    scale, zero = centre(quantizer.scale), centre(quantizer.zero).round()
    fold(norm, linear, quantizer.scale / scale, quantizer.scale * (quantizer.zero - zero))
    quantizer.scale, quantizer.zero = scale, zero


def fold(norm: nn.LayerNorm, linear: QuantLinear, ratio: Tensor, shift: Tensor) -> None:
    """Let the norm give (x + shift) / ratio instead of x, by channel, and the layer behind it compute the same as
    before: gamma / ratio, (beta + shift) / ratio, W ratio by input channel, b - W shift."""
    norm.weight.div_(ratio)
    norm.bias.add_(shift).div_(ratio)
    if linear.bias is None:
        linear.bias = nn.Parameter(torch.zeros(linear.out_features, device=shift.device), requires_grad=False)
    linear.shift_bias(-(linear.weight @ shift))
    linear.weight.mul_(ratio)


def build(config: QuantConfig) -> RepQ:
    """No settings but the bits."""
    return RepQ(config)
