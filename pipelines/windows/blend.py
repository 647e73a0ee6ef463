"""Weights of a window's cells: separable, so that a full-size count map is never needed.

`gaussian` trusts the middle of a window most, `constant` all of it alike; `crop` drops the halo, the edge that lacks
context, so that almost every cell comes from the one window that shows it best.
"""

from __future__ import annotations

import itertools
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.windows.plan import WindowPlan

Blend = Literal["gaussian", "constant", "crop"]
SIGMA = 0.125  # of the window, as nnU-Net uses
FLOOR = 1e-3  # cells seen by one window's corner only still need a weight


def axis_weights(size: int, blend: Blend) -> NDArray[np.float32]:
    """Positive weights along one axis, the largest is 1."""
    if blend != "gaussian":
        return np.ones(size, np.float32)
    offset = (np.arange(size) - (size - 1) / 2) / (SIGMA * size)
    weights: NDArray[np.float32] = np.maximum(np.exp(-0.5 * offset**2), FLOOR).astype(np.float32)
    return weights


def window_weights(window: tuple[int, ...], blend: Blend) -> NDArray[np.float32]:
    """Outer product of the axis weights, of the window's shape."""
    weights = np.ones((), np.float32)
    for size in window:
        weights = weights[..., None] * axis_weights(size, blend)
    return weights


def halo(plan: WindowPlan) -> tuple[int, ...]:
    """Cells along each axis that `crop` drops at the edges of a window inside the array: half of what windows share."""
    steps = [max((b - a for a, b in itertools.pairwise(axis)), default=0) for axis in plan.starts]
    return tuple((wide - step) // 2 if step else 0 for wide, step in zip(plan.window, steps, strict=True))
