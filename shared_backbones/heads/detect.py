"""Anchor-free box head on one feature map: a centre heat map, four side distances a cell and, if wanted, landmarks.

CenterNet (Zhou et al. 2019, arXiv:1904.07850) gives the heat map, FCOS (Tian et al. 2019, arXiv:1904.01355, eq. 1-2)
the distances. Deviation: one stride only, so no assignment of sizes to levels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

CARD = {
    "id": "FCOS",
    "name": "detect",
    "family": "heads",
    "paper": "Tian et al. 2019, arXiv:1904.01355; Zhou et al. 2019, arXiv:1904.07850",
    "equation": "FCOS eq. 1-2; CenterNet eq. 1",
    "deviations": "one level, no centre-ness branch",
    "slots": [],
    "cost": "one 3x3 convolution at the output stride",
    "status": "core",
}

PRIOR = 0.02  # share of cells that are centres: the bias starts there (Focal loss, arXiv:1708.02002, section 4.1)


class DetectHead(nn.Module):
    """`forward(B dim h w) -> (logits B K h w, boxes B 4 h w)`; boxes are x0 y0 x1 y1 in input pixels, `stride` a cell.

    A side distance is `unit * exp(raw)`, `raw` held to -4..4: `unit` (pixels) is what an untrained head predicts. With
    `points` k a third output B 2k h w holds x y of k landmarks in input pixels, each a share of its own box's sides
    away from the middle of that box; they teach the box nothing.
    """

    def __init__(self, dim: int, num_classes: int, stride: int, unit: float, points: int = 0) -> None:
        super().__init__()
        self.stride = stride
        self.unit = unit
        self.conv = nn.Conv2d(dim, dim, 3, 1, 1, bias=False)
        self.norm = nn.GroupNorm(dim // 8, dim)
        self.act = nn.GELU()
        self.score = nn.Conv2d(dim, num_classes, 1)
        self.sides = nn.Conv2d(dim, 4, 1)
        nn.init.constant_(self.score.bias, -math.log((1 - PRIOR) / PRIOR))  # type: ignore[arg-type]
        nn.init.normal_(self.sides.weight, std=0.01)
        nn.init.zeros_(self.sides.bias)  # type: ignore[arg-type]
        self.points = nn.Conv2d(dim, 2 * points, 1) if points else None

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.act(self.norm(self.conv(x)))
        raw = self.sides(x).float()  # B dim h w -> B 4 h w, left top right bottom; bf16 has no fractions of pixels
        boxes = boxes_from_sides(self.unit * raw.clamp(-4, 4).exp(), self.stride)
        if self.points is None:
            return self.score(x).float(), boxes
        return self.score(x).float(), boxes, points_in_boxes(self.points(x).float(), boxes.detach())


def boxes_from_sides(distances: Tensor, stride: int) -> Tensor:
    """Side distances (left top right bottom, pixels) at cell centres -> boxes; B 4 h w -> B 4 h w."""
    height, width = distances.shape[-2:]
    y = (torch.arange(height, device=distances.device, dtype=distances.dtype) + 0.5) * stride
    x = (torch.arange(width, device=distances.device, dtype=distances.dtype) + 0.5) * stride
    centre = torch.stack([x[None, :].expand(height, width), y[:, None].expand(height, width)])  # 2 h w
    low = centre - distances[:, :2]
    high = centre + distances[:, 2:]
    return torch.cat([low, high], dim=1)


def points_in_boxes(shares: Tensor, boxes: Tensor) -> Tensor:
    """Shares of the sides from the middle (x y of k points) -> pixels; B 2k h w, boxes B 4 h w -> B 2k h w."""
    number = shares.shape[1] // 2
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2  # B 2 h w
    sides = boxes[:, 2:] - boxes[:, :2]
    return middle.repeat(1, number, 1, 1) + shares * sides.repeat(1, number, 1, 1)
