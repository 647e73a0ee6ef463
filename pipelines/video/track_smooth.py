"""Finished tracks made smooth: the jitter of a detector goes, since what comes after a frame is known as well.

Centres follow a local straight line and sides a local mean, both weighted by a Gaussian in time (as the
Gaussian-smoothed interpolation of StrongSORT, Du et al. 2023, arXiv:2202.13514, section 3.4, smooths whole tracks).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_GUESSED = 0.3  # weight of a box that was filled in


def smoothed(frames: Floats, boxes: Floats, seen: NDArray[np.bool_], centre: float, sides: float) -> Floats:
    """Boxes n 4 (x0 y0 x1 y1) at `frames` n, smoothed over about `centre` and `sides` frames; 0: as they are."""
    if len(frames) < 3 or (centre <= 0 and sides <= 0):
        return boxes
    middle, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    trust = np.where(seen, 1.0, _GUESSED)
    away = frames[None] - frames[:, None]  # n n
    if centre > 0:
        middle = _local_lines(away, trust * np.exp(-(away**2) / (2 * centre**2)), middle)
    if sides > 0:
        weight = trust * np.exp(-(away**2) / (2 * sides**2))
        size = weight @ size / weight.sum(axis=1, keepdims=True)
    return np.concatenate([middle - size / 2, middle + size / 2], axis=1)


def _local_lines(away: Floats, weight: Floats, values: Floats) -> Floats:
    """Value at 0 of the weighted straight line through `values` n 2 at `away`, for each row of n n weights."""
    total = weight.sum(axis=1, keepdims=True)
    mean = (weight * away).sum(axis=1, keepdims=True) / total  # n 1
    centred = weight * (away - mean)
    spread = (centred * away).sum(axis=1, keepdims=True)
    slope = np.divide(centred @ values, spread, out=np.zeros_like(values), where=spread > 1e-6)
    return np.asarray(weight @ values / total - slope * mean)
