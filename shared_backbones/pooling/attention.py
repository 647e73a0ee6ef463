"""Attention pooling: one learned query attends to all tokens, an MLP follows (the MAP head of ViT-G and SigLIP)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vitapps.shared_backbones.attention.attend import attend
from vitapps.shared_backbones.layers.act import make_act
from vitapps.shared_backbones.layers.mlp import Mlp
from vitapps.shared_backbones.layers.norm import make_norm
from vitapps.shared_backbones.pooling._protocol import Pool

if TYPE_CHECKING:
    from vitapps.shared_backbones.models.vit import ViTConfig

CARD = {
    "id": "MAP",
    "name": "attention",
    "family": "pooling",
    "paper": "Lee et al. 2019, arXiv:1810.00825; Zhai et al. 2022, arXiv:2106.04560",
    "equation": "Set Transformer eq. 9 (PMA with one seed); ViT-G section 2.3",
    "deviations": "no norm on the keys, as published SigLIP weights want it",
    "slots": ["pool"],
    "cost": "O(N C^2) for the keys and values",
    "status": "verified",
}


class AttentionPool(Pool):
    """softmax(q k^T) v over the patch tokens with a learned query, projected, plus its MLP."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        dim, self.heads = config.dim, config.heads
        self.latent = nn.Parameter(torch.empty(1, 1, dim))
        nn.init.trunc_normal_(self.latent, std=dim**-0.5)
        self.q = nn.Linear(dim, dim)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        self.norm = make_norm(config.norm, dim, config.eps)
        self.mlp = Mlp(dim, round(dim * config.mlp_ratio), make_act(config.act))

    def forward(self, tokens: Tensor, prefix: int, mask: Tensor | None = None) -> Tensor:
        x = tokens[:, prefix:]  # B N C -> B N-prefix C
        q = self.q(self.latent).expand(x.shape[0], -1, -1).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # B h 1 d
        k, v = self.kv(x).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)  # two of B h N d
        # a constant -inf row would be NaN: where every patch is masked the result means nothing, but stays finite
        bias = None if mask is None else (~mask)[:, None, None].to(x.dtype) * torch.finfo(x.dtype).min
        out, _ = attend(q, k, v, bias=bias)
        out = self.proj(out.transpose(1, 2).flatten(1))  # B h 1 d -> B C
        pooled: Tensor = out + self.mlp(self.norm(out))
        return pooled


def build(config: ViTConfig) -> AttentionPool:
    """Heads, norm and MLP as in the blocks."""
    return AttentionPool(config)
