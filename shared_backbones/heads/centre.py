"""OSTrack's box head: three towers of convolutions say where the centre is, how far within its cell, and how large.

OSTrack (Ye et al. 2022, arXiv:2203.11991, section 3.3) after CenterNet (Zhou et al. 2019, arXiv:1904.07850). Every cell
gets its own box here, so that a window over the scores can choose among them afterwards.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CentreHead(nn.Module):
    """`forward(B dim g g) -> (logits B 1 g g, boxes B 4 g g)`; boxes are x0 y0 x1 y1 in pixels of an input `side` wide.

    The box of a cell at column x, row y has its centre at (x + offset, y + offset) cells and `size` shares of the side.
    """

    def __init__(self, dim: int, width: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.centre, self.offset, self.size = _tower(dim, width, 1), _tower(dim, width, 2), _tower(dim, width, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        grid = x.shape[-1]
        step = torch.arange(grid, device=x.device, dtype=torch.float32)
        at = torch.stack([step[None].expand(grid, grid), step[:, None].expand(grid, grid)])  # 2 g g: x, y
        middle = (at + self.offset(x).float()) / grid  # B 2 g g, shares of the side
        half = self.size(x).float().sigmoid() / 2
        boxes = torch.cat([middle - half, middle + half], dim=1) * self.side  # -> B 4 g g
        return self.centre(x).float(), boxes


def _tower(dim: int, width: int, out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for step in range(4):
        layers += [nn.Conv2d(dim, width >> step, 3, 1, 1), nn.BatchNorm2d(width >> step), nn.ReLU()]
        dim = width >> step
    return nn.Sequential(*layers, nn.Conv2d(dim, out, 1))
