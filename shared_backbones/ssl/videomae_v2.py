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

from vitapps.shared_backbones.models.vit import ViT
from vitapps.shared_backbones.ssl._clip_tokens import (
    Grid,
    check_clip_encoder,
    encode,
    gather,
    grid_of,
    normalised_tubelets,
    pixel_decoder,
    tube_mask,
)

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
        check_clip_encoder(encoder, "VideoMAE")
        self.encoder, self.config = encoder, config
        self.decoder = pixel_decoder(encoder, config.decoder_dim, config.decoder_depth, config.decoder_heads)

    def forward(self, clip: Tensor, generator: torch.Generator | None = None) -> Tensor:
        patch = self.encoder.config.patch
        grid = grid_of(clip, patch)
        seen = tube_mask(clip.shape[0], grid, self.config.hidden, generator).to(clip.device)  # B N, True: seen
        asked = ~seen & (running_cells(grid).to(clip.device) if self.config.dual else torch.ones_like(seen))
        asked = _evened(asked)
        order = (2 * seen.int() + asked.int()).argsort(
            dim=1, descending=True, stable=True
        )  # B N: seen places, then those asked for, then the rest
        visible, hidden = int(seen[0].sum()), int(asked[0].sum())
        known = encode(self.encoder, clip, order[:, :visible])
        rebuilt = self.decoder(known, order[:, : visible + hidden], grid)[:, visible:]  # -> B hidden P
        wanted = gather(normalised_tubelets(clip, patch), order[:, visible : visible + hidden])
        loss: Tensor = (rebuilt - wanted).square().mean()
        return loss


def running_cells(grid: Grid) -> Tensor:
    """1 N bool: of each 2 x 2 cell the two opposite places that are on at this time; they turn with time."""
    t, y, x = torch.meshgrid(*(torch.arange(size) for size in grid), indexing="ij")
    return ((t + y + x) % 2 == 0).reshape(1, -1)


def _evened(asked: Tensor) -> Tensor:
    """As many tubelets asked for in every clip: running cells over tubes give unequal numbers, the last ones go."""
    least = int(asked.sum(dim=1).min())
    return asked & (asked.cumsum(dim=1) <= least)
