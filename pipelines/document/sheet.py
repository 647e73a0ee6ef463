"""A sheet of paper in a photograph: its outline is found and the perspective undone, where that is certain.

The sheet is the largest light region with four straight sides, all within the picture, that is clearly lighter than
what lies around each of them. Where there is none, on an even desk, it is the largest region unlike the desk, whose
light paper may have dark pictures or borders at its edges. A scan, or a sheet that lies square in its picture, is left
as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.page_text import Quad

Grey = NDArray[np.uint8]
Floats = NDArray[np.float64]
SIDE = 500  # pixels of the longer side at which the outline is sought
LEAST_SHARE = 0.2  # of the picture: no smaller region is the page
FIT = 0.96  # of region and quadrilateral in common: a sheet that is bent or covered is none
CONTRAST = 25.0  # grey values from the desk to the paper, along each side
EDGE = 0.03  # of the longer side: a strip along the picture's edges that shows the desk alone
UNEVEN, UNLIKE = 8.0, 16.0  # grey values: the desk's mean deviation at most; from there on something is no desk
STRAY = 0.02  # of the desk at most may look otherwise
SQUARE, LEVEL = 0.7, 8.0  # degrees: corners nearer to 90, sides nearer to level need no undoing
SHARPEST = 45.0  # degrees: no photograph that can be read shows a corner sharper
NEAR = 0.015  # of the longer side: how far inside and outside a side the shades are taken


@dataclass(frozen=True, kw_only=True, slots=True)
class FlatSheet:
    """The sheet as from straight above: `grey` H W; `matrix` 3 x 3 leads from the photograph's pixels to it."""

    grey: Grey
    matrix: Floats


def find_sheet(grey: Grey) -> Quad | None:
    """Corners of the sheet in a photograph, from its upper left clockwise; None where there is no certain one."""
    scale = min(1.0, SIDE / max(grey.shape))
    if min(grey.shape) * scale < 50:
        return None
    size = (round(grey.shape[1] * scale), round(grey.shape[0] * scale))
    small = np.asarray(cv2.GaussianBlur(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), (5, 5), 0), np.uint8)
    corners = _corners(_light_region(small))
    if corners is None or not _stands_out(small, corners):
        desk = _desk_of(small)
        corners = _corners(_unlike(small, desk)) if desk is not None else None
        if corners is None or desk is None or not _is_apart(small, desk, corners):
            return None
    a, b, c, d = (corners / scale).tolist()
    return ((a[0], a[1]), (b[0], b[1]), (c[0], c[1]), (d[0], d[1]))


def _corners(region: NDArray[np.uint8] | None) -> Floats | None:
    """Corners 4 2 of a region that may be a sheet in perspective."""
    corners = _four_sides(region) if region is not None else None
    return corners if corners is not None and _is_photographed(corners) else None


def flattened(grey: Grey, sheet: Quad) -> FlatSheet:
    """The sheet with these corners as a rectangle of its longer sides."""
    corners = np.array(sheet)
    top, right, foot, left = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    size = (max(1, round(max(top, foot))), max(1, round(max(left, right))))
    target = np.array([[0, 0], [size[0], 0], [size[0], size[1]], [0, size[1]]], np.float32)
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), target)
    shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])  # pixel corners -> the centres that OpenCV counts
    laid = cv2.warpPerspective(
        grey, np.linalg.inv(shift) @ matrix @ shift, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return FlatSheet(grey=np.asarray(laid, np.uint8), matrix=np.asarray(matrix, np.float64))


def _light_region(small: Grey) -> NDArray[np.uint8] | None:
    """The largest light region."""
    _, mask = cv2.threshold(small, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return _largest(np.asarray(mask, np.uint8))


def _desk_of(small: Grey) -> Floats | None:
    """The shade of the desk at each pixel, H W: a plane through what is seen along the picture's edges, None where
    that is uneven or so light that no sheet is lighter."""
    height, width = small.shape
    y, x = np.mgrid[:height, :width].astype(np.float64)
    edge = np.minimum(np.minimum(x, width - 1 - x), np.minimum(y, height - 1 - y)) < EDGE * max(small.shape)
    planes = np.stack([np.ones_like(x), x, y], axis=-1)  # H W 3
    slope, *_ = np.linalg.lstsq(planes[edge], small[edge].astype(np.float64), rcond=None)
    desk: Floats = planes @ slope
    uneven = float(np.abs(small[edge] - desk[edge]).mean())
    return desk if uneven < UNEVEN and float(desk.max()) < 255 - CONTRAST else None


def _unlike(small: Grey, desk: Floats) -> NDArray[np.uint8] | None:
    """The largest region that is no desk."""
    return _largest((np.abs(small - desk) > UNLIKE).astype(np.uint8))


def _is_apart(small: Grey, desk: Floats, corners: Floats) -> bool:
    """Whether what lies inside the corners is lighter than the desk for the most part, and all outside them is desk."""
    inside = np.zeros(small.shape, np.uint8)
    cv2.fillConvexPoly(inside, np.round(corners).astype(np.int32), 1)
    around = cv2.dilate(inside, np.ones((5, 5), np.uint8)) == 0
    lighter = float(np.median(small[inside > 0] - desk[inside > 0]))
    return lighter > CONTRAST and float((np.abs(small - desk)[around] > UNLIKE).mean()) < STRAY


def _largest(mask: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """The largest region of a mask with its holes filled; None where it is small or reaches the picture's edge."""
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)), np.uint8)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return None
    largest = max(outlines, key=cv2.contourArea)
    x, y, width, height = cv2.boundingRect(largest)
    inside = x > 1 and y > 1 and x + width < mask.shape[1] - 1 and y + height < mask.shape[0] - 1
    if not inside or cv2.contourArea(largest) < LEAST_SHARE * mask.size:
        return None
    region = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(region, [largest], -1, 1, cv2.FILLED)
    return region


