"""Where to begin: boxes as given, points grown to what stands there, masks as the boxes of their objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.mask_series import VOID, read_index_png
from vitapps.errors import UsageError

Picture = NDArray[np.uint8]
Floats = NDArray[np.float64]
LEAST = 4.0  # pixels a side that can be followed
_ASIDE = 0.12  # of the picture's shorter side: half the box in which a point is grown


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """`box` x0 y0 x1 y1 in pixels of the frame."""

    box: Floats


def find_starts(
    pixels: Picture, boxes: Sequence[tuple[float, float, float, float]], points: Sequence[tuple[float, float]],
    mask: Path | None,
) -> list[Start]:  # fmt: skip
    """The objects in the order: boxes, points, mask. Raises UsageError for what lies outside the picture, is too small
    or has another size."""
    found = [_from_box(pixels, box) for box in boxes]
    found += [_from_point(pixels, point) for point in points]
    if mask is not None:
        found += _from_mask(pixels, mask)
    return found


def _from_box(pixels: Picture, box: tuple[float, float, float, float]) -> Start:
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = box[0], box[1], box[0] + box[2], box[1] + box[3]
    cut = np.array([max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)])
    if (cut[2:] - cut[:2] < LEAST).any():
        raise UsageError(
            f"--box {','.join(f'{value:g}' for value in box)}: less than {LEAST:g} pixels of it lie in the picture of"
            f" {width} x {height}", hint="x,y of the top left corner, then width and height, in pixels",
        )  # fmt: skip
    return Start(box=cut)


def _from_point(pixels: Picture, point: tuple[float, float]) -> Start:
    """The segment of GrabCut (Rother et al. 2004) around the point: it is object, a frame far around is not."""
    height, width = pixels.shape[:2]
    x, y = round(point[0]), round(point[1])
    if not (0 <= x < width and 0 <= y < height):
        raise UsageError(f"--point {x},{y}: outside the picture of {width} x {height}", hint="--point x,y in pixels")
    reach = max(12, round(_ASIDE * min(height, width)))
    low = np.array([max(0, x - 2 * reach), max(0, y - 2 * reach)])
    high = np.array([min(width, x + 2 * reach), min(height, y + 2 * reach)])
    part = np.ascontiguousarray(pixels[low[1] : high[1], low[0] : high[0], ::-1])
    marks = np.full(part.shape[:2], cv2.GC_BGD, np.uint8)
    at = (int(x - low[0]), int(y - low[1]))
    cv2.circle(marks, at, 2 * reach - 4, int(cv2.GC_PR_BGD), -1)
    cv2.circle(marks, at, reach, int(cv2.GC_PR_FGD), -1)
    cv2.circle(marks, at, max(2, reach // 8), int(cv2.GC_FGD), -1)
    cv2.setRNGSeed(0)
    cv2.grabCut(part, marks, (0, 0, 1, 1), np.zeros((1, 65)), np.zeros((1, 65)), 4, cv2.GC_INIT_WITH_MASK)
    inside = ((marks == cv2.GC_FGD) | (marks == cv2.GC_PR_FGD)).astype(np.uint8)
    _, labels = cv2.connectedComponents(inside)
    rows, columns = np.nonzero(labels == labels[at[1], at[0]])
    box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float64)
    box += np.concatenate([low, low])
    if (box[2:] - box[:2] < 2 * LEAST).any():
        box = np.array([x - reach / 2, y - reach / 2, x + reach / 2, y + reach / 2])
    return _from_box(pixels, (box[0], box[1], box[2] - box[0], box[3] - box[1]))


def _from_mask(pixels: Picture, path: Path) -> list[Start]:
    labels = read_index_png(path)
    if labels.shape != pixels.shape[:2]:
        raise UsageError(
            f"--mask {path}: {labels.shape[1]} x {labels.shape[0]} pixels, the clip has"
            f" {pixels.shape[1]} x {pixels.shape[0]}", hint="draw the mask on a frame of this clip",
        )  # fmt: skip
    found = []
    for value in np.unique(labels):
        if value in (0, VOID):
            continue
        rows, columns = np.nonzero(labels == value)
        x, y = float(columns.min()), float(rows.min())
        found.append(_from_box(pixels, (x, y, float(columns.max() + 1 - x), float(rows.max() + 1 - y))))
    if not found:
        raise UsageError(f"--mask {path}: no object in it", hint="values from 1 on are objects, 0 is background")
    return found
