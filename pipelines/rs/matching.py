"""The NEON protocol for crowns: matches at one IoU, and the threshold of the greatest F1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vitapps.pipelines.windows.box_counts import FoundBoxes, count

NEON_IOU = 0.4  # Weinstein et al. 2019, Remote Sensing 11(11) 1309


def best_threshold(tiles: Sequence[FoundBoxes], iou: float = NEON_IOU) -> float:
    """The score threshold (0.05, 0.06 … 0.9) of the greatest F1; the lowest of equals."""
    grid = np.round(np.arange(0.05, 0.901, 0.01), 2)
    curve = np.array([count(tiles, float(value), iou).f1 for value in grid])
    return float(grid[curve.argmax()])
