"""V-JEPA: features of hidden parts of a clip predicted from what is seen; no pixel is rebuilt.

mask      blocks of places, hidden at all times: several small ones and two large ones (multi-block, section 3.2)
context   the encoder on the tubelets that are left
target    its moving average on the whole clip, normalised by token, without gradient
loss      absolute difference of predicted and target features, on hidden tubelets
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitapps.shared_backbones.models.vit import ViT
from vitapps.shared_backbones.ssl._clip_tokens import Grid, Predictor, check_clip_encoder, encode, gather, grid_of

CARD = {
    "id": "S161",
    "name": "vjepa",
    "family": "ssl",
    "paper": "Bardes et al. 2024, arXiv:2404.08471",
    "equation": "eq. 1 (L1 on features of a moving average), section 3.2 (multi-block masking)",
    "deviations": "small and large blocks in one mask, where the paper has a mask of each; constant momentum",
    "slots": [],
    "cost": "one encoder on the seen tokens, one on all without gradient, a narrow predictor on all",
    "status": "paper",
}
_ASPECT = (0.75, 1.5)  # height by width of a block


@dataclass(frozen=True, kw_only=True, slots=True)
class VJepaConfig:
    """`short` and `long`: number of blocks and share of the picture that each covers; `momentum` of the target."""

    short: tuple[int, float] = (8, 0.15)
    long: tuple[int, float] = (2, 0.7)
    momentum: float = 0.998
    predictor_dim: int = 192
    predictor_depth: int = 4
    predictor_heads: int = 3


class VJepa(nn.Module):
    """Pre-trains `encoder`, a ViT of tubelets without class token; `forward(B C T H W) -> loss`. In training the target
    first moves towards the encoder."""

    def __init__(self, encoder: ViT, config: VJepaConfig) -> None:
        super().__init__()
        check_clip_encoder(encoder, "V-JEPA")
        self.encoder, self.config = encoder, config
        self.target = copy.deepcopy(encoder).requires_grad_(False)
        self.predictor = Predictor(
            encoder.config.dim, config.predictor_dim, config.predictor_depth, config.predictor_heads,
            encoder.config.dim,
        )  # fmt: skip

    def forward(self, clip: Tensor, generator: torch.Generator | None = None) -> Tensor:
        if self.training:
            self.follow()
        grid = grid_of(clip, self.encoder.config.patch)
        blocks = (self.config.short, self.config.long)
        seen, hidden = (part.to(clip.device) for part in block_places(clip.shape[0], grid, blocks, generator))
        known = encode(self.encoder, clip, seen)
        found = self.predictor(known, torch.cat([seen, hidden], dim=1), grid)[:, seen.shape[1] :]  # -> B M dim
        loss: Tensor = (found - gather(self.wanted(clip), hidden)).abs().mean()
        return loss

    @torch.no_grad()
    def wanted(self, clip: Tensor) -> Tensor:
        """Target features of all tubelets, B C T H W -> B N dim, each of mean 0 and deviation 1."""
        tokens = self.target.forward_features(clip).tokens
        return functional.layer_norm(tokens, tokens.shape[-1:])

    @torch.no_grad()
    def follow(self) -> None:
        """target <- momentum target + (1 - momentum) encoder."""
        for kept, new in zip(self.target.parameters(), self.encoder.parameters(), strict=True):
            kept.lerp_(new, 1 - self.config.momentum)


def block_places(
    batch: int, grid: Grid, blocks: Sequence[tuple[int, float]], generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """(seen B K, hidden B M) tubelets: `blocks`, each a number of them and the share of the picture that one covers,
    are hidden at all times.

    Every clip has its own blocks; all hide as much as the one that hides least, at least one place being seen."""
    masks = torch.stack([_union(grid[1], grid[2], blocks, generator) for _ in range(batch)])  # B h*w, True: hidden
    least = min(int(masks.sum(dim=1).min()), masks.shape[1] - 1)
    noise = torch.rand(masks.shape, generator=generator)
    order = (masks + noise).argsort(dim=1, descending=True)  # hidden places first, in any order
    first = torch.arange(grid[0])[:, None] * grid[1] * grid[2]  # of each time

    def everywhen(places: Tensor) -> Tensor:
        return (first[None] + places.sort(dim=1).values[:, None]).flatten(1)  # B k -> B t*k

    return everywhen(order[:, least:]), everywhen(order[:, :least])


def _union(lines: int, columns: int, blocks: Sequence[tuple[int, float]], generator: torch.Generator | None) -> Tensor:
    """h*w bool: the places that the blocks cover."""
    mask = torch.zeros(lines, columns, dtype=torch.bool)
    for area in [share * lines * columns for number, share in blocks for _ in range(number)]:
        aspect, at_y, at_x = torch.rand(3, generator=generator).tolist()
        aspect = _ASPECT[0] + aspect * (_ASPECT[1] - _ASPECT[0])
        height = min(lines, max(1, round(math.sqrt(area * aspect))))
        width = min(columns, max(1, round(math.sqrt(area / aspect))))
        y, x = int(at_y * (lines - height + 1)), int(at_x * (columns - width + 1))
        mask[y : y + height, x : x + width] = True
    return mask.flatten()
