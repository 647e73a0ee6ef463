"""Factorised learned positions: one vector per coordinate of each axis, summed (NaViT, Dehghani et al. 2023,
arXiv:2307.06304, section 2.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitapps.shared_backbones.posenc._protocol import PositionEncoding

if TYPE_CHECKING:
    from vitapps.shared_backbones.models.vit import ViTConfig

CARD = {
    "id": "S204-positions",
    "name": "factorised",
    "family": "posenc",
    "paper": "Dehghani et al. 2023, arXiv:2307.06304",
    "equation": "section 2.1, factorised absolute positions, combined by addition",
    "deviations": "axes longer than the trained ones are interpolated linearly; one to three axes",
    "slots": ["pos"],
    "cost": "O(N C) once",
    "status": "paper",
}


class Factorised(PositionEncoding):
    """A table of `grid[a]` vectors per axis, the longest side that is trained; a shorter axis uses its first vectors,
    so that any aspect ratio has trained positions."""

    def __init__(self, dim: int, grid: tuple[int, ...]) -> None:
        super().__init__()
        self.axes = nn.ParameterList(nn.Parameter(torch.empty(size, dim)) for size in grid)
        for axis in self.axes:
            nn.init.trunc_normal_(axis, std=0.02)

    def table(self, grid: tuple[int, ...]) -> Tensor:
        total = _first(self.axes[0], grid[0])  # A C
        for axis, size in zip(list(self.axes)[1:], grid[1:], strict=True):
            total = total.unsqueeze(-2) + _first(axis, size)  # ... C -> ... size C
        return total.reshape(1, -1, total.shape[-1])  # *grid C -> 1 N C

    def resize(self, grid: tuple[int, ...]) -> None:
        with torch.no_grad():
            for number, size in enumerate(grid):
                if size > self.axes[number].shape[0]:
                    self.axes[number] = nn.Parameter(_first(self.axes[number], size).clone())


def _first(axis: Tensor, size: int) -> Tensor:
    """The vectors of the first `size` coordinates; a longer axis is stretched to them."""
    if size <= axis.shape[0]:
        return axis[:size]
    stretched = functional.interpolate(axis.float().T[None], size=size, mode="linear", align_corners=True)  # 1 C size
    return stretched[0].T.to(axis.dtype)  # -> size C


def build(config: ViTConfig) -> Factorised:
    """The native grid of the configuration is the largest that is trained."""
    return Factorised(config.dim, config.grid)
