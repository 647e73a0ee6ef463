"""What a detection looks like, without a network: the colours of its upper and lower half."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_BINS = 8
_SIZE = (16, 32)  # width and height to which a box is reduced


def looks_of(pixels: NDArray[np.uint8], boxes: Floats) -> Floats:
    """n d of unit length for boxes n 4 (x0 y0 x1 y1) of a frame H W 3: square roots of the histograms of lightness and
    of the two colour axes of Lab, of the middle of both halves. The product of two is 1 for the same colours
    (Bhattacharyya's coefficient).
    """
    height, width = pixels.shape[:2]
    rows = []
    for box in boxes:
        inset = 0.15 * (box[2:] - box[:2])
        low = np.clip(np.floor(box[:2] + inset), 0, [width - 1, height - 1]).astype(int)
        high = np.maximum(np.clip(np.ceil(box[2:] - inset), 1, [width, height]).astype(int), low + 1)
        part = cv2.resize(pixels[low[1] : high[1], low[0] : high[0]], _SIZE, interpolation=cv2.INTER_AREA)
        lab = cv2.cvtColor(part, cv2.COLOR_RGB2LAB).reshape(2, -1, 3)  # halves pixels 3
        counts = [
            np.bincount(half[:, axis] * _BINS // 256, minlength=_BINS) for half in lab.astype(int) for axis in range(3)
        ]
        rows.append(np.sqrt(np.concatenate(counts)))
    if not rows:
        return np.zeros((0, 6 * _BINS))
    found = np.stack(rows).astype(np.float64)
    return np.asarray(found / np.linalg.norm(found, axis=1, keepdims=True))
