"""Candidates of a window, each judged with the crown that colour alone draws at its place.

A network that has not seen a site errs in its scores more than in its boxes. Excess green and a watershed err in other
ways, so that a box which both give is more likely a crown than either alone says: the score becomes

    (score + trust * IoU with the best basin) / (1 + trust),    trust = weight * sum score^2 IoU / sum score^2

The trust is the agreement of the whole window: where trees are bare or the ground is green, basins lie beside all
crowns and should lower none. The basins are those of `watershed.py` on the window at half its size, which finds as
many crowns in a quarter of the time. A weight of 0 leaves the candidates as the network gave them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.rs.watershed import watershed_boxes
from vitapps.pipelines.windows.boxes import Floats, Found, box_iou, decode

MAX_CANDIDATES = 1000


def candidates(
    maps: Sequence[NDArray[np.float32]], windows: NDArray[np.uint8], floor: Floats, *, weight: float, gsd: float,
    top_k: int = MAX_CANDIDATES, peaks: bool = False,
) -> Found:  # fmt: skip
    """The candidates of `windows` B 3 S S (`gsd` metres a pixel) with a score of at least `floor` by class, confirmed
    by `weight`; `maps` are the network's scores B K h w and boxes B 4 h w."""
    lowest = np.maximum((1 + weight) * floor - weight, floor / 10)  # what full agreement could lift over the floor
    found = decode(maps[0], maps[1], lowest if weight else floor, top_k, peaks=peaks)
    if not weight:
        return found
    scores = found.scores.copy()
    for image in np.unique(found.images):
        own = found.images == image
        agreed = box_iou(found.boxes[own], basins(windows[image], gsd)).max(axis=1, initial=0)
        trust = weight * np.average(agreed, weights=scores[own] ** 2)
        scores[own] = (scores[own] + trust * agreed) / (1 + trust)
    kept = np.flatnonzero(scores >= floor[found.labels])
    kept = kept[np.lexsort((-scores[kept], found.images[kept]))]
    return replace(
        found, boxes=found.boxes[kept], scores=scores[kept], labels=found.labels[kept], images=found.images[kept],
        cells=found.cells[kept],
    )  # fmt: skip


def basins(window: NDArray[np.uint8], gsd: float) -> Floats:
    """Crown boxes n 4 (pixels of the window) by watershed, of an RGB window 3 S S."""
    import cv2

    size = (window.shape[2] // 2, window.shape[1] // 2)
    half = cv2.resize(np.ascontiguousarray(window.transpose(1, 2, 0)), size, interpolation=cv2.INTER_AREA)
    boxes, _ = watershed_boxes(np.ascontiguousarray(half.transpose(2, 0, 1)), 2 * gsd)  # S/2 S/2 3 -> 3 S/2 S/2
    return 2 * boxes
