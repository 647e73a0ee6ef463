"""A face detector without a network: every red patch of a window is a face, with landmarks at fixed places in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vitapps.pipelines.face.find_faces import FaceFinder, FinderSpec

SPEC = FinderSpec(window=128, overlap=0.375, smallest=12, nms_iou=0.4, threshold=0.5)
PLACES = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.55], [0.35, 0.75], [0.65, 0.75]])  # x y, shares of the box


def finder() -> FaceFinder:
    return FaceFinder(spec=SPEC, predict=predict)


def predict(windows: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Windows b 3 S S -> scores b 1 h w, boxes b 4 h w, landmarks b 10 h w; larger patches score higher."""
    cells = windows.shape[2] // 4
    scores, boxes, points = (np.zeros((len(windows), n, cells, cells), np.float32) for n in (1, 4, 10))
    for number, (red, green, _) in enumerate(windows):
        marked, _ = ndimage.label((red > 0.95) & (green < 0.05))
        for rows, columns in ndimage.find_objects(marked):
            low, high = np.array([columns.start, rows.start]), np.array([columns.stop, rows.stop])
            if min(high - low) < 6 or min(low) == 0 or max(high) == windows.shape[2]:
                continue  # too small, or cut by the window
            x, y = ((low + high) // 2 // 4).clip(0, cells - 1)
            scores[number, 0, y, x] = 0.6 + min(high - low) / 1000
            boxes[number, :, y, x] = [*low, *high]
            points[number, :, y, x] = (low + PLACES * (high - low)).ravel()
    return scores, boxes, points


def picture(width: int, height: int, faces: list[tuple[int, int, int, int]]) -> NDArray[np.uint8]:
    """A grey picture with a red patch x0 y0 x1 y1 for each face."""
    pixels = np.full((height, width, 3), 128, np.uint8)
    for x0, y0, x1, y1 in faces:
        pixels[y0:y1, x0:x1] = (255, 0, 0)
    return pixels
