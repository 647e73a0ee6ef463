"""Square windows of a frame, drawn at one size."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]


def crop(frame: Picture, middle: Floats, extent: float, side: int) -> Picture:
    """side side 3: the square of `extent` pixels about `middle`, the border repeated outside the frame."""
    height, width = frame.shape[:2]
    low = np.floor(middle - extent / 2).astype(int)
    high = np.ceil(middle + extent / 2).astype(int)
    inner_low, inner_high = np.clip(low, 0, [width - 1, height - 1]), np.clip(high, 1, [width, height])
    inner_high = np.maximum(inner_high, inner_low + 1)
    part = frame[inner_low[1] : inner_high[1], inner_low[0] : inner_high[0]]
    ratio = side / extent
    shrunk = part
    shift = (inner_low - (middle - extent / 2)) * ratio
    if ratio < 0.7:
        size = (max(1, round(part.shape[1] * ratio)), max(1, round(part.shape[0] * ratio)))
        shrunk = np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_AREA), np.uint8)
    scale = np.array([part.shape[1] / shrunk.shape[1], part.shape[0] / shrunk.shape[0]]) * ratio
    matrix = np.array([[scale[0], 0, shift[0] + 0.5 * scale[0] - 0.5], [0, scale[1], shift[1] + 0.5 * scale[1] - 0.5]])
    moved = cv2.warpAffine(shrunk, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)
