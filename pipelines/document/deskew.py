"""A page made upright: quarter turns and skew as one matrix, so that pixels are resampled once, when a line is cut out.

Matrices map homogeneous pixel-corner coordinates (x, y, 1), 3 x 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.datasets.formats.page_text import Quad
from vitapps.pipelines.document.found_line import FoundLine

Grey = NDArray[np.uint8]
Matrix = NDArray[np.floating]
LEAST = 0.15  # degrees: less is left to the slope of each line


@dataclass(frozen=True, kw_only=True, slots=True)
class Upright:
    """The page `grey` as it should be read, at `scale` times the pixels given; `matrix` leads from given to upright."""

    grey: Grey
    matrix: Matrix
    scale: float = 1.0

    def back(self, quad: Quad) -> Quad:
        """Corners on the upright page -> on the picture given."""
        return moved(quad, np.linalg.inv(self.matrix))


def moved(quad: Quad, matrix: Matrix) -> Quad:
    """Corners through a matrix, which may hold a perspective."""
    points = np.column_stack([np.array(quad), np.ones(4)]) @ matrix.T  # 4 3
    a, b, c, d = (points[:, :2] / points[:, 2:]).tolist()
    return ((a[0], a[1]), (b[0], b[1]), (c[0], c[1]), (d[0], d[1]))


def quarter_matrix(turn: int, width: int, height: int) -> Matrix:
    """Of a picture width x height turned clockwise by `turn` degrees, a multiple of 90."""
    rows = {
        0: [[1, 0, 0], [0, 1, 0]],
        90: [[0, -1, height], [1, 0, 0]],
        180: [[-1, 0, width], [0, -1, height]],
        270: [[0, 1, 0], [-1, 0, width]],
    }[turn % 360]
    return np.array([*rows, [0, 0, 1]], np.float64)


def turned(grey: Grey, turn: int) -> Grey:
    """A picture turned clockwise by `turn` degrees."""
    return np.ascontiguousarray(np.rot90(grey, -(turn // 90)))


def skew_of(lines: Sequence[FoundLine]) -> float:
    """Degrees by which the lines of a page fall to the right: the median of their slopes by length, 0 without long
    lines."""
    long = [line for line in lines if line.slope and line.box[2] - line.box[0] > 8 * line.height]
    if len(long) < 3:
        return 0.0
    slopes = np.array([line.slope for line in long])
    lengths = np.array([line.box[2] - line.box[0] for line in long])
    order = np.argsort(slopes)
    middle = int(np.searchsorted(np.cumsum(lengths[order]), lengths.sum() / 2))
    return float(np.degrees(np.arctan(slopes[order][middle])))


def make_upright(grey: Grey, *, turn: int, skew: float, scale: float = 1.0) -> Upright:
    """The picture turned clockwise by `turn`, then straightened by `skew` degrees, then scaled; a skew below `LEAST` is
    left. New corners take the page's usual shade."""
    height, width = grey.shape
    matrix = quarter_matrix(turn, width, height)
    page = turned(grey, turn)
    if abs(skew) < LEAST:
        if scale != 1.0:
            size = (max(1, round(page.shape[1] * scale)), max(1, round(page.shape[0] * scale)))
            ratio = np.diag([size[0] / page.shape[1], size[1] / page.shape[0], 1.0])
            way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
            return Upright(grey=resized(page, size, way), matrix=ratio @ matrix, scale=scale)
        return Upright(grey=page, matrix=matrix)
    return _straightened(page, matrix, skew, scale)


def resized(page: Grey, size: tuple[int, int], way: int) -> Grey:
    """A picture of `size` width, height."""
    return np.asarray(cv2.resize(page, size, interpolation=way), np.uint8)


def _straightened(page: Grey, matrix: Matrix, skew: float, scale: float) -> Upright:
    if scale < 0.7:  # average first: a warp looks at four pixels only
        size = (max(1, round(page.shape[1] * scale)), max(1, round(page.shape[0] * scale)))
        matrix = np.diag([size[0] / page.shape[1], size[1] / page.shape[0], 1.0]) @ matrix
        page, scale_left = resized(page, size, cv2.INTER_AREA), 1.0
    else:
        scale_left = scale
    height, width = page.shape
    angle = np.radians(abs(skew))
    wide = round(scale_left * (width * np.cos(angle) + height * np.sin(angle)))
    high = round(scale_left * (height * np.cos(angle) + width * np.sin(angle)))
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), skew, scale_left)
    turn[:, 2] += wide / 2 - width / 2, high / 2 - height / 2
    shade = float(np.median(page[::7, ::7]))
    laid = np.asarray(cv2.warpAffine(page, turn, (wide, high), flags=cv2.INTER_LINEAR, borderValue=shade), np.uint8)
    return Upright(grey=laid, matrix=np.vstack([turn, [0, 0, 1]]) @ matrix, scale=scale)
