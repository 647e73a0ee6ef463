"""Multi-head self-attention over tokens, around `attend`."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor, nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.attention.attend import Need, Options, attend
from vitapps.shared_backbones.layers.norm import Norm, make_norm


class Attention(nn.Module):
    """qkv -> attend -> proj. `qk_norm` normalises queries and keys per head (ViT-22B, Dehghani et al. 2023);
    `out_norm` normalises the heads' joined output before proj (sub-LN, EVA-02-CLIP)."""

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        qkv_bias: bool = True,
        qk_norm: bool = False,
        out_norm: bool = False,
        norm: Norm = "layernorm",
        eps: float = 1e-6,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise UsageError(f"dim {dim} is not a multiple of heads {heads}", hint="choose heads that divide dim")
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.q_norm = make_norm(norm, dim // heads, eps) if qk_norm else nn.Identity()
        self.k_norm = make_norm(norm, dim // heads, eps) if qk_norm else nn.Identity()
        self.norm = make_norm(norm, dim, eps) if out_norm else nn.Identity()
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, **options: Unpack[Options]) -> tuple[Tensor, dict[Need, Tensor]]:
        """B N C -> (B N C, by-products); the options are those of `attend`."""
        qkv = self.qkv(x).unflatten(-1, (3, self.heads, -1))  # B N C -> B N 3 h d
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # -> three of B h N d
        out, products = attend(self.q_norm(q), self.k_norm(k), v, **options)
        return self.proj(self.norm(out.transpose(1, 2).flatten(2))), products  # B h N d -> B N C


def tie_queries_to_keys(weight: Tensor) -> None:
    """Give the queries of a fresh 3C C projection the weights of its keys: tokens look for their like at once
    (Trockman and Kolter 2023, arXiv:2305.09828, section 4)."""
    dim = weight.shape[1]
    with torch.no_grad():
        nn.init.xavier_uniform_(weight[: 2 * dim])
        weight[:dim] = weight[dim : 2 * dim]
