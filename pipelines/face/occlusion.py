"""Which parts of a face speak for a score: the score again with one square after the other smoothed away."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray


def occlusion_map(
    score: Callable[[NDArray[np.uint8]], float], crop: NDArray[np.uint8], cells: int = 6
) -> NDArray[np.float32]:
    """How much `score` falls when a square of the crop H W 3 is blurred: `cells` x `cells` in 0..1, 1 the largest fall,
    0 where it rises (Zeiler and Fergus 2014, section 4.2, with blur in the place of grey)."""
    blurred = np.asarray(cv2.GaussianBlur(crop, (0, 0), max(1.0, crop.shape[0] / 24)), np.uint8)
    base = score(crop)
    rows = np.linspace(0, crop.shape[0], cells + 1).astype(int)
    columns = np.linspace(0, crop.shape[1], cells + 1).astype(int)
    falls = np.zeros((cells, cells), np.float32)
    for row in range(cells):
        for column in range(cells):
            place = np.s_[rows[row] : rows[row + 1], columns[column] : columns[column + 1]]
            changed = crop.copy()
            changed[place] = blurred[place]
            falls[row, column] = base - score(changed)
    return np.asarray(falls.clip(0) / max(float(falls.max()), 1e-6), np.float32)
