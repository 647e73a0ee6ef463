"""The strips of decomposed relative position, from queries and learned tables (MViTv2, Li et al. 2022, eq. 4)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from vitapps.shared_backbones.attention.options import RelPos


def decomposed(q: Tensor, tables: tuple[Tensor, ...], grid: tuple[int, ...]) -> RelPos:
    """q B h N d, unscaled and before any rotation, N = prod(grid); `tables[a]` L d, one vector per distance on axis a
    (L = 2 grid[a] - 1; others are resampled linearly, as ViTDet and SAM do) -> a strip per axis."""
    points = q.unflatten(2, grid)  # B h N d -> B h *grid d
    strips = []
    for axis, (table, size) in enumerate(zip(tables, grid, strict=True)):
        vectors = _by_distance(table, size).to(q.dtype)  # size size d: query coordinate, key coordinate
        moved = points.movedim(2 + axis, -2)  # -> B h *others size d
        strip = torch.einsum("...qd,qkd->...qk", moved, vectors)  # -> B h *others size size
        strips.append(strip.movedim(-2, 2 + axis).flatten(2, -2))  # -> B h N size
    return RelPos(grid=grid, strips=tuple(strips))


def _by_distance(table: Tensor, size: int) -> Tensor:
    """The table's vector of every pair query - key along an axis: L d -> size size d."""
    wanted = 2 * size - 1
    if table.shape[0] != wanted:
        resampled = functional.interpolate(table.float().T[None], size=wanted, mode="linear")  # L d -> 1 d L'
        table = resampled[0].T.to(table.dtype)  # -> L' d
    place = torch.arange(size, device=table.device)
    return table[place[:, None] - place[None, :] + size - 1]  # L d -> size size d
