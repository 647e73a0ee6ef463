"""Boxes of one tile that fits in memory, by the windows, ownership and suppression of `vitapps rs detect`.

For training (choice of the threshold) and evaluation, with any callable as the model.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.rs.confirm import candidates
from vitapps.pipelines.rs.find import Candidates, joined
from vitapps.pipelines.rs.fuse import LEAST_SCORE, TOGETHER, fused
from vitapps.pipelines.rs.merge import kept_in_window, owned_spans, window_starts
from vitapps.pipelines.rs.scan import resize
from vitapps.pipelines.rs.spec import DetectorSpec
from vitapps.pipelines.windows.boxes import Floats

Predict = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], ...]]


def boxes_of_tile(
    predict: Predict, image: NDArray[np.uint8], spec: DetectorSpec, floor: float
) -> tuple[Floats, Floats]:
    """Boxes `n 4` (pixels of the tile) and scores `n`, by falling score, of an RGB tile `3 H W` uint8.

    `predict` takes windows `1 3 window window` in 0..1 and gives scores and boxes as maps; `floor` is the lowest score
    kept. The looks at the scales of `spec` are fused.
    """
    if len(spec.scales) == 1:
        found = _look(predict, image, spec.at(spec.scales[0]), spec.scales[0], floor)
    else:
        least = min(floor, LEAST_SCORE)
        looks = [_look(predict, image, spec.at(scale), scale, least).suppressed(TOGETHER) for scale in spec.scales]
        found = fused(looks, spec.floor(floor))
    found = found.suppressed(spec.nms_iou)
    return found.boxes, found.scores


def _look(predict: Predict, image: NDArray[np.uint8], spec: DetectorSpec, scale: float, floor: float) -> Candidates:
    """All candidates of the tile enlarged by `scale`, in pixels of the tile; `spec` is that of the enlarged tile."""
    window, overlap = spec.window, spec.overlap
    height, width = image.shape[1:]
    tile = _enlarged(image, scale)
    deep, wide = max(tile.shape[1], window), max(tile.shape[2], window)
    tile = np.pad(tile, ((0, 0), (0, deep - tile.shape[1]), (0, wide - tile.shape[2])), mode="edge")
    rows, columns = window_starts(deep, window, overlap), window_starts(wide, window, overlap)
    parts = []
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
            uncut = np.zeros(number, bool)
            parts.append(Candidates(found.boxes + corner, found.scores, found.labels, uncut)[kept])
    whole = joined(parts)
    whole.boxes = np.clip(whole.boxes / scale, 0, np.array([width, height, width, height]))
    return whole


def _enlarged(image: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """The tile 3 H W at `scale` times its size, by the filter that rasters are read with."""
    if scale == 1:
        return image
    height, width = image.shape[1:]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    pixels = resize(np.ascontiguousarray(image.transpose(1, 2, 0)), size, (0.0, 0.0, float(width), float(height)))
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))  # h w 3 -> 3 h w
