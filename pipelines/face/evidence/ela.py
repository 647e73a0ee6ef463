"""Error level analysis: what a JPEG compression of known quality still changes (Krawetz 2007, "A picture's worth").

A part that has been compressed fewer times than the rest, or on another block grid, changes more.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

QUALITY = 90
LOWER = 80  # for pictures that were saved at just `QUALITY`, which it does not change any more
UNMOVED = 0.1  # grey levels of median change below which that is so
WINDOW = 17  # pixels, side of the mean
_SAMPLE = 1024  # pixels a side of the part that is looked at for it


def error_level(pixels: NDArray[np.uint8], quality: int = QUALITY, window: int = WINDOW) -> NDArray[np.float32]:
    """Mean absolute change in grey levels, H W float32, of RGB H W 3 uint8 compressed again at `quality`."""
    change = np.abs(compressed(pixels, quality).astype(np.float32) - pixels).mean(axis=2)  # H W 3 -> H W
    return np.asarray(cv2.blur(change, (window, window)), np.float32)


def telling_quality(pixels: NDArray[np.uint8]) -> int:
    """The quality at which RGB H W 3 uint8 is compressed again: `QUALITY`, but `LOWER` where the whole picture comes
    out of that unchanged, so that the few blocks that do change would stand out as if they were edited."""
    top, left = (max(0, side - _SAMPLE) // 32 * 16 for side in pixels.shape[:2])  # on the grid of 16
    part = np.ascontiguousarray(pixels[top : top + _SAMPLE, left : left + _SAMPLE])
    return QUALITY if float(np.median(error_level(part))) >= UNMOVED else LOWER


def compressed(pixels: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """RGB H W 3 uint8 after JPEG at `quality` (libjpeg's scale, chroma at half resolution)."""
    _, data = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.ascontiguousarray(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)[..., ::-1])
