"""Boxes of one tile that fits in memory, by the windows, ownership and suppression of `vitapps rs detect`.

For training (choice of the threshold) and evaluation, with any callable as the model.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.rs.confirm import candidates
from vitapps.pipelines.rs.merge import kept_in_window, owned_spans, window_starts
from vitapps.pipelines.rs.spec import DetectorSpec
from vitapps.pipelines.windows.boxes import Floats, nms

Predict = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], ...]]


def boxes_of_tile(
    predict: Predict, image: NDArray[np.uint8], spec: DetectorSpec, floor: float
) -> tuple[Floats, Floats]:
    """Boxes `n 4` (pixels of the tile) and scores `n`, by falling score, of an RGB tile `3 H W` uint8.

    `predict` takes windows `1 3 window window` in 0..1 and gives scores and boxes as maps; `floor` is the lowest score
    kept.
    """
    window, overlap = spec.window, spec.overlap
    height, width = image.shape[1:]
    deep, wide = max(height, window), max(width, window)
    tile = np.pad(image, ((0, 0), (0, deep - height), (0, wide - width)), mode="edge")
    rows, columns = window_starts(deep, window, overlap), window_starts(wide, window, overlap)
    boxes, scores = [np.zeros((0, 4))], [np.zeros(0)]
    for y, own_y in zip(rows, owned_spans(rows, window, deep), strict=True):
        for x, own_x in zip(columns, owned_spans(columns, window, wide), strict=True):
            part = np.ascontiguousarray(tile[None, :, y : y + window, x : x + window])
            maps = predict(part.astype(np.float32) / np.float32(255))
            found = candidates(maps, part, spec.floor(floor), weight=spec.confirm, gsd=spec.gsd)
            corner = np.array([x, y, x, y], np.float64)
            owned = np.array([own_x[0], own_y[0], own_x[1], own_y[1]]) - corner
            inner = np.array([x > 0, y > 0, x + window < wide, y + window < deep])
            number = len(found.boxes)
            kept = kept_in_window(
                found.boxes, np.tile(owned, (number, 1)), np.tile(inner, (number, 1)), window, overlap
            )
            boxes.append(found.boxes[kept] + corner)
            scores.append(found.scores[kept])
    all_boxes = np.clip(np.concatenate(boxes), 0, np.array([width, height, width, height]))
    all_scores = np.concatenate(scores)
    order = nms(all_boxes, all_scores, spec.nms_iou)
    return all_boxes[order], all_scores[order]
