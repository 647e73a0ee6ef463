"""I&S-ViT: shifted uniform-log2 levels after softmax, and a calibration that goes from smooth to rough in three stages
(Zhong et al. 2023, arXiv:2311.10126)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vitapps.shared_backbones.quantization._protocol import Method, QuantConfig, Site
from vitapps.shared_backbones.quantization._quantizers import KeptRows, Quantizer, Uniform, round_through
from vitapps.shared_backbones.quantization._recon import reconstruct
from vitapps.shared_backbones.quantization.repq import RepQ

CARD = {
    "id": "S100",
    "name": "ias",
    "family": "quantization",
    "paper": "Zhong et al. 2023, I&S-ViT, arXiv:2311.10126",
    "equation": "SULQ, shifted uniform levels of log2; SOS: channel-wise norms, their fold, then the weights",
    "deviations": "the first stage only calibrates; the third learns roundings and scales, 160 steps a "
    "block; eta is searched on the activation's own error",
    "slots": [],
    "cost": "two passes over the calibration set, 40 roundings of the samples of every softmax, STEPS steps a block",
    "status": "paper",
}

ETAS = tuple(2.0**-power for power in range(2, 22))


class ShiftedLog2(Quantizer):
    """u = -log2(x + eta), rounded linearly between its ends, value = 2^(-u) - eta: 0 and values near 1 are both met.

    For x in 0..1. `eta` is the one of a grid with the least squared error.
    """

    eta: Tensor
    low: Tensor
    step: Tensor

    def __init__(self, bits: int) -> None:
        super().__init__(bits)
        for name in ("eta", "low", "step"):
            self.register_buffer(name, torch.ones(()))

    def calibrate(self, samples: Tensor) -> None:
        """The best eta; levels from the largest to the smallest sample."""
        x = samples.detach().float().flatten()
        x = x[:: max(1, x.numel() // 16384)]
        ends = samples.detach().float().min(), samples.detach().float().max()
        errors = []
        for eta in ETAS:
            self._set(eta, *ends)
            errors.append(float((self(x) - x).square().mean()))
        self._set(ETAS[errors.index(min(errors))], *ends)

    def _set(self, eta: float, smallest: Tensor, largest: Tensor) -> None:
        first, last = -(largest + eta).log2(), -(smallest.clamp_min(0) + eta).log2()
        self.eta, self.low = torch.full_like(first, eta), first
        self.step = ((last - first) / self.top).clamp_min(1e-12)

    def forward(self, x: Tensor) -> Tensor:
        u = -(x.clamp_min(0) + self.eta).log2()
        code = round_through((u - self.low) / self.step).clamp(0, self.top)
        return (torch.exp2(-(code * self.step + self.low)) - self.eta).clamp_min(0).to(x.dtype)


class IaS(RepQ):
    """Stage 1 is the channel-wise calibration, stage 2 RepQ's fold, stage 3 the reconstruction of every block with the
    activations rounded already."""

    def activation(self, site: Site, channels: int) -> Quantizer:
        bits = self.config.act_bits
        if site == "softmax":
            return ShiftedLog2(bits)
        return Uniform(bits, channels) if site == "norm" else Uniform(bits)

    def weight(self, linear: nn.Linear) -> Quantizer:
        return KeptRows(self.config.weight_bits, linear.out_features)

    def refine(self, quantized: nn.Module, model: nn.Module, batches: Sequence[Tensor]) -> None:
        reconstruct(quantized, model, batches, {})


def build(config: QuantConfig) -> Method:
    """No settings but the bits."""
    return IaS(config)
