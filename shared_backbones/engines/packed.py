"""Linear layers with weights packed once for oneDNN: the same arithmetic as eager float32, without its slow library.

`F.linear` computes float32 through MKL, which keeps AMD processors on an AVX2 path: 92 GFLOP/s a core here where oneDNN
reaches 215. Packing also lets the GELU that follows run inside the product. Numbers equal eager's up to the order of
summation (relative error about 1e-6).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitapps.errors import MissingError
from vitapps.shared_backbones.layers.mlp import Mlp


class PackedLinear(nn.Module):
    """y = act(x W^T + b) with W in oneDNN's own layout; inference only. `gelu`: "", "none" (erf) or "tanh"."""

    def __init__(self, linear: nn.Linear, gelu: str = "") -> None:
        super().__init__()
        # the weight is held by this attribute only: neither saved nor moved
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach())
        self._bias = None if linear.bias is None else linear.bias.detach()
        self._act, self._algorithm = ("gelu", gelu) if gelu else ("none", "")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            x.contiguous(), self._weight, self._bias, self._act, [], self._algorithm
        )  # *B N C -> *B N C'
        return out


def pack(module: nn.Module) -> nn.Module:
    """Replace every Linear of a float32 module on the CPU, in place; raises MissingError where torch lacks oneDNN.

    The GELU of an `Mlp` without inner norm moves into its first layer.
    """
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        raise MissingError("this torch was built without oneDNN", hint="--engine torch or openvino")
    for part in list(module.modules()):
        for name, child in list(part.named_children()):
            if isinstance(child, nn.Linear):
                setattr(part, name, PackedLinear(child, _fused_gelu(part, name)))
        if isinstance(part, Mlp) and isinstance(part.fc1, PackedLinear) and _gelu(part):
            part.act = nn.Identity()
    return module


def _fused_gelu(part: nn.Module, name: str) -> str:
    return _gelu(part) if isinstance(part, Mlp) and name == "fc1" else ""


def _gelu(mlp: Mlp) -> str:
    """How the activation of `mlp` is computed, empty when it is no GELU."""
    return mlp.act.approximate if isinstance(mlp.act, nn.GELU) else ""
