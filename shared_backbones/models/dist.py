"""DiST: a frozen image network sees what is there, a light one beside it what moves; a branch between joins both.

    clip         B 3 T H W
    spatial      every `ratio`-th frame through a frozen image ViT, features of several of its blocks; no gradient
    temporal     all frames: patches by one convolution, then at each level a residual block of small 3-D convolutions
    integration  at each level z <- z + MLP(norm(z + spatial + temporal)), both brought to its width
    head         the mean of z over all tokens

Training never goes back through the image network, so its activations are not kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.layers.mlp import Mlp
from vitapps.shared_backbones.models import tuples
from vitapps.shared_backbones.models.vit import ViT, ViTConfig

CARD = {
    "id": "S228",
    "name": "dist",
    "family": "models",
    "paper": "Qing et al. 2023, DiST, arXiv:2309.07911",
    "equation": "section 3.2 (spatial and temporal encoder), 3.3 (integration branch)",
    "deviations": "depthwise 3-D convolutions; tokens are joined by sums; the mean of z alone is classified",
    "slots": [],
    "cost": "the image network forward on T / ratio frames; 3-D convolutions of few channels on T",
    "status": "paper",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class DistConfig:
    """`image`: fields of the `ViTConfig` of the image network; `frames` T of the clip, of which it sees every
    `ratio`-th; `channels` of the temporal encoder, `dim` of the branch, `levels` of both."""

    num_classes: int
    image: dict[str, Any] = field(default_factory=dict)
    frames: int = 16
    ratio: int = 2
    channels: int = 48
    dim: int = 192
    levels: int = 4

    def __post_init__(self) -> None:
        if self.frames % self.ratio or self.ratio < 1:
            raise UsageError(f"frames {self.frames} and ratio {self.ratio}", hint="frames in multiples of the ratio")
        if not 0 < self.levels <= self.image_config().depth:
            raise UsageError(f"levels is {self.levels}", hint="1 to the image network's depth")

    def image_config(self) -> ViTConfig:
        """The image network's configuration; lists stand for tuples, as in TOML."""
        return ViTConfig(**{key: tuples(value) for key, value in self.image.items()})


class Dist(nn.Module):
    """`forward(B 3 T H W) -> (logits B num_classes, embedding B dim)`."""

    def __init__(self, config: DistConfig) -> None:
        super().__init__()
        self.config = config
        image = config.image_config()
        if len(image.patch) != 2:
            raise UsageError(f"patches of {image.patch}", hint="an image network")
        self.spatial = ViT(image).requires_grad_(False)
        step = image.depth / config.levels
        self.layers = tuple(round((level + 1) * step) - 1 for level in range(config.levels))
        patch = (1, *image.patch)
        self.stem = nn.Conv3d(image.in_chans, config.channels, patch, patch)
        self.temporal = nn.ModuleList(TemporalBlock(config.channels) for _ in range(config.levels))
        self.integrate = nn.ModuleList(
            Integration(image.dim, config.channels, config.dim) for _ in range(config.levels)
        )  # fmt: skip
        self.norm = nn.LayerNorm(config.dim)
        self.head = nn.Linear(config.dim, config.num_classes) if config.num_classes else nn.Identity()

    def train(self, mode: bool = True) -> Dist:
        """The image network stays as it is."""
        super().train(mode)
        self.spatial.eval()
        return self

    def forward(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        embedding = self.norm(self.tokens(clip).mean(dim=1))  # B N dim -> B dim
        return self.head(embedding), embedding

    def tokens(self, clip: Tensor) -> Tensor:
        """B 3 T H W -> B T/ratio*N dim."""
        ratio = self.config.ratio
        pictures = self.look(clip[:, :, ::ratio])
        moving = self.stem(clip)  # -> B c T h w
        joined = torch.zeros((), dtype=moving.dtype, device=moving.device)
        for block, integrate, seen in zip(self.temporal, self.integrate, pictures, strict=True):
            moving = block(moving)
            pooled = moving.unflatten(2, (-1, ratio)).mean(dim=3)  # B c T h w -> B c T/ratio h w
            joined = integrate(joined, seen, pooled.flatten(2).transpose(1, 2))
        return joined

    def look(self, frames: Tensor) -> list[Tensor]:
        """The image network on each frame of B 3 t H W: features of every level, each B t*N C, without gradient."""
        with torch.no_grad():
            found = self.spatial.forward_features(frames.transpose(1, 2).flatten(0, 1), return_layers=self.layers)
        prefix, times = self.spatial.config.prefix, frames.shape[2]
        levels = [found.intermediates[layer][:, prefix:] for layer in self.layers]  # B*t N C
        return [level.unflatten(0, (-1, times)).flatten(1, 2) for level in levels]


class TemporalBlock(nn.Module):
    """x + a depthwise 3 x 3 x 3 convolution and two pointwise ones, B c T h w -> B c T h w."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.mix = nn.Conv3d(channels, channels, 3, padding=1, groups=channels)
        self.widen = nn.Conv3d(channels, 2 * channels, 1)
        self.narrow = nn.Conv3d(2 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.narrow(nn.functional.gelu(self.widen(self.mix(self.norm(x)))))
        return out


class Integration(nn.Module):
    """z + MLP(norm(z + spatial + temporal)): B N dim, B N C, B N c -> B N dim."""

    def __init__(self, spatial: int, temporal: int, dim: int) -> None:
        super().__init__()
        self.from_spatial = nn.Sequential(nn.LayerNorm(spatial), nn.Linear(spatial, dim))
        self.from_temporal = nn.Linear(temporal, dim)
        self.norm = nn.LayerNorm(dim)
        self.mlp = Mlp(dim, 2 * dim, nn.GELU())

    def forward(self, z: Tensor, spatial: Tensor, temporal: Tensor) -> Tensor:
        joined = z + self.from_spatial(spatial) + self.from_temporal(temporal)
        out: Tensor = joined + self.mlp(self.norm(joined))
        return out


def clip_example(config: DistConfig) -> Tensor:
    """An input of the export size, 1 3 T H W."""
    image = config.image_config()
    return torch.zeros(1, image.in_chans, config.frames, *image.image_size)
