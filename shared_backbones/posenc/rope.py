"""Axial rotary positions in any number of axes (RoFormer, Su et al. 2021; axial form: Heo et al. 2024,
arXiv:2403.13298, section 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vitapps.errors import UsageError
from vitapps.shared_backbones.attention.rotate import Rotation
from vitapps.shared_backbones.posenc._protocol import PositionEncoding

if TYPE_CHECKING:
    from vitapps.shared_backbones.models.vit import ViTConfig

CARD = {
    "id": "RoPE-axial",
    "name": "rope",
    "family": "posenc",
    "paper": "Su et al. 2021, arXiv:2104.09864; Heo et al. 2024, arXiv:2403.13298",
    "equation": "RoFormer eq. 34; RoPE-ViT section 3.2, axial",
    "deviations": "one to three axes; pairs that do not divide by the axes stay unturned; EVA-02's grid scaling",
    "slots": ["pos"],
    "cost": "O(N C) a block",
    "status": "core",
}


class Rope(PositionEncoding):
    """Every axis turns an equal share of a head's channel pairs; left-over pairs and prefix tokens are not turned.

    `reference`: a grid onto which the positions of any other grid are scaled (EVA-02), None counts patches.
    """

    cos: Tensor
    sin: Tensor

    def __init__(
        self,
        head_dim: int,
        grid: tuple[int, ...],
        prefix: int,
        temperature: float,
        reference: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__()
        if head_dim % 2 or head_dim < 2 * len(grid):
            raise UsageError(
                f"rope over {len(grid)} axes cannot split {head_dim} channels a head",
                hint=f"heads of an even number of channels, {2 * len(grid)} or more",
            )
        self.head_dim, self.grid, self.prefix = head_dim, grid, prefix
        self.temperature, self.reference = temperature, reference
        cos, sin = self._make(grid)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def rotation(self, grid: tuple[int, ...]) -> Rotation:
        if grid == self.grid:
            return Rotation(self.cos, self.sin)
        cos, sin = self._make(grid)
        return Rotation(cos.to(self.cos), sin.to(self.sin))

    def resize(self, grid: tuple[int, ...]) -> None:
        self.cos, self.sin = self.rotation(grid)
        self.grid = grid

    def _make(self, grid: tuple[int, ...]) -> Rotation:
        angles = rope_angles(self.head_dim, grid, self.temperature, self.reference)  # N d/2
        angles = torch.nn.functional.pad(angles, (0, 0, self.prefix, 0))  # -> prefix+N d/2
        angles = angles.repeat_interleave(2, dim=1)  # -> prefix+N d
        return Rotation(angles.cos().float(), angles.sin().float())


def rope_angles(
    head_dim: int, grid: tuple[int, ...], temperature: float, reference: tuple[int, ...] | None = None
) -> Tensor:
    """N d/2 angles, float64: position times temperature ** (-i / count) for the `count` pairs of each axis in turn."""
    count = head_dim // (2 * len(grid))
    # device named: a table stays real when a model is built on the meta device
    rates = temperature ** (-torch.arange(count, dtype=torch.float64, device="cpu") / count)
    axes = []
    for axis, size in enumerate(grid):
        stretch = 1.0 if reference is None else reference[axis] / size
        axes.append(torch.arange(size, dtype=torch.float64, device="cpu") * stretch)
    parts = [positions.reshape(-1, 1) * rates for positions in torch.meshgrid(*axes, indexing="ij")]
    angles = torch.cat(parts, dim=1)  # N axes*count
    return torch.nn.functional.pad(angles, (0, head_dim // 2 - angles.shape[1]))  # -> N d/2


def build(config: ViTConfig) -> Rope:
    """`pos_temperature` of the configuration, 100 where it is not given (grids are short: Heo et al. section 3.2)."""
    return Rope(
        config.dim // config.heads, config.grid, config.prefix, config.pos_temperature or 100.0, config.rope_reference
    )
