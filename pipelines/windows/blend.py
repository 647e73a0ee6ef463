"""Weights of a window's cells: separable, so that a full-size count map is never needed."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Blend = Literal["gaussian", "constant"]
SIGMA = 0.125  # of the window, as nnU-Net uses
FLOOR = 1e-3  # cells seen by one window's corner only still need a weight


def axis_weights(size: int, blend: Blend) -> NDArray[np.float32]:
    """Positive weights along one axis, the largest is 1."""
    if blend == "constant":
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
