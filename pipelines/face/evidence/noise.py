"""Noise that differs from place to place: another camera, another smoothing, another resampling.

The level is the median absolute diagonal Haar coefficient over a square (Mahdian and Saic 2009, Image and Vision
Computing 27(10), eq. 2, with the mean in the place of the median), set against what the texture there lets expect.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

WINDOW = 33  # pixels, side of the square


def noise_level(pixels: NDArray[np.uint8], window: int = WINDOW) -> NDArray[np.float32]:
    """Local noise in grey levels, H W float32, of RGB H W 3 uint8."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    diagonal = cv2.filter2D(grey, -1, np.array([[0.5, -0.5], [-0.5, 0.5]], np.float32))
    level = cv2.blur(np.minimum(np.abs(diagonal), 12.0), (window, window))  # an edge is no noise
    return np.asarray(level, np.float32)


def median_residual(pixels: NDArray[np.uint8], window: int = 17) -> NDArray[np.float32]:
    """Mean absolute difference to the 3x3 median, H W float32, in grey levels."""
    change = np.abs(pixels.astype(np.float32) - cv2.medianBlur(pixels, 3)).mean(axis=2)  # H W 3 -> H W
    return np.asarray(cv2.blur(change, (window, window)), np.float32)
