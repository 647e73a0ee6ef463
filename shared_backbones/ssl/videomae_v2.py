"""VideoMAE V2: masked clips rebuilt by a small decoder that sees only a part of what is hidden (dual masking).

    encoder mask   tubes: the same places of the picture are hidden at all times (VideoMAE, section 3.2)
    decoder mask   running cells: of every 2 x 2 cell two tubelets are rebuilt, other ones at the next time (V2, 3.2)
    loss           mean squared error of each rebuilt tubelet's pixels, brought to mean 0 and deviation 1 (V2, eq. 4)

Only tubelets that the encoder has not seen and the decoder is asked for count.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.models.vit import Block, ViT, ViTConfig
from vitapps.shared_backbones.posenc.sincos import sincos_table

CARD = {
    "id": "S289",
    "name": "videomae_v2",
    "family": "ssl",
    "paper": "Wang et al. 2023, arXiv:2303.16727",
    "equation": "eq. 3-4",
    "deviations": "sines per axis; the running cell keeps two places of four",
    "slots": [],
    "cost": "encoder on (1 - hidden) of the tokens, decoder on these and half of the others",
    "status": "paper",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoMaeConfig:
    """`hidden`: share of places that the encoder does not see; `dual`: rebuild half of them, else all (VideoMAE)."""

    hidden: float = 0.9
    dual: bool = True
    decoder_dim: int = 192
    decoder_depth: int = 4
    decoder_heads: int = 3


class VideoMae(nn.Module):
    """Pre-trains `encoder`, a ViT of tubelets without class token; `forward(B C T H W) -> loss`."""

    def __init__(self, encoder: ViT, config: VideoMaeConfig) -> None:
        super().__init__()
        if len(encoder.config.patch) != 3 or encoder.config.prefix:
            raise UsageError("VideoMAE takes tubelets without class token", hint="patch=(2, 16, 16), class_token=False")
        self.encoder, self.config = encoder, config
        dim, patch = config.decoder_dim, encoder.config.patch
        inner = ViTConfig(dim=dim, depth=config.decoder_depth, heads=config.decoder_heads)
        self.project = nn.Linear(encoder.config.dim, dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.decoder = nn.ModuleList(Block(inner, index) for index in range(config.decoder_depth))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, encoder.config.in_chans * patch[0] * patch[1] * patch[2])

    def forward(self, clip: Tensor, generator: torch.Generator | None = None) -> Tensor:
        grid = tuple(size // step for size, step in zip(clip.shape[2:], self.encoder.config.patch, strict=True))
        seen = tube_mask(clip.shape[0], grid, self.config.hidden, generator).to(clip.device)  # B N, True: seen
        asked = ~seen & (running_cells(grid).to(clip.device) if self.config.dual else torch.ones_like(seen))
        asked = _evened(asked)
        order = (2 * seen.int() + asked.int()).argsort(
            dim=1, descending=True, stable=True
        )  # B N: seen places, then those asked for, then the rest
        visible, hidden = int(seen[0].sum()), int(asked[0].sum())
        known = self.encode(clip, order[:, :visible])
        rebuilt = self._decode(known, order[:, : visible + hidden], grid)[:, visible:]  # -> B hidden P
        wanted = _gather(normalised_tubelets(clip, self.encoder.config.patch), order[:, visible : visible + hidden])
        return (rebuilt - wanted).square().mean()

    def encode(self, clip: Tensor, places: Tensor) -> Tensor:
        """The encoder on the tubelets `places` B K alone: B C T H W -> B K dim."""
        tokens, _ = self.encoder.embed(clip)
        x = _gather(tokens, places)
        for block in self.encoder.blocks:
            x, _ = block(x, None, None, None)
        out: Tensor = self.encoder.norm(x)
        return out

    def _decode(self, known: Tensor, places: Tensor, grid: tuple[int, ...]) -> Tensor:
        """B K dim and the places of these K and of M hidden ones B K+M -> pixels B K+M P."""
        missing = self.mask_token.expand(known.shape[0], places.shape[1] - known.shape[1], -1)
        x = torch.cat([self.project(known), missing], dim=1)
        table = sincos_table(x.shape[2], grid, 10000.0).to(x)
        x = x + _gather(table.expand(x.shape[0], -1, -1), places)
        for block in self.decoder:
            x, _ = block(x, None, None, None)
        out: Tensor = self.head(self.norm(x))
        return out


def tube_mask(batch: int, grid: tuple[int, ...], hidden: float, generator: torch.Generator | None = None) -> Tensor:
    """B N bool, True where a tubelet is seen: of h*w places of each clip the same ones at every time."""
    times, places = grid[0], grid[1] * grid[2]
    kept = round(places * (1 - hidden))
    if not 0 < kept < places:
        raise UsageError(f"hidden {hidden:g} of {places} places", hint="some must be hidden and some seen")
    rank = torch.rand(batch, places, generator=generator).argsort(dim=1).argsort(dim=1)
    return (rank < kept).repeat(1, times)  # B h*w -> B t*h*w


def running_cells(grid: tuple[int, ...]) -> Tensor:
    """1 N bool: of each 2 x 2 cell the two opposite places that are on at this time; they turn with time."""
    t, y, x = torch.meshgrid(*(torch.arange(size) for size in grid), indexing="ij")
    return ((t + y + x) % 2 == 0).reshape(1, -1)


def normalised_tubelets(clip: Tensor, patch: tuple[int, ...]) -> Tensor:
    """B C T H W -> B N P, the pixels of each tubelet with mean 0 and deviation 1 by channel."""
    b, c, t, h, w = clip.shape
    x = clip.reshape(b, c, t // patch[0], patch[0], h // patch[1], patch[1], w // patch[2], patch[2])
    x = x.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(1, 3).flatten(3)  # -> B N C pixels
    x = (x - x.mean(dim=-1, keepdim=True)) / (x.var(dim=-1, keepdim=True) + 1e-6).sqrt()
    return x.flatten(2)


def _evened(asked: Tensor) -> Tensor:
    """As many tubelets asked for in every clip: running cells over tubes give unequal numbers, the last ones go."""
    least = int(asked.sum(dim=1).min())
    return asked & (asked.cumsum(dim=1) <= least)


def _gather(tokens: Tensor, places: Tensor) -> Tensor:
    return tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[2]))  # B N C, B K -> B K C
