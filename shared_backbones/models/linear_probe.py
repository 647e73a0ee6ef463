"""A linear layer on given features: what a linear kernel machine is once it is trained."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearProbeConfig:
    """`features` that go in, `outputs` logits that come out."""

    features: int
    outputs: int = 1


class LinearProbe(nn.Module):
    """`forward(B features) -> B outputs`, logits."""

    def __init__(self, config: LinearProbeConfig) -> None:
        super().__init__()
        self.config = config
        self.linear = nn.Linear(config.features, config.outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x)
        return out


def probe_of(weights: Tensor, bias: float) -> LinearProbe:
    """The module with weights D and one bias."""
    probe = LinearProbe(LinearProbeConfig(features=len(weights)))
    with torch.no_grad():
        probe.linear.weight.copy_(weights[None])
        probe.linear.bias.fill_(bias)
    return probe
