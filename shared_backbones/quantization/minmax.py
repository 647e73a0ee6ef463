"""Min-max: linear levels from the smallest to the largest calibration value. The baseline of every other method."""

from __future__ import annotations

from vitapps.shared_backbones.quantization._protocol import Method, QuantConfig

CARD = {
    "id": "minmax",
    "name": "minmax",
    "family": "quantization",
    "paper": "Jacob et al. 2018, arXiv:1712.05877",
    "equation": "eq. 1, affine quantization",
    "deviations": "one scale for a tensor of activations, one for every output channel of weights",
    "slots": [],
    "cost": "one pass over the calibration set",
    "status": "core",
}


def build(config: QuantConfig) -> Method:
    """The defaults of `Method`."""
    return Method(config)
