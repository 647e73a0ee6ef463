"""The 8x8 block grid of JPEG: where it is missing or lies elsewhere (Li, Yuan, Yu 2009, Signal Processing 89(9)).

Second differences are averaged along rows and columns at each of the 8 phases; in an untouched JPEG one phase stands
out everywhere. What is pasted brings its own phase, what is retouched loses it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

WINDOW = 65  # pixels: eight blocks


def block_grid(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """How much weaker the picture's own grid is here than is typical, H W float32, of RGB H W 3 uint8."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    across, down = _strength(grey), _strength(grey.T).T
    return (-(across + down)).astype(np.float32)


def _strength(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """Share of the picture's strongest column phase in the local second differences, H W; 0 where there is no grid."""
    change = np.abs(cv2.filter2D(grey, -1, np.array([[-1.0, 2.0, -1.0]], np.float32)))
    change = np.minimum(change - cv2.medianBlur(change, 5), 20.0).clip(0)  # edges of things are no grid
    columns = np.arange(grey.shape[1])
    totals = [float(change[:, phase::8].mean()) if grey.shape[1] > phase else 0.0 for phase in range(8)]
    best = int(np.argmax(totals))
    on = np.where((columns % 8 == best)[None, :], change, 0.0).astype(np.float32)
    window = (WINDOW, WINDOW)
    share = cv2.blur(on, window) * 8 / (cv2.blur(change, window) + 0.05)
    return np.asarray(share - np.median(share), np.float32)
