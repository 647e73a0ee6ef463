"""Targets and losses of the anchor-free detector: centre heat map with a penalty-reduced focal loss, boxes with GIoU.

CenterNet (arXiv:1904.07850, eq. 1) gives the heat map and its loss; the Gaussian follows the sides of the box, and
boxes are learnt on a neighbourhood of the centre with the heat as weight (TTFNet, Liu et al. 2020, arXiv:1909.00700,
eq. 2-5); GIoU is Rezatofighi et al. 2019, arXiv:1902.09630. Points (landmarks) are learnt where boxes are, by their
distance as a share of the box.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

SPREAD = 0.12  # standard deviation of the heat, as a share of the side
NEAR = 0.2  # heat from which on a cell learns a box
IGNORED = 0.98  # heat that is no centre and costs nothing (eq. 1's (1 - heat)^4); without a box to learn
BOX_WEIGHT = 3.0
POINT_WEIGHT = 5.0


def make_targets(
    boxes: NDArray[np.float32], size: int, stride: int, points: NDArray[np.float32] | None = None,
    ignored: NDArray[np.float32] | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Heat `1 h w` (1 at the cell of a centre) and boxes `4 h w` (pixels) of one window of `size` pixels.

    `points` n k 2 (x y, pixels) add 2k channels to the boxes. Where objects overlap a cell follows the box with the
    greater heat, the smaller one at equal heat. Cells within `ignored` m 4 that follow no box are `IGNORED`.
    """
    cells = size // stride
    numbers = (
        boxes if points is None else np.concatenate([boxes, points.reshape(len(boxes), 2 * points.shape[1])], axis=1)
    )
    heat = np.zeros((cells, cells), np.float32)
    target = np.zeros((numbers.shape[1], cells, cells), np.float32)
    at = (np.arange(cells, dtype=np.float32) + 0.5) * stride
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for row_of_numbers in numbers[np.argsort(-areas, kind="stable")]:
        x0, y0, x1, y1 = row_of_numbers[:4]
        middle_x, middle_y = (x0 + x1) / 2, (y0 + y1) / 2
        column, row = (int(np.clip(middle // stride, 0, cells - 1)) for middle in (middle_x, middle_y))
        wide, high = max(SPREAD * (x1 - x0), stride / 3), max(SPREAD * (y1 - y0), stride / 3)
        across = np.exp(-((at - at[column]) ** 2) / (2 * wide**2))
        down = np.exp(-((at - at[row]) ** 2) / (2 * high**2))
        bump = down[:, None] * across[None, :]  # h w
        ours = (bump >= heat) & (bump > NEAR)
        target[:, ours] = row_of_numbers[:, None]
        np.maximum(heat, bump, out=heat)
    for x0, y0, x1, y1 in () if ignored is None else ignored:
        inside = ((at >= y0) & (at < y1))[:, None] & ((at >= x0) & (at < x1))[None, :]  # h w
        heat[inside & (heat <= NEAR)] = IGNORED
    return torch.from_numpy(heat)[None], torch.from_numpy(target)


def detection_loss(logits: Tensor, boxes: Tensor, heat: Tensor, target: Tensor, points: Tensor | None = None) -> Tensor:
    """Focal loss an object plus weighted GIoU, plus point distances where `points` B 2k h w are predicted.

    `logits`, `heat` B 1 h w, `boxes` B 4 h w, `target` B 4 (+ 2k) h w, pixels.
    """
    wanted = target[:, :4]
    weight = torch.where((heat > NEAR) & (_area(wanted) > 0), heat, torch.zeros_like(heat))
    total = weight.sum().clamp(min=1)
    loss = centre_loss(logits, heat) + BOX_WEIGHT * (weight * (1 - giou(boxes, wanted))).sum() / total
    if points is None:
        return loss
    side = _area(wanted).clamp(min=1).sqrt()
    distance = ((points - target[:, 4:]) / side).abs().mean(dim=1, keepdim=True)  # B 2k h w -> B 1 h w
    return loss + POINT_WEIGHT * (weight * distance).sum() / total


def centre_loss(logits: Tensor, heat: Tensor) -> Tensor:
    """CenterNet eq. 1 with alpha 2 and beta 4, divided by the number of centres."""
    share = logits.sigmoid()
    centre = heat >= 0.999
    hit = functional.logsigmoid(logits) * (1 - share).square()
    miss = functional.logsigmoid(-logits) * share.square() * (1 - heat).pow(4)
    return -torch.where(centre, hit, miss).sum() / centre.sum().clamp(min=1)


def giou(first: Tensor, second: Tensor) -> Tensor:
    """Generalised IoU (-1..1) of boxes cell by cell; B 4 h w, B 4 h w -> B 1 h w."""
    low, high = torch.maximum(first[:, :2], second[:, :2]), torch.minimum(first[:, 2:], second[:, 2:])
    inter = (high - low).clamp(min=0).prod(dim=1, keepdim=True)  # B 2 h w -> B 1 h w
    union = _area(first) + _area(second) - inter
    hull_low, hull_high = torch.minimum(first[:, :2], second[:, :2]), torch.maximum(first[:, 2:], second[:, 2:])
    hull = (hull_high - hull_low).prod(dim=1, keepdim=True)
    return inter / union.clamp(min=1e-6) - (hull - union) / hull.clamp(min=1e-6)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1, keepdim=True)  # B 4 h w -> B 1 h w
