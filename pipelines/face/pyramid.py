"""Where a detector of fixed windows looks in a picture of any size: scales an octave apart, windows at each.

A face is seen whole by several windows: at its own scale by one of those that overlap, and by every coarser scale.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from vitapps.pipelines.face.faces import Floats, Pixels
from vitapps.pipelines.windows.plan import plan_windows

MARGIN = 0.7  # of the window that the coarsest scale fills: a face that fills its picture gets air around it
LEAST = 256  # pixels of the longer side from which a picture may be enlarged
DEEPEST = 24  # octaves; a picture has fewer


@dataclass(frozen=True, slots=True)
class View:
    """One window: `pixels` S S 3; a place p in it is (p - shift) / scale in the picture; `inner` says for left, top,
    right, bottom whether the picture goes on there."""

    pixels: Pixels
    scale: Floats  # x, y
    shift: Floats  # x, y
    inner: tuple[bool, bool, bool, bool]

    def to_picture(self, points: Floats) -> Floats:
        """Points ... 2 of the window in pixels of the picture."""
        return np.asarray((points - self.shift) / self.scale)


def scales_of(width: int, height: int, window: int, finest: float) -> list[float]:
    """Scale factors, coarsest first: the picture in `MARGIN` of one window, in all of it, then doubling up to
    `finest`, which is the last one where it is finer than a whole view."""
    whole = window / max(width, height)
    scales = [whole * MARGIN, whole]
    while scales[-1] * 2 < finest and len(scales) < DEEPEST:
        scales.append(scales[-1] * 2)
    if finest > scales[-1] * 1.05:
        scales.append(finest)
    return scales


def views(pixels: Pixels, window: int, overlap: float, finest: float) -> Iterator[View]:
    """Every window at every scale, coarsest first; `overlap` is the share of a window that its neighbour sees too."""
    height, width = pixels.shape[:2]
    for scale in scales_of(width, height, window, finest):
        size = max(1, round(width * scale)), max(1, round(height * scale))
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        small = cast(Pixels, cv2.resize(pixels, size, interpolation=way))
        yield from _windows(small, window, overlap, np.array([size[0] / width, size[1] / height]))


def closer_view(pixels: Pixels, box: Floats, window: int, fill: float = 0.5) -> View:
    """A face in the middle of a window of its own, its longer side `fill` of the window; outside of the picture is the
    mean colour, as in `views`."""
    side = max(4, round(float((box[2:] - box[:2]).max()) / fill))
    left, top = (int(value) for value in np.rint((box[:2] + box[2:] - side) / 2))
    height, width = pixels.shape[:2]
    canvas = np.empty((side, side, 3), np.uint8)
    canvas[:] = pixels.mean(axis=(0, 1)).round()
    x0, y0, x1, y1 = max(0, left), max(0, top), min(width, left + side), min(height, top + side)
    if x1 > x0 and y1 > y0:
        canvas[y0 - top : y1 - top, x0 - left : x1 - left] = pixels[y0:y1, x0:x1]
    way = cv2.INTER_AREA if side > window else cv2.INTER_LINEAR
    part = cast(Pixels, cv2.resize(canvas, (window, window), interpolation=way))
    scale = np.array([window / side, window / side])
    return View(part, scale, -scale * np.array([left, top]), (False, False, False, False))


def _windows(picture: Pixels, window: int, overlap: float, scale: Floats) -> Iterator[View]:
    height, width = picture.shape[:2]
    shift = np.array([max(0, window - width) // 2, max(0, window - height) // 2])
    canvas = _padded(picture, window, shift)
    deep, wide = canvas.shape[:2]
    for y, x in plan_windows((deep, wide), (window, window), overlap):
        inner = (x > 0, y > 0, x + window < wide, y + window < deep)
        part = np.ascontiguousarray(canvas[y : y + window, x : x + window])
        yield View(part, scale, shift - np.array([x, y]), inner)


def _padded(picture: Pixels, window: int, shift: Floats) -> Pixels:
    """The picture in the middle of a canvas of its mean colour that has at least one window."""
    height, width = picture.shape[:2]
    canvas = np.empty((max(height, window), max(width, window), 3), np.uint8)
    canvas[:] = picture.mean(axis=(0, 1)).round()
    x, y = (int(value) for value in shift)
    canvas[y : y + height, x : x + width] = picture
    return canvas


def finest_scale(
    width: int, height: int, smallest: float, min_face: float | None, *, enlarge: bool = True
) -> float:  # fmt: skip
    """The scale at which a face of `min_face` pixels has the `smallest` pixels that the network needs; at most 2.

    None: 1/64 of the longer side. With `enlarge` a picture below 64 `smallest` (768 pixels) is looked at enlarged, to
    twice its size from 256 pixels below that on: most faces of 16 pixels are found then, for four times the work
    (docs/faces.md). Below `LEAST` pixels a picture is a face or a thumbnail and is not enlarged."""
    longer, enough = max(width, height), 64 * smallest
    if min_face is not None:
        wanted = min_face
    elif enlarge and LEAST <= longer < enough:
        wanted = smallest * max(0.5, 1 - (enough - longer) / 512)
    else:
        wanted = max(smallest, longer / 64)
    return min(2.0, smallest / max(wanted, math.ulp(1.0)))
