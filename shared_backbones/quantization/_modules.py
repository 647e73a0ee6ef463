"""A linear layer and an attention whose operands pass quantizers."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitapps.shared_backbones.attention.attend import Need, attend
from vitapps.shared_backbones.attention.rotate import Rotation, rotate
from vitapps.shared_backbones.layers.attention import Attention
from vitapps.shared_backbones.quantization._quantizers import Quantizer


class Tap(nn.Module):
    """A place where an activation passes: kept as samples while `open`, rounded once calibrated."""

    def __init__(self, quantizer: nn.Module) -> None:
        super().__init__()
        self.quantizer = quantizer
        self._samples: list[Tensor] | None = None
        self._rows = 0

    @property
    def neutral(self) -> bool:
        """True where nothing is ever rounded."""
        return not isinstance(self.quantizer, Quantizer)

    def open(self, rows: int) -> None:
        """Keep up to `rows` rows (vectors of the last axis) of every batch and round nothing."""
        self._samples, self._rows = [], rows

    def calibrate(self) -> None:
        """Hand the samples to the quantizer and let them go."""
        if self._samples and isinstance(self.quantizer, Quantizer):
            widths = {part.shape[-1] for part in self._samples}
            width = widths.pop() if len(widths) == 1 else 1  # attention maps of inputs of several sizes
            self.quantizer.calibrate(torch.cat([part.reshape(-1, width) for part in self._samples]))
        self._samples = None

    def forward(self, x: Tensor) -> Tensor:
        if self._samples is None:
            out: Tensor = self.quantizer(x)
            return out
        if not self.neutral:
            flat = x.detach().reshape(-1, x.shape[-1])  # ... C -> R C
            step = -(-flat.shape[0] // self._rows)
            self._samples.append(flat[::step].clone())
        return x


class QuantLinear(nn.Module):
    """linear(input rounded) with rounded weights; the bias stays float. `weight` holds the rounded values."""

    def __init__(self, linear: nn.Linear, weight_quantizer: nn.Module, tap: Tap) -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.detach().clone(), requires_grad=False)
        bias = None if linear.bias is None else linear.bias.detach().clone()
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight_quantizer = weight_quantizer
        self.tap = tap

    def calibrate_weight(self) -> None:
        """Choose the levels of the weights and round them once."""
        if isinstance(self.weight_quantizer, Quantizer):
            self.weight.copy_(self.weight_quantizer.settle(self.weight))

    def shift_bias(self, amount: Tensor) -> None:
        """Add `amount` (out) to the bias."""
        if self.bias is None:
            raise RuntimeError("a layer that gets a shift was built with a bias")
        self.bias.add_(amount)

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(self.tap(x), self.weight, self.bias)


class QuantAttention(nn.Module):
    """`layers.attention.Attention` with rounded q, k, v and attention weights. Without rounded weights the attention
    stays fused; with them `attend` hands out the map."""

    def __init__(self, attention: Attention, query: Tap, key: Tap, value: Tap, weights: Tap) -> None:
        super().__init__()
        self.heads = attention.heads
        self.qkv, self.proj = attention.qkv, attention.proj
        self.q_norm, self.k_norm, self.norm = attention.q_norm, attention.k_norm, attention.norm
        self.query, self.key, self.value, self.weights = query, key, value, weights

    def forward(
        self, x: Tensor, *, rope: Rotation | None = None, key_size: Tensor | None = None, bias: Tensor | None = None,
        need: Collection[Need] = (),
    ) -> tuple[Tensor, dict[Need, Tensor]]:  # fmt: skip
        """B N C -> (B N C, by-products of `attend`)."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))  # B N C -> B N 3 h d
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # -> three of B h N d
        q, k = self.q_norm(q), self.k_norm(k)
        if self.weights.neutral:
            out, products = attend(q, k, v, rope=rope, key_size=key_size, bias=bias, need=need)
        else:
            if rope is not None:  # rounded as the product sees them: after the rotation
                q, k = rotate(q, rope), rotate(k, rope)
            q, k, v = self.query(q), self.key(k), self.value(v)
            _, products = attend(q, k, v, key_size=key_size, bias=bias, need={*need, "map"})
            out = self.weights(products["map"]) @ v  # B h N N, B h N d -> B h N d
            products = {name: products[name] for name in need}
        return self.proj(self.norm(out.transpose(1, 2).flatten(2))), products  # B h N d -> B N C