def _four_sides(region: NDArray[np.uint8]) -> Floats | None:
    """Corners 4 2 of the quadrilateral that a region nearly is, upper left first, clockwise."""
    outline = max(cv2.findContours(region, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=cv2.contourArea)
    rough = cv2.approxPolyDP(cv2.convexHull(outline), 0.02 * cv2.arcLength(outline, True), True)
    if len(rough) != 4:
        return None
    corners = _refined(outline[:, 0].astype(np.float64), _clockwise(rough[:, 0].astype(np.float64)))
    drawn = np.zeros(region.shape, np.uint8)
    cv2.fillConvexPoly(drawn, np.round(corners).astype(np.int32), 1)
    shared, either = int((drawn & region).sum()), int((drawn | region).sum())
    return corners + 0.5 if shared > FIT * either else None


def _clockwise(corners: Floats) -> Floats:
    """Corners in clockwise order (y points down), the one nearest the upper left first."""
    middle = corners.mean(axis=0)
    corners = corners[np.argsort(np.arctan2(corners[:, 1] - middle[1], corners[:, 0] - middle[0]))]
    return np.roll(corners, -int(corners.sum(axis=1).argmin()), axis=0)


def _refined(outline: Floats, corners: Floats) -> Floats:
    """Corners where lines fitted to the outline along each side cross; n 2 and 4 2."""
    sides = []
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        along = end - start
        share = (outline - start) @ along / (along @ along)
        across = np.abs((outline - start) @ np.array([-along[1], along[0]])) / np.linalg.norm(along)
        points = outline[(share > 0.05) & (share < 0.95) & (across < 0.03 * np.linalg.norm(along) + 2)]
        if len(points) < 8:
            return corners
        dx, dy, x, y = cv2.fitLine(points.astype(np.float32), cv2.DIST_HUBER, 0, 0.01, 0.01).ravel().tolist()
        sides.append((dy, -dx, dy * x - dx * y))  # a x + b y = c
    crossings = []
    for one, other in pairwise([sides[-1], *sides]):
        system = np.array([one[:2], other[:2]])
        if abs(np.linalg.det(system)) < 0.1:
            return corners
        crossings.append(np.linalg.solve(system, np.array([one[2], other[2]])))
    return np.array(crossings)


def _is_photographed(corners: Floats) -> bool:
    """Whether a quadrilateral looks like a sheet in perspective: no rectangle that lies square, no sharp corner."""
    sides = np.roll(corners, -1, axis=0) - corners
    before = np.roll(sides, 1, axis=0)
    lengths = np.linalg.norm(sides, axis=1) * np.linalg.norm(before, axis=1)
    cosine = (-sides * before).sum(axis=1) / np.maximum(lengths, 1e-9)
    angles = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    tilt = abs(float(np.degrees(np.arctan2(sides[0, 1], sides[0, 0]))))
    square = bool((np.abs(angles - 90) < SQUARE).all()) and tilt < LEVEL
    return not square and bool((angles > SHARPEST).all() and (angles < 180 - SHARPEST).all())


def _stands_out(small: Grey, corners: Floats) -> bool:
    """Whether the picture is lighter inside each side than outside it."""
    step = NEAR * max(small.shape)
    middle = corners.mean(axis=0)
    for start, end in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        along = (end - start) / np.linalg.norm(end - start)
        inwards = np.array([-along[1], along[0]])
        if inwards @ (middle - start) < 0:
            inwards = -inwards
        places = start + np.linspace(0.1, 0.9, 40)[:, None] * (end - start)
        inner, outer = (_shades(small, places + way * step * inwards) for way in (1, -1))
        if np.median(inner) - np.median(outer) < CONTRAST or np.mean(inner > outer + 0.5 * CONTRAST) < 0.85:
            return False
    return True


def _shades(small: Grey, places: Floats) -> Floats:
    """Grey values at places n 2, those outside the picture at its edge."""
    x = np.clip(places[:, 0].round().astype(int), 0, small.shape[1] - 1)
    y = np.clip(places[:, 1].round().astype(int), 0, small.shape[0] - 1)
    return np.asarray(small[y, x], np.float64)
