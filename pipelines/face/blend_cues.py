"""What a blended-in face does not share with its surroundings: sharpness, noise, colour and compression, inside
against outside.

The crop (a face with some margin) is brought to one size. Regions are fixed ellipses of it: the inner face, the ring in
which blending ends, the surroundings; and within the face the eyes and the mouth. Each measure is the mean over a
region of a map; ratios are differences of logarithms, so that light and contrast of the picture fall out.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = 192  # pixels a side
MARGIN = 1.3  # of the crop, as DeepfakeBench cuts it
Floats = NDArray[np.float32]
_FLOOR = 0.05  # added before a logarithm, in grey levels


def blend_cues(crop: NDArray[np.uint8]) -> Floats:
    """Features D float32 of a face crop H W 3 uint8 RGB."""
    way = cv2.INTER_AREA if crop.shape[0] > SIZE else cv2.INTER_CUBIC
    pixels = np.asarray(cv2.resize(crop, (SIZE, SIZE), interpolation=way), np.uint8)
    maps = _maps(pixels)  # K H W
    means = np.log(np.stack([maps[:, region].mean(axis=1) for region in _regions()]) + _FLOOR)  # R K
    inner, ring, outer, eyes, mouth = means
    ratios = [inner - outer, ring - outer, ring - inner, eyes - inner, mouth - inner, eyes - outer]
    slopes = [inner[[0, 1, 2]] - inner[[1, 2, 3]], outer[[0, 1, 2]] - outer[[1, 2, 3]]]
    colours = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).astype(np.float32)
    shift = [(colours[a].mean(axis=0) - colours[b].mean(axis=0)) / 10 for a, b in _pairs()]
    return np.concatenate([*ratios, *slopes, *np.abs(shift)]).astype(np.float32)


def _maps(pixels: NDArray[np.uint8]) -> Floats:
    """K H W: energy of the luminance in four octaves, fine chroma, residual, gradient, change by JPEG at 70."""
    luma, red, blue = cv2.cvtColor(pixels, cv2.COLOR_RGB2YCrCb).astype(np.float32).transpose(2, 0, 1)
    levels = [luma, *(np.asarray(cv2.GaussianBlur(luma, (0, 0), sigma), np.float32) for sigma in (0.7, 1.4, 2.8, 5.6))]
    octaves = [np.abs(fine - coarse) for fine, coarse in pairwise(levels)]
    chroma = [np.abs(part - cv2.GaussianBlur(part, (0, 0), 1.4)) for part in (red, blue)]
    residual = np.abs(luma - cv2.medianBlur(luma, 3))
    gradient = cv2.magnitude(cv2.Sobel(luma, cv2.CV_32F, 1, 0) / 8, cv2.Sobel(luma, cv2.CV_32F, 0, 1) / 8)
    return np.stack([*octaves, *chroma, residual, gradient]).astype(np.float32)


@cache
def _regions() -> tuple[NDArray[np.bool_], ...]:
    """Masks H W: inner face, blending ring, surroundings, eyes, mouth."""
    y, x = (np.mgrid[:SIZE, :SIZE] + 0.5) / SIZE

    def ellipse(cx: float, cy: float, rx: float, ry: float) -> NDArray[np.float64]:
        return np.asarray(np.hypot((x - cx) / rx, (y - cy) / ry), np.float64)

    face = ellipse(0.5, 0.52, 0.30, 0.38)
    return (face < 0.75, (face >= 0.75) & (face < 1.2), (face >= 1.3) & (face < 1.75),
            (ellipse(0.37, 0.42, 0.09, 0.06) < 1) | (ellipse(0.63, 0.42, 0.09, 0.06) < 1),
            ellipse(0.5, 0.71, 0.13, 0.07) < 1)  # fmt: skip


def _pairs() -> tuple[tuple[NDArray[np.bool_], NDArray[np.bool_]], ...]:
    inner, ring, outer, _, _ = _regions()
    return (inner, ring), (ring, outer)
