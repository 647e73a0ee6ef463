"""A page as a hand-held camera sees it: on a dark desk, through a random perspective, unevenly lit, a little blurred.

The page keeps about its own size in pixels. Each corner of the sheet comes in at random by up to `strength` times a
ninth of the page, as a camera some 25 degrees off the perpendicular shows it; the light falls off across the picture.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from vitapps.datasets.formats.page_text import Box, quad_of

Pixels = NDArray[np.uint8]
_MARGIN = 0.08  # of the page's longer side: desk around it at least
_SHIFT = 0.11  # of the page's sides: how far its corners come in
_LIGHT = (0.62, 1.0)  # of full light, from one corner of the picture to the other
_DESK = (25, 95)  # shade of the desk


def photographed(page: Pixels, rng: Generator, strength: float = 1.0) -> tuple[Pixels, NDArray[np.float64]]:
    """`page` H W 3 in RGB -> the photograph, and the 3 x 3 matrix from pixels of the page to pixels of it."""
    height, width = page.shape[:2]
    margin = _MARGIN * max(height, width)
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    inwards = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * (width, height)
    seen = corners + margin + strength * _SHIFT * rng.uniform(0, 1, (4, 2)) * inwards
    size = (round(width + 2 * margin), round(height + 2 * margin))
    matrix = cv2.getPerspectiveTransform(corners.astype(np.float32), seen.astype(np.float32))
    desk = _desk(size, rng)
    shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    warp = np.linalg.inv(shift) @ matrix @ shift
    laid = cv2.warpPerspective(page, warp, size, flags=cv2.INTER_AREA)
    cover = cv2.warpPerspective(np.full((height, width), 255, np.uint8), warp, size) / np.float32(255)
    scene = cover[..., None] * laid + (1 - cover[..., None]) * desk
    scene = cv2.GaussianBlur(scene * _light(size, rng)[..., None], (0, 0), 0.5 + 0.3 * rng.uniform())
    noise = np.asarray(rng.normal(0, 2.0, (size[1], size[0], 3)), np.float32)
    return np.clip(scene + noise, 0, 255).astype(np.uint8), np.asarray(matrix, np.float64)


def box_through(box: Box, matrix: NDArray[np.float64]) -> Box:
    """The upright box around a box that a 3 x 3 matrix moves."""
    points = np.column_stack([np.array(quad_of(box)), np.ones(4)]) @ matrix.T  # 4 3
    places = points[:, :2] / points[:, 2:]
    (x0, y0), (x1, y1) = places.min(axis=0).tolist(), places.max(axis=0).tolist()
    return (x0, y0, x1, y1)


def _desk(size: tuple[int, int], rng: Generator) -> NDArray[np.float32]:
    """A dark surface with streaks like grain of wood, H W 3."""
    width, height = size
    streaks = rng.normal(0, 1, (height, 1)) + 0.3 * rng.normal(0, 1, (height, max(2, width // 40)))
    grain = cv2.resize(streaks.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    grain = cv2.GaussianBlur(grain, (0, 0), 2.0)
    shade = rng.uniform(*_DESK) * np.array([1.0, rng.uniform(0.7, 1.0), rng.uniform(0.5, 1.0)])
    return np.asarray(shade + 12 * grain[..., None], np.float32)


def _light(size: tuple[int, int], rng: Generator) -> NDArray[np.float32]:
    """Light that falls off from one side of the picture to the other, H W."""
    width, height = size
    angle = rng.uniform(0, 2 * np.pi)
    x, y = np.linspace(-1, 1, width)[None, :] * np.cos(angle), np.linspace(-1, 1, height)[:, None] * np.sin(angle)
    share = ((x + y) / (abs(np.cos(angle)) + abs(np.sin(angle))) + 1) / 2
    return np.asarray(_LIGHT[0] + (_LIGHT[1] - _LIGHT[0]) * share, np.float32)
