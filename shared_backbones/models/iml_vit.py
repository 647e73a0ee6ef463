"""IML-ViT in small: where a photograph was edited, by a plain ViT at high resolution with a simple pyramid.

    image 0..1   B 3 H W                       cut or zero-padded to the window, never resized
    traces       B traces H W                  optional planes beside it: maps of classical evidence
    ViT          windowed attention, every `every`-th block global
    noise        optional second branch of high-pass residuals, or of the traces where there are any, whose disagreement
                 amplifies the attention (NFA)
    pyramid      a quarter of the patch, a half, the patch and twice that, from the last map alone
    decoder      each level to one width, joined at the finest, a 1x1 head

The loss adds the edge band of the mask (dilation minus erosion), eq. 3 of IML-ViT, since that is where traces are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitapps.shared_backbones.attention.attend import Window
from vitapps.shared_backbones.layers.attention import Attention
from vitapps.shared_backbones.layers.mlp import Mlp
from vitapps.shared_backbones.layers.patch_embed import PatchEmbed

CARD = {
    "id": "S052",
    "name": "iml_vit",
    "family": "models",
    "paper": "IML-ViT (Ma et al. 2023, arXiv:2307.14863); NFA-ViT (S064) for the noise branch",
    "equation": "IML-ViT eq. 3 (edge loss), simple feature pyramid; NFA: noise-guided amplification attention",
    "deviations": "noise branch of fixed residual filters or classical traces and one attention layer, in the place of "
    "Noiseprint++",
    "slots": [],
    "cost": "about 1.5 GFLOP for 256 x 256 at dim 96, depth 4",
    "status": "paper",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ImlViTConfig:
    """`window` H W in pixels, `local` tokens a side of an attention window, `every`: global attention in each such
    block, `noise`: with the amplifying branch, `traces`: planes beside the three of the picture."""

    window: tuple[int, int] = (256, 256)
    patch: int = 16
    dim: int = 96
    depth: int = 4
    heads: int = 4
    local: int = 8
    every: int = 2
    decoder: int = 48
    noise: bool = True
    traces: int = 0


class _Block(nn.Module):
    """Pre-norm block, windowed or global; `bias` B 1 N N is added to global scores only."""

    def __init__(self, config: ImlViTConfig, index: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(config.dim), nn.LayerNorm(config.dim)
        self.attn = Attention(config.dim, config.heads)
        self.mlp = Mlp(config.dim, 4 * config.dim, nn.GELU())
        self.is_global = (index + 1) % config.every == 0
        self.local = config.local

    def forward(self, x: Tensor, grid: tuple[int, int], bias: Tensor | None) -> Tensor:
        if self.is_global:
            mixed, _ = self.attn(self.norm1(x), bias=bias)
        else:
            mixed, _ = self.attn(self.norm1(x), window=Window(grid=grid, size=(self.local, self.local)))
        x = x + mixed
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class NoiseAmplifier(nn.Module):
    """Scores that make tokens of unlike noise attend to each other, B 1 N N; zero at first (`strength`). Noise is what
    high-pass filters leave of the picture, or the `traces` beside it."""

    def __init__(self, dim: int, patch: int, traces: int = 0) -> None:
        super().__init__()
        self.traces = traces
        self.embed = PatchEmbed(traces or 3, dim, (patch, patch))
        self.norm = nn.LayerNorm(dim)
        self.strength = nn.Parameter(torch.zeros(1))
        across, down = [[0, 0, 0], [1, -2, 1], [0, 0, 0]], [[0, 1, 0], [0, -2, 0], [0, 1, 0]]
        filters = torch.tensor([across, down, [[1, -2, 1], [-2, 4, -2], [1, -2, 1]]], dtype=torch.float32)  # 3 3 3
        self.register_buffer("filters", filters[:, None] / 4, persistent=False)  # SRM residuals of first kinds

    def forward(self, planes: Tensor) -> Tensor:
        noise = planes[:, 3:] if self.traces else self._residuals(planes)  # B 3+traces H W -> B traces H W
        tokens, _ = self.embed(noise)  # B N D
        unit = functional.normalize(self.norm(tokens), dim=2)
        out: Tensor = self.strength * (1 - unit @ unit.transpose(1, 2))[:, None]  # B 1 N N
        return out

    def _residuals(self, image: Tensor) -> Tensor:
        grey = functional.pad(image.mean(dim=1, keepdim=True), (1, 1, 1, 1), "replicate")  # B 1 H+2 W+2
        return functional.conv2d(grey, self.get_buffer("filters").to(grey.dtype)).abs() * 8  # B 3 H W


class ImlViT(nn.Module):
    """`forward(B 3+traces H W) -> B 1 h w`, the chance that a cell of a quarter of the patch was edited."""

    def __init__(self, config: ImlViTConfig) -> None:
        super().__init__()
        self.config = config
        dim, wide = config.dim, config.decoder
        self.grid = (config.window[0] // config.patch, config.window[1] // config.patch)
        self.embed = PatchEmbed(3 + config.traces, dim, (config.patch, config.patch), embed="stem")
        self.pos = nn.Parameter(torch.zeros(1, self.grid[0] * self.grid[1], dim))
        nn.init.trunc_normal_(self.pos, std=0.02)
        self.amplifier = NoiseAmplifier(dim, config.patch, config.traces) if config.noise else None
        self.blocks = nn.ModuleList(_Block(config, index) for index in range(config.depth))
        self.norm = nn.LayerNorm(dim)
        self.up4 = nn.Sequential(nn.ConvTranspose2d(dim, wide, 2, 2), nn.GELU(), nn.ConvTranspose2d(wide, wide, 2, 2))
        self.up2 = nn.ConvTranspose2d(dim, wide, 2, 2)
        self.same = nn.Conv2d(dim, wide, 1)
        self.down2 = nn.Conv2d(dim, wide, 2, 2)
        self.fuse = nn.Sequential(nn.Conv2d(4 * wide, wide, 1), nn.GELU(), nn.Conv2d(wide, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.forward_logits(x).sigmoid()

    def forward_logits(self, x: Tensor) -> Tensor:
        """As `forward`, before the sigmoid."""
        bias = self.amplifier(x) if self.amplifier is not None else None
        tokens, _ = self.embed(x)
        tokens = tokens + self.pos
        for block in self.blocks:
            tokens = block(tokens, self.grid, bias)
        last = self.norm(tokens).transpose(1, 2).unflatten(2, self.grid)  # B N C -> B C h w
        fine = self.up4(last)  # a quarter of the patch
        size = (fine.shape[2], fine.shape[3])
        levels = [fine, *(functional.interpolate(part(last), size=size, mode="bilinear", align_corners=False)
                          for part in (self.up2, self.same, self.down2))]  # fmt: skip
        out: Tensor = self.fuse(torch.cat(levels, dim=1))  # B 1 h w
        return out


def localization_loss(logits: Tensor, mask: Tensor, edge_weight: float = 4.0, band: int = 3) -> Tensor:
    """Binary cross-entropy plus `edge_weight` times that within the edge band; `mask` B 1 h w in 0..1.

    The band is dilation minus erosion by `band` cells (IML-ViT eq. 3, whose weight is 20 at 1024 pixels)."""
    value = functional.binary_cross_entropy_with_logits(logits, mask, reduction="none")
    size = 2 * band + 1
    grown = functional.max_pool2d(mask, size, 1, band)
    shrunk = -functional.max_pool2d(-mask, size, 1, band)
    edge = (grown - shrunk > 0.5).to(value.dtype)
    total: Tensor = value.mean() + edge_weight * (value * edge).sum() / edge.sum().clamp(min=1)
    return total
