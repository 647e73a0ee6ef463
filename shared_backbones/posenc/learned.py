"""Learned absolute positions (ViT, Dosovitskiy et al. 2021, eq. 1), resampled for other input sizes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vitapps.shared_backbones.posenc._protocol import PositionEncoding
from vitapps.shared_backbones.posenc._resample import resample_table

if TYPE_CHECKING:
    from vitapps.shared_backbones.models.vit import ViTConfig


class Learned(PositionEncoding):
    """One vector per native patch, and per prefix token where `prefix` > 0."""

    def __init__(self, dim: int, grid: tuple[int, ...], prefix: int) -> None:
        super().__init__()
        self.grid, self.prefix, self.prefix_table = grid, prefix, prefix > 0
        self.weight = nn.Parameter(torch.empty(1, prefix + math.prod(grid), dim))
        nn.init.trunc_normal_(self.weight, std=0.02)

    def table(self, grid: tuple[int, ...]) -> Tensor:
        if grid == self.grid:
            return self.weight
        patches = resample_table(self.weight[:, self.prefix :], self.grid, grid)
        return torch.cat((self.weight[:, : self.prefix], patches), dim=1)

    def resize(self, grid: tuple[int, ...]) -> None:
        with torch.no_grad():
            self.weight = nn.Parameter(self.table(grid).clone(), requires_grad=self.weight.requires_grad)
        self.grid = grid


def build(config: ViTConfig) -> Learned:
    """Slots `pos_prefix` and the native grid of the configuration."""
    return Learned(config.dim, config.grid, config.prefix if config.pos_prefix else 0)
