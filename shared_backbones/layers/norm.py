"""Normalisations over the channels of B N C tokens, by name."""

from __future__ import annotations

from typing import Literal

from torch import nn

Norm = Literal["layernorm", "rmsnorm"]


def make_norm(name: Norm, dim: int, eps: float) -> nn.Module:
    """A fresh norm module over the last dimension."""
    return nn.LayerNorm(dim, eps=eps) if name == "layernorm" else nn.RMSNorm(dim, eps=eps)
