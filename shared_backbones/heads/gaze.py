"""Where a person in a picture looks, from the attention maps of a plain ViT alone.

ViTGaze (Song et al. 2024, arXiv:2403.12778, section 3): what the patches of a head attend to is taken as what the
person interacts with.

    A_l        B h N N    attention between patches in layer l, rows that query             "4D interaction features"
    g          B N        softmax over the patches of the head of a score of their tokens   "2D spatial guidance"
    F = g A    B L h N    the maps of the head, all layers and heads
    heat       B H W      a small convolutional decoder on F; inside the picture: a linear layer on the guided token
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.models.vit import Block, ViT, ViTConfig

CARD = {
    "id": "S070",
    "name": "gaze_follower",
    "family": "heads",
    "paper": "Song et al. 2024, arXiv:2403.12778",
    "equation": "section 3.2 (interaction encoder), section 3.3 (spatial guidance)",
    "deviations": "weights after the normalisation over keys, patches alone; no auxiliary head loss",
    "slots": [],
    "cost": "one more product of queries and keys in each layer that is read",
    "status": "paper",
}
OUTSIDE = -1e4  # score of a patch that is no part of the head


@dataclass(frozen=True, kw_only=True, slots=True)
class GazeConfig:
    """`layers` whose attention is read, numbers from 0 or from the end; `width` channels of the decoder, whose map is
    `scale` times as fine as the patches."""

    vit: ViTConfig
    layers: tuple[int, ...] = (-3, -2, -1)
    width: int = 16
    scale: int = 4


class GazeFollower(nn.Module):
    """`forward(B C H W, heads B 4) -> (heat B scale*h scale*w, inside B)`, both logits. A head is x0 y0 x1 y1 as shares
    of the picture's sides."""

    def __init__(self, config: GazeConfig) -> None:
        super().__init__()
        if config.vit.pos.startswith("rope") or config.vit.reducer != "none":
            raise UsageError("a gaze follower reads plain attention", hint="learned or sine positions, no reducer")
        self.config = config
        self.vit = ViT(config.vit)
        depth = config.vit.depth
        self.layers = tuple(sorted(layer % depth for layer in config.layers))
        maps = len(self.layers) * config.vit.heads
        self.guide = nn.Linear(config.vit.dim, 1)
        self.decoder = nn.Sequential(
            nn.Conv2d(maps, config.width, 3, padding=1),
            nn.GELU(),
            nn.Upsample(scale_factor=config.scale, mode="bilinear"),
            nn.Conv2d(config.width, 1, 3, padding=1),
        )
        self.inside = nn.Linear(config.vit.dim, 1)

    def forward(self, x: Tensor, heads: Tensor) -> tuple[Tensor, Tensor]:
        maps, tokens, grid = self.interactions(x)
        share = self.guidance(tokens, heads, grid)  # B N
        seen = torch.einsum("bn,bmnk->bmk", share, maps)  # B maps N N -> B maps N
        # a row of attention sums to 1: brought to a mean of 1, so that the decoder sees no tiny numbers
        picture = seen.unflatten(-1, grid) * seen.shape[-1]  # -> B maps h w
        heat = self.decoder(picture)[:, 0]  # -> B scale*h scale*w
        person = torch.einsum("bn,bnc->bc", share, tokens)  # -> B C
        return heat, self.inside(person)[:, 0]

    def interactions(self, x: Tensor) -> tuple[Tensor, Tensor, tuple[int, ...]]:
        """Attention between patches B L*h N N of the layers that are read, the last tokens B N C, and the grid."""
        before = [layer - 1 for layer in self.layers if layer > 0]
        features = self.vit.forward_features(x, return_layers=before)
        first = self.vit.embed(x)[0] if 0 in self.layers else None
        prefix, maps = features.prefix, []
        for layer in self.layers:
            source = features.intermediates[layer - 1] if layer else first
            block = cast(Block, self.vit.blocks[layer])
            _, products = block.attn(block.norm1(source), need=("map",))
            maps.append(products["map"][:, :, prefix:, prefix:])  # B h N N
        return torch.cat(maps, dim=1), features.tokens[:, prefix:], features.grid

    def guidance(self, tokens: Tensor, heads: Tensor, grid: tuple[int, ...]) -> Tensor:
        """The share of each patch in the head, B N; patches whose middle lies in the box count, at least the one that
        holds the box's middle."""
        score = self.guide(tokens)[..., 0]  # B N
        part = head_patches(heads, grid)
        score = torch.where(part, score, torch.full_like(score, OUTSIDE))
        weight = torch.exp(score - score.amax(dim=1, keepdim=True)) * part
        return weight / weight.sum(dim=1, keepdim=True)


def head_patches(heads: Tensor, grid: tuple[int, ...]) -> Tensor:
    """Which patches a head box B 4 holds, B N."""
    rows, columns = (torch.arange(side, device=heads.device) for side in grid)
    y, x = (rows + 0.5) / grid[0], (columns + 0.5) / grid[1]
    x0, y0, x1, y1 = (side[:, None] for side in heads.unbind(1))
    across, down = (x >= x0) & (x < x1), (y >= y0) & (y < y1)  # B w, B h
    own_x = ((x0 + x1) / 2 * grid[1]).long().clamp(0, grid[1] - 1) == columns
    own_y = ((y0 + y1) / 2 * grid[0]).long().clamp(0, grid[0] - 1) == rows
    inside = down[:, :, None] & across[:, None]  # -> B h w
    middle = own_y[:, :, None] & own_x[:, None]
    return (inside | middle).flatten(1)


def gaze_loss(heat: Tensor, inside: Tensor, target: Tensor, seen: Tensor, spread: float = 0.04) -> Tensor:
    """Mean squared error to a Gaussian at `target` B 2 (x y, shares of the picture; deviation `spread`) where `seen` B
    says that the target lies in the picture, and cross entropy of `inside`."""
    rows, columns = (torch.linspace(0.5 / side, 1 - 0.5 / side, side, device=heat.device) for side in heat.shape[1:])
    away = (columns[None, None] - target[:, 0, None, None]) ** 2 + (rows[None, :, None] - target[:, 1, None, None]) ** 2
    goal = torch.exp(-away / (2 * spread**2))  # B H W
    error = ((heat.sigmoid() - goal) ** 2).mean(dim=(1, 2)) * seen
    wrong = nn.functional.binary_cross_entropy_with_logits(inside, seen.to(inside.dtype))
    return 100 * error.sum() / seen.sum().clamp(min=1) + wrong
