"""DopQ-ViT's fold: the MEDIAN of the channels' scales, which an outlier channel does not spoil (Yang et al. 2024)."""

from __future__ import annotations

from torch import Tensor

from vitapps.shared_backbones.quantization._protocol import QuantConfig
from vitapps.shared_backbones.quantization.repq import RepQ

CARD = {
    "id": "S034",
    "name": "dopq",
    "family": "quantization",
    "paper": "Yang et al. 2024, DopQ-ViT, arXiv:2408.03291",
    "equation": "MOSF: the median as the scaling factor of the reparameterisation",
    "deviations": "MOSF alone; softmax keeps RepQ-ViT's log-sqrt2 levels, TanQ's constants were not at hand",
    "slots": [],
    "cost": "one pass over the calibration set",
    "status": "paper",
}


class DopQ(RepQ):
    """RepQ-ViT with another centre."""

    def centre(self, values: Tensor) -> Tensor:
        return values.median()


def build(config: QuantConfig) -> DopQ:
    """No settings but the bits."""
    return DopQ(config)
