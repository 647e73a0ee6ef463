"""What the one-stream tracker is trained on: varifocal scores and generalised IoU, as LoRAT (arXiv:2403.05231, 3.4)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from vitapps.shared_backbones.models.tracker import STRIDE

CLEAR = 0.75  # exponent that makes easy background count less (varifocal loss, arXiv:2008.13367, eq. 2: alpha 0.75)


def tracking_loss(logits: Tensor, boxes: Tensor, drawn: Tensor, present: Tensor) -> Tensor:
    """Mean loss of a batch: `logits` B 1 g g, `boxes` B 4 g g and `drawn` B 4 as x0 y0 x1 y1 in pixels of the search
    region, `present` B 1 where the object is seen, 0 where it is gone or hidden.

    A token whose centre lies within the middle part of the drawn box should say how well its own box fits (varifocal
    loss, arXiv:2008.13367, eq. 2), every other token 0.
    """
    inside = centre_cells(drawn, logits.shape[-1]) & (present > 0.5)[:, :, None]  # B g g
    target_box = drawn[:, :, None, None].expand_as(boxes)
    overlap, generalised = overlaps(boxes, target_box)  # B g g each
    target = torch.where(inside, overlap.detach().clamp(0, 1), torch.zeros_like(overlap))
    score = logits[:, 0]
    weight = torch.where(inside, torch.ones_like(score), CLEAR * score.detach().sigmoid() ** 2)
    each = functional.binary_cross_entropy_with_logits(score, target, reduction="none")
    count = inside.sum().clamp(min=1)
    return (weight * each).sum() / count + 2.0 * ((1 - generalised) * inside).sum() / count


def misfit(boxes: Tensor, drawn: Tensor, present: Tensor) -> Tensor:
    """B: 1 - generalised IoU of each sample's boxes B 4 g g where the object is, 0 where it is not."""
    inside = centre_cells(drawn, boxes.shape[-1]) & (present > 0.5)[:, :, None]  # B g g
    _, generalised = overlaps(boxes, drawn[:, :, None, None].expand_as(boxes))
    return ((1 - generalised) * inside).sum(dim=(1, 2)) / inside.sum(dim=(1, 2)).clamp(min=1)


def centre_cells(drawn: Tensor, grid: int) -> Tensor:
    """B g g: tokens whose centre is within the box shrunk to its middle 60 %, and always the one nearest its centre."""
    at = (torch.arange(grid, device=drawn.device, dtype=drawn.dtype) + 0.5) * STRIDE
    middle = (drawn[:, :2] + drawn[:, 2:]) / 2  # B 2
    half = 0.3 * (drawn[:, 2:] - drawn[:, :2])
    near = (middle / STRIDE).long().clamp(0, grid - 1)
    axes = []
    for axis in range(2):
        within = (at[None] - middle[:, axis : axis + 1]).abs() <= half[:, axis : axis + 1]  # B g
        nearest = torch.arange(grid, device=drawn.device)[None] == near[:, axis : axis + 1]
        axes.append(within | nearest)
    return axes[1][:, :, None] & axes[0][:, None, :]


def overlaps(boxes: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU (Rezatofighi et al. 2019, arXiv:1902.09630) of corner boxes along axis 1."""
    low, high = torch.maximum(boxes[:, :2], target[:, :2]), torch.minimum(boxes[:, 2:], target[:, 2:])
    common = (high - low).clamp(min=0).prod(dim=1)
    areas = [(box[:, 2:] - box[:, :2]).clamp(min=0).prod(dim=1) for box in (boxes, target)]
    union = areas[0] + areas[1] - common + 1e-6
    low, high = torch.minimum(boxes[:, :2], target[:, :2]), torch.maximum(boxes[:, 2:], target[:, 2:])
    hull = (high - low).clamp(min=0).prod(dim=1) + 1e-6
    iou = common / union
    return iou, iou - (hull - union) / hull
