"""Position tables on another grid."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def resample_table(table: Tensor, old: tuple[int, ...], new: tuple[int, ...]) -> Tensor:
    """Bicubic resampling with antialiasing, 1 prod(old) C -> 1 prod(new) C, any number of axes; differentiable.

    Two axes: torch's own interpolation, as timm does it. Otherwise the same kernel, axis by axis: it is separable.
    """
    if old == new:
        return table
    grid = table.float().reshape(1, *old, table.shape[-1])  # 1 N C -> 1 *old C
    if len(old) == 2:
        image = grid.permute(0, 3, 1, 2)  # -> 1 C h w
        image = functional.interpolate(image, size=new, mode="bicubic", antialias=True)
        grid = image.permute(0, 2, 3, 1)  # -> 1 h' w' C
    else:
        for axis, (size, wanted) in enumerate(zip(old, new, strict=True)):
            matrix = _axis_matrix(size, wanted, grid.device)
            grid = torch.tensordot(matrix, grid, dims=([1], [axis + 1])).movedim(0, axis + 1)
    return grid.flatten(1, -2).to(table.dtype)  # 1 *new C -> 1 N' C


def _axis_matrix(size: int, wanted: int, device: torch.device) -> Tensor:
    """wanted x size weights of the one-dimensional kernel: what it makes of the unit vectors."""
    eye = torch.eye(size, device=device)[None, None]
    return functional.interpolate(eye, size=(wanted, size), mode="bicubic", antialias=True)[0, 0]
