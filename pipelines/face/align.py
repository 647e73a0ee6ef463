"""Aligned face crops: five landmarks onto the ArcFace template by a similarity transform.

The template is that of ArcFace (Deng et al. 2019, arXiv:1801.07698, after SphereFace), given for 112 x 112 pixels; the
transform is the least-squares one of Umeyama 1991 (IEEE TPAMI 13(4), eq. 40-42), which never mirrors.
"""

from __future__ import annotations

import math
from typing import cast

import cv2
import numpy as np

from vitapps.errors import UsageError
from vitapps.pipelines.face.faces import Floats, Pixels

TEMPLATE = np.array([[38.29, 51.70], [73.53, 51.50], [56.03, 71.74], [41.55, 92.37], [70.73, 92.20]])  # of 112 pixels
_TEMPLATE_SIZE = 112


def align(pixels: Pixels, landmarks: Floats, size: int = 112, inset: float = 0.0) -> Pixels:
    """The face turned upright and scaled to the template: H W 3 and landmarks 5 2 -> size size 3.

    `inset`: what is left free on each side of the template, as a share of `size`. Parts outside of the picture repeat
    its border. Raises UsageError for landmarks that span nothing.
    """
    goal = template(size, inset)
    matrix = similarity(np.asarray(landmarks, float) - 0.5, goal)  # OpenCV counts from pixel centres
    scale = math.hypot(matrix[0, 0], matrix[1, 0])
    pixels, matrix = _shrunk(pixels, matrix, scale)
    found = cv2.warpAffine(
        pixels, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )  # fmt: skip
    return cast(Pixels, found)


def template(size: int, inset: float = 0.0) -> Floats:
    """The five places in a crop of `size` pixels, 5 2; `inset` as in `align`."""
    return TEMPLATE * (size * (1 - 2 * inset) / _TEMPLATE_SIZE) + size * inset


def similarity(source: Floats, target: Floats) -> Floats:
    """The matrix 2 3 of rotation, scale and shift that takes points n 2 nearest to `target` n 2 (least squares)."""
    source, target = np.asarray(source, float), np.asarray(target, float)
    middle, goal = source.mean(axis=0), target.mean(axis=0)
    a, b = source - middle, target - goal
    spread = float((a**2).sum())
    if source.shape != target.shape or not math.isfinite(spread) or spread < 1e-6:
        raise UsageError(f"landmarks {source.tolist()} span nothing", hint="give five different points")
    # without reflection the best rotation and scale of plane points have a closed form
    cosine, sine = float((a * b).sum()) / spread, float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / spread
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return np.concatenate([turn, (goal - turn @ middle)[:, None]], axis=1)


def moved(points: Floats, matrix: Floats) -> Floats:
    """Points n 2 through a matrix 2 3."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


def inverse(matrix: Floats) -> Floats:
    """The matrix 2 3 that takes back what `matrix` 2 3 moved."""
    back = np.linalg.inv(matrix[:, :2])
    return np.concatenate([back, -back @ matrix[:, 2:]], axis=1)


def _shrunk(pixels: Pixels, matrix: Floats, scale: float) -> tuple[Pixels, Floats]:
    """Area-average a large face first: bilinear sampling would skip most of its pixels."""
    factor = math.floor(1 / max(scale, 1e-6) / 1.5)
    if factor < 2:
        return pixels, matrix
    height, width = (max(1, side // factor) for side in pixels.shape[:2])
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    ratio = np.array([pixels.shape[1] / width, pixels.shape[0] / height])
    matrix = matrix.copy()
    # pixel centres: x_large + 0.5 = ratio * (x_small + 0.5)
    matrix[:, 2] += matrix[:, :2] @ (ratio / 2 - 0.5)
    matrix[:, :2] *= ratio
    return cast(Pixels, small), matrix
