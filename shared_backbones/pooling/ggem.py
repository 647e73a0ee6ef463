"""Grouped generalised mean over the patches; one group is GeM, exponent 1 the mean, a large exponent the maximum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.pooling._protocol import Pool, masked_mean

if TYPE_CHECKING:
    from vitapps.shared_backbones.models.vit import ViTConfig

CARD = {
    "id": "S001",
    "name": "ggem",
    "family": "pooling",
    "paper": "Ko et al. 2022, arXiv:2212.04114",
    "equation": "f_c = (mean_i max(x_ic, eps) ** p_g(c)) ** (1 / p_g(c)), one p per group of channels",
    "deviations": "the exponent is held at 1 or more; the maximum is taken out of the power against overflow",
    "slots": ["pool"],
    "cost": "O(N C), one parameter a group",
    "status": "paper",
}

EPS = 1e-6  # a token's negative activations count as this


class GroupedGem(Pool):
    """`groups` equal runs of channels share an exponent each, started at `init` (Radenovic et al. 2018: 3)."""

    def __init__(self, dim: int, groups: int, init: float = 3.0) -> None:
        super().__init__()
        if groups < 1 or dim % groups:
            raise UsageError(f"{dim} channels cannot form {groups} groups", hint="choose pool_groups that divide dim")
        self.dim = dim
        self.p = nn.Parameter(torch.full((groups,), init))

    def forward(self, tokens: Tensor, prefix: int, mask: Tensor | None = None) -> Tensor:
        x = tokens[:, prefix:].clamp_min(EPS)  # B N C -> B N-prefix C
        if mask is not None:
            x = torch.where(mask.unsqueeze(-1), x, x.new_tensor(EPS))
        p = self.p.clamp_min(1.0).repeat_interleave(self.dim // self.p.shape[0])  # G -> C
        peak = x.detach().amax(dim=1)  # B C; cancels in the result and in its gradient
        mean = masked_mean((x / peak.unsqueeze(1)).pow(p), mask)  # -> B C
        return peak * mean.clamp_min(torch.finfo(mean.dtype).tiny).pow(1.0 / p)


def build(config: ViTConfig) -> GroupedGem:
    """`pool_groups` of the configuration, the number of heads where it is not given."""
    return GroupedGem(config.dim, config.pool_groups or config.heads)
