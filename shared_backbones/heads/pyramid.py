"""Simple feature pyramid: maps at several strides from the last map of a plain ViT alone."""

from __future__ import annotations

import math

from torch import Tensor, nn

from vitapps.errors import UsageError
from vitapps.shared_backbones.features import Features

CARD = {
    "id": "S170",
    "name": "pyramid",
    "family": "heads",
    "paper": "Li et al. 2022, arXiv:2203.16527",
    "equation": "section 3, simple feature pyramid",
    "deviations": "any power-of-two patch and one to three axes; window attention is no part of it",
    "slots": [],
    "cost": "O(N C^2) transposed convolutions, 3-wide convolutions at every stride",
    "status": "paper",
}

_CONV: dict[int, type[nn.Conv1d] | type[nn.Conv2d] | type[nn.Conv3d]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_UP: dict[int, type[nn.ConvTranspose1d] | type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]] = {
    1: nn.ConvTranspose1d,
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
_POOL: dict[int, type[nn.MaxPool1d] | type[nn.MaxPool2d] | type[nn.MaxPool3d]] = {
    1: nn.MaxPool1d,
    2: nn.MaxPool2d,
    3: nn.MaxPool3d,
}


class ChannelNorm(nn.Module):
    """Layer norm over the channels of B C *grid, at every position by itself."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.norm(x.movedim(1, -1)).movedim(-1, 1)  # B C *grid -> B *grid C -> B C *grid
        return out


class SimplePyramid(nn.Module):
    """`forward(Features) -> {stride: B out_dim *grid}`: transposed convolutions for finer strides than the patch,
    max pooling for coarser ones, then 1-wide and 3-wide convolutions with norm. Strides count input pixels."""

    def __init__(
        self, dim: int, patch: tuple[int, ...], *, out_dim: int = 256, strides: tuple[int, ...] = (4, 8, 16, 32)
    ) -> None:
        super().__init__()
        if len(set(patch)) != 1 or len(patch) not in _CONV:
            raise UsageError(f"a pyramid over the unequal patch {patch}", hint="use a patch of equal sides")
        self.strides = strides
        self.levels = nn.ModuleList(_level(dim, out_dim, patch[0], stride, len(patch)) for stride in strides)

    def forward(self, features: Features, layer: int | None = None) -> dict[int, Tensor]:
        x = features.map(layer)  # B dim *grid
        return {stride: level(x) for stride, level in zip(self.strides, self.levels, strict=True)}


def _level(dim: int, out_dim: int, patch: int, stride: int, axes: int) -> nn.Sequential:
    steps = math.log2(patch / stride)
    if steps != int(steps):
        raise UsageError(f"stride {stride} from patch {patch}", hint="their ratio has to be a power of two")
    layers: list[nn.Module] = [_POOL[axes](2, 2) for _ in range(-int(steps))]
    width = dim
    for step in range(int(steps)):
        if step:
            layers += [ChannelNorm(width), nn.GELU()]
        layers.append(_UP[axes](width, width // 2, 2, 2))
        width //= 2
    conv = _CONV[axes]
    layers += [conv(width, out_dim, 1, bias=False), ChannelNorm(out_dim)]
    layers += [conv(out_dim, out_dim, 3, padding=1, bias=False), ChannelNorm(out_dim)]
    return nn.Sequential(*layers)
