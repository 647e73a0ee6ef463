"""Activations by name."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

Act = Literal["gelu", "gelu_tanh", "quick_gelu", "silu", "relu", "relu6"]


class QuickGELU(nn.Module):
    """x sigmoid(1.702 x): the approximation that OpenAI's CLIP was trained with."""

    def forward(self, x: Tensor) -> Tensor:
        return x * (1.702 * x).sigmoid()


def make_act(name: Act) -> nn.Module:
    """A fresh activation module."""
    if name == "gelu_tanh":
        return nn.GELU(approximate="tanh")
    kinds: dict[str, type[nn.Module]] = {
        "gelu": nn.GELU, "quick_gelu": QuickGELU, "silu": nn.SiLU, "relu": nn.ReLU, "relu6": nn.ReLU6,
    }  # fmt: skip
    return kinds[name]()
