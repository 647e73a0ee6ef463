"""What pre-training on clips shares: an encoder that gets some of the tubelets, tube masks, a small decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.models.vit import Block, ViT, ViTConfig
from vitapps.shared_backbones.posenc.sincos import sincos_table

Grid = tuple[int, ...]


def check_clip_encoder(encoder: ViT, method: str) -> None:
    """UsageError for an encoder that does not take tubelets alone."""
    if len(encoder.config.patch) != 3 or encoder.config.prefix:
        raise UsageError(f"{method} takes tubelets without class token", hint="patch=(2, 16, 16), class_token=False")


def grid_of(clip: Tensor, patch: tuple[int, ...]) -> Grid:
    """Tubelets along time, lines and columns of B C T H W."""
    return tuple(size // step for size, step in zip(clip.shape[2:], patch, strict=True))


def encode(encoder: ViT, clip: Tensor, places: Tensor) -> Tensor:
    """The encoder on the tubelets `places` B K alone: B C T H W -> B K dim."""
    out: Tensor = encoder.norm(encode_layers(encoder, clip, places, 1)[-1])
    return out


def encode_layers(encoder: ViT, clip: Tensor, places: Tensor, count: int) -> list[Tensor]:
    """What the last `count` blocks give for the tubelets `places` B K alone, each B K dim, before the final norm."""
    tokens, _ = encoder.embed(clip)
    x = gather(tokens, places)
    found = []
    for block in encoder.blocks:
        x, _ = block(x, None, None, None)
        found.append(x)
    return found[-count:]


def gather(tokens: Tensor, places: Tensor) -> Tensor:
    """B N C, B K -> B K C."""
    return tokens.gather(1, places[..., None].expand(-1, -1, tokens.shape[2]))


def tube_mask(batch: int, grid: Grid, hidden: float, generator: torch.Generator | None = None) -> Tensor:
    """B N bool, True where a tubelet is seen: of h*w places of each clip the same ones at every time."""
    times, places = grid[0], grid[1] * grid[2]
    kept = round(places * (1 - hidden))
    if not 0 < kept < places:
        raise UsageError(f"hidden {hidden:g} of {places} places", hint="some must be hidden and some seen")
    rank = torch.rand(batch, places, generator=generator).argsort(dim=1).argsort(dim=1)
    return (rank < kept).repeat(1, times)  # B h*w -> B t*h*w


def normalised_tubelets(clip: Tensor, patch: tuple[int, ...]) -> Tensor:
    """B C T H W -> B N P, the pixels of each tubelet with mean 0 and deviation 1 by channel."""
    b, c, t, h, w = clip.shape
    x = clip.reshape(b, c, t // patch[0], patch[0], h // patch[1], patch[1], w // patch[2], patch[2])
    x = x.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(1, 3).flatten(3)  # -> B N C pixels
    x = (x - x.mean(dim=-1, keepdim=True)) / (x.var(dim=-1, keepdim=True) + 1e-6).sqrt()
    return x.flatten(2)


class Predictor(nn.Module):
    """A narrow transformer over known tokens and mask tokens at the places asked for: `forward(known B K dim_in, places
    B K+M, grid) -> B K+M dim_out`; `places` are those of the known tokens, then those of the M others."""

    def __init__(self, dim_in: int, dim: int, depth: int, heads: int, dim_out: int) -> None:
        super().__init__()
        inner = ViTConfig(dim=dim, depth=depth, heads=heads)
        self.project = nn.Linear(dim_in, dim)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.blocks = nn.ModuleList(Block(inner, index) for index in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, dim_out)

    def forward(self, known: Tensor, places: Tensor, grid: Grid) -> Tensor:
        missing = self.mask_token.expand(known.shape[0], places.shape[1] - known.shape[1], -1)
        x = torch.cat([self.project(known), missing], dim=1)
        table = sincos_table(x.shape[2], grid, 10000.0).to(x)
        x = x + gather(table.expand(x.shape[0], -1, -1), places)
        for block in self.blocks:
            x, _ = block(x, None, None, None)
        out: Tensor = self.head(self.norm(x))
        return out


def pixel_decoder(encoder: ViT, dim: int, depth: int, heads: int) -> Predictor:
    """A predictor of the pixels of each tubelet."""
    config = encoder.config
    return Predictor(
        config.dim, dim, depth, heads, config.in_chans * config.patch[0] * config.patch[1] * config.patch[2]
    )
