"""Self-slimmed ViT: a learned module makes fewer tokens, each a weighted mean of all (Zong et al. 2022,
arXiv:2111.12624). What it needs in training stands in `distill/feature_recalibration.py`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.attention.attend import attend
from vitapps.shared_backbones.token_reduction._protocol import Reducer, TokenState, with_prefix

if TYPE_CHECKING:
    from vitapps.shared_backbones.models.vit import ViTConfig

CARD = {
    "id": "S197",
    "name": "sit",
    "family": "token_reduction",
    "paper": "Zong et al. 2022, Self-slimmed Vision Transformer, arXiv:2111.12624",
    "equation": "eq. 2-3: A = softmax over the input tokens of MLP(LayerNorm(X)) / temperature, X' = A^T X",
    "deviations": "one scoring module for all stages, each reads as many of its outputs as it needs; the prefix tokens "
    "pass beside it; for dense maps a token comes back as the one that has most of it",
    "slots": ["reducer"],
    "cost": "O(N C^2 / 2 + N N' C) a reducing block, and the weights of the scoring module, which have to be trained",
    "status": "paper",
}
SHARE = 0.5  # hidden width of the scoring module, of the tokens' width


class SiT(Reducer):
    """`wishes` P hidden: what each new token looks for; the first N' of them make N' tokens."""

    needs = "weights that are trained with it"

    def __init__(self, dim: int, patches: int) -> None:
        super().__init__()
        hidden = max(1, round(dim * SHARE))
        self.norm, self.hidden, self.act = nn.LayerNorm(dim), nn.Linear(dim, hidden), nn.GELU()
        self.wishes = nn.Parameter(torch.empty(patches, hidden))
        self.temperature = nn.Parameter(torch.ones(()))
        nn.init.normal_(self.wishes)

    def slim(self, x: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Patches B n C -> (their means B count C, the shares B count n, whose rows sum to 1)."""
        if count > len(self.wishes):
            raise UsageError(f"sit makes at most {len(self.wishes)} tokens, not {count}", hint="the native image size")
        keys = self.act(self.hidden(self.norm(x.float())))[:, None]  # B n C -> B 1 n hidden
        queries = (self.wishes[:count] * self.temperature).expand(x.shape[0], 1, -1, -1)
        out, products = attend(queries, keys, x.float()[:, None], scale=1.0, need={"map"})
        return out[:, 0].to(x.dtype), products["map"][:, 0]  # B 1 count C -> B count C, B 1 count n -> B count n

    def reduce(self, x: Tensor, state: TokenState, r: int, metric: Tensor | None) -> tuple[Tensor, TokenState]:
        prefix = state.prefix
        patches = x[:, prefix:]
        slimmed, shares = self.slim(patches, patches.shape[1] - r)  # B n-r C, B n-r n
        holder = shares.argmax(dim=1) + prefix  # B n: who has most of each patch
        first = with_prefix(holder, prefix)  # B N: the new place of each present token
        places = torch.arange(prefix + slimmed.shape[1], device=x.device)
        belongs = (first.unsqueeze(1) == places[:, None]).to(state.size.dtype)  # B N-r N
        anchor = with_prefix(shares.argmax(dim=2) + prefix, prefix)  # B N-r: the patch that a new token has most of
        size, position = belongs @ state.size, state.position.gather(1, anchor)
        source = torch.where(state.source < 0, state.source, first.gather(1, state.source.clamp_min(0)))
        after = TokenState(size=size, source=source, position=position, prefix=prefix, parked=state.parked)
        return torch.cat((x[:, :prefix], slimmed), dim=1), after


def build(config: ViTConfig) -> SiT:
    """Width and native grid of the configuration."""
    return SiT(config.dim, math.prod(config.grid))
