"""AdaLog: logarithmic levels of a searched base, after softmax and after GELU (Wu et al. 2024, arXiv:2407.12951)."""

from __future__ import annotations

import torch
from torch import Tensor

from vitapps.shared_backbones.quantization._protocol import Method, QuantConfig, Site
from vitapps.shared_backbones.quantization._quantizers import Quantizer, Uniform
from vitapps.shared_backbones.quantization.repq import RepQ

CARD = {
    "id": "S274",
    "name": "adalog",
    "family": "quantization",
    "paper": "Wu et al. 2024, AdaLog, arXiv:2407.12951",
    "equation": "the adaptive logarithm base 2^(q/r), r = 37; bias reparameterisation after GELU",
    "deviations": "base and scale minimise the error of the activation itself, coarse to fine, not that of the layer's "
    "output; the shift of GELU is taken off by the quantizer, the same sum as in the next bias; RepQ-ViT's fold",
    "slots": [],
    "cost": "120 roundings of the kept samples for every softmax and GELU",
    "status": "paper",
}

R = 37  # the paper's fixed denominator of the exponent
BASES = tuple(range(5, 112, 6))  # coarse q: bases from 2^(1/8) to 2^3
SCALES = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of the largest value


class AdaLog(Quantizer):
    """code = round(-(r / q) log2((x + shift) / peak)), value = peak 2^(-code q / r) - shift; codes beyond the largest
    stand for 0 before the shift is taken off. q = r is the log2 quantizer. `shift` makes all values non-negative.

    The value is formed as hardware does: a shift by floor(code q / r) and a table of r entries for the remainder.
    """

    peak: Tensor
    step: Tensor
    shift: Tensor

    def __init__(self, bits: int, *, signed: bool = False) -> None:
        super().__init__(bits)
        self.signed = signed
        self.register_buffer("peak", torch.ones(()))
        self.register_buffer("step", torch.tensor(float(R)))
        self.register_buffer("shift", torch.zeros(()))

    def calibrate(self, samples: Tensor) -> None:
        """Search q and the peak, all pairs on a coarse grid, then the neighbours of the best pair."""
        x = samples.detach().float().flatten()
        x = x[:: max(1, x.numel() // 16384)]
        if self.signed:
            self.shift = (-samples.detach().float().min()).clamp_min(0)
        largest = (samples.detach().float().max() + self.shift).clamp_min(1e-12)
        best = self._best(x, [(q, largest * scale) for q in BASES for scale in SCALES])
        around = [(q, best[1] * (0.9 + 0.05 * i)) for q in range(int(best[0]) - 5, int(best[0]) + 6) for i in range(5)]
        self._set(*self._best(x, [best, *((q, peak) for q, peak in around if q > 0)]))

    def _best(self, x: Tensor, pairs: list[tuple[int, Tensor]]) -> tuple[int, Tensor]:
        errors = []
        for q, peak in pairs:
            self._set(q, peak)
            errors.append(float((self(x) - x).square().mean()))
        return pairs[errors.index(min(errors))]

    def _set(self, q: int, peak: Tensor) -> None:
        self.step, self.peak = torch.tensor(float(q), device=peak.device), peak

    def forward(self, x: Tensor) -> Tensor:
        ratio = ((x + self.shift) / self.peak).clamp_min(1e-30)
        code = (ratio.log2() * (-R / self.step)).round().clamp_min(0)
        exponent = code.clamp_max(self.top) * self.step  # in units of 1 / r
        table = torch.exp2(-torch.arange(R, device=x.device) / R)
        value = torch.exp2(-(exponent / R).floor()) * table[exponent.remainder(R).long()] * self.peak
        value = torch.where(code > self.top, torch.zeros_like(value), value)
        return (value - self.shift).to(x.dtype)


class AdaLogMethod(RepQ):
    """RepQ-ViT's fold, AdaLog's levels."""

    def activation(self, site: Site, channels: int) -> Quantizer:
        bits = self.config.act_bits
        if site in ("softmax", "gelu"):
            return AdaLog(bits, signed=site == "gelu")
        return Uniform(bits, channels) if site == "norm" else Uniform(bits)


def build(config: QuantConfig) -> Method:
    """No settings but the bits."""
    return AdaLogMethod(config)
