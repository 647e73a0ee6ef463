"""EViT: patches that the class token does not attend to are fused into one (Liang et al. 2022, arXiv:2202.07800)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vitapps.shared_backbones.attention.attend import Need
from vitapps.shared_backbones.token_reduction._class_row import attentiveness, check_class_row, rank
from vitapps.shared_backbones.token_reduction._protocol import Reducer, TokenState, keep, rows, with_prefix

if TYPE_CHECKING:
    from vitapps.shared_backbones.models.vit import ViTConfig

CARD = {
    "id": "S189",
    "name": "evit",
    "family": "token_reduction",
    "paper": "Liang et al. 2022, arXiv:2202.07800",
    "equation": "section 3.2, eq. 3: sum of the inattentive tokens weighted by their attention",
    "deviations": "kept tokens stay in their order; with r the step fuses r + 1 tokens, so that r are gone",
    "slots": ["reducer"],
    "cost": "O(h N d + r C) a reducing block",
    "status": "verified",
}


class EViT(Reducer):
    """Prefix, attentive patches in their order, then the fused token; it has the place of its most attended part."""

    need: Need | None = "class_row"

    def strength(self, patches: int, keep: float) -> int:
        """One place is for the fused token."""
        return max(patches - math.ceil(keep * patches) - 1, 0)

    def reduce(self, x: Tensor, state: TokenState, r: int, metric: Tensor | None) -> tuple[Tensor, TokenState]:
        prefix = state.prefix
        scores = attentiveness(metric, prefix)  # B n
        attentive, others = rank(scores, x.shape[1] - prefix - r - 1)  # B n-r-1, B r+1
        weights = scores.gather(1, others).unsqueeze(-1)  # B r+1 1
        others = others + prefix
        fused = (rows(x, others) * weights).sum(dim=1, keepdim=True).to(x.dtype)  # B 1 C
        stays = with_prefix(attentive + prefix, prefix)  # B N-r-1
        size = torch.cat((rows(state.size, stays), rows(state.size, others).sum(dim=1, keepdim=True)), dim=1)
        top = others.gather(1, weights[..., 0].argmax(dim=1, keepdim=True))  # B 1
        kept = torch.cat((stays, top), dim=1)  # B N-r
        places = torch.arange(stays.shape[1], device=x.device).expand_as(stays)
        target = torch.full(x.shape[:2], stays.shape[1], device=x.device, dtype=kept.dtype).scatter(1, stays, places)
        return torch.cat((rows(x, stays), fused), dim=1), keep(state, kept, size=size, target=target)


def build(config: ViTConfig) -> EViT:
    """EViT has no setting but the strengths; it needs a class token."""
    check_class_row(config, "evit")
    return EViT()
