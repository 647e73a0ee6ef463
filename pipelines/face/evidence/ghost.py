"""JPEG ghosts (Farid 2009, IEEE TIFS 4(1), eq. 2-4): where compressing again at some quality changes least.

A part that once was compressed at a lower quality than the rest changes less at that quality. The map is how far the
normalised difference of a pixel, over all qualities, lies from that of the typical pixel of the picture.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vitapps.pipelines.face.evidence.ela import compressed

QUALITIES = tuple(range(50, 96, 5))
WINDOW = 17


def jpeg_ghost(pixels: NDArray[np.uint8], qualities: tuple[int, ...] = QUALITIES) -> NDArray[np.float32]:
    """Distance from the typical ghost curve, H W float32 in 0..1, of RGB H W 3 uint8."""
    curves = np.stack([_difference(pixels, quality) for quality in qualities])  # Q H W
    low, high = curves.min(axis=0), curves.max(axis=0)
    curves = (curves - low) / (high - low + 1e-3)  # eq. 4, every pixel by itself
    typical = np.median(curves[:, ::8, ::8].reshape(len(qualities), -1), axis=1)  # Q
    return np.asarray(np.abs(curves - typical[:, None, None]).mean(axis=0), np.float32)  # Q H W -> H W


def _difference(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.float32]:
    """Eq. 3: squared change, averaged over colours and a square around each pixel."""
    change = np.square(compressed(pixels, quality).astype(np.float32) - pixels).mean(axis=2)
    return np.asarray(cv2.blur(change, (WINDOW, WINDOW)), np.float32)
