"""Fixed sine-cosine positions in any number of axes (Vaswani et al. 2017; axes as in MAE, He et al. 2022)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vitapps.shared_backbones.posenc._protocol import PositionEncoding

if TYPE_CHECKING:
    from vitapps.shared_backbones.models.vit import ViTConfig


class SinCos(PositionEncoding):
    """Every axis has an equal share of the channels: first its sines, then its cosines; left-over channels are 0."""

    weight: Tensor

    def __init__(self, dim: int, grid: tuple[int, ...], temperature: float) -> None:
        super().__init__()
        self.dim, self.grid, self.temperature = dim, grid, temperature
        self.register_buffer("weight", sincos_table(dim, grid, temperature), persistent=False)

    def table(self, grid: tuple[int, ...]) -> Tensor:
        if grid == self.grid:
            return self.weight
        return sincos_table(self.dim, grid, self.temperature).to(self.weight)

    def resize(self, grid: tuple[int, ...]) -> None:
        self.weight, self.grid = self.table(grid), grid


def sincos_table(dim: int, grid: tuple[int, ...], temperature: float) -> Tensor:
    """1 N dim; position p along an axis and frequency temperature ** (-i / count), i = 0 .. count - 1."""
    count = dim // (2 * len(grid))
    # device named: a table stays real when a model is built on the meta device
    rates = temperature ** (-torch.arange(count, dtype=torch.float64, device="cpu") / max(count, 1))
    axes = [torch.arange(size, dtype=torch.float64, device="cpu") for size in grid]
    parts = []
    for positions in torch.meshgrid(*axes, indexing="ij"):
        angles = positions.reshape(-1, 1) * rates  # N count
        parts += [angles.sin(), angles.cos()]
    table = torch.cat(parts, dim=1)  # N 2*axes*count
    table = torch.nn.functional.pad(table, (0, dim - table.shape[1]))
    return table.float().unsqueeze(0)  # -> 1 N dim


def build(config: ViTConfig) -> SinCos:
    """`pos_temperature` of the configuration, 10000 where it is not given."""
    return SinCos(config.dim, config.grid, config.pos_temperature or 10000.0)
