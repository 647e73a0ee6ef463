"""Where a person in a picture looks, from the attention maps of a plain ViT alone.

ViTGaze (Song et al. 2024, arXiv:2403.12778, section 3): what the patches of a head attend to is taken as what the
person interacts with.

    A_l        B h N N    attention between patches in layer l, rows that query             "4D interaction features"
    g          B N        softmax over the patches of the head of a score of their pixels   "2D spatial guidance"
    F = g A    B L h N    the maps of the head, all layers and heads
    heat       B H W      a small convolutional decoder on F; inside the picture: two layers on the guided token
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, cast

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
    "deviations": "no auxiliary head loss",
    "slots": [],
    "cost": "one more product of queries and keys in each layer that is read",
    "status": "paper",
}
OUTSIDE = -1e9  # score of a patch that is no part of the head


@dataclass(frozen=True, kw_only=True, slots=True)
class GazeConfig:
    """`layers` whose attention is read, numbers from 0 or from the end; `guide` channels of the guidance; `widths` of
    the decoder's stages, each of which doubles the map."""

    vit: ViTConfig
    layers: tuple[int, ...] = (2, 5, 8, 11)
    guide: int = 8
    widths: tuple[int, ...] = (16, 8, 1)


class Scene(NamedTuple):
    """What a picture gives before a person is chosen: attention between patches B L*h N N of the layers that are read,
    the last tokens B N C, and the grid h w of the patches."""

    maps: Tensor
    tokens: Tensor
    grid: tuple[int, ...]


class GazeFollower(nn.Module):
    """`forward(B C H W, heads B 4) -> (heat B s*h s*w, inside B)`: a map that is highest where the person looks, s two
    to the number of stages, and the logit that this lies in the picture. A head is x0 y0 x1 y1 as shares of the
    picture's sides."""

    def __init__(self, config: GazeConfig) -> None:
        super().__init__()
        vit = config.vit
        if vit.pos.startswith("rope") or vit.reducer != "none":
            raise UsageError("a gaze follower reads plain attention", hint="learned or sine positions, no reducer")
        if len(vit.patch) != 2 or vit.patch[0] != vit.patch[1]:
            raise UsageError(f"patches {vit.patch}", hint="a gaze follower takes square patches of a picture")
        self.config = config
        self.vit = ViT(vit)
        self.layers = tuple(sorted(layer % vit.depth for layer in config.layers))
        self.guide = nn.Sequential(
            nn.Conv2d(vit.in_chans, config.guide, vit.patch[0], vit.patch[0]), nn.ReLU(), nn.Conv2d(config.guide, 1, 1)
        )
        stages = pairwise((len(self.layers) * vit.heads, *config.widths))
        self.decoder = nn.Sequential(*(_stage(wide, narrow) for wide, narrow in stages))
        self.last = nn.Conv2d(config.widths[-1], 1, 1)
        self.inside = nn.Sequential(nn.Linear(vit.dim, vit.dim), nn.ReLU(), nn.Linear(vit.dim, 1))

    def forward(self, x: Tensor, heads: Tensor) -> tuple[Tensor, Tensor]:
        return self.follow(self.scene(x), self.guidance(x, heads))

    def follow(self, scene: Scene, share: Tensor) -> tuple[Tensor, Tensor]:
        """(heat, inside) of persons with the `guidance` B N."""
        seen = torch.einsum("bn,bmnk->bmk", share, scene.maps)  # B N, B maps N N -> B maps N
        heat = self.last(self.decoder(seen.unflatten(-1, scene.grid)))[:, 0]  # B maps h w -> B s*h s*w
        person = torch.einsum("bn,bnc->bc", share, scene.tokens)  # -> B C
        return heat, self.inside(person)[:, 0]

    def scene(self, x: Tensor) -> Scene:
        """The attention of the layers that are read."""
        before = [layer - 1 for layer in self.layers if layer > 0]
        features = self.vit.forward_features(x, return_layers=before)
        first = self.vit.embed(x)[0] if 0 in self.layers else None
        prefix, maps = features.prefix, []
        for layer in self.layers:
            source = features.intermediates[layer - 1] if layer else first
            block = cast(Block, self.vit.blocks[layer])
            _, products = block.attn(block.norm1(source), need=("map",))
            maps.append(products["map"][:, :, prefix:, prefix:])  # B h N N
        return Scene(torch.cat(maps, dim=1), features.tokens[:, prefix:], features.grid)

    def guidance(self, x: Tensor, heads: Tensor) -> Tensor:
        """The share of each patch in the heads B 4, B N."""
        score = self.guide(x).flatten(1)  # B 1 h w -> B N
        part = head_patches(heads, (x.shape[2], x.shape[3]), self.config.vit.patch[0])
        score = torch.where(part, score, torch.full_like(score, OUTSIDE))
        weight = torch.exp(score - score.amax(dim=1, keepdim=True)) * part
        return weight / weight.sum(dim=1, keepdim=True)


def _stage(wide: int, narrow: int) -> nn.Sequential:
    """Twice the size, another width."""
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
        nn.Conv2d(wide, narrow, 3, padding=1),
        nn.BatchNorm2d(narrow),
        nn.ReLU(),
    )


def head_patches(heads: Tensor, size: tuple[int, int], patch: int) -> Tensor:
    """Which patches head boxes B 4 touch in a picture of H W pixels, B N: one at least."""
    height, width = size
    sides = heads.new_tensor([width, height, width, height])
    x0, y0, x1, y1 = (heads * sides).floor().clamp(min=0).minimum(sides - 1).unbind(1)  # whole pixels
    x1, y1 = torch.maximum(x1, x0 + 1), torch.maximum(y1, y0 + 1)
    across = _touched(x0, x1, width // patch, patch)  # B w
    down = _touched(y0, y1, height // patch, patch)  # B h
    return (down[:, :, None] & across[:, None]).flatten(1)  # -> B h w -> B N


def _touched(first: Tensor, end: Tensor, count: int, patch: int) -> Tensor:
    """Which of `count` patches hold a pixel from `first` to before `end`, B count."""
    start = torch.arange(count, device=first.device) * patch
    return (start < end[:, None]) & (start + patch > first[:, None])


def gaze_loss(heat: Tensor, inside: Tensor, target: Tensor, seen: Tensor, spread: float = 0.04) -> Tensor:
    """Mean squared error to a Gaussian at `target` B 2 (x y, shares of the picture; deviation `spread`) where `seen` B
    says that the target lies in the picture, and cross entropy of `inside`."""
    rows, columns = (torch.linspace(0.5 / side, 1 - 0.5 / side, side, device=heat.device) for side in heat.shape[1:])
    away = (columns[None, None] - target[:, 0, None, None]) ** 2 + (rows[None, :, None] - target[:, 1, None, None]) ** 2
    goal = torch.exp(-away / (2 * spread**2))  # B H W
    error = ((heat - goal) ** 2).mean(dim=(1, 2)) * seen
    wrong = nn.functional.binary_cross_entropy_with_logits(inside, seen.to(inside.dtype))
    return 100 * error.sum() / seen.sum().clamp(min=1) + wrong
